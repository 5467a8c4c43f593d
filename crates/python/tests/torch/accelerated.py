"""Run by torchrun on each rank: reads epochs under Accelerate, and writes the rows it saw.

Arguments: the folder to write to, and the paths of the stores.
"""

import json
import sys

import counted
import numpy as np
from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from mapped_anndata import MappedCollection


class Around(IterableDataset):
    """A dataset of a loader's batches, or of their rows."""

    def __init__(self, loader, rows=False):
        self.loader, self.rows = loader, rows

    def __iter__(self):
        for batch in self.loader:
            if self.rows:
                yield from batch["X"]
            else:
                yield batch


class MakesItsOwn(IterableDataset):
    """A dataset that makes its loader where it is read."""

    def __init__(self, paths):
        self.paths = paths

    def __iter__(self):
        yield from MappedCollection(self.paths).loader(counted.BATCH_SIZE, as_torch=True)


def error(batches):
    """What reading says, or how many rows it gave."""
    try:
        return sum(len(batch["X"] if isinstance(batch, dict) else batch) for batch in batches)
    except (RuntimeError, TypeError) as error:
        return str(error)


def matrix(batch):
    X = batch["X"]
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X.to_dense()).tolist()


# What is read (see `main`), by how many workers of which kind, and whether rank 0 reads for all.
CASES = [
    (what, 0, None, dispatch)
    for what in ("loader", "batches", "own", "rows")
    for dispatch in (None, True, False)
]
CASES += [
    (what, 2, "fork", dispatch) for what in ("batches", "own", "rows") for dispatch in (None, False)
]
CASES += [(what, n, "spawn" if n else None, None) for what in ("given", "sampler") for n in (0, 1)]
CASES += [("batches", 1, "spawn", None), ("own", 1, "spawn", None), ("rows", 1, "spawn", False)]


def main(out, *paths):
    accelerator = Accelerator(cpu=True)
    rank = accelerator.process_index
    cells = MappedCollection(paths)
    found = {"skipped": [], "refused": []}

    def loader(**options):
        return cells.loader(
            counted.BATCH_SIZE, **{"shuffle": "exact", "seed": 1, "as_torch": True, **options}
        )

    one = loader()
    found["the same"] = accelerator.prepare(one) is one
    found["epochs"] = [[counted.rows(batch) for batch in one] for _ in range(2)]

    for options in (
        {},
        {"output": "csr"},
        {"output": "csr", "as_torch": False},
        {"drop_last": True},
    ):
        whole = [matrix(batch) for batch in loader(**options)]
        for k in range(len(whole) + 1):
            rest = skip_first_batches(loader(**options), k)
            found["skipped"].append([matrix(batch) for batch in rest] == whole[k:])

    def by_workers(method, **options):
        return DataLoader(loader(**options), None, num_workers=2, multiprocessing_context=method)

    found["forked"] = [counted.rows(batch) for batch in by_workers("fork")]
    found["spawned"] = [counted.rows(batch) for batch in by_workers("spawn", seed=None)]
    found["forked without a seed"] = error(by_workers("fork", seed=None))

    def prepared(what, n_workers, method, dispatch, **options):
        if what == "given":
            options = {"rank": rank, "world_size": 2}
        if what == "sampler":
            options = {"sampler": DistributedSampler(range(counted.N)), "shuffle": None}
        given = loader(**options)
        dataset = {"loader": given, "own": MakesItsOwn(paths)}.get(what) or Around(
            given, what == "rows"
        )
        workers = {"num_workers": n_workers, "multiprocessing_context": method}
        accelerator.dataloader_config = DataLoaderConfiguration(dispatch_batches=dispatch)
        return accelerator.prepare(DataLoader(dataset, 8 if what == "rows" else None, **workers))

    for case in CASES:
        # Where rank 0 reads for all, the others would wait for what it refuses to read.
        if case[-1] is False or rank == 0:
            found["refused"].append((case, error(prepared(*case))))
    # The ways out.
    whole = {"rank": 0, "world_size": 1}
    found["dispatched"] = [
        counted.rows(batch) for batch in prepared("batches", 0, None, None, **whole)
    ]
    found["sharded"] = [
        batch[:, 0].int().tolist() for batch in prepared("rows", 2, "spawn", False, **whole)
    ]
    with open(f"{out}/{rank}.json", "w") as file:
        json.dump(found, file)
    accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
