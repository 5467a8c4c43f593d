"""Converts arguments in the many forms that users pass to the one that the core takes.

Errors name the argument: a `TypeError` if the type is wrong, a `ValueError` if the value is.
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from . import _core
from .types import Array, FloatArray, Label, PathLike

T = TypeVar("T")


def optional(check: Callable[[str, object], T], name: str, value: object) -> T | None:
    """Checks an argument that may be None."""
    return None if value is None else check(name, value)


def instance(name: str, value: object, cls: type[T]) -> T:
    """Checks that an argument is of a class."""
    if not isinstance(value, cls):
        raise TypeError(f"{name}: expected {cls.__name__}, found {_shown(value)}")
    return value


def paths(value: object) -> Sequence[PathLike]:
    """Returns `path_list` as a sequence: a single path as a list of one."""
    if isinstance(value, (str, bytes, os.PathLike)):
        return [value]
    if isinstance(value, Sequence):
        return value
    try:
        # The keys of a map, or the groups of an open file, would be mistaken for paths.
        if not isinstance(value, Mapping) and not _way_out(value):
            iterable: Any = value
            return list(iterable)
    except TypeError:
        pass
    raise TypeError(f"path_list: expected paths, found {_described(value)}")


def path(position: int, value: PathLike) -> str:
    """Returns a path or URL as text, `~` expanded."""
    try:
        return os.path.expanduser(os.fsdecode(value))
    except TypeError:
        pass
    # Remote path classes refuse conversion to file system paths, and print as URLs.
    if "://" in (text := _text(value)):
        return text
    raise TypeError(f"path_list[{position}]: expected a path, found {_described(value)}")


def folder(name: str, value: object) -> str:
    """Returns the absolute path of a folder, `~` expanded."""
    if value in ("", b""):
        raise ValueError(f"{name}: expected a path, found an empty text")
    try:
        given: Any = value
        return os.path.abspath(os.path.expanduser(os.fsdecode(given)))
    except TypeError:
        raise TypeError(f"{name}: expected a path, found {_described(value)}") from None


def cache(name: str, value: object) -> str | Literal[False] | None:
    """Returns the absolute path of a folder, or False for no folder, or None."""
    if value is None or value is False:
        return value
    return folder(name, value)


def storage_options(value: object) -> dict[str, str]:
    """Returns options of storage as texts. Values may be secrets, and so are not in errors."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"storage_options: expected a dict of texts, found {_described(value)}")
    for name, option in value.items():
        if not isinstance(name, str) or not isinstance(option, str | bool | int):
            found = f"{name!r}: {type(option).__name__}"
            raise TypeError(f"storage_options: expected a dict of texts, found {found}")
    return {
        name: str(option).lower() if isinstance(option, bool) else str(option)
        for name, option in value.items()
    }


def _text(value: object) -> str:
    """Returns the printed form of a path object, and an empty text for anything else."""
    return str(value) if hasattr(value, "parts") or hasattr(value, "joinpath") else ""


def _described(value: object) -> str:
    """Returns the type of a value that is not a path, and what to pass instead."""
    kind = type(value)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return name + _way_out(value)


def _way_out(value: object) -> str:
    """Returns what to pass instead of an object that users often pass as a path."""
    package = type(value).__module__.partition(".")[0]
    if package in ("anndata", "mudata", "spatialdata"):
        return ": write it to a file, and give the path of that"
    if package in ("zarr", "h5py"):
        return ": give the path that it was opened from"
    if hasattr(value, "read"):
        return ": give the path of the file instead of the open file"
    return ""


def key(name: str, value: object) -> str:
    """Returns the name of a column or matrix."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text, found {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name}: expected a text that is Unicode, found {_shown(value)}"
        ) from None
    return str(value)


def keys(name: str, value: object) -> list[str] | None:
    """Returns keys as a list: a single one as a list of one."""
    if value is None:
        return None
    if isinstance(value, str):
        return [key(name, value)]
    if not isinstance(value, Iterable):
        raise TypeError(f"{name}: expected a text or several, found {_shown(value)}")
    return [key(name, of_value) for of_value in value]


def encode_labels(value: object) -> bool | list[str]:
    """Returns True for all keys, False for no key, or a list of the keys to encode."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return keys("encode_labels", value) or False


