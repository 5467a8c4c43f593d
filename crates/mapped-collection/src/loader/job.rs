//! What an epoch delivers, and within which bounds.

use std::sync::Arc;

use crate::batch::BatchFormat;
use crate::batch::pool::BufferPool;
use crate::batch::slots::BatchSlots;
use crate::batch::waiting::WaitingRows;
use crate::error::Error;
use crate::error::read::ReadError;
use crate::loader::budget::{BatchBytes, Budget};
use crate::loader::policy::{ReadMode, WindowPolicy};
use crate::loader::window::Window;
use crate::loader::window::build::Extent;
use crate::loader::window::ends::CarriedBatch;
use crate::order::schedule::Schedule;
use crate::plan::Plan;

/// The work of a [`Prefetcher`](crate::loader::prefetch::Prefetcher).
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) plan: Arc<Plan>,
    pub(crate) schedule: Schedule,
    pub(crate) format: BatchFormat,
    pub(crate) workers: usize,
    pub(crate) budget: Budget,
    policy: WindowPolicy,
    pool: Arc<BufferPool>,
}

impl Job {
    /// Divides `memory` bytes for an epoch. Nothing is read.
    ///
    /// # Errors
    /// When two batches do not fit.
    pub(crate) fn new(
        plan: &Arc<Plan>,
        schedule: Schedule,
        format: BatchFormat,
        workers: usize,
        memory: usize,
        pool: &Arc<BufferPool>,
    ) -> Result<Job, Error> {
        let policy = WindowPolicy::new(plan, &schedule);
        let batch = match schedule.rows(0) {
            None => BatchBytes::default(),
            Some(rows) => {
                let waiting = Arc::new(WaitingRows::new(pool, 0));
                let slots = new_slots(
                    plan,
                    locate(plan, &rows),
                    &format,
                    policy.read_mode(),
                    &waiting,
                )?;
                BatchBytes::of(&slots)
            }
        };
        let budget = Budget::new(memory, plan.io.options().get_cache_bytes(), batch)?;
        Ok(Job {
            plan: plan.clone(),
            schedule,
            format,
            workers,
            budget,
            policy,
            pool: pool.clone(),
        })
    }

    /// For the rows of an epoch that wait.
    pub(crate) fn waiting(&self) -> WaitingRows {
        WaitingRows::new(&self.pool, self.budget.batch())
    }

    /// The places of a batch's rows. Matrices of its stores that are stored by column are turned
    /// now if they were not: only then is it known how long rows are.
    ///
    /// # Errors
    /// When a matrix cannot be read, or the rows do not fit together.
    pub(crate) fn slots(
        &self,
        rows: &[usize],
        waiting: &Arc<WaitingRows>,
    ) -> Result<Arc<BatchSlots>, ReadError> {
        let located = locate(&self.plan, rows);
        self.plan.prepare_stores_of(&located)?;
        let mode = self.policy.read_mode();
        new_slots(&self.plan, located, &self.format, mode, waiting).map(Arc::new)
    }

    /// The window that begins at a batch and has so many batches, or as many as fit. With
    /// `carried`, it goes on with what the window before it began.
    pub(crate) fn window(
        &self,
        first: usize,
        batches: usize,
        waiting: &Arc<WaitingRows>,
        carried: Option<&CarriedBatch>,
    ) -> Result<Window, ReadError> {
        let extent = Extent {
            first,
            batches,
            ends: self.policy.ends(),
            mode: self.policy.read_mode(),
        };
        Window::build(self, &extent, waiting, carried)
    }

    /// Lanes of tasks. Batches that are read one by one come soonest in their order.
    pub(crate) fn n_lanes(&self) -> usize {
        match self.policy.read_mode() {
            ReadMode::ByBatch => 1,
            ReadMode::Together | ReadMode::Packed => self.workers.max(1),
        }
    }

    /// At most how many batches the window has that begins at batch `first`, after one of `before`.
    pub(crate) fn window_batches(&self, first: usize, before: usize) -> usize {
        self.policy.window_batches(&self.schedule, first, before)
    }
}

fn locate(plan: &Plan, rows: &[usize]) -> Vec<(usize, u32)> {
    rows.iter().map(|&row| plan.locate(row)).collect()
}

fn new_slots(
    plan: &Plan,
    located: Vec<(usize, u32)>,
    format: &BatchFormat,
    mode: ReadMode,
    waiting: &Arc<WaitingRows>,
) -> Result<BatchSlots, ReadError> {
    let pack = mode == ReadMode::Packed;
    BatchSlots::new(plan, located, format, pack, waiting)
}
