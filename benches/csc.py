#!/usr/bin/env python3
"""How long a matrix stored by column takes until it can be read by row, beside reading its bytes once.

    python csc.py --bench TARGET/release/bench --data DIR/csc --out results/csc.json

Writes two files of 50,000 cells x 20,000 genes with about 52 million nonzeros, whose genes are as uneven as
those of real data, uncompressed and with gzip, once; then runs `bench csc` on each, with memory for the rows
and without any. Needs numpy and h5py (requirements.txt).
"""
import argparse
import datetime
import json
import statistics
import subprocess
from pathlib import Path

import h5py
import numpy as np

N_OBS, N_VARS, N_ELEMENTS = 50_000, 20_000, 50_000_000


def frame(file, name, n):
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    group.attrs["column-order"] = np.array([], dtype="S1")
    group.create_dataset("_index", data=[f"{name}{i}" for i in range(n)], dtype=h5py.string_dtype())


def generate(folder):
    rng = np.random.default_rng(0)
    weights = rng.gamma(0.3, 1, N_VARS)
    counts = np.minimum((weights / weights.sum() * N_ELEMENTS * 1.05).astype(int), N_OBS)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = [np.sort(rng.choice(N_OBS, count, replace=False)) for count in counts]
    parts = {
        "indptr": indptr,
        "indices": np.concatenate(rows).astype(np.int32),
        "data": rng.integers(1, 30, indptr[-1]).astype(np.float32),
    }
    for name, how in {"none": {}, "gzip": {"compression": "gzip"}}.items():
        with h5py.File(folder / f"csc_{name}.h5ad", "w") as file:
            frame(file, "obs", N_OBS)
            frame(file, "var", N_VARS)
            group = file.create_group("X")
            group.attrs.update({"encoding-type": "csc_matrix", "encoding-version": "0.1.0", "shape": [N_OBS, N_VARS]})
            for part, values in parts.items():
                group.create_dataset(part, data=values, chunks=(12_500,), maxshape=(None,), **how)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="target/release/bench")
    parser.add_argument("--data", type=Path, default=Path("target/bench-data/csc"))
    parser.add_argument("--out", type=Path, default=Path("benches/results/csc.json"))
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    if not (options.data / "csc_gzip.h5ad").exists():
        generate(options.data)
    results = {"date": datetime.date.today().isoformat(), "cases": []}
    for name in ("none", "gzip"):
        for mebibytes in (512, 0):
            command = [options.bench, "csc", str(options.data / f"csc_{name}.h5ad"), "--csc-mib", str(mebibytes), "--reps", "6"]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
            # The first repetition finds the system without large pages at hand.
            runs = [json.loads(line) for line in lines][1:]
            median = lambda key: statistics.median(run[key] for run in runs)  # noqa: B023, E731
            case = {"file": name, "csc_mib": mebibytes, "memory_bytes": max(run["memory_bytes"] for run in runs)}
            case |= {key: median(key) for key in ("seconds", "file_seconds", "arrays_seconds")}
            case["seconds_of_each"] = [run["seconds"] for run in runs]
            results["cases"].append(case)
            print(json.dumps(case))
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
