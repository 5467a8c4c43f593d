"""Sparse matrices of batches."""

import copy
import pickle

import helpers
import numpy as np
import pytest
import scipy.sparse

import mapped_anndata
from mapped_anndata import CsrMatrix, MappedCollection


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO)


def test_it_is_the_dense_matrix(collection):
    rows = [5, 3000, 5, -1]
    matrix, dense = collection.get_batch(rows, output="csr")["X"], collection.get_batch(rows)["X"]
    assert isinstance(matrix, CsrMatrix) and not isinstance(matrix, tuple)
    assert len(matrix) == 4 and matrix.shape == dense.shape == (4, 300)
    assert matrix.dtype == dense.dtype and matrix.nnz == len(matrix.data) == len(
        matrix.indices
    ) == np.count_nonzero(dense)
    assert np.array_equal(matrix.toarray(), dense)
    of_scipy = matrix.to_scipy()
    assert isinstance(of_scipy, scipy.sparse.csr_array) and np.array_equal(
        of_scipy.toarray(), dense
    )
    assert np.shares_memory(of_scipy.data, matrix.data) and np.shares_memory(
        of_scipy.indices, matrix.indices
    )
    # Its fields stand in the order of scipy's constructor.
    again = scipy.sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), matrix.shape)
    assert np.array_equal(again.toarray(), dense)


def test_no_rows(collection):
    matrix = collection.get_batch([], output="csr")["X"]
    assert (
        len(matrix) == 0
        and matrix.shape == (0, 300)
        and matrix.nnz == 0
        and matrix.toarray().shape == (0, 300)
    )


def test_it_prints_in_one_line(collection):
    matrix = collection.get_batch(range(2000), output="csr")["X"]
    text = repr(matrix)
    assert (
        text.startswith("CsrMatrix")
        and "2000 x 300" in text
        and "float32" in text
        and f"{matrix.nnz:,} stored" in text
    )
    assert len(text) < 80 and "\n" not in text


def test_it_cannot_be_changed_but_its_elements_can(collection):
    matrix = collection.get_batch([0], output="csr")["X"]
    with pytest.raises(AttributeError):
        matrix.data = np.zeros(1)
    matrix.data[:] = 1
    assert matrix.toarray().sum() == matrix.nnz
    # Comparing arrays would have no single answer: it is what it is.
    assert matrix == matrix and matrix != copy.copy(matrix) and hash(matrix) == hash(matrix)


@pytest.mark.parametrize(
    "other", [copy.copy, copy.deepcopy, lambda matrix: pickle.loads(pickle.dumps(matrix))]
)
def test_copies(collection, other):
    matrix = collection.get_batch([3, 9], output="csr")["X"]
    twin = other(matrix)
    assert type(twin) is CsrMatrix and twin.shape == matrix.shape and repr(twin) == repr(matrix)
    assert np.array_equal(twin.toarray(), matrix.toarray())


def test_there_is_one_name_of_it():
    assert "CsrMatrix" in mapped_anndata.__all__ and not hasattr(mapped_anndata, "CSR")
