//! The batches that an epoch delivers, and its limits.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anndata_io::Packs;
use row_pack::Level;

use crate::batch::form::BatchForm;
use crate::batch::pool::BufferPool;
use crate::batch::slots::BatchSlots;
use crate::batch::waiting::WaitingRows;
use crate::error::Error;
use crate::error::read::ReadError;
use crate::loader::budget::{BatchBytes, Budget};
use crate::loader::packs::{LoaderPacks, PackPlan, WindowPacks};
use crate::loader::policy::{FEW_BATCHES, ReadMode, WindowPolicy};
use crate::loader::window::Window;
use crate::loader::window::build::Extent;
use crate::loader::window::ends::{CarriedBatch, WindowEnd};
use crate::order::schedule::Schedule;
use crate::plan::Plan;
use crate::plan::location::RowLocation;

/// The most rows of coming batches whose bands are packed at once: each takes 16 bytes meanwhile.
const PACKING_ROWS: usize = 1 << 18;

/// The work of a [`Prefetcher`](crate::loader::prefetch::Prefetcher).
///
/// It delivers one batch per [read](Schedule::rows_of_read) of the schedule. With controls, every
/// second one holds the controls of the batch before it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) plan: Arc<Plan>,
    pub(crate) schedule: Schedule,
    form: BatchForm,
    pub(crate) workers: usize,
    pub(crate) budget: Budget,
    policy: WindowPolicy,
    pool: Arc<BufferPool>,
    packs: Arc<LoaderPacks>,
    /// What the epoch would pack, if that has an advantage.
    pack_plan: Option<PackPlan>,
    /// The first batch for whose rows no window has packed the bands.
    next_packed: Arc<AtomicUsize>,
}

impl Job {
    /// Divides `memory` bytes for an epoch. Nothing is read.
    ///
    /// # Errors
    /// When two batches do not fit.
    pub(crate) fn new(
        plan: &Arc<Plan>,
        schedule: Schedule,
        form: BatchForm,
        workers: usize,
        memory: usize,
        (pool, packs): (&Arc<BufferPool>, &Arc<LoaderPacks>),
    ) -> Result<Job, Error> {
        let policy = WindowPolicy::new(plan, &schedule);
        let mut batch = BatchBytes::default();
        // The rows of the first batch, and their controls.
        for rows in (0..schedule.reads_per_batch()).map_while(|read| schedule.rows_of_read(read)) {
            let waiting = Arc::new(WaitingRows::new(pool, 0));
            let is_packed = policy.read_mode() == ReadMode::Packed;
            let pack = is_packed.then_some(Level::default());
            let slots = BatchSlots::new(plan, locate(plan, &rows), &form, pack, &waiting)?;
            batch = batch.max(BatchBytes::of(&slots));
        }
        let budget = Budget::new(memory, plan.io.options().get_cache_bytes(), batch)?;
        let pack_plan = match policy {
            WindowPolicy::Small => None,
            _ => PackPlan::new(plan, &schedule, budget.packs(workers), workers),
        };
        Ok(Job {
            plan: plan.clone(),
            schedule,
            packs: packs.clone(),
            pack_plan,
            next_packed: Arc::default(),
            form,
            workers,
            budget,
            policy,
            pool: pool.clone(),
        })
    }

    /// Makes the counter of an epoch's waiting rows.
    pub(crate) fn waiting(&self) -> WaitingRows {
        WaitingRows::new(&self.pool, self.budget.batch())
    }

    /// Makes the places of a batch's rows. First turns the matrices of its stores that are stored
    /// by column, if that was not done yet: before that, the lengths of the rows are unknown. With
    /// `pack`, sparse rows wait packed.
    ///
    /// # Errors
    /// When a matrix cannot be read, or the rows do not fit together.
    pub(crate) fn slots(
        &self,
        rows: &[usize],
        pack: Option<Level>,
        waiting: &Arc<WaitingRows>,
    ) -> Result<Arc<BatchSlots>, ReadError> {
        let located = locate(&self.plan, rows);
        self.plan.prepare_stores_of(&located)?;
        BatchSlots::new(&self.plan, located, &self.form, pack, waiting).map(Arc::new)
    }

    /// Builds the window that begins at a batch. It has the given number of batches, or as many as
    /// fit. With `carried`, it continues the batch that the window before it began.
    pub(crate) fn window(
        &self,
        first: usize,
        batches: usize,
        waiting: &Arc<WaitingRows>,
        carried: Option<&CarriedBatch>,
    ) -> Result<Window, ReadError> {
        let pack_plan = self.pack_plan.as_ref();
        let packs = pack_plan.and_then(|pack_plan| {
            let may_pack = self.packs.n_epochs() >= self.policy.packs_from();
            self.packs.get(&self.plan, pack_plan, may_pack)
        });
        let mut packing = 0..0;
        let all = packs.as_ref().filter(|packs| packs.hold_all);
        let (mode, ends, batches) = match all {
            None => (self.policy.read_mode(), self.policy.ends(), batches),
            Some(WindowPacks { packs, .. }) => {
                packing = self.packing(packs, first, batches);
                let batches = batches.min(FEW_BATCHES);
                (ReadMode::ByBatch, WindowEnd::Anywhere, batches)
            }
        };
        let level = || {
            let n_reads = self.schedule.n_reads() - first;
            self.budget.level(n_reads, waiting.pool())
        };
        let extent = Extent {
            first,
            batches,
            ends,
            mode,
            pack: (mode == ReadMode::Packed).then(level),
            pack_bytes: match all {
                Some(_) => self.budget.packs(self.workers),
                None => self.pack_bytes(),
            },
        };
        Window::build(
            self,
            &extent,
            packs.map(|packs| (packs.packs, packing)),
            waiting,
            carried,
        )
    }

    /// The batches whose bands a window packs before it reads its own, if it could have this many
    /// batches. The more rows are packed in file order, the fewer chunks that two bands share are
    /// decoded twice.
    fn packing(&self, packs: &Packs, first: usize, batches: usize) -> Range<usize> {
        let begins_anew = packs.n_elements() == 0;
        let next = match begins_anew {
            true => first,
            false => self.next_packed.load(Ordering::Relaxed).max(first),
        };
        let most = (PACKING_ROWS / self.schedule.batch_size).max(FEW_BATCHES);
        let end = first.saturating_add(batches.min(most));
        let end = end.min(self.schedule.n_reads());
        if packs.is_complete() || next >= end {
            return 0..0;
        }
        self.next_packed.store(end, Ordering::Relaxed);
        next..end
    }

    /// The bytes of packs, of all epochs.
    pub(crate) fn pack_bytes(&self) -> usize {
        self.packs.bytes()
    }

    /// The number of lanes of tasks. Batches that are read one by one come soonest if they are read
    /// in order.
    pub(crate) fn n_lanes(&self, mode: ReadMode) -> usize {
        match mode {
            ReadMode::ByBatch => 1,
            ReadMode::Together | ReadMode::Packed => self.workers.max(1),
        }
    }

    /// The most batches of the window that begins at batch `first`, after a window of `before`
    /// batches.
    pub(crate) fn window_batches(&self, first: usize, before: usize) -> usize {
        self.policy.window_batches(&self.schedule, first, before)
    }
}

fn locate(plan: &Plan, rows: &[usize]) -> Vec<RowLocation> {
    rows.iter().map(|&row| plan.locate(row)).collect()
}
