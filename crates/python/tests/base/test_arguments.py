"""Arguments in all the forms that users have them; attributes; the package itself."""

import inspect
import os
import pathlib
import subprocess
import sys
import zipfile

import helpers
import numpy as np
import pandas as pd
import pytest
from lamindb.core._mapped_collection import MappedCollection as Reference

import mapped_anndata
from mapped_anndata import MappedCollection

A, B, C, D = helpers.DEMO


def test_the_constructor_is_lamindbs():
    def parameters(cls):
        return [(p.name, p.kind, p.default) for p in inspect.signature(cls).parameters.values()]

    assert len(parameters(Reference)) == 11
    ours = parameters(MappedCollection)
    assert ours[:11] == parameters(Reference)
    # What is ours alone cannot be meant by a position.
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    own = [("genes", None), ("min_overlap", 0.5), ("var_key", None), ("strip_version", False)]
    own += [("aliases", None), ("duplicates", "error"), ("label_map", None), ("unmapped", "keep")]
    own += [("transforms", None), ("obs_table", None)]
    own += [("missing_code", None), ("io", None), ("cache", None), ("cache_size", None)]
    own.append(("storage_options", None))
    assert ours[11:] == [(name, keyword_only, default) for name, default in own]


def test_public_methods_have_lamindbs_parameters():
    for name in dir(Reference):
        if name.startswith("_"):
            continue
        theirs, ours = getattr(Reference, name), getattr(MappedCollection, name)
        if callable(theirs):
            parameters = [list(inspect.signature(f).parameters.values()) for f in (ours, theirs)]
            assert [(p.name, p.default) for p in parameters[0]] == [
                (p.name, p.default) for p in parameters[1]
            ]


