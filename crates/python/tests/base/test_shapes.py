"""Matrices of one dimension: one column, or the only row."""

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from helpers import write

from mapped_anndata import MappedCollection

FORMATS = ["h5ad", "zarr"]
KINDS = {"encoding-type": "array", "encoding-version": "0.2.0"}


def store(path, n, m, **lists):
    """A store of n cells and m genes in which some matrices are lists; `__` stands for a slash."""
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n)])
    var = pd.DataFrame(index=[f"gene{i}" for i in range(m)])
    raw = {"X": np.ones((n, m), "f4"), "var": var}
    write(path, X=np.ones((n, m), "f4"), obs=obs, var=var, raw=raw)
    root = (
        h5py.File(path, "r+")
        if path.suffix == ".h5ad"
        else zarr.open_group(path, mode="r+", use_consolidated=False)
    )
    for key, values in lists.items():
        key = key.replace("__", "/")
        if key in root:
            del root[key]
        made = (
            root.create_dataset(key, data=values)
            if path.suffix == ".h5ad"
            else root.create_array(key, data=values)
        )
        made.attrs.update(KINDS)
    if path.suffix == ".h5ad":
        root.close()
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_column(tmp_path, suffix):
    """X, raw.X, layers and obsm of one gene."""
    numbers = np.arange(5, dtype="f4")
    lists = {"X": numbers, "raw__X": numbers + 1, "layers__a": numbers + 2, "obsm__b": numbers + 3}
    path = store(tmp_path / f"cells.{suffix}", 5, 1, **lists)
    made = MappedCollection([path], layers_keys=["X", "raw.X", "a"], obsm_keys="b")
    for i, key in enumerate(["X", "raw.X", "a", "obsm_b"]):
        assert made[3][key].tolist() == [3.0 + i]
        assert made.get_batch([4, 0, 4])[key].tolist() == [[4.0 + i], [i], [4.0 + i]]
    seen = np.concatenate([batch["obsm_b"] for batch in made.loader(batch_size=2)])
    np.testing.assert_array_equal(np.sort(seen, axis=0), numbers[:, None] + 3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_list_of_many_genes(tmp_path, suffix):
    """It is one column of obsm, and no X."""
    path = store(tmp_path / f"cells.{suffix}", 5, 3, X=np.arange(5.0), obsm__b=np.arange(5.0))
    made = MappedCollection([path], layers_keys=[], obsm_keys="b")
    assert made.get_batch(range(5))["obsm_b"].tolist() == [[0], [1], [2], [3], [4]]
    with pytest.raises(Exception, match=r"X: expected shape \[5, 3\], found \[5, 1\]"):
        MappedCollection([path])


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_row(tmp_path, suffix):
    """A store of one row has a row of as many columns as its variables."""
    numbers = np.arange(200_000, dtype="i4")
    path = store(
        tmp_path / f"cells.{suffix}",
        1,
        len(numbers),
        X=numbers,
        layers__a=numbers[::-1],
        obsm__b=np.arange(3.0),
    )
    made = MappedCollection([path], layers_keys=["X", "a"], obsm_keys="b")
    np.testing.assert_array_equal(made[0]["X"], numbers)
    np.testing.assert_array_equal(made.get_batch([0, 0])["a"], [numbers[::-1]] * 2)
    assert made[0]["obsm_b"].tolist() == [0, 1, 2]
    (batch,) = made.loader(batch_size=2)
    np.testing.assert_array_equal(batch["X"], [numbers])
    path = store(tmp_path / f"wrong.{suffix}", 1, 4, X=numbers[:3])
    with pytest.raises(Exception, match=r"X: expected shape \[1, 4\], found \[1, 3\]"):
        MappedCollection([path])
    path = store(tmp_path / f"one.{suffix}", 1, 1, X=numbers[:1])
    assert MappedCollection([path])[0]["X"].tolist() == [0]


@pytest.mark.parametrize("suffix", FORMATS)
def test_no_rows(tmp_path, suffix):
    """A list without elements fits any width."""
    path = store(tmp_path / f"cells.{suffix}", 0, 3, X=np.zeros(0, "f4"), obsm__b=np.zeros(0))
    made = MappedCollection([path], obsm_keys="b")
    assert made.shape == (0, 3)
    assert made.get_batch([])["X"].shape == (0, 3)
    other = write(
        tmp_path / f"other.{suffix}",
        X=np.ones((2, 3), "f4"),
        obs=None,
        var=pd.DataFrame(index=["gene0", "gene1", "gene2"]),
    )
    both = MappedCollection([path, other])
    assert both.get_batch([1])["X"].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("suffix", FORMATS)
def test_lists_with_a_name_that_is_no_text_beside_them(tmp_path, suffix):
    """A folder or a link whose name is not UTF-8 hides nothing."""
    path = store(tmp_path / f"cells.{suffix}", 5, 1, obsm__b=np.arange(5.0))
    if suffix == "zarr":
        (tmp_path / "cells.zarr").joinpath("obsm").joinpath(
            b"caf\xe9".decode("utf-8", "surrogateescape")
        ).mkdir()
    else:
        with h5py.File(path, "r+") as f:
            f["obsm"][b"caf\xe9"] = np.arange(5)
    made = MappedCollection([path], obsm_keys="b")
    assert made[2]["obsm_b"].tolist() == [2]
