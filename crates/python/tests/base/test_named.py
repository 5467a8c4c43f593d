"""Every argument that makes no sense is an error that names it."""

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import Balanced, IoOptions, MappedCollection, Weighted, collate
from mapped_anndata import _arguments as arguments

A = helpers.DEMO[0]


@pytest.fixture(scope="module")
def collection():
    return MappedCollection([A], obs_keys="cell_type")


def refused(name, call):
    """An error of one of three classes, with the name of the argument in its text."""
    with pytest.raises((TypeError, ValueError), match=name) as raised:
        call()
    assert type(raised.value) in (TypeError, ValueError), type(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("layers_keys", value)
            for value in (1, [None], ["X", 2], [b"X"], {"X": 0, 1: 0}, "\ud800", True)
        ),
        *(
            ("obs_keys", value)
            for value in (1, [1], ["cell_type", None], b"cell_type", [["cell_type"]], np.array([1]))
        ),
        *(("obsm_keys", value) for value in (1, [1.0], [("X_pca",)])),
        *(("encode_labels", value) for value in (1, 0.0, [1], [None], object())),
        *(
            ("unknown_label", value)
            for value in (object(), ["a"], {1: "a"}, {"cell_type": ["a"]}, 1j, 2**200, b"a")
        ),
        *(
            ("obs_filter", value)
            for value in (
                "ab",
                5,
                ("a", "b", "c"),
                {1: "a"},
                {"cell_type": [object()]},
                {"n": 2**200},
            )
        ),
        *(
            ("join", value)
            for value in ("left", "Inner", 1, True, ["inner"], np.array(["inner"]), b"inner")
        ),
        *(
            ("dtype", value)
            for value in (
                "float99",
                "complex64",
                5,
                "torch.float99",
                object(),
                [1],
                {},
                "U5",
                "bfloat16",
                "M8[s]",
            )
        ),
        *(("cache_categories", value) for value in ("yes", 1, None)),
        *(("parallel", value) for value in ("no", 0, None)),
        *(("missing_code", value) for value in (np.nan, 2**70, "x", 1.0, True)),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:a pair as")
def test_of_a_collection(name, value):
    refused(name, lambda: MappedCollection([A], **{"obs_keys": "cell_type", name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("cache_bytes", value)
            for value in (-1, 1.5, "1..5G", "5 iB", np.nan, np.inf, "a lot", 2**64, True, [1])
        ),
        *(("pack_bytes", value) for value in (-1, "1 XB", 0.1)),
        *(("max_open_files", value) for value in (-1, 64.0, "64", 2**64, True)),
        *((name, value) for name in ("mmap", "pack_uncompressed") for value in ("yes", 1)),
    ],
    ids=str,
)
def test_of_io_options(name, value):
    refused(name, lambda: IoOptions(**{name: value}))


