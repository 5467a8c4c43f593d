"""Opening, closing, pickling, forking, threads: what happens to a collection in its life."""

import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import helpers
import numpy as np
import pytest

from mapped_anndata import IoOptions, MappedCollection


def open_demo(**options):
    return MappedCollection(helpers.DEMO, obs_keys=["cell_type", "donor"], **options)


def sums(collection, indices):
    return [float(collection[index]["X"].sum()) for index in indices]


def ask(collection, indices):
    """In another process."""
    return sums(collection, indices), repr(collection)


INDICES = list(range(0, 3350, 67))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_other_processes_read_what_this_one_reads(method):
    collection = open_demo()
    expected = sums(collection, INDICES)
    with multiprocessing.get_context(method).Pool(2) as pool:
        for found, text in pool.starmap(ask, [(collection, INDICES)] * 4):
            assert found == expected and text == repr(collection)
    assert sums(collection, INDICES) == expected


def test_a_fork_in_the_middle_of_everything():
    collection = open_demo()
    expected = sums(collection, INDICES)
    stop = threading.Event()

    def read():
        while not stop.is_set():
            sums(collection, INDICES)

    threads = [threading.Thread(target=read) for _ in range(4)]
    [thread.start() for thread in threads]
    try:
        for _ in range(10):
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            child = context.Process(target=lambda: queue.put(sums(collection, INDICES)))
            child.start()
            child.join(60)
            assert child.exitcode == 0
            assert queue.get() == expected
    finally:
        stop.set()
        [thread.join() for thread in threads]


def test_an_epoch_goes_on_in_a_fork():
    loader = open_demo().loader(100, shuffle="exact")
    batches = iter(loader)
    next(batches)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put([b["X"].sum() for b in batches]))
    child.start()
    found = queue.get()
    child.join(60)
    assert child.exitcode == 0
    assert found == [b["X"].sum() for b in batches] and len(found) == 33


@pytest.mark.parametrize(
    "other", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_are_collections_of_their_own(other):
    io = IoOptions(cache_bytes="1 MiB", mmap=False)
    collection = MappedCollection(
        helpers.DEMO,
        obs_keys=["cell_type"],
        obs_filter={"cell_type": ["T cell", np.nan]},
        join="outer",
        unknown_label="unknown",
        dtype="float64",
        io=io,
    )
    twin = other(collection)
    assert repr(twin) == repr(collection) and twin.encoders == collection.encoders
    assert twin._options == collection._options and twin._options.io == io
    for index in (0, 7, -1):
        helpers.assert_same_item(twin[index], collection[index])
    collection.close()
    assert collection.closed and not twin.closed
    assert twin[0]["X"].dtype == np.float64
    assert other(collection).closed


def test_a_copy_warns_no_second_time(recwarn):
    collection = MappedCollection(helpers.DEMO[:1], obs_keys="nothing")
    recwarn.clear()
    copy.deepcopy(collection)
    assert not recwarn.list


class Subclass(MappedCollection):
    """Of a user."""


def test_subclasses_stay_what_they_are():
    collection = Subclass(helpers.DEMO[:1])
    assert type(pickle.loads(pickle.dumps(collection))) is Subclass


def test_closing():
    collection = open_demo()
    batches = iter(collection.loader(8))
    next(batches)
    collection.close()
    collection.close()
    assert collection.closed and len(collection) == 3350
    for read in (
        lambda: collection[0],
        lambda: collection.__getitems__([0]),
        lambda: collection.get_batch([0]),
        lambda: collection.get_merged_labels("donor"),
        lambda: collection.loader(8),
    ):
        with pytest.raises(ValueError, match="closed"):
            read()
    with pytest.raises(ValueError, match="closed"):
        for _ in batches:
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the files of /proc")
def test_a_failed_constructor_leaves_no_file_open():
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        MappedCollection([*helpers.DEMO, "nowhere.h5ad"])
    assert set(os.listdir("/proc/self/fd")) <= before


def test_threads_read_at_once():
    collection = open_demo()
    expected = sums(collection, INDICES)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: sums(collection, INDICES), range(32)):
            assert found == expected


def test_reading_lets_other_threads_run():
    """A thread that counts gets on while another waits for batches."""
    collection = open_demo()
    rows = np.arange(20_000) % 3350
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.0001)

    thread = threading.Thread(target=count)
    thread.start()
    interval = sys.getswitchinterval()
    # Nobody takes the lock from a thread that does not let go of it.
    sys.setswitchinterval(100)
    try:
        for read in (
            lambda: collection.get_batch(rows),
            lambda: collection.__getitems__(rows),
            lambda: next(iter(collection.loader(20_000, sampler=rows, workers=0))),
            lambda: next(iter(collection.loader(20_000, sampler=rows, workers=1))),
        ):
            before = counted[0]
            read()
            assert counted[0] > before + 1
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()


