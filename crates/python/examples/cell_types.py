"""Trains a classifier of cell types on the demo collection: four files, two formats, one model.

    python cell_types.py [--data FOLDER] [--epochs 5] [--picture loss.png]

Needs torch, and matplotlib for the picture.
"""

import argparse
from pathlib import Path

import torch

from mapped_anndata import MappedCollection

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
demo = Path(__file__).resolve().parents[2] / "cli/demo"
parser.add_argument("--data", type=Path, default=demo, help="a folder of .h5ad and .zarr")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument(
    "--picture", type=Path, default=Path("loss.png"), help="where the loss curve goes"
)
options = parser.parse_args()

torch.manual_seed(0)
paths = sorted(path for path in options.data.iterdir() if path.suffix in (".h5ad", ".zarr"))
cells = MappedCollection(paths, obs_keys="cell_type", join="inner", unknown_label="unknown")
print(cells)

# Donors or batches would be kept together with `group="donor"`.
train_rows, test_rows = cells.split([0.8, 0.2], stratify="cell_type", seed=0)
train = cells.loader(128, sampler=train_rows, shuffle="exact", seed=0, output="csr", as_torch=True)
test = cells.loader(512, sampler=test_rows, output="csr", as_torch=True)

n_classes = sum(code >= 0 for code in cells.encoders["cell_type"].values())
hidden = torch.nn.Parameter(torch.randn(cells.n_vars, 64) / cells.n_vars**0.5)
head = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(64, n_classes))
optimizer = torch.optim.Adam([hidden, *head.parameters()], lr=3e-3)


def predict(batch):
    """Scores of the classes; the sparse rows are never made dense."""
    return head(batch["X"] @ hidden)


def labels(batch):
    """Codes of the cell types. Unknown (-1) and missing (-100) labels teach nothing."""
    codes = batch["cell_type"]
    return codes.masked_fill(codes < 0, -100)


def accuracy():
    """The share of test cells of a known type that get it."""
    right = total = 0
    with torch.no_grad():
        for batch in test:
            known = labels(batch) >= 0
            right += (predict(batch).argmax(1) == batch["cell_type"])[known].sum().item()
            total += known.sum().item()
    return right / total


losses = []
for epoch in range(options.epochs):
    for batch in train:
        loss = torch.nn.functional.cross_entropy(predict(batch), labels(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(
        f"epoch {epoch}: loss {losses[-1]:.3f}, accuracy on cells not trained on {accuracy():.3f}"
    )
cells.close()

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

plt.figure(figsize=(6, 3.5))
plt.plot(losses)
plt.xlabel("step")
plt.ylabel("cross entropy")
plt.tight_layout()
plt.savefig(options.picture, dpi=120)
print(f"loss curve: {options.picture}")
