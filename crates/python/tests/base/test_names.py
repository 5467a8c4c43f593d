"""Names in a batch never replace each other."""

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import MappedCollection, collate


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A store in which many names stand for two things."""
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    numbers = ["X", "counts", "n", "n_valid", "_store_idx", "_row_idx", "obsm_pca"]
    obs = pd.DataFrame({name: [7, 8, 9] for name in numbers}, index=list("abc"))
    obs["nullable"] = pd.array([1, None, 3], dtype="Int32")
    obs["nullable_valid"] = [4, 5, 6]
    layers = dict.fromkeys(("counts", "n_valid", "_row_idx", "obsm_pca"), X + 10)
    return helpers.write(
        tmp_path_factory.mktemp("names") / "a.h5ad",
        X=X,
        obs=obs,
        layers=layers,
        obsm={"pca": X + 20},
    )


CLASHES = [
    ({"obs_keys": "X"}, "X"),
    ({"layers_keys": "counts", "obs_keys": "counts"}, "counts"),
    ({"obs_keys": "_store_idx"}, "_store_idx"),
    ({"obs_keys": "_row_idx"}, "_row_idx"),
    ({"layers_keys": "_row_idx"}, "_row_idx"),
    ({"obs_keys": "obsm_pca", "obsm_keys": "pca"}, "obsm_pca"),
    ({"layers_keys": "obsm_pca", "obsm_keys": "pca"}, "obsm_pca"),
    ({"obs_keys": ["n", "n_valid"]}, "n_valid"),
    ({"obs_keys": ["n_valid", "n"]}, "n_valid"),
    ({"layers_keys": "n_valid", "obs_keys": "n"}, "n_valid"),
]


@pytest.mark.parametrize(("options", "name"), CLASHES, ids=str)
def test_two_entries_of_one_name_are_an_error_of_batches(path, options, name):
    collection = MappedCollection([path], encode_labels=False, **options)
    for read in (
        lambda: collection.get_batch([0]),
        lambda: collection[[0, 1]],
        lambda: collection[:2],
        lambda: collection.loader(2),
    ):
        with pytest.raises(
            ValueError, match=f'cannot hold both .* and .* under the name "{name}": ask for one'
        ):
            read()


@pytest.mark.parametrize(("options", "name"), CLASHES, ids=str)
def test_items_keep_the_reference_s_rule(path, options, name):
    collection = MappedCollection([path], encode_labels=False, **options)
    item = collection[1]
    if name in options.get("obs_keys", ()):
        assert item[name] in (8, 5)
    helpers.assert_same_item(collection.__getitems__([0, 1])[1], item)


def test_encoded_keys_have_no_validity(path):
    collection = MappedCollection([path], obs_keys=["n", "n_valid"], encode_labels=["n"])
    batch = collection.get_batch([0, 2])
    assert list(batch) == ["_store_idx", "_row_idx", "X", "n", "n_valid", "n_valid_valid"]
    assert batch["n_valid"].tolist() == [7, 9] and batch["n"].tolist() == [0, 2]


def test_a_key_asked_for_twice_is_one_entry(path):
    for options in (
        {"obs_keys": ["n", "n"]},
        {"layers_keys": ["X", "X"]},
        {"obsm_keys": ["pca", "pca"]},
    ):
        assert len(MappedCollection([path], **options).get_batch([0])["_row_idx"]) == 1


def test_collate_overwrites_nothing(path):
    for keys in (["nullable", "nullable_valid"], ["nullable_valid", "nullable"]):
        collection = MappedCollection([path], obs_keys=keys, encode_labels=False)
        for items in ([collection[i] for i in range(3)], collection.__getitems__([0, 1, 2])):
            with pytest.raises(
                ValueError, match="both the entry 'nullable_valid' and the validity of 'nullable'"
            ):
                collate(items, as_torch=False)
    # What a user adds to items counts as well.
    items = MappedCollection([path], obs_keys="n", encode_labels=False).__getitems__([0, 1])
    items[1]["n_valid"] = "mine"
    with pytest.raises(ValueError, match="n_valid"):
        collate(items, as_torch=False)
