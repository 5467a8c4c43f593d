"""Times tokens against numpy, which makes them from CSR batches with one sort per batch.

    VENV/bin/python benches/tokens.py --data DATA/medium/same

Both sides run in turns over the first two files of `csr_none`, in the page cache. The tokens of every
first batch must be equal.
"""

import os
import platform
import statistics
import time
from datetime import date
from importlib.metadata import version

import numpy as np

from mapped_anndata import DivideGenes, Log1p, MappedCollection, NormalizeTotal, Tokens
from measure import parsed, write

ROWS, LENGTHS = 512, (2048, 512)
PAD = -1


def collate(batch, length):
    """Ids, values and lengths of a CSR batch: one lexsort, then two scatters."""
    x = batch["X"]
    sizes = np.diff(x.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    # The sort is stable, and columns ascend in each row.
    order = np.lexsort((-x.data, rows))
    places = np.arange(x.nnz) - np.repeat(x.indptr[:-1], sizes)
    kept = places < length
    targets = rows[kept] * length + places[kept]
    order = order[kept]
    ids = np.full(len(sizes) * length, PAD, dtype=np.int64)
    values = np.zeros(len(sizes) * length, dtype=x.data.dtype)
    ids[targets], values[targets] = x.indices[order], x.data[order]
    shape = len(sizes), length
    return {"ids": ids.reshape(shape), "values": values.reshape(shape), "lengths": np.minimum(sizes, length)}


def epoch(cells, finish, **options):
    """The seconds of an epoch, and the first batch."""
    first, start = None, time.perf_counter()
    for batch in cells.loader(ROWS, shuffle="exact", seed=1, **options):
        tokens = finish(batch)
        first = tokens if first is None else first
    return time.perf_counter() - start, first


def main():
    """Write the record."""
    arguments = parsed(__doc__, runs_command=False)
    files = [str(path) for path in sorted((arguments.data / "csr_none").glob("*.h5ad"))[:2]]
    counts = MappedCollection(files)
    medians = np.linspace(0.5, 4, counts.n_vars)
    collections = {
        "counts": counts,
        "normalised": MappedCollection(files, transforms=[NormalizeTotal(1e4), Log1p()]),
        "ranks": MappedCollection(files, transforms=[NormalizeTotal(1e4), DivideGenes(medians)]),
    }
    record = {
        "date": str(date.today()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"numpy": version("numpy")},
        "runs": arguments.runs,
        "rows": counts.n_obs,
        "rows_per_second": {},
        "ratio_to_numpy": {},
    }
    for name, cells in collections.items():
        for length in LENGTHS:
            tokens = Tokens(length, pad=PAD)
            sides = {
                "tokens": (lambda batch: batch, {"output": "tokens", "tokens": tokens}),
                "numpy": (lambda batch, length=length: collate(batch, length), {"output": "csr"}),
                "csr": (lambda batch: batch, {"output": "csr"}),
            }
            seconds = {side: [] for side in sides}
            for _ in range(arguments.runs):
                firsts = {}
                for side, (finish, options) in sides.items():
                    taken, firsts[side] = epoch(cells, finish, **options)
                    seconds[side].append(taken)
                for part in ("ids", "values", "lengths"):
                    np.testing.assert_array_equal(firsts["tokens"][part], firsts["numpy"][part])
            rates = {side: cells.n_obs / statistics.median(of_side) for side, of_side in seconds.items()}
            label = f"{name}, {length}"
            record["rows_per_second"][label] = {side: round(rate) for side, rate in rates.items()}
            record["ratio_to_numpy"][label] = round(rates["tokens"] / rates["numpy"], 1)
    write(record, arguments.out)


if __name__ == "__main__":
    main()
