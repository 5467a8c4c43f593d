"""torch's DataLoader, as users use it."""

import pickle
import subprocess
import sys
import threading
import warnings
from collections import Counter

import helpers
import numpy as np
import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    DistributedSampler,
    Subset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

from mapped_anndata import MappedCollection, collate

METHODS = ["fork", "spawn", "forkserver"]
KEYS = ["cell_type", "donor"]


def opened(paths=helpers.DEMO, **options):
    return MappedCollection(paths, obs_keys=KEYS, **options)


@pytest.fixture(scope="module")
def collection():
    return opened()


@pytest.fixture(scope="module")
def labelled():
    """Only cells that have both labels: what torch's own collate can put together."""
    everything = opened()
    labels = [everything.get_merged_labels(key) for key in KEYS]
    keep = {
        key: sorted({v for v in of_key if isinstance(v, str)}) for key, of_key in zip(KEYS, labels)
    }
    return opened(obs_filter=keep)


def workers(n, method="fork"):
    return {"num_workers": n, "multiprocessing_context": method if n else None}


def equal(found, expected):
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("n_workers", [0, 1, 2, 4])
@pytest.mark.parametrize("own", [False, True])
def test_batches_are_the_items(labelled, n_workers, own):
    loader = DataLoader(
        labelled, batch_size=256, collate_fn=collate if own else None, **workers(n_workers)
    )
    n_rows = 0
    for number, batch in enumerate(loader):
        items = [labelled[i] for i in range(256 * number, min(256 * (number + 1), len(labelled)))]
        equal(batch, default_collate(items))
        n_rows += len(batch["donor"])
    assert n_rows == len(labelled) > 2000


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_every_kind(labelled, method):
    loader = DataLoader(
        labelled,
        batch_size=512,
        worker_init_fn=MappedCollection.torch_worker_init_fn,
        persistent_workers=True,
        prefetch_factor=2,
        **workers(2, method),
    )
    expected = list(DataLoader(labelled, batch_size=512))
    for _ in range(2):
        for found, wanted in zip(loader, expected, strict=True):
            equal(found, wanted)


def test_a_collection_that_was_used_before_the_fork():
    collection = opened()
    before = list(DataLoader(collection, batch_size=500, collate_fn=collate))
    next(iter(collection.loader(100)))
    for found, wanted in zip(
        DataLoader(collection, 500, collate_fn=collate, **workers(2)), before, strict=True
    ):
        equal(found, wanted)


def test_lamindb_gives_the_same_batches(labelled):
    from lamindb.core._mapped_collection import MappedCollection as Reference

    # lamindb 2.12.1 reads the h5ad stores of the demo in this environment.
    paths = helpers.DEMO[:2]
    options = dict(obs_keys=KEYS, obs_filter={key: list(labelled.encoders[key]) for key in KEYS})
    with Reference(paths, **options) as theirs, MappedCollection(paths, **options) as ours:
        assert len(ours) == len(theirs) > 1000
        loaders = [DataLoader(c, batch_size=128) for c in (ours, theirs)]
        for found, wanted in zip(*loaders, strict=True):
            equal(found, wanted)


def test_weighted_sampling(collection):
    weights = collection.get_label_weights("cell_type")
    sampler = WeightedRandomSampler(weights, num_samples=len(collection))
    labels = Counter()
    n_batches = 0
    for batch in DataLoader(collection, batch_size=128, sampler=sampler, collate_fn=collate):
        labels.update(batch["cell_type"].tolist())
        n_batches += 1
    assert n_batches == 27 and labels.total() == len(collection)
    expected = len(collection) / len(labels)
    assert all(abs(count - expected) < 6 * np.sqrt(expected) for count in labels.values())


def test_torchs_sampler_in_our_loader(collection):
    sampler = WeightedRandomSampler(collection.get_label_weights("cell_type"), 10_000)
    loader = collection.loader(500, sampler=sampler, as_torch=True)
    labels = Counter(label for batch in loader for label in batch["cell_type"].tolist())
    expected = 10_000 / len(labels)
    assert len(loader) == 20 and labels.total() == 10_000
    assert all(abs(count - expected) < 6 * np.sqrt(expected) for count in labels.values())


