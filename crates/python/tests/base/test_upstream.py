"""What lamindb's own test of the class asserts, row by row of its list of behaviours."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import write

from mapped_anndata import MappedCollection


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """`C` (dense h5ad, sparse zarr), `CO` (and one of other genes), and a CSC layer."""
    folder = tmp_path_factory.mktemp("upstream")
    obs = pd.DataFrame({"feat1": ["A", "B"], "feat2": ["A", "B"]}, index=["c1", "c2"])
    var = pd.DataFrame(index=["MYC", "TCF7", "GATA1"])
    pca = {"X_pca": np.array([[1, 2], [3, 4]])}
    x1, x2 = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[1, 2, 5], [4, 5, 8]])
    layer1 = x1.copy()
    layer1[0, 0] = 0
    raw = {"X": np.arange(8, 16).reshape(2, 4), "var": pd.DataFrame(index=["a", "b", "c", "d"])}
    a1 = dict(X=x1, obs=obs, var=var, obsm=pca, raw=raw, layers={"layer1": layer1})
    a2 = dict(X=sp.csr_matrix(x2), obs=obs, var=var, obsm=pca, layers={"layer1": sp.csr_matrix(x2)})
    missing = obs.assign(feat1=pd.Categorical([np.nan, "B"]))
    a3 = {**a2, "obs": missing, "var": pd.DataFrame(index=["A", "B", "C"])}
    a4 = {**a1, "layers": {"layer1": sp.csc_matrix(layer1)}}
    paths = [
        write(folder / "a1.h5ad", **a1),
        write(folder / "a2.zarr", **a2),
        write(folder / "a3.h5ad", **a3),
        write(folder / "a4.h5ad", **a4),
    ]
    return {"C": paths[:2], "CO": paths[:3], "CC": [paths[3], paths[1]]}


@pytest.fixture
def C(stores):
    return stores["C"]


@pytest.fixture
def CO(stores):
    return stores["CO"]


def test_01_name_and_context_manager(C):
    with MappedCollection(C) as collection:
        assert type(collection).__name__ == "MappedCollection"
        assert not collection.closed
    assert collection.closed


@pytest.mark.parametrize(
    "options",
    [
        {"encode_labels": ["feat1"]},
        {"obs_keys": "feat1", "encode_labels": ["feat3"]},
        {"obs_keys": "feat1", "unknown_label": {"feat3": "A"}},
    ],
    ids=["02", "03", "04"],
)
def test_02_to_04_labels_that_are_not_read(C, options):
    with pytest.raises(ValueError, match="should be in"):
        MappedCollection(C, **options)


def test_05_one_unknown_label_for_all(C):
    collection = MappedCollection(C, obs_keys=["feat1", "feat2"], unknown_label="A")
    assert collection.encoders == {"feat1": {"A": -1, "B": 0}, "feat2": {"A": -1, "B": 0}}
    assert [collection[0][key] for key in ("feat1", "feat2")] == [-1, -1]
    assert [collection[1][key] for key in ("feat1", "feat2")] == [0, 0]


def test_06_an_unknown_label_for_one_key(C):
    collection = MappedCollection(C, obs_keys=["feat1", "feat2"], unknown_label={"feat1": "A"})
    assert collection.encoders == {"feat1": {"A": -1, "B": 0}, "feat2": {"A": 0, "B": 1}}
    assert [(row["feat1"], row["feat2"]) for row in (collection[0], collection[1])] == [
        (-1, 0),
        (0, 1),
    ]


def test_07_only_some_keys_are_encoded(C):
    keys = ["feat1", "feat2"]
    collection = MappedCollection(C, obs_keys=keys, unknown_label="A", encode_labels=["feat1"])
    assert "feat2" not in collection.encoders
    assert [(row["feat1"], row["feat2"]) for row in (collection[0], collection[1])] == [
        (-1, "A"),
        (0, "B"),
    ]


def test_08_items(C):
    collection = MappedCollection(C, obs_keys="feat1")
    assert not collection.closed and len(collection) == 4
    assert len(collection[0]) == len(collection[2]) == 3
    assert len(collection[0]["X"]) == 3
    assert np.array_equal(collection[2]["X"], [1, 2, 5])


def test_09_to_12_weights(C):
    collection = MappedCollection(C, obs_keys="feat1")
    assert collection.get_label_weights("feat1").tolist() == [0.5] * 4
    both = ["feat1", "feat2"]
    assert collection.get_label_weights(both).tolist() == [0.5] * 4
    assert collection.get_label_weights(both, scaler=1.0).tolist() == [1 / 3] * 4
    classes = collection.get_label_weights(both, scaler=1.0, return_categories=True)
    assert classes == {"A__A": 1 / 3, "B__B": 1 / 3}


def test_13_to_16_variables_and_closing(C):
    collection = MappedCollection(C, obs_keys="feat1")
    for _ in range(2):
        assert not collection.check_vars_sorted(ascending=True)
        assert not collection.check_vars_sorted(ascending=False)
        assert collection.check_vars_non_aligned(["MYC", "TCF7", "GATA1"]) == []
        collection.var_list = None
    assert [list(names) for names in collection.var_list] == [["MYC", "TCF7", "GATA1"]] * 2
    collection.close()
    assert collection.closed


def test_17_dtype(C):
    with MappedCollection(C, obs_keys="feat1", join="inner", dtype="float32") as collection:
        assert not collection.closed and len(collection) == 4 and len(collection[0]) == 3
        assert str(collection[0]["X"].dtype) == str(collection[2]["X"].dtype) == "float32"
    assert collection.closed


def test_18_parallel(C):
    collection = MappedCollection(C, obs_keys="feat1", parallel=True)
    assert len(collection[0]) == 3
    assert collection[0]["_store_idx"] == 0 and collection[2]["_store_idx"] == 1


def test_19_layers_and_obsm(C):
    collection = MappedCollection(C, layers_keys=["layer1"], obsm_keys="X_pca", obs_keys="feat1")
    assert np.array_equal(collection[0]["layer1"], [0, 2, 3])
    assert np.array_equal(collection[2]["layer1"], [1, 2, 5])
    assert np.array_equal(collection[2]["obsm_X_pca"], [1, 2])
    assert np.array_equal(collection[3]["obsm_X_pca"], [3, 4])
    assert collection.shape == (4, 3) and collection.original_shapes == [(2, 3), (2, 3)]


def test_20_keys_that_are_missing(C):
    with pytest.warns(UserWarning, match="no store has") as warned:
        collection = MappedCollection(
            C, layers_keys=["X", "raw.X"], obs_keys="feat_missing", obsm_keys="X_missing"
        )
    assert len(warned) == 2 and all(w.filename == __file__ for w in warned)
    first = collection[0]
    assert len(collection) == 4 and first["X"].shape == (3,) and first["raw.X"].shape == (4,)
    assert "feat_missing" not in first and "obsm_X_missing" not in first
    assert "raw.X" not in collection[2]


def test_21_and_22_shape(C):
    collection = MappedCollection(C, obs_keys="feat1")
    assert collection.shape == (4, 3) and len(collection[0]) == 3


def test_23_nothing_shared(CO):
    with pytest.raises(ValueError, match="don't have shared variables.\nUse join='outer'."):
        MappedCollection(CO, join="inner")


def test_24_to_27_outer_join(CO):
    collection = MappedCollection(CO, "X", "feat1", "X_pca", join="outer")
    assert collection.shape == (6, 6) and collection.join_vars == "outer"
    assert list(collection.var_joint) == ["A", "B", "C", "GATA1", "MYC", "TCF7"]
    assert len(collection[0]) == 4 and len(collection[0]["X"]) == 6
    rows = [
        [0, 0, 0, 3, 1, 2],
        [0, 0, 0, 6, 4, 5],
        [0, 0, 0, 5, 1, 2],
        [0, 0, 0, 8, 4, 5],
        [1, 2, 5, 0, 0, 0],
        [4, 5, 8, 0, 0, 0],
    ]
    assert [collection[i]["X"].tolist() for i in range(6)] == rows
    assert collection[4]["feat1"] is np.nan
    assert np.issubdtype(collection[2]["X"].dtype, np.integer)
    assert np.issubdtype(collection[4]["X"].dtype, np.integer)
    assert np.array_equal(collection[3]["obsm_X_pca"], [3, 4])
    assert collection.check_vars_non_aligned(["MYC", "TCF7", "GATA1"]) == [2]
    assert not collection.check_vars_sorted()
    assert len(collection.get_label_weights("feat1")) == 6


def test_28_outer_join_of_a_layer(CO):
    collection = MappedCollection(CO, "layer1", join="outer")
    assert collection[0]["layer1"].tolist() == [0, 0, 0, 3, 0, 2]
    assert collection[4]["layer1"].tolist() == [1, 2, 5, 0, 0, 0]


def test_29_csc_is_read(stores):
    collection = MappedCollection(stores["CC"], "layer1")
    assert [item["layer1"].tolist() for item in collection] == [
        [0, 2, 3],
        [4, 5, 6],
        [1, 2, 5],
        [4, 5, 8],
    ]


def test_30_and_31_filters_as_pairs(C):
    with pytest.warns(DeprecationWarning, match="obs_filter"):
        collection = MappedCollection(C, obs_filter=("feat1", ("A", "B")))
    assert collection.shape == (4, 3) and collection.filtered
    assert collection[1]["X"].tolist() == [4, 5, 6] and collection[3]["X"].tolist() == [4, 5, 8]
    assert collection.get_label_weights("feat1").tolist() == [0.5] * 4
    with pytest.warns(DeprecationWarning):
        collection = MappedCollection(C, obs_filter=("feat1", "B"))
    assert collection.shape == (2, 3)
    assert [collection[i]["X"].tolist() for i in range(2)] == [[4, 5, 6], [4, 5, 8]]
    assert collection.get_label_weights("feat2").tolist() == [0.5] * 2


def test_32_filters_as_dicts(C):
    collection = MappedCollection(C, obs_filter={"feat1": "B", "feat2": ("A", "B")})
    assert collection.shape == (2, 3) and collection.original_shapes == [(1, 3), (1, 3)]
    assert [collection[i]["X"].tolist() for i in range(2)] == [[4, 5, 6], [4, 5, 8]]
    assert collection.get_label_weights("feat2").tolist() == [0.5] * 2


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA, pd.NaT, float("nan"), np.float32("nan")])
def test_33_to_35_filters_for_missing_labels(CO, missing):
    only = MappedCollection(CO, join="outer", obs_filter={"feat1": missing})
    assert only.shape == (1, 6) and only[0]["X"].tolist() == [1, 2, 5, 0, 0, 0]
    both = {"feat1": (missing,), "feat2": ["A", "B"]}
    assert MappedCollection(CO, join="outer", obs_filter=both).shape == (1, 6)
    for values, n_obs in [((missing, "A", "B"), 6), (["A", "B"], 5), (("A", missing), 3)]:
        assert len(MappedCollection(CO, join="outer", obs_filter={"feat1": values})) == n_obs
