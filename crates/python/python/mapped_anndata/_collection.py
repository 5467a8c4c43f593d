"""The collection: lamindb's interface over the core."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _arguments as arguments
from . import _core
from ._batch import finish
from ._collate import MISSING_CODE, Item, Items
from ._loader import Loader
from ._rows import is_one, rows

if TYPE_CHECKING:
    import pandas as pd


class MappedCollection:
    """Many AnnData files (h5ad, zarr) as one map-style dataset.

    Row `i` is a cell of one of the files: its matrices joined to common variables, its labels
    encoded. Nothing is converted or loaded beforehand. Collections may be pickled, and used from
    threads and from forked or spawned processes, with nothing to be done about it.

    Args:
        path_list: Paths of `.h5ad` files, `.zarr` folders and `.zarr.zip` archives, in the order of
            their rows; or a single one. What each is is told by its content. A table inside a file
            is named by a path below it, such as `cells.h5mu/mod/rna`. `~` and `file://` are
            understood. Relative paths are resolved now: changing the folder later does no harm.
        layers_keys: Matrices to read: `X`, `raw.X` or names of layers. By default, `X`. An empty
            list reads none.
        obs_keys: Columns of obs to read; `_index` gives the obs names.
        obsm_keys: Elements of obsm to read, as `obsm_<key>`.
        obs_filter: Keeps only rows whose label in each of these columns is the value, or one of
            the values. A missing label is kept when `nan` or `None` is one of the values.
        join: How variables are joined: `inner`, `outer`, or not at all.
        encode_labels: Which obs keys become integers: all (but plain floating-point columns), none,
            or a list.
        unknown_label: The label that is encoded to -1: one for all keys, or one for each.
        cache_categories: Accepted for lamindb's sake; nothing depends on it.
        parallel: Accepted for lamindb's sake; every collection may be used in parallel.
        dtype: Element type of all matrices. By default, an item has its file's.
        missing_code: What a missing encoded label is, in items too, so that torch's `default_collate`
            and other frameworks get integers. By default, `nan` in items and -100 in batches.

    A key that no file has is left out of all items, with a `UserWarning`. A label of `obs_filter`
    and an `unknown_label` that no file has are warned of, too.
    """

    path_list: Any
    layers_keys: list[str]
    obs_keys: list[str] | None
    obsm_keys: list[str] | None
    encode_labels: list[str] | Literal[False]
    encoders: dict[str, dict[Any, int]]
    """For each encoded key, its labels and their codes; the unknown label, -1, first."""
    filtered: bool
    n_obs: int
    n_obs_list: list[int]
    n_vars: int | None
    n_vars_list: list[int] | None
    join_vars: Literal["inner", "outer"] | None
    """The join in effect: None without one, and when all stores have equal variables."""

    missing_code: int | None
    """What a missing encoded label is; None: `nan` in items, -100 in batches."""

    _io: dict[str, Any] = {}

    def __init__(
        self,
        path_list: str | os.PathLike[str] | Iterable[Any],
        layers_keys: str | Iterable[str] | None = None,
        obs_keys: str | Iterable[str] | None = None,
        obsm_keys: str | Iterable[str] | None = None,
        obs_filter: Mapping[str, Any] | tuple[str, Any] | None = None,
        join: Literal["inner", "outer"] | None = "inner",
        encode_labels: bool | Iterable[str] = True,
        unknown_label: Any = None,
        cache_categories: bool = True,
        parallel: bool = False,
        dtype: Any = None,
        *,
        missing_code: int | None = None,
    ):
        if obs_filter is not None and not isinstance(obs_filter, Mapping):
            text = "a pair as `obs_filter` is deprecated: use a dict of column and values"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        layers_keys = arguments.keys("layers_keys", layers_keys)
        options: dict[str, Any] = {
            "path_list": arguments.paths(path_list),
            "layers_keys": ["X"] if layers_keys is None else layers_keys,
            "obs_keys": arguments.keys("obs_keys", obs_keys),
            "obsm_keys": arguments.keys("obsm_keys", obsm_keys),
            "obs_filter": None if obs_filter is None else dict(arguments.obs_filter(obs_filter)),
            "join": arguments.choice("join", join, ("inner", "outer", None)),
            "encode_labels": arguments.encode_labels(encode_labels),
            "unknown_label": unknown_label,
            "cache_categories": arguments.flag("cache_categories", cache_categories),
            "parallel": arguments.flag("parallel", parallel),
            "dtype": arguments.dtype(dtype),
            "missing_code": None
            if missing_code is None
            else arguments.code("missing_code", missing_code),
        }
        self._open(options, self._io)
        for group, key, nearest in self._core.missing_keys():
            hint = "" if nearest is None else f": did you mean {nearest!r}?"
            warnings.warn(f"no store has the {group} key {key!r}{hint}", stacklevel=2)
        for text in _unmatched(self._core.unmatched_labels()):
            warnings.warn(text, stacklevel=2)

    @classmethod
    def with_io(
        cls,
        path_list: str | os.PathLike[str] | Iterable[Any],
        *args: Any,
        cache_bytes: int | float | str | None = None,
        max_open_files: int | None = None,
        mmap: bool | None = None,
        csc_bytes: int | float | str | None = None,
        **kwargs: Any,
    ) -> MappedCollection:
        """A collection with other bounds than the usual ones on what reading takes.

        Args:
            path_list, *args, **kwargs: As of the class.
            cache_bytes: Bytes of decoded chunks to keep between reads, as a number or a text such as
                `"256 MiB"`. By default, 64 MiB.
            max_open_files: How many files are kept open at most. By default, 64.
            mmap: Whether uncompressed files on local file systems are read through memory maps.
                By default they are; a file that is cut short meanwhile then ends the process.
            csc_bytes: Bytes of memory for matrices that are stored by column and were turned into
                rows. By default, 512 MiB; those that no longer fit go to temporary files (in `TMPDIR`).
        """
        io: dict[str, Any] = {
            "cache_bytes": None
            if cache_bytes is None
            else arguments.n_bytes("cache_bytes", cache_bytes),
            "max_open_files": None
            if max_open_files is None
            else arguments.count("max_open_files", max_open_files),
            "mmap": None if mmap is None else arguments.flag("mmap", mmap),
            "csc_bytes": None if csc_bytes is None else arguments.n_bytes("csc_bytes", csc_bytes),
        }
        collection = cls.__new__(cls)
        collection._io = io
        collection.__init__(path_list, *args, **kwargs)  # type: ignore[misc]
        return collection

    def _open(self, options: dict[str, Any], io: dict[str, Any]) -> None:
        if "paths" not in options:
            options["paths"] = [arguments.path(*path) for path in enumerate(options["path_list"])]
        self._options, self._io = options, io
        self._core = _core.Collection(
            options["paths"],
            options["layers_keys"],
            options["obs_keys"] or [],
            options["obsm_keys"] or [],
            list((options["obs_filter"] or {}).items()),
            options["join"],
            options["encode_labels"],
            arguments.unknown_label(options["unknown_label"]),
            options["dtype"],
            missing_code=options["missing_code"],
            **io,
        )
        # A pickle of this collection is opened from the same files, whatever folder is current then.
        options["paths"] = self._core.paths
        self.path_list = options["path_list"]
        self.layers_keys = options["layers_keys"]
        self.obs_keys = options["obs_keys"]
        self.obsm_keys = options["obsm_keys"]
        self.filtered = options["obs_filter"] is not None
        self.unknown_label = options["unknown_label"]
        self.parallel = options["parallel"]
        self.missing_code = options["missing_code"]
        self.encoders = {key: dict(pairs) for key, pairs in self._core.encoders()}
        asked = options["encode_labels"]
        if asked is True:
            asked = [key for key in self.obs_keys or [] if key in self.encoders]
        self.encode_labels = asked or False
        self.n_obs = self._core.n_obs
        self.n_vars = self._core.n_vars
        self.join_vars = self._core.join_vars
        self.n_obs_list = [n_obs for n_obs, _ in self._core.original_shapes]
        joined = options["join"] is not None
        self.n_vars_list = [n for _, n in self._core.original_shapes] if joined else None
        self._lazy: dict[str, Any] = {}

    def _once(self, name: str, make: Any) -> Any:
        """What is made when it is first asked for."""
        if name not in self._lazy:
            self._lazy[name] = make()
        return self._lazy[name]

    def prepare(self, progress: Callable[[float], object] | None = None) -> None:
        """Turns matrices that are stored by column (CSC) into rows.

        Otherwise that happens to each when its rows are first read, which then takes long: call it
        before workers are forked, so that they share what is ready.

        Args:
            progress: Called with the part that is done, from 0 to 1.
        """
        self._core.prepare(progress)

    @property
    def shape(self) -> tuple[int, int | None]:
        """`(n_obs, n_vars)`; the latter None without a join."""
        return self.n_obs, self.n_vars

    @property
    def original_shapes(self) -> list[tuple[int, int]]:
        """For each store, its rows that passed the filter and its variables."""
        return self._core.original_shapes

    @property
    def indices_list(self) -> list[np.ndarray]:
        """For each store, the rows that passed the filter: int64."""
        return self._once("indices_list", lambda: list(self._core.kept_rows()))

    @property
    def indices(self) -> np.ndarray:
        """For each row, its number in its store's file: `[n_obs] int64`."""
        return self._once("indices", lambda: np.concatenate(self.indices_list))

    @property
    def storage_idx(self) -> np.ndarray:
        """For each row, the number of its store: `[n_obs] int64`."""
        stores = np.arange(len(self.n_obs_list))
        return self._once("storage_idx", lambda: np.repeat(stores, self.n_obs_list))

    @property
    def var_joint(self) -> pd.Index | np.ndarray | None:
        """The joint variables, in the order of every joined row; None without a join."""
        return self._once("var_joint", lambda: _index(self._core.var_joint()))

    @property
    def var_list(self) -> list[pd.Index | np.ndarray] | None:
        """The variables of each store; None without a join."""
        if self._options["join"] is None:
            return None
        return self._once("var_list", lambda: [_index(v) for v in self._core.var_list()])

    @var_list.setter
    def var_list(self, value: None) -> None:
        if value is not None:
            raise ValueError("var_list: expected None, which has it read again when needed")
        self._lazy.pop("var_list", None)

    @property
    def var_indices(self) -> list[np.ndarray] | None:
        """With an inner join, the positions in each store of the joint variables; with an outer
        join, the joint positions of each store's. None without a join in effect."""

        def make() -> list[np.ndarray] | None:
            indices = self._core.var_indices()
            return None if indices is None else list(indices)

        return self._once("var_indices", make)

    def presence(self, store: int) -> np.ndarray | None:
        """Which joint variables a store has: `[n_vars] bool`.

        A variable that it lacks is 0 in its rows, which no item tells from a measured 0. None
        without a join.
        """
        return self._core.presence(arguments.count("store", store, most=len(self.n_obs_list) - 1))

    def check_vars_sorted(self, ascending: bool = True) -> bool:
        """Whether the variables of every store are sorted."""
        return self._core.check_vars_sorted(arguments.flag("ascending", ascending))

    def check_vars_non_aligned(self, vars: Iterable[Any]) -> list[int]:
        """The numbers of the stores whose variables are not these, in this order."""
        return self._core.check_vars_non_aligned(
            [str(name) for name in arguments.several("vars", vars)]
        )

    def __len__(self) -> int:
        return self.n_obs

    def __getitem__(self, idx: Any) -> dict[str, Any]:
        """Row `idx`: `_store_idx`, matrices, `obsm_<key>`, labels; what its store lacks is left
        out. A missing label is `numpy.nan` itself, or the collection's `missing_code`.

        Several rows, in any form that `get_batch` takes, are a batch.
        """
        if type(idx) is int or is_one(idx):
            return self._core.item(idx)
        return self.get_batch(idx)

    def __getitems__(self, indices: Any) -> list[dict[str, Any]]:
        """Many rows: what torch's `DataLoader` asks for a whole batch.

        They are read at once, and their arrays are rows of one block, which `collate` and torch's
        `default_collate` hand on.
        Where stores differ in keys, widths or types, rows are read one by one.
        """
        found = rows("indices", indices, self.n_obs)
        if not self._core.uniform:
            return Items(map(self._core.item, found.tolist()), missing_code=self.missing_code)
        items, block = self._core.items(found)
        if "torch.utils.data" in sys.modules:
            from . import _torch  # noqa: F401, for what it registers

            items = map(Item, items)
        return Items(items, block, self.missing_code)

    def get_batch(
        self,
        indices: Any,
        *,
        output: Literal["dense", "csr"] = "dense",
        dtype: Any = None,
        missing_code: int | None = None,
        as_torch: bool = False,
    ) -> dict[str, Any]:
        """Rows read at once, in the order asked, as a dict of batched arrays: see `loader`.

        Args:
            indices: Row numbers in a list, array, tensor, Series or range, negative ones from the
                end; a slice; or a mask of `n_obs` booleans.
            output, dtype, missing_code, as_torch: As of `loader`.

        Raises:
            IndexError: A row is out of bounds, or a mask has another length.
            TypeError: What is given names no rows.
            ValueError: The rows' stores differ in keys or widths, or two entries of the batch would
                have one name.
        """
        as_torch = arguments.flag("as_torch", as_torch)
        found = rows("indices", indices, self.n_obs)
        batch = self._core.batch(found, *self._batch_format(output, dtype, missing_code))
        return finish(batch, as_torch)

    def _batch_format(
        self, output: Any, dtype: Any, missing_code: Any
    ) -> tuple[str, str | None, int]:
        """The layout, type and code of missing labels of a batch."""
        if missing_code is None:
            missing_code = MISSING_CODE if self.missing_code is None else self.missing_code
        output = arguments.choice("output", output, ("dense", "csr"))
        return output, arguments.dtype(dtype), arguments.code("missing_code", missing_code)

    def obs_names(self, indices: Any) -> list[str]:
        """The obs names of rows, given in any form that `get_batch` takes."""
        return self._core.obs_names(rows("indices", indices, self.n_obs))

    def loader(
        self,
        batch_size: int,
        *,
        shuffle: bool | str | None = None,
        sampler: Any = None,
        seed: int | None = 0,
        drop_last: bool = False,
        pad: bool = True,
        output: Literal["dense", "csr"] = "dense",
        dtype: Any = None,
        missing_code: int | None = None,
        workers: int = 2,
        memory: int | str = "1 GiB",
        rank: int | None = None,
        world_size: int | None = None,
        as_torch: bool = False,
    ) -> Loader:
        """Epochs of batches, read ahead by threads while the caller trains.

        A batch is a dict: `_store_idx` and `_row_idx` (the row in its file), int64; each matrix as
        one array, or as `CsrMatrix`; each encoded key as int64 codes; numbers as an array, with
        `<key>_valid` beside it; texts as a list, None where missing. Arrays view the memory that
        the core read into, and are the caller's: no later batch changes them.

        Args:
            batch_size: Rows of a batch (of one rank).
            shuffle: None, `"exact"` (or True), or `"blocks:N"`: blocks of N neighbouring rows,
                mixed in pools, which spares decoding where files are compressed.
            sampler: Which rows an epoch has: rows as `get_batch` takes them; `Weighted` or torch's
                `WeightedRandomSampler`; or another sampler object, which is asked for its rows anew
                in each epoch. By default, each row once.
            seed: Fixes the order; less than 2^63. None draws a seed, which `state_dict` holds; with
                several ranks, rank 0's counts.
            drop_last: Leaves out a last step that is not full.
            pad: Whether ranks repeat rows in the last step, fewer than there are ranks in all, so that
                each has as many as the others. Without, no row is repeated, and ranks may have a row
                or a batch less.
            output: The layout of matrices.
            dtype: Their element type. By default, one that holds those of all stores.
            missing_code: The code of a missing label. By default, the collection's, or -100.
            workers: Threads that read and decode. 0: the caller does.
            memory: Bytes for everything at once, as a number or a text such as `"1 GiB"`.
            rank, world_size: The part of this process. By default, as `torch.distributed` or the
                variables `RANK` and `WORLD_SIZE` have it when reading begins.
            as_torch: torch tensors over the same memory, sparse ones as `torch.sparse_csr`.
        """
        options = dict(batch_size=batch_size, shuffle=shuffle, sampler=sampler, seed=seed)
        options |= dict(drop_last=drop_last, pad=pad, output=output, dtype=dtype)
        options |= dict(missing_code=missing_code, workers=workers, memory=memory)
        options |= dict(rank=rank, world_size=world_size, as_torch=as_torch)
        return Loader(self, options)

    def split(
        self,
        fractions: Sequence[float],
        *,
        stratify: str | None = None,
        group: str | None = None,
        seed: int = 0,
    ) -> tuple[np.ndarray, ...]:
        """Disjoint parts of the rows, one ascending int64 array for each fraction.

        Args:
            fractions: The share of each part; at most 1 together.
            stratify: An obs key: each of its labels is divided in the same fractions.
            group: An obs key: all rows of one of its labels stay together.
            seed: Fixes the outcome.
        """
        parts = [
            arguments.number("fractions", part)
            for part in arguments.several("fractions", fractions)
        ]
        stratify = None if stratify is None else arguments.key("stratify", stratify)
        group = None if group is None else arguments.key("group", group)
        return self._core.split(parts, stratify, group, arguments.count("seed", seed))

    def get_label_weights(
        self,
        obs_keys: str | Iterable[str],
        scaler: float | None = None,
        return_categories: bool = False,
    ) -> np.ndarray | dict[str, float]:
        """How rare the label of each row is: `1 / n` of the rows that share it, or
        `scaler / (scaler + n)`.

        Args:
            obs_keys: A key of obs, or several: then rows count by their combination.
            scaler: See above.
            return_categories: A dict of the labels (combined by `__`) and their weights, instead
                of one weight a row.
        """
        keys = arguments.keys("obs_keys", obs_keys) or []
        scaler = None if scaler is None else arguments.number("scaler", scaler)
        if arguments.flag("return_categories", return_categories):
            return dict(self._core.class_weights(keys, scaler))
        return self._core.label_weights(keys, scaler)

    def get_merged_labels(self, label_key: str) -> np.ndarray:
        """The label of every row: `[n_obs]`, `nan` where it is missing.

        No file is opened for an obs key that is encoded or categorical, nor for a column of the
        filter with at most 65,535 labels: these are in memory. For other keys, each call reads the
        column of every store. The same holds for `get_label_weights`, `get_merged_categories` and
        `split`.
        """
        labels, codes, dtype = self._core.merged_labels(arguments.key("label_key", label_key))
        if dtype.startswith("float"):
            return np.array([*labels, np.nan], dtype=dtype)[codes]
        if dtype != "object" and (codes < len(labels)).all():
            return np.array(labels, dtype=dtype)[codes]
        table = np.empty(len(labels) + 1, dtype=object)
        table[:] = [*labels, np.nan]
        return table[codes]

    def get_merged_categories(self, label_key: str) -> list[Any]:
        """The sorted labels of a key over all stores: whole files, whatever the filter."""
        return self._core.merged_categories(arguments.key("label_key", label_key))

    def close(self) -> None:
        """Closes the files. Reading afterwards is a `ValueError`; twice is fine."""
        self._core.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._core.closed

    def __enter__(self) -> MappedCollection:
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.close()

    @classmethod
    def torch_worker_init_fn(cls, worker_id: int) -> None:
        """For lamindb's sake: workers need no preparation."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (type(self), self._options, self._io, self.closed)

    def __repr__(self) -> str:
        cells, genes = f"{self.n_obs:,} cells", f"{self.n_vars:,} genes" if self.n_vars else ""
        parts = [f"{cells} x {genes}" if genes else cells]
        parts.append(f"{len(self.n_obs_list):,} stores")
        parts += [f"join={self._options['join']!r}"]
        for name in ("layers_keys", "obs_keys", "obsm_keys"):
            if self._options[name]:
                parts.append(f"{name}={self._options[name]!r}")
        if self.missing_code is not None:
            parts.append(f"missing_code={self.missing_code}")
        if self.filtered:
            parts.append("filtered")
        if self.closed:
            parts.append("closed")
        return f"MappedCollection({', '.join(parts)})"


def _reopen(
    cls: type[MappedCollection], options: dict[str, Any], io: dict[str, Any], closed: bool
) -> MappedCollection:
    """A pickled collection, opened on the other side without the warnings of the first time."""
    collection = cls.__new__(cls)
    collection._open(options, io)
    if closed:
        collection.close()
    return collection


def _index(names: list[str] | None) -> pd.Index | np.ndarray | None:
    """Names as a `pandas.Index` if pandas is installed, otherwise as an array of objects."""
    if names is None:
        return None
    array = np.array(names, dtype=object)
    try:
        import pandas as pd
    except ImportError:
        return array
    return pd.Index(array)


def _unmatched(labels: list[tuple[str, str | None, Any, Any]]) -> list[str]:
    """Warnings of labels that no store has: of many, of the first ten."""

    def text(group: str, key: str | None, label: Any, nearest: Any) -> str:
        where = "any encoded obs key" if key is None else f"the obs key {key!r}"
        hint = "" if nearest is None else f": did you mean {nearest!r}?"
        return f"{group}: no store has the label {label!r} in {where}{hint}"

    texts = [text(*label) for label in labels[:10]]
    if len(labels) > 10:
        texts.append(f"and {len(labels) - 10} more labels that no store has")
    return texts
