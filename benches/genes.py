"""Times given genes against an inner join of the same genes, and opening files by a column of var.

    VENV/bin/python benches/genes.py --data DATA/medium/same/csr_gzip --binary target/release/mapped-anndata

Both sides run in turns, in one process each, over files in the page cache. The sums of all elements
must be equal.
"""

import json
import statistics
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from measure import parsed, write

N_GENES, N_GIVEN, N_FILES = 20_000, 2_000, 100


def run(command):
    """The seconds that a command took, and the last object that it printed."""
    start = time.perf_counter()
    done = subprocess.run([*map(str, command), "--json"], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, json.loads(done.stdout.splitlines()[-1])


def given(binary, files, folder, runs):
    """Rows a second of an exact shuffle: an inner join that leaves these genes, and the same genes given."""
    names = list(ad.read_h5ad(files[0], backed="r").var_names)
    chosen = np.sort(np.random.default_rng(0).choice(len(names), N_GIVEN, replace=False))
    genes = [names[i] for i in chosen]
    listed, small = folder / "genes.txt", folder / "small.h5ad"
    listed.write_text("\n".join(genes))
    ad.AnnData(sp.csr_matrix(np.ones((4, N_GIVEN), "float32")), var=pd.DataFrame(index=genes)).write_h5ad(small)
    stream = [binary, "stream", small, *files, "--shuffle", "exact", "--seed", 1]
    rates = {"inner": [], "given": []}
    for _ in range(runs):
        (_, inner), (_, by_list) = run(stream), run([*stream, "--genes", listed])
        assert inner["x_sum"] == by_list["x_sum"]
        rates["inner"].append(inner["rows_per_second"])
        rates["given"].append(by_list["rows_per_second"])
    return rates


def opening(binary, folder, runs):
    """Seconds to open files and read one row: by their index, by a column, and without versions."""
    rng = np.random.default_rng(0)
    symbols = np.array([f"GENE{i}" for i in range(N_GENES)])
    ids = np.array([f"ENSG{i:011d}.{i % 7}" for i in range(N_GENES)])
    files = [folder / f"{number}.h5ad" for number in range(N_FILES)]
    for number, path in enumerate(files):
        has = np.sort(rng.choice(N_GENES, N_GENES - 1_000, replace=False))
        x = sp.random(20, len(has), 0.01, format="csr", dtype="float32", random_state=number)
        var = pd.DataFrame({"ensembl": ids[has]}, index=symbols[has])
        ad.AnnData(x, var=var).write_h5ad(path, convert_strings_to_categoricals=False)
    options = {"index": [], "var_key": ["--var-key", "ensembl"]}
    options["strip_version"] = [*options["var_key"], "--strip-version"]
    seconds = {name: [] for name in options}
    for _ in range(runs):
        for name, option in options.items():
            seconds[name].append(run([binary, "get", *files, "--index", 0, *option])[0])
    return seconds


def main():
    """Write the record."""
    arguments = parsed(__doc__)
    files = sorted(arguments.data.glob("*.h5ad"))[:4]
    with tempfile.TemporaryDirectory() as folder:
        rates = given(arguments.binary, files, Path(folder), arguments.runs)
        seconds = opening(arguments.binary, Path(folder), arguments.runs)
    middle = lambda values: statistics.median(values)  # noqa: E731
    record = {
        "date": date.today().isoformat(),
        "version": subprocess.run([arguments.binary, "--version"], capture_output=True, text=True).stdout.strip(),
        "rows_per_second": rates,
        "given_over_inner": middle([b / a for a, b in zip(rates["inner"], rates["given"])]),
        "open_seconds": seconds,
        "var_key_over_index": middle(seconds["var_key"]) / middle(seconds["index"]),
        "strip_version_over_index": middle(seconds["strip_version"]) / middle(seconds["index"]),
    }
    write(record, arguments.out)


if __name__ == "__main__":
    main()
