"""Which rows an epoch has: what users give as `sampler`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np

from . import _arguments as arguments
from ._rows import is_rows, rows


class Weighted:
    """Draws rows with probabilities proportional to weights: a `sampler` of a loader.

    torch's `WeightedRandomSampler` is taken for one of these: its weights, number of samples and
    replacement count, its generator does not.

    Args:
        weights: One a row, not negative.
        num_samples: Draws in an epoch; by default, as many as there are rows. Without
            replacement: by default, as many as have a positive weight, and no more than these.
        replacement: Whether a row may come again.
    """

    def __init__(self, weights: Any, num_samples: int | None = None, replacement: bool = True):
        self.weights = weights
        self.num_samples = num_samples
        self.replacement = replacement


class Sampler:
    """A sampler in the form that the core takes: rows, weights, or an object that is asked anew for
    the rows of each epoch."""

    def __init__(self, sampler: Any, n_obs: int):
        self.rows: np.ndarray | None = None
        self.weights: np.ndarray | None = None
        self.n_samples: int | None = None
        self.replacement = True
        self.drawing: Any = None
        self._n_obs = n_obs
        if sampler is None:
            return
        if isinstance(sampler, (Weighted, _torch("WeightedRandomSampler"))):
            self.weights = arguments.weights("sampler", sampler.weights)
            self.replacement = arguments.flag("sampler.replacement", sampler.replacement)
            if sampler.num_samples is not None:
                self.n_samples = arguments.count("sampler.num_samples", sampler.num_samples)
        elif is_rows(sampler):
            self.rows = rows("sampler", sampler, n_obs).astype(np.uint32)
        elif isinstance(sampler, (Iterator, Mapping, Set, str, bytes, bytearray)) or not isinstance(
            sampler, Iterable
        ):
            raise TypeError(
                "sampler: expected rows, or an object that can be iterated anew for each epoch, found "
                f"{type(sampler).__name__}"
            )
        elif isinstance(sampler, _torch("BatchSampler")):
            raise TypeError(
                "sampler: expected a sampler of rows, found a BatchSampler: give the sampler inside of it"
            )
        else:
            self.drawing = sampler

    @property
    def divides(self) -> bool:
        """Whether it divides the rows among ranks itself, as `DistributedSampler` does."""
        return hasattr(self.drawing, "num_replicas")

    def n_rows(self) -> int | None:
        """How many rows it will draw; None if nobody knows."""
        try:
            return len(self.drawing)
        except TypeError:
            return None

    def check_repeats(self, drawn: np.ndarray, epoch: int) -> None:
        """Refuses a sampler that draws other rows each time it is asked: where several processes ask
        theirs, and cannot compare what they draw, some rows would be lost and others repeated."""
        if not np.array_equal(drawn, self.draw(epoch)):
            raise RuntimeError(
                f"sampler: {type(self.drawing).__name__} draws other rows each time, so that processes which divide them "
                "would lose some: give rows (a list of what it draws), or a sampler whose rows depend on its seed and "
                "`set_epoch` alone; or read in one process, without workers of a DataLoader, since a loader reads ahead "
                "by itself; or initialise torch.distributed, over which ranks compare what they draw"
            )

    def draw(self, epoch: int) -> np.ndarray:
        """The rows of an epoch."""
        if hasattr(self.drawing, "set_epoch"):
            self.drawing.set_epoch(epoch)
        return rows("sampler", list(self.drawing), self._n_obs).astype(np.uint32)


def _torch(name: str) -> Any:
    """A class of torch.utils.data; where torch was never imported, nothing is one."""
    return getattr(sys.modules.get("torch.utils.data"), name, _NoClass)


class _NoClass:
    """What no object is one of."""
