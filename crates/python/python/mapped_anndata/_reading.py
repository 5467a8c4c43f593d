"""What a loader reads: its rows, the part of them for this process, and the place to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _arguments as arguments
from . import _core, _ranks
from ._epoch import Place, Position
from ._matched import Matched
from ._options import LoaderOptions
from ._ranks import Rank
from ._sampler import CoreSampler

if TYPE_CHECKING:
    from ._collection import MappedCollection


class Reading:
    """The part of a loader that finds its rank, checks it against others, and begins epochs."""

    def __init__(self, collection: MappedCollection, options: LoaderOptions) -> None:
        self._collection = collection
        self._options = options
        self._as_torch = arguments.flag("as_torch", options.as_torch)
        paths = collection._options.path_list
        self._sampler = CoreSampler.of(options.sampler, len(collection), paths)
        self._pad = arguments.flag("pad", options.pad)
        self._explicit = self._explicit_rank(options.rank, options.world_size)
        self._sent: Rank | None = None
        seed = options.seed
        # The largest numbers of a state fit in 63 bits.
        self._seed = _ranks.random_seed() if seed is None else arguments.count("seed", seed)
        self._agreed = seed is not None
        # Each worker that makes a loader would draw its own seed.
        self._made_in_worker = _ranks.worker().world_size > 1
        self._core = self._open(options)
        self._next = Position(0)
        self._place: Place | None = None

    def _explicit_rank(self, rank: int | None, world_size: int | None) -> Rank | None:
        if rank is None and world_size is None:
            return None
        if rank is None or world_size is None:
            raise ValueError("rank and world_size: expected both or neither")
        if self._sampler.n_replicas is not None:
            raise ValueError(
                "rank and world_size: the sampler divides the rows among ranks itself "
                "(num_replicas): leave them out"
            )
        return Rank(arguments.count("rank", rank), arguments.count("world_size", world_size))

    def _open(self, options: LoaderOptions) -> _core.Loader:
        matched = None
        if options.matched is not None:
            matched = arguments.instance("matched", options.matched, Matched)._to_core()
        return _core.Loader(
            self._collection._core,
            arguments.count("batch_size", options.batch_size, 1),
            arguments.shuffle(options.shuffle),
            self._sampler.to_core(),
            matched,
            self._seed,
            arguments.flag("drop_last", options.drop_last),
            self._pad,
            self._collection._batch_format(
                options.output, options.tokens, options.dtype, options.missing_code
            ),
            arguments.count("workers", options.workers),
            arguments.n_bytes("memory", options.memory),
            (*(self._explicit or _ranks.ALONE), *_ranks.ALONE),
        )

    def _rank(self) -> Rank | None:
        """Returns the rank of this process; None if nothing says that there are others."""
        if self._sampler.n_replicas is not None:
            return _ranks.ALONE
        return self._explicit or _ranks.find(self._sent)

    def _world_size(self) -> int:
        if self._sampler.n_replicas is not None:
            return 1
        return self._explicit.world_size if self._explicit else _ranks.world_size(self._sent)

    @property
    def n_rows(self) -> int:
        """The number of rows of a whole epoch, of all ranks together.

        Raises
        ------
        TypeError
            The sampler does not know how many rows it draws.

        Examples
        --------
        >>> from mapped_anndata import MappedCollection
        >>> cells = MappedCollection(["demo/a.h5ad", "demo/b.h5ad"])
        >>> cells.loader(512).n_rows
        1800
        >>> cells.loader(512, sampler=[5, 7, 5]).n_rows
        3
        """
        if self._sampler.drawing is None:
            return self._core.n_rows
        if (n_rows := self._sampler.n_rows()) is None:
            name = type(self._sampler.drawing).__name__
            raise TypeError(f"sampler: {name} has no length, so the loader has none")
        return n_rows

    def _n_batches(self, position: Position, reader: Rank) -> int:
        # Only without padding do ranks differ in their number of batches.
        rank = Rank(0, self._world_size()) if self._pad else self._rank() or _ranks.ALONE
        return self._core.n_batches((*rank, *reader), self.n_rows, position.rows)

    def _begin(self) -> tuple[_core.Epoch, Place]:
        """Begins the next epoch, or continues one."""
        rank = self._rank() or _ranks.ALONE
        self._check_ranks(rank)
        position, rows = self._next, None
        if self._sampler.drawing is not None:
            rows = self._sampler.draw(position.epoch, len(self._collection))
        division = (*rank, *_ranks.worker())
        epoch = self._core.begin(position.epoch, position.rows, division, rows, position.drawn)
        if rows is not None:
            self._check_drawn(rank, position.epoch, rows, epoch.drawn)
        self._next = Position(position.epoch + 1)
        self._place = Place(position)
        return epoch, self._place

    def _check_ranks(self, rank: Rank) -> None:
        """Checks that ranks and workers divide the same rows, and only once."""
        if not self._agreed and self._made_in_worker:
            raise RuntimeError(
                "seed: workers of a DataLoader need one seed, and each that makes a loader would "
                "draw its own: give a seed, or make the loader before the workers start"
            )
        n_replicas = self._sampler.n_replicas
        found = self._explicit is None and n_replicas is None
        n_parts = rank.world_size if n_replicas is None else n_replicas
        if n_parts > 1:
            # A process that sends a loader to a worker has checked its own callers.
            _ranks.check_undivided(checked=self._sent is not None or not found)
        if rank.world_size > 1 and not self._agreed:
            self._reseed(_ranks.from_first(self._seed))

    def _check_drawn(
        self, rank: Rank, epoch: int, rows: npt.NDArray[np.uint32], drawn: int | None
    ) -> None:
        """Refuses rows that differ between ranks or workers: some would be lost."""
        if rank.world_size == 1 and _ranks.worker().world_size == 1:
            return
        others = _ranks.of_all(drawn, rank)
        if others is None:
            self._sampler.check_repeats(rows, epoch, len(self._collection))
        elif differing := [r for r, of_rank in enumerate(others) if of_rank != others[0]]:
            raise RuntimeError(
                f"sampler: ranks 0 and {differing[0]} drew different rows, so that dividing them "
                "would lose some: seed the sampler alike on all ranks"
            )

    def _reseed(self, seed: int) -> None:
        self._seed, self._agreed = seed, True
        self._core = self._core.with_seed(seed)

    def _position(self) -> Position:
        """Returns the place of the running epoch; without one, the start of the next."""
        return self._next if self._place is None else self._place.position

    def __reduce__(self) -> tuple[Any, ...]:
        sent = None
        if self._explicit is None and self._sampler.n_replicas is None:
            # The receiving process may be a worker, which cannot find the rank.
            try:
                sent = _ranks.find(self._sent)
            except RuntimeError:
                # Reading there will find the rank, or raise an error if it cannot.
                sent = None
        position = self._position()
        if _ranks.is_starting_worker():
            # A worker that is being started reads what this process would read next, as a forked
            # one does; any other copy goes on from here.
            position = self._next
            self._check_ranks(sent or self._explicit or _ranks.ALONE)
        kept = {"sent": sent, "seed": self._seed, "agreed": self._agreed, "next": position}
        return type(self), (self._collection, self._options), kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self._sent, self._next = kept["sent"], kept["next"]
        if self._options.seed is None:
            self._reseed(kept["seed"])
            self._agreed, self._made_in_worker = kept["agreed"], False
