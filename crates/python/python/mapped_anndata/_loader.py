"""Epochs of batches, read ahead while the caller trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arguments as arguments
from . import _core, _ranks
from ._batch import finish
from ._ranks import Rank
from ._sampler import Sampler
from ._trainer import EpochRows, batch_of, register, sampler_of

if TYPE_CHECKING:
    from ._collection import MappedCollection

Batch = dict[str, Any]


class _Position(NamedTuple):
    """Where reading goes on: an epoch, the rows that were had of it, and a hash of its rows if a
    sampler object drew them."""

    epoch: int
    rows: int = 0
    drawn: int | None = None


class _Place:
    """Where an epoch stands. The loader keeps this and not the epoch: when a loop is left, its
    threads and memory go."""

    def __init__(self, position: _Position):
        self.position = position


class Loader:
    """Epochs of batches of a collection: made by `MappedCollection.loader`.

    Iterating gives dicts of batched arrays. Each iteration is the next epoch, which has an order of
    its own; it begins with the first batch. `set_epoch` says which epoch comes next. The order
    depends on the collection, the sampler, the shuffle, the seed and the epoch alone.

    Ranks that train together divide each step, the workers of a `DataLoader` around the loader divide
    the batches of their rank. Which part this process has is found when reading begins, or when the
    loader is pickled.
    """

    def __init__(self, collection: MappedCollection, options: dict[str, Any]):
        register(Loader, EpochRows)
        self._collection = collection
        self._options = dict(options)
        self._as_torch = arguments.flag("as_torch", options["as_torch"])
        self._sampler = Sampler(options["sampler"], len(collection))
        self._pad = arguments.flag("pad", options["pad"])
        self._explicit = self._explicit_rank(options["rank"], options["world_size"])
        self._sent: Rank | None = None
        seed = options["seed"]
        # The largest numbers of a state fit in 63 bits.
        self._seed = _ranks.random_seed() if seed is None else arguments.count("seed", seed)
        self._agreed = seed is not None
        # Each worker that makes a loader would draw a seed of its own.
        self._made_in_worker = _ranks.worker().world_size > 1
        self._core = self._open(options)
        self._next = _Position(0)
        self._place: _Place | None = None

    def _explicit_rank(self, rank: Any, world_size: Any) -> Rank | None:
        if (rank is None) != (world_size is None):
            raise ValueError("rank and world_size: expected both or neither")
        if rank is None:
            return None
        if self._sampler.divides:
            raise ValueError(
                "rank and world_size: the sampler divides the rows among ranks itself (num_replicas): leave them out"
            )
        return Rank(arguments.count("rank", rank), arguments.count("world_size", world_size))

    def _open(self, options: dict[str, Any]) -> _core.Loader:
        return _core.Loader(
            self._collection._core,
            arguments.count("batch_size", options["batch_size"], 1),
            arguments.shuffle(options["shuffle"]),
            self._sampler.rows,
            self._sampler.weights,
            self._sampler.n_samples,
            self._sampler.replacement,
            self._sampler.drawing is not None,
            self._seed,
            arguments.flag("drop_last", options["drop_last"]),
            self._pad,
            *self._collection._batch_format(
                options["output"], options["dtype"], options["missing_code"]
            ),
            arguments.count("workers", options["workers"]),
            arguments.n_bytes("memory", options["memory"]),
            (*(self._explicit or _ranks.ALONE), *_ranks.ALONE),
        )

    def _rank(self) -> Rank | None:
        """The rank of this process; None where nothing says that there are others."""
        if self._sampler.divides:
            return _ranks.ALONE
        return self._explicit or _ranks.find(self._sent)

    def _world_size(self) -> int:
        if self._sampler.divides:
            return 1
        return self._explicit.world_size if self._explicit else _ranks.world_size(self._sent)

    @property
    def n_rows(self) -> int:
        """Rows of a whole epoch, of all ranks.

        Raises:
            TypeError: The sampler does not know how many rows it draws.
        """
        if self._sampler.drawing is None:
            return self._core.n_rows
        if (n_rows := self._sampler.n_rows()) is None:
            raise TypeError(
                f"sampler: {type(self._sampler.drawing).__name__} has no length, so the loader has none"
            )
        return n_rows

    def _n_batches(self, position: _Position, reader: Rank) -> int:
        # Only without padding do ranks differ in their number of batches.
        rank = Rank(0, self._world_size()) if self._pad else self._rank() or _ranks.ALONE
        return self._core.n_batches((*rank, *reader), self.n_rows, position.rows)

    def __len__(self) -> int:
        """Batches of a whole epoch of this rank."""
        return self._n_batches(_Position(0), _ranks.ALONE)

    def __iter__(self) -> Iterator[Batch]:
        return _Batches(self)

    def _begin(self) -> tuple[_core.Epoch, _Place]:
        """Begins the next epoch, or goes on with one."""
        rank = self._rank() or _ranks.ALONE
        self._check_ranks(rank)
        position, rows = self._next, None
        if self._sampler.drawing is not None:
            rows = self._sampler.draw(position.epoch)
        division = (*rank, *_ranks.worker())
        epoch = self._core.begin(position.epoch, position.rows, division, rows, position.drawn)
        if rows is not None:
            self._check_drawn(rank, position.epoch, rows, epoch.drawn)
        self._next = _Position(position.epoch + 1)
        self._place = _Place(position)
        return epoch, self._place

    def _check_ranks(self, rank: Rank) -> None:
        """Makes sure that ranks, and workers, divide the same rows, and once."""
        if not self._agreed and self._made_in_worker:
            raise RuntimeError(
                "seed: workers of a DataLoader need one seed, and each that makes a loader would draw its own: give a "
                "seed, or make the loader before the workers start"
            )
        found = self._explicit is None and not self._sampler.divides
        n_parts = self._sampler.drawing.num_replicas if self._sampler.divides else rank.world_size
        if n_parts > 1:
            # A process that sends a loader to a worker has checked its own callers.
            _ranks.check_undivided(checked=self._sent is not None or not found)
        if rank.world_size > 1 and not self._agreed:
            self._reseed(_ranks.from_first(self._seed))

    def _check_drawn(self, rank: Rank, epoch: int, rows: np.ndarray, drawn: int) -> None:
        """Refuses rows that differ between ranks or workers: some would be repeated, others lost."""
        if rank.world_size == 1 and _ranks.worker().world_size == 1:
            return
        others = _ranks.of_all(drawn, rank)
        if others is None:
            self._sampler.check_repeats(rows, epoch)
        elif differing := [r for r, of_rank in enumerate(others) if of_rank != others[0]]:
            raise RuntimeError(
                f"sampler: ranks 0 and {differing[0]} drew different rows, so that dividing them would lose some: seed "
                "the sampler alike on all ranks"
            )

    def _reseed(self, seed: int) -> None:
        self._seed, self._agreed = seed, True
        self._core = self._core.with_seed(seed)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that begins next, from its first batch on.

        Only a place that `load_state_dict` has just set in this epoch is kept. An epoch that is being
        read goes on.
        """
        epoch = arguments.count("epoch", epoch)
        if epoch >= 2**62:
            raise ValueError(f"epoch: expected less than 2^62, found {epoch}")
        if self._next.epoch != epoch:
            self._next = _Position(epoch)
        self._place = None

    def state_dict(self) -> dict[str, int]:
        """Where the epoch stands after the batches delivered so far: a few integers below 2^63.

        After the last batch, it is the start of the next epoch. In a worker of a `DataLoader`, it is
        the worker's own. The first call reads some obs names, by which a state knows its data.
        """
        position = self._next if self._place is None else self._place.position
        state = {
            "epoch": position.epoch,
            "rows": position.rows,
            "seed": self._seed,
            "fingerprint": self._core.fingerprint(),
        }
        if position.rows and position.drawn is not None:
            state["drawn"] = position.drawn
        if not self._agreed:
            # Each of several ranks may have drawn its own.
            state["agreed"] = 0
        if _ranks.in_worker():
            state["worker"], state["workers"] = _ranks.worker()
        return state

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Lets the next iteration go on where another loader stood.

        It must have the same seed (or `seed=None`, which takes the state's), sampler and shuffle and
        the same data; batch size and number of ranks may differ.

        Raises:
            ValueError: The state is not one, or belongs to something else.
        """
        epoch, rows, seed, fingerprint = (
            _number(state, key) for key in ("epoch", "rows", "seed", "fingerprint")
        )
        drawn = _number(state, "drawn") if state.get("drawn") is not None else None
        self._check_worker(state)
        if self._options["seed"] is None:
            self._reseed(seed)
            self._agreed = bool(state.get("agreed", 1))
        self._core.check_state(seed, fingerprint)
        if self._sampler.drawing is None and rows > self._core.n_rows:
            raise ValueError(
                f"state: expected at most {self._core.n_rows} rows of an epoch, found {rows}"
            )
        self._next, self._place = _Position(epoch, rows, drawn), None

    @staticmethod
    def _check_worker(state: dict[str, int]) -> None:
        if "worker" not in state:
            return
        taken = Rank(_number(state, "worker"), _number(state, "workers"))
        if not _ranks.in_worker() or _ranks.worker() != taken:
            here = (
                "worker {} of {}".format(*_ranks.worker())
                if _ranks.in_worker()
                else "no worker of a DataLoader"
            )
            raise ValueError(
                f"state: it was taken in worker {taken.rank} of {taken.world_size} of a DataLoader, and only that worker "
                f"can go on from it: this is {here}. torchdata's StatefulDataLoader gives each worker its own state"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        sent = None
        if self._explicit is None and not self._sampler.divides:
            # The process that it is sent to may be a worker, which cannot find out.
            try:
                sent = _ranks.find(self._sent)
            except RuntimeError:
                # Reading there will find the rank, or say that there is no telling.
                sent = None
        position = self._next if self._place is None else self._place.position
        if _ranks.is_starting_worker():
            # A worker that is being started reads what this process would read next, as a forked one
            # does; any other copy goes on from here.
            position = self._next
            self._check_ranks(sent or self._explicit or _ranks.ALONE)
        kept = {"sent": sent, "seed": self._seed, "agreed": self._agreed, "next": position}
        return Loader, (self._collection, self._options), kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self._sent, self._next = kept["sent"], kept["next"]
        if self._options["seed"] is None:
            self._reseed(kept["seed"])
            self._agreed, self._made_in_worker = kept["agreed"], False

    def __repr__(self) -> str:
        options = {key: value for key, value in self._options.items() if value is not None}
        try:
            rank = self._rank()
        except (RuntimeError, ValueError):
            rank = None
        if rank is not None and not self._sampler.divides:
            options |= rank._asdict()
        shown = ", ".join(f"{key}={_short(value)}" for key, value in options.items())
        try:
            n_batches = f"{len(self)} batches an epoch"
        except (TypeError, RuntimeError, ValueError):
            n_batches = "batches"
        return f"Loader({shown}): {n_batches} of {self._collection!r}"

    # What follows is what trainers look for: see `_trainer`.

    @property
    def dataset(self) -> EpochRows:
        """The rows of an epoch one by one, for `collate_fn`."""
        return EpochRows(self)

    @property
    def sampler(self) -> Any:
        """The order: its `set_epoch` is the loader's."""
        in_order = (
            self._options["sampler"] is None and arguments.shuffle(self._options["shuffle"]) is None
        )
        return sampler_of(self, in_order)

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self._options["batch_size"]

    @property
    def drop_last(self) -> bool:
        """Whether a last step that is not full is left out."""
        return self._options["drop_last"]

    @property
    def collate_fn(self) -> Callable[..., Batch]:
        """Puts rows of `dataset` together to the loader's batches."""
        return batch_of

    # As of a `DataLoader` without workers. What is missing is taken for something else.
    num_workers = 0
    prefetch_factor = None
    batch_sampler = None
    generator = None
    pin_memory = False


class _Batches:
    """The batches of one epoch, which begins with the first of them."""

    def __init__(self, loader: Loader):
        self._loader = loader
        self._epoch: _core.Epoch | None = None
        self._place: _Place | None = None

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> Batch:
        if self._epoch is None or self._place is None:
            self._epoch, self._place = self._loader._begin()
        try:
            batch = next(self._epoch)
        finally:
            self._place.position = _Position(*self._epoch.position(), self._epoch.drawn)
        return finish(batch, self._loader._as_torch)

    def __len__(self) -> int:
        """Batches to come."""
        if self._epoch is None:
            return self._loader._n_batches(self._loader._next, _ranks.worker())
        return len(self._epoch)


def _number(state: dict[str, int], key: str) -> int:
    try:
        value = state[key]
    except (KeyError, TypeError):
        raise ValueError(
            f"state: expected a number {key!r}, found none: is it a state of a loader?"
        ) from None
    return arguments.count(f"state[{key!r}]", value)


def _short(value: Any) -> str:
    return repr(value) if isinstance(value, (bool, int, float, str)) else type(value).__name__
