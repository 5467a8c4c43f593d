//! A window: the rows of several coming batches, read together in file order.

use std::borrow::Cow;
use std::sync::Arc;

use crate::batch::{Batch, BatchFormat, BatchSlots, FillScratch, Pick, fill};
use crate::error::Error;
use crate::plan::Plan;
use crate::recycle::Waiting;

/// Rows that one read takes at least, so that what a read costs besides is small; at most a few
/// more, to end where a band of chunks does.
const TASK_ROWS: usize = 128;

/// How the rows of a window are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Each batch by itself: rows are read where they lie, so that neighbours gain nothing from
    /// each other.
    ByBatch,
    /// All in file order, into their final places.
    Together,
    /// All in file order, and packed until their batch is finished.
    Packed,
}

/// Consecutive batches of an epoch whose rows are read in file order, each chunk once, and dealt
/// to their places. Reads are cut into tasks that any number of threads take.
#[derive(Debug)]
pub(crate) struct Window {
    batches: Vec<BatchSlots>,
    /// All rows of all batches, ascending by store and row (within each batch, if they are read
    /// batch by batch).
    picks: Vec<Pick>,
    /// Where each task begins in `picks`, and the end.
    tasks: Vec<usize>,
    /// The first task that has rows of each batch.
    first_tasks: Vec<usize>,
}

impl Window {
    /// Takes batches from `next` as long as their rows, packed to the part `packing` of their
    /// bytes, fit in `budget` and there are less than `most`; at least one.
    pub(crate) fn plan(
        plan: &Plan,
        mut next: impl FnMut() -> Option<Vec<usize>>,
        most: usize,
        (budget, packing): (usize, f64),
        format: &BatchFormat,
        reading: Reading,
        waiting: &Arc<Waiting>,
    ) -> Result<Window, Error> {
        let mut window = Window {
            batches: Vec::new(),
            picks: Vec::new(),
            tasks: vec![0],
            first_tasks: Vec::new(),
        };
        // Collection rows ascend as stores and their rows do: one integer sorts them.
        let mut order: Vec<(u32, u32)> = Vec::new();
        let mut starts = Vec::new();
        let mut bytes = 0;
        while window.batches.len() < most {
            let Some(rows) = next() else { break };
            let located = rows.iter().map(|&row| plan.locate(row)).collect();
            let pack = reading == Reading::Packed;
            let slots = match BatchSlots::new(plan, located, format, pack, waiting) {
                // It fails as the first of a window of its own.
                Err(_) if !window.batches.is_empty() => break,
                slots => slots?,
            };
            // Packed rows make room one by one, others when their batch is finished: two windows
            // share the budget then.
            let packed = (slots.packed_bytes() as f64 * packing) as usize;
            let batch_bytes = packed + waiting.block_bytes() + 2 * slots.placed_bytes();
            starts.push(order.len());
            order.extend(
                rows.iter()
                    .zip(order.len() as u32..)
                    .map(|(&row, slot)| (row as u32, slot)),
            );
            window.batches.push(slots);
            bytes += batch_bytes;
            if bytes + batch_bytes > budget {
                break;
            }
        }
        if reading == Reading::ByBatch {
            for (number, &start) in starts.iter().enumerate() {
                let end = starts.get(number + 1).copied().unwrap_or(order.len());
                order[start..end].sort_unstable();
            }
        } else {
            order.sort_unstable();
        }
        window.picks = order
            .into_iter()
            .map(|(_, slot)| {
                let batch = starts.partition_point(|&start| start <= slot as usize) - 1;
                Pick {
                    batch,
                    row: slot as usize - starts[batch],
                }
            })
            .collect();
        match reading {
            Reading::ByBatch => {
                let batches = window.batches.iter();
                window.tasks.extend(batches.scan(0, |end, batch| {
                    *end += batch.n_rows();
                    Some(*end)
                }));
            }
            Reading::Together | Reading::Packed => window.cut(plan),
        }
        let mut first_tasks = vec![usize::MAX; window.n_batches()];
        for task in (0..window.n_tasks()).rev() {
            for pick in window.picks_of(task) {
                first_tasks[pick.batch] = task;
            }
        }
        window.first_tasks = first_tasks;
        Ok(window)
    }

