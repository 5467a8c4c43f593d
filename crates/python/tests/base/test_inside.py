"""Tables inside files, stores in zip archives, and files that are something else."""

import gzip
import pickle
import zipfile

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from mapped_anndata import IoOptions, MappedCollection


def cells(n_genes=7):
    x = np.random.default_rng(n_genes).poisson(1, (12, n_genes)).astype("f4")
    obs = pd.DataFrame(
        {"kind": pd.Categorical(list("abc") * 4)}, index=[f"c{i}" for i in range(12)]
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    return ad.AnnData(sp.csr_matrix(x), obs=obs, var=var, layers={"dense": x})


def mudata(root):
    root.attrs["encoding-type"] = "MuData"
    for axis in ("obs", "var"):
        ad.io.write_elem(root, axis, getattr(cells(), axis))
    mod = root.create_group("mod")
    ad.io.write_elem(mod, "rna", cells())
    ad.io.write_elem(mod, "atac", cells(5))


def spatial(root):
    root.attrs["spatialdata_attrs"] = {"version": "0.2"}
    root.create_group("images")
    ad.io.write_elem(root.create_group("tables"), "table", cells())


def zipped(folder, archive, compression, top=""):
    with zipfile.ZipFile(archive, "w", compression) as out:
        for path in folder.rglob("*"):
            if path.is_file():
                name = path.relative_to(folder)
                out.write(path, f"{top}{name}")
                out.writestr(f"__MACOSX/{top}{name.parent}/._{name.name}", b"finder")
    return archive


@pytest.fixture(scope="module", params=["h5mu", "v2", "v3", "stored", "deflated", "in a folder"])
def container(request, tmp_path_factory):
    """A MuData file in a format, and its path."""
    folder = tmp_path_factory.mktemp("both")
    if request.param == "h5mu":
        with h5py.File(folder / "both.h5mu", "w", userblock_size=512) as file:
            mudata(file)
        return folder / "both.h5mu"
    store = folder / "both.zarr"
    mudata(zarr.open_group(store, mode="w", zarr_format=2 if request.param == "v2" else 3))
    if request.param in ("v2", "v3"):
        return store
    compression = zipfile.ZIP_STORED if request.param == "stored" else zipfile.ZIP_DEFLATED
    top = "both.zarr/" if request.param == "in a folder" else ""
    return zipped(store, folder / "both.zarr.zip", compression, top)


def read(path):
    made = MappedCollection(
        [path], layers_keys=["X", "dense"], obs_keys="kind", encode_labels=False
    )
    batch = made.get_batch(range(len(made)))
    return batch["X"], batch["dense"], list(batch["kind"])


def test_a_table_of_mudata(container):
    for inner, n_genes in [
        ("rna", 7),
        ("mod/rna", 7),
        ("mod/rna/", 7),
        ("atac", 5),
        ("mod/atac", 5),
    ]:
        expected = cells(n_genes)
        x, dense, kind = read(f"{container}/{inner}")
        assert np.array_equal(x, expected.X.toarray()) and np.array_equal(
            dense, expected.layers["dense"]
        )
        assert kind == list(expected.obs["kind"])


def test_two_tables_of_one_file(container):
    paths = [f"{container}/rna", f"{container}/atac"]
    io = IoOptions(max_open_files=1, cache_bytes=1 << 16)
    made = MappedCollection(paths, join="outer", io=io)
    assert made.original_shapes == [(12, 7), (12, 5)]
    expected = [cells().X.toarray(), cells(5).X.toarray()]
    for collection in (made, pickle.loads(pickle.dumps(made))):
        x = collection.get_batch(range(24))["X"]
        assert np.array_equal(x[:12], expected[0]) and np.array_equal(x[12:, :5], expected[1])
        assert sum(len(batch["X"]) for batch in collection.loader(5, shuffle=True)) == 24


def test_a_container_is_named(container):
    with pytest.raises(
        OSError, match=r"a MuData file with the tables mod/atac, mod/rna: name one"
    ) as error:
        MappedCollection([container])
    assert f"{container}/mod/atac" in str(error.value)
    for inner in ("rn", "mod/rn", "mod"):
        with pytest.raises(OSError):
            MappedCollection([f"{container}/{inner}"])


def test_errors_name_the_path_of_the_table(container):
    with pytest.raises(ValueError, match="kin") as error:
        MappedCollection([f"{container}/rna"]).get_merged_labels("kin")
    assert "kind" in str(error.value)
    made = MappedCollection([f"{container}/rna", f"{container}/atac"], join=None)
    with pytest.raises(ValueError) as error:
        made.get_batch([0, 20])
    assert f"{container}/" in str(error.value)


def test_spatialdata(tmp_path):
    for zarr_format in (2, 3):
        store = tmp_path / f"{zarr_format}.zarr"
        spatial(zarr.open_group(store, mode="w", zarr_format=zarr_format))
        archive = zipped(store, tmp_path / f"{zarr_format}.zip", zipfile.ZIP_DEFLATED)
        for path in (store, archive):
            assert np.array_equal(read(path / "tables/table")[0], cells().X.toarray())
            with pytest.raises(OSError, match="a SpatialData store with the tables tables/table"):
                MappedCollection([path])


def test_a_table_in_any_group_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "nested.h5", "w") as file:
        ad.io.write_elem(file.create_group("a/b"), "t", cells())
        file["link"] = h5py.SoftLink("/a/b/t")
    for inner in ("a/b/t", "link"):
        assert np.array_equal(read(tmp_path / "nested.h5" / inner)[0], cells().X.toarray())


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_shards_in_a_zip_archive(tmp_path, compression):
    expected = cells()
    expected.write_zarr(tmp_path / "a.zarr")
    x = np.random.default_rng(0).poisson(1, (1000, 40)).astype("i4")
    group = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    ad.io.write_elem(group, "/", ad.AnnData(np.zeros((1000, 40), "f4")))
    made = group.create_array(
        "layers/l", shape=x.shape, dtype="i4", chunks=(10, 10), shards=(500, 40)
    )
    made[:] = x
    made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    archive = zipped(tmp_path / "s.zarr", tmp_path / "s.zarr.zip", compression)
    for cache_bytes in (None, 0, 30_000):
        io = IoOptions(cache_bytes=cache_bytes)
        cells_ = MappedCollection([archive], layers_keys="l", io=io)
        assert np.array_equal(cells_.get_batch(range(1000))["l"], x)
        order = np.random.default_rng(1).permutation(1000)[:50]
        assert np.array_equal(cells_.get_batch(order)["l"], x[order])
        assert np.array_equal(np.concatenate([batch["l"] for batch in cells_.loader(64)]), x)


