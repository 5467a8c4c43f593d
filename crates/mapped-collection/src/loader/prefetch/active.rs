//! A window in work: which of its tasks were begun, and which of its rows have arrived.

use std::sync::Arc;

use crate::error::Error;
use crate::loader::prefetch::lanes::TaskLanes;
use crate::loader::window::Window;
use crate::loader::window::ends::CarriedBatch;

/// A window in work.
#[derive(Debug)]
pub(super) struct ActiveWindow {
    pub(super) window: Arc<Window>,
    pub(super) first_batch: usize,
    /// Batches still wanted: the last ones are left to a later window when memory runs out.
    pub(super) n_batches: usize,
    /// Whether the last of them is finished by the next window.
    pub(super) carries: bool,
    pub(super) lanes: TaskLanes,
    /// The batches of which a row was given room.
    begun: Vec<bool>,
    pub(super) next_finish: usize,
    /// For each batch, its rows that have not arrived, and what went wrong.
    pub(super) missing_rows: Vec<usize>,
    pub(super) errors: Vec<Option<Error>>,
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

    /// The most bytes that a task takes which no other task was given room for.
    pub(super) fn task_bytes(&self, task: usize) -> usize {
        self.window.task_bytes(task, self.n_batches, &self.begun)
    }

    /// Notes that a task was given its room.
    pub(super) fn admit(&mut self, task: usize) {
        for batch in self.window.batches_of(task) {
            self.begun[batch] = true;
        }
    }

    /// Batches that are finished here.
    pub(super) fn n_own(&self) -> usize {
        self.n_batches - usize::from(self.carries)
    }

    /// Leaves the batch that the next window would finish to that one altogether.
    pub(super) fn drop_carried(&mut self) {
        self.carries = false;
        self.n_batches -= 1;
        self.window.discard(self.n_batches);
    }

    /// What the next window goes on with.
    pub(super) fn carried(&self) -> Option<CarriedBatch> {
        self.window.carried().filter(|_| self.carries)
    }

    /// Whether rows that the next window's first batch needs have not arrived.
    pub(super) fn holds_up_next(&self) -> bool {
        self.carries && self.missing_rows[self.n_own()] > 0
    }
}
