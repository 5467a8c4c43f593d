"""The variables (genes) of a collection: of each store, and joined."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import _arguments as arguments
from ._opened import Opened
from .types import Array, BoolArray, GeneOverlap, IntArray

if TYPE_CHECKING:
    import pandas as pd


class Variables(Opened):
    """The variables of a collection."""

    @cached_property
    def var_joint(self) -> pd.Index[Any] | Array | None:
        """The joint variables, in the order of every joined row; None without a join.

        A `pandas.Index` if pandas is installed, otherwise an array of objects.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection(["demo/a.h5ad", "demo/b.h5ad"]).var_joint[:2].tolist()
        ['NKG7', 'ZNF7']
        """
        names = self._core.var_joint()
        return None if names is None else _index(names)

    @property
    def var_list(self) -> list[pd.Index[Any] | Array] | None:
        """The variables of each store; None without a join.

        Set it to None to read it again when it is next needed.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"])
        >>> [len(names) for names in cells.var_list]
        [550, 440]
        >>> cells.var_list = None
        """
        return None if self._options.join is None else self._var_list

    @var_list.setter
    def var_list(self, value: None) -> None:
        if value is not None:
            raise ValueError("var_list: expected None, which has it read again when needed")
        self.__dict__.pop("_var_list", None)

    @cached_property
    def _var_list(self) -> list[pd.Index[Any] | Array]:
        return [_index(names) for names in self._core.var_list()]

    @cached_property
    def var_indices(self) -> list[IntArray] | None:
        """The positions of the joint variables, as one array per store.

        With an inner join or given genes, the positions of the joint variables in each store, -1
        where it lacks one; with an outer join, the joint positions of each store's variables, -1
        for those that were dropped. None without a join in effect.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"])
        >>> [len(positions) for positions in cells.var_indices]
        [425, 425]
        """
        indices = self._core.var_indices()
        return None if indices is None else list(indices)

    def vars_of(self, key: str) -> pd.Index[Any] | Array | None:
        """Returns the joint variables of a matrix.

        Parameters
        ----------
        key
            One of `layers_keys`.

        Returns
        -------
        pandas.Index or numpy.ndarray or None
            The names, as `var_joint` has them; None if the rows of each store have its own
            variables, as those of `raw.X` do without `genes`, and those of `obsm_<key>`.

        Raises
        ------
        ValueError
            There is no such matrix.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection("demo/a.h5ad", genes=["ZNF7", "NKG7"])
        >>> cells.vars_of("X").tolist()
        ['ZNF7', 'NKG7']
        """
        names = self._core.vars_of(self._matrix(key))
        return None if names is None else _index(names)

    @cached_property
    def gene_overlaps(self) -> list[GeneOverlap]:
        """How many of the given `genes` each store has; empty without `genes`.

        A store has two entries if `X` or a layer is read beside `raw.X`.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection("demo/a.h5ad", genes=["ZNF7", "NKG7", "no such gene"])
        >>> cells.gene_overlaps[0]["found"], cells.gene_overlaps[0]["genes"]
        (2, 550)
        """
        names = ("store", "table", "found", "given", "genes", "overlap")
        overlaps = self._core.gene_overlaps()
        return [cast(GeneOverlap, dict(zip(names, row, strict=True))) for row in overlaps]

    def _matrix(self, key: str) -> str:
        """Checks the name of a matrix."""
        known = [*self.layers_keys, *(f"obsm_{key}" for key in self.obsm_keys or [])]
        if key not in known:
            raise ValueError(f"key: expected one of {known}, found {key!r}")
        return key

    def presence(self, store: int, key: str | None = None) -> BoolArray | None:
        """Returns which joint variables a store has.

        A variable that a store lacks is 0 in its rows, like one that was measured as 0.

        Parameters
        ----------
        store
            The number of a store.
        key
            A matrix: one of `layers_keys`. By default, the first.

        Returns
        -------
        numpy.ndarray or None
            `[n_vars]` booleans; None without a join.

        Raises
        ------
        ValueError
            There is no such store or matrix.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], join="outer")
        >>> int(cells.presence(0).sum()), cells.n_vars
        (550, 565)
        """
        most = len(self.n_obs_list) - 1
        number = arguments.count("store", store, most=most)
        return self._core.presence(number, None if key is None else self._matrix(key))

    def check_vars_sorted(self, ascending: bool = True) -> bool:
        """Returns whether the variables of every store are sorted.

        Parameters
        ----------
        ascending
            The direction.

        Returns
        -------
        bool
            True if all are.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection("demo/a.h5ad").check_vars_sorted()
        False
        """
        return self._core.check_vars_sorted(arguments.flag("ascending", ascending))

    def check_vars_non_aligned(self, vars: Iterable[object]) -> list[int]:
        """Returns the stores whose variables differ from the given ones, or are in another order.

        Parameters
        ----------
        vars
            Names of variables.

        Returns
        -------
        list of int
            The numbers of these stores.

        Raises
        ------
        TypeError
            `vars` is a single text, or cannot be iterated.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"])
        >>> cells.check_vars_non_aligned(cells.var_list[0])
        [1]
        """
        names = [str(name) for name in arguments.several("vars", vars)]
        return self._core.check_vars_non_aligned(names)


def _index(names: list[str]) -> pd.Index[Any] | Array:
    """Returns a `pandas.Index` if pandas is installed, otherwise an array of objects."""
    array = np.array(names, dtype=object)
    try:
        import pandas as pd
    except ImportError:
        return array
    index: pd.Index[Any] = pd.Index(array)
    return index
