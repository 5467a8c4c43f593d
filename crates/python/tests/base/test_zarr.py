"""Zarr stores as zarr-python writes them: every codec that is read, and metadata that is not."""

import json
import warnings

import anndata as ad
import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs.numcodecs as of_zarr

from mapped_anndata import MappedCollection

RNG = np.random.default_rng(0)
INTS = RNG.integers(0, 60, (37, 11)).astype("i4")
FLOATS = RNG.normal(size=(37, 11))
F4 = FLOATS.astype("f4")


def store(path, zarr_format, data, **options):
    """A store with a layer `l`, and what zarr-python reads of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
        ad.io.write_elem(group, "/", ad.AnnData(np.zeros(data.shape, "f4")))
        made = group.create_array(
            "layers/l", shape=data.shape, dtype=data.dtype, chunks=(10, 4), **options
        )
        made[:] = data
        made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        return zarr.open_array(path, path="layers/l", mode="r")[:]


def assert_read(path, expected):
    found = MappedCollection([path], layers_keys="l").get_batch(range(len(expected)))["l"]
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


FILTERS_V2 = [
    (numcodecs.Delta("<i4"), INTS),
    (numcodecs.Delta("<i4", "i1"), INTS),
    (numcodecs.Delta(">i4", ">i2"), INTS.astype(">i4")),
    (numcodecs.Delta("<u1"), INTS.astype("u1") * 7),
    (numcodecs.Delta("<f4"), F4),
    (numcodecs.Delta("<f2"), FLOATS.astype("f2")),
    (numcodecs.Delta("<f8", "<f4"), FLOATS),
    (numcodecs.FixedScaleOffset(0, 100, "<f8", "<i2"), FLOATS),
    (numcodecs.FixedScaleOffset(1.5, 37, "<f4", "<i4"), F4),
    (numcodecs.FixedScaleOffset(1.5, 37, "<f4", "<f4"), F4),
    (numcodecs.FixedScaleOffset(0.1, 3, "<f2", "<f2"), FLOATS.astype("f2")),
    (numcodecs.FixedScaleOffset(1.5, 37, ">f4", ">i2"), F4.astype(">f4")),
    (numcodecs.Quantize(2, "<f8"), FLOATS),
    (numcodecs.Quantize(2, "<f8", "<f2"), FLOATS),
    (numcodecs.BitRound(5), F4),
    (numcodecs.AsType("<i2", "<i4"), INTS),
    (numcodecs.AsType("<f4", "<f8"), FLOATS),
    (numcodecs.PackBits(), INTS > 30),
    (numcodecs.CRC32(), INTS),
    (numcodecs.CRC32(location="end"), INTS),
    (numcodecs.CRC32C(), INTS),
    (numcodecs.Adler32(), INTS),
    (numcodecs.Fletcher32(), INTS),
    (numcodecs.JenkinsLookup3(), INTS),
    (numcodecs.Shuffle(4), INTS),
]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("number", range(len(FILTERS_V2)))
def test_filters_of_format_2(tmp_path, number, order):
    codec, data = FILTERS_V2[number]
    for compressor in (None, numcodecs.Zlib()):
        path = tmp_path / f"{compressor is None}.zarr"
        assert_read(
            path, store(path, 2, data, filters=[codec], compressors=compressor, order=order)
        )


@pytest.mark.parametrize(
    "codec", [numcodecs.BZ2(), numcodecs.LZMA(), numcodecs.LZMA(preset=9), numcodecs.LZ4()]
)
def test_compressors_of_format_2(tmp_path, codec):
    filters = [numcodecs.Delta("<i4", "<i2"), numcodecs.Shuffle(2), numcodecs.CRC32()]
    assert_read(
        tmp_path / "a.zarr", store(tmp_path / "a.zarr", 2, INTS, filters=filters, compressors=codec)
    )


FILTERS_V3 = [
    (of_zarr.Delta(dtype="<i4"), INTS),
    (of_zarr.Delta(dtype="int32", astype="int8"), INTS),
    (of_zarr.FixedScaleOffset(offset=0, scale=100, dtype="<f8", astype="<i2"), FLOATS),
    (of_zarr.FixedScaleOffset(offset=0, scale=100, astype="<i2"), FLOATS),
    (of_zarr.Quantize(digits=2, dtype="<f8"), FLOATS),
    (of_zarr.BitRound(keepbits=4), F4),
    (of_zarr.AsType(encode_dtype="<i2", decode_dtype="<i4"), INTS),
    (of_zarr.PackBits(), INTS > 30),
]


@pytest.mark.parametrize("shards", [None, (20, 8)])
@pytest.mark.parametrize("number", range(len(FILTERS_V3)))
def test_filters_of_format_3(tmp_path, number, shards):
    codec, data = FILTERS_V3[number]
    transposed = [zarr.codecs.TransposeCodec(order=(1, 0)), codec]
    for name, filters in (("a", [codec]), ("b", transposed)):
        path = tmp_path / f"{name}.zarr"
        assert_read(path, store(path, 3, data, filters=filters, shards=shards))


CODECS_V3 = [
    of_zarr.BZ2(),
    of_zarr.LZMA(),
    of_zarr.Zlib(),
    of_zarr.LZ4(),
    of_zarr.Blosc(),
    of_zarr.GZip(),
    of_zarr.Zstd(),
    of_zarr.CRC32(),
    of_zarr.CRC32C(),
    of_zarr.Adler32(),
    of_zarr.Fletcher32(),
    of_zarr.JenkinsLookup3(),
    of_zarr.Shuffle(),
    zarr.codecs.ZstdCodec(checksum=True),
    zarr.codecs.BloscCodec(),
    zarr.codecs.GzipCodec(),
    zarr.codecs.Crc32cCodec(),
]


@pytest.mark.parametrize("codec", CODECS_V3, ids=lambda codec: type(codec).__name__)
def test_compressors_of_format_3(tmp_path, codec):
    for shards in (None, (20, 8)):
        path = tmp_path / f"{shards}.zarr"
        assert_read(path, store(path, 3, INTS, compressors=[codec], shards=shards))


def test_what_zarr_python_may_write_beside(tmp_path):
    path = tmp_path / "a.zarr"
    expected = store(
        path,
        3,
        F4,
        dimension_names=["cells", None],
        fill_value=np.nan,
        attributes={"any": {"x": [1]}},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
    assert_read(path, expected)
    for name, value in [("i1", -3), ("u8", 2**64 - 1), ("f8", -np.inf), ("?", True)]:
        for zarr_format in (2, 3):
            path = tmp_path / f"{name}{zarr_format}.zarr"
            data = np.full((37, 11), value, dtype=name)
            assert_read(path, store(path, zarr_format, data, fill_value=value))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "name, value", [("fill_value", "7"), ("fill_value", 1.5), ("fill_value", 1 << 40)]
)
def test_a_fill_value_of_another_type(tmp_path, zarr_format, name, value):
    store(tmp_path / "a.zarr", zarr_format, INTS)
    edit(tmp_path / "a.zarr/layers/l", zarr_format, name, value)
    with pytest.raises(ValueError, match="layers/l: expected a fill_value of int32"):
        MappedCollection([tmp_path / "a.zarr"], layers_keys="l")


def edit(folder, zarr_format, name, value):
    path = folder / ("zarr.json" if zarr_format == 3 else ".zarray")
    document = json.loads(path.read_text())
    document[name] = value
    path.write_text(json.dumps(document))


def test_members_that_must_be_understood(tmp_path):
    path = tmp_path / "a.zarr"
    expected = store(path, 3, INTS)
    for folder in (path, path / "layers/l"):
        edit(folder, 3, "note", {"must_understand": False, "text": "any"})
    assert_read(path, expected)
    edit(path / "layers/l", 3, "origin", [3, 0])
    with pytest.raises(ValueError, match='layers/l: the member "origin"'):
        MappedCollection([path], layers_keys="l")


def test_format_2_has_members_of_any_name(tmp_path):
    expected = store(tmp_path / "a.zarr", 2, INTS)
    edit(tmp_path / "a.zarr/layers/l", 2, "origin", [3, 0])
    assert_read(tmp_path / "a.zarr", expected)
