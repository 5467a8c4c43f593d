//! A window: the rows of several coming batches, read together in file order.

pub(crate) mod build;
pub(crate) mod ends;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anndata_io::Packs;

use crate::batch::Batch;
use crate::batch::fill::{BatchRow, FillScratch, fill, fill_or_name_row};
use crate::batch::slots::BatchSlots;
use crate::error::read::ReadError;
use crate::loader::policy::ReadMode;
use crate::loader::window::ends::CarriedBatch;
use crate::plan::Plan;
use crate::plan::location::RowLocation;

/// A step of reading a window.
#[derive(Debug, Clone)]
enum Task {
    /// Packs the bands of some rows. They are read by later tasks.
    Pack {
        /// Among those whose bands are packed first.
        rows: Range<usize>,
    },
    /// Reads a part of the bands of some rows.
    Read {
        rows: Range<usize>,
        part: u64,
        n_parts: u64,
    },
}

/// Consecutive batches of an epoch. Their rows are read in file order, each chunk once, and put in
/// their places. Reads are cut into tasks, which any number of threads take.
#[derive(Debug)]
pub(crate) struct Window {
    batches: Vec<Arc<BatchSlots>>,
    /// The last row of the collection that is read here of the last batch, if the next window
    /// finishes it.
    carried_until: Option<usize>,
    /// All rows that are read here, ascending by store and row (within each batch, if they are read
    /// batch by batch).
    rows: Vec<BatchRow>,
    tasks: Vec<Task>,
    /// Whether the window before has begun the first batch.
    goes_on: bool,
    /// For each batch, the number of times that tasks read one of its rows. Each part of a row
    /// counts.
    n_reads: Vec<usize>,
    /// The adjacent rows of the windows before and after this one.
    neighbours: [Option<RowLocation>; 2],
    mode: ReadMode,
    /// The packs from which rows are read. They keep what is decoded.
    packs: Option<Packs>,
    /// Rows whose bands are packed first, in file order: those of these batches, and of later ones.
    packed: Vec<RowLocation>,
    /// The number of pack tasks that have not ended.
    n_packing: AtomicUsize,
    /// Whether a file or a server failed while bands were packed. Reads then raise the error.
    has_failed: AtomicBool,
}

impl Window {
    fn located(&self, row: usize) -> RowLocation {
        let BatchRow { batch, row } = self.rows[row];
        self.batches[batch].located(row)
    }

    /// The batch that the next window continues.
    pub(crate) fn carried(&self) -> Option<CarriedBatch> {
        let slots = self.batches.last()?.clone();
        self.carried_until
            .map(|until| CarriedBatch { slots, until })
    }

    /// The number of batches, including one that the next window finishes.
    pub(crate) fn n_batches(&self) -> usize {
        self.batches.len()
    }

    /// How its rows are read.
    pub(crate) fn mode(&self) -> ReadMode {
        self.mode
    }

    pub(crate) fn n_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// For each batch, the number of times that a task reads one of its rows.
    pub(crate) fn n_reads(&self) -> &[usize] {
        &self.n_reads
    }

    /// Discards the rows of a batch, and those still to come.
    pub(crate) fn discard(&self, batch: usize) {
        self.batches[batch].discard();
    }

    /// The rows that a task reads.
    fn rows_of(&self, task: usize) -> &[BatchRow] {
        match &self.tasks[task] {
            Task::Pack { .. } => &[],
            Task::Read { rows, .. } => &self.rows[rows.clone()],
        }
    }

    /// Whether the window before has begun the first batch.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// The most bytes that a task takes for its rows in the first `n_batches`. These are the bytes
    /// of packed rows, and those that the first row of a batch that was not `begun` allocates.
    pub(crate) fn task_bytes(&self, task: usize, n_batches: usize, begun: &[bool]) -> usize {
        let rows = self.rows_of(task).iter();
        let rows = rows.filter(|row| row.batch < n_batches);
        let mut new: Vec<usize> = rows.clone().map(|row| row.batch).collect();
        new.retain(|&batch| !begun[batch]);
        new.sort_unstable();
        new.dedup();
        // Sparse rows are in the first part.
        let packed = rows.filter(|_| matches!(self.tasks[task], Task::Read { part: 0, .. }));
        let packed = packed.map(|row| self.batches[row.batch].packed_row_bytes(row.row));
        let new = new
            .into_iter()
            .map(|batch| self.batches[batch].begun_bytes());
        new.chain(packed).sum()
    }

