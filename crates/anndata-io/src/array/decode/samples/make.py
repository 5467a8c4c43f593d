"""Writes the samples beside it: single chunks, as the libraries that files come from store them.

Run with Python 3.11, numpy 2.4.6, h5py 3.16.0 (HDF5 2.0.0), hdf5plugin 7.1.0, numcodecs 0.16.6
(Blosc 1.21.7.dev) and google-crc32c 1.9.0; other versions may write other bytes.
"""

import lzma
from importlib.metadata import version
from pathlib import Path

import google_crc32c
import h5py
import hdf5plugin
import numcodecs
import numpy as np

EXPECTED = {"h5py": "3.16.0", "hdf5plugin": "7.1.0", "numcodecs": "0.16.6", "google-crc32c": "1.9.0"}
found = {name: version(name) for name in EXPECTED}
assert found == EXPECTED, found

HERE = Path(__file__).parent

# What the samples decode to: counts that repeat after 77, bytes that do not compress.
i = np.arange(240, dtype="<u4")
counts = i * i % 11 * (i % 7)
i = np.arange(256)
noise = (i**3 % 1009 * 7919 % 251).astype("u1")


def write(name, data):
    assert len(data) < 1100, (name, len(data))
    (HERE / f"{name}.bin").write_bytes(bytes(data))


def hdf5(name, array, **filters):
    with h5py.File("sample", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=array, chunks=array.shape, **filters)
        mask, data = dataset.id.read_direct_chunk((0,) * array.ndim)
        assert mask == 0, (name, mask)
        assert (dataset[...] == array).all()
        write(name, data)


hdf5("h5-gzip", counts, compression="gzip")
hdf5("h5-gzip-shuffle", counts, compression="gzip", shuffle=True)
hdf5("h5-gzip-shuffle-fletcher32", counts, compression="gzip", shuffle=True, fletcher32=True)
hdf5("h5-lzf", counts, compression="lzf")
hdf5("h5-lzf-shuffle", counts, compression="lzf", shuffle=True)
hdf5("h5-fletcher32", counts, fletcher32=True)
hdf5("h5-fletcher32-odd", noise[:255], fletcher32=True)
hdf5("h5-shuffle-3-bytes", noise[:240].view("V3"), shuffle=True)
hdf5("h5-zstd", counts, **hdf5plugin.Zstd())
hdf5("h5-zstd-shuffle", counts, shuffle=True, **hdf5plugin.Zstd())
hdf5("h5-lz4", counts, **hdf5plugin.LZ4())
hdf5("h5-lz4-blocks", counts, **hdf5plugin.LZ4(nbytes=256))
hdf5("h5-lz4-stored", noise, **hdf5plugin.LZ4(nbytes=100))
for compressor in ["blosclz", "lz4", "lz4hc", "zlib", "zstd"]:
    for shuffle, kind in enumerate(["plain", "shuffle", "bitshuffle"]):
        hdf5(f"h5-blosc-{compressor}-{kind}", counts, **hdf5plugin.Blosc(compressor, 9, shuffle))
hdf5("h5-blosc-snappy-shuffle", counts, **hdf5plugin.Blosc("snappy", 9, 1))

write("nc-zlib", numcodecs.Zlib().encode(counts))
write("nc-gzip", numcodecs.GZip().encode(counts))
write("nc-zstd", numcodecs.Zstd(level=3).encode(counts))
write("nc-zstd-checksum", numcodecs.Zstd(level=3, checksum=True).encode(counts))
write("nc-lz4", numcodecs.LZ4().encode(counts))
write("nc-shuffle", numcodecs.Shuffle(elementsize=8).encode(counts))
write("nc-fletcher32", numcodecs.Fletcher32().encode(counts))
write("nc-blosc-lz4-shuffle", numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE).encode(counts))
write("nc-blosc-zstd-bitshuffle", numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE).encode(counts))
write("nc-blosc-stored", numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE).encode(noise))
write("nc-bz2", numcodecs.BZ2().encode(counts))
write("nc-lzma", numcodecs.LZMA().encode(counts))
write("nc-lzma-unchecked", numcodecs.LZMA(check=lzma.CHECK_NONE, preset=9).encode(counts))
filters = [{"id": lzma.FILTER_DELTA, "dist": 4}, {"id": lzma.FILTER_LZMA2, "preset": 1}]
write("nc-lzma-delta", numcodecs.LZMA(check=lzma.CHECK_CRC32, filters=filters).encode(counts))
write("nc-crc32", numcodecs.CRC32().encode(counts))
write("nc-crc32-end", numcodecs.CRC32(location="end").encode(counts))
write("nc-crc32c-start", numcodecs.CRC32C(location="start").encode(counts))
write("nc-adler32", numcodecs.Adler32().encode(counts))
write("nc-jenkins", numcodecs.JenkinsLookup3().encode(counts))
write("nc-delta", numcodecs.Delta("<u4").encode(counts))
write("nc-delta-narrow", numcodecs.Delta("<u4", "i1").encode(counts))
write("nc-delta-big-endian", numcodecs.Delta(">u4", ">i2").encode(counts.astype(">u4")))
write("nc-delta-zlib", numcodecs.Zlib().encode(numcodecs.Delta("<u4", "<i2").encode(counts)))
checked = numcodecs.CRC32().encode(numcodecs.Delta("<u4", "<i2").encode(counts))
write("nc-delta-crc32-zlib", numcodecs.Zlib().encode(checked))
write("nc-delta-float", numcodecs.Delta("<f8", "<f4").encode(counts.astype("<f8")))
write("nc-fixedscaleoffset", numcodecs.FixedScaleOffset(5, 1, "<u4", "i1").encode(counts))
write("nc-fixedscaleoffset-float", numcodecs.FixedScaleOffset(-3, 2, "<f8", "<f4").encode(counts.astype("<f8")))
write("nc-astype", numcodecs.AsType("<i2", "<u4").encode(counts))
write("nc-quantize", numcodecs.Quantize(2, "<f8", "<f4").encode(counts.astype("<f8")))
write("nc-packbits", numcodecs.PackBits().encode(counts[:237] % 2 == 1))
data = counts.tobytes()
write("crc32c", data + google_crc32c.value(data).to_bytes(4, "little"))
