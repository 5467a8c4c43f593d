"""Two processes under torchrun train one model on disjoint parts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import helpers


def test_torchrun(tmp_path):
    script = Path(__file__).with_name("train_ranks.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, str(script), str(tmp_path), *helpers.DEMO],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert all(rank["world"] == 2 for rank in ranks)
    rows = [{tuple(row) for row in rank["rows"]} for rank in ranks]
    assert len(rows[0]) == len(rows[1]) == 1600 and not rows[0] & rows[1]
    # One model: the same weights on both. It learns.
    assert ranks[0]["weight"] == ranks[1]["weight"]
    losses = ranks[0]["losses"]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
