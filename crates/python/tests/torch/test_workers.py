"""A loader inside of torch's DataLoader or torchdata's: workers divide its batches, none is lost.

A worker that is not persistent is a new copy in each epoch; a persistent one is a copy that goes on by
itself. `set_epoch` is told to the loader in this process, and so reaches only copies made later.
"""

import pickle

import counted
import pytest
from torch.utils.data import DataLoader, IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from mapped_anndata import MappedCollection

N_BATCHES = 13


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return MappedCollection(counted.write(tmp_path_factory.mktemp("cells")))


def new(cells, **options):
    return cells.loader(counted.BATCH_SIZE, **{"shuffle": "exact", "seed": 1, **options})


@pytest.fixture(scope="module")
def epochs(cells):
    """The batches of the first epochs."""
    loader = new(cells)
    return [read(loader) for _ in range(4)]


def read(batches):
    return [counted.rows(batch) for batch in batches]


class Around(IterableDataset):
    """A dataset of the loader's batches, as users write one to change them."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        yield from self.loader


@pytest.mark.parametrize("around", [Around, lambda loader: loader])
def test_without_workers(cells, epochs, around):
    loader = new(cells)
    batches = DataLoader(around(loader), batch_size=None)
    assert [read(batches) for _ in range(2)] == epochs[:2]
    loader.set_epoch(3)
    assert read(batches) == epochs[3]


@pytest.mark.parametrize(
    ("method", "around"),
    [("fork", True), ("fork", False), ("spawn", True), ("forkserver", False)],
)
def test_workers_are_copies(cells, epochs, method, around):
    loader = new(cells)
    dataset = Around(loader) if around else loader
    batches = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=method)
    if method == "fork":
        assert [read(batches), read(batches)] == [epochs[0]] * 2
    for epoch in (2, 1):
        loader.set_epoch(epoch)
        assert read(batches) == epochs[epoch]


@pytest.mark.parametrize(
    ("method", "around"),
    [("fork", True), ("fork", False), ("spawn", False), ("forkserver", True)],
)
def test_persistent_workers_go_on_by_themselves(cells, epochs, method, around):
    loader = new(cells)
    dataset = Around(loader) if around else loader
    options = {"num_workers": 2, "multiprocessing_context": method, "persistent_workers": True}
    batches = DataLoader(dataset, batch_size=None, **options)
    loader.set_epoch(1)
    assert [read(batches), read(batches)] == epochs[1:3]
    # They were copied before.
    loader.set_epoch(0)
    assert read(batches) == epochs[3]


@pytest.mark.parametrize("n_workers", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"drop_last": True},
        {"rank": 0, "world_size": 2},
        {"rank": 1, "world_size": 2, "pad": False},
        {"seed": None},
    ],
    ids=str,
)
def test_workers_divide_what_the_loader_reads(cells, n_workers, options):
    loader = new(cells, **options)
    batches = DataLoader(loader, batch_size=None, num_workers=n_workers)
    assert len(batches) == len(loader)
    assert read(batches) == read(loader)


@pytest.mark.parametrize("n_workers", [0, 1, 2, 3])
def test_torchdata_goes_on_after_each_batch(cells, epochs, n_workers):
    epoch = 2

    def around(loader):
        return StatefulDataLoader(loader, batch_size=None, num_workers=n_workers)

    for n in range(N_BATCHES):
        loader = new(cells)
        loader.set_epoch(epoch)
        left = around(loader)
        assert [counted.rows(batch) for _, batch in zip(range(n), left)] == epochs[epoch][:n]
        state = pickle.dumps(left.state_dict())
        other = new(cells)
        resumed = around(other)
        resumed.load_state_dict(pickle.loads(state))
        assert read(resumed) == epochs[epoch][n:]
        other.set_epoch(1)
        assert read(resumed) == epochs[1]


@pytest.mark.parametrize(("n_workers", "rest"), [(0, True), (1, True), (2, False), (3, False)])
def test_torchdata_after_the_last_batch(cells, epochs, n_workers, rest):
    """The state is the start of the next epoch; where several workers read, each is at its end first."""
    left = StatefulDataLoader(new(cells), batch_size=None, num_workers=n_workers)
    batches = iter(left)
    for _ in range(N_BATCHES):
        next(batches)
    resumed = StatefulDataLoader(new(cells), batch_size=None, num_workers=n_workers)
    resumed.load_state_dict(left.state_dict())
    assert read(resumed) == (epochs[1] if rest else [])


@pytest.mark.parametrize(("n_workers", "epoch"), [(0, 1), (1, 0), (2, 0)])
def test_torchdata_after_an_epoch(cells, epochs, n_workers, epoch):
    """Its workers are new copies then: as ever, `set_epoch` says which epoch comes."""
    left = StatefulDataLoader(new(cells), batch_size=None, num_workers=n_workers)
    assert read(left) == epochs[0]
    for told in (None, 2):
        loader = new(cells)
        resumed = StatefulDataLoader(loader, batch_size=None, num_workers=n_workers)
        resumed.load_state_dict(left.state_dict())
        if told is not None and n_workers:
            loader.set_epoch(told)
        assert read(resumed) == epochs[told if told is not None and n_workers else epoch]


@pytest.mark.parametrize("n_workers", [0, 2])
def test_torchdata_skips_batches_of_a_dataset_without_state(cells, epochs, n_workers):
    for n in (0, 1, 6, 12):
        left = StatefulDataLoader(Around(new(cells)), batch_size=None, num_workers=n_workers)
        for _, _ in zip(range(n), left):
            pass
        resumed = StatefulDataLoader(Around(new(cells)), batch_size=None, num_workers=n_workers)
        resumed.load_state_dict(left.state_dict())
        assert read(resumed) == epochs[0][n:]


def test_a_state_of_a_worker_is_for_that_worker(cells):
    left = StatefulDataLoader(new(cells), batch_size=None, num_workers=2)
    for _ in zip(range(3), left):
        pass
    state = left.state_dict()
    of_worker = state["_snapshot"]["_worker_snapshots"]["worker_1"]["dataset_state"]
    with pytest.raises(
        ValueError, match="taken in worker 1 of 2 of a DataLoader, and only that worker can go on"
    ):
        new(cells).load_state_dict(of_worker)
