"""Open files: the part of a collection on which all others build."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from . import _arguments as arguments
from . import _core
from ._options import CollectionOptions
from ._ranks import is_starting_worker
from ._transforms import with_target
from .types import CacheInfo, JoinInEffect, Label, LabelLike, PathLike


class Opened:
    """Open files, and the attributes that are known once they are open."""

    _options: CollectionOptions
    _core: _core.Collection

    path_list: Sequence[PathLike]
    layers_keys: list[str]
    obs_keys: list[str] | None
    obsm_keys: list[str] | None
    encode_labels: list[str] | bool
    encoders: dict[str, dict[Label, int]]
    unknown_label: LabelLike | Mapping[str, LabelLike]
    parallel: bool
    missing_code: int | None
    filtered: bool
    n_obs: int
    n_obs_list: list[int]
    n_vars: int | None
    n_vars_list: list[int] | None
    join_vars: JoinInEffect | None

    def _open(self, options: CollectionOptions) -> None:
        """Opens the files and sets the attributes."""
        self._core = core = _core.Collection(
            options.paths,
            options.layers_keys,
            options.obs_keys or [],
            options.obsm_keys or [],
            list((options.obs_filter or {}).items()),
            options.join,
            options.encode_labels,
            arguments.unknown_label(options.unknown_label),
            options.dtype,
            options.variables.to_core(),
            options.choices.to_core(),
            missing_code=options.missing_code,
            cache=options.cache,
            cache_size=options.cache_size,
            storage=list(options.storage_options.items()),
            **dataclasses.asdict(options.io),
        )
        # A pickle opens the same files, whatever the current folder is then. What was opened of a
        # URL lacks its signature.
        pairs = zip(options.paths, core.paths, strict=True)
        paths = [given if "://" in opened else opened for given, opened in pairs]
        self._options = dataclasses.replace(options, paths=paths)
        self.path_list = options.path_list
        self.layers_keys = options.layers_keys
        self.obs_keys = options.obs_keys
        self.obsm_keys = options.obsm_keys
        self.filtered = options.obs_filter is not None
        self.unknown_label = options.unknown_label
        self.parallel = options.parallel
        self.missing_code = options.missing_code
        self.encoders = {key: dict(pairs) for key, pairs in core.encoders()}
        encoded = options.encode_labels
        if encoded is True:
            encoded = [key for key in self.obs_keys or [] if key in self.encoders]
        self.encode_labels = encoded or False
        self.n_obs = core.n_obs
        self.n_vars = core.n_vars
        self.join_vars = core.join_vars
        self.n_obs_list = [n_obs for n_obs, _ in core.original_shapes]
        joined = options.join is not None
        self.n_vars_list = [n_vars for _, n_vars in core.original_shapes] if joined else None

    @property
    def source_keys(self) -> dict[str, list[str | None]]:
        """What each store has for the keys: the names of its matrices and columns.

        None where a store has nothing for a key.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> obs_keys = {"cell_type": ["celltype", "cell_type"]}
        >>> MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys=obs_keys).source_keys
        {'X': ['X', 'X'], 'cell_type': ['cell_type', 'cell_type']}
        """
        keys = [*self.layers_keys, *(self.obs_keys or [])]
        return {key: self._core.source_keys(key) for key in keys}

    @property
    def not_in_table(self) -> list[int] | None:
        """For each store, how many of its rows have no row in the `obs_table`; None without one.

        Examples
        --------
        >>> import pandas as pd
        >>> from mapped_anndata import MappedCollection
        >>> fates = pd.DataFrame({"fate": ["blood", "neuron"]}, index=["A-0000", "B-0001"])
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_table=fates)
        >>> cells.not_in_table
        [1099, 699]
        """
        return _core.not_in_table(self._core)

    def prepare(self, progress: Callable[[float], object] | None = None) -> None:
        """Does beforehand what would otherwise slow down the first epoch.

        Turns matrices that are stored by column (CSC) into rows, unless the `cache` has their
        rows. Otherwise, the first read of a matrix turns it. Call this before workers are forked,
        so that they share the result. With all processors, then fills the `cache`, if the
        collection has one, and computes the median of totals that a `NormalizeTotal` needs.

        Parameters
        ----------
        progress
            Called with the fraction that is done, from 0 to 1. Its exceptions are raised here.

        Raises
        ------
        ValueError
            The collection is closed, or a matrix is not valid.
        OSError
            A file cannot be read.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"])
        >>> cells.prepare(lambda part: print(f"{part:.0%}"))  # these have no matrix by column
        """
        self._core.prepare(progress)
        self._warn_of_cache()

    def cache_info(self) -> CacheInfo | None:
        """Returns how much of the collection its `cache` holds; None without one.

        Only compressed matrices count, because others are read as they are.

        Returns
        -------
        CacheInfo or None
            The number of bands of chunks, the number of those in the cache, and their bytes.

        Examples
        --------
        >>> import tempfile
        >>> from mapped_anndata import MappedCollection
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cells = MappedCollection("demo/a.h5ad", cache=folder)
        ...     before = cells.cache_info()
        ...     cells.prepare()
        ...     after = cells.cache_info()
        ...     cells.close()
        >>> before["cached_bands"], after["cached_bands"] == after["bands"]
        (0, True)
        """
        found = self._core.cached()
        if found is None:
            return None
        bands, cached_bands, n_bytes = found
        return {"bands": bands, "cached_bands": cached_bands, "bytes": n_bytes}

    def _warn_of_cache(self) -> None:
        """Warns of what went wrong with the cache since the last call."""
        for text in self._core.cache_warnings():
            warnings.warn(text, stacklevel=3)

    @property
    def shape(self) -> tuple[int, int | None]:
        """`(n_obs, n_vars)`; without a join, `n_vars` is None.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], join="outer").shape
        (1800, 565)
        """
        return self.n_obs, self.n_vars

    @property
    def original_shapes(self) -> list[tuple[int, int]]:
        """The shape of each store: its rows that passed the filter, and its variables.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection(["demo/a.h5ad", "demo/b.h5ad"]).original_shapes
        [(1100, 550), (700, 440)]
        """
        return self._core.original_shapes

    def __len__(self) -> int:
        """Returns the number of rows of all stores."""
        return self.n_obs

    def close(self) -> None:
        """Closes the files. Reading afterwards is an error; a second call does nothing.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection("demo/a.h5ad")
        >>> cells.close()
        >>> cells[0]
        Traceback (most recent call last):
            ...
        ValueError: the collection is closed: open it again to read from it
        """
        self._core.close()
        self._warn_of_cache()

    @property
    def closed(self) -> bool:
        """Whether `close` was called.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> with MappedCollection("demo/a.h5ad") as cells:
        ...     print(cells.closed)
        False
        >>> cells.closed
        True
        """
        return self._core.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.close()

    @classmethod
    def torch_worker_init_fn(cls, worker_id: int) -> None:
        """Does nothing: workers need no preparation. It exists because lamindb's class has it.

        Parameters
        ----------
        worker_id
            The number of a worker of a `DataLoader`.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection.torch_worker_init_fn(0)
        """

    def __reduce__(self) -> tuple[Any, ...]:
        options = self._with_medians()
        # Only a process that is being started gets what may not be written down.
        if not is_starting_worker():
            options = options.without_secrets()
        return _reopen, (type(self), options, self.closed)

    def __deepcopy__(self, _: object) -> Opened:
        # A copy stays in this process, so it has what a pickle may not have.
        return _reopen(type(self), self._with_medians(), self.closed)

    def _with_medians(self) -> CollectionOptions:
        """Returns the options with the medians that are known: finding them reads all rows."""
        choices, transforms = self._options.choices, {}
        for key, steps in choices.transforms.items():
            median = self._core.median_total(key)
            transforms[key] = [with_target(step, median) for step in steps]
        choices = dataclasses.replace(choices, transforms=transforms)
        return dataclasses.replace(self._options, choices=choices)

    def __repr__(self) -> str:
        cells, genes = f"{self.n_obs:,} cells", f"{self.n_vars:,} genes" if self.n_vars else ""
        parts = [f"{cells} x {genes}" if genes else cells]
        parts.append(f"{len(self.n_obs_list):,} stores")
        if (given := self._options.variables.genes) is not None:
            parts.append(f"genes={given!r}")
        else:
            parts.append(f"join={self._options.join!r}")
        for name in ("layers_keys", "obs_keys", "obsm_keys"):
            if keys := getattr(self, name):
                parts.append(f"{name}={keys!r}")
        for key, steps in self._options.choices.transforms.items():
            names = [type(step).__name__ for step in steps]
            parts.append(f"{key}: {' > '.join(names)}")
        if self.missing_code is not None:
            parts.append(f"missing_code={self.missing_code}")
        if self.filtered:
            parts.append("filtered")
        if self._options.cache is not None:
            parts.append(f"cache={self._options.cache!r}")
        if self.closed:
            parts.append("closed")
        return f"MappedCollection({', '.join(parts)})"


def _reopen(cls: type[Opened], options: CollectionOptions, closed: bool) -> Opened:
    """Opens a pickled collection again, without the warnings of the first time."""
    collection = cls.__new__(cls)
    collection._open(options)
    if closed:
        collection.close()
    return collection
