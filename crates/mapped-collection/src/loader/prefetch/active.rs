//! A window in progress: the tasks that were begun, and the rows that have arrived.

use std::sync::Arc;

use crate::error::read::ReadError;
use crate::loader::prefetch::lanes::TaskLanes;
use crate::loader::window::Window;
use crate::loader::window::ends::CarriedBatch;

/// A window in progress.
#[derive(Debug)]
pub(super) struct ActiveWindow {
    pub(super) window: Arc<Window>,
    pub(super) first_batch: usize,
    /// The number of batches still wanted. When memory runs out, the last ones are left to a later
    /// window.
    pub(super) n_batches: usize,
    /// Whether the next window finishes the last of them.
    pub(super) carries: bool,
    pub(super) lanes: TaskLanes,
    /// For each batch, whether one of its rows was given room.
    begun: Vec<bool>,
    pub(super) next_finish: usize,
    /// For each batch, the number of rows that have not arrived.
    pub(super) missing_rows: Vec<usize>,
    pub(super) errors: Vec<Option<ReadError>>,
}

impl ActiveWindow {
    pub(super) fn new(window: Window, first_batch: usize, n_lanes: usize) -> ActiveWindow {
        let n_batches = window.n_batches();
        let mut begun = vec![false; n_batches];
        begun[0] = window.goes_on();
        ActiveWindow {
            first_batch,
            n_batches,
            carries: window.carried().is_some(),
            lanes: TaskLanes::new(window.n_tasks(), n_lanes),
            begun,
            next_finish: 0,
            missing_rows: window.n_reads().to_vec(),
            errors: vec![None; n_batches],
            window: Arc::new(window),
        }
    }

    /// The most bytes of a task, without those for which another task was given room.
    pub(super) fn task_bytes(&self, task: usize) -> usize {
        self.window.task_bytes(task, self.n_batches, &self.begun)
    }

    /// Records that a task was given its room.
    pub(super) fn admit(&mut self, task: usize) {
        for batch in self.window.batches_of(task) {
            self.begun[batch] = true;
        }
    }

    /// The number of batches that are finished here.
    pub(super) fn n_own(&self) -> usize {
        self.n_batches - usize::from(self.carries)
    }

    /// Leaves the whole of the carried batch to the next window.
    pub(super) fn drop_carried(&mut self) {
        self.carries = false;
        self.n_batches -= 1;
        self.window.discard(self.n_batches);
    }

    /// The batch that the next window continues.
    pub(super) fn carried(&self) -> Option<CarriedBatch> {
        self.window.carried().filter(|_| self.carries)
    }

    /// Whether the next window's first batch still waits for rows of this one.
    pub(super) fn holds_up_next(&self) -> bool {
        self.carries && self.missing_rows[self.n_own()] > 0
    }
}
