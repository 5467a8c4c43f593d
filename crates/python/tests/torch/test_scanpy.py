"""A real data set, which scanpy's package brings along: 700 blood cells."""

import numpy as np
import pytest
import scanpy as sc

from mapped_anndata import MappedCollection


@pytest.fixture(scope="module", params=["h5ad", "zarr"])
def stored(request, tmp_path_factory):
    data = sc.datasets.pbmc68k_reduced()
    path = tmp_path_factory.mktemp("scanpy") / f"cells.{request.param}"
    (data.write_h5ad if request.param == "h5ad" else data.write_zarr)(path)
    return data, str(path)


def test_it_is_what_anndata_reads(stored):
    data, path = stored
    keys = list(data.obs)
    collection = MappedCollection(
        [path, path], ["X", "raw.X"], keys, ["X_pca", "X_umap"], encode_labels=False
    )
    assert collection.shape == (1400, 765) and list(collection.var_joint) == list(data.var_names)
    raw = data.raw.X.toarray()
    for row in range(0, 1400, 13):
        item, of_file = collection[row], row % 700
        assert np.array_equal(item["X"], data.X[of_file])
        assert np.array_equal(item["raw.X"], raw[of_file])
        assert np.array_equal(item["obsm_X_pca"], data.obsm["X_pca"][of_file])
        assert all(item[key] == data.obs[key].iloc[of_file] for key in keys)
    batch = collection.get_batch(range(700), as_torch=True)
    assert np.array_equal(batch["raw.X"].numpy(), raw)
    assert batch["bulk_labels"] == data.obs["bulk_labels"].tolist()


def test_labels_and_weights(stored):
    data, path = stored
    collection = MappedCollection([path], obs_keys="bulk_labels")
    names = sorted(data.obs["bulk_labels"].cat.categories)
    assert collection.encoders["bulk_labels"] == {name: code for code, name in enumerate(names)}
    codes = collection.get_batch(range(700))["bulk_labels"]
    assert [names[code] for code in codes] == data.obs["bulk_labels"].tolist()
    counts = data.obs["bulk_labels"].value_counts()
    expected = [1 / counts[label] for label in data.obs["bulk_labels"]]
    assert np.allclose(collection.get_label_weights("bulk_labels"), expected)
