"""Sparse rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse
    import torch


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class CsrMatrix:
    """A matrix as compressed sparse rows: in each row, columns ascend and none repeats.

    Its fields are those of `scipy.sparse.csr_array`; its length is its number of rows.
    """

    data: np.ndarray
    """The elements: `[nnz]`."""
    indices: np.ndarray
    """The column of each element: `[nnz]` int32, or int64 from 2^31 elements on."""
    indptr: np.ndarray
    """Where each row begins, and the end: `[n_obs + 1]`, of the type of `indices`."""
    shape: tuple[int, int]
    """`(n_obs, n_vars)`."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self.data.dtype

    @property
    def nnz(self) -> int:
        """The number of elements that are stored."""
        return len(self.data)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"CsrMatrix({self.shape[0]} x {self.shape[1]}, {self.dtype}, {self.nnz:,} stored)"

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
