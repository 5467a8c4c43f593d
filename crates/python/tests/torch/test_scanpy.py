"""A real data set, which scanpy's package brings along: 700 blood cells. Its functions as judges."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from mapped_anndata import (
    Clip,
    Downsample,
    Log1p,
    MappedCollection,
    NormalizeTotal,
    ScaleGenes,
)


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


@pytest.mark.parametrize("layout", ["csr", "dense"])
def test_transforms_are_scanpys(layout, tmp_path):
    rng = np.random.default_rng(1)
    # Counts of few and of many molecules; every twelfth cell is empty.
    counts = rng.negative_binomial(0.3, 0.05, (300, 200)) * (np.arange(300) % 12 > 0)[:, None]
    obs = pd.DataFrame({"size": rng.uniform(0.5, 2.0, 300)}, index=[f"c{i}" for i in range(300)])
    whole = ad.AnnData(counts.astype(np.float32), obs=obs)
    whole.var_names = [f"g{i}" for i in range(200)]
    paths = []
    for number, rows in enumerate([slice(0, 140), slice(140, 300)]):
        part = whole[rows, rng.permutation(200)].copy()
        part.X = sp.csr_matrix(part.X) if layout == "csr" else part.X
        paths.append(str(tmp_path / f"{number}.h5ad"))
        part.write_h5ad(paths[-1], compression="gzip" if number else None)
    genes = list(whole.var_names[20:80])
    exact = ad.AnnData(whole.X.astype(np.float64), obs=obs, var=whole.var)

    def check(expected, *steps):
        with MappedCollection(paths, genes=genes, transforms=list(steps)) as collection:
            found = collection[:]["X"]
            assert found.dtype == np.float32
            expected = expected[:, genes].X if isinstance(expected, ad.AnnData) else expected
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)
            loader = collection.loader(64, shuffle="exact", seed=2)
            for batch in loader:
                rows = batch["_row_idx"] + np.array([0, 140])[batch["_store_idx"]]
                assert np.array_equal(batch["X"], found[rows])

    log_normalised = sc.pp.normalize_total(exact, target_sum=1e4, copy=True)
    check(log_normalised, NormalizeTotal(1e4))
    sc.pp.log1p(log_normalised)
    check(log_normalised, NormalizeTotal(1e4), Log1p())
    check(sc.pp.normalize_total(exact, copy=True), NormalizeTotal("median"))
    check(sc.pp.log1p(exact, base=2, copy=True), Log1p(base=2))
    # scanpy knows only the genes that it has: those are the joint ones.
    chosen = exact[:, genes].copy()
    check(sc.pp.normalize_total(chosen, copy=True).X, NormalizeTotal("median", totals="joint"))
    scaled = log_normalised[:, genes].copy()
    mean, std = scaled.X.mean(0), scaled.X.std(0, ddof=1)
    sc.pp.scale(scaled, max_value=3)
    # scanpy clips on both sides.
    steps = [NormalizeTotal(1e4), Log1p(), ScaleGenes(mean, std), Clip(-3, 3)]
    with MappedCollection(paths, genes=genes, transforms=steps) as collection:
        np.testing.assert_allclose(collection[:]["X"], scaled.X, rtol=1e-5, atol=1e-6)
    by_size = exact.X / obs["size"].to_numpy()[:, None]
    check(ad.AnnData(by_size, var=whole.var), NormalizeTotal(1.0, obs_key="size"))


def test_downsampling_has_scanpys_depth(tmp_path):
    rng = np.random.default_rng(3)
    counts = ad.AnnData(rng.poisson(3.0, (200, 300)).astype(np.float32))
    target = 400
    expected = sc.pp.downsample_counts(counts, counts_per_cell=target, copy=True)
    assert (expected.X.sum(1) == target).all()
    file = str(tmp_path / "counts.h5ad")
    counts.write_h5ad(file)
    with MappedCollection(file, transforms=[Downsample(target)]) as collection:
        found = collection[:]["X"]
    # scanpy's rows have the depth, ours have it on average: each molecule is kept or not by itself.
    assert abs(found.sum(1).mean() - target) < 5 and found.sum(1).std() < 30
    assert (found <= counts.X).all()
    means = counts.X * (target / counts.X.sum(1, keepdims=True))
    assert abs(found.mean(0) - means.mean(0)).max() < 0.3
