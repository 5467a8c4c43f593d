"""Files on a server: rows, forks, pickles and errors are those of files on a disk."""

import copy
import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np
import pytest
import zarr

from mapped_anndata import IoOptions, MappedCollection

DEMO = Path(__file__).parents[3] / "cli/demo"


class Ranges(BaseHTTPRequestHandler):
    """Serves the files of a folder, by ranges; 403 for any path below `private`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = unquote(self.path.split("?")[0]).lstrip("/")
        self.server.requests.append(path)
        self.server.queries.append(unquote(self.path).lstrip("/"))
        file = self.server.folder / path
        if path.startswith("private/") or not file.is_file():
            return self.answer(403 if path.startswith("private/") else 404, b"")
        content = file.read_bytes()
        if "Range" not in self.headers:
            return self.answer(200, content, ETag=f'"{len(content)}"')
        start, end = re.match(r"bytes=(\d*)-(\d*)", self.headers["Range"]).groups()
        start, end = (int(start), int(end) + 1) if start else (-int(end), None)
        start, end, _ = slice(start, end).indices(len(content))
        span = f"bytes {start}-{end - 1}/{len(content)}"
        headers = {"ETag": f'"{len(content)}"', "Content-Range": span}
        self.answer(206 if start < end else 416, content[start:end], **headers)

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items() | {("Content-Length", len(body))}:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True, scope="module")
def caches(tmp_path_factory):
    """The cache folder of the user."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        (folder / "mapped-anndata").mkdir()
        yield folder


class Host(str):
    """The URL of a server, and what it was asked for: paths, also with queries."""

    def __new__(cls, url, server):
        host = super().__new__(cls, url)
        host.requests, host.queries = server.requests, server.queries
        return host


