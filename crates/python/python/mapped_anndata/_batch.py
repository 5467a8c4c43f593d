"""Converts the batches of the core for numpy or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._csr import CsrMatrix
from .types import Array

if TYPE_CHECKING:
    import torch


def finish(batch: dict[str, Any], as_torch: bool) -> dict[str, Any]:
    """Turns sparse matrices into `CsrMatrix` and, with `as_torch`, arrays into tensors.

    Does the same to the batch of controls inside of it. Tensors view the memory of the arrays.
    """
    for key, value in batch.items():
        if isinstance(value, tuple):
            matrix = CsrMatrix(*value)
            batch[key] = matrix.to_torch() if as_torch else matrix
        elif isinstance(value, dict):
            finish(value, as_torch)
        elif as_torch and isinstance(value, np.ndarray):
            batch[key] = to_torch(value)
    return batch


def to_torch(array: Array) -> torch.Tensor:
    """Returns a tensor over the memory of an array."""
    import torch

    return torch.from_numpy(array)
