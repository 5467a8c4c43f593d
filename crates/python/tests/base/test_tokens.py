"""Rows as sequences of tokens."""

import pickle

import helpers
import numpy as np
import pytest

from mapped_anndata import (
    Clip,
    DivideGenes,
    GeneList,
    Log1p,
    MappedCollection,
    NormalizeTotal,
    Tokens,
)

STORES = [str(helpers.STORES / name) for name in ("base_a_csr.h5ad", "base_b_dense_v2.zarr")]
VOCABULARY = {"<pad>": 0, "<cls>": 1, "<eos>": 2, "MYC": 30, "none": 31, "CD4": 80, "CD8A": 90}


def opened(**options):
    return MappedCollection(STORES, **{"layers_keys": "counts", **options})


def ranked(matrix, length, pad):
    """The columns and values of the largest values of each row, as one lexsort finds them."""
    ids = np.full((len(matrix), length), pad)
    values = np.zeros((len(matrix), length), matrix.dtype)
    for number, row in enumerate(matrix):
        columns = np.flatnonzero(row)
        columns = columns[np.lexsort((columns, -row[columns].astype(float)))][:length]
        ids[number, : len(columns)], values[number, : len(columns)] = columns, row[columns]
    return ids, values


@pytest.mark.parametrize("length", [1, 3, 7, 100])
def test_the_highest_values_come_first(length):
    with opened(join="outer") as cells:
        batch = cells.get_batch(range(11), output="tokens", tokens=Tokens(length, pad=-1))
        ids, values = ranked(cells[:]["counts"], length, -1)
        np.testing.assert_array_equal(batch["ids"], ids)
        np.testing.assert_array_equal(batch["values"], values)
        np.testing.assert_array_equal(batch["lengths"], (ids >= 0).sum(axis=1))
        assert batch["values"].dtype == cells.get_batch([0])["counts"].dtype
        assert {batch[key].dtype for key in ("ids", "lengths")} == {np.dtype(np.int64)}
        assert "counts" not in batch


@pytest.mark.parametrize("shuffle", [None, "exact", "blocks:2"])
@pytest.mark.parametrize("select", ["highest", "uniform", "by_value"])
def test_loaders_have_the_tokens_of_their_epoch(shuffle, select):
    steps = [NormalizeTotal(1e4), Log1p()]
    tokens = Tokens(2, select=select, pad="<pad>", cls="<cls>", bins=5, pad_value=-2, seed=7)
    with opened(genes=VOCABULARY, transforms=steps, obs_keys="donor") as cells:
        form = {"output": "tokens", "tokens": tokens}
        expected = cells.get_batch(range(11), **form)
        at = {
            place: row
            for row, place in enumerate(zip(expected["_store_idx"], expected["_row_idx"]))
        }
        loader = cells.loader(4, shuffle=shuffle, **form)
        epochs = []
        for _ in range(2):
            ids = np.zeros((11, 2), int)
            for batch in loader:
                rows = [at[place] for place in zip(batch["_store_idx"], batch["_row_idx"])]
                ids[rows] = batch["ids"]
                assert (batch["ids"][:, 0] == 1).all() and batch["ids"].shape[1] == 2
                assert (batch["values"] <= 4).all()
            epochs.append(ids)
        np.testing.assert_array_equal(epochs[0], expected["ids"])
        # Only samples differ from epoch to epoch.
        assert (epochs[1] == epochs[0]).all() == (select == "highest")
        with pickle.loads(pickle.dumps(cells)) as again:
            np.testing.assert_array_equal(again.get_batch(range(11), **form)["ids"], epochs[0])


def test_bins_are_numpys():
    rng = np.random.default_rng(0)
    with opened(join="outer") as cells:
        by = DivideGenes(rng.uniform(0.1, 3, cells.n_vars))
    with opened(join="outer", transforms=by) as cells:
        rows = cells[:]["counts"]
        for bins in (2, 3, 4, 7, 51):
            batch = cells.get_batch(range(11), output="tokens", tokens=Tokens(9, pad=-1, bins=bins))
            for row, ids, values, length in zip(
                rows, *map(batch.get, ("ids", "values", "lengths"))
            ):
                x = row[np.flatnonzero(row)].astype(np.float64)
                if not len(x):
                    continue
                edges = np.quantile(x, np.linspace(0, 1, bins - 1))
                found = dict(zip(ids[:length], values[:length]))
                expected = dict(zip(np.flatnonzero(row), np.digitize(x, edges)))
                assert found == expected


def test_other_matrices_stay_dense():
    with opened(layers_keys=["X", "counts"], obsm_keys="X_pca") as cells:
        batch = cells.get_batch([0], output="tokens", tokens=Tokens(2, key="counts", pad=-1))
        assert [key for key in batch if not key.startswith("_")] == [
            "X",
            "ids",
            "values",
            "lengths",
            "obsm_X_pca",
        ]
        np.testing.assert_array_equal(batch["X"], cells.get_batch([0])["X"])


def test_a_list_of_genes_without_ids_numbers_them():
    with opened(genes=["CD4", "MYC", "none"]) as cells:
        batch = cells.get_batch([0, 1], output="tokens", tokens=Tokens(3, pad=3))
        assert set(batch["ids"].ravel()) <= {0, 1, 3}
    with opened(genes=GeneList.from_vocabulary(VOCABULARY)) as cells:
        batch = cells.get_batch([0, 1], output="tokens", tokens=Tokens(3))
        assert set(batch["ids"].ravel()) <= {0, 30, 80, 90}


