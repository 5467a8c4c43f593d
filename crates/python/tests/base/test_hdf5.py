"""What h5py reads of HDF5's types, of messages that objects share, and of groups with a bad name."""

import ctypes
import glob
import os

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from h5py import h5d, h5f, h5p, h5s, h5t

from mapped_anndata import MappedCollection

N = 12


def cells():
    """Twelve cells of seven genes, with a column of text, one of numbers and a layer."""
    x = np.random.default_rng(5).poisson(0.8, (N, 7)).astype("f4")
    kinds = pd.Categorical([["a", "b", "c"][i % 3] for i in range(N)])
    obs = pd.DataFrame({"kind": kinds, "num": np.arange(N)}, index=[f"cell{i}" for i in range(N)])
    var = pd.DataFrame(index=[f"gene{i}" for i in range(7)])
    return ad.AnnData(sp.csr_matrix(x), obs=obs, var=var, layers={"counts": sp.csr_matrix(x)})


@pytest.fixture
def h5ad(tmp_path):
    """A path of these cells, opened by h5py to be changed."""
    path = tmp_path / "cells.h5ad"
    cells().write_h5ad(path)
    return path


def raw(parent, name, tid, data, shape, chunks=None, attribute=False):
    """A dataset or an attribute of any type, of these bytes."""
    space = h5s.create_simple(shape)
    if attribute:
        made = h5py.h5a.create(parent.id, name.encode(), tid, space)
    else:
        properties = h5p.create(h5p.DATASET_CREATE)
        if chunks:
            properties.set_chunk(chunks)
        made = h5d.create(parent.id, name.encode(), tid, space, properties)
    data = np.frombuffer(data, f"V{tid.get_size()}").reshape(shape)
    if attribute:
        made.write(data, mtype=tid)
    else:
        made.write(h5s.ALL, h5s.ALL, data, mtype=tid)
    if not attribute:
        h5py.Dataset(made).attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def enum(base, members):
    """An enumeration of these names over a numpy type."""
    tid = h5t.enum_create(h5t.py_create(np.dtype(base)))
    for name, value in members.items():
        tid.enum_insert(name.encode(), value)
    return tid


def column(path, tid, values, chunks=None):
    """The column `new` of obs, of this type, as the package reads it."""
    with h5py.File(path, "r+") as f:
        raw(f["obs"], "new", tid, values, (N,), chunks)
        read = f["obs/new"][:]
    made = MappedCollection([path], layers_keys=[], obs_keys="new", encode_labels=False)
    return [item["new"] for item in made], read


WIDTHS = [
    order + kind for order in "<>" for kind in ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
]


@pytest.mark.parametrize("base", WIDTHS)
@pytest.mark.parametrize("chunks", [None, (5,)])
def test_booleans_of_any_width(h5ad, base, chunks):
    """Enumerations of FALSE and TRUE are booleans."""
    values = np.array([0, 1, 1] * 4, base)
    found, read = column(h5ad, enum(base, {"FALSE": 0, "TRUE": 1}), values.tobytes(), chunks)
    assert read.dtype == bool
    assert found == read.tolist()
    assert {type(value) for value in found} == {np.bool_}


@pytest.mark.parametrize("base", WIDTHS)
@pytest.mark.parametrize("missing", ["smallest", 2, 255])
def test_logicals_of_r(h5ad, base, missing):
    """A third member NA is missing, whatever its value."""
    limits = np.iinfo(base)
    if missing == "smallest":
        missing = limits.min or min(limits.max, 2**63 - 1)
    if missing > limits.max:
        pytest.skip("no such value")
    values = np.array([0, 1, missing] * 4, base)
    tid = enum(base, {"FALSE": 0, "TRUE": 1, "NA": missing})
    found, read = column(h5ad, tid, values.tobytes(), (5,))
    assert read.tolist() == values.tolist()
    assert found[:2] == [False, True] and found[2] is np.nan, found
    encoded = MappedCollection([h5ad], layers_keys=[], obs_keys="new")
    assert encoded.encoders["new"] == {False: 0, True: 1}
    weights = encoded.get_batch(range(N))["new"]
    assert weights.tolist() == [0, 1, -100] * 4
    rows = MappedCollection([h5ad], layers_keys=[], obs_filter={"new": [True]})
    assert rows.indices.tolist() == [1, 4, 7, 10]


