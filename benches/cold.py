#!/usr/bin/env python3
"""Epochs from files that are not in the page cache, beside reading the same files from end to end.

    python cold.py --bench TARGET/release/bench --data DIR/medium --out results/cold.json

Each file is evicted (fdatasync, then POSIX_FADV_DONTNEED) before every repetition; the two take turns.
`sequential` reads all files of the format one after the other in pieces of 1 MiB. An epoch is one
process of `bench stream`, its clock running from the first batch asked for to the last one delivered, so
that opening, which reads row pointers and labels, is left out (and kept in the cache). Linux only.
Needs only the standard library.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

CASES = {
    "csr_none exact": ["--order", "exact"],
    "csr_none blocks:256": ["--order", "blocks:256"],
    "csr_none file": ["--order", "file"],
    "csr_gzip exact": ["--order", "exact"],
    "csr_gzip blocks:256": ["--order", "blocks:256"],
    "zarr3 blocks:256": ["--order", "blocks:256"],
}


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def evict(paths):
    for path in paths:
        with open(path, "rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sequential(paths):
    start, size = time.perf_counter(), 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                size += len(piece)
    return time.perf_counter() - start, size


def epoch(bench, folder, arguments):
    parts = map(str, sorted(folder.glob("part_*")))
    command = [bench, "stream", "--output", "csr", "--memory-mib", "1024", "--reps", "1", "--seconds", "600", *arguments, *parts]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="target/release/bench")
    parser.add_argument("--data", type=Path, default=Path("target/bench-data/medium"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reps", type=int, default=5)
    options = parser.parse_args()
    cases = {}
    for case, arguments in CASES.items():
        folder = options.data / "same" / case.split()[0]
        paths = files(folder)
        found = {"sequential_seconds": [], "epoch_seconds": [], "first_batch_seconds": []}
        for _ in range(options.reps):
            evict(paths)
            seconds, size = sequential(paths)
            found["sequential_seconds"].append(seconds)
            evict(paths)
            answer = epoch(options.bench, folder, arguments)
            found["epoch_seconds"].append(answer["seconds"])
            found["first_batch_seconds"].append(answer["first_batch_seconds"])
        cases[case] = found | {"bytes": size, "rows": answer["rows"]}
        read, took, first = (statistics.median(found[key]) for key in ("sequential_seconds", "epoch_seconds", "first_batch_seconds"))
        print(f"{case}: epoch {took:.2f} s, first batch {first:.3f} s, reading {size / 1e6:.0f} MB {read:.2f} s", flush=True)
    result = {"date": datetime.date.today().isoformat(), "cases": cases}
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
