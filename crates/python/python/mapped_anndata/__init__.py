"""Feeds collections of AnnData files (h5ad, zarr) to a model, as they are on disk.

`MappedCollection` has the interface of lamindb's class of that name: only the import changes. Its
`loader` returns epochs of batches that threads read ahead. `collate` is for torch's `DataLoader`.

Examples
--------
>>> from mapped_anndata import MappedCollection
>>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="cell_type")
>>> for batch in cells.loader(512, shuffle="exact", seed=42):
...     assert len(batch["X"]) == len(batch["cell_type"])
"""

from . import types
from ._choices import Counts
from ._collate import collate
from ._collection import MappedCollection
from ._core import __version__
from ._csr import CsrMatrix
from ._genes import GeneList
from ._loader import Loader
from ._matched import Matched
from ._mixture import Mixture
from ._obs_table import ObsTable
from ._options import IoOptions
from ._sampler import Balanced, Weighted
from ._tokens import Tokens
from ._transforms import (
    Clip,
    DivideGenes,
    Downsample,
    Log1p,
    NormalizeTotal,
    ScaleGenes,
)

__all__ = [
    "Balanced",
    "Clip",
    "Counts",
    "CsrMatrix",
    "DivideGenes",
    "Downsample",
    "GeneList",
    "IoOptions",
    "Loader",
    "Log1p",
    "MappedCollection",
    "Matched",
    "Mixture",
    "NormalizeTotal",
    "ObsTable",
    "ScaleGenes",
    "Tokens",
    "Weighted",
    "__version__",
    "collate",
    "types",
]
