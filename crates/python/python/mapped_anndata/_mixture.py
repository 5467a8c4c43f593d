"""Rows drawn in fixed proportions: the sampler `Mixture`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy.typing as npt

from . import _arguments as arguments
from .types import PathLike, ProportionsLike


@dataclass(frozen=True, eq=False)
class Mixture:
    """Draws rows of stores or labels in fixed proportions: a `sampler` of a loader.

    The draws of an epoch are divided in proportion to the shares by the largest remainder, so that
    each epoch has the same numbers. No row comes twice in an epoch, unless its store or label has
    fewer rows than draws: then each draw is from all of its rows. The draws come in random order;
    no `shuffle` applies.

    Parameters
    ----------
    key
        A key of obs, whose labels are mixed. It need not be one of the collection's `obs_keys`.
        Rows without a label are never drawn, unless `proportions` has a share for None. By
        default, stores are mixed.
    temperature
        A store or label of `n` rows has a share of `n**temperature`: with 1, they occur as often as
        in the files; with 0, equally often.
    proportions
        The shares instead; they need not sum to 1. Labels and their shares, or one share for each
        store, in a list or by the store's number or path. What is left out is never drawn.
    num_samples
        The number of draws per epoch. By default, the number of rows.
    weights
        One weight for each row of the collection, not negative, by which rows are drawn within
        their store or label. By default, all are equally likely.

    Raises
    ------
    TypeError
        An argument is of the wrong type.
    ValueError
        Both or neither of `temperature` and `proportions` are given, or a value is wrong.

    Examples
    --------
    >>> from collections import Counter
    >>> from mapped_anndata import MappedCollection, Mixture
    >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="donor")
    >>> cells.original_shapes
    [(1100, 550), (700, 440)]
    >>> loader = cells.loader(100, sampler=Mixture(temperature=0.5, num_samples=1000))
    >>> sorted(Counter(n for batch in loader for n in batch["_store_idx"].tolist()).items())
    [(0, 556), (1, 444)]
    >>> mixture = Mixture("donor", proportions={"donor1": 2, "donor3": 1}, num_samples=300)
    >>> Counter(n for batch in cells.loader(100, sampler=mixture) for n in batch["donor"].tolist())
    Counter({0: 200, 2: 100})
    """

    key: str | None = None
    _: KW_ONLY
    temperature: float | None = None
    proportions: ProportionsLike | None = None
    num_samples: int | None = None
    weights: npt.ArrayLike | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        arguments.optional(arguments.key, "key", self.key)
        if (self.temperature is None) == (self.proportions is None):
            found = "neither" if self.temperature is None else "both"
            raise ValueError(f"Mixture: expected a temperature or proportions, found {found}")
        arguments.optional(arguments.number, "temperature", self.temperature)
        arguments.optional(arguments.count, "num_samples", self.num_samples)
        if self.proportions is not None:
            self._shares()

    def _shares(self) -> list[tuple[Any, float]]:
        """Returns pairs of a label, or what stands for a store, and its share."""
        shares: Any = self.proportions
        if not isinstance(shares, Mapping):
            if self.key is not None:
                raise TypeError(
                    "proportions: expected a dict of labels and their shares, found "
                    f"{type(shares).__name__}"
                )
            shares = dict(enumerate(arguments.several("proportions", shares)))
        return [(of, arguments.number("proportions", share)) for of, share in shares.items()]

    def _to_core(self, path_list: Sequence[PathLike]) -> dict[str, Any]:
        labels, stores = [], [0.0] * len(path_list)
        if self.proportions is not None and self.key is not None:
            labels = [(arguments.label("proportions", of), share) for of, share in self._shares()]
        elif self.proportions is not None:
            is_list = not isinstance(self.proportions, Mapping)
            if is_list and len(self._shares()) != len(path_list):
                raise ValueError(
                    f"proportions: expected one share for each of {len(path_list)} stores, found "
                    f"{len(self._shares())}"
                )
            for of, share in self._shares():
                for number in arguments.stores("proportions", of, path_list):
                    stores[number] = share
        return {
            "key": self.key,
            "temperature": None if self.temperature is None else float(self.temperature),
            "labels": labels,
            "stores": stores,
        }
