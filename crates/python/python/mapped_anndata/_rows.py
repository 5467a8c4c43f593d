"""Converts row indices, in the many forms that users pass, to one array of row numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Set
from typing import Any, SupportsIndex, TypeGuard

import numpy as np

from . import _arguments as arguments
from . import _core
from .types import Array, IntArray


def is_rows(value: object) -> bool:
    """Returns whether a value names fixed rows; a sampler may draw others at each iteration."""
    return isinstance(value, (slice, range, list, tuple)) or _is_array(value)


def is_one(value: Any) -> TypeGuard[SupportsIndex]:
    """Returns whether a value is a single row number.

    Raises
    ------
    TypeError
        It is a single value, but not an integer.
    """
    if isinstance(value, np.integer):
        return True
    if _is_array(value):
        if value.ndim > 0:
            return False
        value = _scalar(value)
    if isinstance(value, (bool, np.bool_)):
        raise _unexpected("index", f"the boolean {value}")
    return hasattr(value, "__index__")


def rows(name: str, value: Any, n_obs: int) -> IntArray:
    """Returns row numbers from 0 on: `[n]` int64.

    Parameters
    ----------
    name
        The name of the argument in errors.
    value
        Integers of any type (negative ones count from the end) in a list, array, tensor,
        Series, range or iterator; a slice; or a mask of `n_obs` booleans.
    n_obs
        The number of rows.

    Raises
    ------
    TypeError
        The value does not name rows, or mixes booleans and integers.
    IndexError
        A row is out of bounds, or a mask has another length.
    """
    # Samplers return lists of plain integers: the core converts these fast.
    if (numbers := _core.row_numbers(value, n_obs)) is not None:
        return numbers
    if isinstance(value, slice):
        try:
            return np.arange(*value.indices(n_obs), dtype=np.int64)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
    if isinstance(value, range):
        array = _from_range(name, value, n_obs)
    elif hasattr(value, "__array__"):
        array = _from_array(name, value, n_obs)
    elif isinstance(value, Iterable) and not isinstance(
        value, (str, bytes, bytearray, Mapping, Set)
    ):
        array = _from_list(name, list(value), n_obs)
    else:
        raise _unexpected(name, type(value).__name__)
    if array.dtype == bool:
        if len(array) != n_obs:
            raise IndexError(
                f"{name}: expected a mask of {n_obs} booleans, one a row, found {len(array)}"
            )
        return np.flatnonzero(array)
    # Before any conversion: a number beyond int64 would become another one.
    if (bad := array[(array < -n_obs) | (array >= n_obs)]).size:
        raise _out_of_bounds(name, bad[0], n_obs)
    array = array.astype(np.int64)
    return np.where(array < 0, array + n_obs, array)


def _is_array(value: object) -> bool:
    """Returns whether a value is an array or scalar of numpy, a tensor, a Series or an Index."""
    return hasattr(value, "__array__") and hasattr(value, "ndim")


def _scalar(value: Any) -> Any:
    """Returns the value of an array or tensor of no dimensions."""
    return value if isinstance(value, np.generic) else value.item()


def _from_range(name: str, value: range, n_obs: int) -> IntArray:
    # Nothing is allocated for rows that do not exist.
    bad = next((row for row in (*value[:1], *value[-1:]) if not -n_obs <= row < n_obs), None)
    if bad is not None:
        raise _out_of_bounds(name, next(row for row in value if not -n_obs <= row < n_obs), n_obs)
    if len(value) < 2:
        return np.array(value, dtype=np.int64)
    return np.arange(value.start, value[-1] + value.step, value.step, dtype=np.int64)


def _from_array(name: str, value: Any, n_obs: int) -> Array:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise _unexpected(name, "masked elements")
    try:
        array = arguments.on_host(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unexpected(name, f"{type(value).__name__}: {error}") from None
    if array.ndim != 1:
        raise _unexpected(
            name, f"an array of shape {array.shape}" if array.ndim else type(value).__name__
        )
    if array.dtype == object:
        # For example, pandas: its own integer and boolean types have missing values.
        return _from_list(name, array.tolist(), n_obs)
    if array.dtype.kind == "f" and array.size == 0:
        # numpy's type of an empty list.
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iub":
        raise _unexpected(name, f"{array.dtype} elements")
    return array


def _from_list(name: str, values: list[Any], n_obs: int) -> Array:
    types = set(map(type, values))
    # Of one type, since numpy turns mixed signed and unsigned integers into floats.
    if len(types) == 1 and issubclass(types.pop(), (bool, np.bool_, np.integer)):
        return _from_array(name, np.array(values), n_obs)
    plain = [_element(name, value) for value in values]
    n_booleans = sum(isinstance(value, bool) for value in plain)
    if 0 < n_booleans < len(plain):
        raise _unexpected(name, "booleans and integers together")
    if n_booleans:
        return np.array(plain, dtype=bool)
    if (bad := next((row for row in plain if not -n_obs <= row < n_obs), None)) is not None:
        raise _out_of_bounds(name, bad, n_obs)
    return np.array(plain, dtype=np.int64)


def _element(name: str, value: Any) -> int | bool:
    """Returns an element of a list as a Python integer or boolean."""
    if _is_array(value) and not isinstance(value, np.generic):
        if value.ndim:
            raise _unexpected(name, f"an element of shape {tuple(value.shape)}")
        value = _scalar(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    try:
        return operator.index(value)
    except TypeError:
        raise _unexpected(name, f"an element of type {type(value).__name__}") from None


def _unexpected(name: str, found: str) -> TypeError:
    return TypeError(f"{name}: expected row numbers, a slice or a mask of booleans, found {found}")


def _out_of_bounds(name: str, row: object, n_obs: int) -> IndexError:
    return IndexError(f"{name}: index {row} is out of bounds for axis 0 with size {n_obs}")
