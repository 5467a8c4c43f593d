"""Files that MAPPED_ANNDATA_REAL_FILES names (paths, separated by colons): as anndata reads them."""

import os

import numpy as np
import pytest

from mapped_anndata import MappedCollection

PATHS = [path for path in os.environ.get("MAPPED_ANNDATA_REAL_FILES", "").split(":") if path]


@pytest.mark.skipif(not PATHS, reason="MAPPED_ANNDATA_REAL_FILES is not set")
@pytest.mark.parametrize("path", PATHS or ["unset"])
def test_a_real_file_is_what_anndata_reads(path):
    import anndata as ad
    import pandas as pd
    import scipy.sparse as sp

    data = ad.read_zarr(path) if os.path.isdir(path) else ad.read_h5ad(path)
    keys = list(data.obs)
    collection = MappedCollection([path], obs_keys=keys, encode_labels=False)
    assert collection.shape == data.shape
    assert list(collection.var_joint) == list(data.var_names)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, data.n_obs, min(data.n_obs, 50))
    assert collection.obs_names(rows) == data.obs_names[rows].tolist()
    for row in rows:
        item = collection[row]
        expected = data.X[row]
        expected = expected.toarray() if sp.issparse(expected) else np.asarray(expected)
        np.testing.assert_array_equal(item["X"], expected.ravel())
        for key in keys:
            value = data.obs[key].iloc[row]
            assert pd.isna(item[key]) if pd.isna(value) else item[key] == value, key
    for key in keys:
        labels = collection.get_merged_labels(key)
        expected = data.obs[key]
        assert pd.isna(labels).tolist() == expected.isna().tolist()
        present = expected.notna().to_numpy()
        assert labels[present].tolist() == expected[present].tolist()
    total = sum(
        batch["X"].data.sum(dtype=np.float64) for batch in collection.loader(1000, output="csr")
    )
    np.testing.assert_allclose(total, data.X.sum(dtype=np.float64), rtol=1e-6)
