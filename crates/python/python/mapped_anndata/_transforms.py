"""What happens to the values of a matrix between its file and the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from . import _arguments as arguments
from .types import GeneValuesLike, TransformsLike

Step: TypeAlias = tuple[str, dict[str, Any]]
"""A step as the core takes it: its name and its parameters."""

Values: TypeAlias = list[float] | list[tuple[str, float]]
"""A number for each gene: in their order, or with their names."""


@dataclass(frozen=True)
class NormalizeTotal:
    """Scales each row so that its total is the target, as `scanpy.pp.normalize_total` does.

    A row whose total is 0 stays as it is. A negative or infinite total is a `ValueError` that names
    the row.

    Parameters
    ----------
    target
        The total of a row afterwards; or `"median"`: the median of the totals that are not 0, over
        the rows of all files that passed the filter; no other step may come before.
        `MappedCollection.prepare` computes it, which reads all rows; otherwise the first read does,
        in every process.
    totals
        What the total of a row is: the sum over `"all"` genes of its file, also those that the join
        drops, or over the `"joint"` ones.
    obs_key
        A numeric column of obs that has the totals, instead.

    Examples
    --------
    >>> from mapped_anndata import Log1p, MappedCollection, NormalizeTotal
    >>> steps = [NormalizeTotal(1e4), Log1p()]
    >>> cells = MappedCollection("demo/a.h5ad", "counts", transforms=steps)
    >>> round(float(cells[0]["counts"].max()), 3)
    5.544
    """

    target: float | Literal["median"] = 1e4
    totals: Literal["all", "joint"] = "all"
    obs_key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.target != "median":
            arguments.number("target", self.target)
        arguments.choice("totals", self.totals, ("all", "joint"))
        arguments.optional(arguments.key, "obs_key", self.obs_key)
        if self.obs_key is not None and self.totals != "all":
            raise ValueError("NormalizeTotal: expected either totals or obs_key, found both")

    def _to_core(self) -> dict[str, Any]:
        target = None if self.target == "median" else float(self.target)
        return {"target": target, "joint": self.totals == "joint", "obs_key": self.obs_key}


@dataclass(frozen=True)
class Log1p:
    """`ln(1 + x)`, as `scanpy.pp.log1p` computes it.

    A value of -1 or less is a `ValueError` that names the row.

    Parameters
    ----------
    base
        The base of the logarithm, instead of e.

    Examples
    --------
    >>> from mapped_anndata import Log1p, MappedCollection
    >>> cells = MappedCollection("demo/a.h5ad", transforms=[Log1p(base=2)])
    >>> round(float(cells[0]["X"].max()), 3)
    2.098
    """

    base: float | None = None

    def __post_init__(self) -> None:
        arguments.optional(arguments.number, "base", self.base)

    def _to_core(self) -> dict[str, Any]:
        return {"base": None if self.base is None else float(self.base)}


@dataclass(frozen=True)
class Clip:
    """Raises values below `min` to it, and lowers those above `max` to it.

    With a positive `min` or a negative `max`, zeros change: such batches must be dense.

    Parameters
    ----------
    min, max
        The smallest and the largest value afterwards.

    Examples
    --------
    >>> from mapped_anndata import Clip, MappedCollection
    >>> float(MappedCollection("demo/a.h5ad", transforms=[Clip(max=3)])[0]["X"].max())
    3.0
    """

    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        arguments.optional(arguments.number, "min", self.min)
        arguments.optional(arguments.number, "max", self.max)
        if self.min is None and self.max is None:
            raise ValueError("Clip: expected a min or a max, found neither")

    def _to_core(self) -> dict[str, Any]:
        bounds = {"min": self.min, "max": self.max}
        return {name: None if value is None else float(value) for name, value in bounds.items()}


@dataclass(frozen=True, eq=False)
class ScaleGenes:
    """`(x - mean) / std`, with a mean and a standard deviation for each gene.

    With a mean that is not 0, zeros change: such batches must be dense. A gene that a file lacks is
    0 nevertheless.

    Parameters
    ----------
    mean, std
        A number for each gene: in the order of the variables of the matrix, or by their names in a
        dict or a pandas Series.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection, ScaleGenes
    >>> genes = ["NKG7", "ZNF7"]
    >>> scale = ScaleGenes(mean={"NKG7": 1.5, "ZNF7": 0.0}, std=[2.0, 1.0])
    >>> MappedCollection("demo/a.h5ad", genes=genes, transforms=[scale])[0]["X"].tolist()
    [-0.75, 0.0]
    """

    mean: GeneValuesLike
    std: GeneValuesLike

    def __post_init__(self) -> None:
        # A frozen dataclass sets its own fields this way.
        object.__setattr__(self, "mean", _gene_values("mean", self.mean))
        object.__setattr__(self, "std", _gene_values("std", self.std))

    def _to_core(self) -> dict[str, Any]:
        return {"mean": _pairs(self.mean), "std": _pairs(self.std)}


@dataclass(frozen=True, eq=False)
class DivideGenes:
    """`x / by`, with a divisor for each gene.

    Parameters
    ----------
    by
        A number for each gene: in the order of the variables of the matrix, or by their names in a
        dict or a pandas Series.

    Examples
    --------
    >>> from mapped_anndata import DivideGenes, MappedCollection
    >>> cells = MappedCollection(
    ...     "demo/a.h5ad", genes=["NKG7"], transforms=[DivideGenes({"NKG7": 2.0, "CD4": 1.0})]
    ... )
    >>> cells[7]["X"].tolist()
    [0.75]
    """

    by: GeneValuesLike

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", _gene_values("by", self.by))

    def _to_core(self) -> dict[str, Any]:
        return {"by": _pairs(self.by)}


@dataclass(frozen=True)
class Downsample:
    """Draws a smaller number of the molecules of each cell; the first step of a list.

    From a count of n, the draw is binomial, with n trials. A row with a value that is not a count
    is a `ValueError` that names it. The draws of a row depend only on the seed, the epoch, the
    number of its file, its row in the file, and the genes of the matrix in their order. Items and
    rows by index have those of epoch 0.

    Parameters
    ----------
    to
        About how many molecules are left: each stays with the probability `min(1, to / total)`,
        where the total is that of the row in its file.
    fraction
        The probability with which each molecule stays, instead.
    seed
        The seed of the draws.

    Examples
    --------
    >>> from mapped_anndata import Downsample, MappedCollection
    >>> whole = MappedCollection("demo/a.h5ad", "counts")
    >>> half = MappedCollection("demo/a.h5ad", "counts", transforms=[Downsample(fraction=0.5)])
    >>> int(whole[0]["counts"].sum()), int(half[0]["counts"].sum())
    (157, 85)
    """

    to: float | None = None
    fraction: float | None = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if (self.to is None) == (self.fraction is None):
            raise ValueError("Downsample: expected either `to` or `fraction`")
        arguments.optional(arguments.number, "to", self.to)
        arguments.optional(arguments.number, "fraction", self.fraction)
        arguments.count("seed", self.seed)

    def _to_core(self) -> dict[str, Any]:
        depth = self.fraction if self.to is None else self.to
        return {
            "depth": float(cast(float, depth)),
            "is_fraction": self.to is None,
            "seed": self.seed,
        }


STEPS = NormalizeTotal, Log1p, Clip, ScaleGenes, DivideGenes, Downsample
"""The kinds of steps."""

Transform: TypeAlias = NormalizeTotal | Log1p | Clip | ScaleGenes | DivideGenes | Downsample


def transforms(value: TransformsLike | None, layers: list[str]) -> dict[str, list[Transform]]:
    """Returns `transforms` as steps of matrices. A list is for the first matrix."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {arguments.key("transforms", key): _steps(steps) for key, steps in value.items()}
    steps = _steps(value)
    if not layers:
        raise ValueError("transforms: expected a matrix in layers_keys, found none")
    return {layers[0]: steps}