@pytest.mark.parametrize("n_workers", [0, 2])
def test_parts_of_a_collection(collection, n_workers):
    options = dict(
        batch_size=100, collate_fn=collate, worker_init_fn=MappedCollection.torch_worker_init_fn
    )
    subset = Subset(collection, list(range(50, 3000, 7)))
    found = torch.cat([batch["X"] for batch in DataLoader(subset, **options, **workers(n_workers))])
    assert np.array_equal(found.numpy(), collection.get_batch(range(50, 3000, 7))["X"])
    parts = random_split(collection, [0.75, 0.25], torch.Generator().manual_seed(0))
    sums = [
        sum(b["X"].sum().item() for b in DataLoader(part, **options, **workers(n_workers)))
        for part in parts
    ]
    whole = collection.get_batch(range(len(collection)))["X"].sum(dtype=np.float64)
    assert sum(sums) == pytest.approx(whole, rel=1e-4) and min(sums) > 0


def test_collections_after_one_another():
    names = opened(helpers.DEMO[:1]).var_joint
    one, two = (opened(helpers.DEMO[:1]), opened(helpers.DEMO[:1]))
    both = ConcatDataset([one, two])
    batches = list(DataLoader(both, batch_size=500, collate_fn=collate, **workers(2)))
    X = torch.cat([batch["X"] for batch in batches])
    assert X.shape == (2200, len(names)) and torch.equal(X[:1100], X[1100:])


def test_a_distributed_sampler(collection):
    seen = []
    for rank in range(2):
        sampler = DistributedSampler(collection, num_replicas=2, rank=rank, shuffle=True, seed=1)
        for batch in DataLoader(collection, batch_size=400, sampler=sampler, collate_fn=collate):
            seen.append(batch["X"].sum().item())
    assert sum(seen) == pytest.approx(
        collection.get_batch(range(3350))["X"].sum(dtype=np.float64), rel=1e-4
    )


def test_pinned_memory(collection):
    with warnings.catch_warnings():
        # Without an accelerator torch says that it pins nothing.
        warnings.simplefilter("ignore")
        loader = DataLoader(
            collection, batch_size=500, collate_fn=collate, pin_memory=True, **workers(2)
        )
        assert sum(len(batch["X"]) for batch in loader) == 3350


def test_why_there_is_a_collate_function(collection):
    """torch's own turns labels into floats as soon as one is missing."""
    labels = collection.get_merged_labels("cell_type")
    missing = next(i for i, label in enumerate(labels) if label is np.nan)
    items = [collection[0], collection[missing]]
    assert default_collate(items)["cell_type"].dtype != torch.int64
    assert collate(items)["cell_type"].tolist() == [items[0]["cell_type"], -100]


def test_the_default_collate_hands_matrices_on(labelled):
    items = labelled.__getitems__(range(100))
    assert default_collate(items)["X"].data_ptr() == items.block["X"].ctypes.data
    # In another order, or changed, they are what the items are.
    items[0], items[1] = items[1], items[0]
    items[2]["X"] = items[2]["X"] * 2
    items[3]["X"] += 1
    equal(default_collate(items), default_collate([dict(item) for item in items]))
    equal(default_collate(list(items)), default_collate([dict(item) for item in items]))


class Logarithms:
    """A dataset and a collate function around ours, as users write them."""

    def __init__(self, cells):
        self.cells = cells

    def __len__(self):
        return len(self.cells)

    def __getitems__(self, indices):
        items = self.cells.__getitems__(indices)
        items[0]["X"] += 1
        return items

    @staticmethod
    def collate(items):
        batch = collate(items)
        log = batch["X"].log1p()
        assert type(log) is torch.Tensor
        return {"X": batch["X"], "log": log, "shifted": log + 1}


def test_what_is_done_in_a_worker_arrives(collection):
    dataset = Logarithms(collection)
    for number, batch in enumerate(
        DataLoader(dataset, 700, collate_fn=dataset.collate, **workers(2))
    ):
        expected = torch.from_numpy(
            collection.get_batch(range(len(collection))[700 * number : 700 * (number + 1)])["X"]
        )
        expected[0] += 1
        assert {type(value) for value in batch.values()} == {torch.Tensor}
        equal(batch, {"X": expected, "log": expected.log1p(), "shifted": expected.log1p() + 1})


