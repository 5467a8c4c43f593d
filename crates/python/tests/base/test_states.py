"""Where an epoch begins, and what a state of it is good for."""

import json
import pickle
import shutil

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import MappedCollection, Weighted


def written(path, names):
    obs = pd.DataFrame(index=list(names))
    return helpers.write(path, X=np.ones((len(obs), 2), np.float32), obs=obs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    for name in "abz":
        written(folder / f"{name}.h5ad", (f"{name}{i}" for i in range(40)))
    return folder


def opened(folder, names="ab", **options):
    return MappedCollection([folder / f"{name}.h5ad" for name in names], **options)


def rows(batches):
    return [x for b in batches for x in (b["_store_idx"] * 1000 + b["_row_idx"]).tolist()]


def order(cells, epoch, **options):
    loader = cells.loader(8, **options)
    loader.set_epoch(epoch)
    return rows(loader)


def test_iter_alone_uses_nothing_up(folder):
    cells = opened(folder)
    loader = cells.loader(8, shuffle="exact")
    unused = [iter(loader) for _ in range(3)]
    assert loader.state_dict()["epoch"] == 0
    assert rows(loader) == order(cells, 0, shuffle="exact")
    # An iterator begins with its first batch, and follows what the loader was told till then.
    loader.set_epoch(5)
    assert rows(unused[0]) == order(cells, 5, shuffle="exact")
    assert rows(unused[1]) == order(cells, 6, shuffle="exact")


def test_set_epoch_never_moves_an_epoch_that_is_being_read(folder):
    cells = opened(folder)
    loader = cells.loader(8, shuffle="exact")
    batches = iter(loader)
    had = rows([next(batches)])
    loader.set_epoch(9)
    assert had + rows(batches) == order(cells, 0, shuffle="exact")
    assert rows(loader) == order(cells, 9, shuffle="exact")


def test_set_epoch_of_an_epoch_that_was_left_begins_it_anew(folder):
    cells = opened(folder)
    loader = cells.loader(8, shuffle="exact")
    next(iter(loader))
    loader.set_epoch(0)
    assert loader.state_dict()["rows"] == 0
    assert rows(loader) == order(cells, 0, shuffle="exact")


def test_set_epoch_keeps_a_place_that_was_just_loaded(folder):
    cells = opened(folder)
    loader = cells.loader(8, shuffle="exact")
    batches = iter(loader)
    had = rows([next(batches), next(batches)])
    state = loader.state_dict()
    other = cells.loader(8, shuffle="exact")
    other.load_state_dict(state)
    other.set_epoch(0)
    assert other.state_dict() == state
    assert had + rows(other) == order(cells, 0, shuffle="exact")
    other.set_epoch(0)
    assert rows(other) == order(cells, 0, shuffle="exact")
    other.load_state_dict(state)
    other.set_epoch(1)
    assert rows(other) == order(cells, 1, shuffle="exact")


def test_a_state_belongs_to_its_data(folder, tmp_path):
    loader = opened(folder).loader(8, shuffle="exact")
    next(iter(loader))
    state = loader.state_dict()
    for name in "ab":
        shutil.copy(folder / f"{name}.h5ad", tmp_path / f"{name}.h5ad")
    opened(tmp_path).loader(8, shuffle="exact").load_state_dict(state)
    # The same sizes and genes: other files, another order of files, other rows behind a filter.
    for other in (opened(folder, "az"), opened(folder, "ba"), opened(folder, "aa")):
        with pytest.raises(ValueError, match="state cannot be resumed"):
            other.loader(8, shuffle="exact").load_state_dict(state)


def test_filtered_rows_are_part_of_the_data(tmp_path):
    obs = pd.DataFrame({"k": pd.Categorical(["x", "y"] * 20)}, index=[f"c{i}" for i in range(40)])
    path = helpers.write(tmp_path / "k.h5ad", X=np.ones((40, 1), np.float32), obs=obs)
    of_label = {
        label: MappedCollection([path], obs_filter={"k": label}).loader(4) for label in "xy"
    }
    state = of_label["x"].state_dict()
    of_label["x"].load_state_dict(state)
    with pytest.raises(ValueError, match="state cannot be resumed"):
        of_label["y"].load_state_dict(state)


@pytest.mark.parametrize("state", [None, {}, {"epoch": 0}, [0, 0, 0, 0]])
def test_what_is_no_state_is_refused(folder, state):
    with pytest.raises(ValueError, match="is it a state of a loader"):
        opened(folder).loader(8).load_state_dict(state)


@pytest.mark.parametrize(
    "edit",
    [
        {"epoch": -1},
        {"rows": 2**70},
        {"rows": 1.5},
        {"rows": 81},
        {"seed": 1},
        {"worker": 0, "workers": 2},
    ],
)
def test_a_state_that_cannot_be_is_refused(folder, edit):
    loader = opened(folder).loader(8)
    with pytest.raises((ValueError, TypeError), match="state"):
        loader.load_state_dict(loader.state_dict() | edit)
    assert len(rows(loader)) == 80


def test_all_numbers_of_a_state_fit_in_63_bits(folder):
    for seed in (0, 2**63 - 1, None):
        for sampler in (None, [3], Weighted(np.ones(80)), Drawing()):
            loader = opened(folder).loader(8, seed=seed, sampler=sampler)
            next(iter(loader))
            assert all(0 <= number < 2**63 for number in loader.state_dict().values())
    for seed in (2**63, 2**64, -1):
        with pytest.raises(ValueError, match="seed"):
            opened(folder).loader(8, seed=seed)


def test_without_a_seed_each_loader_draws_one(folder):
    cells = opened(folder)
    loaders = [cells.loader(8, shuffle="exact", seed=None) for _ in range(2)]
    assert loaders[0].state_dict()["seed"] != loaders[1].state_dict()["seed"]
    assert rows(loaders[0]) != rows(loaders[1])
    first = cells.loader(8, shuffle="exact", seed=None)
    batches = iter(first)
    next(batches)
    state = json.loads(json.dumps(first.state_dict()))
    for seed in (None, state["seed"]):
        other = cells.loader(8, shuffle="exact", seed=seed)
        other.load_state_dict(state)
        # Whether ranks have yet to agree on the seed counts only where nobody chose it.
        assert other.state_dict() == {
            k: v for k, v in state.items() if seed is None or k != "agreed"
        }
        copy = pickle.loads(pickle.dumps(other))
        rest = rows(other)
        assert rows(copy) == rest
    assert rows(batches) == rest


class Drawing:
    """A sampler without a seed: as torch's RandomSampler, each iteration has an order of its own."""

    def __init__(self, n=80, seed=None):
        self.n, self.random, self.epochs = n, np.random.default_rng(seed), []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)

    def __iter__(self):
        return iter(self.random.permutation(80)[: self.n])

    def __len__(self):
        return self.n


