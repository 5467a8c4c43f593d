"""Writes the samples beside it: single chunks, as the libraries that files come from store them.

Run with Python 3.11, numpy 2.4.6, h5py 3.16.0 (HDF5 2.0.0), hdf5plugin 7.1.0, numcodecs 0.16.6
(Blosc 1.21.7.dev) and google-crc32c 1.9.0; other versions may write other bytes.
"""

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
data = counts.tobytes()
write("crc32c", data + google_crc32c.value(data).to_bytes(4, "little"))
