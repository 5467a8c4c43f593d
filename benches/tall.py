#!/usr/bin/env python3
"""How long epochs take over chunks that run along the cells, beside decoding each chunk once.

    python tall.py --bench TARGET/release/bench --data DIR/tall --out results/DATE-tall.json

Writes 100,000 cells x 400 genes, float32 counts in chunks of (100,000, 10), once: as zarr v2 (as anndata's
`write_zarr(chunks=...)` does, Blosc) and as h5ad with gzip; then runs `bench tall` on each. A file of
gzip in chunks that h5py chooses stands beside them. Needs anndata and h5py (requirements.txt).
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import warnings
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd

N_OBS, N_VARS, COLUMNS = 100_000, 400, 10


def generate(folder):
    warnings.filterwarnings("ignore")
    x = np.random.default_rng(0).poisson(0.2, (N_OBS, N_VARS)).astype("float32")
    ad.settings.zarr_write_format = 2
    ad.AnnData(x).write_zarr(folder / "tall.zarr", chunks=(N_OBS, COLUMNS))
    frames = {"obs": pd.DataFrame(index=[f"cell{i}" for i in range(N_OBS)])}
    frames["var"] = pd.DataFrame(index=[f"gene{i}" for i in range(N_VARS)])
    for name, how in {"tall": {"chunks": (N_OBS, COLUMNS)}, "rows": {}}.items():
        ad.AnnData(**frames).write_h5ad(folder / f"{name}.h5ad")
        with h5py.File(folder / f"{name}.h5ad", "r+") as file:
            if "X" in file:
                del file["X"]
            array = file.create_dataset("X", data=x, compression="gzip", **how)
            array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="target/release/bench")
    parser.add_argument("--data", type=Path, default=Path("target/bench-data/tall"))
    parser.add_argument("--out", type=Path, default=Path(f"benches/results/{datetime.date.today()}-tall.json"))
    parser.add_argument("--reps", type=int, default=5)
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    if not (options.data / "rows.h5ad").exists():
        generate(options.data)
    packages = ["anndata", "h5py", "numpy", "zarr"]
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": platform.platform(),
        "rustc": subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip(),
        "versions": {name: version(name) for name in packages},
        "load_before": os.getloadavg(),
        "cases": [],
    }
    for name in ("tall.zarr", "tall.h5ad", "rows.h5ad"):
        for mebibytes in (256, 128):
            command = [options.bench, "tall", str(options.data / name), "--memory-mib", str(mebibytes)]
            command += ["--reps", str(options.reps + 1)]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
            # The first repetition reads the file from the disk.
            runs = [json.loads(line) for line in lines][1:]
            case = {"data": name, "memory_mib": mebibytes}
            for way in ("decode", "get_batch", "file", "exact", "blocks"):
                seconds = [run[way]["seconds"] for run in runs]
                case[way] = {"seconds": statistics.median(seconds), "seconds_of_each": seconds}
                case[way]["cpu_seconds"] = statistics.median(run[way]["cpu_seconds"] for run in runs)
                case[way]["chunks"] = max(run[way]["chunks"] for run in runs)
                if "first_seconds" in runs[0][way]:
                    case[way]["first_seconds"] = statistics.median(run[way]["first_seconds"] for run in runs)
            results["cases"].append(case)
            print(json.dumps(case))
    results["load_after"] = os.getloadavg()
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
