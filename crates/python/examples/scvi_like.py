"""Counts of chosen genes with their batch, as models like scVI take them: a small autoencoder.

    python scvi_like.py [--data FOLDER]

Needs torch.
"""

import argparse
from pathlib import Path

import torch

from mapped_anndata import Counts, MappedCollection

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
demo = Path(__file__).resolve().parents[2] / "cli/demo"
parser.add_argument("--data", type=Path, default=demo, help="a folder of .h5ad and .zarr")
options = parser.parse_args()

torch.manual_seed(0)
paths = sorted(path for path in options.data.iterdir() if path.suffix in (".h5ad", ".zarr"))
with MappedCollection(paths) as first_look:
    genes = list(first_look.var_joint[:200])  # in practice, a list of variable genes

cells = MappedCollection(
    paths,
    layers_keys={"counts": Counts("raw.X", "counts", "X")},  # wherever a file keeps them
    genes=genes,
    obs_keys="donor",
    dtype="float32",
)
loader = cells.loader(128, shuffle="exact", seed=0, as_torch=True)

n_batches = len(cells.encoders["donor"])
encoder = torch.nn.Sequential(
    torch.nn.Linear(len(genes), 64), torch.nn.ReLU(), torch.nn.Linear(64, 8)
)
decoder = torch.nn.Linear(8 + n_batches, len(genes))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-2)

for epoch in range(3):
    total = 0.0
    for batch in loader:
        counts = batch["counts"]
        donor = torch.nn.functional.one_hot(batch["donor"], n_batches)
        latent = encoder(counts.log1p())
        # The expected count: each gene's share of the cell's total.
        share = decoder(torch.cat([latent, donor], dim=1)).softmax(dim=1)
        rate = share * counts.sum(dim=1, keepdim=True)
        loss = torch.nn.functional.poisson_nll_loss(rate, counts, log_input=False)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(counts)
    print(f"epoch {epoch}: loss {total / len(cells):.4f}")
cells.close()
