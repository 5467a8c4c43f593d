"""Servers that others wrote: S3 as moto has it, and what rclone serves over http and WebDAV."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import helpers
import numpy as np
import pytest

from mapped_anndata import IoOptions, MappedCollection

KEYS = {"aws_access_key_id": "me", "aws_secret_access_key": "hush"}
CASES = helpers.cases()
# The first case of each list of stores: others differ in options, which no server sees. Tables may
# name stores by local paths.
OPENED = list(
    {
        tuple(case["paths"]): name
        for name, case in reversed(CASES.items())
        if "error" not in case["expected"] and "obs_table" not in case["options"]
    }.values()
)
DEMO = Path(helpers.DEMO[0]).parent


@pytest.fixture(autouse=True, scope="module")
def machine(tmp_path_factory):
    """A machine without credentials and with an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


def started(command, port, path=""):
    """Starts a server and waits until it answers."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5).close()
            return server
        except OSError:
            assert server.poll() is None, command
            time.sleep(0.1)
    raise TimeoutError(command)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def moto():
    port = free_port()
    server = started([sys.executable, "-m", "moto.server", "-p", str(port)], port, "moto-api/")
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def bucket(moto):
    """A client of S3 with the bucket `cells`: `stores/` and `demo/` for credentials, `public/` for all."""
    client = boto3.client("s3", endpoint_url=moto, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket="cells")
    for prefix, folder in (("stores", helpers.STORES), ("demo", DEMO), ("public", DEMO)):
        acl = {"ACL": "public-read"} if prefix == "public" else {}
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".md":
                key = f"{prefix}/{path.relative_to(folder)}"
                client.put_object(Bucket="cells", Key=key, Body=path.read_bytes(), **acl)
    return client


@pytest.fixture(scope="module")
def signed(moto, bucket):
    return {**KEYS, "endpoint": moto, "region": "us-east-1", "allow_http": True}


@pytest.fixture(scope="module", params=["webdav", "http"])
def rclone(request):
    """The URL of the stores, served by rclone."""
    port = free_port()
    command = [shutil.which("rclone", path=Path(sys.executable).parent), "serve", request.param]
    command += [helpers.STORES, "--addr", f"127.0.0.1:{port}", "--config", "/dev/null"]
    server = started(command, port)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


def assert_same_rows(paths, remote, chosen, **more):
    with (
        MappedCollection(paths, **chosen) as expected,
        MappedCollection(remote, **chosen, **more) as found,
    ):
        assert found.shape == expected.shape
        assert found.encoders == expected.encoders
        for row in range(len(expected)):
            helpers.assert_same_item(found[row], expected[row], f"row {row}")


def is_consolidated(path):
    document = path / "zarr.json"
    return (path / ".zmetadata").exists() or (
        document.exists() and "consolidated_metadata" in document.read_text()
    )


@pytest.mark.parametrize("name", OPENED)
@pytest.mark.filterwarnings("ignore:no store has", "ignore:.*this folder now keeps")
def test_golden_cases_in_a_bucket(signed, name):
    case = CASES[name]
    paths = [str(helpers.STORES / path) for path in case["paths"]]
    remote = [f"s3://cells/stores/{path}" for path in case["paths"]]
    assert_same_rows(paths, remote, helpers.options(case), storage_options=signed)


@pytest.mark.parametrize("name", OPENED)
@pytest.mark.filterwarnings("ignore:no store has", "ignore:.*this folder now keeps")
def test_golden_cases_from_rclone(rclone, name):
    case = CASES[name]
    paths = [helpers.STORES / path for path in case["paths"]]
    is_served = [path.is_file() or is_consolidated(path) for path in paths]
    if not any(is_served):
        return
    remote = [
        f"{rclone}/{path.name}" if served else path
        for path, served in zip(paths, is_served, strict=True)
    ]
    assert_same_rows(paths, remote, helpers.options(case))


def epoch(cells):
    loader = cells.loader(128, shuffle="exact", seed=2, output="dense")
    return [batch["X"].copy() for batch in loader]


@pytest.mark.parametrize("name", ["a.h5ad", "c.zarr", "d.zarr"])
def test_public_buckets_need_no_credentials(moto, bucket, tmp_path, name):
    public = {"endpoint": moto, "skip_signature": "true", "region": "us-east-1"}
    chosen = {"obs_keys": "cell_type"}
    with MappedCollection(DEMO / name, **chosen) as local:
        expected = epoch(local)
    for revalidate in (True, True, False):
        more = {"cache": tmp_path, "io": IoOptions(revalidate=revalidate), **chosen}
        path = f"s3://cells/public/{name}"
        with MappedCollection(path, storage_options=public, **more) as cells:
            for found, rows in zip(epoch(cells), expected, strict=True):
                np.testing.assert_array_equal(found, rows)


def test_a_chunk_that_changed_is_read_anew(bucket, signed, tmp_path):
    def read():
        path = "s3://cells/changing/c.zarr"
        with MappedCollection(path, storage_options=signed, cache=tmp_path) as cells:
            return epoch(cells)

    def put(folder, names):
        for path in folder.rglob("*"):
            key = f"changing/c.zarr/{path.relative_to(folder)}"
            if path.is_file() and names in key:
                bucket.put_object(Bucket="cells", Key=key, Body=path.read_bytes())

    put(DEMO / "c.zarr", "")
    first = read()
    # The same cells, but other values: a layer of the same shape as X.
    for number in (0, 1):
        chunk = (DEMO / f"c.zarr/layers/counts/data/{number}").read_bytes()
        bucket.put_object(Bucket="cells", Key=f"changing/c.zarr/X/data/{number}", Body=chunk)
    second = read()
    with MappedCollection(DEMO / "c.zarr", layers_keys="counts") as counts:
        loader = counts.loader(128, shuffle="exact", seed=2, output="dense")
        expected = [batch["counts"].copy() for batch in loader]
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    for found, rows in zip(second, expected, strict=True):
        # The bytes of an integer, read as the float that the metadata states.
        np.testing.assert_array_equal(found.view("i4"), rows)


def test_a_chunk_that_is_gone_is_an_error(bucket, signed):
    folder = DEMO / "c.zarr"
    for path in folder.rglob("*"):
        if path.is_file():
            key = f"gone/c.zarr/{path.relative_to(folder)}"
            bucket.put_object(Bucket="cells", Key=key, Body=path.read_bytes())
    path = "s3://cells/gone/c.zarr"
    with MappedCollection(path, storage_options=signed, cache=False) as cells:
        bucket.delete_object(Bucket="cells", Key="gone/c.zarr/X/data/1")
        with pytest.raises(OSError, match="changed since it was opened"):
            epoch(cells)


@pytest.mark.parametrize(
    ("path", "change", "error", "text"),
    [
        ("s3://cells/demo/none.h5ad", {}, FileNotFoundError, "no such file"),
        ("s3://cells/demo/none.zarr", {}, FileNotFoundError, "no such file"),
        ("s3://none/a.h5ad", {}, FileNotFoundError, "no such bucket"),
        ("s3://cells", {}, FileNotFoundError, "no such file"),
        ("s3://cells/demo/a.h5ad", {"skip_signature": True}, PermissionError, "skip_signature"),
    ],
)
def test_errors_name_the_way_out(signed, path, change, error, text):
    with pytest.raises(error, match=text) as raised:
        MappedCollection(path, storage_options={**signed, **change})
    assert "hush" not in str(raised.value) and path in str(raised.value)


def test_credentials_of_the_profile(signed, tmp_path, monkeypatch):
    profile = tmp_path / "credentials"
    profile.write_text("[lab]\naws_access_key_id = me\naws_secret_access_key = hush\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    rest = {name: value for name, value in signed.items() if name not in KEYS}
    with MappedCollection("s3://cells/demo/a.h5ad", storage_options=rest) as cells:
        assert len(cells) == len(MappedCollection(DEMO / "a.h5ad"))


def test_without_credentials_it_says_so_at_once(signed):
    rest = {name: value for name, value in signed.items() if name not in KEYS}
    started = time.monotonic()
    with pytest.raises(PermissionError, match="no credentials"):
        MappedCollection("s3://cells/demo/a.h5ad", storage_options=rest)
    assert time.monotonic() - started < 30
