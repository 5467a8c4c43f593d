"""Run by torchrun on each rank: reads epochs of many loaders, and writes the rows it saw of each.

Arguments: the folder to write to, and the paths of the stores.
"""

import json
import sys

import counted
import torch
import torch.distributed as dist
from torch.utils.data import DistributedSampler, RandomSampler, WeightedRandomSampler

from mapped_anndata import MappedCollection

out, *paths = sys.argv[1:]
cells = MappedCollection(paths)
# Made before torch.distributed is initialised: torchrun's RANK and WORLD_SIZE say which rank it is.
early = cells.loader(counted.BATCH_SIZE, shuffle="exact")
dist.init_process_group("gloo")
rank = dist.get_rank()
found = {}


def read(name, loader, n_epochs=2):
    """The rows of each epoch, or the error."""
    try:
        epochs = [[counted.rows(batch) for batch in loader] for _ in range(n_epochs)]
        found[name] = {"epochs": epochs, "len": len(loader), "state": loader.state_dict()}
    except RuntimeError as error:
        found[name] = {"error": str(error)}


def loader(**options):
    return cells.loader(counted.BATCH_SIZE, **{"shuffle": "exact", "seed": 1, **options})


for n in (96, 97, 103):
    for pad in (True, False):
        read(f"{n} {pad}", loader(sampler=range(n), pad=pad))
read("drop_last", loader(drop_last=True))
read("early", early)
read("no seed", loader(seed=None))

data = range(counted.N)
read(
    "alike",
    loader(shuffle=None, sampler=RandomSampler(data, generator=torch.Generator().manual_seed(3))),
)
torch.manual_seed(rank)
read("unlike", loader(shuffle=None, sampler=RandomSampler(data)))
torch.manual_seed(0)
read("of one global seed", loader(shuffle=None, sampler=RandomSampler(data)))
for drop_last in (True, False):
    sampler = DistributedSampler(data, seed=5, drop_last=drop_last)
    read(f"divides {drop_last}", loader(shuffle=None, sampler=sampler))
weights = torch.arange(counted.N) % 3
read("weights", loader(shuffle=None, sampler=WeightedRandomSampler(weights, 50)))
read(
    "each once", loader(shuffle=None, sampler=WeightedRandomSampler(weights, 60, replacement=False))
)

# Left in the middle of the second epoch, for another number of ranks to go on.
left = loader(seed=None)
before = [counted.rows(batch) for batch in left]
before = [counted.rows(batch) for _, batch in zip(range(3), left)]
found["left"] = {"epochs": [before], "state": left.state_dict()}
# And what another number of ranks has left.
alone = loader(rank=0, world_size=1)
before = [counted.rows(batch) for _, batch in zip(range(5), alone)]
here = loader(pad=False)
here.load_state_dict(alone.state_dict())
found["goes on"] = {"before": before, "epochs": [[counted.rows(batch) for batch in here]]}

with open(f"{out}/{rank}.json", "w") as file:
    json.dump(found, file)
dist.destroy_process_group()
