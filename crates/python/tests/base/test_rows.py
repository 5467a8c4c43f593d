"""Rows in every form that users have them mean the same everywhere, or are refused."""

import operator
import random
from collections import deque

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import MappedCollection
from mapped_anndata._rows import rows

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


class Index:
    """What Python takes for an integer."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Sequence:
    """The old protocol: a length and elements, and no iterator."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]

    def __iter__(self):
        return iter(self.values)


# Containers of elements, whatever these are.
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda values: (value for value in values),
    "deque": deque,
    "sequence": Sequence,
    "keys": lambda values: dict(enumerate(values)).values(),
    "objects": lambda values: pd.Series(
        values, dtype=object, index=range(len(values), 0, -1)
    ).to_numpy(),
    "object series": lambda values: pd.Series(
        values, dtype=object, index=range(len(values), 0, -1)
    ),
    "object index": lambda values: pd.Index(values, dtype=object),
}


def of_integers(random, values):
    """The same integers in a random form."""
    dtype = random.choice([dtype for dtype in INTEGERS if fits(dtype, values)] or [object])
    forms = {
        "array": lambda: np.array(values, dtype=dtype),
        "big endian": lambda: np.array(values, dtype=np.dtype(dtype).newbyteorder(">")),
        "strided": lambda: np.repeat(np.array(values, dtype=dtype), 2)[::2],
        "read only": lambda: read_only(np.array(values, dtype=dtype)),
        # A Series by its values: its index is something else.
        "series": lambda: pd.Series(np.array(values, dtype=dtype), index=range(len(values), 0, -1)),
        "index": lambda: pd.Index(np.array(values, dtype=dtype)),
        "categories": lambda: pd.Series(pd.Categorical(np.array(values, dtype=dtype))),
        "array without a mask": lambda: np.ma.masked_array(np.array(values, dtype=dtype)),
    }
    if all(-(2**63) <= value < 2**63 for value in values):
        forms["nullable"] = lambda: pd.Series(values, dtype="Int64")
    elements = {
        "int": int,
        "numpy": dtype if dtype is not object else int,
        "arrays": lambda value: np.array(value, dtype=dtype) if dtype is not object else value,
        "index": Index,
        "mixed": lambda value: random.choice(
            [int, Index, np.int64 if fits(np.int64, [value]) else int]
        )(value),
    }
    for container, make in CONTAINERS.items():
        kind = random.choice(sorted(elements))
        if not ("object" in container and kind in ("arrays", "index", "mixed")):
            forms[container] = lambda make=make, kind=kind: make(
                [elements[kind](value) for value in values]
            )
    return take(random, forms)


def of_booleans(random, values):
    """The same booleans in a random form."""
    forms = {
        "array": lambda: np.array(values, dtype=bool),
        "strided": lambda: np.repeat(np.array(values, dtype=bool), 2)[::2],
        "series": lambda: pd.Series(values, dtype=bool, index=range(len(values), 0, -1)),
        "nullable": lambda: pd.Series(values, dtype="boolean"),
        "nullable array": lambda: pd.array(values, dtype="boolean"),
        "index": lambda: pd.Index(np.array(values, dtype=bool)),
    }
    for container, make in CONTAINERS.items():
        of_value = random.choice(
            [bool, np.bool_, lambda value: random.choice([bool, np.bool_])(value)]
        )
        forms[container] = lambda make=make, of_value=of_value: make(
            [of_value(value) for value in values]
        )
    return take(random, forms)


def fits(dtype, values):
    info = np.iinfo(dtype)
    return all(info.min <= value <= info.max for value in values)


def read_only(array):
    array.flags.writeable = False
    return array


def take(random, forms):
    name = random.choice(sorted(forms))
    return name, forms[name]()


def model(values, n_obs):
    """The rows of integers or of a mask, or the class of the error, element by element."""
    booleans = [value for value in values if isinstance(value, bool)]
    if booleans and len(booleans) < len(values):
        return TypeError
    if booleans:
        return (
            [row for row, value in enumerate(values) if value]
            if len(values) == n_obs
            else IndexError
        )
    found = []
    for value in values:
        if not -n_obs <= value < n_obs:
            return IndexError
        found.append(value % n_obs)
    return found


