"""Files on a server: rows, forks, pickles and errors are those of files on a disk."""

import os
import pickle
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mapped_anndata import MappedCollection

DEMO = Path(__file__).parents[3] / "cli/demo"


class Ranges(BaseHTTPRequestHandler):
    """Serves the files of the demo by ranges; 403 for any path below `private`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0].lstrip("/")
        if path.startswith("private/") or not (DEMO / path).is_file():
            self.send_response(403 if path.startswith("private/") else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = (DEMO / path).read_bytes()
        start, end = map(int, re.match(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        part = content[start : end + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        span = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self.send_header("Content-Range", span)
        self.send_header("ETag", f'"{len(content)}"')
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


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


def test_secrets_are_passed_on_and_not_shown(host):
    url = f"{host}/a.h5ad?signature=secret"
    with MappedCollection(url) as cells, pickle.loads(pickle.dumps(cells)) as again:
        assert "secret" not in repr(cells)
        np.testing.assert_array_equal(cells[5]["X"], again[5]["X"])


@pytest.mark.parametrize(
    ("path", "error"),
    [("none.h5ad", FileNotFoundError), ("private/a.h5ad", PermissionError)],
)
def test_errors_are_those_of_files(host, path, error):
    with pytest.raises(error) as raised:
        MappedCollection(f"{host}/{path}?signature=secret")
    assert "secret" not in str(raised.value) and path in str(raised.value)
