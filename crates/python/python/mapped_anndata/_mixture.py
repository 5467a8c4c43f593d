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

    The draws of an epoch are divided in proportion to the shares by the largest remainder, so
    every epoch draws the same number of rows from each store or label: without replacement, unless
    it has fewer rows (of positive weight) than draws. The draws come in random order; no `shuffle`
    applies.

    Parameters
    ----------
    key
        A key of obs, whose labels are mixed. It need not be one of the collection's `obs_keys`.
        Rows without a label are never drawn, unless `proportions` has a share for None. By
        default, stores are mixed.
    temperature
        The exponent of sizes: a store or label of `n` rows has a share of `n**temperature`. With
        1, they occur as often as in the files; with 0, equally often.
    proportions
        The shares, instead of a temperature; they need not sum to 1. A dict of labels, or of store
        numbers or paths; or a list with one share per store. Labels and stores without a share are
        never drawn.
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
        count = arguments.optional(arguments.count, "num_samples", self.num_samples)
        object.__setattr__(self, "num_samples", count)
        # An iterator has its elements once: proportions are kept as a dict or a list.
        object.__setattr__(self, "proportions", _proportions(self.proportions, self.key))

    def _to_core(self, path_list: Sequence[PathLike]) -> dict[str, Any]:
        labels, stores = [], [0.0] * len(path_list)
        proportions: Any = self.proportions
        if isinstance(proportions, list):
            if len(proportions) != len(path_list):
                raise ValueError(
                    f"proportions: expected one share for each of {len(path_list)} stores, found "
                    f"{len(proportions)}"
                )
            stores = proportions
        elif self.key is not None and proportions is not None:
            labels = [
                (arguments.label("proportions", label), share)
                for label, share in proportions.items()
            ]
        elif proportions is not None:
            stores = _of_stores(proportions, path_list)
        return {
            "key": self.key,
            "temperature": None if self.temperature is None else float(self.temperature),
            "labels": labels,
            "stores": stores,
        }


def _proportions(value: Any, key: str | None) -> dict[Any, float] | list[float] | None:
    """Returns shares as floats: a dict of labels or stores, or a list of all stores."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {of: arguments.number("proportions", share) for of, share in value.items()}
    if key is not None:
        raise TypeError(
            f"proportions: expected a dict of labels and their shares, found {type(value).__name__}"
        )
    shares = arguments.several("proportions", value)
    return [arguments.number("proportions", share) for share in shares]


def _of_stores(proportions: dict[Any, float], path_list: Sequence[PathLike]) -> list[float]:
    """Returns the share of each store, from shares by number or path."""
    shares: dict[int, float] = {}
    for store, share in proportions.items():
        for number in arguments.stores("proportions", store, path_list):
            if number in shares:
                raise ValueError(f"proportions: expected one share for store {number}, found two")
            shares[number] = share
    return [shares.get(number, 0.0) for number in range(len(path_list))]
