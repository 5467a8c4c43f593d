//! One epoch: an iterator of batches.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::error::Error;
use crate::loader::Loader;
use crate::loader::job::Job;
use crate::loader::prefetch::Prefetcher;
use crate::loader::state::{LoaderState, of_drawn};
use crate::order::schedule::Part;

/// An epoch: an iterator of batches. After an error it goes on with the next batch; dropping it
/// stops everything at once.
#[derive(Debug)]
pub struct Epoch {
    loader: Loader,
    epoch: u64,
    start: usize,
    job: Result<Arc<Job>, Error>,
    next: usize,
    /// Batches up to the last one that was delivered; one that failed after it is none of them.
    had: usize,
    prefetcher: Option<Prefetcher>,
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
            prefetcher: None,
        }
    }

    /// Batches of this epoch, those delivered included.
    pub fn n_batches(&self) -> usize {
        self.job.as_ref().map_or(1, |job| job.schedule.n_batches())
    }

    /// Where the epoch stands: what [`Loader::resume`] takes to go on after the batches
    /// delivered so far; one that failed is read again, unless a later one was delivered. After
    /// the last batch, it is the start of the next epoch; but one of
    /// several [readers](LoaderOptions::reader) stays at the end, while others may still read.
    ///
    /// # Errors
    /// When the obs names that go into its fingerprint cannot be read.
    pub fn state(&self) -> Result<LoaderState, Error> {
        let (epoch, rows) = self.position();
        self.loader.state(epoch, rows)
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
        of_drawn(&self.loader.options().sampler)
    }

    /// Waits until [`next`](Iterator::next) has an answer, at most `timeout`; returns whether it
    /// has. For callers that have to look up from time to time, for signals say. Without
    /// [workers](LoaderOptions::workers), the caller does the work meanwhile, at least one step of
    /// it: rows of one store that lie together are read, say.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        match self.prefetcher() {
            Ok(Some(prefetcher)) => prefetcher.wait(timeout),
            Ok(None) | Err(_) => true,
        }
    }

    /// The batches being prepared; `None` at the end.
    fn prefetcher(&mut self) -> Result<Option<&mut Prefetcher>, Error> {
        if self.next >= self.n_batches() {
            self.prefetcher = None;
            return Ok(None);
        }
        let job = self.job.as_ref().map_err(Error::clone)?;
        // After a fork, the parent's threads are not here: begin anew.
        let mine = self.prefetcher.take().filter(Prefetcher::is_mine);
        let start = || Prefetcher::start(Job::clone(job), self.next);
        Ok(Some(self.prefetcher.insert(mine.unwrap_or_else(start))))
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.prefetcher() {
            Ok(prefetcher) => prefetcher?.next().map_err(Error::from),
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
