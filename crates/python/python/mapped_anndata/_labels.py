"""Labels of a whole collection: their weights, and splits by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, overload

import numpy as np

from . import _arguments as arguments
from ._opened import Opened
from .types import Array, FloatArray, IntArray, Label


class Labels(Opened):
    """The labels of a collection's rows.

    No file is opened for an obs key that is encoded or categorical, nor for a column of the filter
    with at most 65,535 labels: these are in memory. For other keys, each call reads the column of
    every store.
    """

    @overload
    def get_label_weights(
        self,
        obs_keys: str | Iterable[str],
        scaler: float | None = None,
        return_categories: Literal[False] = False,
    ) -> FloatArray: ...

    @overload
    def get_label_weights(
        self,
        obs_keys: str | Iterable[str],
        scaler: float | None = None,
        *,
        return_categories: Literal[True],
    ) -> dict[str, float]: ...

    def get_label_weights(
        self,
        obs_keys: str | Iterable[str],
        scaler: float | None = None,
        return_categories: bool = False,
    ) -> FloatArray | dict[str, float]:
        """Returns a weight for each row: the rarer its label, the higher.

        The weight of a row is `1 / n`, where `n` rows share its label, or `scaler / (scaler + n)`.

        Parameters
        ----------
        obs_keys
            A key of obs, or several. With several, the combination of labels counts.
        scaler
            See above.
        return_categories
            Return the weight of each label instead of one per row.

        Returns
        -------
        numpy.ndarray or dict
            `[n_obs]` float64; or labels (combined ones joined by `__`) and their weights.

        Raises
        ------
        ValueError
            No store has the key, or the collection is closed.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="donor")
        >>> cells.get_label_weights("donor").shape
        (1800,)
        >>> weights = cells.get_label_weights("donor", return_categories=True)
        >>> sorted(weights)
        ['donor1', 'donor2', 'donor3']
        """
        keys = arguments.keys("obs_keys", obs_keys) or []
        scaler = None if scaler is None else arguments.number("scaler", scaler)
        if arguments.flag("return_categories", return_categories):
            return dict(self._core.class_weights(keys, scaler))
        return self._core.label_weights(keys, scaler)

    def get_merged_labels(self, label_key: str) -> Array:
        """Returns the label of every row.

        Parameters
        ----------
        label_key
            A key of obs.

        Returns
        -------
        numpy.ndarray
            `[n_obs]`; `nan` where a label is missing.

        Raises
        ------
        ValueError
            No store has the key, or the collection is closed.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="donor")
        >>> cells.get_merged_labels("donor")[:3]
        array(['donor2', 'donor1', 'donor2'], dtype=object)
        """
        labels, codes, dtype = self._core.merged_labels(arguments.key("label_key", label_key))
        if dtype.startswith("float"):
            of_floats: Array = np.array([*labels, np.nan], dtype=dtype)
            return of_floats[codes]
        if dtype != "object" and bool((codes < len(labels)).all()):
            return np.array(labels, dtype=dtype)[codes]
        table = np.empty(len(labels) + 1, dtype=object)
        table[:] = [*labels, np.nan]
        return table[codes]

    def get_merged_categories(self, label_key: str) -> list[Label]:
        """Returns the sorted labels of a key over all stores: the filter is ignored.

        Parameters
        ----------
        label_key
            A key of obs.

        Returns
        -------
        list
            Each label once.

        Raises
        ------
        ValueError
            No store has the key, or the collection is closed.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="donor")
        >>> cells.get_merged_categories("donor")
        ['donor1', 'donor2', 'donor3']
        """
        return self._core.merged_categories(arguments.key("label_key", label_key))

    def split(
        self,
        fractions: Sequence[float],
        *,
        stratify: str | None = None,
        group: str | None = None,
        seed: int = 0,
    ) -> tuple[IntArray, ...]:
        """Divides the rows into disjoint parts.

        Parameters
        ----------
        fractions
            The share of each part. They sum to at most 1.
        stratify
            A key of obs: the rows of each of its labels are divided in the same fractions.
        group
            A key of obs: all rows of one of its labels stay together.
        seed
            Fixes the result.

        Returns
        -------
        tuple of numpy.ndarray
            The rows of each part, ascending, as int64.

        Raises
        ------
        ValueError
            A fraction is not positive, they sum to more than 1, or no store has the key; or both
            `stratify` and `group` were given.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="cell_type")
        >>> train, test = cells.split([0.8, 0.2], stratify="cell_type")
        >>> len(train), len(test)
        (1440, 360)
        """
        shares = arguments.several("fractions", fractions)
        parts = [arguments.number("fractions", share) for share in shares]
        stratify = None if stratify is None else arguments.key("stratify", stratify)
        group = None if group is None else arguments.key("group", group)
        return self._core.split(parts, stratify, group, arguments.count("seed", seed))
