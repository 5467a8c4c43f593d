"""How torch's `DataLoader` gets batches without a copy, sent in few bytes.

Imported only where torch is.
"""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import SequentialSampler, get_worker_info
from torch.utils.data._utils.collate import collate, default_collate_fn_map

from ._collate import BulkItem, BulkItems
from ._core import pack_nonzeros, unpack_nonzeros
from ._trainer import LoaderSampler


class _Matrix(torch.Tensor):
    """A matrix in a worker: what it sends to its parent are the elements that are not zero.

    torch sends a tensor through memory that both processes share, new for each: touching that for
    the first time takes longer than reading the rows. Results of operations are plain tensors, as
    is what arrives.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor over the memory of an array."""
    tensor = torch.from_numpy(array)
    in_worker = get_worker_info() is not None
    return tensor.as_subclass(_Matrix) if in_worker and array.ndim > 1 else tensor


def _send(matrix: _Matrix) -> tuple[Any, ...]:
    array = matrix.numpy()
    packed = pack_nonzeros(array)
    if packed is None:
        plain: tuple[Any, ...] = reduce_tensor(matrix.as_subclass(torch.Tensor))
        return plain
    return _receive, (torch.from_numpy(packed), array.shape, array.dtype.name)


def _receive(packed: torch.Tensor, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.from_numpy(unpack_nonzeros(packed.numpy(), shape, dtype))


ForkingPickler.register(_Matrix, _send)


def _default(items: Any, *, collate_fn_map: Any = None) -> dict[str, Any]:
    """What `default_collate` makes of items, without copying matrices that are there already."""
    items = items if isinstance(items, BulkItems) else BulkItems(items)
    batch: dict[str, Any] = {}
    for key in items[0]:
        matrix = items.whole(key)
        values = [item[key] for item in items] if matrix is None else []
        batch[key] = (
            collate(values, collate_fn_map=collate_fn_map) if matrix is None else to_tensor(matrix)
        )
    return batch


# The way of `default_collate`'s documentation to extend it.
default_collate_fn_map[BulkItem] = _default


class InOrder(LoaderSampler, SequentialSampler):
    """The order of a loader that reads in file order."""

    def __init__(self, loader: Any):
        LoaderSampler.__init__(self, loader)
        SequentialSampler.__init__(self, loader.dataset)
