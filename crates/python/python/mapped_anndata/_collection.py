"""The collection: lamindb's interface over the core."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, SupportsIndex, cast

import numpy as np

from . import _arguments as arguments
from . import _choices as choices
from . import _genes as variables
from ._batch import finish
from ._collate import MISSING_CODE, BulkItem, BulkItems
from ._format import BatchFormat, batch_format
from ._labels import Labels
from ._loader import Loader
from ._matched import Matched
from ._obs_table import table as table_of
from ._options import CollectionOptions, IoOptions, LoaderOptions
from ._rows import is_one, rows
from ._tokens import Tokens
from ._transforms import transforms as steps_of
from ._variables import Variables
from .types import (
    AliasesLike,
    ByteSize,
    DTypeLike,
    FilterLike,
    GenesLike,
    IntArray,
    Join,
    LabelLike,
    LabelMapLike,
    LayersLike,
    ObsKeysLike,
    ObsTableLike,
    Output,
    PathLike,
    RowsLike,
    SamplerLike,
    TransformsLike,
    VarKeyLike,
)

_MOST_WARNINGS = 10
"""The most stores that get a warning each."""


class MappedCollection(Variables, Labels):
    """Many AnnData files (h5ad, zarr) as one map-style dataset.

    Row `i` is a cell of one of the files: its matrices joined to common variables, its labels
    encoded. Nothing is converted or loaded beforehand. A collection may be pickled, and used from
    threads and from forked or spawned processes, without any preparation.

    A key that no file has is left out of all items, with a `UserWarning`. A label of `obs_filter`
    or an `unknown_label` that no file has also causes a warning.

    Parameters
    ----------
    path_list
        Paths of `.h5ad` files, `.zarr` folders and `.zarr.zip` archives, in the order of their
        rows; or a single path. The content of each decides its kind. A path below a file names a
        table inside it, such as `cells.h5mu/mod/rna`. `~` and `file://` are understood. Relative
        paths are resolved now, against the current folder. Files at URLs (`https`, `http`, `s3`,
        `gs`, `az`, `hf`) are read where they lie.
    layers_keys
        Matrices to read: `X`, `raw.X` or names of layers. By default, `X`. An empty list reads
        no matrix. A dict names matrices anew, and each is the first of several that a file has,
        such as `{"m": ["raw.X", "X"]}`, or the first that holds counts:
        `{"counts": Counts("raw.X", "X")}`. Each of these is joined by the variables of where it
        lies, `raw.X` by those of raw.
    obs_keys
        Columns of obs to read; `_index` stands for the obs names. A dict names keys anew, and each
        is the first of several columns that a file has, such as
        `{"cell_type": ["cell_type", "celltype"]}`.
    obsm_keys
        Elements of obsm to read, as `obsm_<key>`.
    obs_filter
        Keeps only rows whose label in each of these columns is the given one, or one of them.
        Rows with a missing label are kept if `nan` or `None` is among the values.
    join
        How variables are joined: `"inner"`, `"outer"`, or not at all (None).
    encode_labels
        The obs keys that become integers: all except plain floating-point columns (True), no key
        (False), or a list.
    unknown_label
        The label that is encoded as -1: one for all keys, or a dict with one per key.
    cache_categories
        Accepted because lamindb's class has it. It has no effect.
    parallel
        Accepted because lamindb's class has it. Every collection may be used in parallel.
    dtype
        The element type of all matrices. By default, each item has the type of its file.
    genes
        The genes that the model takes in. Every row of `X`, a layer or `raw.X` has exactly these
        columns, in this order; a gene that a store lacks is 0 there, which `presence` tells.
        Names, a `GeneList`, a vocabulary of names and ids, or a file: one name per line, a column
        of a table (`genes.csv:COLUMN`), or a vocabulary (`.json`). Excludes another `join` than the
        default. A store that has none of the genes is an error.
    min_overlap
        A `UserWarning` names stores that have fewer of the `genes`: the genes found, divided by the
        smaller of the numbers of given genes and of the store's.
    var_key
        The column of var that holds the names to join by (None for the index). Of several, each
        store uses the first that it has. A dict has these for each store by its number or path. A
        variable without a name there is dropped.
    strip_version
        Whether names that look like Ensembl or RefSeq ids are joined without their versions.
    aliases
        Old names in the files and new ones, applied before variables are joined: a dict, or a
        file of two columns.
    duplicates
        What happens to variables of one name in a store: `"error"` if a join is needed, or the
        `"first"` of them is kept, or they are summed (`"sum"`).
    label_map
        For each obs key, old labels and new ones: a dict, or a file of two columns. Labels are
        replaced before they are united, encoded, filtered by or counted. Old labels are known by
        their texts; all labels of the key are texts then. None makes a label missing.
    unmapped
        What happens to labels that `label_map` does not mention: `"keep"`, `"missing"` or
        `"error"`.
    transforms
        What happens to the values of a matrix, as a list of steps that run in this order on each
        row: `NormalizeTotal`, `Log1p`, `Clip`, `ScaleGenes`, `DivideGenes` and `Downsample`. A list
        is for the first of the `layers_keys`; a dict has one for each key. They compute in float64;
        the results are float32, or of `dtype`. A gene that a file lacks stays 0.
    obs_table
        Labels from outside the files: a DataFrame whose index has the names of the cells, a `.csv`,
        `.tsv` or `.parquet` file whose first column has them, or an `ObsTable`, which names this
        column and one with the store of each row. Its columns are obs keys like those of the files,
        before which they come. A cell without a row has missing labels: see `not_in_table`.
    missing_code
        The code of a missing encoded label, in items and in batches, so that torch's
        `default_collate` and other frameworks get integers. By default, it is `nan` in items and
        -100 in batches.
    io
        Limits on the resources of reading.
    cache
        A folder on disk for rows of compressed files, packed. Epochs and repeated reads by index
        fill it, or `prepare` beforehand. What is in it is not decoded again, in this process or
        another one: workers, ranks and later runs share it. A file that changed is decoded anew. If
        the folder cannot be written or its contents are damaged, a `UserWarning` says so, and
        reading goes on. By default, files on servers are kept in the cache folder of the user,
        with their names and labels (at most 20 GiB, or a tenth of the free disk if that is less),
        and there is no folder for others. With `False`, there is none in any case.
    cache_size
        The most bytes that the folder may take, as a number or a text such as `"20 GiB"`. By
        default 100 GiB for a folder that you name, and the smaller limit above for the user's. When
        it is full, matrices that no open collection uses are removed, the least recently used
        first.
    storage_options
        How files in buckets are reached, by the names that object_store, polars and obstore use,
        such as `{"skip_signature": "true", "region": "us-west-2"}` for a public one. What is not
        set comes from the environment, the AWS profile and the machine.

    Attributes
    ----------
    path_list, layers_keys, obs_keys, obsm_keys, unknown_label, parallel, missing_code
        As passed; a single value becomes a list of one.
    encode_labels : list of str or False
        The obs keys that are encoded.
    encoders : dict
        For each encoded key, its labels and their codes; the unknown label, -1, first.
    filtered : bool
        Whether there is an `obs_filter`.
    n_obs : int
        The number of rows, of all stores, that passed the filter.
    n_obs_list : list of int
        The number of these rows in each store.
    n_vars : int or None
        The number of joint variables; None without a join.
    n_vars_list : list of int or None
        The number of variables of each store; None without a join.
    join_vars : {"inner", "outer", "given"} or None
        The join in effect: None without one, and when all stores have equal variables of which none
        is dropped or summed.

    Raises
    ------
    FileNotFoundError
        A path does not exist.
    OSError
        A file cannot be read, or is damaged.
    TypeError
        An argument is of the wrong type.
    ValueError
        An argument has a wrong value, or a file is not one that can be read.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection
    >>> paths = ["demo/a.h5ad", "demo/b.h5ad", "demo/c.zarr"]
    >>> cells = MappedCollection(paths, obs_keys="cell_type", unknown_label="unknown")
    >>> cells.shape
    (2700, 355)
    >>> cells[0]["X"].shape, cells[0]["cell_type"]
    ((355,), -1)
    """

    def __init__(
        self,
        path_list: PathLike | Iterable[PathLike],
        layers_keys: LayersLike | None = None,
        obs_keys: ObsKeysLike | None = None,
        obsm_keys: str | Iterable[str] | None = None,
        obs_filter: FilterLike | tuple[str, LabelLike | Iterable[LabelLike]] | None = None,
        join: Join | None = "inner",
        encode_labels: bool | Iterable[str] = True,
        unknown_label: LabelLike | Mapping[str, LabelLike] = None,
        cache_categories: bool = True,
        parallel: bool = False,
        dtype: DTypeLike | None = None,
        *,
        genes: GenesLike | None = None,
        min_overlap: float = 0.5,
        var_key: VarKeyLike = None,
        strip_version: bool = False,
        aliases: AliasesLike | None = None,
        duplicates: Literal["error", "first", "sum"] = "error",
        label_map: LabelMapLike | None = None,
        unmapped: Literal["keep", "missing", "error"] = "keep",
        transforms: TransformsLike | None = None,
        obs_table: ObsTableLike | None = None,
        missing_code: int | None = None,
        io: IoOptions | None = None,
        cache: PathLike | Literal[False] | None = None,
        cache_size: ByteSize | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        if obs_filter is not None and not isinstance(obs_filter, Mapping):
            text = "a pair as `obs_filter` is deprecated: use a dict of column and values"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        arguments.flag("cache_categories", cache_categories)
        if cache is False and cache_size is not None:
            raise ValueError("cache_size: there is no cache folder with cache=False")
        layers_from, obs_from = choices.layers(layers_keys), choices.obs(obs_keys)
        layers = choices.names(layers_from) or arguments.keys("layers_keys", layers_keys)
        given = arguments.paths(path_list)
        join = arguments.choice("join", join, ("inner", "outer", None))
        if genes is not None and join != "inner":
            raise ValueError(f"join: expected its default, 'inner', beside `genes`, found {join!r}")
        var_keys, var_keys_of = variables.var_key(var_key, given)
        self._open(
            CollectionOptions(
                path_list=given,
                paths=[arguments.path(*numbered) for numbered in enumerate(given)],
                layers_keys=["X"] if layers is None else layers,
                obs_keys=choices.names(obs_from) or arguments.keys("obs_keys", obs_keys),
                obsm_keys=arguments.keys("obsm_keys", obsm_keys),
                obs_filter=arguments.obs_filter(obs_filter),
                join=join,
                variables=variables.Variables(
                    genes=variables.gene_list(genes),
                    min_overlap=variables.fraction("min_overlap", min_overlap),
                    var_key=var_keys,
                    var_key_of=var_keys_of,
                    strip_version=arguments.flag("strip_version", strip_version),
                    aliases=variables.aliases(aliases),
                    duplicates=arguments.choice(
                        "duplicates", duplicates, ("error", "first", "sum")
                    ),
                ),
                choices=choices.Choices(
                    layers_from=layers_from,
                    obs_from=obs_from,
                    label_maps=choices.label_maps(label_map),
                    unmapped=arguments.choice("unmapped", unmapped, ("keep", "missing", "error")),
                    transforms=steps_of(transforms, ["X"] if layers is None else layers),
                    obs_table=table_of(obs_table, given),
                ),
                encode_labels=arguments.encode_labels(encode_labels),
                unknown_label=unknown_label,
                parallel=arguments.flag("parallel", parallel),
                dtype=arguments.dtype(dtype),
                missing_code=arguments.optional(arguments.code, "missing_code", missing_code),
                io=arguments.instance("io", io, IoOptions) if io is not None else IoOptions(),
                cache=arguments.cache("cache", cache),
                cache_size=cache_size
                if cache_size is None
                else arguments.n_bytes("cache_size", cache_size),
                storage_options=arguments.storage_options(storage_options),
            )
        )
        for group, key, nearest, file in self._core.missing_keys():
            hint = "" if nearest is None else f": did you mean {nearest!r}?"
            start = f"no store has the {group}" if file is None else f"{file}: has no {group}"
            warnings.warn(f"{start} key {key!r}{hint}", stacklevel=2)
        for text in _unmatched(self._core.unmatched_labels()):
            warnings.warn(text, stacklevel=2)
        low = self._core.low_overlaps()
        for text in low[:_MOST_WARNINGS]:
            warnings.warn(text, stacklevel=2)
        if (more := len(low) - _MOST_WARNINGS) > 0:
            warnings.warn(f"and {more} more stores have few of the given genes", stacklevel=2)
        self._warn_of_cache()

    @cached_property
    def indices_list(self) -> list[IntArray]:
        """The rows of each store that passed the filter, as int64.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_filter={"donor": "donor1"})
        >>> cells.indices_list[0][:3]
        array([1, 4, 6])
        """
        return list(self._core.kept_rows())

    @cached_property
    def indices(self) -> IntArray:
        """The number of each row in the file of its store: `[n_obs]` int64.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection(["demo/a.h5ad", "demo/b.h5ad"]).indices[1098:1102]
        array([1098, 1099,    0,    1])
        """
        return np.concatenate(self.indices_list)

    @cached_property
    def storage_idx(self) -> IntArray:
        """The number of each row's store: `[n_obs]` int64.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection(["demo/a.h5ad", "demo/b.h5ad"]).storage_idx[1098:1102]
        array([0, 0, 1, 1])
        """
        return np.repeat(np.arange(len(self.n_obs_list)), self.n_obs_list)

    def __getitem__(self, idx: SupportsIndex | RowsLike) -> dict[str, Any]:
        """Returns a row as an item, or several rows as a batch.

        Parameters
        ----------
        idx
            The number of a row, or rows in any form that `get_batch` takes.

        Returns
        -------
        dict
            Of one row: `_store_idx`, matrices as rows, `obsm_<key>`, labels. Keys that its
            store lacks are left out. A missing label is `numpy.nan` itself, or the collection's
            `missing_code`.
            Of several rows: as `get_batch` returns it.

        Raises
        ------
        IndexError
            A row is out of bounds.
        TypeError
            `idx` does not name rows.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="donor")
        >>> {key: getattr(value, "shape", value) for key, value in cells[0].items()}
        {'_store_idx': (), 'X': (425,), 'donor': 1}
        >>> cells[[0, -1]]["X"].shape
        (2, 425)
        """
        if type(idx) is int or is_one(idx):
            return self._core.item(idx)
        return self.get_batch(cast(RowsLike, idx))

    def __getitems__(self, indices: RowsLike) -> list[dict[str, Any]]:
        """Returns many rows as items: torch's `DataLoader` calls this for a whole batch.

        They are read at once, and their arrays are rows of one block, which `collate` and torch's
        `default_collate` pass on without a copy. If stores differ in keys, widths or types, rows
        are read one by one.

        Parameters
        ----------
        indices
            Rows in any form that `get_batch` takes.

        Returns
        -------
        list of dict
            The items.

        Raises
        ------
        IndexError
            A row is out of bounds.
        TypeError
            `indices` does not name rows.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection, collate
        >>> items = MappedCollection("demo/a.h5ad").__getitems__([5, 3])
        >>> [item["X"].shape for item in items]
        [(550,), (550,)]
        >>> collate(items, as_torch=False)["X"].shape
        (2, 550)
        """
        found = rows("indices", indices, self.n_obs)
        if not self._core.uniform:
            return BulkItems(map(self._core.item, found.tolist()), missing_code=self.missing_code)
        items, block = self._core.items(found)
        if "torch.utils.data" in sys.modules:
            from . import _torch  # noqa: F401, for what it registers

            items = [BulkItem(item) for item in items]
        return BulkItems(items, block, self.missing_code)

    def get_batch(
        self,
        indices: RowsLike,
        *,
        output: Output = "dense",
        tokens: Tokens | None = None,
        dtype: DTypeLike | None = None,
        missing_code: int | None = None,
        as_torch: bool = False,
    ) -> dict[str, Any]:
        """Returns rows, read at once, as a dict of batched arrays, in the order of `indices`.

        Parameters
        ----------
        indices
            Row numbers in a list, array, tensor, Series or range, negative ones counted from the
            end; a slice; or a mask of `n_obs` booleans.
        output, tokens, dtype, missing_code, as_torch
            As of `loader`.

        Returns
        -------
        dict
            As `loader` describes a batch.

        Raises
        ------
        IndexError
            A row is out of bounds, or a mask has another length.
        TypeError
            `indices` does not name rows.
        ValueError
            The stores of these rows differ in keys or widths, or two entries of the batch would
            have one name.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="donor")
        >>> batch = cells.get_batch([0, 1500, -1], output="csr")
        >>> batch["_store_idx"], batch["_row_idx"], batch["donor"]
        (array([0, 1, 1]), array([  0, 400, 699]), array([1, 2, 2]))
        >>> batch["X"]
        CsrMatrix(3 x 425, float32, 283 stored)
        """
        as_torch = arguments.flag("as_torch", as_torch)
        found = rows("indices", indices, self.n_obs)
        batch = self._core.batch(found, self._batch_format(output, tokens, dtype, missing_code))
        return finish(batch, as_torch)

    def _batch_format(
        self,
        output: Output,
        tokens: Tokens | None,
        dtype: DTypeLike | None,
        missing_code: int | None,
    ) -> BatchFormat:
        if missing_code is None:
            missing_code = MISSING_CODE if self.missing_code is None else self.missing_code
        return batch_format(output, tokens, dtype, missing_code)

    def obs_names(self, indices: RowsLike) -> list[str]:
        """Returns the obs names of rows.

        Parameters
        ----------
        indices
            Rows in any form that `get_batch` takes.

        Returns
        -------
        list of str
            Their names.

        Raises
        ------
        IndexError
            A row is out of bounds.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection(["demo/a.h5ad", "demo/b.h5ad"]).obs_names([0, 1100])
        ['A-0000', 'B-0000']
        """
        return self._core.obs_names(rows("indices", indices, self.n_obs))

    def loader(
        self,
        batch_size: int,
        *,
        shuffle: bool | str | None = None,
        sampler: SamplerLike | None = None,
        matched: Matched | None = None,
        seed: int | None = 0,
        drop_last: bool = False,
        pad: bool = True,
        output: Output = "dense",
        tokens: Tokens | None = None,
        dtype: DTypeLike | None = None,
        missing_code: int | None = None,
        workers: int = 2,
        memory: ByteSize = "1 GiB",
        rank: int | None = None,
        world_size: int | None = None,
        as_torch: bool = False,
    ) -> Loader:
        """Returns epochs of batches, which threads read ahead while the caller trains.

        A batch is a dict: `_store_idx` and `_row_idx` (the row in its file), int64; each matrix as
        one array, or as `CsrMatrix`; each encoded key as int64 codes; numbers as an array, with
        `<key>_valid` beside it; texts as a list, None where missing. Arrays view the memory of the
        read and belong to the caller: no later batch changes them.

        Parameters
        ----------
        batch_size
            The number of rows per batch and rank.
        shuffle
            None (file order), `"exact"` (or True), or `"blocks:N"`: blocks of N neighbouring rows,
            mixed in pools, which saves decoding where files are compressed.
        sampler
            The rows of an epoch: rows in any form that `get_batch` takes; `Weighted`, `Balanced`,
            `Mixture` or torch's `WeightedRandomSampler`; or another sampler object, which draws its
            rows anew in each epoch. By default, each row once.
        matched
            A `Matched(...)`: for each row of a batch, a control with equal labels, in a second
            batch `batch["control"]`.
        seed
            Fixes the order; less than 2^63. None draws a seed, which `state_dict` holds; with
            several ranks, all take that of rank 0.
        drop_last
            Leaves out the last step if it is not full.
        pad
            Whether ranks repeat rows in the last step, fewer in all than there are ranks, so that
            each has as many as the others. Otherwise no row is repeated, and ranks may have a row
            or a batch less.
        output
            The layout of matrices: `"dense"`, `"csr"`, or `"tokens"` in place of one of them.
        tokens
            A `Tokens(...)`: how rows become tokens. Required with `output="tokens"`.
        dtype
            Their element type. By default, one that holds those of all stores.
        missing_code
            The code of a missing label. By default, the collection's, or -100.
        workers
            The number of threads that read and decode. With 0, the caller does.
        memory
            Bytes for all data that is read ahead, as a number or a text such as
            `"1 GiB"`. If all rows of compressed files fit packed, they stay in memory
            from epoch to epoch.
        rank, world_size
            The part of each step that this process reads. By default, from `torch.distributed` or
            the variables `RANK` and `WORLD_SIZE` when reading begins.
        as_torch
            Return torch tensors over the same memory, sparse ones as `torch.sparse_csr`.

        Returns
        -------
        Loader
            An iterable: each iteration is one epoch.

        Raises
        ------
        IndexError
            A row of `sampler` is out of bounds.
        TypeError
            An argument is of the wrong type.
        ValueError
            An argument has a wrong value, or two entries of a batch would have one name.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="cell_type")
        >>> loader = cells.loader(512, shuffle="exact", seed=42, output="csr")
        >>> for epoch in range(2):
        ...     for batch in loader:
        ...         assert batch["X"].shape == (len(batch["cell_type"]), 425)
        >>> len(loader)
        4
        """
        options = LoaderOptions(
            batch_size=batch_size,
            shuffle=shuffle,
            sampler=sampler,
            matched=matched,
            seed=seed,
            drop_last=drop_last,
            pad=pad,
            output=output,
            tokens=tokens,
            dtype=dtype,
            missing_code=missing_code,
            workers=workers,
            memory=memory,
            rank=rank,
            world_size=world_size,
            as_torch=as_torch,
        )
        return Loader(self, options)


def _unmatched(labels: Sequence[tuple[str, str | None, object, object]]) -> list[str]:
    """Returns warnings about labels that no store has, at most the first ten."""

    def text(group: str, key: str | None, label: object, nearest: object) -> str:
        where = "any encoded obs key" if key is None else f"the obs key {key!r}"
        hint = "" if nearest is None else f": did you mean {nearest!r}?"
        return f"{group}: no store has the label {label!r} in {where}{hint}"

    texts = [text(*label) for label in labels[:10]]
    if len(labels) > 10:
        texts.append(f"and {len(labels) - 10} more labels that no store has")
    return texts