def test_arrays_outlive_everything():
    collection = open_demo()
    item = collection[5]["X"]
    items = collection.__getitems__([1, 2])
    loader = collection.loader(512, output="csr", shuffle="exact")
    batches = list(loader)
    copies = [batch["X"].toarray() for batch in batches]
    expected = collection.get_batch([5, 1, 2])["X"]
    collection.close()
    del collection, loader
    gc.collect()
    other = open_demo()
    for _ in range(3):
        sum(1 for _ in other.loader(512, output="csr", shuffle="exact", seed=9))
    assert np.array_equal(item, expected[0])
    assert np.array_equal(items[0]["X"], expected[1]) and np.array_equal(items[1]["X"], expected[2])
    for batch, whole in zip(batches, copies):
        assert np.array_equal(batch["X"].toarray(), whole)


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
from mapped_anndata import MappedCollection

# Python leaves the signal ignored where a shell started the tests in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
rows = np.arange(400_000) % 3350
loader = MappedCollection({paths!r}).loader(400_000, sampler=rows, output="csr", memory="4 GiB", workers={workers})
expected = next(iter(loader))["X"].data.sum()

batches = iter(loader)
# A moment that does not depend on how busy the machine was before.
threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.perf_counter()
try:
    next(batches)
    print("missed")
except KeyboardInterrupt:
    interrupted = time.perf_counter()
# What was waited for is not lost, and much of it was still to be done.
found = next(batches)["X"].data.sum()
rest = time.perf_counter() - interrupted
print("soon" if rest > (interrupted - start) / 10 else "late")
print(found == expected)
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_gets_through_while_a_batch_is_awaited(workers):
    code = INTERRUPTED.format(paths=helpers.DEMO, workers=workers)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["soon", "True"], run.stdout + run.stderr


def test_ten_thousand_stores_under_few_file_descriptors(tmp_path):
    code = f"""
import os, resource
from mapped_anndata import MappedCollection
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
paths = []
for number in range(10_000):
    paths.append(os.path.join({str(tmp_path)!r}, f"{{number}}.h5ad"))
    os.symlink({str(helpers.STORES / "base_a_csr.h5ad")!r}, paths[-1])
one, cells = MappedCollection(paths[:1]), MappedCollection(paths)
expected = len(paths) * sum(float(one[i]["X"].sum()) for i in range(len(one)))
loader = cells.loader(512, shuffle="exact", seed=1, output="csr")
found = sum(float(batch["X"].data.sum(dtype="f8")) for batch in loader)
print(len(cells) == 10_000 * len(one), abs(found / expected - 1) < 1e-6)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["True", "True"], run.stdout + run.stderr


def test_the_worker_init_function_does_nothing():
    assert MappedCollection.torch_worker_init_fn(0) is None


CSC = [str(helpers.STORES / name) for name in ("csc.h5ad", "csc_v3.zarr", "v06_csc.h5ad")]


def test_columns_are_turned_into_rows_beforehand():
    collection = MappedCollection(CSC, join="outer", io=IoOptions(pack_bytes=0))
    parts = []
    collection.prepare(parts.append)
    assert parts == sorted(parts) and parts[0] > 0 and parts[-1] == 1
    again = []
    collection.prepare(again.append)
    assert again == []
    expected = sums(MappedCollection(CSC, join="outer"), range(len(collection)))
    assert sums(collection, range(len(collection))) == expected
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(sums, [(collection, range(len(collection)))] * 4)
    assert found == [expected] * 4


def test_what_progress_raises_is_raised():
    collection = MappedCollection(CSC, join="outer")
    with pytest.raises(KeyError, match="enough"):
        collection.prepare(lambda part: {}["enough"])
    collection.close()
    with pytest.raises(ValueError, match="closed"):
        collection.prepare()


@pytest.mark.parametrize("pack_bytes", [0, 2000, "512 MiB"])
def test_packed_rows_are_those_of_the_files(pack_bytes):
    paths = [str(helpers.STORES / name) for name in ("base_a_csr.h5ad", "base_b_csr_v3.zarr")]
    io = IoOptions(cache_bytes=0, pack_bytes=pack_bytes, pack_uncompressed=True)
    packed = MappedCollection(paths, join="outer", io=io)
    expected = [
        row["X"]
        for row in map(MappedCollection(paths, join="outer").__getitem__, range(len(packed)))
    ]
    for _ in range(3):
        for row, x in enumerate(expected):
            np.testing.assert_array_equal(packed[row]["X"], x)
        np.testing.assert_array_equal(packed.get_batch(range(len(packed)))["X"], expected)
    loader = packed.loader(5, shuffle="exact", seed=3)
    totals = [sum(float(batch["X"].sum(dtype="f8")) for batch in loader) for _ in range(3)]
    np.testing.assert_allclose(totals, np.sum(expected, dtype="f8"))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply(sums, (packed, range(len(packed))))
    assert found == [float(x.sum()) for x in expected]