def test_a_sampler_object_is_asked_anew_for_each_epoch(folder):
    sampler = Drawing(50)
    loader = opened(folder).loader(8, sampler=sampler)
    assert len(loader) == 7
    epochs = [rows(loader) for _ in range(3)]
    loader.set_epoch(9)
    rows(loader)
    assert sampler.epochs == [0, 1, 2, 9]
    assert all(len(set(epoch)) == 50 for epoch in epochs) and epochs[0] != epochs[1] != epochs[2]
    rows_of_a_list = opened(folder).loader(8, sampler=list(Drawing(50)))
    assert rows(rows_of_a_list) == rows(rows_of_a_list)


def test_a_sampler_object_must_draw_the_same_rows_again_in_the_middle(folder):
    cells = opened(folder)
    loader = cells.loader(8, sampler=Drawing(seed=1))
    batches = iter(loader)
    next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    again = cells.loader(8, sampler=Drawing(seed=1))
    again.load_state_dict(state)
    assert rows(again) == rows(batches)
    other = cells.loader(8, sampler=Drawing(seed=2))
    other.load_state_dict(state)
    with pytest.raises(ValueError, match="middle of epoch 0: the sampler draws other rows"):
        next(iter(other))
    # At an epoch's end any rows may follow.
    end = loader.state_dict()
    assert (end["epoch"], end["rows"]) == (1, 0)
    other.load_state_dict(end)
    assert len(rows(other)) == 80