FORM = {"output": "tokens"}


@pytest.mark.parametrize(
    "options, form, error, text",
    [
        ({}, {"output": "tokens"}, ValueError, "tokens: expected Tokens"),
        ({}, {"tokens": Tokens(5, pad=-1)}, ValueError, 'output: expected "tokens"'),
        ({}, {**FORM, "tokens": {"length": 5}}, TypeError, "tokens: expected Tokens, found"),
        (
            {},
            {**FORM, "tokens": Tokens(5)},
            ValueError,
            "pad=ID, or a vocabulary with special names",
        ),
        ({}, {**FORM, "tokens": Tokens(5, pad=1)}, ValueError, "pad that no gene has, found 1"),
        (
            {"genes": VOCABULARY},
            {**FORM, "tokens": Tokens(5, cls="<s>")},
            ValueError,
            'cls, or one of "<pad>", "<cls>", "<eos>", found cls="<s>"',
        ),
        (
            {"genes": VOCABULARY},
            {**FORM, "tokens": Tokens(5, cls=2, eos="<eos>")},
            ValueError,
            "different ids",
        ),
        (
            {"genes": VOCABULARY},
            {**FORM, "tokens": Tokens(2, cls=1, eos=2)},
            ValueError,
            "a length above 2",
        ),
        ({"genes": VOCABULARY}, {**FORM, "tokens": Tokens(2, eos=80)}, ValueError, "found 80"),
        ({}, {**FORM, "tokens": Tokens(5, key="Y", pad=-1)}, ValueError, 'layers "counts"'),
        (
            {"layers_keys": [], "obsm_keys": "X_pca"},
            {**FORM, "tokens": Tokens(5, pad=-1)},
            ValueError,
            "a layer to take genes from",
        ),
        (
            {"layers_keys": {"ids": "X", "c": "counts"}},
            {**FORM, "tokens": Tokens(5, key="c", pad=-1)},
            ValueError,
            'found "ids"',
        ),
        (
            {},
            {**FORM, "tokens": Tokens(5, pad=-1, pad_value=-2), "dtype": "uint8"},
            ValueError,
            "a finite pad_value that uint8 can hold",
        ),
        (
            {},
            {**FORM, "tokens": Tokens(5, pad=-1, bins=300), "dtype": "uint8"},
            ValueError,
            "fewer bins, so that uint8 holds their numbers",
        ),
        (
            {"transforms": Clip(min=1)},
            {**FORM, "tokens": Tokens(5, pad=-1)},
            ValueError,
            "tokens: expected dense",
        ),
        (
            {"layers_keys": "X"},
            {**FORM, "tokens": Tokens(5, pad=-1), "dtype": "int64"},
            ValueError,
            "dtype: expected a type of floats",
        ),
        (
            {"genes": {**VOCABULARY, "[PAD]": 3}},
            {**FORM, "tokens": Tokens(5, pad="[PAD]")},
            ValueError,
            'found pad="[PAD]", which is a gene',
        ),
        (
            {"join": None},
            {**FORM, "tokens": Tokens(5, pad=-1)},
            ValueError,
            "a matrix whose genes are joined",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options, form, error, text):
    with opened(**options) as cells:
        with pytest.raises(error) as caught:
            cells.get_batch([0], **form)
        assert text in str(caught.value)
        with pytest.raises(error):
            cells.loader(2, **form)


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"length": 0}, "length: expected 1 or more"),
        ({"length": 2, "bins": 1}, "bins: expected 2 or more"),
        ({"length": 2, "select": "top"}, "select: expected 'highest', 'uniform' or 'by_value'"),
        ({"length": 2, "pad": 1.5}, "pad: expected"),
        ({"length": 2, "pad_value": float("nan")}, "pad_value: expected a finite number"),
        ({"length": 2, "seed": -1}, "seed: expected 0 or more"),
    ],
)
def test_arguments_are_checked(arguments, error):
    with pytest.raises((ValueError, TypeError)) as caught:
        Tokens(**arguments)
    assert error in str(caught.value)


def test_values_that_cannot_be_drawn_by_name_their_row(tmp_path):
    ad = pytest.importorskip("anndata")
    x = np.ones((4, 3), np.float32)
    x[2, 1] = -1
    ad.AnnData(x).write_h5ad(tmp_path / "a.h5ad")
    with MappedCollection(tmp_path / "a.h5ad") as cells:
        tokens = Tokens(2, pad=-1, select="by_value")
        cells.get_batch([0, 1, 3], output="tokens", tokens=tokens)
        with pytest.raises(ValueError, match="row 2") as caught:
            cells.get_batch([0, 2], output="tokens", tokens=tokens)
        assert "not negative" in str(caught.value) and "found -1" in str(caught.value)
        # A negative value is expressed, and may be put into a bin.
        batch = cells.get_batch([2], output="tokens", tokens=Tokens(3, pad=-1, bins=3))
        np.testing.assert_array_equal(batch["ids"], [[0, 2, 1]])
        np.testing.assert_array_equal(batch["values"], [[2, 2, 1]])
