"""The golden cases: lamindb's own answers, or ours where it is wrong."""

import helpers
import numpy as np
import observe  # of fixtures/generate
import pandas as pd
import pytest
from lamindb.core._mapped_collection import MappedCollection as Reference

from mapped_anndata import MappedCollection, Tokens

CASES = helpers.cases()
OPENED = [n for n, case in CASES.items() if "error" not in case["expected"]]
AGREED = [name for name in OPENED if not CASES[name]["differs"]]


@pytest.fixture(autouse=True)
def in_fixtures(monkeypatch):
    """Tables know stores by their paths as given, which start at the folder of the fixtures."""
    monkeypatch.chdir(helpers.FIXTURES)


def paths(case):
    return [f"stores/{name}" for name in case["paths"]]


def asks(expected):
    """What a case asked beside the items."""
    asks = {}
    if "weights" in expected:
        asks["weights"] = [(entry["keys"], entry["scaler"]) for entry in expected["weights"]]
    for section in ("merged_labels", "merged_categories"):
        if section in expected:
            asks[section] = [entry["key"] for entry in expected[section]]
    if "presence" in expected:
        asks["presence"] = [entry["key"] for entry in expected["presence"]]
    for section in ("gene_overlaps", "source_keys", "not_in_table"):
        if section in expected:
            asks[section] = True
    if "check_vars_sorted" in expected:
        asks["check_vars_sorted"] = True
    if "check_vars_non_aligned" in expected:
        asks["check_vars_non_aligned"] = [
            entry["vars"] for entry in expected["check_vars_non_aligned"]
        ]
    return asks


def test_there_are_cases():
    assert len(CASES) >= 400 and len(AGREED) >= 150


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:no store has", "ignore:.*given genes")
def test_every_answer_is_the_expected_one(name):
    case = CASES[name]
    expected = case["expected"]
    if "error" in expected:
        with pytest.raises(Exception) as raised:
            MappedCollection(paths(case), **helpers.options(case))
        assert type(raised.value).__name__ == expected["error"]["class"]
        assert expected["error"].get("contains", "") in str(raised.value)
        return
    with MappedCollection(paths(case), **helpers.options(case)) as collection:
        found = observe.describe(collection, asks(expected), model=False)
        for entry in expected.get("tokens", []):
            assert tokens(collection, entry["options"]) == entry
    for field, value in expected.items():
        assert field == "tokens" or found[field] == value, field


def tokens(collection, options):
    """The tokens of all rows in an epoch."""
    options = dict(options)
    epoch = options.pop("epoch", 0)
    loader = collection.loader(5, shuffle="exact", output="tokens", tokens=Tokens(**options))
    loader.set_epoch(epoch)
    at = zip(collection.storage_idx.tolist(), collection.indices.tolist())
    at = {place: row for row, place in enumerate(at)}
    found = {name: [None] * len(at) for name in ("ids", "values", "lengths")}
    for batch in loader:
        for row, place in enumerate(zip(batch["_store_idx"], batch["_row_idx"])):
            for name, rows in found.items():
                rows[at[place]] = batch[name][row].tolist()
    return {"options": {**options, **({"epoch": epoch} if epoch else {})}, **found}


@pytest.mark.parametrize("name", OPENED)
@pytest.mark.filterwarnings("ignore:no store has", "ignore:.*given genes")
def test_rows_read_at_once_are_the_items(name):
    case = CASES[name]
    with MappedCollection(paths(case), **helpers.options(case)) as collection:
        # Backwards, and one row twice: order and repeats are part of it.
        indices = [*range(len(collection) - 1, -1, -1), *range(min(1, len(collection)))]
        items = collection.__getitems__(indices)
        assert isinstance(items, list) and len(items) == len(indices)
        for index, item in zip(indices, items):
            helpers.assert_same_item(item, collection[index], f"row {index}")


def unpacked(value):
    """zarr gives lamindb arrays of no dimension."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def compare_labels(ours, theirs, key):
    """Labels, categories and weights, where lamindb has them right: with none missing."""
    if not all(key in keys for keys in theirs._cache_obs_keys):
        return
    labels = ours.get_merged_labels(key)
    if pd.isna(labels).any() or len({type(label) for label in labels.tolist()}) > 1:
        return
    expected = theirs.get_merged_labels(key)
    # Texts are objects, as lamindb has them for h5ad.
    kind = "O" if expected.dtype.kind in "UT" else expected.dtype.kind
    assert labels.dtype.kind == kind and labels.tolist() == expected.tolist()
    assert ours.get_merged_categories(key) == theirs.get_merged_categories(key)
    if expected.dtype.kind == "T":
        return  # lamindb cannot count these.
    weights = ours.get_label_weights(key)
    assert weights.dtype == np.float64
    np.testing.assert_array_equal(weights, theirs.get_label_weights(key))
    both = [c.get_label_weights(key, 2.0, True) for c in (ours, theirs)]
    assert both[0] == both[1] and list(both[0]) == list(both[1])


ATTRIBUTES = [
    "n_obs",
    "n_obs_list",
    "n_vars",
    "n_vars_list",
    "shape",
    "indices",
    "storage_idx",
    "indices_list",
    "join_vars",
    "var_joint",
    "var_list",
    "var_indices",
    "layers_keys",
    "obs_keys",
    "obsm_keys",
    "filtered",
    "encode_labels",
    "unknown_label",
    "parallel",
    "path_list",
    "closed",
]


def plain(value):
    """An attribute in a form that compares by value, and tells lists from arrays."""
    if isinstance(value, pd.Index):
        return "Index", list(value)
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), value.tolist()
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(v) for v in value]
    return value


@pytest.mark.parametrize("name", AGREED)
@pytest.mark.filterwarnings("ignore")
def test_lamindb_says_the_same(name):
    case = CASES[name]
    theirs = Reference(paths(case), **helpers.options(case))
    ours = MappedCollection(paths(case), **helpers.options(case))
    for attribute in ATTRIBUTES:
        expected = plain(getattr(theirs, attribute))
        assert plain(getattr(ours, attribute)) == expected, attribute
    assert len(ours) == len(theirs)
    if case["options"].get("join", "") is not None:
        assert ours.original_shapes == theirs.original_shapes
    assert ours.encoders == getattr(theirs, "encoders", {})
    assert [list(codes) for codes in ours.encoders.values()] == [
        list(codes) for codes in getattr(theirs, "encoders", {}).values()
    ]
    for index in range(-len(theirs), len(theirs)):
        expected = {key: unpacked(value) for key, value in theirs[index].items()}
        helpers.assert_same_item(ours[index], expected, f"row {index}")
    with pytest.raises(IndexError) as ours_raised:
        ours[len(ours)]
    with pytest.raises(IndexError) as theirs_raised:
        theirs[len(theirs)]
    assert str(ours_raised.value) == str(theirs_raised.value)
    for key in ours.obs_keys or []:
        compare_labels(ours, theirs, key)
    assert ours.check_vars_sorted() == theirs.check_vars_sorted()
    assert ours.check_vars_sorted(ascending=False) == theirs.check_vars_sorted(ascending=False)
    if theirs.var_list:
        first = theirs.var_list[0]
        assert ours.check_vars_non_aligned(first) == theirs.check_vars_non_aligned(first)
    ours.close()
    theirs.close()
    assert ours.closed and theirs.closed
