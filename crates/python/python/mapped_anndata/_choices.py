"""Keys that are taken from several elements or a table, and labels that are replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from . import _arguments as arguments
from . import _core
from ._transforms import Transform, to_core


class Counts:
    """The first of several matrices that holds counts: whole numbers that are not negative.

    When a collection is opened, 16 rows of each file decide, spread evenly. When a row is read, all
    of its values are checked; other values are a `ValueError` that names the row.

    Parameters
    ----------
    keys
        `X`, `raw.X` or names of layers, in the order in which they are tried.

    Examples
    --------
    >>> from mapped_anndata import Counts, MappedCollection
    >>> cells = MappedCollection("demo/a.h5ad", {"counts": Counts("raw.X", "counts", "X")})
    >>> cells.source_keys["counts"]
    ['counts']
    """

    def __init__(self, *keys: str) -> None:
        if not keys:
            raise ValueError("Counts: expected names of matrices, found none")
        self.keys = tuple(arguments.key("Counts", key) for key in keys)

    def __repr__(self) -> str:
        return f"Counts({', '.join(map(repr, self.keys))})"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Where keys are taken from, and what happens to their values and labels."""

    layers_from: list[tuple[str, list[str], bool]] | None
    obs_from: list[tuple[str, list[str]]] | None
    label_maps: list[tuple[str, list[tuple[str, str | None]]]]
    unmapped: Literal["keep", "missing", "error"]
    transforms: dict[str, list[Transform]]
    obs_table: _core.Table | None

    def to_core(self) -> dict[str, Any]:
        """Returns them as the core takes them."""
        return {**vars(self), "transforms": to_core(self.transforms)}


def layers(value: object) -> list[tuple[str, list[str], bool]] | None:
    """Returns `layers_keys` as names, elements and whether they hold counts; None if not a dict."""
    if not isinstance(value, Mapping):
        return None
    found = []
    for name, source in value.items():
        is_counts = isinstance(source, Counts)
        keys = list(source.keys) if is_counts else _alternatives("layers_keys", source)
        found.append((arguments.key("layers_keys", name), keys, is_counts))
    return found


def obs(value: object) -> list[tuple[str, list[str]]] | None:
    """Returns `obs_keys` as names and columns; None if it is not a dict."""
    if not isinstance(value, Mapping):
        return None
    return [
        (arguments.key("obs_keys", name), _alternatives("obs_keys", columns))
        for name, columns in value.items()
    ]


def _alternatives(name: str, value: object) -> list[str]:
    keys = arguments.keys(name, value)
    if not keys:
        raise ValueError(f"{name}: expected at least one name to take a key from, found none")
    return keys


def label_maps(value: object) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Returns `label_map` as keys and pairs of texts."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise TypeError("label_map: expected a dict of obs keys, and a dict or a file for each")
    return [(arguments.key("label_map", key), _pairs(pairs)) for key, pairs in value.items()]


def _pairs(value: object) -> list[tuple[str, str | None]]:
    if isinstance(value, str | bytes | os.PathLike):
        return [*_core.read_pairs(arguments.path(0, value))]
    if not isinstance(value, Mapping):
        raise TypeError(f"label_map: expected a dict or a file, found {type(value).__name__}")
    pairs = []
    for old, new in value.items():
        if (text := _text(old)) is None:
            raise ValueError("label_map: a missing label cannot be replaced")
        pairs.append((text, _text(new)))
    return pairs


def _text(value: Any) -> str | None:
    label = arguments.label("label_map", value)
    if isinstance(label, float) and label.is_integer():
        label = int(label)  # where an integer is missing, pandas stores the column as floats
    return None if label is None else str(label)


def names(found: Iterable[tuple[Any, ...]] | None) -> list[str] | None:
    """Returns the names of keys that were passed as a dict."""
    return None if found is None else [entry[0] for entry in found]
