"""Rows, in the many forms that users name them, as one array of row numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np


def is_rows(value: Any) -> bool:
    """Whether something names rows by itself, rather than drawing others each time it is iterated."""
    return isinstance(value, (slice, range, list, tuple)) or _is_array(value)


def is_one(value: Any) -> bool:
    """Whether something is a single row number."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"index: expected a row number or several, found {value!r}")
    if _is_array(value) and value.ndim == 0 and "int" not in str(value.dtype):
        raise TypeError(f"index: expected a row number or several, found {value.dtype}")
    return hasattr(value, "__index__") and not (_is_array(value) and value.ndim > 0)


def rows(name: str, value: Any, n_obs: int) -> np.ndarray:
    """Row numbers, none negative: `[n] int64`.

    Args:
        name: What errors call the argument.
        value: Integers of any type, of which negative ones count from the end, in a list, array,
            tensor, Series, range or iterator; a slice; or a mask of `n_obs` booleans.
        n_obs: Rows that there are.

    Raises:
        TypeError: It is none of these; booleans and integers are mixed.
        IndexError: A row is out of bounds, or a mask has another length.
    """
    if isinstance(value, (slice, range)):
        # The numbers of a range are rows; a slice is cut to the rows that there are.
        try:
            value = range(*value.indices(n_obs)) if isinstance(value, slice) else value
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        array = np.arange(value.start, value.stop, value.step)
    elif _is_array(value):
        array = _from_array(name, value)
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
        array = _from_list(name, list(value))
    else:
        raise _unexpected(name, type(value).__name__)
    if array.ndim != 1:
        raise _unexpected(name, f"shape {array.shape}")
    if array.dtype == bool:
        if len(array) != n_obs:
            raise IndexError(f"{name}: expected a mask of {n_obs} rows, found one of {len(array)}")
        return np.flatnonzero(array)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise _unexpected(name, str(array.dtype))
    # Before any conversion: a row beyond int64 would become another one.
    if (bad := array[(array < -n_obs) | (array >= n_obs)]).size:
        raise _out_of_bounds(name, bad[0], n_obs)
    array = array.astype(np.int64)
    return np.where(array < 0, array + n_obs, array)


def _is_array(value: Any) -> bool:
    """numpy's arrays and scalars, torch's tensors, pandas' series and indexes."""
    return hasattr(value, "dtype") and hasattr(value, "ndim")


def _from_array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    elif not isinstance(value, (np.ndarray, np.generic)):
        # Those of pandas: a mask may be of its own boolean type, which knows missing values.
        value = value.to_numpy()
    array = np.asarray(value)
    return _from_list(name, array.tolist()) if array.dtype == object and array.ndim == 1 else array


def _from_list(name: str, values: list[Any]) -> np.ndarray:
    types = set(map(type, values))
    if types <= {int}:
        pass
    elif types <= {bool, np.bool_}:
        return np.array(values, dtype=bool)
    else:
        values = [_number(name, value) for value in values]
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        # Beyond 64 bits: out of bounds, and told so by its value.
        return np.array([max(min(value, 2**63 - 1), -(2**63)) for value in values], dtype=np.int64)


def _number(name: str, value: Any) -> int:
    is_bool = isinstance(value, (bool, np.bool_)) or "bool" in str(getattr(value, "dtype", ""))
    try:
        if not is_bool:
            return operator.index(value)
    except TypeError:
        pass
    raise _unexpected(name, f"{type(value).__name__} {value!r}" + (" among other numbers" if is_bool else ""))


def _unexpected(name: str, found: str) -> TypeError:
    return TypeError(f"{name}: expected row numbers, a slice or a mask of booleans, found {found}")


def _out_of_bounds(name: str, row: Any, n_obs: int) -> IndexError:
    return IndexError(f"{name}: index {row} is out of bounds for axis 0 with size {n_obs}")
