"""Sparse rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse
    import torch


class CSR(NamedTuple):
    """A matrix as compressed sparse rows: in each row, columns ascend and none repeats."""

    indptr: np.ndarray
    """Where each row begins, and the end: `[n_obs + 1]`, of the type of `indices`."""
    indices: np.ndarray
    """The column of each element: int32, or int64 from 2^31 elements on."""
    data: np.ndarray
    """The elements."""
    shape: tuple[int, int]
    """`(n_obs, n_vars)`."""

    def to_torch(self) -> torch.Tensor:
        """As a `torch.sparse_csr` tensor, without a copy."""
        import torch

        parts = (torch.from_numpy(part) for part in (self.indptr, self.indices, self.data))
        return torch.sparse_csr_tensor(*parts, size=self.shape, check_invariants=False)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """As a `scipy.sparse.csr_array`, without a copy."""
        import scipy.sparse

        matrix = scipy.sparse.csr_array((self.data, self.indices, self.indptr), shape=self.shape)
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix

    def toarray(self) -> np.ndarray:
        """All elements, zeros too."""
        dense = np.zeros(self.shape, dtype=self.data.dtype)
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        dense[rows, self.indices] = self.data
        return dense
