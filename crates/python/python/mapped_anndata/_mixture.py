"""Rows drawn in fixed proportions: the sampler `Mixture`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
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
    it has fewer rows than draws; then with replacement, so that some rows come several times, and
    others not at all. The draws come in random order; no `shuffle` applies.

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
        The shares, instead of a temperature; they need not sum to 1. A dict or Series of labels,
        or of store numbers or paths; or a list with one share per store. Labels and stores without
        a share are never drawn.
    num_samples
        The number of draws per epoch. By default, the number of rows. If a `Matched` drops rows,
        this number and the sizes of stores and labels stay those of all rows; a store or label of
        which it drops all rows leaves its draws to the others.
    weights
        One weight for each row of the collection, not negative, by which rows are drawn within
        their store or label. Rows of weight 0 are never drawn, and do not count. By default, all
        rows are equally likely.

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
        shares: Any = self.proportions
        if isinstance(shares, list):
            if len(shares) != len(path_list):
                raise ValueError(
                    f"proportions: expected one share for each of {len(path_list)} stores, found "
                    f"{len(shares)}"
                )
            stores = shares
        elif shares is not None and self.key is not None:
            labels = [(arguments.label("proportions", of), share) for of, share in shares.items()]
        elif shares is not None:
            for number, share in arguments.Stores(path_list).each(
                "proportions of stores (labels need a key)", shares
            ):
                stores[number] = share
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
    # A Series has an index, as a dict has keys.
    if isinstance(value, Mapping) or (hasattr(value, "index") and hasattr(value, "items")):
        return {of: arguments.number("proportions", share) for of, share in value.items()}
    if key is not None or isinstance(value, Set):
        of = "stores" if key is None else "labels"
        raise TypeError(
            f"proportions: expected a dict of {of} and their shares, found {type(value).__name__}"
        )
    shares = arguments.several("proportions", value)
    return [arguments.number("proportions", share) for share in shares]
