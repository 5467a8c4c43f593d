"""The division of rows: among ranks that train together, and workers of a `DataLoader`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Rank(NamedTuple):
    """The number of a process among those that train together, and their number."""

    rank: int
    world_size: int


ALONE = Rank(0, 1)

# Names of classes that divide their rows among ranks, by the module that defines them.
_DIVIDERS = {"accelerate.data_loader": ("DataLoaderDispatcher", "IterableDatasetShard")}


def distributed() -> Any | None:
    """Returns torch.distributed if it is initialised: it cannot be if it was never imported."""
    module = sys.modules.get("torch.distributed")
    return (
        module if module is not None and module.is_available() and module.is_initialized() else None
    )


def find(sent: Rank | None = None) -> Rank | None:
    """Returns the rank of this process; None if nothing says that there are others.

    Parameters
    ----------
    sent
        The rank that the process that sent the loader here had found.

    Raises
    ------
    RuntimeError
        There are several ranks, and nothing says which this one is.
    """
    if (torch := distributed()) is not None:
        return Rank(torch.get_rank(), torch.get_world_size())
    if sent is not None:
        return sent
    world_size = _from_environment("WORLD_SIZE", 1)
    if world_size is None:
        return None
    rank = _from_environment("RANK", 0)
    if rank is not None:
        return Rank(rank, world_size)
    if world_size > 1:
        raise RuntimeError(
            f"there are {world_size} ranks (WORLD_SIZE), and nothing says which of them this "
            "process is: read after torch.distributed is initialised, set RANK, or give rank and "
            "world_size to `loader`"
        )
    return ALONE


def world_size(sent: Rank | None = None) -> int:
    """Returns the number of ranks, which may be known before the rank of this process."""
    if (torch := distributed()) is not None:
        n_ranks: int = torch.get_world_size()
        return n_ranks
    return sent.world_size if sent is not None else _from_environment("WORLD_SIZE", 1) or 1


def _from_environment(name: str, least: int) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not least <= number < 2**32:
        raise ValueError(
            f"{name}: expected a number from {least} to below 2^32 in the environment, "
            f"found {text!r}"
        )
    return number


def worker() -> Rank:
    """Returns the number of this `DataLoader` worker, and the number of workers."""
    data = sys.modules.get("torch.utils.data")
    info = data and data.get_worker_info()
    return ALONE if info is None else Rank(info.id, info.num_workers)


def is_starting_worker() -> bool:
    """Returns whether an object is being pickled for a process that is being started."""
    context = sys.modules.get("multiprocessing.context")
    return context is not None and context.get_spawning_popen() is not None


def random_seed() -> int:
    """Returns a random seed, below 2^63."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))


def in_worker() -> bool:
    """Returns whether this process is a worker of a `DataLoader`."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None


def check_undivided(checked: bool) -> None:
    """Refuses a caller that divides its rows among ranks itself: rows would be divided twice.

    Parameters
    ----------
    checked
        Whether callers that cannot be seen here need no check.
    """
    frame: FrameType | None = sys._getframe()
    unseen = not checked and in_worker() and any(name in sys.modules for name in _DIVIDERS)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        names = _DIVIDERS.get(module, ())
        if names and (name := type(frame.f_locals.get("self")).__name__) in names:
            raise RuntimeError(
                f"the loader divides its rows among ranks, and {name} of accelerate would divide "
                "them again: use the loader as it is, which `prepare` leaves alone, or make it "
                "with rank=0 and world_size=1 (and without a sampler that divides)"
            )
        if unseen and module == "multiprocessing.spawn":
            raise RuntimeError(
                "the loader was made in a worker of a DataLoader, where nothing says whether "
                "accelerate divides its rows among ranks again: make it before the workers start, "
                "or give it rank and world_size (0 and 1 if accelerate's `prepare` was given the "
                "DataLoader)"
            )
        # Above the callers of a forked worker are those of its parent.
        unseen = unseen and module != "multiprocessing.popen_fork"
        frame = frame.f_back


def from_first(value: int) -> int:
    """Returns the value of rank 0. All ranks call it together."""
    torch = distributed()
    if torch is None or in_worker():
        raise RuntimeError(
            "seed: several ranks need one seed, and rank 0 can only tell the others its own "
            "through torch.distributed, in the process that trains: give a seed"
        )
    values = [value]
    torch.broadcast_object_list(values, src=0)
    return values[0]


def of_all(value: T, rank: Rank) -> Sequence[T] | None:
    """Returns the values of all ranks, which call it together; None if they cannot communicate."""
    torch = distributed()
    if torch is None or in_worker() or rank != (torch.get_rank(), torch.get_world_size()):
        return None
    values: list[Any] = [None] * torch.get_world_size()
    torch.all_gather_object(values, value)
    return values
