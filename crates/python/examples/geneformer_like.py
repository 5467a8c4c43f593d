"""Genes by rank, as models like Geneformer take them: hidden genes are predicted.

    python geneformer_like.py [--data FOLDER]

Needs torch.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from mapped_anndata import DivideGenes, MappedCollection, NormalizeTotal, Tokens

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
demo = Path(__file__).resolve().parents[2] / "cli/demo"
parser.add_argument("--data", type=Path, default=demo, help="a folder of .h5ad and .zarr")
options = parser.parse_args()

torch.manual_seed(0)
paths = sorted(path for path in options.data.iterdir() if path.suffix in (".h5ad", ".zarr"))

# The median of each gene over the cells that express it. In practice, use those that the model was
# trained with.
steps = [NormalizeTotal(1e4)]
with MappedCollection(paths, "counts", join="outer", transforms=steps) as first_look:
    x = first_look[:]["counts"]
    medians = {
        gene: np.median(of_gene[of_gene > 0]) if of_gene.any() else 1.0
        for gene, of_gene in zip(first_look.var_joint, x.T, strict=True)
    }
names = ["<pad>", "<mask>", "<cls>", "<eos>", *medians]
vocabulary = {name: number for number, name in enumerate(names)}

cells = MappedCollection(
    paths, "counts", genes=vocabulary, transforms=[*steps, DivideGenes(medians)]
)
tokens = Tokens(64, cls="<cls>", eos="<eos>")
loader = cells.loader(64, shuffle="exact", seed=0, output="tokens", tokens=tokens, as_torch=True)

genes = torch.nn.Embedding(len(names), 32, padding_idx=vocabulary["<pad>"])
ranks = torch.nn.Embedding(64, 32)
layer = torch.nn.TransformerEncoderLayer(32, nhead=4, dim_feedforward=64, batch_first=True)
head = torch.nn.Linear(32, len(names))
modules = torch.nn.ModuleList([genes, ranks, layer, head])
optimizer = torch.optim.Adam(modules.parameters(), lr=3e-3)

for epoch in range(3):
    total = n_hidden = 0
    for batch in loader:
        ids = batch["ids"]
        is_token = torch.arange(64) < batch["lengths"][:, None]
        is_hidden = (torch.rand(ids.shape) < 0.15) & (ids > vocabulary["<eos>"])
        shown = ids.masked_fill(is_hidden, vocabulary["<mask>"])
        embedded = genes(shown) + ranks(torch.arange(64))
        predicted = head(layer(embedded, src_key_padding_mask=~is_token))
        loss = torch.nn.functional.cross_entropy(predicted[is_hidden], ids[is_hidden])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * int(is_hidden.sum())
        n_hidden += int(is_hidden.sum())
    print(f"epoch {epoch}: loss {total / n_hidden:.4f}")
cells.close()
