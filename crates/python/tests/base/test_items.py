"""Items read at once, and collate without torch."""

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import MappedCollection, collate


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO, obs_keys=["cell_type", "donor"])


def together(items):
    return collate(items, as_torch=False)


def test_items_view_one_block(collection):
    items = collection.__getitems__([5, 900, 5, -1])
    assert type(items[0]) is dict and isinstance(items, list)
    block = items.block["X"]
    assert all(np.shares_memory(item["X"], block) for item in items)
    assert together(items)["X"] is block
    assert np.array_equal(block, np.stack([collection[i]["X"] for i in (5, 900, 5, -1)]))


def test_collate_gives_what_get_batch_gives(collection):
    indices = list(range(0, 3350, 50))
    expected = collection.get_batch(indices)
    for items in (collection.__getitems__(indices), [collection[i] for i in indices]):
        batch = together(items)
        assert list(batch) == [key for key in expected if key != "_row_idx"]
        for key, value in batch.items():
            assert value.dtype == expected[key].dtype and np.array_equal(value, expected[key])


def test_collate_respects_what_was_done_to_items(collection):
    expected = np.stack([collection[i]["X"] for i in (1, 2, 3)])

    items = collection.__getitems__([1, 2, 3])
    items.reverse()
    assert np.array_equal(together(items)["X"], expected[::-1])

    items = collection.__getitems__([1, 2, 3])
    items[1]["X"] = items[1]["X"] + 1
    assert np.array_equal(together(items)["X"], expected + [[0], [1], [0]])

    items = collection.__getitems__([1, 2, 3])
    del items[0]
    assert np.array_equal(together(items)["X"], expected[1:])

    items = collection.__getitems__([1, 2, 3])
    items[0]["X"] = items[0]["X"][:5]
    items[1]["X"], items[2]["X"] = items[1]["X"][:5], items[2]["X"][:5]
    assert together(items)["X"].shape == (3, 5)

    items = collection.__getitems__([1, 2, 3])
    items[0]["cell_type"] = 77
    del items[1]["donor"]
    batch = together(items)
    assert batch["cell_type"][0] == 77 and batch["donor"][1] == -100


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Stores that differ: in obs columns, layers, missing labels."""
    folder = tmp_path_factory.mktemp("mixed")
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(["a", None, "b"]),
            "n": pd.array([1, None, 3], dtype="Int32"),
            "text": ["x", "y", "x"],
            "x": np.array([0.5, 1.5, np.nan], dtype=np.float32),
        },
        index=list("abc"),
    )
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    one = helpers.write(folder / "one.h5ad", X=X, obs=obs, layers={"extra": X + 10})
    two = helpers.write(folder / "two.h5ad", X=X.astype(np.int64) + 100, obs=obs[[]])
    keys = ["label", "n", "text", "x"]
    return MappedCollection([one, two], ["X", "extra"], keys, encode_labels=["label"])


def test_collate_where_items_differ(mixed):
    for items in ([mixed[i] for i in range(6)], mixed.__getitems__(range(6))):
        batch = together(items)
        assert list(batch) == [
            "_store_idx",
            "X",
            "extra",
            "label",
            "n",
            "n_valid",
            "text",
            "x",
            "x_valid",
        ]
        assert batch["X"].dtype == np.result_type(np.float32, np.int64) and batch["X"].shape == (
            6,
            2,
        )
        assert [row is None for row in batch["extra"]] == [False] * 3 + [True] * 3
        assert (
            batch["label"].tolist() == [0, -100, 1, -100, -100, -100]
            and batch["label"].dtype == np.int64
        )
        assert (
            batch["n"].dtype == np.int32
            and batch["n_valid"].tolist() == [True, False, True] + [False] * 3
        )
        assert batch["n"][[0, 2]].tolist() == [1, 3]
        assert batch["text"] == ["x", "y", "x", None, None, None]
        assert (
            batch["x"].dtype == np.float32 and batch["x_valid"].tolist() == [True] * 3 + [False] * 3
        )
        assert np.isnan(batch["x"][2])


def test_collate_of_only_missing_values(mixed):
    # The block tells what the items do not.
    one = MappedCollection(
        mixed.path_list[:1], "X", ["label", "n", "text"], encode_labels=["label"]
    )
    batch = together(one.__getitems__([1]))
    assert batch["label"].tolist() == [-100] and batch["n_valid"].tolist() == [False]
    assert batch["n"].dtype == np.int32
    assert together([mixed[1]])["label"].tolist() == [-100]


def test_collate_of_texts_and_numbers(tmp_path):
    """A column that is text in one store and a number in another."""
    obs = [pd.DataFrame({"c": values}, index=list("ab")) for values in (["x", "y"], [1.5, 2.5])]
    paths = [helpers.write(tmp_path / f"{i}.h5ad", X=np.eye(2), obs=of) for i, of in enumerate(obs)]
    collection = MappedCollection(paths, obs_keys="c", encode_labels=False)
    assert together(collection.__getitems__([2, 0]))["c"] == [1.5, "x"]


def test_collate_of_a_large_batch(collection):
    rows = np.arange(3350)
    batch = together(collection.__getitems__(rows))
    assert np.array_equal(batch["cell_type"], collection.get_batch(rows)["cell_type"])
    numbers = MappedCollection(
        helpers.DEMO, obs_keys="cell_type", layers_keys=[], encode_labels=False
    )
    assert (
        together(numbers.__getitems__(rows))["cell_type"].count(None)
        == (batch["cell_type"] == -100).sum()
        > 0
    )


def test_collate_of_widths_that_differ():
    collection = MappedCollection(helpers.DEMO[:2], join=None)
    batch = together([collection[0], collection[-1]])
    assert [len(row) for row in batch["X"]] == [550, 440]


def test_no_items(collection):
    assert collection.__getitems__([]) == []
    assert together([]) == {}
