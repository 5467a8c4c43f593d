"""The steps of lamindb's guide to MappedCollection; which class takes them is one import.

    python lamindb_guide.py             # ours
    python lamindb_guide.py --lamindb   # lamindb's, which prints the same

Needs torch, and lamindb-core for the second.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, WeightedRandomSampler

if "--lamindb" in sys.argv:
    from lamindb.core import MappedCollection
else:
    from mapped_anndata import MappedCollection

demo = Path(__file__).resolve().parents[2] / "cli/demo"
paths = [str(demo / name) for name in ("a.h5ad", "b.h5ad")]

with MappedCollection(paths, obs_keys="cell_type", join="inner") as dataset:
    print("inner join:", dataset.shape[0], "cells,", len(dataset.var_joint), "genes")

dataset = MappedCollection(paths, obs_keys="cell_type", join="outer")
print("outer join:", dataset.shape[0], "cells,", len(dataset.var_joint), "genes")

item = dataset[5]
print(
    "item 5:", {key: getattr(value, "shape", value) for key, value in item.items()}, item["X"].sum()
)
print("encoders:", dataset.encoders)

chosen = {"cell_type": ["T cell", "B cell"]}
with MappedCollection(paths, obs_keys="cell_type", join="outer", obs_filter=chosen) as some:
    print("T and B cells:", some.shape)

torch.manual_seed(0)
weights = dataset.get_label_weights("cell_type")
sampler = WeightedRandomSampler(weights, num_samples=len(dataset))
for number, batch in enumerate(DataLoader(dataset, batch_size=128, sampler=sampler)):
    if number < 3:
        print("batch:", tuple(batch["X"].shape), batch["X"].sum().item())
print(number + 1, "batches")
dataset.close()
print("closed:", dataset.closed)
