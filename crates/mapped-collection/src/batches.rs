//! Epochs of batches: options, iteration, and going on where one stopped.

use std::sync::Arc;
use std::time::Duration;

use anndata_io::DType;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, BatchFormat, Output};
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::job::Job;
use crate::order::{Order, Sampler, Shuffle};
use crate::prefetch::Pipeline;
use crate::recycle::Recycler;
use crate::schedule::Schedule;

/// What epochs of batches are like.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    batch_size: usize,
    drop_last: bool,
    shuffle: Shuffle,
    sampler: Sampler,
    seed: u64,
    format: BatchFormat,
    workers: usize,
    memory: usize,
    rank: usize,
    world_size: usize,
}

impl BatchOptions {
    /// Batches of `batch_size` rows, each row once in file order, dense; the last may be smaller.
    /// Two threads read ahead within 1 GiB.
    pub fn new(batch_size: usize) -> Self {
        BatchOptions {
            batch_size,
            drop_last: false,
            shuffle: Shuffle::None,
            sampler: Sampler::All,
            seed: 0,
            format: BatchFormat::default(),
            workers: 2,
            memory: 1 << 30,
            rank: 0,
            world_size: 1,
        }
    }

    /// Leaves out a last step that is not full.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// How rows are mixed. By default, not at all.
    pub fn shuffle(mut self, shuffle: Shuffle) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Which rows there are. By default, each once.
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        self.sampler = sampler;
        self
    }

    /// Fixes the order of a shuffle and the draws of a sampler. By default, 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The layout of matrices. By default, dense.
    pub fn output(mut self, output: Output) -> Self {
        self.format.output = output;
        self
    }

    /// The code of a missing label. By default, -100.
    pub fn missing_code(mut self, code: i64) -> Self {
        self.format.missing_code = code;
        self
    }

    /// Element type of all matrices. By default, the collection's.
    pub fn dtype(mut self, dtype: impl Into<Option<DType>>) -> Self {
        self.format.dtype = dtype.into();
        self
    }

    /// Threads that read and decode while the caller works. 0: the caller does it. By default, 2.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Bytes for everything at once: rows that wait for their batches, finished batches, and the
    /// collection's cache of chunks. More memory means fewer decodes of an exact shuffle of
    /// compressed files; it never changes the order. By default, 1 GiB.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// The part of this process when `world_size` of them train together: step `s` is rows
    /// `[s * world_size * batch_size, (s + 1) * world_size * batch_size)` of the order, and rank
    /// `r` takes the r-th `batch_size` of them. A last step that is not full is completed from
    /// the start of the order, unless it is [dropped](Self::drop_last).
    pub fn rank(mut self, rank: usize, world_size: usize) -> Self {
        (self.rank, self.world_size) = (rank, world_size);
        self
    }
}

const MOST_WORKERS: usize = 1024;

/// Epochs of batches of one collection.
#[derive(Debug, Clone)]
pub struct Batches {
    collection: MappedCollection,
    options: BatchOptions,
    fingerprint: u64,
    /// Buffers outlive an epoch: the next one finds them warm.
    recycler: Arc<Recycler>,
}

/// Where an epoch stands: enough to go on at the next batch, in another process and with another
/// batch size or number of ranks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderState {
    /// The epoch.
    pub epoch: u64,
    /// Rows of the order that all ranks together have had.
    pub rows: u64,
    /// The seed of the order.
    pub seed: u64,
    /// What the order was made of: the stores' sizes, the sampler, the shuffle.
    pub fingerprint: u64,
}

fn option(option: &'static str, expected: impl Into<String>, found: impl ToString) -> Error {
    Error::Option {
        option,
        expected: expected.into(),
        found: found.to_string(),
    }
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
        let n_obs = self.n_obs();
        let BatchOptions {
            batch_size,
            rank,
            world_size,
            ..
        } = options;
        if batch_size == 0 {
            return Err(option("batch_size", "at least 1", 0));
        }
        if rank >= world_size {
            return Err(option(
                "rank",
                format!("less than the world size, {world_size}"),
                rank,
            ));
        }
        if matches!(options.shuffle, Shuffle::Blocks { rows: 0 }) {
            return Err(option("shuffle", "blocks of at least 1 row", 0));
        }
        if u32::try_from(n_obs).is_err() {
            return Err(option("batches", "less than 2^32 rows", n_obs));
        }
        if batch_size
            .checked_mul(world_size)
            .is_none_or(|rows| rows > u32::MAX as usize)
        {
            return Err(option(
                "batch_size",
                "less than 2^32 rows a step",
                batch_size,
            ));
        }
        if options.workers > MOST_WORKERS {
            return Err(option(
                "workers",
                format!("at most {MOST_WORKERS}"),
                options.workers,
            ));
        }
        options.sampler.check(n_obs)?;
        let with_rows: Vec<usize> = (0..self.n_stores())
            .filter(|&store| self.plan().stores[store].rows.len() > 0)
            .collect();
        for number in 0..self.plan().matrices.len() {
            self.plan().common_row_shape(number, &with_rows)?;
        }
        let fingerprint = fingerprint(self, &options);
        let batches = Batches {
            collection: self.clone(),
            options,
            fingerprint,
            recycler: Arc::new(Recycler::new(0)),
        };
        // The order of a real epoch may be long to make; file order is as good for this check.
        let job = batches.job(Order::InOrder(n_obs), 0)?;
        // Spare buffers share the room of rows that wait: what is finished has its own.
        batches.recycler.set_limit(job.window_bytes);
        Ok(batches)
    }
}

