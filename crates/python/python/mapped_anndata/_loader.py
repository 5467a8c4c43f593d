"""Epochs of batches, read ahead while the caller trains."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arguments as arguments
from . import _core
from ._batch import finish

if TYPE_CHECKING:
    from ._collection import MappedCollection

_STATE = ("epoch", "rows", "seed", "fingerprint")
_State = tuple[int, int, int, int]


class Weighted:
    """Draws rows with probabilities proportional to weights: a `sampler` of a loader.

    torch's `WeightedRandomSampler` is taken for one of these: its weights, number of samples and
    replacement count, its generator does not.

    Args:
        weights: One a row, not negative.
        num_samples: Draws in an epoch; by default, as many as there are rows.
        replacement: Whether a row may come again.
    """

    def __init__(self, weights: Any, num_samples: int | None = None, replacement: bool = True):
        self.weights = np.asarray(weights, dtype=np.float64)
        self.num_samples = num_samples
        self.replacement = replacement


class Loader:
    """Epochs of batches of a collection: made by `MappedCollection.loader`.

    Iterating gives dicts of batched arrays. Each `iter` begins the next epoch, which has an order
    of its own; `set_epoch` says which. The order depends on the collection, the sampler, the
    shuffle, the seed and the epoch alone.
    """

    def __init__(self, collection: MappedCollection, options: dict[str, Any]):
        self._collection = collection
        self._options = dict(options)
        self._core = _open(collection, **options)
        self._as_torch = options["as_torch"]
        self._next: _State = self._core.start_of(0)
        self._place: _Place | None = None

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self._core.n_batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        state = self._next
        self._next = self._core.start_of(state[0] + 1)
        self._place = _Place(state, len(self))
        return _Batches(self._core.resume(state), self._as_torch, self._place)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next `iter` begins with."""
        self._next, self._place = self._core.start_of(arguments.count("epoch", epoch)), None

    def state_dict(self) -> dict[str, int]:
        """Where the epoch stands after the batches delivered so far: a few integers.

        After the last batch, it is the start of the next epoch.
        """
        place = self._place
        state = place.state if place is not None and place.n_left else self._next
        return dict(zip(_STATE, state))

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Lets the next `iter` go on where another loader stood.

        It must have the same seed, sampler and shuffle and the same data; batch size and number of
        ranks may differ.
        """
        wanted = state["epoch"], state["rows"], state["seed"], state["fingerprint"]
        self._core.resume(wanted)  # An error, should it not be ours.
        self._next, self._place = wanted, None

    def __reduce__(self) -> tuple[Any, ...]:
        return Loader, (self._collection, self._options), self.state_dict()

    def __setstate__(self, state: dict[str, int]) -> None:
        self.load_state_dict(state)

    def __repr__(self) -> str:
        options = {key: value for key, value in self._options.items() if value is not None}
        shown = ", ".join(f"{key}={_short(value)}" for key, value in options.items())
        return f"Loader({shown}): {len(self)} batches an epoch of {self._collection!r}"


class _Place:
    """Where an epoch stands. The loader keeps this and not the epoch: when a loop is left, its
    threads and memory go."""

    def __init__(self, state: _State, n_left: int):
        self.state = state
        self.n_left = n_left


class _Batches:
    """The batches of one epoch."""

    def __init__(self, epoch: _core.Epoch, as_torch: bool, place: _Place):
        self._epoch = epoch
        self._as_torch = as_torch
        self._place = place

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> dict[str, Any]:
        try:
            batch = next(self._epoch)
        finally:
            self._place.state, self._place.n_left = self._epoch.state(), len(self._epoch)
        return finish(batch, self._as_torch)

    def __len__(self) -> int:
        """Batches to come."""
        return len(self._epoch)


def _open(
    collection: MappedCollection,
    *,
    batch_size: int,
    shuffle: Any,
    sampler: Any,
    seed: int,
    drop_last: bool,
    output: str,
    dtype: Any,
    missing_code: int,
    workers: int,
    memory: int | str,
    rank: int | None,
    world_size: int | None,
    as_torch: bool,
) -> _core.Loader:
    rows, weights, n_samples, replacement = None, None, None, True
    if hasattr(sampler, "weights"):
        weights = np.asarray(sampler.weights, dtype=np.float64)
        n_samples, replacement = sampler.num_samples, sampler.replacement
    elif sampler is not None:
        rows = _rows(sampler, len(collection))
    rank, world_size = ranks(rank, world_size)
    return _core.Loader(
        collection._core,
        arguments.count("batch_size", batch_size),
        arguments.shuffle(shuffle),
        rows,
        weights,
        n_samples,
        replacement,
        arguments.count("seed", seed),
        drop_last,
        output,
        arguments.dtype(dtype),
        missing_code,
        arguments.count("workers", workers),
        arguments.n_bytes(memory),
        arguments.count("rank", rank),
        arguments.count("world_size", world_size),
    )


def _rows(sampler: Any, n_obs: int) -> np.ndarray:
    """Row numbers as the core has them; negative ones count from the end."""
    rows = np.asarray(sampler if isinstance(sampler, np.ndarray) else list(sampler))
    if rows.size == 0:
        return np.empty(0, dtype=np.uint32)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise TypeError(f"sampler: expected numbers of rows, found {rows.dtype} {rows.shape}")
    rows = np.where(rows < 0, rows + n_obs, rows)
    if (bad := rows[(rows < 0) | (rows >= n_obs)]).size:
        raise IndexError(f"sampler: index {bad[0]} is out of bounds for axis 0 with size {n_obs}")
    return rows.astype(np.uint32)


def ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """The part of this process: as given, else as torch.distributed or its environment has it."""
    if (rank is None) != (world_size is None):
        raise ValueError("rank and world_size: expected both or none")
    if rank is not None and world_size is not None:
        return rank, world_size
    # When it was never imported, it cannot have been initialised.
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return 0, 1


def _short(value: Any) -> str:
    return repr(value) if isinstance(value, (bool, int, float, str)) else type(value).__name__
