"""Packs on disk: processes share them, and what goes wrong with them is a warning."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse

from mapped_anndata import IoOptions, MappedCollection

DEMO = Path(__file__).parents[3] / "cli/demo"
PATHS = [DEMO / "a.h5ad", DEMO / "c.zarr"]
IO = IoOptions(cache_bytes=0, pack_bytes=0)


def opened(cache=None, **options):
    return MappedCollection(PATHS, obs_keys="cell_type", io=IO, cache=cache, **options)


def sums(cells, seed=1):
    """The sum of each row of an epoch, by store and row."""
    found = {}
    for batch in cells.loader(64, shuffle="exact", seed=seed, output="csr", memory="8 MiB"):
        places = zip(batch["_store_idx"], batch["_row_idx"], strict=True)
        totals = np.add.reduceat(
            np.append(batch["X"].data, 0), np.minimum(batch["X"].indptr[:-1], len(batch["X"].data))
        )
        totals[np.diff(batch["X"].indptr) == 0] = 0
        found |= dict(zip(places, totals, strict=True))
    return found


@pytest.fixture(scope="module")
def expected():
    with opened() as cells:
        return sums(cells)


def test_an_epoch_fills_the_cache_for_the_next_process(tmp_path, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(tmp_path) as cells:
            assert cells.cache_info()["cached_bands"] == 0
            assert sums(cells) == expected
            info = cells.cache_info()
            assert info["cached_bands"] == info["bands"] > 10
            assert 100_000 < info["bytes"] < sum(f.stat().st_size for f in tmp_path.rglob("*"))
    script = (
        "import sys, mapped_anndata as m\n"
        f"cells = m.MappedCollection({[str(path) for path in PATHS]}, cache={str(tmp_path)!r})\n"
        "info = cells.cache_info()\n"
        "sys.exit(info['cached_bands'] != info['bands'])\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def _of_part(cells, part):
    """Reads a third of the rows, by index and all at once, and returns their sums."""
    rows = range(part, len(cells), 3)
    return {row: float(cells[row]["X"].sum()) for row in rows}, float(
        cells.get_batch(rows)["X"].sum(dtype="float64")
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_a_cache(tmp_path, method):
    context = multiprocessing.get_context(method)
    with opened() as plain:
        expected = [_of_part(plain, part) for part in range(3)]
    for _ in range(2):  # an empty and a filled folder
        with opened(tmp_path) as cells:
            cells[0]  # a worker is forked with a cache in use
            with ProcessPoolExecutor(3, mp_context=context) as pool:
                found = list(pool.map(_of_part, [cells] * 3, range(3)))
            assert found == expected
            cells.prepare()
    assert not list(tmp_path.rglob("*.part"))


def test_forked_children_read_what_their_parent_wrote(tmp_path, expected):
    with opened(tmp_path) as cells:
        batches = iter(cells.loader(64, shuffle="exact", seed=1, memory="8 MiB"))
        next(batches)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = int(sums(cells) != expected)
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        for _ in batches:
            pass
        assert sums(cells) == expected


def test_a_forked_child_keeps_its_bands_when_its_parent_closes(tmp_path):
    cells = opened(tmp_path, cache_size="1 MiB")
    cells.prepare()
    reading, writing = os.pipe()
    waiting, waking = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            cells[0]
            os.write(writing, b"x")
            os.read(waiting, 1)  # until the parent has tried to remove them
            status = int(not list(tmp_path.rglob("*.pack")))
        finally:
            os._exit(status)
    assert os.read(reading, 1) == b"x"
    cells.close()
    before = {path.name for path in tmp_path.rglob("*.pack")}
    with MappedCollection(DEMO / "b.h5ad", io=IO, cache=tmp_path, cache_size="300 KiB") as other:
        other.prepare()
    assert before <= {path.name for path in tmp_path.rglob("*.pack")}
    os.write(waking, b"x")
    assert os.waitpid(child, 0)[1] == 0


def test_a_damaged_segment_is_a_warning(tmp_path, expected):
    with opened(tmp_path) as cells:
        cells.prepare()
    for segment in tmp_path.rglob("*.pack"):
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 1
        segment.write_bytes(content)
    damaged = pytest.warns(UserWarning, match="is damaged and was removed")
    with opened(tmp_path) as cells, damaged:
        assert sums(cells) == expected
    with opened(tmp_path) as cells:
        assert sums(cells) == expected
        info = cells.cache_info()
        assert info["cached_bands"] == info["bands"]


def test_a_vanished_folder_is_a_warning(tmp_path, expected):
    cells = opened(tmp_path / "cache")
    for path in sorted((tmp_path / "cache").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.warns(UserWarning, match="this cache cannot be written"):
        assert sums(cells) == expected


def test_prepare_ends_when_its_progress_raises(tmp_path):
    # So many bands that no machine has packed them all when progress is first called.
    matrix = scipy.sparse.random(20_000, 50, 0.1, "csr", dtype=np.float32, random_state=0)
    path = tmp_path / "many.h5ad"
    ad.AnnData(matrix).write_h5ad(path)
    with h5py.File(path, "a") as file:
        for part in ["indices", "data"]:
            values = file["X"][part][:]
            del file["X"][part]
            file["X"].create_dataset(part, data=values, chunks=(100,), compression="gzip")
    cells = MappedCollection(path, io=IO, cache=tmp_path / "cache")
    calls = []

    def progress(part):
        calls.append(part)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cells.prepare(progress)
    info = cells.cache_info()
    assert len(calls) == 1 and 0 < info["cached_bands"] < info["bands"]
    cells.prepare()
    assert cells.cache_info()["cached_bands"] == info["bands"]


def test_a_smaller_size_removes_nothing_that_is_read(tmp_path, expected):
    with opened(tmp_path) as cells:
        cells.prepare()
    before = {path.name for path in tmp_path.rglob("*.pack")}
    with opened(tmp_path, cache_size="10 KiB") as cells:
        info = cells.cache_info()
        assert info["cached_bands"] == info["bands"]
        assert sums(cells) == expected
    assert {path.name for path in tmp_path.rglob("*.pack")} == before


def test_cache_survives_pickling_and_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = opened("cache", cache_size="1 MiB")
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(cells))
    again.prepare()
    assert f"cache={str(tmp_path / 'cache')!r}" in repr(again)
    assert (tmp_path / "cache/packs").is_dir()
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 100_000 < size < 2**20


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match="^cache: expected a path, found int$"):
        opened(3)
    with pytest.raises(ValueError, match="^cache: expected a path, found an empty text$"):
        opened("")
    with pytest.raises(ValueError, match="^cache_size: expected a number of bytes"):
        opened(tmp_path, cache_size="much")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="expected a cache, an empty folder.*found a folder with"):
        opened(tmp_path)
    with pytest.raises(ValueError, match="found a file"):
        opened(tmp_path / "file")
    assert opened().cache_info() is None