class Path:
    """An `os.PathLike` that is no `pathlib.Path`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


@pytest.mark.parametrize("form", [str, pathlib.Path, Path, os.fsencode])
def test_paths(form):
    assert len(MappedCollection([form(C)])) == 900
    assert len(MappedCollection((form(C), form(D)))) == 1550


def test_any_iterable_of_paths():
    collection = MappedCollection(iter([C, D]))
    assert collection.path_list == [C, D] and len(collection) == 1550


def test_keys_in_any_form():
    for keys in ("cell_type", ["cell_type"], ("cell_type",), iter(["cell_type"]), {"cell_type"}):
        assert MappedCollection([A], obs_keys=keys).obs_keys == ["cell_type"]
    assert MappedCollection([A], layers_keys=()).layers_keys == []
    assert list(MappedCollection([A], layers_keys=[])[0]) == ["_store_idx"]


@pytest.mark.parametrize(
    "dtype", ["float64", np.float64, np.dtype("float64"), float, "f8", ">f8", "<f8"]
)
def test_dtypes(dtype):
    assert MappedCollection([A], dtype=dtype)[0]["X"].dtype == np.float64


@pytest.mark.parametrize(
    "labels",
    [
        ["T cell", "B cell"],
        ("T cell", "B cell"),
        {"T cell", "B cell"},
        iter(["T cell", "B cell"]),
        np.array(["T cell", "B cell"]),
        np.array(["T cell", "B cell"], dtype=object),
        pd.Series(["T cell", "B cell"]),
        pd.Categorical(["T cell", "B cell"]),
        pd.Index(["T cell", "B cell"]),
        {"T cell": 1, "B cell": 2}.keys(),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_values_of_a_filter(labels):
    everything = MappedCollection([A, C])
    expected = np.isin(everything.get_merged_labels("cell_type"), ["T cell", "B cell"]).sum()
    assert 0 < expected < len(everything)
    collection = MappedCollection([A, C], obs_filter={"cell_type": labels})
    assert len(collection) == expected and collection.filtered
    assert set(collection.get_merged_labels("cell_type")) == {"T cell", "B cell"}


@pytest.mark.parametrize("label", ["T cell", np.str_("T cell"), np.array("T cell")])
def test_a_single_value_of_a_filter(label):
    assert set(
        MappedCollection([A], obs_filter={"cell_type": label}).get_merged_labels("cell_type")
    ) == {"T cell"}


def test_numbers_and_booleans_of_a_filter(tmp_path):
    obs = pd.DataFrame(
        {"n": [1, 2, 3], "flag": [True, False, True], "x": [0.5, 1.5, 2.5]}, index=list("abc")
    )
    path = helpers.write(tmp_path / "n.h5ad", X=np.zeros((3, 1)), obs=obs)
    for key, value, n_obs in [
        ("n", 2, 1),
        ("n", np.int8(2), 1),
        ("n", [1, 3], 2),
        ("n", range(2), 1),
        ("n", 2.0, 1),
        ("flag", True, 2),
        ("flag", np.False_, 1),
        ("x", 1.5, 1),
        ("x", np.float32(2.5), 1),
        ("n", "2", 0),
    ]:
        assert len(MappedCollection([path], obs_filter={key: value})) == n_obs, (key, value)


def test_no_filter_filters_nothing():
    collection = MappedCollection([A], obs_filter={})
    assert len(collection) == 1100 and collection.filtered


def test_encode_labels_in_any_form():
    keys = ["cell_type", "donor"]
    assert MappedCollection([A], obs_keys=keys).encode_labels == keys
    assert MappedCollection([A], obs_keys=keys, encode_labels=("donor",)).encode_labels == ["donor"]
    assert MappedCollection([A], obs_keys=keys, encode_labels="donor").encode_labels == ["donor"]
    for nothing in (False, [], ()):
        assert MappedCollection([A], obs_keys=keys, encode_labels=nothing).encode_labels is False
    assert MappedCollection([A]).encode_labels is False
    assert MappedCollection([A]).encoders == {}


def test_a_missing_key_is_warned_of_with_the_nearest():
    with pytest.warns(
        UserWarning, match="no store has the obs key 'celltype': did you mean 'cell_type'"
    ):
        MappedCollection([A], obs_keys="celltype")


def test_a_label_that_no_file_has_is_warned_of_with_the_nearest():
    with pytest.warns(
        UserWarning,
        match="obs_filter: no store has the label 't cell' in the obs key 'cell_type': did you mean 'T cell'",
    ):
        assert len(MappedCollection([A], obs_filter={"cell_type": ["t cell"]})) == 0
    with pytest.warns(
        UserWarning,
        match="unknown_label: no store has the label 'Unknown' in any encoded obs key: did you mean 'unknown'",
    ):
        MappedCollection([A], obs_keys="cell_type", unknown_label="Unknown")


def test_no_warning_without_a_cause(recwarn):
    MappedCollection([A], obs_keys="cell_type", obs_filter={"cell_type": "T cell"})
    assert not recwarn.list


def test_what_no_filled_zero_tells():
    collection = MappedCollection([A, B], join="outer")
    for store, names in enumerate(collection.var_list):
        presence = collection.presence(store)
        assert presence.dtype == bool
        assert np.array_equal(presence, collection.var_joint.isin(names))
    assert not collection.presence(0).all()
    assert MappedCollection([A, B]).presence(1).all()
    assert MappedCollection([A, B], join=None).presence(0) is None


def test_without_a_join():
    collection = MappedCollection([A, B], join=None)
    assert collection.n_vars is None and collection.shape == (1800, None)
    assert (
        collection.var_joint is None
        and collection.var_list is None
        and collection.var_indices is None
    )
    assert collection.n_vars_list is None and collection.original_shapes == [
        (1100, 550),
        (700, 440),
    ]
    assert len(collection[0]["X"]) == 550 and len(collection[-1]["X"]) == 440
    # The one behaviour that needs names all the same.
    names = MappedCollection([A, B]).var_list[1]
    assert collection.check_vars_non_aligned(names) == [0]


def test_obs_names():
    collection = MappedCollection([A, C], obs_keys="_index", encode_labels=False)
    names = collection.obs_names([3, -1, 1100])
    assert names == [collection[3]["_index"], collection[-1]["_index"], collection[1100]["_index"]]


def test_splits():
    collection = MappedCollection([A, C])
    train, test = collection.split([0.8, 0.2], seed=3)
    assert len(train) == 1600 and train.dtype == np.int64
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(2000))
    again, _ = collection.split([0.8, 0.2], seed=3)
    other, _ = collection.split([0.8, 0.2], seed=4)
    assert np.array_equal(train, again) and not np.array_equal(train, other)
    donors = collection.get_merged_labels("donor")
    parts = collection.split([0.5, 0.5], group="donor")
    groups = [{str(donor) for donor in donors[part]} for part in parts]
    assert groups[0] and groups[1] and not groups[0] & groups[1]
    with pytest.raises(ValueError, match="either"):
        collection.split([0.5], group="donor", stratify="donor")


def test_the_repr_says_what_it_is():
    collection = MappedCollection([A, B], obs_keys="cell_type", obs_filter={"cell_type": "T cell"})
    text = repr(collection)
    for part in (
        "MappedCollection",
        "cells",
        "2 stores",
        "join='inner'",
        "'cell_type'",
        "filtered",
    ):
        assert part in text
    assert f"{len(collection):,}" in text and f"{collection.n_vars:,} genes" in text
    collection.close()
    assert "closed" in repr(collection)


def test_importing_imports_nothing_optional():
    code = """
import sys, mapped_anndata
optional = {"torch", "pandas", "anndata", "scipy", "ray"} & set(sys.modules)
assert not optional, optional
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_package_is_typed_and_small():
    folder = pathlib.Path(mapped_anndata.__file__).parent
    assert (folder / "py.typed").is_file() and (folder / "_core.pyi").is_file()
    wheels = list((helpers.ROOT / "target/wheels").glob("mapped_anndata-*.whl"))
    assert all(wheel.stat().st_size < 10_000_000 for wheel in wheels)
    assert all("mapped_anndata/py.typed" in zipfile.ZipFile(wheel).namelist() for wheel in wheels)
