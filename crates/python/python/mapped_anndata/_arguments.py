"""Arguments in the many forms that users have them, put into the one that the core takes."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def paths(value: Any) -> Sequence[Any]:
    """`path_list` as a sequence: a single path is a list of one."""
    if isinstance(value, (str, bytes, os.PathLike)):
        return [value]
    if isinstance(value, Sequence):
        return value
    try:
        # The keys of a map, or the groups of an open file, would be taken for paths.
        if not isinstance(value, Mapping) and not _way_out(value):
            return list(value)
    except TypeError:
        pass
    raise TypeError(f"path_list: expected paths, found {_described(value)}")


def path(position: int, value: Any) -> str:
    """A path or URL as text, `~` expanded."""
    try:
        return os.path.expanduser(os.fsdecode(value))
    except TypeError:
        pass
    # Classes for remote paths refuse to be file system paths, and print as URLs.
    if "://" in (text := _text(value)):
        return text
    raise TypeError(f"path_list[{position}]: expected a path, found {_described(value)}")


def _text(value: Any) -> str:
    """What a class for paths prints; of anything else, nothing."""
    return str(value) if hasattr(value, "parts") or hasattr(value, "joinpath") else ""


def _described(value: Any) -> str:
    """The type of what is no path, and what to give instead of it."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name + _way_out(value)


def _way_out(value: Any) -> str:
    """What to give instead of an object that people have where a path is wanted."""
    package = type(value).__module__.partition(".")[0]
    if package in ("anndata", "mudata", "spatialdata"):
        return ": write it to a file, and give the path of that"
    if package in ("zarr", "h5py"):
        return ": give the path that it was opened from"
    if hasattr(value, "read"):
        return ": give the path of the file instead of the open file"
    return ""


def keys(value: str | Iterable[str] | None) -> list[str] | None:
    """A single key is a list of one."""
    return [value] if isinstance(value, str) else value if value is None else list(value)


def label(value: Any) -> str | int | float | bool | None:
    """A label as a plain Python value; None where it is missing (NaN, None, NA, NaT)."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    # pandas need not be installed for its missing values to be known.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    return None if isinstance(value, float) and value != value else value


def labels(values: Any) -> list[str | int | float | bool | None]:
    """One label, or any iterable of them."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        return [label(values)]
    if isinstance(values, np.ndarray) and values.ndim == 0:
        return [label(values)]
    return [label(value) for value in values]


def obs_filter(value: Any) -> list[tuple[str, list]]:
    """A map of columns to their values as pairs."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
        column, values = value
        value = {column: values}
    return [(column, labels(values)) for column, values in value.items()]


def unknown_label(value: Any) -> Any:
    """One label, or pairs of key and label."""
    if isinstance(value, Mapping):
        return [(key, label(of_key)) for key, of_key in value.items()]
    return label(value)


def dtype(value: Any) -> str | None:
    """The name of a numpy or torch type."""
    if value is None:
        return None
    text = str(value)
    if text.startswith("torch."):
        return text.removeprefix("torch.")
    return np.dtype(value).name


def count(name: str, value: Any) -> int:
    """A number that is not negative."""
    number = operator.index(value)
    if number < 0:
        raise ValueError(f"{name}: expected 0 or more, found {number}")
    return number


_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def n_bytes(value: int | str) -> int:
    """A number of bytes, or a text such as `1 GiB` or `500 MB`."""
    if not isinstance(value, str):
        return count("memory", value)
    match = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT]?)(i?)B?\s*", value, re.IGNORECASE)
    if match is None:
        raise ValueError(f"memory: expected bytes such as 1073741824 or '1 GiB', found {value!r}")
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _UNITS[unit.upper()])


def shuffle(value: bool | str | None) -> int | None:
    """Rows of a block: 0 for an exact shuffle, None for none."""
    if value is None or value is False:
        return None
    if value is True or value == "exact":
        return 0
    if isinstance(value, str) and (match := re.fullmatch(r"blocks:([1-9][0-9]*)", value)):
        return int(match[1])
    raise ValueError(f"shuffle: expected None, 'exact' or 'blocks:N', found {value!r}")
