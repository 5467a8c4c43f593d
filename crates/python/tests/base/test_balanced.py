"""`Balanced`: every label comes equally often."""

import pickle
from collections import Counter

import helpers
import numpy as np
import pytest

from mapped_anndata import Balanced, MappedCollection, Weighted

N = 3350


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO, obs_keys=["cell_type", "donor"])


def batches(loader):
    """The rows of each batch."""
    starts = np.cumsum([0, *MappedCollection(helpers.DEMO).n_obs_list])
    return [starts[batch["_store_idx"]] + batch["_row_idx"] for batch in loader]


def drawn(loader):
    """The rows of an epoch."""
    return np.concatenate([np.empty(0, int), *batches(loader)])


def test_labels_come_equally_often_and_rows_without_one_never(collection):
    loader = collection.loader(500, sampler=Balanced("cell_type", 40_000))
    assert loader.n_rows == 40_000 and len(loader) == 80
    labels = collection.get_merged_labels("cell_type")
    assert any(label is np.nan for label in labels)
    counts = Counter(labels[drawn(loader)])
    categories = collection.get_merged_categories("cell_type")
    assert set(counts) == set(categories) and len(categories) > 3
    expected = 40_000 / len(categories)
    assert all(abs(count - expected) < 5 * np.sqrt(expected) for count in counts.values())


def test_it_draws_what_its_weights_draw(collection):
    labels = collection.get_merged_labels("cell_type")
    counts = Counter(labels)
    weights = [0.0 if label is np.nan else 1 / counts[label] for label in labels]
    for n_samples in (None, 0, 7):
        loaders = [
            collection.loader(100, sampler=sampler, seed=3)
            for sampler in (Balanced("cell_type", n_samples), Weighted(weights, n_samples))
        ]
        balanced, weighted = map(drawn, loaders)
        assert np.array_equal(balanced, weighted)
        assert len(balanced) == (N if n_samples is None else n_samples)


def test_a_key_need_not_be_read_and_epochs_differ(collection):
    plain = MappedCollection(helpers.DEMO)
    loader = plain.loader(500, sampler=Balanced("donor"))
    first, second = drawn(loader), drawn(loader)
    assert np.array_equal(first, drawn(collection.loader(500, sampler=Balanced("donor"))))
    assert len(first) == N and not np.array_equal(first, second)


def test_ranks_divide_the_draws(collection):
    whole = drawn(collection.loader(N, sampler=Balanced("cell_type")))
    options = {"sampler": Balanced("cell_type"), "world_size": 2}
    parts = [collection.loader(335, rank=rank, **options) for rank in range(2)]
    steps = [batches(loader) for loader in parts]
    found = np.concatenate([rows for step in zip(*steps, strict=True) for rows in step])
    assert np.array_equal(found, whole)


def test_it_is_resumed_and_copied(collection):
    loader = collection.loader(500, sampler=Balanced("cell_type"))
    running = iter(loader)
    next(running)
    copied = pickle.loads(pickle.dumps(loader))
    resumed = collection.loader(250, sampler=Balanced("cell_type"))
    resumed.load_state_dict(loader.state_dict())
    rest = [batch["_row_idx"] for batch in running]
    for other in (copied, resumed):
        assert np.array_equal(np.concatenate([b["_row_idx"] for b in other]), np.concatenate(rest))
    for sampler in (Balanced("donor"), Balanced("cell_type", 9), None):
        with pytest.raises(ValueError, match="state"):
            collection.loader(500, sampler=sampler).load_state_dict(loader.state_dict())


def test_a_key_of_no_store_is_an_error(collection):
    with pytest.raises(ValueError, match="cell_typ"):
        collection.loader(8, sampler=Balanced("cell_typ"))


def test_samplers_are_values_that_print():
    assert Balanced("donor", 5) == Balanced("donor", 5) != Balanced("donor")
    assert repr(Balanced("donor")) == "Balanced(key='donor', num_samples=None)"
    assert repr(Weighted(np.ones(9), 5)) == "Weighted(num_samples=5, replacement=True)"
    with pytest.raises(AttributeError):
        Balanced("donor").key = "cell_type"
    with pytest.raises(AttributeError):
        Weighted([1.0]).num_samples = 3
