"""The rows of an epoch: the argument `sampler`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from . import _arguments as arguments
from ._matched import Matched
from ._mixture import Mixture
from ._rows import is_rows, rows
from .types import FloatArray, PathLike, Sampler, SamplerLike


@dataclass(frozen=True, eq=False)
class Weighted:
    """Draws rows with probabilities proportional to weights: a `sampler` of a loader.

    A loader treats torch's `WeightedRandomSampler` in the same way: it takes its weights, number
    of samples and replacement, and ignores its generator.

    Parameters
    ----------
    weights
        One per row, not negative, in an array, tensor or list.
    num_samples
        The number of draws per epoch. By default, the number of rows; without replacement, the
        number of rows with a positive weight, which is also the maximum.
    replacement
        Whether a row may be drawn again.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection, Weighted
    >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys=["cell_type", "donor"])
    >>> weights = cells.get_label_weights(["cell_type", "donor"])
    >>> loader = cells.loader(100, sampler=Weighted(weights, num_samples=1000))
    >>> len(loader)
    10
    """

    weights: npt.ArrayLike = field(repr=False)
    num_samples: int | None = None
    replacement: bool = True


@dataclass(frozen=True)
class Balanced:
    """Draws rows so that every label occurs equally often: a `sampler` of a loader.

    Rows are drawn with replacement. Rows without a label are never drawn.

    Parameters
    ----------
    key
        A key of obs. It need not be one of the collection's `obs_keys`.
    num_samples
        The number of draws per epoch. By default, the number of rows.

    Examples
    --------
    >>> from collections import Counter
    >>> from mapped_anndata import Balanced, MappedCollection
    >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="donor")
    >>> loader = cells.loader(100, sampler=Balanced("donor", num_samples=30_000))
    >>> drawn = Counter(code for batch in loader for code in batch["donor"].tolist())
    >>> all(abs(count - 10_000) < 500 for count in drawn.values())
    True
    """

    key: str
    num_samples: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class CoreSampler:
    """A sampler in the form that the core takes: one of the first five fields, or all rows."""

    rows: npt.NDArray[np.uint32] | None = None
    weights: FloatArray | None = None
    balanced: str | None = None
    """The key of the labels that occur equally often."""
    mixture: dict[str, Any] | None = None
    """With a mixture, `weights` apply within each group."""
    drawing: Sampler | None = None
    """An object that draws the rows of each epoch anew."""
    n_samples: int | None = None
    replacement: bool = True

    @classmethod
    def of(
        cls, sampler: SamplerLike | None, n_obs: int, path_list: Sequence[PathLike]
    ) -> CoreSampler:
        """Returns the core's form of a user's sampler."""
        if sampler is None:
            return cls()
        if isinstance(sampler, Mixture):
            weights = sampler.weights
            return cls(
                mixture=sampler._to_core(path_list),
                weights=None if weights is None else arguments.weights("weights", weights),
                n_samples=sampler.num_samples,
            )
        if isinstance(sampler, Balanced):
            return cls(
                balanced=arguments.key("sampler.key", sampler.key),
                n_samples=_num_samples(sampler.num_samples),
            )
        if isinstance(sampler, (Weighted, _torch("WeightedRandomSampler"))):
            return cls(
                weights=arguments.weights("sampler", sampler.weights),
                n_samples=_num_samples(sampler.num_samples),
                replacement=arguments.flag("sampler.replacement", sampler.replacement),
            )
        if is_rows(sampler):
            return cls(rows=rows("sampler", sampler, n_obs).astype(np.uint32))
        if isinstance(sampler, Matched):
            raise TypeError("sampler: found Matched, which is the argument `matched`")
        no_sampler = (Iterator, Mapping, Set, str, bytes, bytearray)
        if isinstance(sampler, no_sampler) or not isinstance(sampler, Iterable):
            raise TypeError(
                "sampler: expected rows, or an object that can be iterated anew for each epoch, "
                f"found {type(sampler).__name__}"
            )
        if isinstance(sampler, _torch("BatchSampler")):
            raise TypeError(
                "sampler: expected a sampler of rows, found a BatchSampler: give the sampler "
                "inside of it"
            )
        return cls(drawing=cast(Sampler, sampler))

    def to_core(self) -> dict[str, Any]:
        """Returns what the core takes."""
        fields = vars(self).copy()
        return {**fields, "drawn": fields.pop("drawing") is not None}

    @property
    def n_replicas(self) -> int | None:
        """The number of ranks among which it divides the rows, as `DistributedSampler` does."""
        return getattr(self.drawing, "num_replicas", None)

    def n_rows(self) -> int | None:
        """Returns the number of rows that `drawing` will draw; None if unknown."""
        try:
            return len(cast(Any, self.drawing))
        except TypeError:
            return None

    def draw(self, epoch: int, n_obs: int) -> npt.NDArray[np.uint32]:
        """Returns the rows that `drawing` draws for an epoch."""
        drawing: Any = self.drawing
        if hasattr(drawing, "set_epoch"):
            drawing.set_epoch(epoch)
        return rows("sampler", list(drawing), n_obs).astype(np.uint32)

    def check_repeats(self, drawn: npt.NDArray[np.uint32], epoch: int, n_obs: int) -> None:
        """Refuses a sampler that draws other rows at each iteration.

        If several processes each iterate their own, and cannot compare the draws, some rows would
        be lost and others repeated.
        """
        if not np.array_equal(drawn, self.draw(epoch, n_obs)):
            raise RuntimeError(
                f"sampler: {type(self.drawing).__name__} draws other rows each time, so that "
                "processes which divide them would lose some: give rows (a list of what it draws), "
                "or a sampler whose rows depend on its seed and `set_epoch` alone; or read in one "
                "process, without workers of a DataLoader, since a loader reads ahead by itself; "
                "or initialise torch.distributed, over which ranks compare what they draw"
            )


def _num_samples(value: object) -> int | None:
    return arguments.optional(arguments.count, "sampler.num_samples", value)


def _torch(name: str) -> Any:
    """Returns a class of torch.utils.data; a class without instances if torch is not imported."""
    return getattr(sys.modules.get("torch.utils.data"), name, _NoClass)


class _NoClass:
    """A class without instances."""