def test_io_options_are_one_argument():
    for value in ({"mmap": False}, 64, "1 GiB", IoOptions):
        refused("io: expected IoOptions", lambda value=value: MappedCollection([A], io=value))
    options = IoOptions(cache_bytes="1 KiB", pack_bytes=1e6)
    assert options == IoOptions(cache_bytes=1024, pack_bytes=10**6)
    assert (options.cache_bytes, options.pack_bytes, options.max_open_files) == (1024, 10**6, None)
    with pytest.raises(AttributeError):
        options.mmap = False
    with pytest.raises(TypeError):
        IoOptions(1024)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("output", value) for value in ("coo", "CSR", None, 1, ["csr"])),
        *(("dtype", value) for value in ("float99", 5, "complex128")),
        *(("missing_code", value) for value in (np.nan, 2**70, 1.5, "a", False)),
        *(("as_torch", value) for value in ("yes", 1, None)),
    ],
    ids=str,
)
def test_of_a_batch(collection, name, value):
    refused(name, lambda: collection.get_batch([0], **{name: value}))
    refused(name, lambda: collection.loader(4, **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch_size", value) for value in (64.0, None, "64", 0, -1, 2**64, True, [8])),
        *(("seed", value) for value in (3.5, 2**63, 2**64, -1, "a")),
        *(("workers", value) for value in (None, -1, 1.0, 2**64, True)),
        *(
            ("memory", value)
            for value in (
                "1..5G",
                None,
                np.nan,
                np.inf,
                -1,
                -1.0,
                "-1 GiB",
                "",
                "1 QB",
                "5 iB",
                1e9 + 0.5,
                2**64,
                "1e99",
            )
        ),
        *(("drop_last", value) for value in ("yes", 1, None)),
        *(
            ("shuffle", value)
            for value in (
                "sometimes",
                "blocks:0",
                "blocks:-1",
                "blocks:1e3",
                "blocks:" + "9" * 5000,
                1,
                np.eye(2),
            )
        ),
        *(
            ("sampler", value)
            for value in (
                5,
                "01",
                Weighted(np.ones((1100, 1))),
                Weighted([np.nan] * 1100),
                Weighted("a"),
            )
        ),
        *(
            ("sampler", Weighted(value))
            for value in ([1.0] * 3, [-1.0] * 1100, [np.inf] * 1100, [1j] * 1100, None, 5, object())
        ),
        *(("sampler", Weighted(np.ones(1100), value)) for value in (-1, 2.5, "9", True)),
        *(("sampler", Balanced(value)) for value in (None, 5, ["cell_type"], "\ud800")),
        *(("sampler", Balanced("cell_type", value)) for value in (-1, 2.5, "9", 2**40, True)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_of_a_loader(collection, name, value):
    refused(name, lambda: collection.loader(**{"batch_size": 8, name: value}))


def test_of_other_methods(collection):
    refused("fractions", lambda: collection.split("0.5"))
    refused("fractions", lambda: collection.split(0.5))
    refused("fractions", lambda: collection.split(["0.5"]))
    refused("fractions", lambda: collection.split([0.9, 0.9]))
    refused("fractions", lambda: collection.split([np.nan]))
    refused("stratify", lambda: collection.split([0.5], stratify=1))
    refused("group", lambda: collection.split([0.5], group=["a"]))
    refused("seed", lambda: collection.split([0.5], seed=-1))
    refused("seed", lambda: collection.split([0.5], seed=2**64))
    refused("obs_keys", lambda: collection.get_label_weights(1))
    refused("obs_keys", lambda: collection.get_label_weights([1]))
    refused("scaler", lambda: collection.get_label_weights("cell_type", scaler="1"))
    refused("scaler", lambda: collection.get_label_weights("cell_type", scaler=np.nan))
    refused("scaler", lambda: collection.get_label_weights("cell_type", scaler=10**400))
    refused(
        "return_categories",
        lambda: collection.get_label_weights("cell_type", return_categories="yes"),
    )
    refused("label_key", lambda: collection.get_merged_labels(1))
    refused("label_key", lambda: collection.get_merged_categories(["cell_type"]))
    refused("store", lambda: collection.presence(-1))
    refused("store", lambda: collection.presence(1))
    refused("store", lambda: collection.presence(2**70))
    refused("ascending", lambda: collection.check_vars_sorted("yes"))
    refused("vars", lambda: collection.check_vars_non_aligned("gene"))
    refused("vars", lambda: collection.check_vars_non_aligned(1))
    refused("as_torch", lambda: collate([collection[0]], as_torch="yes"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (np.int32(5), 5),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (1e9, 10**9),
        (np.float32(1024), 1024),
        ("1e9", 10**9),
        ("1E+9", 10**9),
        ("1024", 1024),
        ("9007199254740993", 9007199254740993),
        ("1G", 10**9),
        ("1 GB", 10**9),
        ("1GiB", 2**30),
        ("1 gib", 2**30),
        (" 1.5 G ", 1_500_000_000),
        ("0.1 GiB", 107374182),
        (".5k", 500),
        ("1.K", 1000),
        ("500 MB", 500_000_000),
        ("2T", 2 * 10**12),
        ("2TiB", 2 * 2**40),
        ("7 B", 7),
    ],
)
def test_numbers_of_bytes(value, expected):
    found = arguments.n_bytes("memory", value)
    assert found == expected and type(found) is int


@pytest.mark.parametrize(
    "value",
    [
        "1..5G",
        "G",
        "",
        " ",
        "1 Gi B",
        "5 iB",
        "5i",
        "1,5G",
        "1e",
        "e9",
        "1e-3",
        "0x10",
        "1_000",
        "١",
        "1\u212a",
        "nan",
        "inf",
    ],
)
def test_texts_that_are_no_numbers_of_bytes(value):
    with pytest.raises(ValueError, match="memory: expected a number of bytes"):
        arguments.n_bytes("memory", value)


def test_numbers_within_bounds():
    assert arguments.count("n", np.uint8(3)) == 3 and type(arguments.count("n", np.uint8(3))) is int
    assert arguments.count("n", 2**63 - 1) == 2**63 - 1 and arguments.count("n", 5, 5, 5) == 5
    for value in (-1, 2**63):
        with pytest.raises(ValueError, match=f"n: expected .*found {value}"):
            arguments.count("n", value)
    for value in (3.0, "3", None, True, np.True_, np.array([3]), np.nan):
        with pytest.raises(TypeError, match="n: expected a whole number"):
            arguments.count("n", value)
    assert (
        arguments.code("code", -(2**63)) == -(2**63) and arguments.code("code", np.int8(-1)) == -1
    )


def test_flags_are_booleans_of_python_or_numpy():
    assert arguments.flag("f", np.True_) is True and arguments.flag("f", False) is False
    collection = MappedCollection(
        [A], encode_labels=np.True_, parallel=np.False_, cache_categories=np.True_
    )
    assert collection.parallel is False


def test_a_choice_names_the_nearest():
    with pytest.raises(
        ValueError,
        match="join: expected 'inner', 'outer' or None, found 'iner': did you mean 'inner'?",
    ):
        MappedCollection([A], join="iner")
    with pytest.raises(
        ValueError,
        match="output: expected 'dense', 'csr' or 'tokens', found 'CSR': did you mean 'csr'?",
    ):
        MappedCollection([A]).get_batch([0], output="CSR")
    assert MappedCollection([A], join=np.str_("outer"))._options.join == "outer"


def test_keys_in_any_form_are_plain_texts():
    for keys in (
        np.array(["cell_type"]),
        pd.Index(["cell_type"]),
        np.str_("cell_type"),
        iter(["cell_type"]),
    ):
        found = MappedCollection([A], obs_keys=keys).obs_keys
        assert found == ["cell_type"] and type(found[0]) is str


def test_labels_of_every_type_are_taken():
    for label in ("T cell", np.str_("T cell"), np.array("T cell")):
        collection = MappedCollection([A], obs_keys="cell_type", unknown_label=label)
        assert collection.encoders["cell_type"]["T cell"] == -1
    for missing in (None, np.nan, pd.NA, pd.NaT, np.float32("nan"), np.datetime64("NaT")):
        assert arguments.label("unknown_label", missing) is None
    assert arguments.labels("f", [np.int8(1), np.float16(0.5), np.longdouble(2), np.True_]) == [
        1,
        0.5,
        2.0,
        True,
    ]