    /// The batch of every row of a task.
    pub(crate) fn batches_of(&self, task: usize) -> impl Iterator<Item = usize> {
        self.rows_of(task).iter().map(|row| row.batch)
    }

    /// Reads a task's rows into their places, if they belong to the first `n_batches`. Returns the
    /// batches whose rows could not be read, with the errors.
    pub(crate) fn load(
        &self,
        plan: &Plan,
        task: usize,
        n_batches: usize,
        scratch: &mut FillScratch,
    ) -> Vec<(usize, ReadError)> {
        let (rows, part, n_parts) = match &self.tasks[task] {
            Task::Pack { rows } => {
                if !self.has_failed.load(Ordering::Relaxed) {
                    self.pack(plan, rows.clone(), scratch);
                }
                if self.n_packing.fetch_sub(1, Ordering::Relaxed) == 1
                    && let Some(cache) = plan.io.cache()
                {
                    cache.publish();
                }
                return Vec::new();
            }
            Task::Read { rows, .. } if rows.is_empty() => return Vec::new(),
            Task::Read {
                rows,
                part,
                n_parts,
            } => (rows, part, n_parts),
        };
        let store = self.located(rows.start).store;
        let [mut before, mut after] = self.neighbours;
        if rows.start > 0 {
            before = Some(self.located(rows.start - 1));
        }
        if rows.end < self.rows.len() {
            after = Some(self.located(rows.end));
        }
        let [before, after] = [before, after].map(|neighbour| {
            let of_store = neighbour.filter(|other| other.store == store);
            of_store.map(|other| other.row.into())
        });
        scratch.read.set_neighbours(before, after);
        scratch.read.set_packs(self.packs.clone());
        let mut rows = Cow::Borrowed(self.rows_of(task));
        if n_batches < self.n_batches() {
            rows.to_mut().retain(|row| row.batch < n_batches);
        }
        let part = (*part, *n_parts);
        if *n_parts > 1 {
            // From now on, the bytes that the other parts will need are counted.
            for row in rows.iter() {
                self.batches[row.batch].begin();
            }
        }
        let read = fill(plan, &self.batches, &rows, part, scratch);
        scratch.read.set_packs(None);
        if read.is_ok() {
            return Vec::new();
        }
        // A bad row fails its own batch, not those of its neighbours.
        rows.to_mut().sort_by_key(|row| row.batch);
        let by_batch = rows.chunk_by(|a, b| a.batch == b.batch);
        if scratch.read.is_stopped() {
            return by_batch
                .map(|rows| (rows[0].batch, ReadError::Closed))
                .collect();
        }
        let mut scratch = FillScratch::default();
        let one = |rows: &[BatchRow]| {
            let read = fill_or_name_row(plan, &self.batches, rows, part, &mut scratch);
            read.err().map(|error| (rows[0].batch, error))
        };
        by_batch.filter_map(one).collect()
    }

    /// Packs the bands of some rows of one store. What cannot be packed fails when it is read.
    fn pack(&self, plan: &Plan, rows: Range<usize>, scratch: &mut FillScratch) {
        let (rows, next) = (&self.packed[rows.clone()], &self.packed[rows.end..]);
        let Some(&RowLocation { store, .. }) = rows.first() else {
            return;
        };
        let next = next.iter().take_while(|row| row.store == store);
        let next = next.map(|row| u64::from(row.row));
        let rows: Vec<u64> = rows.iter().map(|row| row.row.into()).collect();
        scratch.read.set_packs(self.packs.clone());
        for source in plan.stores[store].matrices.iter().flatten() {
            if !source.pack_rows(&rows, next.clone(), &mut scratch.read) {
                self.has_failed.store(true, Ordering::Relaxed);
                break;
            }
        }
        scratch.read.set_packs(None);
    }

    /// Finishes a batch. All of its rows must have been read.
    pub(crate) fn finish(&self, plan: &Plan, batch: usize) -> Result<Batch, ReadError> {
        self.batches[batch].finish(plan)
    }
}
