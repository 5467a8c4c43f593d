//! One epoch: an iterator of batches.

use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::error::Error;
use crate::loader::Loader;
use crate::loader::job::Job;
use crate::loader::paired::PairedBatches;
use crate::loader::state::{LoaderState, of_drawn};
use crate::order::schedule::Part;

/// An epoch: an iterator of batches. After an error it continues with the next batch. Dropping it
/// stops all work at once.
#[derive(Debug)]
#[must_use = "an epoch reads nothing before its first batch is asked for"]
pub struct Epoch {
    loader: Loader,
    epoch: u64,
    start: usize,
    job: Result<Arc<Job>, Error>,
    next: usize,
    /// The number of batches up to the last delivered one. A failed batch after it does not count.
    had: usize,
    batches: Option<PairedBatches>,
}

impl Epoch {
    pub(crate) fn new(
        loader: Loader,
        epoch: u64,
        start: usize,
        job: Result<Arc<Job>, Error>,
    ) -> Epoch {
        Epoch {
            loader,
            epoch,
            start,
            job,
            next: 0,
            had: 0,
            batches: None,
        }
    }

    /// The number of batches of this epoch, including those delivered.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let mut epoch = cells.loader(LoaderOptions::new(2))?.epoch(0);
    /// epoch.next().expect("a batch")?;
    /// assert_eq!((epoch.n_batches(), epoch.len()), (3, 2)); // `len` counts those still to come
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn n_batches(&self) -> usize {
        self.job.as_ref().map_or(1, |job| job.schedule.n_batches())
    }

    /// Where the epoch stands. [`Loader::resume`] takes this state and continues after the batches
    /// delivered so far. It reads a failed batch again, unless a later one was delivered. After the
    /// last batch, the state is the start of the next epoch. If there are several
    /// [readers](crate::LoaderOptions::reader), it stays at the end, because others may still read.
    ///
    /// # Errors
    /// When the obs names that go into its fingerprint cannot be read.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// let mut epoch = loader.epoch(0);
    /// epoch.next().expect("a batch")?;
    /// let state = epoch.state()?;
    /// assert_eq!((state.epoch, state.rows), (0, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state(&self) -> Result<LoaderState, Error> {
        let (epoch, rows) = self.position();
        self.loader.state(epoch, rows)
    }

    /// The number of the epoch and the number of delivered rows of its order, as in
    /// [`state`](Self::state).
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let mut epoch = cells.loader(LoaderOptions::new(4))?.epoch(0);
    /// epoch.next().expect("a batch")?;
    /// assert_eq!(epoch.position(), (0, 4));
    /// epoch.next().expect("the last batch")?;
    /// assert_eq!(epoch.position(), (1, 0)); // the next epoch begins
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Sampler};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = LoaderOptions::new(1).sampler(Sampler::Drawn([4, 1].into()));
    /// assert!(cells.loader(options)?.epoch(0).drawn().is_some());
    /// assert!(cells.loader(LoaderOptions::new(1))?.epoch(0).drawn().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drawn(&self) -> Option<u64> {
        of_drawn(&self.loader.options().sampler)
    }

    /// Waits until [`next`](Iterator::next) has an answer, for at most `timeout`. Returns whether
    /// it has. This is for callers that must check for something, such as a signal, from time to
    /// time. Without [workers](crate::LoaderOptions::workers), the caller does the work meanwhile,
    /// at least one step of it. A step reads, for example, adjacent rows of one store.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// use std::time::Duration;
    ///
    /// let mut epoch = cells.loader(LoaderOptions::new(2))?.epoch(0);
    /// while !epoch.wait(Duration::from_millis(100)) {
    ///     // Look for a signal here.
    /// }
    /// assert_eq!(epoch.next().expect("a batch")?.n_obs(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&mut self, timeout: Duration) -> bool {
        match self.batches() {
            Ok(Some(batches)) => batches.wait(timeout),
            Ok(None) | Err(_) => true,
        }
    }

    /// The batches being prepared; `None` at the end.
    fn batches(&mut self) -> Result<Option<&mut PairedBatches>, Error> {
        if self.next >= self.n_batches() {
            self.batches = None;
            return Ok(None);
        }
        let job = self.job.as_ref().map_err(Error::clone)?;
        // After a fork, the parent's threads are not in this process: begin again.
        let mine = self.batches.take().filter(PairedBatches::is_mine);
        let start = || PairedBatches::start(job, self.next);
        Ok(Some(self.batches.insert(mine.unwrap_or_else(start))))
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.batches() {
            Ok(batches) => batches?.next().map_err(Error::from),
            Err(error) => Err(error),
        };
        self.next += 1;
        if batch.is_ok() {
            self.had = self.next;
        }
        if self.next == self.n_batches() {
            self.loader.flush_cache();
        }
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = self.n_batches().saturating_sub(self.next);
        (rest, Some(rest))
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        // Its threads end first.
        self.batches = None;
        self.loader.flush_cache();
    }
}

impl ExactSizeIterator for Epoch {}

/// No batch follows the last one.
impl FusedIterator for Epoch {}