def check(expected, name, value, n_obs):
    """Asks for rows, and compares them or the class of the error with what is expected."""
    if isinstance(expected, list):
        found = rows("given", value, n_obs)
        assert found.dtype == np.int64 and found.tolist() == expected, name
        return
    with pytest.raises(expected, match="given: ") as raised:
        rows("given", value, n_obs)
    assert type(raised.value) is expected, name


@pytest.mark.parametrize("seed", range(20))
def test_integers_in_every_form_are_those_rows(seed):
    rng = random.Random(seed)
    for _ in range(120):
        n_obs = rng.choice([0, 1, 2, 5, 12, 100, 127, 128, 200, 40_000])
        low, high = rng.choice([(0, n_obs), (-n_obs, n_obs), (-n_obs, 0), (-n_obs - 2, n_obs + 2)])
        values = (
            [rng.randrange(low, high) for _ in range(rng.choice([0, 1, 2, 7, 30]))]
            if low < high
            else []
        )
        name, value = of_integers(rng, values)
        if name == "array without a mask" or values:
            check(model(values, n_obs), f"{name} of {n_obs}: {values}", value, n_obs)
        else:
            # Nothing is no row, whatever type an array of nothing has.
            check([], name, value, n_obs)


@pytest.mark.parametrize("seed", range(20))
def test_booleans_in_every_form_are_a_mask(seed):
    rng = random.Random(seed)
    for _ in range(60):
        n_obs = rng.choice([1, 2, 3, 12, 40])
        n_values = rng.choice([n_obs, n_obs, n_obs, n_obs - 1, n_obs + 1, 2 * n_obs, 1])
        values = [rng.random() < 0.5 for _ in range(n_values)]
        name, value = of_booleans(rng, values)
        if values:
            check(model(values, n_obs), f"{name} of {n_obs}: {values}", value, n_obs)


@pytest.mark.parametrize("seed", range(10))
def test_booleans_among_integers_are_refused(seed):
    rng = random.Random(seed)
    for _ in range(40):
        n_obs = rng.choice([2, 5, 12])
        values = [rng.choice([True, False, 0, 1, n_obs - 1]) for _ in range(rng.choice([2, n_obs]))]
        expected = model(values, n_obs)
        name, make = rng.choice(sorted(CONTAINERS.items()))
        check(expected, f"{name}: {values}", make(values), n_obs)


@pytest.mark.parametrize("seed", range(10))
def test_slices_and_ranges_are_pythons(seed):
    rng = random.Random(seed)
    for _ in range(100):
        n_obs = rng.choice([0, 1, 5, 12])
        ends = [None, 0, 1, n_obs, -1, -n_obs, n_obs + 3, -n_obs - 3, 2**70, -(2**70)]
        ends.append(rng.randrange(-15, 15))
        wrap = rng.choice(
            [lambda value: value, lambda value: value if value is None else Index(value)]
        )
        start, stop = rng.choices(ends, k=2)
        step = rng.choice([None, 1, 2, 3, -1, -2, 2**70, -(2**70)])
        check(
            list(range(n_obs))[start:stop:step],
            "slice",
            slice(wrap(start), wrap(stop), wrap(step)),
            n_obs,
        )
        start, stop = (
            rng.choice([0, 1, n_obs, -1, -n_obs, n_obs + 1, -n_obs - 1]) for _ in range(2)
        )
        step = rng.choice([1, 2, -1, -3, 2**70])
        check(model(range(start, stop, step), n_obs), "range", range(start, stop, step), n_obs)