class Streamed:
    """A file that cannot seek: lengths follow the bytes then."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def write(self, data):
        return self.file.write(data)

    def flush(self):
        self.file.flush()


def test_archives_written_as_streams_and_with_long_lengths(tmp_path):
    store = tmp_path / "a.zarr"
    cells().write_zarr(store)
    for name, streamed, zip64 in [
        ("d.zip", True, False),
        ("z.zip", False, True),
        ("dz.zip", True, True),
    ]:
        path = tmp_path / name
        target = Streamed(path) if streamed else path
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
            for file in store.rglob("*"):
                if file.is_file():
                    with out.open(str(file.relative_to(store)), "w", force_zip64=zip64) as entry:
                        entry.write(file.read_bytes())
        if streamed:
            target.file.close()
        assert np.array_equal(read(path)[0], cells().X.toarray()), name


def others(folder):
    cells().write_h5ad(folder / "cells.h5ad")
    data = (folder / "cells.h5ad").read_bytes()
    (folder / "gz.h5ad").write_bytes(gzip.compress(data))
    (folder / "rds.h5ad").write_bytes(
        gzip.compress(b"X\n\x00\x00\x00\x03" + bytes(range(256)) * 99)
    )
    with zipfile.ZipFile(folder / "zip.h5ad", "w") as out:
        out.write(folder / "cells.h5ad", "cells.h5ad")
    np.savez(folder / "n.npz", data=np.zeros(3))
    pd.DataFrame({"gene": [1.0]}).to_csv(folder / "csv.h5ad")
    (folder / "page.h5ad").write_text("<!doctype html><title>Sign in</title>")
    (folder / "lfs.h5ad").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    (folder / "empty.h5ad").write_bytes(b"")
    with h5py.File(folder / "tenx.h5", "w") as file:
        for name in ("barcodes", "indptr", "indices", "data"):
            file[f"matrix/{name}"] = np.zeros(3)
    with h5py.File(folder / "cells.loom", "w") as file:
        file["matrix"] = np.zeros((3, 2))
        for name in ("row_attrs", "col_attrs", "layers"):
            file.create_group(name)
    return {
        "gz.h5ad": "gunzip",
        "rds.h5ad": "a file of R",
        "zip.h5ad": "cells.h5ad: unzip it first",
        "n.npz": "npz",
        "csv.h5ad": "read_csv",
        "page.h5ad": "web page",
        "lfs.h5ad": "git lfs pull",
        "empty.h5ad": "an empty file",
        "tenx.h5": "read_10x_h5",
        "cells.loom": "read_loom",
        ".": "name the files in it",
    }


def test_files_that_are_something_else(tmp_path):
    for name, says in others(tmp_path).items():
        with pytest.raises(OSError) as error:
            MappedCollection([tmp_path / name])
        assert says in str(error.value), name
        assert "current anndata" not in str(error.value), name