@pytest.mark.parametrize("base", WIDTHS)
def test_other_enumerations_are_integers(h5ad, base):
    """As anndata reads them."""
    values = np.array([0, 5, 7] * 4, base)
    found, read = column(h5ad, enum(base, {"no": 0, "yes": 5, "NA": 7}), values.tobytes())
    assert found == read.tolist()
    assert {value.dtype for value in found} == {read.dtype.newbyteorder("=")}


@pytest.mark.parametrize("name", ["B8", "B16", "B32", "B64"])
@pytest.mark.parametrize("order", ["LE", "BE"])
def test_bit_fields_are_unsigned_integers(h5ad, name, order):
    """As h5py reads them."""
    if name + order == "B8BE":
        pytest.skip("h5py does not read it")
    tid = getattr(h5t, f"STD_{name}{order}")
    data = np.random.default_rng(1).bytes(N * tid.get_size())
    found, read = column(h5ad, tid, data)
    assert found == read.tolist()
    assert {value.dtype.kind for value in found} == {"u"}


def float_type(size, sign, exponent, mantissa, bias, order):
    """A float of any layout."""
    tid = h5t.IEEE_F64LE.copy()
    if size > 8:
        tid.set_size(size)
        tid.set_precision(8 * size)
    tid.set_fields(sign, *exponent, *mantissa)
    tid.set_ebias(bias)
    tid.set_precision(8 * size)
    tid.set_size(size)
    tid.set_order(order)
    return tid


QUAD = dict(size=16, sign=127, exponent=(112, 15), mantissa=(0, 112), bias=16383)
BFLOAT16 = dict(size=2, sign=15, exponent=(7, 8), mantissa=(0, 7), bias=127)
TF32 = dict(size=4, sign=31, exponent=(23, 8), mantissa=(13, 10), bias=127)
WIDE32 = dict(size=4, sign=31, exponent=(20, 11), mantissa=(0, 20), bias=1023)
WIDE64 = dict(size=8, sign=63, exponent=(48, 15), mantissa=(0, 48), bias=16383)


@pytest.mark.parametrize(
    "layout",
    [QUAD, BFLOAT16, TF32, WIDE32, WIDE64],
    ids=["quad", "bfloat16", "tf32", "wide32", "wide64"],
)
@pytest.mark.parametrize("order", [h5t.ORDER_LE, h5t.ORDER_BE], ids=["le", "be"])
def test_floats_of_any_layout(h5ad, layout, order):
    """The C library converts numbers to float64 as we do."""
    tid = float_type(**layout, order=order)
    size = layout["size"]
    rng = np.random.default_rng(3)
    words = [int.from_bytes(rng.bytes(size), "little") for _ in range(7 * N)]
    # Exponents that float64 has, and some that it has not.
    at, length = layout["exponent"]
    for i in range(len(words) - 14):
        words[i] &= ~(((1 << length) - 1) << at)
        words[i] |= (layout["bias"] + i - 40) % (1 << length) << at
    special = [
        0,
        1 << layout["sign"],
        ((1 << length) - 1) << at,
        ((1 << length) - 1) << at | 1 << layout["sign"],
    ]
    words[: len(special)] = special
    mask = (
        ((1 << length) - 1) << at
        | 1 << layout["sign"]
        | ((1 << layout["mantissa"][1]) - 1) << layout["mantissa"][0]
    )
    data = b"".join(
        (word & mask).to_bytes(size, "little" if order == h5t.ORDER_LE else "big") for word in words
    )
    with h5py.File(h5ad, "r+") as f:
        del f["X"]
        raw(f, "X", tid, data, (N, 7), (5, 3))
        out = np.empty((N, 7))
        f["X"].id.read(h5s.ALL, h5s.ALL, out, mtype=h5t.NATIVE_DOUBLE)
    found = MappedCollection([h5ad], dtype="float64").get_batch(range(N))["X"]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(out))
    np.testing.assert_array_equal(np.nan_to_num(found, nan=7), np.nan_to_num(out, nan=7))
    np.testing.assert_array_equal(np.signbit(found[out == 0]), np.signbit(out[out == 0]))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="a longdouble of another machine")
