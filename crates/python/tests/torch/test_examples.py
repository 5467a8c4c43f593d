"""The examples run, and do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import helpers
import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name, *arguments, folder):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_classifier_learns(tmp_path):
    output = run("cell_types.py", "--epochs", 4, folder=tmp_path)
    accuracies = [float(text) for text in re.findall(r"trained on ([0-9.]+)", output)]
    assert len(accuracies) == 4 and accuracies[-1] > 0.9
    picture = tmp_path / "loss.png"
    assert picture.read_bytes()[:4] == b"\x89PNG" and picture.stat().st_size > 5000


@pytest.mark.parametrize("kind", ["scvi", "scgpt", "geneformer", "perturbation"])
def test_small_models_of_each_kind_learn(kind, tmp_path):
    output = run(f"{kind}_like.py", folder=tmp_path)
    losses = [float(text) for text in re.findall(r"loss ([0-9.]+)", output)]
    assert len(losses) == 3 and losses[2] < losses[0]


def test_the_readme_runs(monkeypatch):
    text = (EXAMPLES.parent / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    monkeypatch.chdir(helpers.ROOT)
    names = {}
    exec(code, names)
    assert names["epoch"] == 9 and names["batch"]["X"].layout == torch.sparse_csr
    assert names["batch"]["cell_type"].dtype == torch.int64


def test_lamindbs_guide_is_the_same(tmp_path):
    ours, theirs = (
        run("lamindb_guide.py", *flags, folder=tmp_path) for flags in ([], ["--lamindb"])
    )
    assert "item 5" in ours and "15 batches" in ours
    assert ours == theirs
