"""Cells with matched controls, as perturbation models take them: a small model of the response.

    python perturbation_like.py [--data FOLDER]

Needs torch and pandas.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mapped_anndata import Log1p, MappedCollection, Matched, NormalizeTotal

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
demo = Path(__file__).resolve().parents[2] / "cli/demo"
parser.add_argument("--data", type=Path, default=demo, help="a folder of .h5ad and .zarr")
options = parser.parse_args()

torch.manual_seed(0)
paths = sorted(path for path in options.data.iterdir() if path.suffix in (".h5ad", ".zarr"))
# The demo collection has no perturbations: its donors stand for them, and donor1 for the control.
key, control = "donor", "donor1"
cells = MappedCollection(
    paths,
    obs_keys=["cell_type", key],
    transforms=[NormalizeTotal(1e4), Log1p()],
)
labels = pd.Series(cells.get_merged_labels(key))
perturbed = np.flatnonzero(labels.notna() & (labels != control))
loader = cells.loader(
    128,
    sampler=perturbed,
    shuffle="exact",
    matched=Matched("cell_type", {key: control}, unmatched="drop"),
    seed=0,
    as_torch=True,
)
print(f"{loader.n_rows} of {len(perturbed)} perturbed cells have a control of their cell type")

n_genes, n_conditions = cells.n_vars, len(cells.encoders[key])
response = torch.nn.Sequential(
    torch.nn.Linear(n_genes + n_conditions, 64), torch.nn.ReLU(), torch.nn.Linear(64, n_genes)
)
optimizer = torch.optim.Adam(response.parameters(), lr=1e-3)

for epoch in range(3):
    total = 0.0
    for batch in loader:
        before = batch["control"]["X"]
        condition = torch.nn.functional.one_hot(batch[key], n_conditions)
        predicted = before + response(torch.cat([before, condition], dim=1))
        loss = torch.nn.functional.mse_loss(predicted, batch["X"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(before)
    print(f"epoch {epoch}: loss {total / loader.n_rows:.4f}")
cells.close()