/// FNV-1a over what the order of an epoch depends on, besides the seed.
fn fingerprint(collection: &MappedCollection, options: &BatchOptions) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |word: u64| {
        for byte in word.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for (n_obs, n_vars) in collection.original_shapes() {
        add(n_obs as u64);
        add(n_vars as u64);
    }
    match options.shuffle {
        Shuffle::None => add(0),
        Shuffle::Exact => add(1),
        Shuffle::Blocks { rows } => {
            add(2);
            add(rows as u64);
        }
    }
    match &options.sampler {
        Sampler::All => add(0),
        Sampler::Rows(rows) => {
            add(1);
            rows.iter().for_each(|&row| add(row.into()));
        }
        Sampler::Weighted {
            weights,
            n_samples,
            replacement,
        } => {
            add(2 + u64::from(*replacement));
            add(n_samples.map_or(u64::MAX, |n| n as u64));
            weights.iter().for_each(|weight| add(weight.to_bits()));
        }
    }
    hash
}

impl Sampler {
    fn check(&self, n_obs: usize) -> Result<(), Error> {
        match self {
            Sampler::All => Ok(()),
            Sampler::Rows(rows) => match rows.iter().find(|&&row| row as usize >= n_obs) {
                Some(&row) => Err(Error::OutOfBounds {
                    index: row.into(),
                    n_obs,
                }),
                None if u32::try_from(rows.len()).is_err() => {
                    Err(option("sampler", "less than 2^32 rows", rows.len()))
                }
                None => Ok(()),
            },
            Sampler::Weighted {
                weights, n_samples, ..
            } => {
                if weights.len() != n_obs {
                    let found = format!("{} for {n_obs} rows", weights.len());
                    return Err(option("sampler", "one weight a row", found));
                }
                if let Some(bad) = weights
                    .iter()
                    .find(|weight| !weight.is_finite() || **weight < 0.0)
                {
                    return Err(option(
                        "sampler",
                        "weights that are finite and not negative",
                        bad,
                    ));
                }
                if n_samples.is_some_and(|n| u32::try_from(n).is_err()) {
                    return Err(option("sampler", "less than 2^32 draws", "more"));
                }
                if !weights.iter().sum::<f64>().is_finite() {
                    return Err(option("sampler", "weights whose sum is finite", "infinity"));
                }
                if n_obs == 0 && n_samples.is_some_and(|n| n > 0) {
                    return Err(option("sampler", "rows to draw from", "none"));
                }
                if n_obs > 0 && !weights.iter().any(|&weight| weight > 0.0) {
                    return Err(option("sampler", "a positive weight", "none"));
                }
                Ok(())
            }
        }
    }
}

impl Batches {
    fn schedule(&self, order: Order, start: usize) -> Schedule {
        let BatchOptions {
            batch_size,
            drop_last,
            rank,
            world_size,
            ..
        } = self.options;
        Schedule {
            order,
            start,
            batch_size,
            drop_last,
            rank,
            world_size,
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
        let n_rows = self.options.sampler.n_rows(self.collection.n_obs());
        self.schedule(Order::InOrder(n_rows), 0).n_batches()
    }

    /// Where an epoch stands before its first batch.
    pub fn start_of(&self, epoch: u64) -> LoaderState {
        LoaderState {
            epoch,
            rows: 0,
            seed: self.options.seed,
            fingerprint: self.fingerprint,
        }
    }

    /// An epoch from its first batch on. The order of its rows is a function of the collection,
    /// the sampler, the shuffle, the seed and the epoch's number alone.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.start(epoch, 0)
    }

    /// Goes on with the epoch of a state, at its next batch.
    ///
    /// # Errors
    /// When the state belongs to another collection, seed, sampler or shuffle.
    pub fn resume(&self, state: &LoaderState) -> Result<Epoch, Error> {
        let mismatch = |what, expected: u64, found: u64| {
            Err(Error::State {
                what,
                expected: expected.to_string(),
                found: found.to_string(),
            })
        };
        if state.seed != self.options.seed {
            return mismatch("its seed", self.options.seed, state.seed);
        }
        if state.fingerprint != self.fingerprint {
            let what = "the fingerprint of its collection and options";
            return mismatch(what, self.fingerprint, state.fingerprint);
        }
        Ok(self.start(
            state.epoch,
            usize::try_from(state.rows).unwrap_or(usize::MAX),
        ))
    }

    fn start(&self, epoch: u64, start: usize) -> Epoch {
        let BatchOptions {
            sampler,
            shuffle,
            seed,
            ..
        } = &self.options;
        let order = Order::new(self.collection.n_obs(), sampler, *shuffle, *seed, epoch);
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
    /// delivered so far.
    pub fn state(&self) -> LoaderState {
        let rows = self.job.as_ref().map_or(self.start, |job| {
            (job.schedule.start + self.next * job.schedule.step_rows())
                .min(job.schedule.order.len())
        });
        LoaderState {
            epoch: self.epoch,
            rows: rows as u64,
            seed: self.batches.options.seed,
            fingerprint: self.batches.fingerprint,
        }
    }
}

impl Epoch {
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
