"""Types of arguments and results, for annotations.

The package works without these types. `Batch`, `Item` and `LoaderState` are plain dicts at run
time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NotRequired,
    Protocol,
    SupportsIndex,
    TypeAlias,
    TypedDict,
)

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from ._choices import Counts
    from ._genes import GeneList
    from ._mixture import Mixture
    from ._obs_table import ObsTable
    from ._sampler import Balanced, Weighted
    from ._transforms import Transform

__all__ = [
    "AliasesLike",
    "Array",
    "Batch",
    "BoolArray",
    "ByteSize",
    "CacheInfo",
    "DTypeLike",
    "FilterLike",
    "FloatArray",
    "GeneOverlap",
    "GeneValuesLike",
    "GenesLike",
    "IntArray",
    "Item",
    "Join",
    "JoinInEffect",
    "Label",
    "LabelLike",
    "LabelMapLike",
    "LayersLike",
    "LoaderState",
    "ObsKeysLike",
    "ObsTableLike",
    "Output",
    "PathLike",
    "ProportionsLike",
    "RowsLike",
    "Sampler",
    "SamplerLike",
    "SupportsArray",
    "TransformsLike",
    "VarKeyLike",
]

Array: TypeAlias = npt.NDArray[Any]
"""An array of any element type."""

BoolArray: TypeAlias = npt.NDArray[np.bool_]
"""An array of booleans."""

IntArray: TypeAlias = npt.NDArray[np.int64]
"""An array of int64: row numbers, codes of labels."""

FloatArray: TypeAlias = npt.NDArray[np.float64]
"""An array of float64: weights."""

PathLike: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""A path of a file, folder or archive."""

DTypeLike: TypeAlias = "npt.DTypeLike | torch.dtype"
"""An element type of numpy or torch, or its name."""

ByteSize: TypeAlias = int | float | str
"""A number of bytes: an integer, a whole float such as `1e9`, or a text such as `"1 GiB"`."""

Join: TypeAlias = Literal["inner", "outer"]
"""How the variables of files are joined."""

JoinInEffect: TypeAlias = Literal["inner", "outer", "given"]
"""How the variables of files were joined: also by given genes."""

GenesLike: TypeAlias = "GeneList | Iterable[str] | Mapping[str, int] | PathLike"
"""Genes: names, a vocabulary of names and ids, or a file such as `genes.txt` or
`genes.csv:COLUMN`."""

VarKeyLike: TypeAlias = (
    "str | Iterable[str | None] | Mapping[int | PathLike, str | Iterable[str | None] | None] | None"
)
"""A column of var (None for the index), several to try in order, or these for each file by its
number or path."""

AliasesLike: TypeAlias = "Mapping[str, str] | PathLike"
"""Old names and new ones: a dict, or a file of two columns."""

GeneValuesLike: TypeAlias = "Mapping[str, float] | Sequence[float] | SupportsArray"
"""A number for each gene: in their order, or by their names."""

ProportionsLike: TypeAlias = (
    "Mapping[LabelLike, float] | Mapping[int | PathLike, float] | Sequence[float] | SupportsArray"
)
"""Shares of labels, or of stores by their numbers or paths, or one for each store."""

TransformsLike: TypeAlias = (
    "Transform | Iterable[Transform] | Mapping[str, Transform | Iterable[Transform]]"
)
"""Steps for the first matrix, or for each."""

LayersLike: TypeAlias = "str | Iterable[str] | Mapping[str, str | Iterable[str] | Counts]"
"""Names of matrices, or a dict of names and the matrices of which the first is taken."""

ObsKeysLike: TypeAlias = "str | Iterable[str] | Mapping[str, str | Iterable[str]]"
"""Names of columns, or a dict of names and the columns of which the first is taken."""

ObsTableLike: TypeAlias = "pd.DataFrame | PathLike | ObsTable"
"""Labels of cells: a DataFrame with their names as its index, a file, or an `ObsTable` of these."""

LabelMapLike: TypeAlias = "Mapping[str, Mapping[Label, LabelLike] | PathLike]"
"""For each obs key, old labels and new ones: a dict, or a file of two columns."""

Output: TypeAlias = Literal["dense", "csr", "tokens"]
"""The layout of a batch's matrices."""

Label: TypeAlias = str | int | float | bool
"""A label as a Python value."""

LabelLike: TypeAlias = Label | np.generic | None
"""A label as an argument; None and `nan` stand for a missing one."""

FilterLike: TypeAlias = Mapping[str, "LabelLike | Iterable[LabelLike]"]
"""Columns of obs, and for each the label or labels that a row may have there."""


class SupportsArray(Protocol):
    """An array, tensor or Series: an object that numpy can convert to an array.

    Examples
    --------
    >>> from mapped_anndata.types import SupportsArray
    >>> def n_rows(rows: SupportsArray) -> int:
    ...     return len(rows.__array__())
    """

    def __array__(self) -> Array:
        """Returns the elements as an array."""
        ...


