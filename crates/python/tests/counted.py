"""Cells that say which they are, so that tests can count every row that trainers were given."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import helpers
import numpy as np

SIZES = (64, 39)
N = sum(SIZES)
BATCH_SIZE = 8


def write(folder):
    """Writes the cells; returns the paths of their stores."""
    numbers = np.arange(1, N + 1, dtype=np.float32)
    parts = np.split(np.stack([numbers, np.ones(N, np.float32)], axis=1), [SIZES[0]])
    return [helpers.write(Path(folder) / f"{i}.h5ad", X=X) for i, X in enumerate(parts)]


def rows(batch):
    """The numbers of a batch's rows, of which its matrix must be."""
    found = np.asarray(batch["X"])[:, 0].astype(int) - 1
    expected = np.asarray(batch["_store_idx"]) * SIZES[0] + np.asarray(batch["_row_idx"])
    assert found.tolist() == expected.tolist()
    return found.tolist()


def check(ranks, n=N, repeated=None):
    """Checks one epoch's rows of each rank: every row once, but for as few as make the ranks even."""
    if repeated is None:
        repeated = -n % len(ranks)
    counts = Counter(row for of_rank in ranks for row in of_rank)
    assert len(counts) == n, f"{n - len(counts)} rows of {n} are missing"
    assert counts.total() == n + repeated, (
        f"{counts.total() - n} rows too many, expected {repeated}"
    )


def run(script, *arguments, launcher=()):
    """Runs a script of this folder in a process of its own, or under a launcher; returns its output."""
    command = [sys.executable, *launcher, Path(__file__).parent / "torch" / script, *arguments]
    path = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    run = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )
    assert run.returncode == 0, run.stdout[-5000:]
    return run.stdout


def torchrun(script, *arguments, n_ranks=2):
    """Runs a script on ranks."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_ranks}"]
    return run(script, *arguments, launcher=launcher)


def results(folder, n_ranks=2):
    """What each rank has written."""
    return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(n_ranks)]
