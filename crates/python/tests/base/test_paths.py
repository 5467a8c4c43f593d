"""Paths in all the forms that users have them: when they are resolved, and what is none."""

import os
import pathlib
import pickle
import shutil
import socket
import subprocess
import sys

import anndata as ad
import h5py
import helpers
import numpy as np
import pytest
import zarr

import mapped_anndata
from mapped_anndata import MappedCollection

A, _, C, _ = helpers.DEMO


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of two stores, which is current; and another one to change to."""
    shutil.copy(A, tmp_path / "a.h5ad")
    shutil.copytree(C, tmp_path / "c.zarr")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_relative_paths_are_resolved_once(folder):
    made = MappedCollection(["a.h5ad", "./c.zarr/"], obs_keys="cell_type")
    expected = [made[0]["X"], made[-1]["X"]]
    fresh = MappedCollection(["a.h5ad", "./c.zarr/"], obs_keys="cell_type")
    os.chdir("elsewhere")
    for collection in (fresh, pickle.loads(pickle.dumps(fresh)), pickle.loads(pickle.dumps(made))):
        assert np.array_equal(collection[0]["X"], expected[0])
        assert np.array_equal(collection[-1]["X"], expected[1])
        assert sum(len(batch["cell_type"]) for batch in collection.loader(100)) == len(made)
        assert len(collection.obs_names([0, len(made) - 1])) == 2
        assert (
            len(collection.var_list) == 2 and collection.get_merged_labels("cell_type") is not None
        )
        assert collection.path_list == ["a.h5ad", "./c.zarr/"]
    # What is found now is what is named now.
    with pytest.raises(FileNotFoundError) as raised:
        MappedCollection("a.h5ad")
    assert raised.value.filename == "a.h5ad"


def test_a_pickle_is_read_in_another_process_and_folder(folder):
    dumped = folder / "collection.pickle"
    dumped.write_bytes(pickle.dumps(MappedCollection(["a.h5ad"])))
    script = f"import pickle; print(len(pickle.load(open({str(dumped)!r}, 'rb'))))"
    package = pathlib.Path(mapped_anndata.__file__).resolve().parents[1]
    env = {**os.environ, "PYTHONPATH": str(package)}
    run = subprocess.run(
        [sys.executable, "-c", script], cwd="/", env=env, capture_output=True, text=True
    )
    assert run.stdout.strip() == str(len(MappedCollection(["a.h5ad"]))), run.stderr


@pytest.mark.parametrize(
    "form", [str, pathlib.Path, os.fsencode, lambda path: f"file://{path}", lambda path: [path]]
)
def test_a_single_path_is_a_list_of_one(form):
    assert len(MappedCollection(form(C))) == 900
    assert MappedCollection(C).path_list == [C]


def test_file_urls(folder):
    spaced = folder / "my cells 100%.h5ad"
    shutil.copy(A, spaced)
    n_obs = len(MappedCollection(A))
    for url in [
        f"file://{spaced}",
        spaced.as_uri(),
        pathlib.Path(spaced.as_uri()),
        f"file://localhost{spaced}",
        f"file:{spaced}",
        f"FILE://{spaced}",
    ]:
        made = MappedCollection([url])
        assert len(made) == n_obs and made.path_list == [url], url
    with pytest.raises(ValueError, match="copy the file"):
        MappedCollection([f"file://server{spaced}"])


def test_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    for path in ["~/a.h5ad", pathlib.Path("~/a.h5ad"), b"~/a.h5ad"]:
        made = MappedCollection([path])
        assert len(made) == len(MappedCollection(A)) and made.path_list == [path]
    with pytest.raises(FileNotFoundError):
        MappedCollection(["~nobody-of-this-name/a.h5ad"])


def test_names_that_are_no_utf8(folder):
    name = os.fsencode(folder) + b"/\xff.h5ad"
    shutil.copy(A, name)
    for path in (name, os.fsdecode(name)):
        made = MappedCollection([path])
        assert len(pickle.loads(pickle.dumps(made))) == len(made)


def objects():
    group = zarr.open_group(C, mode="r")
    return [
        (group, "zarr.*give the path"),
        (group["X"], "zarr.*give the path"),
        (h5py.File(A, "r"), "h5py.*give the path"),
        (ad.AnnData(np.zeros((2, 2))), "AnnData: write it to a file"),
        (open(A, "rb"), "give the path of the file"),
        (5, "int"),
        (None, "NoneType"),
    ]


@pytest.mark.parametrize("value, says", objects())
def test_objects_that_are_no_paths(value, says):
    with pytest.raises(TypeError, match=rf"path_list\[1\].*{says}"):
        MappedCollection([A, value])
    with pytest.raises(TypeError, match=f"path_list: .*{says}"):
        MappedCollection(value)


def test_a_dict_is_no_list_of_paths():
    with pytest.raises(TypeError, match="path_list: .*dict"):
        MappedCollection({A: 1})
    with pytest.raises(TypeError, match="path_list: .*ndarray"):
        MappedCollection(np.array(1))


def test_other_iterables_of_paths():
    n_obs = len(MappedCollection(A))
    for paths in [(path for path in [A]), {A}, np.array([A]), iter([A]), {A: 1}.keys()]:
        assert len(MappedCollection(paths)) == n_obs


def test_what_is_neither_file_nor_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5ad")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    for path, what in [("pipe.h5ad", "a pipe"), ("socket", "a socket"), ("/dev/null", "a device")]:
        with pytest.raises(OSError, match=what):
            MappedCollection([tmp_path / path])
    listener.close()
