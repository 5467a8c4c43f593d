#!/usr/bin/env python3
"""What decoding allows on this machine, by format: a ceiling to hold loaders against.

    python ceiling.py --bench TARGET/release/bench --data DIR/medium --out results/ceiling.json

A sample of X's values and of its indices is cut into pieces as large as the format's chunks, encoded
with its codec, and decoded on one thread, again and again. A CSR row then costs the bytes of its values
and indices at those rates; a dense row costs moreover what `bench ceiling` measures for zeroing
a row in a batch buffer and scattering into it. `two_threads` is twice one.

An estimate with these decoders, not a law: a better decoder moves it. It leaves out the file
system, metadata and hand-over, and assumes that each chunk is decoded once.
"""
import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np

SECONDS = 0.6


def rate(pieces, decode):
    """Decoded bytes a second: the median of passes over all pieces."""
    size = sum(decoded for _, decoded in pieces)
    passes, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(passes) < 3:
        start = time.perf_counter()
        for encoded, decoded in pieces:
            decode(encoded, decoded)
        passes.append(size / (time.perf_counter() - start))
    return statistics.median(passes)


def codecs():
    """For each format: encode, decode, dtype of indices."""
    import deflate
    import numcodecs

    lz4 = numcodecs.Blosc("lz4", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
    light_lz4 = numcodecs.Blosc("lz4", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
    zstd = numcodecs.Zstd(level=0)
    buffer = np.empty(1 << 26, np.uint8)

    def copy(encoded, _):
        buffer[: encoded.nbytes] = encoded

    gzip = lambda piece: bytes(deflate.zlib_compress(piece.tobytes(), 4))
    inflate = lambda encoded, size: deflate.zlib_decompress(encoded, size)
    return {
        "csr_none": (lambda piece: piece.view(np.uint8), copy, np.int32),
        "csr_gzip": (gzip, inflate, np.int32),
        "zarr2": (lz4.encode, lambda encoded, _: lz4.decode(encoded), np.int32),
        "zarr3": (zstd.encode, lambda encoded, _: zstd.decode(encoded), np.int32),
        "annbatch": (light_lz4.encode, lambda encoded, _: light_lz4.decode(encoded), np.uint16),
    }


def chunk_elements(data, format):
    """Elements of a decoded chunk (of an inner one when sharded) of X's values."""
    import zarr

    if format == "annbatch":
        groups = zarr.open_group(str(data / "annbatch" / "collection.zarr"), mode="r").groups()
        array = next(group for _, group in groups)["X/data"]
    elif format.startswith("zarr"):
        array = zarr.open_group(str(data / format / "part_0.zarr"), mode="r")["X/data"]
    else:
        with h5py.File(data / format / "part_0.h5ad") as file:
            return file["X/data"].chunks[0]
    return array.chunks[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="target/release/bench")
    parser.add_argument("--data", type=Path, default=Path("target/bench-data/medium"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data = options.data / "same"
    with h5py.File(data / "csr_none" / "part_0.h5ad") as file:
        indptr = file["X/indptr"][...]
        nonzeros = indptr[-1] / (len(indptr) - 1)
        take = min(int(indptr[-1]), 4_000_000)
        values, indices = file["X/data"][:take], file["X/indices"][:take]

    lines = subprocess.run([options.bench, "ceiling"], capture_output=True, text=True, check=True).stdout.splitlines()
    scatter = 1 / statistics.median(json.loads(line)["rows_per_second"] for line in lines)
    formats = {}
    for format, (encode, decode, index_type) in codecs().items():
        elements = chunk_elements(data, format)
        seconds = 0.0
        rates = {}
        for name, array in {"values": values, "indices": indices.astype(index_type)}.items():
            cuts = [np.ascontiguousarray(array[k : k + elements]) for k in range(0, take, elements)]
            rates[name] = rate([(encode(cut), cut.nbytes) for cut in cuts], decode)
            seconds += nonzeros * array.itemsize / rates[name]
        formats[format] = {
            "chunk_elements": elements,
            "decoded_bytes_per_second": rates,
            "csr_rows_per_second": {"one_thread": 1 / seconds, "two_threads": 2 / seconds},
            "dense_rows_per_second": {"one_thread": 1 / (seconds + scatter), "two_threads": 2 / (seconds + scatter)},
        }
        print(format, json.dumps(formats[format]), flush=True)
    result = {"nonzeros_per_row": float(nonzeros), "scatter_seconds_per_row": scatter, "formats": formats}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