@contextmanager
def serving(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    server.daemon_threads, server.folder = True, Path(folder)
    server.requests, server.queries = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Host(f"http://127.0.0.1:{server.server_port}", server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def host():
    with serving(DEMO) as host:
        yield host


def epoch(cells):
    loader = cells.loader(64, shuffle="exact", seed=1, output="dense")
    return [batch["X"].copy() for batch in loader]


def test_rows_are_those_of_the_files(host):
    options = {"obs_keys": "cell_type", "join": "outer"}
    with (
        MappedCollection([f"{host}/a.h5ad", DEMO / "b.h5ad"], **options) as remote,
        MappedCollection([DEMO / "a.h5ad", DEMO / "b.h5ad"], **options) as local,
    ):
        assert len(remote) == len(local)
        for found, expected in zip(epoch(remote), epoch(local), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert remote[3]["cell_type"] == local[3]["cell_type"]


def zipped(folder, archive, compression):
    with zipfile.ZipFile(archive, "w", compression) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, f"data/{folder.name}/{path.relative_to(folder)}")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A folder with the stores of the demo, zipped; and as tables of MuData in each format."""
    folder = tmp_path_factory.mktemp("my stores")
    for name in ("c.zarr", "d.zarr"):
        zipped(DEMO / name, folder / f"{name}.zip", zipfile.ZIP_STORED)
        zipped(DEMO / name, folder / f"{name}.deflated.zip", zipfile.ZIP_DEFLATED)
    with h5py.File(folder / "two.h5mu", "w") as file, h5py.File(DEMO / "a.h5ad") as table:
        file.attrs["encoding-type"] = "MuData"
        table.copy("/", file.create_group("mod"), "my rna")
    for name in ("c.zarr", "d.zarr"):
        version = zarr.open_group(DEMO / name).metadata.zarr_format
        root = zarr.open_group(folder / f"two {name}", mode="w", zarr_format=version)
        root.create_group("mod")
        shutil.copytree(DEMO / name, folder / f"two {name}/mod/rna")
        zarr.consolidate_metadata(root.store)
    return folder


@pytest.mark.parametrize(
    ("path", "original"),
    [
        ("c.zarr.zip", "c.zarr"),
        ("d.zarr.zip", "d.zarr"),
        ("c.zarr.deflated.zip", "c.zarr"),
        ("d.zarr.deflated.zip", "d.zarr"),
        ("c.zarr.zip/data/c.zarr", "c.zarr"),
        ("two.h5mu/mod/my rna", "a.h5ad"),
        ("two.h5mu/my%20rna/", "a.h5ad"),
        ("two c.zarr/mod/rna", "c.zarr"),
        ("two d.zarr/mod/rna", "d.zarr"),
        ("two d.zarr/rna", "d.zarr"),
    ],
)
def test_archives_and_tables_inside_files(stores, tmp_path, path, original):
    options = {"obs_keys": "cell_type"}
    with serving(stores) as host, MappedCollection(DEMO / original, **options) as local:
        for _ in range(2):
            with MappedCollection(f"{host}/{path}", cache=tmp_path, **options) as remote:
                assert remote.shape == local.shape
                for found, expected in zip(epoch(remote), epoch(local), strict=True):
                    np.testing.assert_array_equal(found, expected)


def test_a_container_by_its_url_is_named(stores):
    with serving(stores) as host:
        for path in ("two.h5mu", "two d.zarr"):
            with pytest.raises(OSError, match="name one") as raised:
                MappedCollection(f"{host}/{path}")
            assert "rna" in str(raised.value)
        with pytest.raises(OSError, match="expected a group mod/none, found a file with the table"):
            MappedCollection(f"{host}/two.h5mu/mod/none")
        with pytest.raises(FileNotFoundError, match="none"):
            MappedCollection(f"{host}/two d.zarr/mod/none")


def test_forked_children_make_connections_of_their_own(host):
    with MappedCollection(f"{host}/a.h5ad") as cells:
        expected = [float(cells[row]["X"].sum()) for row in range(8)]
        for row in range(8):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(writing, repr(float(cells[row]["X"].sum())).encode())
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert float(os.read(reading, 99)) == expected[row]
            os.close(reading)
            os.close(writing)
        assert float(cells[7]["X"].sum()) == expected[7]


KILLED = """
import sys
from mapped_anndata import IoOptions, MappedCollection
folder, expected, *urls = sys.argv[1:]
while True:
    io = IoOptions(cache_bytes=0, pack_bytes=0)
    with MappedCollection(urls, join="outer", io=io, cache=folder) as cells:
        for number in range(3):
            loader = cells.loader(16, shuffle="exact", seed=number, output="csr")
            found = sum(float(batch["X"].data.sum(dtype="f8")) for batch in loader)
            assert abs(found - float(expected)) < 1e-6 * float(expected), (found, expected)
    print("read", flush=True)
"""


def test_killed_processes_leave_a_cache_of_a_server_s_files_that_others_can_use(host, tmp_path):
    names = ("a.h5ad", "b.h5ad", "c.zarr", "d.zarr")
    urls = [f"{host}/{name}" for name in names]
    with MappedCollection([DEMO / name for name in names], join="outer") as cells:
        expected = sum(
            float(batch["X"].data.sum(dtype="f8")) for batch in cells.loader(64, output="csr")
        )
    random = np.random.default_rng(7)
    for number in range(10):
        folder = tmp_path / str(number // 3)
        command = [sys.executable, "-c", KILLED, folder, str(expected), *urls]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        try:
            if number == 0:
                assert processes[0].stdout.readline() == "read\n"
            time.sleep(random.uniform(0.3, 1.5))
            ended = [process for process in processes if process.poll() is not None]
        finally:
            for process in processes:
                process.kill()
        errors = [process.communicate()[1] for process in processes]
        assert not ended, errors
    with MappedCollection(urls, join="outer", cache=folder) as cells:
        found = sum(
            float(batch["X"].data.sum(dtype="f8")) for batch in cells.loader(64, output="csr")
        )
    assert found == pytest.approx(expected)


def send_a_row(cells, sender):
    sender.send(cells[5]["X"])


def test_secrets_are_passed_on_and_not_shown(host):
    url = f"{host}/a.h5ad?part=1&signature=secret"
    storage = {"aws_secret_access_key": "hush", "region": "us-west-2"}
    with MappedCollection(url, storage_options=storage, cache=False) as cells:
        assert "secret" not in repr(cells) and "hush" not in repr(cells)
        expected = cells[5]["X"]
        pickled = pickle.dumps(cells)
        assert b"secret=" not in pickled and b"=secret" not in pickled and b"hush" not in pickled
        assert b"part=1" in pickled and b"us-west-2" in pickled
        host.queries.clear()
        copy.deepcopy(cells).close()
        assert set(host.queries) == {"a.h5ad?part=1&signature=secret"}
        with pickle.loads(pickled) as again:
            np.testing.assert_array_equal(again[5]["X"], expected)
        # A process that is being started gets them.
        assert "a.h5ad?part=1" in host.queries
        host.queries.clear()
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe()
        child = context.Process(target=send_a_row, args=(cells, sender))
        child.start()
        np.testing.assert_array_equal(receiver.recv(), expected)
        child.join()
        assert child.exitcode == 0
        assert set(host.queries) == {"a.h5ad?part=1&signature=secret"}


def test_options_of_storage_are_checked():
    with pytest.raises(ValueError, match="regoin"):
        MappedCollection("s3://bucket/a.h5ad", storage_options={"regoin": "west"})
    with pytest.raises(TypeError, match="storage_options: expected a dict of texts") as raised:
        MappedCollection("s3://bucket/a.h5ad", storage_options={"region": ["hush"]})
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "error"),
    [("none.h5ad", FileNotFoundError), ("private/a.h5ad", PermissionError)],
)
def test_errors_are_those_of_files(host, path, error):
    with pytest.raises(error) as raised:
        MappedCollection(f"{host}/{path}?signature=secret")
    assert "secret" not in str(raised.value) and path in str(raised.value)


def test_the_cache_of_the_user_keeps_what_is_read(host, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = {"obs_keys": "cell_type"}
    folder = tmp_path / "mapped-anndata"
    with (
        pytest.warns(UserWarning, match=f"{folder}: this folder now keeps .* up to [0-9]+ GiB"),
        MappedCollection([f"{host}/a.h5ad", f"{host}/c.zarr"], **options) as cells,
    ):
        expected = epoch(cells)
        assert cells.cache_info()["cached_bands"] > 0
    for revalidate, requests in [(True, ["a.h5ad", "c.zarr/.zmetadata"]), (False, [])]:
        host.requests.clear()
        io = IoOptions(revalidate=revalidate)
        with (
            warnings.catch_warnings(),
            MappedCollection([f"{host}/a.h5ad", f"{host}/c.zarr"], io=io, **options) as cells,
        ):
            warnings.simplefilter("error")
            cells._warn_of_cache()
            for found, rows in zip(epoch(cells), expected, strict=True):
                np.testing.assert_array_equal(found, rows)
        assert sorted(host.requests) == requests
    with MappedCollection(f"{host}/a.h5ad", cache=False) as cells:
        assert cells.cache_info() is None
        assert "cache=False" in repr(cells)
    with MappedCollection(DEMO / "a.h5ad") as cells:
        assert cells.cache_info() is None


def test_the_cache_folder_of_the_user_may_be_something_else(host, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "mapped-anndata").write_text("mine")
    with pytest.raises(ValueError, match="the option `cache` names another one.*found a file"):
        MappedCollection(f"{host}/a.h5ad")
    with MappedCollection(f"{host}/a.h5ad", cache=False) as cells:
        assert len(cells) > 0