def _steps(value: object) -> list[Transform]:
    steps = [value] if isinstance(value, (type, *STEPS)) else value
    if not isinstance(steps, Iterable) or isinstance(steps, str | bytes):
        raise TypeError(f"transforms: expected a list of steps, found {type(steps).__name__}")
    found = []
    for step in steps:
        if isinstance(step, type) and issubclass(step, STEPS):
            raise TypeError(f"transforms: expected {step.__name__}(...), found the class itself")
        if not isinstance(step, STEPS):
            names = ", ".join(kind.__name__ for kind in STEPS)
            raise TypeError(f"transforms: expected {names}, found {type(step).__name__}")
        found.append(deepcopy(step))  # what the caller changes later has no effect
    return found


def to_core(transforms: Mapping[str, list[Transform]]) -> list[tuple[str, list[Step]]]:
    """Returns steps as the core takes them."""
    return [
        (key, [(type(step).__name__, step._to_core()) for step in steps])
        for key, steps in transforms.items()
    ]


def _gene_values(name: str, value: Any) -> dict[str, float] | np.ndarray:
    index = getattr(value, "index", None)
    if not isinstance(value, Mapping) and hasattr(value, "items") and index is not None:
        # A pandas Series. Without names, its labels are the numbers of its elements.
        labels = list(index)
        if all(isinstance(label, str) for label in labels):
            if len(set(labels)) < len(labels):
                raise ValueError(f"{name}: expected each gene once, found one twice")
            value = dict(value.items())
        elif labels != list(range(len(labels))):
            raise TypeError(f"{name}: expected a Series with names of genes, which are texts")
    if isinstance(value, Mapping):
        return {
            arguments.key(name, gene): float(arguments.number(name, number))
            for gene, number in value.items()
        }
    if np.ma.is_masked(value):
        raise ValueError(f"{name}: expected a number for each gene, found masked ones")
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iuf":
            raise TypeError(f"found {given.dtype.name} values")
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name}: expected a number for each gene: {error}") from None
    if values.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, found {values.ndim}")
    return values


def _pairs(values: Any) -> Values:
    return list(values.items()) if isinstance(values, dict) else values.tolist()


def with_target(step: Transform, median: float | None) -> Transform:
    """Returns a step with the median as a number, if it is the target and known."""
    if median is not None and isinstance(step, NormalizeTotal) and step.target == "median":
        return replace(step, target=median)
    return step
