"""Epochs of batches."""

import json
import os
import pickle
import sys
from collections import Counter

import helpers
import numpy as np
import pytest

from mapped_anndata import CsrMatrix, MappedCollection, Weighted

N = 3350


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(
        helpers.DEMO, obs_keys=["cell_type", "donor"], unknown_label={"cell_type": "unknown"}
    )


@pytest.fixture(scope="module")
def starts(collection):
    return np.cumsum([0, *collection.n_obs_list])


def rows(batch, starts):
    """The rows of a batch as positions in the collection."""
    return starts[batch["_store_idx"]] + batch["_row_idx"]


def epoch(loader, starts):
    return np.concatenate([np.empty(0, int), *(rows(batch, starts) for batch in loader)])


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("output", ["dense", "csr"])
@pytest.mark.parametrize("shuffle", [None, False, True, "exact", "blocks:64"])
def test_batches_hold_the_items(collection, starts, workers, output, shuffle):
    loader = collection.loader(500, shuffle=shuffle, output=output, workers=workers, seed=1)
    assert len(loader) == 7
    seen = []
    for batch in loader:
        assert list(batch) == ["_store_idx", "_row_idx", "X", "cell_type", "donor"]
        X = batch["X"]
        if output == "csr":
            assert isinstance(X, CsrMatrix) and X.indptr.dtype == X.indices.dtype == np.int32
            X = X.toarray()
        assert X.shape == (len(batch["donor"]), 300) and X.dtype == np.float32
        positions = rows(batch, starts)
        for row in range(0, len(positions), 29):
            item = collection[positions[row]]
            assert (
                np.array_equal(item["X"], X[row]) and item["_store_idx"] == batch["_store_idx"][row]
            )
            for key in ("cell_type", "donor"):
                assert batch[key].dtype == np.int64
                assert batch[key][row] == (-100 if item[key] is np.nan else item[key])
        seen.append(positions)
    order = np.concatenate(seen)
    assert [len(positions) for positions in seen] == [500] * 6 + [350]
    assert np.array_equal(np.sort(order), np.arange(N))
    assert np.array_equal(order, np.arange(N)) == (not shuffle)


def test_the_order_depends_on_seed_and_epoch_alone(collection, starts):
    def order(seed=0, of_epoch=0, **options):
        loader = collection.loader(
            options.pop("batch_size", 100), shuffle="exact", seed=seed, **options
        )
        loader.set_epoch(of_epoch)
        return epoch(loader, starts).tolist()

    first = order()
    assert first == order(workers=0) == order(memory="200 MB", workers=4) == order(batch_size=333)
    assert first == order(output="csr", dtype="float64")
    assert first != order(seed=1) and first != order(of_epoch=1)


def test_each_iteration_is_the_next_epoch(collection, starts):
    loader = collection.loader(512, shuffle="exact")
    first, second = epoch(loader, starts), epoch(loader, starts)
    assert not np.array_equal(first, second)
    loader.set_epoch(0)
    assert np.array_equal(epoch(loader, starts), first)
    assert np.array_equal(epoch(loader, starts), second)


@pytest.mark.parametrize("taken", [0, 1, 5, 7])
@pytest.mark.parametrize("batch_size", [500, 123])
def test_an_epoch_goes_on_where_its_state_was_taken(collection, starts, taken, batch_size):
    options = dict(shuffle="exact", seed=3)
    loader = collection.loader(500, **options)
    loader.set_epoch(4)
    batches = iter(loader)
    assert len(batches) == 7
    had = [rows(next(batches), starts) for _ in range(taken)]
    assert len(batches) == 7 - taken
    state = json.loads(json.dumps(loader.state_dict()))
    rest = np.concatenate([np.empty(0, int), *(rows(batch, starts) for batch in batches)])
    other = collection.loader(batch_size, **options)
    other.load_state_dict(state)
    found = epoch(other, starts)
    if taken == 7:
        # All was had: the next epoch comes.
        loader.set_epoch(5)
        rest = epoch(loader, starts)
    assert np.array_equal(found, rest)
    if 0 < taken < 7:
        assert np.array_equal(np.sort(np.concatenate([*had, found])), np.arange(N))
    # And the epoch after it is whole.
    assert len(epoch(other, starts)) == N