def test_a_sampler_that_divides_by_rank_is_not_divided_again(folder, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    sampler = Drawing(40)
    sampler.num_replicas = 2
    cells = opened(folder)
    loader = cells.loader(8, sampler=sampler)
    assert len(loader) == 5 and len(rows(loader)) == 40
    assert len(rows(cells.loader(8, sampler=ByEpoch(40)))) == 20
    with pytest.raises(ValueError, match="num_replicas"):
        cells.loader(8, sampler=sampler, rank=0, world_size=2)


class ByEpoch(Drawing):
    """A sampler whose rows depend on the epoch alone."""

    def __iter__(self):
        return iter(np.random.default_rng(self.epochs[-1]).permutation(80)[: self.n])


@pytest.mark.parametrize("explicit", [False, True])
def test_ranks_that_cannot_compare_what_they_draw_need_a_sampler_that_repeats(
    folder, monkeypatch, explicit
):
    cells, found = opened(folder), []
    for rank in range(2):
        options = {"rank": rank, "world_size": 2} if explicit else {}
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(RuntimeError, match="sampler: Drawing draws other rows each time"):
            next(iter(cells.loader(8, sampler=Drawing(), **options)))
        found += rows(cells.loader(8, sampler=ByEpoch(80), **options))
    assert sorted(found) == sorted(rows(cells.loader(8, rank=0, world_size=1)))


def test_given_ranks_need_one_seed_too(folder):
    loader = opened(folder).loader(8, shuffle="exact", seed=None, rank=1, world_size=2)
    with pytest.raises(RuntimeError, match="give a seed"):
        next(iter(loader))
    # A state from before the ranks agreed does not settle the seed.
    other = opened(folder).loader(8, shuffle="exact", seed=None, rank=1, world_size=2)
    other.load_state_dict(loader.state_dict())
    with pytest.raises(RuntimeError, match="give a seed"):
        next(iter(other))


def test_a_batch_that_failed_is_read_again_from_a_state(tmp_path):
    import h5py

    path = written(tmp_path / "bad.h5ad", (f"c{i}" for i in range(40)))
    with h5py.File(path, "r+") as file:
        del file["X"]
        group = file.create_group("X")
        group.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [40, 2]}
        )
        group["data"], group["indptr"] = np.ones(40, np.float32), np.arange(41)
        group["indices"] = np.where(np.arange(40) == 25, 9, 0)
    loader = MappedCollection([path]).loader(4)
    had = []
    with pytest.raises(ValueError, match="column 9"):
        for batch in loader:
            had += rows([batch])
    state = loader.state_dict()
    assert state["rows"] == len(had) == 24
    with h5py.File(path, "r+") as file:
        file["X/indices"][25] = 0
    repaired = MappedCollection([path]).loader(4)
    repaired.load_state_dict(state)
    assert had + rows(repaired) == list(range(40))


def test_weights_that_are_all_tiny_are_refused(folder):
    with pytest.raises(ValueError, match="sampler.*tiny"):
        opened(folder).loader(8, sampler=Weighted([5e-324] * 3 + [0] * 77, 300))


@pytest.mark.parametrize(
    "sampler",
    [5, "abc", b"ab", bytearray(b"a"), {1, 2}, {1: 2}, iter([1]), (row for row in [1]), object()],
)
def test_what_cannot_be_asked_for_rows_again_is_refused(folder, sampler):
    with pytest.raises(TypeError, match="sampler"):
        opened(folder).loader(8, sampler=sampler)


