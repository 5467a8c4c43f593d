"""Combines items into a batch, even where torch's `default_collate` fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _arguments as arguments
from ._batch import to_torch
from ._core import rows_of
from .types import Array

MISSING_CODE = -100
"""The code of a missing label: torch's default `ignore_index`."""


class BulkItem(dict[str, Any]):
    """An item that was read with others; `_torch` registers it with torch's collate."""


class BulkItems(list[dict[str, Any]]):
    """Items whose arrays are rows of the arrays of one `block`.

    `missing_code` is that of their collection.
    """

    def __init__(
        self,
        items: Iterable[dict[str, Any]],
        block: dict[str, Any] | None = None,
        missing_code: int | None = None,
    ) -> None:
        super().__init__(items)
        self.block = block or {}
        self.missing_code = missing_code

    def whole(self, key: str) -> Array | None:
        """Returns the matrix whose rows the items have under a key, if they still do."""
        whole = self.block.get(key)
        if isinstance(whole, np.ndarray) and whole.ndim > 1 and rows_of(whole, self, key):
            return whole
        return None


def collate(
    items: Sequence[dict[str, Any]], *, as_torch: bool = True, missing_code: int | None = None
) -> dict[str, Any]:
    """Combines items into a batch: a `collate_fn` for torch's `DataLoader`.

    Rows of matrices become one matrix. If a `DataLoader` reads a whole batch at once
    (`__getitems__`), that matrix is the memory of the read, not a copy. Encoded labels become
    int64. Numbers become an array, and a second array under `<key>_valid` marks which are there.
    Texts become a list, with None where one is missing.

    If items differ, no values are invented: a matrix that some items lack, or have at another
    width, becomes a list with one entry (or None) per item. A label column in which a batch
    has only missing values is treated as an encoded one.

    Parameters
    ----------
    items
        Items of a collection; changes to them are respected.
    as_torch
        Whether arrays become tensors.
    missing_code
        The code of a missing label. By default, that of the collection from which the items were
        read together, otherwise -100.

    Returns
    -------
    dict
        Each key of the items, with its batched values.

    Raises
    ------
    ValueError
        Two entries of the batch would have one name.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection, collate
    >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="cell_type")
    >>> batch = collate([cells[0], cells[1500]], as_torch=False)
    >>> batch["X"].shape, batch["cell_type"].dtype
    ((2, 425), dtype('int64'))
    >>> from torch.utils.data import DataLoader
    >>> batch = next(iter(DataLoader(cells, batch_size=64, collate_fn=collate)))
    >>> batch["X"].shape
    torch.Size([64, 425])
    """
    items = items if isinstance(items, BulkItems) else BulkItems(items)
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
                    f"a batch cannot hold both the entry {validity!r} and the validity of {key!r} "
                    "under one name: leave one out of the items, or rename it"
                )
            batch |= _numbers(key, values, types or {block[key].dtype})
        else:
            codes = [missing_code if value is np.nan else value for value in values]
            batch[key] = np.asarray(codes, dtype=np.int64)
    if as_torch:
        return {k: to_torch(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}
    return batch


def _matrix(rows: list[Any]) -> Array | list[Array | None]:
    """Returns rows as one matrix; unchanged if they differ in width or one is missing."""
    if len({row.shape if isinstance(row, np.ndarray) else None for row in rows}) == 1:
        return np.stack(rows)
    return [row if isinstance(row, np.ndarray) else None for row in rows]


def _numbers(key: str, values: list[Any], types: set[Any]) -> dict[str, Array]:
    """Returns the numbers of a column, and a mask of those that are there."""
    filled = [0 if value is np.nan else value for value in values]
    valid = [value is not np.nan for value in values]
    return {
        key: np.asarray(filled).astype(np.result_type(*types)),
        f"{key}_valid": np.asarray(valid),
    }
