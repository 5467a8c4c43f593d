//! A window: the rows of several coming batches, read together in file order.

use std::sync::Arc;

use anndata_io::ReadScratch;

use crate::batch::{Batch, BatchFormat, BatchSlots, Pick, fill};
use crate::error::Error;
use crate::plan::Plan;
use crate::recycle::Recycler;

/// Rows that one read takes at least, so that what a read costs besides is small; at most a few
/// more, to end where a band of chunks does.
const TASK_ROWS: usize = 128;

/// Consecutive batches of an epoch whose rows are read in file order, each chunk once, and dealt
/// to their places. Reads are cut into tasks that any number of threads take.
#[derive(Debug)]
pub(crate) struct Window {
    batches: Vec<BatchSlots>,
    /// All rows of all batches, ascending by store and row.
    picks: Vec<Pick>,
    /// Where each task begins in `picks`, and the end.
    tasks: Vec<usize>,
    /// Bytes that each batch takes until it is delivered.
    batch_bytes: Vec<usize>,
}

impl Window {
    /// Takes batches from `next` as long as they fit in `budget` bytes and there are less than
    /// `most`, at least one.
    pub(crate) fn plan(
        plan: &Plan,
        mut next: impl FnMut() -> Option<Vec<usize>>,
        most: usize,
        budget: usize,
        format: &BatchFormat,
        recycler: Option<&Arc<Recycler>>,
    ) -> Result<Window, Error> {
        let mut window = Window {
            batches: Vec::new(),
            picks: Vec::new(),
            tasks: vec![0],
            batch_bytes: Vec::new(),
        };
        // Collection rows ascend as stores and their rows do: one integer sorts them.
        let mut order: Vec<(u32, u32)> = Vec::new();
        let mut starts = Vec::new();
        let mut bytes = 0;
        while window.batches.len() < most {
            let Some(rows) = next() else { break };
            let located = rows.iter().map(|&row| plan.locate(row)).collect();
            let wait = most > 1;
            let slots = match BatchSlots::new(plan, located, format, wait, recycler) {
                // It fails as the first of a window of its own.
                Err(_) if !window.batches.is_empty() => break,
                slots => slots?,
            };
            let batch_bytes = (0..slots.n_rows()).map(|row| slots.row_bytes(row)).sum();
            starts.push(order.len());
            order.extend(
                rows.iter()
                    .zip(order.len() as u32..)
                    .map(|(&row, slot)| (row as u32, slot)),
            );
            window.batches.push(slots);
            window.batch_bytes.push(batch_bytes);
            bytes += batch_bytes;
            if bytes + batch_bytes > budget {
                break;
            }
        }
        order.sort_unstable();
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
        window.cut(plan);
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
            let band = sources
                .map(|source| source.rows_per_band())
                .max()
                .unwrap_or(1);
            let band_of = |pick: usize| u64::from(self.located(pick).1) / band;
            let mut end = start + 1;
            while end < self.picks.len()
                && self.located(end).0 == store
                && (end - start < TASK_ROWS || band > 1 && band_of(end) == band_of(end - 1))
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

    /// Bytes that a batch's rows take until it is delivered.
    pub(crate) fn batch_bytes(&self, batch: usize) -> usize {
        self.batch_bytes[batch]
    }

    /// Bytes of a finished batch beyond those.
    pub(crate) fn finishing_bytes(&self, batch: usize) -> usize {
        self.batches[batch].finishing_bytes()
    }

    fn picks_of(&self, task: usize) -> &[Pick] {
        &self.picks[self.tasks[task]..self.tasks[task + 1]]
    }

    /// Bytes that the rows of a task take.
    pub(crate) fn task_bytes(&self, task: usize) -> usize {
        self.picks_of(task)
            .iter()
            .map(|pick| self.batches[pick.batch].row_bytes(pick.row))
            .sum()
    }

    /// The batch of every row of a task.
    pub(crate) fn batches_of(&self, task: usize) -> impl Iterator<Item = usize> {
        self.picks_of(task).iter().map(|pick| pick.batch)
    }

    /// Reads a task's rows into their places. Gives the batches whose rows could not be read, and
    /// why.
    pub(crate) fn load(
        &self,
        plan: &Plan,
        task: usize,
        scratch: &mut ReadScratch,
    ) -> Vec<(usize, Error)> {
        let picks = self.picks_of(task);
        if fill(plan, &self.batches, picks, scratch).is_ok() {
            return Vec::new();
        }
        // One bad row fails its own batch, not those of its neighbours: read them one by one.
        let one = |pick: &Pick| {
            let mut scratch = ReadScratch::default();
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
