"""Batches for torch's `default_collate`, without a copy.

Imported only if torch is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import SequentialSampler
from torch.utils.data._utils.collate import collate, default_collate_fn_map

from ._collate import BulkItem, BulkItems
from ._trainer import LoaderSampler

if TYPE_CHECKING:
    from ._loader import Loader


def _default(items: Any, *, collate_fn_map: Any = None) -> dict[str, Any]:
    """Returns the result of `default_collate`, without copying matrices that exist already."""
    items = items if isinstance(items, BulkItems) else BulkItems(items)
    batch: dict[str, Any] = {}
    for key in items[0]:
        if (matrix := items.whole(key)) is not None:
            batch[key] = torch.from_numpy(matrix)
        else:
            values = [item[key] for item in items]
            batch[key] = collate(values, collate_fn_map=collate_fn_map)
    return batch


# The documented way to extend `default_collate`.
default_collate_fn_map[BulkItem] = _default


class InOrder(LoaderSampler, SequentialSampler):
    """The order of a loader that reads in file order."""

    def __init__(self, loader: Loader) -> None:
        LoaderSampler.__init__(self, loader)
        SequentialSampler.__init__(self, loader.dataset)
