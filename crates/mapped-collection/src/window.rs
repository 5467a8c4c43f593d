//! A window: the rows of several coming batches, read together in file order.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::bands::Rest;
use crate::batch::{Batch, BatchFormat, BatchSlots, FillScratch, Pick, fill};
use crate::error::Error;
use crate::plan::Plan;
use crate::recycle::Waiting;
use crate::schedule::Schedule;

/// Rows that one read takes at least, so that what a read costs besides is small; at most a few
/// more, to end where a band of chunks does.
const TASK_ROWS: usize = 128;

/// Bytes of chunks that one read decodes, about: larger bands are divided between threads.
const PART_BYTES: u64 = 16 << 20;
const MOST_PARTS: u64 = 64;

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

/// Where a window ends, besides where memory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// After so many batches, whose neighbours in the files come at any time.
    Anywhere,
    /// After so many batches, in file order: the cache keeps a band of chunks that it cuts.
    InFileOrder,
    /// In file order where a band of chunks does, which no cache could keep; after at least so many
    /// batches.
    WithBand,
}

/// Which batches a window has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) first: usize,
    pub(crate) batches: usize,
    pub(crate) ends: Ends,
    /// Bytes of rows that wait; packed ones take the part `packing` of what they take at the most.
    pub(crate) budget: usize,
    pub(crate) packing: f64,
}

/// A batch that begins in the last band of a window. The window reads its rows up to this one of the
/// collection, the next window reads the others and finishes it: no band is decoded for both.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    slots: Arc<BatchSlots>,
    until: usize,
}

/// A part of the bands of some picks.
#[derive(Debug, Clone)]
struct Task {
    picks: Range<usize>,
    part: u64,
    n_parts: u64,
}

/// Consecutive batches of an epoch whose rows are read in file order, each chunk once, and dealt
/// to their places. Reads are cut into tasks that any number of threads take.
#[derive(Debug)]
pub(crate) struct Window {
    batches: Vec<Arc<BatchSlots>>,
    /// Up to which row of the collection the last batch is read here, if the next window finishes it.
    carried_until: Option<usize>,
    /// All rows that are read here, ascending by store and row (within each batch, if they are read
    /// batch by batch).
    picks: Vec<Pick>,
    tasks: Vec<Task>,
    /// The first task that has rows of each batch.
    first_tasks: Vec<usize>,
    /// The rows, as store and row in its file, that windows before and after this one have next to it.
    neighbours: [Option<(usize, u32)>; 2],
}

impl Extent {
    /// What a batch takes of the budget.
    fn batch_bytes(&self, slots: &BatchSlots, waiting: &Waiting) -> usize {
        let packed = match slots.packed_bytes() {
            0 => 0,
            bytes => (bytes as f64 * self.packing) as usize + waiting.block_bytes(),
        };
        // Packed rows make room one by one, others when their batch is finished: two windows share
        // the budget then. A band that is larger would be decoded more often for it.
        let windows = if self.ends == Ends::WithBand { 1 } else { 2 };
        packed + windows * slots.placed_bytes()
    }
}

