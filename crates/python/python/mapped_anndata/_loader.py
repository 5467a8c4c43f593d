"""Epochs of batches, read ahead while the caller trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _arguments as arguments
from . import _ranks
from ._epoch import Batches, Position
from ._options import LoaderOptions
from ._ranks import Rank
from ._reading import Reading
from ._tokens import Tokens
from ._trainer import EpochRows, LoaderSampler, batch_of, register, sampler_of
from .types import LoaderState

if TYPE_CHECKING:
    from ._collection import MappedCollection


class Loader(Reading):
    """Epochs of batches of a collection: made by `MappedCollection.loader`.

    Iterating yields dicts of batched arrays. Each iteration is the next epoch, which has its own
    order and begins when its first batch is read. `set_epoch` chooses the next epoch. The order
    depends only on the collection, the sampler, the shuffle, the seed and the epoch.

    Ranks that train together divide each step; workers of a `DataLoader` around the loader divide
    the batches of their rank. The loader finds the part of this process when reading begins, or
    when it is pickled.

    Parameters
    ----------
    collection
        The collection to read.
    options
        The arguments of `MappedCollection.loader`.

    Examples
    --------
    >>> from mapped_anndata import MappedCollection
    >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"], obs_keys="cell_type")
    >>> loader = cells.loader(512, shuffle="exact", seed=42)
    >>> for batch in loader:
    ...     print(batch["X"].shape)
    (512, 425)
    (512, 425)
    (512, 425)
    (264, 425)
    """

    def __init__(self, collection: MappedCollection, options: LoaderOptions) -> None:
        register(Loader, EpochRows)
        super().__init__(collection, options)

    def __len__(self) -> int:
        """Returns the number of batches of a whole epoch of this rank."""
        return self._n_batches(Position(0), _ranks.ALONE)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return Batches(self)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that begins next, from its first batch on.

        A place in this epoch that `load_state_dict` has just set is kept; any other is dropped. An
        epoch that is being read continues.

        Parameters
        ----------
        epoch
            The number of the epoch, from 0 to below 2^62.

        Raises
        ------
        ValueError
            The number is out of bounds.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> loader = MappedCollection("demo/a.h5ad").loader(100, shuffle="exact")
        >>> first = next(iter(loader))["_row_idx"]
        >>> loader.set_epoch(0)
        >>> (next(iter(loader))["_row_idx"] == first).all()
        np.True_
        """
        epoch = arguments.count("epoch", epoch)
        if epoch >= 2**62:
            raise ValueError(f"epoch: expected less than 2^62, found {epoch}")
        if self._next.epoch != epoch:
            self._next = Position(epoch)
        self._place = None

    def state_dict(self) -> LoaderState:
        """Returns the place of the epoch after the batches delivered so far.

        After the last batch, it is the start of the next epoch. In a worker of a `DataLoader`, it
        is the worker's own. The first call reads some obs names, by which a state recognises its
        data.

        Returns
        -------
        LoaderState
            A few integers below 2^63.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> loader = MappedCollection("demo/a.h5ad").loader(100)
        >>> batches = iter(loader)
        >>> _ = next(batches), next(batches)
        >>> state = loader.state_dict()
        >>> state["epoch"], state["rows"]
        (0, 200)
        """
        position = self._position()
        state: LoaderState = {
            "epoch": position.epoch,
            "rows": position.rows,
            "seed": self._seed,
            "fingerprint": self._core.fingerprint(),
        }
        if position.rows and position.drawn is not None:
            state["drawn"] = position.drawn
        if not self._agreed:
            # Each of several ranks may have drawn its own seed.
            state["agreed"] = 0
        if _ranks.in_worker():
            state["worker"], state["workers"] = _ranks.worker()
        return state

    def load_state_dict(self, state: LoaderState | Mapping[str, int]) -> None:
        """Makes the next iteration continue from the place of another loader.

        The loader must have the same data, sampler and shuffle, and the same seed or `seed=None`,
        which takes that of the state. Batch size and number of ranks may differ.

        Parameters
        ----------
        state
            The result of `state_dict`.

        Raises
        ------
        ValueError
            It is not a state, or belongs to something else.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection("demo/a.h5ad")
        >>> loader = cells.loader(100)
        >>> batches = iter(loader)
        >>> _ = next(batches), next(batches)
        >>> other = cells.loader(50)
        >>> other.load_state_dict(loader.state_dict())
        >>> next(iter(other))["_row_idx"][0]
        np.int64(200)
        """
        epoch, rows, seed, fingerprint = (
            _number(state, key) for key in ("epoch", "rows", "seed", "fingerprint")
        )
        drawn = _number(state, "drawn") if state.get("drawn") is not None else None
        _check_worker(state)
        if self._options.seed is None:
            self._reseed(seed)
            self._agreed = bool(state.get("agreed", 1))
        self._core.check_state(seed, fingerprint)
        if self._sampler.drawing is None and rows > self._core.n_rows:
            raise ValueError(
                f"state: expected at most {self._core.n_rows} rows of an epoch, found {rows}"
            )
        self._next, self._place = Position(epoch, rows, drawn), None

    def __repr__(self) -> str:
        options: dict[str, Any] = {}
        for field in dataclasses.fields(self._options):
            if (value := getattr(self._options, field.name)) is not None:
                options[field.name] = value
        try:
            rank = self._rank()
        except (RuntimeError, ValueError):
            rank = None
        if rank is not None and self._sampler.n_replicas is None:
            options |= rank._asdict()
        shown = ", ".join(f"{key}={_short(value)}" for key, value in options.items())
        try:
            n_batches = f"{len(self)} batches an epoch"
        except (TypeError, RuntimeError, ValueError):
            n_batches = "batches"
        return f"Loader({shown}): {n_batches} of {self._collection!r}"

    # Trainers look for the attributes below: see `_trainer`.

    @property
    def dataset(self) -> EpochRows:
        """The rows of an epoch, one by one, for `collate_fn`.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> len(MappedCollection("demo/a.h5ad").loader(100).dataset)
        1100
        """
        return EpochRows(self)

    @property
    def sampler(self) -> LoaderSampler:
        """The order of the rows: its `set_epoch` is the loader's.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection("demo/a.h5ad").loader(100).sampler.set_epoch(3)
        """
        options = self._options
        in_order = options.sampler is None and arguments.shuffle(options.shuffle) is None
        return sampler_of(self, in_order)

    @property
    def batch_size(self) -> int:
        """The number of rows of a batch.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection("demo/a.h5ad").loader(100).batch_size
        100
        """
        return self._options.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether the last step is left out if it is not full.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> MappedCollection("demo/a.h5ad").loader(100).drop_last
        False
        """
        return self._options.drop_last

    @property
    def collate_fn(self) -> Callable[..., dict[str, Any]]:
        """Combines rows of `dataset` into the loader's batches.

        Examples
        --------
        >>> from torch.utils.data import DataLoader
        >>> from mapped_anndata import MappedCollection
        >>> loader = MappedCollection("demo/a.h5ad").loader(100)
        >>> around = DataLoader(loader.dataset, loader.batch_size, collate_fn=loader.collate_fn)
        >>> next(iter(around))["X"].shape
        (100, 550)
        """
        return batch_of

    # As in a `DataLoader` without workers. Trainers would misread a missing attribute.
    num_workers = 0
    prefetch_factor = None
    batch_sampler = None
    generator = None
    pin_memory = False


def _check_worker(state: LoaderState | Mapping[str, int]) -> None:
    """Refuses a state of a `DataLoader` worker unless this process is that worker."""
    if "worker" not in state:
        return
    taken = Rank(_number(state, "worker"), _number(state, "workers"))
    if _ranks.in_worker() and _ranks.worker() == taken:
        return
    here = "no worker of a DataLoader"
    if _ranks.in_worker():
        here = "worker {} of {}".format(*_ranks.worker())
    raise ValueError(
        f"state: it was taken in worker {taken.rank} of {taken.world_size} of a DataLoader, and "
        f"only that worker can go on from it: this is {here}. torchdata's StatefulDataLoader "
        "gives each worker its own state"
    )


def _number(state: Mapping[str, object], key: str) -> int:
    try:
        value = state[key]
    except (KeyError, TypeError):
        raise ValueError(
            f"state: expected a number {key!r}, found none: is it a state of a loader?"
        ) from None
    return arguments.count(f"state[{key!r}]", value)


def _short(value: object) -> str:
    is_short = isinstance(value, (bool, int, float, str, Tokens))
    return repr(value) if is_short else type(value).__name__
