"""Columns of obs from a table outside the files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import _arguments as arguments
from . import _core
from .types import PathLike

if TYPE_CHECKING:
    import pandas as pd

Texts: TypeAlias = tuple[bytes, bytes]
"""Texts behind each other, and the end of each as uint64."""


@dataclass(frozen=True, eq=False)
class ObsTable:
    """Labels of cells from outside the files, for the `obs_table` of a collection.

    Rows belong to cells by the names of the cells. If stores share names, the table also needs a
    column that says to which store each row belongs.

    Parameters
    ----------
    table
        A pandas DataFrame, or the path of a `.csv`, `.tsv` or `.parquet` file. A column of a csv or
        tsv file is one of integers, otherwise of floats, otherwise of booleans (`true`, `false`),
        if all of its fields can be read so and stay the same (`007` does not); empty ones are
        missing. A DataFrame and a parquet file keep their types.
    on
        The column that has the names of the cells. By default, the index of a DataFrame, or the
        first column of a file (of a parquet file that pandas wrote, its index).
    store
        The column that names the store of each row: by its path as given, by its file name
        (`a.h5ad`), or by this name without the extension (`a`). Rows of other stores are ignored.

    Examples
    --------
    >>> import pandas as pd
    >>> from mapped_anndata import MappedCollection, ObsTable
    >>> labels = pd.DataFrame(
    ...     {
    ...         "cell": ["A-0000", "A-0001", "A-0000"],
    ...         "sample": ["a", "a", "other"],
    ...         "fate": ["blood", "neuron", "skin"],
    ...     }
    ... )
    >>> table = ObsTable(labels, on="cell", store="sample")
    >>> cells = MappedCollection("demo/a.h5ad", obs_keys="fate", obs_table=table)
    >>> cells.encoders["fate"], cells[0]["fate"], cells[2]["fate"]
    ({'blood': 0, 'neuron': 1}, 0, nan)
    """

    table: pd.DataFrame | PathLike
    on: str | None = None
    store: str | None = None

    def __post_init__(self) -> None:
        if not (_is_path(self.table) or _is_frame(self.table)):
            raise TypeError(
                f"obs_table: expected a pandas DataFrame or a path, found {_kind(self.table)}"
            )
        arguments.optional(arguments.key, "on", self.on)
        arguments.optional(arguments.key, "store", self.store)

    def __repr__(self) -> str:
        shown = repr(self.table) if _is_path(self.table) else f"{_kind(self.table)}"
        return f"ObsTable({shown}, on={self.on!r}, store={self.store!r})"


def table(value: object, path_list: Sequence[PathLike]) -> _core.Table | None:
    """Returns `obs_table` as the core takes it. A file is read now."""
    if value is None:
        return None
    given: Any = value if isinstance(value, ObsTable) else ObsTable(value)  # type: ignore[arg-type]
    # A table may name a store as the user does, whatever the current folder is when the
    # collection is opened again.
    paths = [_as_given(path) for path in path_list]
    if _is_path(given.table):
        path = arguments.path(0, given.table)
        return _core.Table.from_file(path, given.on, given.store, paths)
    frame = given.table
    names = frame.index if given.on is None else _column(frame, given.on)
    columns = []
    for at, name in enumerate(frame.columns):
        name = arguments.key("obs_table", name)
        if name != given.on:
            columns.append({**_EMPTY, "name": name, **_labels(name, frame.iloc[:, at])})
    return _core.Table(_texts("the names of cells", _names(names)), columns, given.store, paths)


_EMPTY: dict[str, Any] = {
    "values": None,
    "codes": None,
    "categorical": False,
    "valid": None,
    "unsupported": None,
}
"""A column of the core."""


def _is_path(value: object) -> bool:
    return isinstance(value, str | bytes | os.PathLike)


def _is_frame(value: object) -> bool:
    """Returns whether a value is a DataFrame of pandas, without importing it."""
    return any(
        base.__name__ == "DataFrame" and base.__module__.partition(".")[0] == "pandas"
        for base in type(value).__mro__
    )


def _kind(value: object) -> str:
    kind = type(value)
    hint = ": convert it with .to_pandas()" if hasattr(value, "to_pandas") else ""
    return f"{kind.__module__}.{kind.__qualname__}{hint}"


def _as_given(path: PathLike) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        return arguments.path(0, path)


def _column(frame: Any, name: str) -> Any:
    places = [at for at, known in enumerate(frame.columns) if known == name]
    if len(places) != 1:
        found = ", ".join(repr(known) for known in list(frame.columns)[:20])
        raise ValueError(f"obs_table: expected one column {name!r}, found the columns {found}")
    return frame.iloc[:, places[0]]


def _names(values: Any) -> list[str]:
    """Returns the names of cells. Whole numbers become their texts."""
    names: list[Any] = values.tolist()
    if all(type(name) is str for name in names):
        return names
    if getattr(values, "nlevels", 1) > 1:
        raise TypeError("obs_table: expected an index of one level, found several: choose `on`")
    for row, name in enumerate(names):
        label = arguments.label("obs_table", name)
        if label is None:
            raise ValueError(f"obs_table: expected a name in each row, found none in row {row}")
        names[row] = str(label)
    return names


def _texts(what: str, texts: Iterable[str]) -> Texts:
    try:
        encoded = [text.encode() for text in texts]
    except UnicodeEncodeError as error:
        found = f"{error.object!r}"
        raise ValueError(f"obs_table: expected {what} in Unicode, found {found}") from None
    ends = np.cumsum([len(text) for text in encoded], dtype=np.uint64)
    return b"".join(encoded), ends.tobytes()


def _labels(name: str, series: Any) -> dict[str, Any]:
    """Returns the values of a column."""
    dtype = series.dtype
    if hasattr(series, "cat"):
        categories = _values(name, series.cat.categories)
        if categories is None:
            return {"unsupported": f"a column of categories of {series.cat.categories.dtype}"}
        codes = np.asarray(series.cat.codes, dtype=np.int64).tobytes()
        return {"values": categories, "codes": codes, "categorical": True}
    if getattr(dtype, "kind", "O") in "biuf":
        return _numbers(series, np.dtype(_numpy_type(dtype)))
    if getattr(dtype, "kind", "O") not in "OUT":
        return {"unsupported": f"a column of {dtype}"}
    try:
        codes, distinct = series.factorize()
    except TypeError:
        return {"unsupported": "a column of values that cannot be compared"}
    distinct = list(distinct)
    if all(isinstance(value, str) for value in distinct):
        codes = np.asarray(codes, dtype=np.int64).tobytes()
        return {"values": _texts(f"labels of {name!r}", distinct), "codes": codes}
    return _objects(series)


def _numpy_type(dtype: Any) -> Any:
    """Returns the numpy type of the values of a column, also of a nullable one."""
    return getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))


def _numbers(series: Any, dtype: np.dtype[Any]) -> dict[str, Any]:
    if dtype.itemsize > 8:
        return {"unsupported": f"a column of {dtype.name}"}
    missing = np.asarray(series.isna(), dtype=bool)
    if dtype.kind == "f":
        values = series.to_numpy(dtype=dtype, na_value=np.nan)
    elif missing.any():
        values = series.to_numpy(dtype=dtype, na_value=dtype.type(0))
    else:
        values = series.to_numpy(dtype=dtype)
    valid = (~missing).tobytes() if missing.any() and dtype.kind != "f" else None
    return {"values": _bytes(values), "valid": valid}


def _objects(series: Any) -> dict[str, Any]:
    """Returns a column of Python objects, if they are all booleans, integers or floats."""
    missing = np.asarray(series.isna(), dtype=bool)
    found = [value for value, absent in zip(series, missing, strict=True) if not absent]
    for kinds, dtype in (
        ((bool, np.bool_), np.dtype(np.bool_)),
        ((int, np.integer), np.dtype(np.int64)),
        ((int, float, np.integer, np.floating), np.dtype(np.float64)),
    ):
        is_bool = dtype.kind == "b"
        if all(isinstance(v, kinds) and isinstance(v, bool | np.bool_) == is_bool for v in found):
            if dtype.kind == "i" and any(not -(2**63) <= value < 2**63 for value in found):
                break
            values = np.zeros(len(series), dtype)
            values[~missing] = found
            if values[~missing].tolist() != found:
                break  # Integers that no float64 is equal to.
            if dtype.kind == "f":
                values[missing] = np.nan
            return {"values": _bytes(values), "valid": (~missing).tobytes()}
    kinds_found = sorted({type(value).__name__ for value in found})
    return {"unsupported": f"a column of {', '.join(kinds_found[:5])}"}


def _values(name: str, categories: Any) -> Any:
    """Returns categories as texts or numbers; None if they are neither."""
    texts = list(categories)
    if all(isinstance(value, str) for value in texts):
        return _texts(f"labels of {name!r}", texts)
    dtype = np.dtype(_numpy_type(categories.dtype)) if categories.dtype.kind in "biuf" else None
    if dtype is None or dtype.itemsize > 8:
        return None
    return _bytes(categories.to_numpy(dtype=dtype))


def _bytes(values: Any) -> tuple[str, bytes]:
    """Returns the name of the type of an array, and its elements."""
    array = np.ascontiguousarray(values)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.dtype.name, array.tobytes()
