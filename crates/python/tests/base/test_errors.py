"""Errors are the classes that Python users expect, and say where and what."""

import json

import helpers
import numpy as np
import pytest

from mapped_anndata import MappedCollection

BAD = helpers.FIXTURES / "bad"
CASES = json.loads((BAD / "bad.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
@pytest.mark.filterwarnings("ignore:no store has")
def test_a_bad_file_is_refused_by_name(case):
    path = case["file"] if "://" in case["file"] else str(BAD / case["file"])
    with pytest.raises((OSError, ValueError, IndexError)) as raised:
        collection = MappedCollection([path], **case["options"])
        assert case["step"] == "read"
        for index in range(len(collection)):
            collection[index]
    text = str(raised.value)
    assert (
        case["file"] in text
        and (case["element"] or "") in text
        and case.get("contains", "") in text
    )


def test_a_batch_of_a_bad_file_is_refused_too():
    collection = MappedCollection([str(BAD / "corrupt_gzip.h5ad")], layers_keys="dense")
    with pytest.raises(OSError, match="corrupt_gzip.h5ad: layers/dense.*chunk"):
        collection.get_batch(range(len(collection)))
    loader = collection.loader(2)
    with pytest.raises(OSError, match="corrupt_gzip"):
        list(loader)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError) as raised:
        MappedCollection(["nowhere.h5ad"])
    assert raised.value.errno == 2 and raised.value.filename == "nowhere.h5ad"


@pytest.mark.parametrize("path", ["ftp://host/cells.h5ad", "redis://host/cells.h5ad"])
def test_a_url_of_another_kind_says_what_to_do(path):
    with pytest.raises(
        ValueError, match="pass an http, https, s3, gs, az or hf URL, or copy the file"
    ):
        MappedCollection([path])


def test_no_paths():
    with pytest.raises(ValueError, match="no paths"):
        MappedCollection([])


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO)


@pytest.mark.parametrize("index", [3350, -3351, 10**30, np.int64(3350)])
def test_indices_out_of_bounds(collection, index):
    with pytest.raises(IndexError, match="out of bounds"):
        collection[index]


@pytest.mark.parametrize("index", ["0", 1.0, None, True, [1.0, 2.0], np.array([[1, 2]]), object()])
def test_indices_that_are_none(collection, index):
    with pytest.raises(TypeError):
        collection[index]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"join": "left"}, ValueError),
        ({"dtype": "nonsense"}, TypeError),
        ({"dtype": "complex64"}, TypeError),
        ({"obs_filter": {"cell_type": [object()]}}, TypeError),
        ({"obs_keys": [1]}, TypeError),
    ],
)
def test_arguments_that_make_no_sense(options, error):
    with pytest.raises(error):
        MappedCollection(helpers.DEMO[:1], **options)


def test_a_missing_unknown_label_is_none():
    collection = MappedCollection(helpers.DEMO[:1], obs_keys="cell_type", unknown_label=np.nan)
    assert -1 not in collection.encoders["cell_type"].values()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"seed": -1}, "seed"),
        ({"memory": -1}, "memory"),
        ({"rank": -1, "world_size": 2}, "rank"),
        ({"rank": 0, "world_size": 0}, "rank"),
        ({"shuffle": "sometimes"}, "shuffle"),
        ({"shuffle": "blocks:0"}, "shuffle"),
        ({"output": "coo"}, "output"),
        ({"memory": "a lot"}, "memory"),
        ({"memory": 10}, "memory"),
        ({"rank": 2, "world_size": 2}, "rank"),
        ({"rank": 2}, "rank"),
    ],
)
def test_options_of_a_loader_that_make_no_sense(collection, options, text):
    with pytest.raises(ValueError, match=text):
        collection.loader(**{"batch_size": 8, **options})
