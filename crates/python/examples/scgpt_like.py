"""Genes and binned values, as models like scGPT take them: hidden values are predicted.

    python scgpt_like.py [--data FOLDER]

Needs torch.
"""

import argparse
from pathlib import Path

import torch

from mapped_anndata import Log1p, MappedCollection, NormalizeTotal, Tokens

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
demo = Path(__file__).resolve().parents[2] / "cli/demo"
parser.add_argument("--data", type=Path, default=demo, help="a folder of .h5ad and .zarr")
options = parser.parse_args()

torch.manual_seed(0)
paths = sorted(path for path in options.data.iterdir() if path.suffix in (".h5ad", ".zarr"))
with MappedCollection(paths, join="outer") as first_look:
    names = ["<pad>", "<cls>", *first_look.var_joint]  # in practice, the vocabulary of the model
vocabulary = {name: number for number, name in enumerate(names)}

cells = MappedCollection(
    paths,
    layers_keys="counts",
    genes=vocabulary,
    transforms=[NormalizeTotal(1e4), Log1p()],
)
tokens = Tokens(64, select="uniform", bins=51, cls="<cls>", pad_value=-2)
loader = cells.loader(64, shuffle="exact", seed=0, output="tokens", tokens=tokens, as_torch=True)

genes = torch.nn.Embedding(len(names), 32, padding_idx=vocabulary["<pad>"])
values = torch.nn.Linear(1, 32)
layer = torch.nn.TransformerEncoderLayer(32, nhead=4, dim_feedforward=64, batch_first=True)
head = torch.nn.Linear(32, 1)
modules = torch.nn.ModuleList([genes, values, layer, head])
optimizer = torch.optim.Adam(modules.parameters(), lr=3e-3)

for epoch in range(3):
    total = n_hidden = 0
    for batch in loader:
        is_token = torch.arange(64) < batch["lengths"][:, None]
        target = batch["values"] / 50
        is_hidden = (torch.rand(target.shape) < 0.15) & (target > 0)
        shown = target.masked_fill(is_hidden, -1)
        embedded = genes(batch["ids"]) + values(shown[..., None])
        predicted = head(layer(embedded, src_key_padding_mask=~is_token))[..., 0]
        loss = ((predicted - target)[is_hidden] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * int(is_hidden.sum())
        n_hidden += int(is_hidden.sum())
    print(f"epoch {epoch}: loss {total / n_hidden:.4f}")
cells.close()
