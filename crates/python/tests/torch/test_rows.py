"""Rows that torch gives, batches of several rows through its loaders, and labels for its own collate."""

import functools

import helpers
import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    default_collate,
)

from mapped_anndata import CsrMatrix, MappedCollection, collate

INTEGERS = [
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
]


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO, obs_keys=["cell_type", "donor"])


def rows(collection, index):
    return collection.get_batch(index)["_row_idx"].tolist()


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_tensors_of_integers_are_rows(collection, dtype):
    expected = collection.indices[[3, 1, 100]].tolist()
    tensor = torch.tensor([3, 1, 100], dtype=dtype)
    for form in (tensor, list(tensor), tuple(tensor), iter(tensor), pd.Series(tensor.numpy())):
        assert rows(collection, form) == expected
    assert rows(collection, torch.tensor([9, 9, 3, 9, 1, 9, 100, 9], dtype=dtype)[2::2]) == expected
    assert collection.obs_names(tensor) == collection.obs_names([3, 1, 100])
    helpers.assert_same_item(collection[torch.tensor(7, dtype=dtype)], collection[7])
    items = collection.__getitems__(list(tensor))
    assert np.array_equal(items[2]["X"], collection[100]["X"])


def test_masks(collection):
    mask = torch.zeros(len(collection), dtype=torch.bool)
    mask[[1, 5, 3000]] = True
    for form in (mask, list(mask), mask.tolist()):
        assert rows(collection, form) == collection.indices[[1, 5, 3000]].tolist()
        assert collection[form]["X"].shape == (3, 300)
    loader = collection.loader(8, sampler=mask)
    assert [batch["_row_idx"].tolist() for batch in loader] == [
        collection.indices[[1, 5, 3000]].tolist()
    ]


@pytest.mark.parametrize(
    "index",
    [
        torch.tensor([1.0, 2.0]),
        torch.tensor([1.0], dtype=torch.bfloat16),
        torch.tensor([[1, 2]]),
        [torch.tensor([1]), torch.tensor([2])],
        [torch.tensor(1.0)],
        [torch.tensor(True), torch.tensor(1)],
        torch.tensor([1j]),
        torch.eye(2).to_sparse(),
        torch.tensor(2.0),
        torch.tensor(True),
    ],
    ids=str,
)
def test_tensors_that_name_no_rows(collection, index):
    for read in (
        collection.get_batch,
        collection.obs_names,
        collection.__getitem__,
        collection.__getitems__,
    ):
        with pytest.raises(TypeError):
            read(index)
    with pytest.raises(TypeError, match="indices: "):
        collection.get_batch(index)


def test_tensors_out_of_bounds(collection):
    for index in (
        torch.tensor([0, 3350]),
        torch.tensor([-3351]),
        torch.tensor([2**64 - 1], dtype=torch.uint64),
    ):
        with pytest.raises(
            IndexError, match=f"index {index[-1].item()} is out of bounds for axis 0 with size 3350"
        ):
            collection.get_batch(index)
    with pytest.raises(IndexError, match="mask of 3350 booleans"):
        collection.get_batch(torch.tensor([True, False]))


@pytest.mark.parametrize("sampler", [SequentialSampler, RandomSampler])
@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_batch_sampler_without_automatic_batching(collection, sampler, n_workers):
    batches = DataLoader(
        collection,
        sampler=BatchSampler(sampler(collection), 512, False),
        batch_size=None,
        num_workers=n_workers,
    )
    seen = torch.cat(
        [torch.stack([batch["_store_idx"], batch["_row_idx"]], 1) for batch in batches]
    )
    assert sorted(map(tuple, seen.tolist())) == list(
        zip(collection.storage_idx.tolist(), collection.indices.tolist())
    )


def test_a_subset_of_numpys_rows(collection):
    # torch hands on what the subset's indices are: numpy integers, or tensors.
    for indices in (np.arange(0, 3000, 30), torch.arange(0, 3000, 30)):
        found = [
            batch["X"] for batch in DataLoader(Subset(collection, indices), 16, collate_fn=collate)
        ]
        assert np.array_equal(torch.cat(found).numpy(), collection.get_batch(indices)["X"])


@pytest.mark.parametrize("n_workers", [0, 2])
def test_default_collate_has_integers_where_items_have_a_code(n_workers):
    coded = MappedCollection(helpers.DEMO, obs_keys="cell_type", missing_code=-5)
    expected = coded.get_batch(range(3350))["cell_type"]
    assert (expected == -5).any()
    found = torch.cat(
        [batch["cell_type"] for batch in DataLoader(coded, 100, num_workers=n_workers)]
    )
    assert found.dtype == torch.int64 and np.array_equal(found.numpy(), expected)
    singly = default_collate([coded[i] for i in range(3350)])["cell_type"]
    assert singly.dtype == torch.int64 and np.array_equal(singly.numpy(), expected)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_collate_with_a_code(collection, n_workers):
    function = functools.partial(collate, missing_code=77)
    labels = torch.cat(
        [
            b["cell_type"]
            for b in DataLoader(collection, 100, collate_fn=function, num_workers=n_workers)
        ]
    )
    assert np.array_equal(
        labels.numpy(), collection.get_batch(range(3350), missing_code=77)["cell_type"]
    )


class Sparse:
    """A dataset of sparse batches."""

    def __init__(self, collection):
        self.collection = collection

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return self.collection.get_batch(range(100 * index, 100 * index + 100), output="csr")


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("pin", [False, True])
@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_sparse_matrices_go_through_workers(collection, n_workers, pin):
    batches = DataLoader(Sparse(collection), batch_size=None, num_workers=n_workers, pin_memory=pin)
    for number, batch in enumerate(batches):
        assert isinstance(batch["X"], CsrMatrix)
        expected = collection.get_batch(range(100 * number, 100 * number + 100))
        assert np.array_equal(batch["X"].toarray(), expected["X"])
        assert np.array_equal(batch["X"].to_torch().to_dense().numpy(), expected["X"])
        assert np.array_equal(batch["donor"], expected["donor"])