def test_rows_that_a_sampler_object_makes_up_are_refused(folder):
    class Bad(Drawing):
        def __iter__(self):
            return iter([80])

    loader = opened(folder).loader(8, sampler=Bad())
    with pytest.raises(IndexError, match="sampler.*80"):
        next(iter(loader))
    assert loader.state_dict()["epoch"] == 0


def test_weights_that_are_not_torchs_are_not_read(folder):
    class WithWeights(Drawing):
        weights, num_samples, replacement = np.ones(10), 40, True

    assert len(rows(opened(folder).loader(8, sampler=WithWeights(30)))) == 30


def test_more_rows_than_have_a_weight_cannot_be_drawn_without_replacement(folder):
    weights = np.zeros(80)
    weights[:9] = 1
    cells = opened(folder)
    with pytest.raises(ValueError, match="sampler.*10 rows"):
        cells.loader(8, sampler=Weighted(weights, 10, replacement=False))
    assert sorted(rows(cells.loader(8, sampler=Weighted(weights, 9, replacement=False)))) == list(
        range(9)
    )
    assert len(cells.loader(8, sampler=Weighted(weights, 10))) == 2


def test_ranks_are_found_when_reading_begins(folder, monkeypatch):
    cells = opened(folder)
    loader = cells.loader(8, shuffle="exact")
    assert len(loader) == 10 and "rank" not in repr(loader)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(loader) == 5
    # Children of Lightning's ddp have no RANK before training begins.
    with pytest.raises(RuntimeError, match="there are 2 ranks"):
        next(iter(loader))
    assert loader.state_dict()["rows"] == 0
    found = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        copy = pickle.loads(pickle.dumps(loader))
        assert f"rank={rank}, world_size=2" in repr(copy)
        monkeypatch.delenv("RANK")
        # What was found travels with the loader.
        found += rows(copy)
    assert sorted(found) == sorted(rows(cells.loader(8, rank=0, world_size=1)))


def test_without_padding_the_length_needs_the_rank(folder, monkeypatch):
    loader = opened(folder).loader(13, sampler=range(27), pad=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="nothing says which"):
        len(loader)
    lengths = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        lengths.append(len(loader))
    assert lengths == [2, 1]


def test_one_rank_cannot_draw_a_seed_for_all(folder, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    loader = opened(folder).loader(8, shuffle="exact", seed=None)
    with pytest.raises(RuntimeError, match="give a seed"):
        next(iter(loader))
    loader.load_state_dict(opened(folder).loader(8, shuffle="exact", seed=3).state_dict())
    assert len(rows(loader)) == 40


@pytest.mark.parametrize(
    "name, text", [("WORLD_SIZE", "two"), ("WORLD_SIZE", "0"), ("RANK", "-1"), ("RANK", str(2**70))]
)
def test_a_rank_that_cannot_be_is_named(folder, monkeypatch, name, text):
    loader = opened(folder).loader(8, pad=False)
    for known, number in {"RANK": "0", "WORLD_SIZE": "2", name: text}.items():
        monkeypatch.setenv(known, number)
    for ask in (lambda: next(iter(loader)), lambda: len(loader)):
        with pytest.raises(ValueError, match=f"{name}.*'{text}'"):
            ask()
    assert "batches" in repr(loader)


def test_trainers_find_what_they_look_for(folder):
    cells = opened(folder)
    loader = cells.loader(8, shuffle="exact", drop_last=True)
    assert (loader.batch_size, loader.drop_last, loader.num_workers, loader.pin_memory) == (
        8,
        True,
        0,
        False,
    )
    assert loader.batch_sampler is None and loader.generator is None
    assert len(loader.dataset) == len(loader.sampler) == 80
    loader.sampler.set_epoch(3)
    taken = list(loader.dataset)
    batches = [loader.collate_fn(taken[at : at + 8]) for at in range(0, 80, 8)]
    assert rows(batches) == order(cells, 3, shuffle="exact")
    with pytest.raises(RuntimeError, match="batch_size"):
        loader.collate_fn(taken[4:12])
