"""Sparse rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .types import Array

if TYPE_CHECKING:
    import scipy.sparse
    import torch


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class CsrMatrix:
    """A matrix as compressed sparse rows: in each row, columns ascend and no column repeats.

    Its fields are those of `scipy.sparse.csr_array`; its length is its number of rows.

    Parameters
    ----------
    data
        The elements: `[nnz]`.
    indices
        The column of each element: `[nnz]` int32, or int64 from 2^31 elements on.
    indptr
        The start of each row, and the end: `[n_obs + 1]`, of the type of `indices`.
    shape
        `(n_obs, n_vars)`.

    Examples
    --------
    >>> import numpy as np
    >>> from mapped_anndata import CsrMatrix
    >>> matrix = CsrMatrix(np.ones(3), np.array([0, 2, 1]), np.array([0, 2, 3]), (2, 4))
    >>> matrix
    CsrMatrix(2 x 4, float64, 3 stored)
    >>> matrix.toarray()
    array([[1., 0., 1., 0.],
           [0., 1., 0., 0.]])
    """

    data: Array
    indices: npt.NDArray[np.int32 | np.int64]
    indptr: npt.NDArray[np.int32 | np.int64]
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection("demo/a.h5ad").get_batch([0], output="csr")["X"].dtype
        dtype('float32')
        """
        return self.data.dtype

    @property
    def nnz(self) -> int:
        """The number of stored elements.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> matrix = MappedCollection("demo/a.h5ad").get_batch([0], output="csr")["X"]
        >>> matrix.nnz == len(matrix.data)
        True
        """
        return len(self.data)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"CsrMatrix({self.shape[0]} x {self.shape[1]}, {self.dtype}, {self.nnz:,} stored)"

    def to_torch(self) -> torch.Tensor:
        """Returns a `torch.sparse_csr` tensor over the same memory.

        Returns
        -------
        torch.Tensor
            `[n_obs, n_vars]`.

        Raises
        ------
        ImportError
            torch is not installed.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> matrix = MappedCollection("demo/a.h5ad").get_batch([0, 1], output="csr")["X"]
        >>> matrix.to_torch().layout
        torch.sparse_csr
        """
        import torch

        indptr, indices, data = map(torch.from_numpy, (self.indptr, self.indices, self.data))
        return torch.sparse_csr_tensor(
            indptr, indices, data, size=self.shape, check_invariants=False
        )

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Returns a `scipy.sparse.csr_array` over the same memory.

        Returns
        -------
        scipy.sparse.csr_array
            `[n_obs, n_vars]`.

        Raises
        ------
        ImportError
            scipy is not installed.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> matrix = MappedCollection("demo/a.h5ad").get_batch([0, 1], output="csr")["X"]
        >>> matrix.to_scipy().shape
        (2, 550)
        """
        import scipy.sparse

        matrix: scipy.sparse.csr_array[Any] = scipy.sparse.csr_array(
            (self.data, self.indices, self.indptr), shape=self.shape
        )
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix

    def toarray(self) -> Array:
        """Returns all elements, including zeros.

        Returns
        -------
        numpy.ndarray
            `[n_obs, n_vars]`.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> matrix = MappedCollection("demo/a.h5ad").get_batch([0, 1], output="csr")["X"]
        >>> matrix.toarray().shape
        (2, 550)
        """
        dense = np.zeros(self.shape, dtype=self.data.dtype)
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        dense[rows, self.indices] = self.data
        return dense