def label(name: str, value: object) -> Label | None:
    """Returns a label as a plain Python value; None if it is missing (NaN, None, NA, NaT)."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    # Recognises the missing values of pandas without importing it.
    if value is None or type(value).__name__ in ("NAType", "NaTType") or _is_nat(value):
        return None
    if isinstance(value, str):
        return key(name, value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, np.timedelta64):
        number = int(value)
        if not -(2**127) <= number < 2**127:
            raise ValueError(
                f"{name}: expected integers of at most 128 bits, found {_shown(number)}"
            )
        return number
    raise TypeError(
        f"{name}: expected labels that are texts, numbers or booleans, found {_shown(value)}"
    )


def _is_nat(value: object) -> bool:
    return isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))


def labels(name: str, values: object) -> list[Label | None]:
    """Returns a list of labels from one label or any iterable of them."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        return [label(name, values)]
    if isinstance(values, np.ndarray) and values.ndim == 0:
        return [label(name, values)]
    return [label(name, value) for value in values]


class Stores:
    """Finds the numbers of files by what users write: a number, or a path as passed."""

    def __init__(self, path_list: Sequence[PathLike]) -> None:
        self._n_stores = len(path_list)
        self._numbers: dict[str | bytes, list[int]] = {}
        for number, path in enumerate(path_list):
            self._numbers.setdefault(os.fspath(path), []).append(number)

    def each(self, name: str, values: Mapping[Any, T]) -> Iterator[tuple[int, T]]:
        """Yields the number of each file that has a value, and the value."""
        found: set[int] = set()
        for store, value in values.items():
            for number in self._of(name, store):
                if number in found:
                    raise ValueError(f"{name}: expected one entry for store {number}, found two")
                found.add(number)
                yield number, value

    def _of(self, name: str, store: object) -> list[int]:
        if isinstance(store, str | bytes | os.PathLike):
            if (numbers := self._numbers.get(os.fspath(store))) is None:
                raise ValueError(f"{name}: expected a path of path_list, found {store!r}")
            return numbers
        return [count(name, store, most=self._n_stores - 1)]


def obs_filter(value: object) -> dict[str, list[Label | None]] | None:
    """Returns columns and the labels that rows may have in them, from a dict or a pair."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        pair: Any = value
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError
            column, values = pair
        except (TypeError, ValueError):
            expected = "a dict of columns and their values"
            raise TypeError(f"obs_filter: expected {expected}, found {_shown(value)}") from None
        value = {column: values}
    return {
        key("obs_filter", column): labels("obs_filter", values) for column, values in value.items()
    }


def unknown_label(value: object) -> Label | list[tuple[str, Label | None]] | None:
    """Returns one label, or pairs of key and label."""
    if isinstance(value, Mapping):
        return [
            (key("unknown_label", of), label("unknown_label", of_key))
            for of, of_key in value.items()
        ]
    return label("unknown_label", value)


def dtype(value: Any) -> str | None:
    """Returns the name of a numpy or torch type."""
    if value is None:
        return None
    if type(value).__module__ == "torch":
        return str(value).removeprefix("torch.")
    if isinstance(value, str):
        value = value.removeprefix("torch.")
    try:
        name: str = np.dtype(value).name
        return name
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"dtype: expected an element type, found {_shown(value)}: {error}"
        ) from None


def count(name: str, value: object, least: int = 0, most: int = 2**63 - 1) -> int:
    """Returns a whole number within bounds."""
    number = _integer(name, value)
    if number < least:
        raise ValueError(f"{name}: expected {least} or more, found {number}")
    if number > most:
        raise ValueError(f"{name}: expected at most {most}, found {number}")
    return number


def code(name: str, value: object) -> int:
    """Returns an integer of 64 bits."""
    number = _integer(name, value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}: expected an integer of 64 bits, found {number}")
    return number


def _integer(name: str, value: Any) -> int:
    try:
        # A boolean is an integer in Python, but a mistake here.
        if not _is_bool(value):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name}: expected a whole number, found {_shown(value)}")


def _is_bool(value: object) -> bool:
    return isinstance(value, (bool, np.bool_)) or "bool" in str(getattr(value, "dtype", ""))


def number(name: str, value: Any) -> float:
    """Returns a finite number."""
    try:
        # A text is refused, even one that reads as a number.
        found = None if _is_bool(value) or isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None:
        raise TypeError(f"{name}: expected a number, found {_shown(value)}")
    if not math.isfinite(found):
        raise ValueError(f"{name}: expected a finite number, found {found}")
    return found


def several(name: str, value: object) -> list[Any]:
    """Returns the elements of an iterable that is not a text."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: expected several values, found {_shown(value)}")
    return list(value)


