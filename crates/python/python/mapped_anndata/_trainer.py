"""The attributes that trainers look for in a loader, as in torch's `DataLoader`.

Some put their own `DataLoader` around `dataset`, with the loader's `batch_size` and `collate_fn`
(accelerate's `skip_first_batches` does): that one delivers the loader's batches. Others would
rebuild a map-style `dataset` under their own sampler (Ray Train does), which loses the loader's
order: to them, `dataset` is an `IterableDataset`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ._loader import Loader


def register(*classes: type) -> None:
    """Registers classes as iterable datasets with torch, if it was imported."""
    if (data := sys.modules.get("torch.utils.data")) is not None:
        for of_ours in classes:
            data.IterableDataset.register(of_ours)


class Row(NamedTuple):
    """A row of a batch; it serves only to combine the batch again."""

    batch: dict[str, Any]
    number: int


class EpochRows:
    """The rows of an epoch of a loader, one by one."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Row]:
        for batch in self._loader:
            for number in range(len(batch["_row_idx"])):
                yield Row(batch, number)

    def __len__(self) -> int:
        """Returns the number of rows of an epoch, of all ranks."""
        return self._loader.n_rows

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that begins next, as the loader's method does."""
        self._loader.set_epoch(epoch)


def batch_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Returns the batch from which rows were taken."""
    batch = rows[0].batch
    if [(id(batch), n) for n in range(len(batch["_row_idx"]))] != [
        (id(row.batch), row.number) for row in rows
    ]:
        raise RuntimeError(
            "the rows of a loader's dataset were put together in other batches than the loader's "
            "own: give the DataLoader around it the loader's batch_size"
        )
    return batch


class LoaderSampler:
    """The order of a loader, as trainers see it: they set its epoch."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that begins next, as the loader's method does."""
        self._loader.set_epoch(epoch)

    def __len__(self) -> int:
        """Returns the number of rows of an epoch, of all ranks."""
        return self._loader.n_rows


def sampler_of(loader: Loader, in_order: bool) -> LoaderSampler:
    """Returns the sampler of a loader.

    In file order, it is a `SequentialSampler` of torch, so that trainers know that there is no
    shuffle to turn off.
    """
    if in_order and "torch.utils.data" in sys.modules:
        from ._torch import InOrder

        return InOrder(loader)
    return LoaderSampler(loader)