RowsLike: TypeAlias = slice | Iterable[SupportsIndex | np.bool_] | SupportsArray
"""Row numbers, a slice of them, or a mask of booleans."""


class Sampler(Protocol):
    """An object that draws the rows of each epoch, as torch's samplers do.

    A loader iterates it anew for each epoch. It may also have

    - `__len__`: the number of rows that it draws, so that the loader has a length;
    - `set_epoch(epoch)`: called with the number of each epoch before it is iterated;
    - `num_replicas`: a sign that it divides the rows among ranks itself.

    Examples
    --------
    Every second row, beginning at another one in each epoch:

    >>> class EverySecond:
    ...     def __init__(self, n_obs):
    ...         self.n_obs, self.epoch = n_obs, 0
    ...     def set_epoch(self, epoch):
    ...         self.epoch = epoch
    ...     def __iter__(self):
    ...         return iter(range(self.epoch % 2, self.n_obs, 2))
    ...     def __len__(self):
    ...         return len(range(self.epoch % 2, self.n_obs, 2))
    >>> from mapped_anndata import MappedCollection
    >>> cells = MappedCollection("demo/a.h5ad")
    >>> loader = cells.loader(100, sampler=EverySecond(len(cells)))
    >>> [next(iter(loader))["_row_idx"][:3].tolist() for epoch in range(2)]
    [[0, 2, 4], [1, 3, 5]]
    """

    def __iter__(self) -> Iterator[SupportsIndex]:
        """Returns an iterator of the rows of one epoch."""
        ...


SamplerLike: TypeAlias = "RowsLike | Weighted | Balanced | Mixture | Sampler"
"""Any value that a loader takes as `sampler`."""


class Batch(TypedDict):
    """The entries that every batch has. The others are named by the keys of the collection.

    Methods that return batches are annotated with `dict[str, Any]`, since type checkers reject
    any other key of a `TypedDict`. Extend this class with your own keys, and cast to it.

    Examples
    --------
    >>> from typing import cast
    >>> import numpy as np
    >>> from mapped_anndata import MappedCollection
    >>> from mapped_anndata.types import Batch, IntArray
    >>> class CellBatch(Batch):
    ...     X: np.ndarray
    ...     cell_type: IntArray
    >>> cells = MappedCollection("demo/a.h5ad", obs_keys="cell_type")
    >>> batch = cast(CellBatch, cells[:3])
    >>> batch["X"].shape, batch["cell_type"].dtype
    ((3, 550), dtype('int64'))
    """

    _store_idx: IntArray | torch.Tensor
    """The number of each row's store."""
    _row_idx: IntArray | torch.Tensor
    """The number of each row in the file of its store."""


class Item(TypedDict):
    """The entry that every item has. The others are named by the keys of the collection.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection
    >>> MappedCollection("demo/a.h5ad")[0]["_store_idx"]
    np.int64(0)
    """

    _store_idx: np.int64
    """The number of its store."""


class GeneOverlap(TypedDict):
    """How many of the given genes a store has.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection
    >>> MappedCollection("demo/a.h5ad", genes=["NKG7", "no such gene"]).gene_overlaps[0]["overlap"]
    0.5
    """

    store: int
    """The number of the store."""
    table: str
    """Its table of variables: `var`, or `raw/var`."""
    found: int
    """The number of given genes that it has."""
    given: int
    """The number of given genes."""
    genes: int
    """The number of its genes."""
    overlap: float
    """The genes found, divided by the smaller of the numbers of given genes and of its genes."""


class CacheInfo(TypedDict):
    """How much of a collection its cache holds.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection
    >>> MappedCollection("demo/a.h5ad").cache_info() is None  # it has no cache
    True
    """

    bands: int
    """The number of bands of chunks of compressed matrices."""
    cached_bands: int
    """The number of these in the cache."""
    bytes: int
    """The bytes that they take there."""


class LoaderState(TypedDict):
    """The place of a loader: integers from 0 to below 2^63.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection
    >>> state = MappedCollection("demo/a.h5ad").loader(100).state_dict()
    >>> state["epoch"], state["rows"]
    (0, 0)
    """

    epoch: int
    """The number of the epoch."""
    rows: int
    """The number of its rows that were delivered, on all ranks together."""
    seed: int
    """The seed of the order."""
    fingerprint: int
    """A hash of the data and the options on which the order depends."""
    drawn: NotRequired[int]
    """A hash of the rows of this epoch, if a sampler object drew them."""
    agreed: NotRequired[int]
    """0 if the ranks have not agreed on one seed yet."""
    worker: NotRequired[int]
    """The worker of a `DataLoader` in which the state was taken."""
    workers: NotRequired[int]
    """The number of workers."""
