"""torch's samplers given to a loader."""

import helpers
import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from mapped_anndata import MappedCollection

N = 3350


@pytest.fixture(scope="module")
def cells():
    return MappedCollection(helpers.DEMO)


def rows(cells, loader):
    starts = np.cumsum([0, *cells.n_obs_list])
    return [
        row
        for b in loader
        for row in (starts[np.asarray(b["_store_idx"])] + np.asarray(b["_row_idx"])).tolist()
    ]


@pytest.mark.parametrize("make", [RandomSampler, lambda c: SubsetRandomSampler(range(0, N, 2))])
def test_samplers_that_shuffle_have_a_new_order_in_each_epoch(cells, make):
    loader = cells.loader(100, sampler=make(cells))
    first, second = rows(cells, loader), rows(cells, loader)
    assert sorted(first) == sorted(second) and first != second
    assert len(set(first)) == len(first) == len(make(cells))


def test_a_sampler_in_order(cells):
    assert rows(cells, cells.loader(100, sampler=SequentialSampler(cells))) == list(range(N))


def test_weights_of_torch(cells):
    weights = torch.zeros(N, dtype=torch.float64)
    weights[5:15] = 1
    drawn = rows(cells, cells.loader(100, sampler=WeightedRandomSampler(weights, 1000)))
    assert len(drawn) == 1000 and set(drawn) == set(range(5, 15))
    with pytest.raises(ValueError, match="sampler"):
        cells.loader(100, sampler=WeightedRandomSampler(weights, 11, replacement=False))


def test_batches_of_a_sampler_are_refused(cells):
    with pytest.raises(TypeError, match="BatchSampler"):
        cells.loader(100, sampler=BatchSampler(SequentialSampler(cells), 10, False))


def test_a_sampler_that_divides(cells):
    found = []
    for rank in range(3):
        sampler = DistributedSampler(cells, num_replicas=3, rank=rank, seed=4)
        loader = cells.loader(100, sampler=sampler)
        assert len(loader) == 12
        epochs = [rows(cells, loader), rows(cells, loader)]
        assert epochs[0] != epochs[1]
        sampler.set_epoch(1)
        assert list(sampler) == epochs[1]
        found += epochs[0]
    assert set(found) == set(range(N)) and len(found) < N + 3


class Made(IterableDataset):
    """Makes its loader where it is iterated."""

    def __init__(self, options):
        self.options = options

    def __iter__(self):
        return iter(MappedCollection(helpers.DEMO).loader(100, **self.options))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_need_one_order(cells, method):
    def read(dataset):
        return list(
            DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=method)
        )

    with pytest.raises(RuntimeError, match="sampler: RandomSampler draws other rows each time"):
        read(cells.loader(100, sampler=RandomSampler(cells)))
    with pytest.raises(RuntimeError, match="seed: workers of a DataLoader need one seed"):
        read(Made({"shuffle": "exact", "seed": None}))
    for loader in (
        cells.loader(100, sampler=DistributedSampler(cells, num_replicas=1, rank=0)),
        cells.loader(100, sampler=SequentialSampler(cells)),
        cells.loader(100, shuffle="exact", seed=None),
        Made({"shuffle": "exact", "seed": 3}),
    ):
        assert sorted(rows(cells, read(loader))) == list(range(N))


@pytest.mark.parametrize("form", [torch.tensor, lambda v: torch.tensor(v, dtype=torch.int32)])
def test_tensors_of_rows(cells, form):
    assert rows(cells, cells.loader(2, sampler=form([7, -1, 7]))) == [7, N - 1, 7]
