"""Epochs as a whole: every row as often as the options say, whatever happens in between.

A naive model cuts an order into steps and ranks; loaders of all ranks are read, left in the middle,
saved, resumed elsewhere, and told epochs, at random.
"""

import json
import pickle
import random

import helpers
import numpy as np
import pandas as pd
import pytest

from mapped_anndata import MappedCollection, Weighted

SIZES = [23, 0, 18]
N = sum(SIZES)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("epochs")

    def write(number, n):
        obs = pd.DataFrame(index=[f"{number}_{i}" for i in range(n)])
        return helpers.write(folder / f"{number}.h5ad", X=np.ones((n, 2), np.float32), obs=obs)

    return MappedCollection([write(number, n) for number, n in enumerate(SIZES)])


def rows(batch):
    starts = np.array([0, SIZES[0], SIZES[0]])
    return (starts[batch["_store_idx"]] + batch["_row_idx"]).tolist()


class Drawing:
    """A sampler object with rows of its own in each epoch, which depend on the epoch alone."""

    def __init__(self, n):
        self.n, self.epoch = n, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(np.random.default_rng(self.epoch).integers(0, N, self.n).tolist())

    def __len__(self):
        return self.n


def steps(order, had, batch_size, world_size, drop_last, pad):
    """For each step, the rows of each rank; none for a rank without a batch."""
    found, at, whole = [], had, batch_size * world_size
    while at < len(order):
        rest = order[at : at + whole]
        if len(rest) < whole and drop_last:
            break
        at += len(rest)
        if pad:
            repeats = iter(order * world_size)
            while len(rest) % world_size:
                rest = [*rest, next(repeats)]
        found.append([part.tolist() for part in np.array_split(np.array(rest, int), world_size)])
    return found


def any_sampler(r):
    kind = r.choice(["all", "all", "rows", "weighted", "few", "drawing"])
    if kind == "rows":
        return [r.randrange(-N, N) for _ in range(r.randrange(40))]
    if kind == "weighted":
        return Weighted([r.random() for _ in range(N)], r.choice([None, 5, 60]))
    if kind == "few":
        return Weighted([float(i % 3 == 0) for i in range(N)], replacement=False)
    return Drawing(r.randrange(40)) if kind == "drawing" else None


@pytest.mark.parametrize("case", range(150))
def test_every_row_comes_as_often_as_the_options_say(cells, case):
    r = random.Random(case)
    order_options = {
        "sampler": any_sampler(r),
        "seed": r.randrange(5),
        "shuffle": r.choice([None, "exact", "blocks:3"]),
    }
    orders = {}

    def order(epoch):
        """What one rank in one batch gets."""
        if epoch not in orders:
            loader = cells.loader(100, rank=0, world_size=1, **order_options)
            loader.set_epoch(epoch)
            orders[epoch] = [row for batch in loader for row in rows(batch)]
        return orders[epoch]

    def opened():
        world_size = r.randint(1, 5)
        options = {
            "batch_size": r.randint(1, 15),
            "drop_last": r.random() < 0.3,
            "pad": r.random() < 0.6,
        }
        loaders = [
            cells.loader(
                rank=rank,
                world_size=world_size,
                workers=r.randint(0, 2),
                **options,
                **order_options,
            )
            for rank in range(world_size)
        ]
        return loaders, options | {"world_size": world_size}

    loaders, options = opened()
    epoch, had, loaded = 0, 0, False
    for _ in range(r.randint(3, 8)):
        match r.choice(
            ["read", "read", "leave", "leave", "iter", "set", "resume", "resume", "pickle"]
        ):
            case "read" | "leave" as how:
                expected = steps(order(epoch), had, **options)
                most = len(expected) if how == "read" else r.randint(0, len(expected))
                left = most < len(expected)
                for rank, loader in enumerate(loaders):
                    wanted = [step[rank] for step in expected if step[rank]]
                    batches = iter(loader)
                    assert len(batches) == len(wanted)
                    if had == 0:
                        assert len(loader) == len(wanted)
                    found = [rows(next(batches)) for _ in range(min(most, len(wanted)))]
                    assert found == wanted[:most]
                    if not left:
                        assert next(batches, None) is None
                if left and most == 0:
                    continue
                loaded = False
                step_rows = options["batch_size"] * options["world_size"]
                epoch, had = (epoch, had + most * step_rows) if left else (epoch + 1, 0)
                if left:
                    # A rank that had its last batch stands at the next epoch already.
                    assert loaders[0].state_dict()["rows"] == had
                    # What was left is begun anew, or gone on with from its state.
                    state = loaders[0].state_dict()
                    if r.random() < 0.5:
                        [loader.load_state_dict(state) for loader in loaders]
                        loaded = True
                    else:
                        epoch, had = epoch + 1, 0
            case "iter":
                [iter(loader) for loader in loaders]
            case "set":
                wanted = r.choice([epoch, r.randrange(6)])
                [loader.set_epoch(wanted) for loader in loaders]
                if not (loaded and wanted == epoch):
                    epoch, had, loaded = wanted, 0, False
            case "resume":
                state = json.loads(json.dumps(loaders[r.randrange(len(loaders))].state_dict()))
                if (state["epoch"], state["rows"]) != (epoch, had):
                    # An epoch that was left, and not gone on with: the state is of that one.
                    epoch, had = state["epoch"], state["rows"]
                loaders, options = opened()
                [loader.load_state_dict(state) for loader in loaders]
                loaded = True
            case "pickle":
                states = [loader.state_dict() for loader in loaders]
                epoch, had = states[0]["epoch"], states[0]["rows"]
                if any(state != states[0] for state in states):
                    continue
                loaders = [pickle.loads(pickle.dumps(loader)) for loader in loaders]
                loaded = loaded and had > 0