def test_a_range_takes_no_more_memory_than_there_are_rows():
    for value in (
        range(10**17),
        range(5, -(10**17), -1),
        range(0, 2**80, 2**79),
        range(10**17, 10**18),
    ):
        with pytest.raises(IndexError, match="out of bounds for axis 0 with size 12"):
            rows("given", value, 12)
    assert rows("given", range(3, 2**80, 2**81), 12).tolist() == [3]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1.0, 2.0], "float"),
        ([1, 2.0], "float"),
        (np.array([1.0]), "float64"),
        (np.array([1.0], dtype=np.longdouble), "elements"),
        (pd.Series([1.0]), "float64"),
        (pd.Series([1, None]), "float64"),
        (pd.Series([1, None], dtype="Int64"), "(NAType|float64)"),
        (pd.Series([True, None] * 6, dtype="boolean"), "NAType"),
        (pd.Series([True, None] * 6, dtype=object), "NoneType"),
        (np.array([1 + 0j]), "complex128"),
        ([1 + 0j], "complex"),
        ([None], "NoneType"),
        (["1"], "str"),
        ("12", "str"),
        (b"\x01\x02", "bytes"),
        (bytearray(b"\x01"), "bytearray"),
        (np.array(["1"]), "elements"),
        (np.array([1], dtype="m8[s]"), "timedelta64"),
        (np.array([1], dtype="M8[s]"), "datetime64"),
        ([np.timedelta64(1, "s")], "timedelta64"),
        (pd.Series([pd.Timestamp(0)]), "datetime64"),
        (np.array([[1, 2], [3, 4]]), r"shape \(2, 2\)"),
        (np.zeros((0, 3), dtype=int), r"shape \(0, 3\)"),
        (np.ones((12, 1), dtype=bool), r"shape \(12, 1\)"),
        (pd.DataFrame({"a": [1]}), r"shape \(1, 1\)"),
        ([[1, 2], [3, 4]], "list"),
        ([np.array([1, 2])], r"shape \(2,\)"),
        ([np.array([1])], r"shape \(1,\)"),
        (np.ma.masked_array([1, 2], mask=[False, True]), "masked"),
        ({1, 2}, "set"),
        (frozenset([1]), "frozenset"),
        ({1: "a"}, "dict"),
        ({1: "a"}.keys(), "dict_keys"),
        (5, "int"),
        (np.int64(5), "int64"),
        (np.array(5), "ndarray"),
        (True, "bool"),
        (None, "NoneType"),
        (..., "ellipsis"),
        (object(), "object"),
        (slice(1.0, 3), "integers"),
        (slice("a", None), "integers"),
    ],
    ids=repr,
)
def test_what_names_no_rows_is_refused(value, found):
    with pytest.raises(TypeError, match=f"given: .*{found}"):
        rows("given", value, 12)


def test_a_slice_without_a_step_is_refused():
    with pytest.raises(ValueError, match="given: slice step"):
        rows("given", slice(None, None, 0), 12)


@pytest.mark.parametrize("index", [12, -13, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)])
def test_a_row_out_of_bounds_is_named(index):
    text = f"index {index} is out of bounds for axis 0 with size 12"
    forms = [
        [0, index],
        (index,),
        iter([index]),
        [np.int64(index)],
        np.array([0, index]),
        pd.Series([index]),
        [Index(index)],
    ]
    for value in forms:
        with pytest.raises(IndexError, match=text):
            rows("given", value, 12)


@pytest.mark.parametrize("index", [2**63, 2**64 - 12, 2**64 - 1])
def test_numbers_beyond_int64_become_no_other_rows(index):
    text = f"index {index} is out of bounds for axis 0 with size 12"
    array = np.array([index], dtype=np.uint64)
    # numpy makes floats of signed and unsigned integers together.
    for value in (
        array,
        list(array),
        [index],
        [np.int64(-1), *array],
        [-1, index],
        pd.Series(array),
        [Index(index)],
    ):
        with pytest.raises(IndexError, match=text):
            rows("given", value, 12)
    for value in ([2**70], [-(2**70), 1], iter([2**70])):
        with pytest.raises(IndexError, match="out of bounds"):
            rows("given", value, 12)


def test_a_mask_of_another_length_is_told_with_both():
    for value in ([True] * 11, np.ones(13, dtype=bool), pd.Series([True] * 3), [True, False]):
        with pytest.raises(IndexError, match=f"given: .*12 booleans.*found {len(value)}"):
            rows("given", value, 12)
    with pytest.raises(IndexError, match="12 booleans.*found 0"):
        rows("given", np.array([], dtype=bool), 12)


@pytest.fixture(scope="module")
def collection():
    return MappedCollection(helpers.DEMO, obs_keys="cell_type")


