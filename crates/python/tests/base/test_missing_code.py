"""What a missing label is: nan in items, a code in batches, and the same code in both if asked for."""

import copy
import pickle

import h5py
import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import MappedCollection, collate


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Two stores; the second lacks a column and has a label that is the text nan."""
    folder = tmp_path_factory.mktemp("missing")
    X = np.arange(8, dtype=np.float32).reshape(4, 2)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(["b", None, "nan", "a"]), "x": [0.5, np.nan, 1.5, 2.5]},
        index=list("abcd"),
    )
    obs["batch"] = ["p", "q", "p", "q"]
    obs["size"] = pd.array([5, None, 7, 5], dtype="Int16")
    one = helpers.write(folder / "one.h5ad", X=X, obs=obs)
    two = helpers.write(folder / "two.zarr", X=X, obs=obs[["kind", "x"]])
    return [one, two]


KEYS = ["kind", "batch", "size"]
KINDS = [2 - 1, None, 2, 0]  # a, b, nan: the text is a label


def opened(paths, **options):
    return MappedCollection(paths, obs_keys=KEYS, **options)


@pytest.mark.parametrize("code", [-100, 0, 7, -1, 2**63 - 1, -(2**63), np.int8(-5), np.uint64(3)])
def test_a_missing_label_of_an_item_is_the_code(paths, code):
    collection = opened(paths[:1], missing_code=code)
    for items in ([collection[i] for i in range(4)], collection.__getitems__(range(4))):
        assert [item["kind"] for item in items] == [code if k is None else k for k in KINDS]
        assert [item["size"] for item in items] == [0, code, 1, 0]
        assert {type(item[key]) for item in items for key in KEYS} == {int}
        batch = collate(items, as_torch=False)
        assert batch["size"].tolist() == [0, code, 1, 0] and batch["size"].dtype == np.int64
    for batch in (collection.get_batch(range(4)), collection[:4], next(iter(collection.loader(4)))):
        assert batch["kind"].tolist() == [code if k is None else k for k in KINDS]
    assert collection.missing_code == code and type(collection.missing_code) is int


def test_where_stores_differ(paths):
    collection = opened(paths, missing_code=9)
    assert "batch" not in collection[4] and collection[5]["kind"] == 9
    expected = [0, 1, 0, 1, 9, 9, 9, 9]
    assert collection.get_batch(range(8))["batch"].tolist() == expected
    # Items that were read together know the code of their collection.
    assert collate(collection.__getitems__(range(8)), as_torch=False)["batch"].tolist() == expected
    assert (
        collate([collection[i] for i in range(8)], as_torch=False, missing_code=9)["batch"].tolist()
        == expected
    )


def test_without_a_code_items_have_nan_and_batches_minus_100(paths):
    collection = opened(paths)
    assert collection.missing_code is None
    assert collection[1]["kind"] is np.nan and collection.__getitems__([5])[0]["kind"] is np.nan
    assert collection.get_batch([1])["kind"].tolist() == [-100]
    assert collate([collection[1]], as_torch=False)["kind"].tolist() == [-100]
    assert collate([collection[1]], as_torch=False, missing_code=7)["kind"].tolist() == [7]
    assert collate(collection.__getitems__([1]), as_torch=False, missing_code=7)[
        "kind"
    ].tolist() == [7]


def test_a_batch_may_have_another_code(paths):
    collection = opened(paths, missing_code=9)
    assert collection.get_batch([1], missing_code=3)["kind"].tolist() == [3]
    assert next(iter(collection.loader(2, missing_code=3)))["kind"].tolist() == [1, 3]
    # Items have the collection's; collate does not know which of them was missing.
    assert collate(collection.__getitems__([1]), as_torch=False, missing_code=3)[
        "kind"
    ].tolist() == [9]


def test_what_is_not_encoded_has_no_code(paths):
    collection = MappedCollection(
        paths, obs_keys=["kind", "x", "size"], encode_labels=False, missing_code=9
    )
    for item in (collection[1], collection.__getitems__([1])[0]):
        assert item["kind"] is np.nan and item["size"] is np.nan and np.isnan(item["x"])


@pytest.mark.parametrize(
    "other", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_copies_keep_the_code(paths, other):
    twin = other(opened(paths, missing_code=9))
    assert twin.missing_code == 9 and twin[1]["kind"] == 9 and "missing_code=9" in repr(twin)
    assert "missing_code" not in repr(other(opened(paths)))


@pytest.mark.parametrize("code", [np.nan, 1.0, "1", True, 2**63, 2**70, -(2**63) - 1, [1]])
def test_a_code_that_is_no_integer_of_64_bits(paths, code):
    collection = opened(paths)
    for read in (
        lambda: opened(paths, missing_code=code),
        lambda: collection.get_batch([0], missing_code=code),
        lambda: collection.loader(2, missing_code=code),
        lambda: collate([collection[0]], as_torch=False, missing_code=code),
    ):
        with pytest.raises((TypeError, ValueError), match="missing_code: ") as raised:
            read()
        assert type(raised.value) in (TypeError, ValueError)


def test_missing_and_the_text_nan_are_two_things(paths):
    collection = MappedCollection(paths, obs_keys="kind", encode_labels=False)
    labels = collection.get_merged_labels("kind")
    assert [label is np.nan for label in labels] == [False, True, False, False] * 2
    assert labels[2] == "nan" and type(labels[2]) is str
    assert collection.get_merged_categories("kind") == ["a", "b", "nan"]
    for items in ([collection[i] for i in range(4)], collection.__getitems__(range(4))):
        assert items[1]["kind"] is np.nan and items[2]["kind"] == "nan"
        assert collate(items, as_torch=False)["kind"] == ["b", None, "nan", "a"]
    assert collection.get_batch(range(4))["kind"] == ["b", None, "nan", "a"]
    assert opened(paths).encoders["kind"] == {"a": 0, "b": 1, "nan": 2}
    for values, rows in (("nan", [2, 6]), (np.nan, [1, 5]), (["nan", None], [1, 2, 5, 6])):
        kept = MappedCollection(paths, obs_filter={"kind": values})
        assert [4 * s + r for s, r in zip(kept.storage_idx, kept.indices)] == rows


def with_nan_category(path, dtype):
    """A categorical of floats, one of whose categories is NaN, as anndata never writes it."""
    obs = pd.DataFrame({"dose": pd.Categorical([0.5, 2.0, 3.5, 0.5, None])}, index=list("abcde"))
    helpers.write(path, X=np.eye(5, dtype=np.float32), obs=obs)
    with h5py.File(path, "r+") as file:
        attrs = dict(file["obs/dose/categories"].attrs)
        del file["obs/dose/categories"]
        file["obs/dose"].create_dataset(
            "categories", data=np.array([0.5, np.nan, 3.5], dtype=dtype)
        )
        file["obs/dose/categories"].attrs.update(attrs)
    return str(path)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_nan_among_the_categories_is_missing(tmp_path, dtype):
    path = with_nan_category(tmp_path / "a.h5ad", dtype)
    collection = MappedCollection([path], obs_keys="dose")
    assert collection.encoders == {"dose": {0.5: 0, 3.5: 1}}
    assert collection.get_merged_categories("dose") == [0.5, 3.5]
    expected = [0, -100, 1, 0, -100]
    assert collection.get_batch(range(5))["dose"].tolist() == expected
    assert [item["dose"] is np.nan for item in collection.__getitems__(range(5))] == [
        e == -100 for e in expected
    ]
    assert [collection[i]["dose"] is np.nan for i in range(5)] == [e == -100 for e in expected]
    assert np.isnan(collection.get_merged_labels("dose")).tolist() == [e == -100 for e in expected]
    coded = MappedCollection([path], obs_keys="dose", missing_code=-7)
    assert [coded[i]["dose"] for i in range(5)] == [0, -7, 1, 0, -7]
