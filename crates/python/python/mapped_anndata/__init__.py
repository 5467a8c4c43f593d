"""Collections of AnnData files (h5ad, zarr) for a model, as they are on disk.

`MappedCollection` has the interface of lamindb's class of that name: change the import. Its
`loader` gives batches that were read ahead. `collate` is for torch's `DataLoader`.
"""

from ._collate import collate
from ._collection import MappedCollection
from ._csr import CsrMatrix
from ._loader import Loader
from ._sampler import Weighted
from ._core import __version__

__all__ = ["CsrMatrix", "Loader", "MappedCollection", "Weighted", "__version__", "collate"]
