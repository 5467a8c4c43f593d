"""Items put together to a batch, also where torch's `default_collate` fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._batch import to_torch
from ._core import rows_of

MISSING_CODE = -100
"""The code of a missing label: torch's default `ignore_index`."""


class Items(list):
    """A list of items whose arrays are rows of the arrays of one `block`."""

    block: dict[str, Any]


def collate(items: Sequence[dict[str, Any]], *, as_torch: bool = True) -> dict[str, Any]:
    """Puts items together: a `collate_fn` for torch's `DataLoader`.

    Rows of matrices become one matrix; when a `DataLoader` reads a whole batch at once
    (`__getitems__`), that is the memory it was read into, not a copy. Encoded labels become int64
    with -100 where a label is missing. Numbers become an array, and a second one under
    `<key>_valid` that tells which are there. Texts become a list, with None where one is missing.

    Where items differ, nothing is made up: a matrix that some items lack, or have at another
    width, is a list with an entry (or None) for each item. A label column in which a batch has
    nothing but missing values is taken for an encoded one.

    Args:
        items: What a collection gives; later changes to it are respected.
        as_torch: Tensors, or else numpy arrays.
    """
    block = getattr(items, "block", {})
    batch: dict[str, Any] = {}
    for key in dict.fromkeys(key for item in items for key in item):
        values = [item.get(key, np.nan) for item in items]
        whole = block.get(key)
        if isinstance(whole, np.ndarray) and whole.ndim > 1 and isinstance(items, list) and rows_of(whole, items, key):
            batch[key] = whole
        elif any(isinstance(value, np.ndarray) for value in values):
            batch[key] = _matrix(values)
        else:
            batch.update(_column(key, values, whole, f"{key}_valid" in block))
    if as_torch:
        return {k: to_torch(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}
    return batch


def _matrix(rows: list[Any]) -> np.ndarray | list[np.ndarray | None]:
    if len({row.shape if isinstance(row, np.ndarray) else None for row in rows}) == 1:
        return np.stack(rows)
    return [row if isinstance(row, np.ndarray) else None for row in rows]


def _column(key: str, values: list[Any], whole: Any, is_number: bool) -> dict[str, Any]:
    """The arrays of a column. What the values do not tell, that of the block does."""
    is_missing = [value is np.nan for value in values]
    present = [value for value, missing in zip(values, is_missing) if not missing]
    if isinstance(whole, list) or (present and isinstance(present[0], str)):
        return {key: [None if m else v for v, m in zip(values, is_missing)]}
    if is_number or (key != "_store_idx" and present and isinstance(present[0], np.generic)):
        filled = np.asarray([0 if m else v for v, m in zip(values, is_missing)])
        dtype = np.result_type(*map(type, present)) if present else whole.dtype
        return {key: filled.astype(dtype), f"{key}_valid": np.logical_not(is_missing)}
    codes = [MISSING_CODE if missing else value for value, missing in zip(values, is_missing)]
    return {key: np.asarray(codes, dtype=np.int64)}