@pytest.mark.parametrize("chunks", [None, (5, 3), True])
def test_longdouble(h5ad, chunks):
    """numpy's widest floats become float64."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(N, 7)).astype(np.longdouble) / 3
    values[0] = [
        np.nan,
        np.inf,
        -np.inf,
        0,
        -0.0,
        np.longdouble(2) ** -1074 * 3 / 2,
        np.longdouble(2) ** 1024,
    ]
    with h5py.File(h5ad, "r+") as f:
        del f["X"]
        made = f.create_dataset(
            "X", data=values, chunks=chunks, compression="gzip" if chunks is True else None
        )
        made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    made = MappedCollection([h5ad])
    assert made[1]["X"].dtype == np.float64
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(made.get_batch(range(N))["X"], values.astype("f8"))
        np.testing.assert_array_equal(np.stack([item["X"] for item in made]), values.astype("f8"))


def test_floats_that_are_not_read_say_what_to_do(h5ad):
    """Eight bits are no float that is read."""
    tid = h5t.IEEE_F32LE.copy()
    tid.set_fields(7, 3, 4, 0, 3)
    tid.set_ebias(7)
    tid.set_precision(8)
    tid.set_size(1)
    with h5py.File(h5ad, "r+") as f:
        raw(f["obs"], "new", tid, bytes(N), (N,))
    with pytest.raises(Exception, match="astype"):
        MappedCollection([h5ad], layers_keys=[], obs_keys="new")


@pytest.mark.parametrize("kind", ["f2", "<f4", ">f4", "<f8", ">f8"])
def test_whole_floats_where_integers_are_expected(h5ad, kind):
    """Shape, pointers, columns and codes."""
    expected = ad.read_h5ad(h5ad)
    with h5py.File(h5ad, "r+") as f:
        f["X"].attrs["shape"] = np.array([12, 7], kind)
        for name in ["X/indptr", "X/indices", "obs/kind/codes"]:
            values = f[name][:].astype(kind)
            del f[name]
            f.create_dataset(name, data=values, chunks=(5,) if "indices" in name else None)
    made = MappedCollection([h5ad], obs_keys="kind", encode_labels=False)
    np.testing.assert_array_equal(made.get_batch(range(N))["X"], expected.X.toarray())
    assert [item["kind"] for item in made] == list(expected.obs["kind"])


@pytest.mark.parametrize("name", ["X/indptr", "X/indices", "obs/kind/codes"])
@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e30, -3.0])
def test_other_floats_are_errors(h5ad, name, value):
    """They name the element and the value."""
    with h5py.File(h5ad, "r+") as f:
        values = f[name][:].astype("f8")
        values[3] = value
        del f[name]
        f[name] = values
    with pytest.raises(Exception, match=name):
        made = MappedCollection([h5ad], obs_keys="kind")
        made.get_batch(range(N))


@pytest.mark.parametrize("shape", [[12.5, 7], [-12, 7], [np.nan, 7], [12], [12, 7, 1]])
def test_other_shapes_are_errors(h5ad, shape):
    """A fraction or a negative number is no length."""
    with h5py.File(h5ad, "r+") as f:
        f["X"].attrs["shape"] = np.array(shape, "f8")
    with pytest.raises(Exception, match="shape"):
        MappedCollection([h5ad])


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_committed_types(tmp_path, libver):
    """Datasets and attributes whose type has a name of its own."""
    path = tmp_path / "cells.h5ad"
    data = cells()
    with h5py.File(path, "w", libver=libver) as f:
        f.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for key in ("X", "obs", "var"):
            ad.io.write_elem(f, key, getattr(data, key))
        f["types/number"] = np.dtype("f4")
        f["types/length"] = np.dtype("<i8")
        f["types/text"] = h5py.string_dtype()
        f["types/number"].attrs["about"] = "a type may have attributes"
        values = f["X/data"][:]
        del f["X/data"]
        f["X"].create_dataset("data", data=values, dtype=f["types/number"])
        del f["X"].attrs["shape"], f["obs"].attrs["_index"]
        f["X"].attrs.create("shape", [12, 7], dtype=f["types/length"])
        f["obs"].attrs.create("_index", "_index", dtype=f["types/text"])
    made = MappedCollection([path], obs_keys="kind", encode_labels=False)
    np.testing.assert_array_equal(made.get_batch(range(N))["X"], data.X.toarray())
    assert made[4]["kind"] == "b"


LIBRARIES = glob.glob(
    os.path.join(os.path.dirname(h5py.__file__), "..", "h5py.libs", "libhdf5-*.so*")
)
ALL = 0x1000 | 0x800 | 0x20 | 0x8 | 0x2


@pytest.mark.skipif(not LIBRARIES, reason="no library beside h5py whose functions could be called")
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize(
    "indexes", [[ALL], [0x8], [0x2], [0x20 | 0x800], [0x1000], [0x8, 0x2, 0x1000, 0x820]]
)
@pytest.mark.parametrize("limits", [None, (0, 0), (2, 1), (1000, 500)])
def test_shared_messages(tmp_path, libver, indexes, limits):
    """Messages in the file's own heap, found by a list or a tree."""
    lib = ctypes.CDLL(LIBRARIES[0])
    lib.H5Pset_shared_mesg_nindexes.argtypes = [ctypes.c_int64, ctypes.c_uint]
    lib.H5Pset_shared_mesg_index.argtypes = [
        ctypes.c_int64,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_uint,
    ]
    lib.H5Pset_shared_mesg_phase_change.argtypes = [ctypes.c_int64, ctypes.c_uint, ctypes.c_uint]
    create = h5p.create(h5p.FILE_CREATE)
    assert lib.H5Pset_shared_mesg_nindexes(create.id, len(indexes)) >= 0
    for i, kinds in enumerate(indexes):
        assert lib.H5Pset_shared_mesg_index(create.id, i, kinds, 1) >= 0
    if limits:
        assert lib.H5Pset_shared_mesg_phase_change(create.id, *limits) >= 0
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(
        *(
            (h5f.LIBVER_LATEST,) * 2
            if libver == "latest"
            else (h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST)
        )
    )
    path, data = tmp_path / "cells.h5ad", cells()
    for i in range(20):
        data.obs[f"c{i}"] = np.arange(N, dtype=["f8", "i4", "u2"][i % 3])
    with h5py.File(h5f.create(os.fsencode(path), h5f.ACC_TRUNC, fcpl=create, fapl=access)) as f:
        f.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for key in ("X", "obs", "var"):
            ad.io.write_elem(f, key, getattr(data, key), dataset_kwargs={"compression": "gzip"})
        # More attributes than stand in a header.
        for i in range(30):
            f["obs"].attrs[f"a{i}"] = f"text {i % 3}"
        f["obs/c0"].attrs["long"] = "x" * 3000
    expected = ad.read_h5ad(path)
    made = MappedCollection([path], obs_keys=["kind", "c0", "c1", "c17"], encode_labels=False)
    np.testing.assert_array_equal(made.get_batch(range(N))["X"], expected.X.toarray())
    for i, item in enumerate(made):
        assert item["kind"] == expected.obs["kind"].iloc[i]
        assert [item[key] for key in ["c0", "c1", "c17"]] == [i, i, i]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("group", ["", "obs", "layers", "obsm", "uns", "obs/kind", "X"])
