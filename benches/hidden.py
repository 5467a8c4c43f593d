#!/usr/bin/env python3
"""Is the loader hidden behind a training step that holds Python's lock?

    python hidden.py --data DIR/medium --out results/hidden.json

Of an epoch of batches of 512 rows, each is followed by a step of 5 ms that does nothing but hold the
interpreter's lock; the same steps are timed with as many batches that lie in memory. The two take turns;
the first step, for which nothing could be read ahead, counts too. Needs the package and numpy.
"""
import argparse
import datetime
import itertools
import json
import statistics
import time
from pathlib import Path

from mapped_anndata import MappedCollection

STEP = 0.005
BATCHES = 300
CASES = {
    "csr_none exact csr": dict(shuffle="exact", output="csr"),
    "csr_none exact dense": dict(shuffle="exact", output="dense"),
    "csr_gzip exact csr": dict(shuffle="exact", output="csr"),
}


def step(_batch):
    end = time.perf_counter() + STEP
    while time.perf_counter() < end:
        pass


def timed(batches):
    start = time.perf_counter()
    for batch in batches:
        step(batch)
    return (time.perf_counter() - start) / BATCHES


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("target/bench-data/medium"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reps", type=int, default=5)
    options = parser.parse_args()
    cases = {}
    for case, how in CASES.items():
        paths = sorted((options.data / "same" / case.split()[0]).glob("part_*"))
        cells = MappedCollection(paths, obs_keys=["cell_type"], dtype="float32")
        loader = cells.loader(512, memory="1 GiB", **how)
        few = list(itertools.islice(loader, 8))
        in_memory = list(itertools.islice(itertools.cycle(few), BATCHES))
        found = {"in_memory": [], "loader": []}
        for _ in range(options.reps):
            found["in_memory"].append(timed(in_memory))
            found["loader"].append(timed(itertools.islice(loader, BATCHES)))
        cases[case] = found
        memory, read = (statistics.median(found[name]) for name in ("in_memory", "loader"))
        print(f"{case}: {read * 1e3:.3f} ms a step, {memory * 1e3:.3f} ms from memory, {read / memory:.3f}x", flush=True)
    result = {"date": datetime.date.today().isoformat(), "step_seconds": STEP, "batches": BATCHES, "seconds_per_step": cases}
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