def test_a_state_of_something_else_is_refused(collection):
    state = collection.loader(500, shuffle="exact").state_dict()
    for options in ({"seed": 1}, {"shuffle": None}, {"sampler": [1]}):
        with pytest.raises(ValueError, match="state"):
            collection.loader(500, **{"shuffle": "exact", **options}).load_state_dict(state)


def test_a_loader_can_be_pickled(collection, starts):
    loader = collection.loader(500, shuffle="exact", sampler=Weighted(np.ones(N), 1000))
    batches = iter(loader)
    next(batches)
    other = pickle.loads(pickle.dumps(loader))
    assert other.state_dict() == loader.state_dict()
    expected = [rows(batch, starts).tolist() for batch in batches]
    assert [rows(batch, starts).tolist() for batch in other] == expected


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_the_order(collection, starts, world_size, drop_last):
    whole = epoch(collection.loader(N, shuffle="exact"), starts)
    options = dict(shuffle="exact", drop_last=drop_last, world_size=world_size)
    loaders = [collection.loader(100, rank=rank, **options) for rank in range(world_size)]
    steps = list(zip(*loaders, strict=True))
    assert len(steps) == len(loaders[0])
    found = np.concatenate([rows(batch, starts) for step in steps for batch in step])
    step_rows = 100 * world_size
    if drop_last:
        expected = whole[: N // step_rows * step_rows]
    else:
        # The last step is divided evenly.
        last = -(-(N % step_rows) // world_size) * world_size
        expected = np.resize(whole, N // step_rows * step_rows + last)
    assert np.array_equal(found, expected)


def test_ranks_come_from_the_environment(collection, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    first = next(iter(collection.loader(10)))["_row_idx"]
    assert first.tolist() == list(range(10, 20))
    assert next(iter(collection.loader(10, rank=0, world_size=1)))["_row_idx"].tolist() == list(
        range(10)
    )


@pytest.mark.parametrize(
    "form", [list, np.array, tuple, lambda v: np.array(v, dtype=np.uint16), range]
)
def test_a_sampler_of_rows(collection, starts, form):
    wanted = [7, 7, 3, 3349, 0] if form is not range else range(5, 30, 3)
    sampler = wanted if form is range else form(wanted)
    assert epoch(collection.loader(2, sampler=sampler), starts).tolist() == list(wanted)


def test_negative_rows_of_a_sampler(collection, starts):
    assert epoch(collection.loader(2, sampler=[-1, 0]), starts).tolist() == [N - 1, 0]
    for bad in ([N], [-N - 1]):
        with pytest.raises(IndexError, match="out of bounds"):
            collection.loader(2, sampler=bad)
    with pytest.raises(TypeError):
        collection.loader(2, sampler=[0.5])
    assert len(list(collection.loader(2, sampler=[]))) == 0


def test_weights_of_rows(collection, starts):
    weights = collection.get_label_weights("cell_type")
    loader = collection.loader(500, sampler=Weighted(weights, 20_000))
    assert len(loader) == 40
    labels = collection.get_merged_labels("cell_type")
    drawn = Counter(str(label) for label in labels[epoch(loader, starts)])
    n_classes = len({str(label) for label in labels})
    for count in drawn.values():
        assert abs(count - 20_000 / n_classes) < 5 * np.sqrt(20_000 / n_classes)
    once = collection.loader(500, sampler=Weighted(weights, replacement=False))
    assert np.array_equal(np.sort(epoch(once, starts)), np.arange(N))
    only = np.zeros(N)
    only[[5, 9]] = 1
    few = collection.loader(500, sampler=Weighted(only, replacement=False))
    assert len(few) == 1 and sorted(epoch(few, starts)) == [5, 9]


def test_the_code_of_missing_labels(collection):
    codes = np.concatenate(
        [batch["cell_type"] for batch in collection.loader(500, missing_code=-7)]
    )
    labels = collection.get_merged_labels("cell_type")
    missing = [label is np.nan for label in labels.tolist()]
    assert any(missing) and np.array_equal(codes == -7, missing)


def test_numbers_and_texts(tmp_path):
    import pandas as pd

    obs = pd.DataFrame(
        {"n": pd.array([1, None, 3], dtype="Int16"), "t": ["x", "y", "z"], "f": [0.5, np.nan, 1.5]},
        index=list("abc"),
    )
    one = helpers.write(tmp_path / "one.h5ad", X=np.eye(3), obs=obs)
    two = helpers.write(tmp_path / "two.h5ad", X=np.eye(3), obs=obs[["f"]])
    collection = MappedCollection([one, two], obs_keys=["n", "t", "f"], encode_labels=False)
    batch = next(iter(collection.loader(6)))
    assert (
        batch["n"].dtype == np.int16
        and batch["n_valid"].tolist() == [True, False, True] + [False] * 3
    )
    assert batch["n"][[0, 2]].tolist() == [1, 3]
    assert batch["t"] == ["x", "y", "z", None, None, None]
    assert batch["f_valid"].all() and np.isnan(batch["f"]).tolist() == [False, True, False] * 2


def test_sparse_batches_are_scipys(collection):
    import scipy.sparse

    batch = next(iter(collection.loader(64, output="csr")))["X"]
    dense = next(iter(collection.loader(64)))["X"]
    matrix = batch.to_scipy()
    assert isinstance(matrix, scipy.sparse.csr_array) and np.array_equal(matrix.toarray(), dense)
    assert np.shares_memory(matrix.data, batch.data) and np.shares_memory(
        matrix.indices, batch.indices
    )
    check = scipy.sparse.csr_array((batch.data, batch.indices, batch.indptr), shape=batch.shape)
    assert check.has_canonical_format


def test_arrays_are_views_and_may_be_written(collection):
    batch = next(iter(collection.loader(64)))
    X = batch["X"]
    assert X.base is not None and not X.flags.owndata and X.flags.writeable and X.flags.c_contiguous
    before = X.copy()
    X *= 2
    assert np.array_equal(X, before * 2)
    assert np.array_equal(next(iter(collection.loader(64)))["X"], before)


def test_held_batches_never_change(collection):
    loader = collection.loader(64, shuffle="exact", workers=2)
    held = [(batch["X"], batch["X"].copy()) for batch in loader]
    for _ in loader:
        pass
    assert all(np.array_equal(now, then) for now, then in held)


def test_memory_is_used_again(collection):
    places = []
    for batch in collection.loader(16, output="dense", workers=0):
        places.append(batch["X"].ctypes.data)
        del batch
    assert len(places) == 210 and len(set(places)) < 50


def test_stores_that_do_not_fit_together():
    collection = MappedCollection(helpers.DEMO[:2], join=None)
    with pytest.raises(ValueError, match="a.h5ad.*b.h5ad"):
        collection.loader(8)
    with pytest.raises(ValueError, match="cannot be batched"):
        collection.get_batch([0, -1])
    assert collection.get_batch([0, 1])["X"].shape == (2, 550)
    assert [len(item["X"]) for item in collection.__getitems__([0, -1])] == [550, 440]


def test_get_batch(collection):
    batch = collection.get_batch(np.array([3, -1, 3]), output="csr", dtype="float16")
    X = batch["X"].toarray()
    assert X.dtype == np.float16
    assert np.array_equal(X, np.stack([collection[i]["X"] for i in (3, -1, 3)]).astype(np.float16))
    with pytest.raises(IndexError):
        collection.get_batch([N])


def test_the_state_of_a_loop_that_was_left(collection, starts):
    loader = collection.loader(500, shuffle="exact")
    had = []
    for batch in loader:
        had.append(rows(batch, starts))
        if len(had) == 3:
            break
    state = loader.state_dict()
    assert state["rows"] == 1500
    other = collection.loader(500, shuffle="exact")
    other.load_state_dict(state)
    had.append(epoch(other, starts))
    assert np.array_equal(np.sort(np.concatenate(had)), np.arange(N))


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of /proc")
def test_no_thread_outlives_its_epoch(collection):
    before = set(os.listdir("/proc/self/task"))
    batches = iter(collection.loader(16, shuffle="exact", workers=3))
    assert set(os.listdir("/proc/self/task")) == before
    next(batches)
    assert len(set(os.listdir("/proc/self/task")) - before) == 3
    del batches
    assert set(os.listdir("/proc/self/task")) == before
    loader = collection.loader(16, workers=3)
    for _ in loader:
        break
    del _
    assert set(os.listdir("/proc/self/task")) == before
    list(collection.loader(512, workers=3))
    assert set(os.listdir("/proc/self/task")) == before


def test_the_repr_of_a_loader(collection):
    text = repr(collection.loader(500, shuffle="exact", sampler=np.arange(10)))
    assert "batch_size=500" in text and "ndarray" in text and "1 batches" in text