def test_matrices_of_other_datasets_are_sent(collection):
    dataset = [{"X": np.arange(1.0, 50.0) + i} for i in range(40)]
    for number, batch in enumerate(
        DataLoader(dataset, batch_size=10, collate_fn=collate, **workers(1))
    ):
        expected = [
            (np.arange(1.0, 50.0) + i).tolist() for i in range(10 * number, 10 * number + 10)
        ]
        assert batch["X"].tolist() == expected


def test_batches_of_workers_keep_their_memory(collection):
    batches = [
        (batch["X"], batch["X"].clone())
        for batch in DataLoader(collection, 100, collate_fn=collate, **workers(2))
    ]
    for _ in DataLoader(collection, 100, collate_fn=collate, shuffle=True, **workers(2)):
        pass
    assert all(torch.equal(now, then) for now, then in batches)


def test_one_item_at_a_time(collection):
    for n, item in zip(range(5), DataLoader(collection, batch_size=None)):
        assert torch.equal(item["X"], torch.from_numpy(collection[n]["X"]))


def test_threads_share_a_collection(collection):
    from concurrent.futures import ThreadPoolExecutor

    def total(_):
        return sum(
            batch["X"].sum().item() for batch in DataLoader(collection, 500, collate_fn=collate)
        )

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(total, range(8)))) == 1


def test_a_closed_collection_says_so_in_workers():
    collection = opened()
    collection.close()
    with pytest.raises(ValueError, match="closed"):
        list(DataLoader(collection, batch_size=8, collate_fn=collate, **workers(1)))


def test_an_error_of_a_file_comes_through_workers():
    path = str(helpers.FIXTURES / "bad/corrupt_gzip.h5ad")
    collection = MappedCollection([path], layers_keys="dense")
    with pytest.raises(OSError, match="corrupt_gzip.h5ad"):
        list(DataLoader(collection, batch_size=8, **workers(1)))


KILLED = """
import os, signal, sys, time
from torch.utils.data import DataLoader
from mapped_anndata import MappedCollection, collate

class Killed:
    def __init__(self, cells):
        self.cells = cells

    def __len__(self):
        return len(self.cells)

    def __getitems__(self, indices):
        if 1500 in indices:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.cells.__getitems__(indices)

if __name__ == "__main__":
    method, *paths = sys.argv[1:]
    cells = MappedCollection(paths)
    loader = DataLoader(Killed(cells), 100, collate_fn=collate, num_workers=2, multiprocessing_context=method)
    n_rows = None
    try:
        try:
            n_rows = sum(len(batch["X"]) for batch in loader)
        except (OSError, EOFError):
            # The connection broke over which torch was fetching a batch of the worker. torch's
            # handler of SIGCHLD tells of the death a moment later, wherever Python is by then.
            time.sleep(5)
    except RuntimeError:
        pass
    if n_rows is None:
        print("torch's error", flush=True)
        os._exit(len(cells[5]["X"]) != cells.n_vars)
    print(n_rows, "rows of", len(cells))
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_worker_is_torchs_error_and_no_hang(method, tmp_path):
    # In a process of its own: torch raises the deaths of workers wherever Python is at the moment.
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, script, method, *helpers.DEMO]
    # Not to a pipe, which workers that end a little later would hold open.
    with open(tmp_path / "out", "w+") as out:
        status = subprocess.run(command, stdout=out, stderr=out, timeout=120).returncode
        out.seek(0)
        text = out.read()
    assert status == 0 and "torch's error\n" in text, text


def test_workers_forked_from_a_thread_while_an_epoch_runs(collection):
    # Not of a pool: a process that one of its threads forks fails when it ends, as it joins itself.
    totals = []

    def add_totals():
        for _ in range(2):
            batches = DataLoader(collection, 500, collate_fn=collate, **workers(2))
            totals.append(sum(batch["X"].sum().item() for batch in batches))

    running = iter(collection.loader(64, shuffle="exact"))
    threads = [threading.Thread(target=add_totals, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    n_rows = sum(len(batch["X"]) for batch in running)
    for thread in threads:
        thread.join(120)
    assert len(totals) == 4 and len(set(totals)) == 1
    assert n_rows == 3350


def test_pickles_are_small():
    # What a spawned worker is sent: paths and options, no data.
    assert len(pickle.dumps(opened())) < 2000
    assert sys.getsizeof(pickle.dumps(opened())) < 2500
