//! Epochs of batches: iteration, and going on where one stopped.

pub(crate) mod bands;
pub(crate) mod job;
pub(crate) mod lanes;
pub(crate) mod options;
pub(crate) mod prefetch;
pub(crate) mod state;
pub(crate) mod window;

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::batch::pool::Recycler;
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::loader::job::Job;
use crate::loader::options::BatchOptions;
use crate::loader::prefetch::Pipeline;
use crate::loader::state::{LoaderState, fingerprint, of_drawn};
use crate::order::Order;
use crate::order::schedule::Part;

/// Epochs of batches of one collection.
#[derive(Debug, Clone)]
pub struct Batches {
    collection: MappedCollection,
    options: BatchOptions,
    /// Buffers outlive an epoch: the next one finds them warm.
    recycler: Arc<Recycler>,
}

impl MappedCollection {
    /// Prepares epochs of batches. Nothing is read, and no thread started, before the first
    /// batch is asked for.
    ///
    /// # Errors
    /// When an option makes no sense, the collection has 2^32 rows or more, its stores differ in
    /// matrix keys or widths, so that not all of its rows can share a batch, two entries of a
    /// batch would have one name, or one batch does not fit in the memory allowed.
    pub fn batches(&self, options: BatchOptions) -> Result<Batches, Error> {
        self.check_open()?;
        self.plan().check_batch_names()?;
        let with_rows = self.plan().stores_with_rows();
        for number in 0..self.plan().matrices.len() {
            self.plan().common_row_shape(number, &with_rows)?;
        }
        let recycler = Arc::new(Recycler::new(0));
        Batches::new(self, options, recycler)
    }
}

impl Batches {
    fn new(
        collection: &MappedCollection,
        options: BatchOptions,
        recycler: Arc<Recycler>,
    ) -> Result<Batches, Error> {
        options.check(collection)?;
        let batches = Batches {
            collection: collection.clone(),
            options,
            recycler,
        };
        // The order of a real epoch may be long to make; file order is as good for this check.
        let job = batches.job(Order::InOrder(collection.n_obs()), 0)?;
        // Spare buffers share the room of rows that wait: what is finished has its own.
        batches.recycler.set_limit(job.window_bytes);
        Ok(batches)
    }

    /// The same batches with some options changed: for a rank that becomes known later, say, or
    /// for rows that a sampler [draws](crate::Sampler::Drawn) for one epoch. Both share their
    /// spare memory.
    ///
    /// # Errors
    /// As [`MappedCollection::batches`].
    pub fn with(
        &self,
        change: impl FnOnce(BatchOptions) -> BatchOptions,
    ) -> Result<Batches, Error> {
        self.collection.check_open()?;
        let options = change(self.options.clone());
        Batches::new(&self.collection, options, self.recycler.clone())
    }

    fn job(&self, order: Order, start: usize) -> Result<Job, Error> {
        let BatchOptions {
            format,
            workers,
            memory,
            ..
        } = self.options;
        Job::new(
            &self.collection,
            self.options.schedule(order, start),
            format,
            workers,
            memory,
            &self.recycler,
        )
    }

    /// The options that they were made with.
    pub fn options(&self) -> &BatchOptions {
        &self.options
    }

    /// Batches of a whole epoch.
    pub fn n_batches(&self) -> usize {
        self.options.n_batches(self.n_rows(), 0)
    }

    /// Rows of a whole epoch, of all ranks; 0 for a sampler that [draws](crate::Sampler::Drawn)
    /// them later.
    pub fn n_rows(&self) -> usize {
        self.options.sampler.n_rows(self.collection.n_obs())
    }

    /// Where an epoch stands before its first batch. The first call reads some obs names, which
    /// become part of the state's fingerprint.
    ///
    /// # Errors
    /// When obs names cannot be read.
    pub fn start_of(&self, epoch: u64) -> Result<LoaderState, Error> {
        self.state(epoch, 0)
    }

    fn state(&self, epoch: u64, rows: usize) -> Result<LoaderState, Error> {
        let drawn = of_drawn(&self.options.sampler).filter(|_| rows > 0);
        Ok(LoaderState {
            epoch,
            rows: rows as u64,
            seed: self.options.seed,
            fingerprint: fingerprint(self.collection.fingerprint()?, &self.options),
            drawn,
        })
    }

