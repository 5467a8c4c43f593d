"""The arguments of users, each in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from . import _arguments as arguments
from . import _core
from ._choices import Choices
from ._genes import Variables
from ._matched import Matched
from ._tokens import Tokens
from .types import ByteSize, DTypeLike, Join, Label, LabelLike, Output, PathLike, SamplerLike


@dataclass(frozen=True, kw_only=True)
class IoOptions:
    """Limits on the resources of reading: `io` of a collection.

    Parameters
    ----------
    cache_bytes
        Bytes of decoded chunks to keep between reads. By default, 64 MiB.
    max_open_files
        The largest number of files to keep open. By default, 64.
    mmap
        Whether uncompressed files on local file systems are read through memory maps. By default,
        they are. If a file is cut short while it is mapped, the process is killed.
    pack_bytes
        Bytes of memory for rows of compressed matrices, packed: the second time that rows of a
        chunk are requested by index, all of its rows are packed, and none is decoded again. By
        default, 512 MiB; the workers of a `DataLoader` share them. Loaders count packed rows in
        their own `memory`. Matrices that are stored by column and were turned into rows take these
        bytes, too; those that no longer fit go to temporary files (in `TMPDIR`).
    pack_uncompressed
        Whether rows of uncompressed files are packed, too. By default, they are not. It pays for
        files on slow storage, such as a network file system.
    revalidate
        Whether a server is asked, when a file of it is opened again, if the file is still the one
        of which the `cache` keeps parts: one request a file. By default, it is.

    Raises
    ------
    TypeError
        A value is of the wrong type.
    ValueError
        A value is out of bounds.

    Examples
    --------
    >>> from mapped_anndata import IoOptions, MappedCollection
    >>> io = IoOptions(cache_bytes="256 MiB", max_open_files=16)
    >>> io.cache_bytes
    268435456
    >>> cells = MappedCollection("demo/a.h5ad", io=io)
    """

    cache_bytes: ByteSize | None = None
    max_open_files: int | None = None
    mmap: bool | None = None
    pack_bytes: ByteSize | None = None
    pack_uncompressed: bool | None = None
    revalidate: bool | None = None

    def __post_init__(self) -> None:
        checks: dict[str, Callable[[str, object], int]] = {
            "cache_bytes": arguments.n_bytes,
            "max_open_files": arguments.count,
            "mmap": arguments.flag,
            "pack_bytes": arguments.n_bytes,
            "pack_uncompressed": arguments.flag,
            "revalidate": arguments.flag,
        }
        for name, check in checks.items():
            if (value := getattr(self, name)) is not None:
                # A frozen dataclass sets its own fields this way.
                object.__setattr__(self, name, check(name, value))


@dataclass(frozen=True, kw_only=True)
class CollectionOptions:
    """The arguments of a collection."""

    path_list: Sequence[PathLike]
    paths: list[str]
    """`path_list` as texts; absolute after the files were opened."""
    layers_keys: list[str]
    obs_keys: list[str] | None
    obsm_keys: list[str] | None
    obs_filter: dict[str, list[Label | None]] | None
    join: Join | None
    variables: Variables
    choices: Choices
    encode_labels: bool | list[str]
    unknown_label: LabelLike | Mapping[str, LabelLike]
    """As the user passed it."""
    parallel: bool
    dtype: str | None
    missing_code: int | None
    io: IoOptions
    cache: str | Literal[False] | None
    """An absolute path."""
    cache_size: int | None
    storage_options: dict[str, str] = field(repr=False)

    def without_secrets(self) -> CollectionOptions:
        """Returns options without what signs URLs, and without credentials."""
        is_url = any("://" in path for path in self.paths)
        if not is_url and not self.storage_options:
            return self
        storage = self.storage_options.items()
        return replace(
            self,
            path_list=[_public(p) if isinstance(p, str) else p for p in self.path_list],
            paths=[_public(path) for path in self.paths],
            storage_options={name: value for name, value in storage if _is_public(name)},
        )


def _public(path: str) -> str:
    return _core.without_secrets(path) if "://" in path else path


def _is_public(name: str) -> bool:
    """Returns whether an option of storage is known to be no secret."""
    public = ("region", "endpoint", "skip_signature", "payer", "project", "style", "account_name")
    secret = ("key", "secret", "token", "credential", "password", "sas")
    name = name.lower()
    return any(word in name for word in public) and not any(word in name for word in secret)


@dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """The arguments of a loader, as the user passed them."""

    batch_size: int
    shuffle: bool | str | None
    sampler: SamplerLike | None
    matched: Matched | None
    seed: int | None
    drop_last: bool
    pad: bool
    output: Output
    tokens: Tokens | None
    dtype: DTypeLike | None
    missing_code: int | None
    workers: int
    memory: ByteSize
    rank: int | None
    world_size: int | None
    as_torch: bool
