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


def keys(name: str, value: str | Iterable[str] | None) -> list[str] | None:
    """A single key is a list of one."""
    if value is None or isinstance(value, str):
        return value if value is None else [value]
    if not isinstance(value, Iterable):
        raise TypeError(f"{name}: expected a key or several, found {_shown(value)}")
    found = list(value)
    for key in found:
        if not isinstance(key, str):
            raise TypeError(f"{name}: expected texts, found {_shown(key)}")
    return found


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
        try:
            column, values = value
        except (TypeError, ValueError):
            expected = "a dict of columns and their values"
            raise TypeError(f"obs_filter: expected {expected}, found {_shown(value)}") from None
        value = {column: values}
    keys("obs_filter", value)
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
    try:
        return np.dtype(value).name
    except TypeError as error:
        raise TypeError(f"dtype: expected an element type, found {_shown(value)}: {error}") from None


def count(name: str, value: Any, least: int = 0) -> int:
    """A whole number below 2^63."""
    number = _integer(name, value)
    if not least <= number < 2**63:
        raise ValueError(f"{name}: expected {least} or more, and less than 2^63, found {number}")
    return number


def code(name: str, value: Any) -> int:
    """A whole number of 64 bits."""
    number = _integer(name, value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}: expected an integer of 64 bits, found {number}")
    return number


def _integer(name: str, value: Any) -> int:
    try:
        # A boolean is an integer to Python, and a mistake here.
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name}: expected a whole number, found {_shown(value)}")


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, found {_shown(value)}")
    return bool(value)


def choice(name: str, value: Any, choices: Sequence[str | None]) -> Any:
    """One of some values."""
    if not any(value is known or (isinstance(value, str) and value == known) for known in choices):
        expected = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise ValueError(f"{name}: expected {expected}, found {_shown(value)}")
    return value


def weights(name: str, value: Any) -> np.ndarray:
    """One number a row: `[n] float64`."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected one weight a row, found {_shown(value)}: {error}") from None
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one weight a row, found an array of shape {array.shape}")
    return array


_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_BYTES = r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]+)?)\s*([KMGT]?)(i?)B?\s*"


def n_bytes(name: str, value: Any) -> int:
    """A number of bytes, also a whole float such as `1e9`, or a text such as `1 GiB` or `500 MB`."""
    expected = "a number of bytes such as 1073741824, 1e9 or '1 GiB'"
    if isinstance(value, str):
        match = re.fullmatch(_BYTES, value, re.IGNORECASE)
        if match is None:
            raise ValueError(f"{name}: expected {expected}, found {value!r}")
        number, unit, binary = match.groups()
        value = float(number) * (1024 if binary else 1000) ** _UNITS[unit.upper()]
        value = float(int(value)) if value < 2**63 else value
    if isinstance(value, (float, np.floating)):
        if not value.is_integer():
            raise ValueError(f"{name}: expected {expected}, found {value}")
        value = int(value)
    if value is None:
        raise TypeError(f"{name}: expected {expected}, found None")
    return count(name, value)


def _shown(value: Any) -> str:
    """A value for people; a long one by its type."""
    text = repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} {text[:37]}..."


def shuffle(value: bool | str | None) -> int | None:
    """Rows of a block: 0 for an exact shuffle, None for none."""
    if value is None or value is False:
        return None
    if value is True or value == "exact":
        return 0
    if isinstance(value, str) and (match := re.fullmatch(r"blocks:([1-9][0-9]*)", value)):
        return int(match[1])
    raise ValueError(f"shuffle: expected None, 'exact' or 'blocks:N', found {value!r}")
