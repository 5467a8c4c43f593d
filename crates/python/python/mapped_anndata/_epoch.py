"""One epoch: its place, and the iterator of its batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core, _ranks
from ._batch import finish

if TYPE_CHECKING:
    from ._reading import Reading


@dataclass(frozen=True, slots=True)
class Position:
    """The place where reading continues."""

    epoch: int
    rows: int = 0
    """The number of its rows that were delivered."""
    drawn: int | None = None
    """A hash of its rows, if a sampler object drew them."""


@dataclass(slots=True)
class Place:
    """The place of an epoch.

    The loader keeps only this place, so that leaving a loop frees the epoch's threads and memory.
    """

    position: Position


class Batches:
    """The batches of one epoch, which begins when the first is read."""

    def __init__(self, loader: Reading) -> None:
        self._loader = loader
        self._begun: tuple[_core.Epoch, Place] | None = None

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> dict[str, Any]:
        if self._begun is None:
            self._begun = self._loader._begin()
        epoch, place = self._begun
        try:
            batch = next(epoch)
        finally:
            place.position = Position(*epoch.position(), epoch.drawn)
            self._loader._collection._warn_of_cache()
        return finish(batch, self._loader._as_torch)

    def __len__(self) -> int:
        """Returns the number of batches to come."""
        if self._begun is None:
            return self._loader._n_batches(self._loader._next, _ranks.worker())
        return len(self._begun[0])
