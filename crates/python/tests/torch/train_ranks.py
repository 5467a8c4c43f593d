"""Run by torchrun on each rank: trains a model on this rank's part, and writes what it saw."""

import json
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mapped_anndata import MappedCollection

out, *paths = sys.argv[1:]
dist.init_process_group("gloo")
torch.manual_seed(0)
collection = MappedCollection(paths, obs_keys="cell_type")
loader = collection.loader(100, shuffle="exact", drop_last=True, as_torch=True)
model = DistributedDataParallel(
    torch.nn.Linear(collection.n_vars, len(collection.encoders["cell_type"]))
)
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
rows, losses = [], []
for epoch in range(3):
    loader.set_epoch(epoch)
    for batch in loader:
        loss = torch.nn.functional.cross_entropy(model(batch["X"]), batch["cell_type"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if epoch == 0:
            rows += zip(batch["_store_idx"].tolist(), batch["_row_idx"].tolist())
weight = model.module.weight.detach().sum().item()
with open(f"{out}/{dist.get_rank()}.json", "w") as file:
    json.dump(
        {"rows": rows, "losses": losses, "weight": weight, "world": dist.get_world_size()}, file
    )
dist.destroy_process_group()
