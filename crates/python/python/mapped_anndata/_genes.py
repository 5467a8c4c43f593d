"""The genes of a collection: a given list, and the names that files are joined by."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, cast

from . import _arguments as arguments
from . import _core
from .types import AliasesLike, GenesLike, PathLike, VarKeyLike

INDEX = "_index"
"""The key of the index of var."""


@dataclass(frozen=True)
class GeneList:
    """The genes that a model takes in, in the order of its columns.

    Parameters
    ----------
    names
        The names, each once.
    ids
        With a vocabulary, the id of each name, ascending.
    special
        With a vocabulary, the names that are no genes, such as `<pad>`, and their ids.

    Examples
    --------
    >>> from mapped_anndata import GeneList, MappedCollection
    >>> genes = GeneList.from_vocabulary({"ZNF7": 5, "<pad>": 0, "NKG7": 3})
    >>> genes.names, genes.ids, genes.special
    (('NKG7', 'ZNF7'), (3, 5), {'<pad>': 0})
    >>> MappedCollection("demo/a.h5ad", genes=genes)[0]["X"].shape
    (2,)
    """

    names: Sequence[str]
    ids: Sequence[int] | None = None
    special: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [arguments.key("genes", name) for name in arguments.several("genes", self.names)]
        # A frozen dataclass sets its own fields this way.
        object.__setattr__(self, "names", tuple(names))
        if self.ids is not None and len(self.ids) != len(names):
            raise ValueError(
                f"genes: expected an id for each of {len(names)} names, found {len(self.ids)}"
            )
        if self.ids is None and self.special:
            raise ValueError("genes: expected ids beside special names, found none")
        if self.ids is not None:
            ids = tuple(arguments.code("genes", number) for number in self.ids)
            if any(a >= b for a, b in pairwise(ids)):
                raise ValueError(
                    "genes: expected ascending ids, found others: use GeneList.from_vocabulary, "
                    "which sorts them"
                )
            object.__setattr__(self, "ids", ids)
        special = {
            arguments.key("special", name): arguments.code("special", number)
            for name, number in self.special.items()
        }
        object.__setattr__(self, "special", special)
        if repeated := sorted(set(names) & set(special)):
            raise ValueError(
                f"genes: expected other special names than genes, found {repeated[0]!r}"
            )

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.names[:3])) + (", ..." if len(self.names) > 3 else "")
        return f"GeneList({len(self.names):,} genes: {shown})"

    @classmethod
    def from_vocabulary(
        cls, vocabulary: Mapping[str, int], *, special: Iterable[str] | None = None
    ) -> GeneList:
        """Returns the names of a vocabulary, by ascending id.

        Parameters
        ----------
        vocabulary
            Names and ids.
        special
            The names that are no genes, but keep their ids. By default, those like `<pad>`.

        Returns
        -------
        GeneList
            The genes and their ids.

        Raises
        ------
        ValueError
            Two names have one id, or a special name is not in the vocabulary.

        Examples
        --------
        >>> from mapped_anndata import GeneList
        >>> GeneList.from_vocabulary({"CD4": 1, "[PAD]": 0}, special=["[PAD]"])
        GeneList(1 genes: 'CD4')
        """
        if not isinstance(vocabulary, Mapping):
            found = type(vocabulary).__name__
            raise TypeError(f"genes: expected a vocabulary of names and ids, found {found}")
        entries = [
            (arguments.key("genes", name), arguments.code("genes", number))
            for name, number in vocabulary.items()
        ]
        return cls._of(_core.genes_of_vocabulary(entries, arguments.keys("special", special)))

    @classmethod
    def from_file(
        cls,
        path: PathLike,
        column: str | None = None,
        *,
        special: Iterable[str] | None = None,
    ) -> GeneList:
        r"""Reads a list: one name per line, a column of a table, or a vocabulary.

        Parameters
        ----------
        path
            A `.csv` or `.tsv` file, whose first line names the columns; a `.json` file with an
            object of names and ids or an array of names; or any other file with one name per line.
        column
            The column of a table.
        special
            As in `from_vocabulary`.

        Returns
        -------
        GeneList
            The genes, with their ids if the file has ids.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file has another form, or lacks the column.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from mapped_anndata import GeneList
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "genes.csv")
        ...     _ = path.write_text("id,symbol\n1,CD4\n2,TP53\n")
        ...     print(GeneList.from_file(path, "symbol").names)
        ('CD4', 'TP53')
        """
        column = arguments.optional(arguments.key, "column", column)
        names = arguments.keys("special", special)
        return cls._of(_core.read_genes(arguments.path(0, path), column, names))

    def _to_core(self) -> tuple[list[str], list[int] | None, list[tuple[str, int]]]:
        ids = None if self.ids is None else list(self.ids)
        return list(self.names), ids, list(self.special.items())

    @classmethod
    def _of(cls, found: tuple[list[str], list[int] | None, list[tuple[str, int]]]) -> GeneList:
        names, ids, special = found
        return cls(names, None if ids is None else tuple(ids), dict(special))


@dataclass(frozen=True, kw_only=True)
class Variables:
    """The arguments that decide which genes are read, and by which names they are joined."""

    genes: GeneList | None
    min_overlap: float
    var_key: list[str]
    var_key_of: list[tuple[int, list[str]]]
    strip_version: bool
    aliases: dict[str, str]
    duplicates: Literal["error", "first", "sum"]

    def to_core(self) -> dict[str, Any]:
        """Returns them as the core takes them."""
        genes = None if self.genes is None else self.genes._to_core()
        return {**vars(self), "genes": genes, "aliases": list(self.aliases.items())}


def gene_list(value: GenesLike | None) -> GeneList | None:
    """Returns `genes` as a list: names, a file, or a vocabulary."""
    if value is None or isinstance(value, GeneList):
        return value
    if isinstance(value, Mapping):
        return GeneList.from_vocabulary(value)
    if isinstance(value, str | bytes | os.PathLike):
        return GeneList._of(_core.genes_of_argument(arguments.path(0, value)))
    # Sets have another order in each run, and the names in a table are those of its columns.
    if isinstance(value, Set) or hasattr(value, "columns"):
        raise TypeError(f"genes: expected names in an order, found {type(value).__name__}")
    return GeneList(cast(Sequence[str], arguments.several("genes", value)))


def fraction(name: str, value: object) -> float:
    """Returns a number from 0 to 1."""
    number = arguments.number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: expected a fraction from 0 to 1, found {number}")
    return number


def var_key(
    value: VarKeyLike, path_list: Sequence[PathLike]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Returns the columns of var for all files, and those of single files by their numbers."""
    if not isinstance(value, Mapping):
        return _columns(value), []
    stores = arguments.Stores(path_list)
    return [], [(number, _columns(keys)) for number, keys in stores.each("var_key", value)]


def _columns(value: str | Iterable[str | None] | None) -> list[str]:
    """Returns columns to try in order. None is the index."""
    if value is None:
        return []
    if isinstance(value, str):
        return [arguments.key("var_key", value)]
    keys = arguments.several("var_key", value)
    return [INDEX if key is None else arguments.key("var_key", key) for key in keys]


def aliases(value: AliasesLike | None) -> dict[str, str]:
    """Returns old names and new ones, from a dict or a file."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        names = value.items()
        pairs = {arguments.key("aliases", a): arguments.key("aliases", b) for a, b in names}
        if "" in pairs or "" in pairs.values():
            raise ValueError("aliases: expected names, found an empty text")
        return pairs
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"aliases: expected a dict or a path, found {type(value).__name__}")
    return dict(_core.read_pairs(arguments.path(0, value)))