    fn located(&self, pick: usize) -> (usize, u32) {
        let Pick { batch, row } = self.picks[pick];
        self.batches[batch].located(row)
    }

    fn cut(&mut self, plan: &Plan) {
        let mut start = 0;
        while start < self.picks.len() {
            let (store, _) = self.located(start);
            let sources = plan.stores[store].matrices.iter().flatten();
            // A band that two tasks share would be decoded, or waited for, by both.
            let source = sources.max_by_key(|source| source.rows_per_band());
            let band_of =
                |pick: usize| source.map(|source| source.band(self.located(pick).1.into()));
            let mut end = start + 1;
            while end < self.picks.len()
                && self.located(end).0 == store
                && (end - start < TASK_ROWS || band_of(end) == band_of(end - 1))
            {
                end += 1;
            }
            self.tasks.push(end);
            start = end;
        }
    }

    pub(crate) fn n_batches(&self) -> usize {
        self.batches.len()
    }

    pub(crate) fn n_tasks(&self) -> usize {
        self.tasks.len() - 1
    }

    pub(crate) fn n_rows(&self, batch: usize) -> usize {
        self.batches[batch].n_rows()
    }

    /// The most bytes that a batch's rows take while they wait.
    pub(crate) fn waiting_bytes(&self, batch: usize) -> usize {
        self.batches[batch].packed_bytes() + self.batches[batch].placed_bytes()
    }

    /// Bytes of a finished batch.
    pub(crate) fn finished_bytes(&self, batch: usize) -> usize {
        self.batches[batch].finished_bytes()
    }

    /// Forgets the rows of a batch, and those still to come.
    pub(crate) fn discard(&self, batch: usize) {
        self.batches[batch].discard();
    }

    fn picks_of(&self, task: usize) -> &[Pick] {
        &self.picks[self.tasks[task]..self.tasks[task + 1]]
    }

    /// The most bytes that a task takes, as far as its rows belong to the first `n_batches`.
    pub(crate) fn task_bytes(&self, task: usize, n_batches: usize) -> usize {
        let placed = (0..n_batches).filter(|&batch| self.first_tasks[batch] == task);
        let packed = self.picks_of(task).iter();
        let packed = packed.filter(|pick| pick.batch < n_batches);
        placed
            .map(|batch| self.batches[batch].placed_bytes())
            .chain(packed.map(|pick| self.batches[pick.batch].packed_row_bytes(pick.row)))
            .sum()
    }

    /// The batch of every row of a task.
    pub(crate) fn batches_of(&self, task: usize) -> impl Iterator<Item = usize> {
        self.picks_of(task).iter().map(|pick| pick.batch)
    }

    /// Reads a task's rows into their places, as far as they belong to the first `n_batches`. Gives
    /// the batches whose rows could not be read, and why.
    pub(crate) fn load(
        &self,
        plan: &Plan,
        task: usize,
        n_batches: usize,
        scratch: &mut FillScratch,
    ) -> Vec<(usize, Error)> {
        let mut picks = Cow::Borrowed(self.picks_of(task));
        if n_batches < self.n_batches() {
            picks.to_mut().retain(|pick| pick.batch < n_batches);
        }
        if fill(plan, &self.batches, &picks, scratch).is_ok() {
            return Vec::new();
        }
        // One bad row fails its own batch, not those of its neighbours: read them one by one.
        let one = |pick: &Pick| {
            let mut scratch = FillScratch::default();
            let result = fill(
                plan,
                &self.batches,
                std::slice::from_ref(pick),
                &mut scratch,
            );
            result.err().map(|error| (pick.batch, error))
        };
        picks.iter().filter_map(one).collect()
    }

    /// A batch all of whose rows were read.
    pub(crate) fn finish(&self, plan: &Plan, batch: usize) -> Result<Batch, Error> {
        self.batches[batch].finish(plan)
    }
}
