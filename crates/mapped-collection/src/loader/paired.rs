//! The batches of an epoch, each joined with its controls.

use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::error::read::ReadError;
use crate::loader::job::Job;
use crate::loader::prefetch::Prefetcher;

/// Batches in order. With controls, a batch is two reads of the prefetcher.
#[derive(Debug)]
pub(super) struct PairedBatches {
    prefetcher: Prefetcher,
    has_controls: bool,
    /// The next batch, while its controls are being read.
    without_controls: Option<Result<Batch, ReadError>>,
}

impl PairedBatches {
    pub(super) fn start(job: &Job, first_batch: usize) -> PairedBatches {
        let first_read = first_batch * job.schedule.reads_per_batch();
        PairedBatches {
            prefetcher: Prefetcher::start(job.clone(), first_read),
            has_controls: job.schedule.controls.is_some(),
            without_controls: None,
        }
    }

    /// Whether this process started it, and not its parent before a fork.
    pub(super) fn is_mine(&self) -> bool {
        self.prefetcher.is_mine()
    }

    /// Waits until [`next`](Self::next) has an answer, for at most `timeout`. Returns whether it
    /// has.
    pub(super) fn wait(&mut self, timeout: Duration) -> bool {
        let end = Instant::now().checked_add(timeout);
        if !self.prefetcher.wait(timeout) {
            return false;
        }
        if !self.has_controls || self.without_controls.is_some() {
            return true;
        }
        self.without_controls = Some(self.prefetcher.next());
        let rest = end.map(|end| end.saturating_duration_since(Instant::now()));
        self.prefetcher.wait(rest.unwrap_or(timeout))
    }

    /// Returns the next batch.
    ///
    /// # Errors
    /// When its rows or its controls cannot be read.
    pub(super) fn next(&mut self) -> Result<Batch, ReadError> {
        let batch = self.without_controls.take();
        let mut batch = batch.unwrap_or_else(|| self.prefetcher.next());
        if self.has_controls {
            // Also after an error: otherwise, these controls would be taken for the next batch.
            let control = self.prefetcher.next();
            if let Ok(batch) = &mut batch {
                batch.control = Some(Box::new(control?));
            }
        }
        batch
    }
}
