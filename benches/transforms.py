"""Times transforms against none, and against scanpy's functions on each batch.

    VENV/bin/python benches/transforms.py --data DATA/medium/same --binary target/release/mapped-anndata

All sides run in turns over the first two files of each folder, in the page cache. scanpy's results for
a batch must equal those of the transforms within 1e-6.
"""

import json
import os
import platform
import statistics
import subprocess
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scipy.sparse as sp

from mapped_anndata import Log1p, MappedCollection, NormalizeTotal
from measure import parsed, write

STEPS = {"none": [], "normalise": ["normalize:1e4"], "log1p": ["log1p"], "both": ["normalize:1e4,log1p"]}
SETS = {"CSR, uncompressed": ("csr_none", "csr"), "CSR, gzip": ("csr_gzip", "csr"), "dense, uncompressed": ("dense_none", "dense")}
ROWS, TARGET = 512, 1e4


def rate(binary, files, output, steps):
    """Rows a second of an exact shuffle."""
    command = [binary, "stream", *files, "--shuffle", "exact", "--seed", 1, "--output", output, "--json"]
    command += [part for step in steps for part in ("--transform", f"X={step}")]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["rows_per_second"]


def as_anndata(batch):
    """A CSR batch as scanpy takes it."""
    x = batch["X"]
    return ad.AnnData(sp.csr_matrix((x.data.copy(), x.indices, x.indptr), shape=x.shape))


def epoch(cells, transform):
    """The seconds of an epoch of CSR batches, and the first batch."""
    first, start = None, time.perf_counter()
    for batch in cells.loader(ROWS, shuffle="exact", seed=1, output="csr"):
        values = batch["X"] if transform is None else transform(batch)
        first = values if first is None else first
    return time.perf_counter() - start, first


def with_scanpy(batch):
    """A batch, log-normalised by scanpy."""
    data = as_anndata(batch)
    sc.pp.normalize_total(data, target_sum=TARGET)
    sc.pp.log1p(data)
    return data.X


def main():
    """Write the record."""
    arguments = parsed(__doc__)
    record = {
        "date": str(date.today()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("scanpy", "anndata", "numpy")},
        "runs": arguments.runs,
        "rows_per_second": {},
        "ratio_to_none": {},
    }
    files_of = lambda name: sorted((arguments.data / name).glob("*.h5ad"))[:2]  # noqa: E731
    for label, (folder, output) in SETS.items():
        rates = {name: [] for name in STEPS}
        for _ in range(arguments.runs):
            for name, steps in STEPS.items():
                rates[name].append(rate(arguments.binary, files_of(folder), output, steps))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        record["rows_per_second"][label] = {name: round(value) for name, value in medians.items()}
        record["ratio_to_none"][label] = {name: round(value / medians["none"], 2) for name, value in medians.items()}
    files = [str(path) for path in files_of("csr_none")]
    plain = MappedCollection(files)
    ours = MappedCollection(files, transforms=[NormalizeTotal(TARGET), Log1p()])
    sides = {"ours": (ours, None), "scanpy on each batch": (plain, with_scanpy), "none": (plain, None)}
    seconds = {name: [] for name in sides}
    for _ in range(arguments.runs):
        firsts = {}
        for name, (cells, transform) in sides.items():
            taken, firsts[name] = epoch(cells, transform)
            seconds[name].append(taken)
        found, expected = firsts["ours"], firsts["scanpy on each batch"]
        assert np.array_equal(found.indptr, expected.indptr) and np.array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-6)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    record["scanpy"] = {
        "rows": plain.n_obs,
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "ratio": round(medians["scanpy on each batch"] / medians["ours"], 1),
    }
    write(record, arguments.out)


if __name__ == "__main__":
    main()