impl Window {
    /// Takes batches as the extent says, as long as their rows fit; at least one. `carried` is what
    /// the window before left to this one of its first batch.
    pub(crate) fn plan(
        plan: &Plan,
        schedule: &Schedule,
        extent: &Extent,
        (format, reading): (&BatchFormat, Reading),
        waiting: &Arc<Waiting>,
        carried: Option<&Carried>,
    ) -> Result<Window, Error> {
        let Extent { first, ends, .. } = *extent;
        let mut window = Window {
            batches: Vec::new(),
            carried_until: None,
            picks: Vec::new(),
            tasks: Vec::new(),
            first_tasks: Vec::new(),
            neighbours: [None; 2],
        };
        // Collection rows ascend as stores and their rows do: one integer sorts them.
        let mut order: Vec<(u32, u32)> = Vec::new();
        let mut starts = Vec::new();
        let (mut end, mut bytes) = (0u32, 0);
        let mut add = |window: &mut Window, rows: &[usize], slots, read: Range<usize>| {
            starts.push(end);
            let slot = rows.iter().zip(end..);
            order.extend(
                slot.filter(|(row, _)| read.contains(row))
                    .map(|(&row, slot)| (row as u32, slot)),
            );
            end += rows.len() as u32;
            window.batches.push(slots);
        };
        let new_slots = |rows: &[usize]| {
            let located = rows.iter().map(|&row| plan.locate(row)).collect();
            let pack = reading == Reading::Packed;
            BatchSlots::new(plan, located, format, pack, waiting).map(Arc::new)
        };
        let mut next = schedule.rows(first);
        while let Some(rows) = next.take() {
            let carried = carried.filter(|_| window.batches.is_empty());
            let slots = match carried {
                Some(carried) => carried.slots.clone(),
                None => match new_slots(&rows) {
                    // It fails as the first of a window of its own.
                    Err(_) if !window.batches.is_empty() => break,
                    slots => slots?,
                },
            };
            let batch_bytes = extent.batch_bytes(&slots, waiting);
            let from = carried.map_or(0, |carried| carried.until + 1);
            add(&mut window, &rows, slots, from..usize::MAX);
            bytes += batch_bytes;
            next = schedule.rows(first + window.batches.len());
            if bytes + batch_bytes > extent.budget {
                break;
            }
            if window.batches.len() < extent.batches {
                continue;
            }
            let (Ends::WithBand, Some(next_rows)) = (ends, &next) else {
                break;
            };
            match plan.rest_of_band(&rows, next_rows) {
                Rest::None => break,
                Rest::All => {}
                Rest::Until(until) => {
                    if let Ok(slots) = new_slots(next_rows) {
                        add(&mut window, next_rows, slots, 0..until + 1);
                        window.carried_until = Some(until);
                    }
                    break;
                }
            }
        }
        if ends != Ends::Anywhere {
            let before = first
                .checked_sub(1)
                .and_then(|number| schedule.rows(number));
            let row = |row: Option<&usize>| row.map(|&row| plan.locate(row));
            let before = before.as_ref().and_then(|rows| row(rows.last()));
            let after = next.as_ref().and_then(|rows| row(rows.first()));
            window.neighbours = [before, after];
        }
        if reading == Reading::ByBatch {
            for (number, &start) in starts.iter().enumerate() {
                let end = starts.get(number + 1).copied().unwrap_or(end);
                order[start as usize..end as usize].sort_unstable();
            }
        } else {
            order.sort_unstable();
        }
        window.picks = order
            .into_iter()
            .map(|(_, slot)| {
                let batch = starts.partition_point(|&start| start <= slot) - 1;
                Pick {
                    batch,
                    row: (slot - starts[batch]) as usize,
                }
            })
            .collect();
        match reading {
            Reading::ByBatch => {
                let mut start = 0;
                window.tasks.extend(window.batches.iter().map(|batch| {
                    let picks = start..start + batch.n_rows();
                    start = picks.end;
                    let (part, n_parts) = (0, 1);
                    Task {
                        picks,
                        part,
                        n_parts,
                    }
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
        if carried.is_some() {
            // The window before made room for it.
            first_tasks[0] = usize::MAX;
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
            // A band that two tasks share would be decoded, or waited for, by both.
            let source = plan.stores[store].costliest();
            let band_of =
                |pick: usize| source.map(|source| source.band(self.located(pick).1.into()));
            let mut end = start + 1;
            while end < self.picks.len()
                && self.located(end).0 == store
                && (end - start < TASK_ROWS || band_of(end) == band_of(end - 1))
            {
                end += 1;
            }
            let n_parts = source.map_or(1, |source| {
                let parts = source.band_bytes().div_ceil(PART_BYTES);
                parts.clamp(1, source.chunks_per_band().clamp(1, MOST_PARTS))
            });
            self.tasks.extend((0..n_parts).map(|part| Task {
                picks: start..end,
                part,
                n_parts,
            }));
            start = end;
        }
    }

    /// What the next window goes on with.
    pub(crate) fn carried(&self) -> Option<Carried> {
        let slots = self.batches.last()?.clone();
        self.carried_until.map(|until| Carried { slots, until })
    }

    /// Batches, with the one that the next window finishes.
    pub(crate) fn n_batches(&self) -> usize {
        self.batches.len()
    }

    pub(crate) fn n_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// For each batch, how often a task reads one of its rows: each part of a row counts.
    pub(crate) fn n_reads(&self) -> Vec<usize> {
        let mut counts = vec![0; self.n_batches()];
        for pick in (0..self.n_tasks()).flat_map(|task| self.picks_of(task)) {
            counts[pick.batch] += 1;
        }
        counts
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
        &self.picks[self.tasks[task].picks.clone()]
    }

    /// The first task of the same band.
    pub(crate) fn band_of(&self, task: usize) -> usize {
        task - self.tasks[task].part as usize
    }

    /// The batches whose first rows are in the band that begins with this task.
    fn begun_by(&self, band: usize) -> impl Iterator<Item = usize> {
        let first_tasks = self.first_tasks.iter().enumerate();
        first_tasks.filter_map(move |(batch, &first)| (first == band).then_some(batch))
    }

    /// The most bytes that a task takes, as far as its rows belong to the first `n_batches`: those of
    /// packed rows, and, if it is the first of its band to be read, those of other rows.
    pub(crate) fn task_bytes(&self, task: usize, n_batches: usize, is_first: bool) -> usize {
        let band = self.band_of(task);
        let placed = self.begun_by(band);
        let placed = placed.filter(|&batch| is_first && batch < n_batches);
        // Sparse rows are in the first part.
        let packed = self.picks_of(task).iter();
        let packed = packed.filter(|pick| band == task && pick.batch < n_batches);
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
        let Task {
            picks,
            part,
            n_parts,
        } = &self.tasks[task];
        if picks.is_empty() {
            return Vec::new();
        }
        let (store, _) = self.located(picks.start);
        let [mut before, mut after] = self.neighbours;
        if picks.start > 0 {
            before = Some(self.located(picks.start - 1));
        }
        if picks.end < self.picks.len() {
            after = Some(self.located(picks.end));
        }
        let [before, after] = [before, after].map(|neighbour| {
            let of_store = neighbour.filter(|&(other, _)| other == store);
            of_store.map(|(_, row)| row.into())
        });
        scratch.read.set_neighbours(before, after);
        let mut picks = Cow::Borrowed(self.picks_of(task));
        if n_batches < self.n_batches() {
            picks.to_mut().retain(|pick| pick.batch < n_batches);
        }
        let part = (*part, *n_parts);
        if *n_parts > 1 {
            // What the other parts will need is counted from now on.
            for batch in self.begun_by(self.band_of(task)).filter(|&b| b < n_batches) {
                self.batches[batch].begin();
            }
        }
        if fill(plan, &self.batches, &picks, part, scratch).is_ok() {
            return Vec::new();
        }
        // One bad row fails its own batch, not those of its neighbours: read them one by one.
        picks.to_mut().sort_by_key(|pick| pick.batch);
        let one = |picks: &[Pick]| {
            let mut scratch = FillScratch::default();
            let result = fill(plan, &self.batches, picks, part, &mut scratch);
            result.err().map(|error| (picks[0].batch, error))
        };
        let by_batch = picks.chunk_by(|a, b| a.batch == b.batch);
        by_batch.filter_map(one).collect()
    }

    /// A batch all of whose rows were read.
    pub(crate) fn finish(&self, plan: &Plan, batch: usize) -> Result<Batch, Error> {
        self.batches[batch].finish(plan)
    }
}