def test_every_method_takes_every_form(collection):
    n_obs = len(collection)
    mask = np.zeros(n_obs, dtype=bool)
    mask[[3, 900, -1]] = True
    stores, in_file = collection.storage_idx, collection.indices
    expected = [3, 900, n_obs - 1]
    names = [name for row in expected for name in collection.obs_names([row])]
    forms = [
        expected,
        tuple(expected),
        [3, 900, -1],
        np.array([3, 900, -1], dtype=np.int16),
        np.array(expected, dtype=np.uint64),
        pd.Series(expected, index=[9, 9, 9]),
        mask,
        mask.tolist(),
        pd.Series(mask),
        pd.Series(mask, dtype="boolean"),
    ]
    for form in forms:
        for batch in (collection.get_batch(form), collection[form]):
            assert batch["_row_idx"].tolist() == in_file[expected].tolist()
            assert batch["_store_idx"].tolist() == stores[expected].tolist()
        assert collection.obs_names(form) == names
        items = collection.__getitems__(form)
        assert [item["_store_idx"] for item in items] == stores[expected].tolist()
        assert all(np.array_equal(item["X"], x) for item, x in zip(items, batch["X"], strict=True))
        found = [
            row
            for batch in collection.loader(2, sampler=form)
            for row in batch["_row_idx"].tolist()
        ]
        assert found == in_file[expected].tolist()


def test_slices_of_a_collection(collection):
    for rows_of in (
        slice(3, 9),
        slice(None, None, -700),
        slice(-3, None),
        slice(5, 5),
        slice(4000, None),
    ):
        expected = np.arange(len(collection))[rows_of]
        batch = collection[rows_of]
        assert batch["_row_idx"].tolist() == collection.indices[expected].tolist()
        assert batch["X"].shape == (len(expected), 300)
        assert len(collection.obs_names(rows_of)) == len(expected)


def test_several_rows_are_what_get_batch_gives(collection):
    for index in ([3, 1], [], [7], np.arange(5), slice(3, 10), range(4)):
        found, expected = collection[index], collection.get_batch(index)
        assert list(found) == list(expected)
        assert all(np.array_equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    "form", [int, *INTEGERS, np.array, lambda i: np.array(i, dtype=np.uint8), Index]
)
def test_one_row_is_an_item(collection, form):
    helpers.assert_same_item(collection[form(5)], collection[5])
    if form not in (np.uint8, np.uint16, np.uint32, np.uint64):
        minus = form(-1) if form in (int, np.int8, np.int16, np.int32, np.int64, Index) else -1
        helpers.assert_same_item(collection[minus], collection[len(collection) - 1])


@pytest.mark.parametrize(
    "index", [True, np.True_, np.array(False), 1.0, np.float64(1), np.array(1.0), None, "0", ...]
)
def test_what_is_no_row_is_no_item(collection, index):
    with pytest.raises(TypeError):
        collection[index]
    with pytest.raises(TypeError, match="indices: "):
        collection.get_batch(index)


@pytest.mark.parametrize(
    "index", [3350, -3351, 10**30, -(10**30), np.int64(3350), np.uint64(2**64 - 1), np.array(4000)]
)
def test_one_row_out_of_bounds(collection, index):
    text = f"^index {operator.index(index)} is out of bounds for axis 0 with size 3350$"
    with pytest.raises(IndexError, match=text):
        collection[index]


def test_a_list_of_booleans_never_is_rows_0_and_1(collection):
    for read in (
        collection.get_batch,
        collection.__getitems__,
        collection.obs_names,
        collection.__getitem__,
    ):
        for value in (
            [True, False],
            [True, False, True],
            [np.True_, np.False_],
            np.array([True, False]),
        ):
            with pytest.raises(IndexError, match="3350 booleans"):
                read(value)
        with pytest.raises(TypeError, match="booleans and integers"):
            read([True, 0])


def test_a_sampler_that_makes_no_sense_is_named(collection):
    for value, error in (
        ([3350], IndexError),
        ([True, False], IndexError),
        ([1.0], TypeError),
        (np.eye(2, dtype=int), TypeError),
    ):
        with pytest.raises(error, match="sampler: "):
            collection.loader(8, sampler=value)
