//! Epochs of batches: iteration, and going on where one stopped.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::batch_options::BatchOptions;
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::job::Job;
use crate::order::Order;
use crate::prefetch::Pipeline;
use crate::recycle::Recycler;
use crate::schedule::Schedule;
use crate::state::{LoaderState, fingerprint, of_drawn};

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
    /// matrix keys or widths, so that not all of its rows can share a batch, or one batch does
    /// not fit in the memory allowed.
    pub fn batches(&self, options: BatchOptions) -> Result<Batches, Error> {
        self.check_open()?;
        let with_rows: Vec<usize> = (0..self.n_stores())
            .filter(|&store| self.plan().stores[store].rows.len() > 0)
            .collect();
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

    fn schedule(&self, order: Order, start: usize) -> Schedule {
        Schedule {
            order,
            start,
            batch_size: self.options.batch_size,
            drop_last: self.options.drop_last,
            pad: self.options.pad,
            rank: self.options.rank,
            worker: self.options.reader,
        }
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
            self.schedule(order, start),
            format,
            workers,
            memory,
            &self.recycler,
        )
    }

    /// Batches of a whole epoch.
    pub fn n_batches(&self) -> usize {
        self.n_batches_of(self.options.sampler.n_rows(self.collection.n_obs()))
    }

    /// Batches of an epoch of `n_rows` rows: for samplers that [draw](crate::Sampler::Drawn) them
    /// later.
    pub fn n_batches_of(&self, n_rows: usize) -> usize {
        self.schedule(Order::InOrder(n_rows), 0).n_batches()
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
        if state.rows > 0 && state.drawn != of_drawn(&self.options.sampler) {
            return Err(Error::Redrawn { epoch: state.epoch });
        }
        let n_rows = self.options.sampler.n_rows(self.collection.n_obs());
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
            let what = "the fingerprint of its data, sampler and shuffle";
            return mismatch(what, own.fingerprint, state.fingerprint);
        }
        Ok(())
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
    pipeline: Option<Pipeline>,
}

impl Epoch {
    /// Batches of this epoch, those delivered included.
    pub fn n_batches(&self) -> usize {
        self.job.as_ref().map_or(1, |job| job.schedule.n_batches())
    }

    /// Where the epoch stands: what [`Batches::resume`] takes to go on after the batches
    /// delivered so far. After the last batch, it is the start of the next epoch.
    ///
    /// # Errors
    /// When the obs names that go into its fingerprint cannot be read.
    pub fn state(&self) -> Result<LoaderState, Error> {
        let (epoch, rows) = self.position();
        self.batches.state(epoch, rows)
    }

    /// The number of the epoch, and the rows of its order that all ranks together have had; after
    /// the last batch, the next epoch and 0.
    pub fn position(&self) -> (u64, usize) {
        match &self.job {
            Ok(job) if self.next >= job.schedule.n_batches() => (self.epoch.saturating_add(1), 0),
            Ok(job) => {
                let had = self.next * job.schedule.step_rows();
                (self.epoch, (self.start + had).min(job.schedule.order.len()))
            }
            Err(_) => (self.epoch, self.start),
        }
    }

    /// Waits until [`next`](Iterator::next) has an answer, at most `timeout`; gives whether it
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
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = self.n_batches().saturating_sub(self.next);
        (rest, Some(rest))
    }
}

impl ExactSizeIterator for Epoch {}