def flag(name: str, value: object) -> bool:
    """Returns a flag as True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, found {_shown(value)}")
    return bool(value)


def choice(name: str, value: object, choices: tuple[T, ...]) -> T:
    """Returns one of the given texts, or None if that is among the choices."""
    for known in choices:
        if value is known or (isinstance(value, str) and value == known):
            return known
    from difflib import get_close_matches

    expected = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
    texts = [known for known in choices if isinstance(known, str)]
    near = get_close_matches(value.lower(), texts, 1) if isinstance(value, str) else []
    hint = f": did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name}: expected {expected}, found {_shown(value)}{hint}")


def on_host(value: Any) -> Array:
    """Returns an array, tensor or sequence as an array; a tensor may lie on an accelerator."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def weights(name: str, value: object) -> FloatArray:
    """Returns one number per row: `[n]` float64."""
    try:
        found = on_host(value)
        if found.dtype.kind not in "biufO":
            raise TypeError(f"elements of type {found.dtype}")
        array = found.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(
            f"{name}: expected one weight per row, found {_shown(value)}: {error}"
        ) from None
    if array.ndim != 1:
        raise ValueError(
            f"{name}: expected one weight per row, found an array of shape {array.shape}"
        )
    if (bad := array[~np.isfinite(array)]).size:
        raise ValueError(
            f"{name}: expected weights that are finite and not negative, found {bad[0]}"
        )
    return array


def n_bytes(name: str, value: object) -> int:
    """A number of bytes, also a whole float such as `1e9`, or a text such as `500 MB` or `1 GiB`.

    `1G` and `1 GB` are 10^9, `1GiB` is 2^30.
    """
    expected = "a number of bytes such as 1073741824, 1e9 or '1 GiB'"
    if isinstance(value, str):
        n = _core.byte_size(value)
        if n is None:
            raise ValueError(f"{name}: expected {expected}, found {_shown(value)}")
        value = n
    elif isinstance(value, (float, np.floating)):
        if not math.isfinite(value) or value != int(value):
            raise ValueError(f"{name}: expected {expected}, found {value}")
        value = int(value)
    try:
        return count(name, value)
    except TypeError:
        raise TypeError(f"{name}: expected {expected}, found {_shown(value)}") from None


def _shown(value: object) -> str:
    """Returns a value as text for errors; a long one as its type and its beginning."""
    text = repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} {text[:37]}..."


def shuffle(value: object) -> int | None:
    """Returns the rows of a block: 0 for an exact shuffle, None without one."""
    if value is None or value is False:
        return None
    if value is True or (isinstance(value, str) and value == "exact"):
        return 0
    if isinstance(value, str) and (match := re.fullmatch(r"blocks:([1-9][0-9]{0,18})", value)):
        return int(match[1])
    raise ValueError(f"shuffle: expected None, 'exact' or 'blocks:N', found {_shown(value)}")