@pytest.mark.parametrize("n", [1, 40])
def test_a_name_that_is_no_text_hides_no_other(tmp_path, libver, group, n):
    """In tables, links in the header, and links in a heap."""
    path, data = tmp_path / "cells.h5ad", cells()
    data.obsm["pca"] = np.arange(24.0).reshape(N, 2)
    data.uns["things"] = {"a": 1}
    with h5py.File(path, "w", libver=libver) as f:
        ad.io.write_elem(f, "/", data)
        for i in range(n):
            f[group or "/"][b"caf\xe9%d" % i] = np.arange(N)
    made = MappedCollection(
        [path], layers_keys=["X", "counts"], obs_keys="kind", obsm_keys="pca", encode_labels=False
    )
    np.testing.assert_array_equal(made.get_batch(range(N))["counts"], data.X.toarray())
    assert [made[3]["kind"], made[3]["obsm_pca"].tolist()] == ["a", [6.0, 7.0]]


@pytest.mark.parametrize("key", ["obs/num", "layers/counts", "uns/thing", "thing"])
def test_a_damaged_header_hides_no_other(h5ad, key):
    """Only what is asked for fails."""
    with h5py.File(h5ad, "r+") as f:
        f["uns/thing"], f["thing"] = 1, 1
        address = h5py.h5o.get_info(f[key].id).addr
    content = bytearray(h5ad.read_bytes())
    content[address : address + 16] = b"\xff" * 16
    h5ad.write_bytes(content)
    made = MappedCollection([h5ad], obs_keys="kind", encode_labels=False)
    assert made[4]["kind"] == "b" and made[4]["X"].shape == (7,)
    if key == "obs/num":
        with pytest.raises(Exception, match="obs/num"):
            MappedCollection([h5ad], layers_keys=[], obs_keys="num")
    if key == "layers/counts":
        with pytest.raises(Exception, match="layers/counts"):
            MappedCollection([h5ad], layers_keys="counts")


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="a longdouble of another machine")
@pytest.mark.parametrize("kwargs", [{}, {"chunks": (5,), "compression": "gzip"}])
def test_fields_of_old_tables(tmp_path, kwargs):
    """Before anndata 0.7, obs is an array of records: its fields are of the same types."""
    flag = h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, basetype="i4")
    logical = h5py.enum_dtype({"FALSE": 0, "TRUE": 1, "NA": -1}, basetype=">i2")
    obs = np.zeros(
        N,
        [
            ("index", "S6"),
            ("flag", flag),
            ("logical", logical),
            ("wide", np.longdouble),
            ("n", "u1"),
        ],
    )
    obs["index"] = [f"cell{i}" for i in range(N)]
    obs["flag"], obs["logical"], obs["wide"], obs["n"] = (
        np.arange(N) % 2,
        np.arange(N) % 3 - 1,
        np.arange(N) / 8,
        np.arange(N),
    )
    path = tmp_path / "cells.h5ad"
    with h5py.File(path, "w") as f:
        f.create_dataset("obs", data=obs, dtype=obs.dtype, **kwargs)
        f["var"] = np.array([(b"g",)], [("index", "S1")])
        f["X"] = np.ones((N, 1), "f4")
    keys = ["flag", "logical", "wide", "n"]
    made = MappedCollection([path], obs_keys=keys, encode_labels=False)
    for i, item in enumerate(made):
        assert [item["flag"], item["wide"], item["n"]] == [i % 2 == 1, i / 8, i]
        assert item["logical"] is np.nan if i % 3 == 0 else item["logical"] == (i % 3 == 2)