    /// An epoch from its first batch on. The order of its rows is a function of the collection,
    /// the sampler, the shuffle, the seed and the epoch's number alone.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.begin(epoch, 0)
    }

    /// Goes on with the epoch of a state, at its next batch.
    ///
    /// # Errors
    /// When the state belongs to another collection, seed, sampler or shuffle, or to other rows
    /// that a sampler drew; when obs names cannot be read.
    pub fn resume(&self, state: &LoaderState) -> Result<Epoch, Error> {
        self.check_state(state)?;
        if state.rows > 0 {
            self.check_drawn(state.epoch, state.drawn)?;
        }
        let n_rows = self.n_rows();
        match usize::try_from(state.rows) {
            Ok(rows) if rows <= n_rows => Ok(self.begin(state.epoch, rows)),
            _ => Err(Error::State {
                what: "the number of its rows",
                expected: format!("at most {n_rows}"),
                found: state.rows.to_string(),
            }),
        }
    }

    /// Whether a state belongs to this collection and these options; not whether its sampler
    /// draws the same rows again.
    ///
    /// # Errors
    /// When it does not, and when obs names cannot be read.
    pub fn check_state(&self, state: &LoaderState) -> Result<(), Error> {
        let mismatch = |what, expected: u64, found: u64| {
            Err(Error::State {
                what,
                expected: expected.to_string(),
                found: found.to_string(),
            })
        };
        let own = self.state(state.epoch, 0)?;
        if state.seed != own.seed {
            return mismatch("its seed", own.seed, state.seed);
        }
        if state.fingerprint != own.fingerprint {
            let what = "the fingerprint of its data, sampler and shuffle (open the same files in the same \
                        order, with the same filter, sampler and shuffle)";
            return mismatch(what, own.fingerprint, state.fingerprint);
        }
        Ok(())
    }

    /// Whether the rows that a sampler drew for an epoch are those of a state in its middle.
    ///
    /// # Errors
    /// When they are others.
    pub fn check_drawn(&self, epoch: u64, drawn: Option<u64>) -> Result<(), Error> {
        if drawn == of_drawn(&self.options.sampler) {
            Ok(())
        } else {
            Err(Error::Redrawn { epoch })
        }
    }

    /// The rest of an epoch after the first `rows` rows of its order, as [`Epoch::position`] has
    /// them: for states that were checked already.
    pub fn begin(&self, epoch: u64, rows: usize) -> Epoch {
        let BatchOptions {
            sampler,
            shuffle,
            seed,
            ..
        } = &self.options;
        let order = Order::new(self.collection.n_obs(), sampler, *shuffle, *seed, epoch);
        let start = rows.min(order.len());
        let job = self.job(order, start).map(Arc::new);
        Epoch {
            batches: self.clone(),
            epoch,
            start,
            job,
            next: 0,
            had: 0,
            pipeline: None,
        }
    }
}

/// An epoch: an iterator of batches. After an error it goes on with the next batch; dropping it
/// stops everything at once.
#[derive(Debug)]
pub struct Epoch {
    batches: Batches,
    epoch: u64,
    start: usize,
    job: Result<Arc<Job>, Error>,
    next: usize,
    /// Batches up to the last one that was delivered; one that failed after it is none of them.
    had: usize,
    pipeline: Option<Pipeline>,
}

impl Epoch {
    /// Batches of this epoch, those delivered included.
    pub fn n_batches(&self) -> usize {
        self.job.as_ref().map_or(1, |job| job.schedule.n_batches())
    }

    /// Where the epoch stands: what [`Batches::resume`] takes to go on after the batches
    /// delivered so far; one that failed is read again, unless a later one was delivered. After
    /// the last batch, it is the start of the next epoch; but one of
    /// several [readers](BatchOptions::reader) stays at the end, while others may still read.
    ///
    /// # Errors
    /// When the obs names that go into its fingerprint cannot be read.
    pub fn state(&self) -> Result<LoaderState, Error> {
        let (epoch, rows) = self.position();
        self.batches.state(epoch, rows)
    }

    /// The number of the epoch and the rows of its order that were had, as [`state`](Self::state)
    /// has them.
    pub fn position(&self) -> (u64, usize) {
        let Ok(job) = &self.job else {
            return (self.epoch, self.start);
        };
        let schedule = &job.schedule;
        let len = schedule.order.len();
        if self.had < schedule.n_batches() {
            let had = self.start + self.had * schedule.step_rows();
            (self.epoch, had.min(len))
        } else if schedule.reader == Part::WHOLE {
            (self.epoch.saturating_add(1), 0)
        } else {
            (self.epoch, len)
        }
    }

    /// A hash of the rows of this epoch if a sampler [drew](crate::Sampler::Drawn) them.
    pub fn drawn(&self) -> Option<u64> {
        of_drawn(&self.batches.options.sampler)
    }

    /// Waits until [`next`](Iterator::next) has an answer, at most `timeout`; returns whether it
    /// has. For callers that have to look up from time to time, for signals say. Without
    /// [workers](BatchOptions::workers), the caller does the work meanwhile, at least one step of
    /// it: rows of one store that lie together are read, say.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        match self.pipeline() {
            Ok(Some(pipeline)) => pipeline.wait(timeout),
            Ok(None) | Err(_) => true,
        }
    }

    /// The batches being prepared; `None` at the end.
    fn pipeline(&mut self) -> Result<Option<&mut Pipeline>, Error> {
        if self.next >= self.n_batches() {
            self.pipeline = None;
            return Ok(None);
        }
        let job = self.job.as_ref().map_err(Error::clone)?;
        // After a fork, the parent's threads are not here: begin anew.
        let mine = self.pipeline.take().filter(Pipeline::is_mine);
        let start = || Pipeline::start(Job::clone(job), self.next);
        Ok(Some(self.pipeline.insert(mine.unwrap_or_else(start))))
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.pipeline() {
            Ok(pipeline) => pipeline?.next(),
            Err(error) => Err(error),
        };
        self.next += 1;
        if batch.is_ok() {
            self.had = self.next;
        }
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = self.n_batches().saturating_sub(self.next);
        (rest, Some(rest))
    }
}

impl ExactSizeIterator for Epoch {}
