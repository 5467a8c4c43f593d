"""Controls for the rows of a batch: the argument `matched`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from . import _arguments as arguments
from .types import LabelLike


@dataclass(frozen=True, eq=False)
class Matched:
    """A control for each row of a batch: the argument `matched` of a loader.

    For each row, a control is drawn at random from the controls with the same labels of `keys`.
    `batch["control"]` is a second batch with the same entries: its row `i` is the control of row
    `i` of the batch. A control gets a control too, possibly itself; to keep controls out of the
    batches, pass a `sampler` (see the example). The draws depend only on the seed, the epoch and
    the position of the row in the epoch.

    No other entry of the batch can be called `control`. `obs_keys={"is_control": ["control"]}`
    renames such a column.

    Parameters
    ----------
    keys
        Keys of obs, such as cell type and donor: a control has the row's label of each of them. A
        row without a label of one of them has no control. With an empty list, every control
        matches every row.
    control
        A key of obs, and the label or labels there that make a row a control; with several keys, a
        control has one of the labels of each. None stands for a missing label.
    unmatched
        `"error"` refuses a loader that could deliver a row without a control. `"drop"` leaves such
        rows out; a sampler object must leave them out itself.

    Raises
    ------
    TypeError
        An argument is of the wrong type.
    ValueError
        An argument has a wrong value.

    Examples
    --------
    >>> from mapped_anndata import Matched, MappedCollection
    >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys=["cell_type", "donor"])
    >>> matched = Matched("cell_type", {"donor": "donor1"}, unmatched="drop")
    >>> batch = next(iter(cells.loader(100, shuffle="exact", matched=matched)))
    >>> (batch["control"]["cell_type"] == batch["cell_type"]).all()
    np.True_
    >>> set(batch["control"]["donor"].tolist())
    {0}

    Rows that are no controls, in a batch that has a label for each of them:

    >>> import pandas as pd
    >>> labels = pd.Series(cells.get_merged_labels("donor"))
    >>> rows = labels.notna() & (labels != "donor1")
    >>> loader = cells.loader(100, sampler=rows.to_numpy(), matched=matched)
    >>> 0 in next(iter(loader))["donor"]
    False
    """

    keys: str | Iterable[str]
    control: Mapping[str, LabelLike | Iterable[LabelLike]]
    _: KW_ONLY
    unmatched: Literal["error", "drop"] = "error"

    def __post_init__(self) -> None:
        # An iterator has its elements once: both fields are kept as lists.
        keys = arguments.keys("keys", self.keys)
        if keys is None:
            raise TypeError("keys: expected keys of obs, found None")
        object.__setattr__(self, "keys", keys)
        if not isinstance(self.control, Mapping) or not self.control:
            found = type(self.control).__name__ if self.control else repr(self.control)
            raise TypeError(f"control: expected a dict of keys and labels, found {found}")
        control = {
            arguments.key("control", key): arguments.labels("control", labels)
            for key, labels in self.control.items()
        }
        for key, labels in self.control.items():
            if isinstance(labels, Mapping) or not control[key]:
                raise ValueError(f"control: expected labels of {key!r}, found {labels!r}")
        object.__setattr__(self, "control", control)
        arguments.choice("unmatched", self.unmatched, ("error", "drop"))

    def _to_core(self) -> dict[str, Any]:
        return {
            "keys": self.keys,
            "control": list(self.control.items()),
            "drop_unmatched": self.unmatched == "drop",
        }
