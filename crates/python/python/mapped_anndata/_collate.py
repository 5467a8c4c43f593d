"""Items put together to a batch, also where torch's `default_collate` fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _arguments as arguments
from ._batch import to_torch
from ._core import rows_of

MISSING_CODE = -100
"""The code of a missing label: torch's default `ignore_index`."""


class Item(dict):
    """An item that was read with others, for which torch's `default_collate` has a way of its own:
    see `_torch`."""


class Items(list):
    """A list of items whose arrays are rows of the arrays of one `block`, and the `missing_code` of
    their collection."""

    def __init__(
        self,
        items: Iterable[dict[str, Any]],
        block: dict[str, Any] | None = None,
        missing_code: int | None = None,
    ):
        super().__init__(items)
        self.block = block or {}
        self.missing_code = missing_code

    def whole(self, key: str) -> np.ndarray | None:
        """The matrix whose rows the items have under a key, if they still do."""
        whole = self.block.get(key)
        is_matrix = isinstance(whole, np.ndarray) and whole.ndim > 1
        return whole if is_matrix and rows_of(whole, self, key) else None


def collate(
    items: Sequence[dict[str, Any]], *, as_torch: bool = True, missing_code: int | None = None
) -> dict[str, Any]:
    """Puts items together: a `collate_fn` for torch's `DataLoader`.

    Rows of matrices become one matrix; when a `DataLoader` reads a whole batch at once
    (`__getitems__`), that is the memory it was read into, not a copy. Encoded labels become int64
    with `missing_code` where a label is missing. Numbers become an array, and a second one under
    `<key>_valid` that tells which are there. Texts become a list, with None where one is missing.

    Where items differ, nothing is made up: a matrix that some items lack, or have at another
    width, is a list with an entry (or None) for each item. A label column in which a batch has
    nothing but missing values is taken for an encoded one.

    Args:
        items: What a collection gives; later changes to it are respected.
        as_torch: Tensors; otherwise, numpy arrays.
        missing_code: What a missing label becomes. By default, what it is in the collection that
            the items were read from together; otherwise, -100.

    Raises:
        ValueError: Two entries of the batch would have one name.
    """
    items = items if isinstance(items, Items) else Items(items)
    as_torch = arguments.flag("as_torch", as_torch)
    if missing_code is None:
        missing_code = MISSING_CODE if items.missing_code is None else items.missing_code
    missing_code = arguments.code("missing_code", missing_code)
    block = items.block
    batch: dict[str, Any] = {}
    keys: Iterable[str] = items[0].keys() if items else ()
    if any(item.keys() != keys for item in items):
        keys = dict.fromkeys(key for item in items for key in item)
    for key in keys:
        if (matrix := items.whole(key)) is not None:
            batch[key] = matrix
            continue
        whole = block.get(key)
        values = [item.get(key, np.nan) for item in items]
        types = {type(value) for value in values if value is not np.nan}
        if np.ndarray in types:
            batch[key] = _matrix(values)
        elif str in types or isinstance(whole, list):
            batch[key] = [None if value is np.nan else value for value in values]
        elif key == "_store_idx":
            batch[key] = np.asarray(values, dtype=np.int64)
        elif any(issubclass(of_value, np.generic) for of_value in types) or f"{key}_valid" in block:
            if (validity := f"{key}_valid") in keys:
                raise ValueError(
                    f"a batch cannot hold both the entry {validity!r} and the validity of {key!r} under one name: "
                    "leave one out of the items, or rename it"
                )
            batch |= _numbers(key, values, types or {whole.dtype})
        else:
            codes = [missing_code if value is np.nan else value for value in values]
            batch[key] = np.asarray(codes, dtype=np.int64)
    if as_torch:
        return {k: to_torch(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}
    return batch


def _matrix(rows: list[Any]) -> np.ndarray | list[np.ndarray | None]:
    """Rows as one matrix, or as they are where they differ in width or one is missing."""
    if len({row.shape if isinstance(row, np.ndarray) else None for row in rows}) == 1:
        return np.stack(rows)
    return [row if isinstance(row, np.ndarray) else None for row in rows]


def _numbers(key: str, values: list[Any], types: set[Any]) -> dict[str, np.ndarray]:
    """The numbers of a column, and which are there."""
    filled = [0 if value is np.nan else value for value in values]
    valid = [value is not np.nan for value in values]
    return {
        key: np.asarray(filled).astype(np.result_type(*types)),
        f"{key}_valid": np.asarray(valid),
    }
