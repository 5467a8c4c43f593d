//! One step of work, which runs without the lock of the state.

use std::sync::Arc;

use crate::batch::Batch;
use crate::batch::fill::FillScratch;
use crate::batch::waiting::WaitingRows;
use crate::error::read::ReadError;
use crate::loader::job::Job;
use crate::loader::window::Window;
use crate::loader::window::ends::CarriedBatch;

/// One step of work.
#[derive(Debug)]
pub(super) enum Step {
    /// Finish a batch whose rows have all arrived.
    Finish {
        window: Arc<Window>,
        first_batch: usize,
        batch: usize,
        error: Option<ReadError>,
    },
    /// Load the rows of a task.
    Load {
        window: Arc<Window>,
        first_batch: usize,
        n_batches: usize,
        task: usize,
        bytes: usize,
    },
    /// Build the window that begins at a batch.
    Build {
        first_batch: usize,
        n_batches: usize,
        carried: Option<CarriedBatch>,
    },
}

/// A step that was run, to be [recorded](super::state::State::record).
#[derive(Debug)]
pub(super) enum Done {
    /// A batch was finished.
    Finish {
        number: usize,
        batch: Result<Batch, ReadError>,
    },
    /// A task was loaded, except for the rows of these batches.
    Load {
        window: Arc<Window>,
        first_batch: usize,
        task: usize,
        bytes: usize,
        errors: Vec<(usize, ReadError)>,
    },
    /// A window was built.
    Build {
        first_batch: usize,
        carried: bool,
        window: Result<Window, ReadError>,
    },
}

impl Step {
    /// Does the work.
    pub(super) fn run(
        self,
        job: &Job,
        waiting: &Arc<WaitingRows>,
        scratch: &mut FillScratch,
    ) -> Done {
        match self {
            Step::Finish {
                window,
                first_batch,
                batch,
                error,
            } => Done::Finish {
                number: first_batch + batch,
                batch: match (job.plan.check_open(), error) {
                    (Err(error), _) | (Ok(()), Some(error)) => Err(error),
                    (Ok(()), None) => window.finish(&job.plan, batch),
                },
            },
            Step::Load {
                window,
                first_batch,
                n_batches,
                task,
                bytes,
            } => Done::Load {
                errors: window.load(&job.plan, task, n_batches, scratch),
                window,
                first_batch,
                task,
                bytes,
            },
            Step::Build {
                first_batch,
                n_batches,
                carried,
            } => Done::Build {
                first_batch,
                carried: carried.is_some(),
                window: job.window(first_batch, n_batches, waiting, carried.as_ref()),
            },
        }
    }
}
