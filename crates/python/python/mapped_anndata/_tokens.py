"""Rows as sequences of tokens."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, TypeAlias

from . import _arguments as arguments

TokenSelection: TypeAlias = Literal["highest", "uniform", "by_value"]
"""Which genes a row keeps, and in which order."""


@dataclass(frozen=True)
class Tokens:
    """How rows become sequences of tokens, for models that read a cell as a sequence of its genes.

    A token is a gene whose value is not 0 (a negative one counts, too). With `output="tokens"`, a
    batch has three arrays in place of the matrix: `ids` and `values`, of shape `(rows, length)`,
    and `lengths`, the number of tokens of each row, special ones included. `ids` and `lengths` are
    int64; `values` have the type of the matrix. Padding fills the rest of a row. Order,
    draws and bins use the values in the `dtype` of the batch. A model that masks padding takes
    `numpy.arange(length) < lengths[:, None]`, or its opposite.

    The id of a gene is that of the vocabulary that the collection was opened with (`genes`),
    otherwise the number of its column. A special token cannot share its id with a gene.

    Parameters
    ----------
    length
        The most tokens of a row, special ones included.
    key
        The matrix: X, `raw.X` or a layer. By default, the first one. Other matrices come
        as dense arrays beside the tokens.
    select
        Which genes a row keeps, and in which order. `"highest"`: the highest values first; equal
        values keep the order of the columns, and NaN comes last. `"uniform"`: a random sample
        without replacement, in the order of the columns. `"by_value"`: the same, but each draw is
        proportional to the value; a negative or infinite value or NaN is a `ValueError` that names
        the row.
    bins
        Replaces each value with the number of its bin, from 1 to `bins - 1`. The edges of a row's
        bins are quantiles of the values of all its expressed genes, kept or not, in float64:
        `edges = numpy.quantile(x, numpy.linspace(0, 1, bins - 1))`. The bins are
        `numpy.digitize(x, edges)`. This is the rule of scGPT, except that scGPT puts a value that
        equals several edges into a random one of their bins. A value that is not finite is a
        `ValueError` that names the row.
    pad
        The token that fills a row after its last token: an id, or a special name of the
        vocabulary.
    pad_value
        The value of padding.
    cls, eos
        The tokens before (`cls`) and after (`eos`) the genes: an id, or a special name. By default,
        there are none. The value of `eos` is 0.
    cls_value
        The value of `cls`: 0 as in scGPT's tokenizer for fine-tuning. Its embedding of cells uses
        the value of padding.
    seed
        Fixes the samples, which depend on the seed, the epoch, the store, the row in its file, and
        its expressed genes; below 2^63. `get_batch` returns those of epoch 0.

    Raises
    ------
    TypeError
        An argument is of the wrong type.
    ValueError
        An argument is out of bounds.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection, Tokens
    >>> cells = MappedCollection("demo/a.h5ad")
    >>> batch = cells.get_batch([0, 1], output="tokens", tokens=Tokens(5, cls=600, pad=601))
    >>> batch["ids"]
    array([[600, 385, 225, 407, 411],
           [600, 423, 245,  67,  81]])
    >>> batch["values"][1]
    array([0.      , 3.609375, 3.4375  , 3.21875 , 3.21875 ], dtype=float32)
    >>> batch["lengths"]
    array([5, 5])
    """

    length: int
    _: KW_ONLY
    key: str | None = None
    select: TokenSelection = "highest"
    bins: int | None = None
    pad: int | str = "<pad>"
    pad_value: float = 0
    cls: int | str | None = None
    eos: int | str | None = None
    cls_value: float = 0
    seed: int = 0

    def __post_init__(self) -> None:
        arguments.count("length", self.length, 1, 2**20)
        arguments.optional(arguments.key, "key", self.key)
        arguments.choice("select", self.select, ("highest", "uniform", "by_value"))
        if self.bins is not None:
            arguments.count("bins", self.bins, 2, 2**16)
        _special("pad", self.pad)
        arguments.number("pad_value", self.pad_value)
        arguments.number("cls_value", self.cls_value)
        arguments.optional(_special, "cls", self.cls)
        arguments.optional(_special, "eos", self.eos)
        arguments.count("seed", self.seed)

    def _to_core(self) -> dict[str, Any]:
        return {
            "length": int(self.length),
            "key": self.key,
            "select": str(self.select),
            "bins": None if self.bins is None else int(self.bins),
            "pad": _special("pad", self.pad),
            "pad_value": float(self.pad_value),
            "cls_value": float(self.cls_value),
            "cls": arguments.optional(_special, "cls", self.cls),
            "eos": arguments.optional(_special, "eos", self.eos),
            "seed": int(self.seed),
        }


def _special(name: str, value: object) -> int | str:
    """Returns the id or the name of a special token."""
    return arguments.key(name, value) if isinstance(value, str) else arguments.code(name, value)
