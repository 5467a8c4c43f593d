//! A window: the rows of several coming batches, read together in file order.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::batch::pool::Waiting;
use crate::batch::{Batch, BatchFormat, BatchSlots, FillScratch, Pick, fill};
use crate::error::Error;
use crate::loader::bands::{Carried, Ends, Extent, Rest};
use crate::order::schedule::Schedule;
use crate::plan::Plan;

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
    /// How often tasks read a row of each batch: each part of a row counts.
    n_reads: Vec<usize>,
    /// The rows, as store and row in its file, that windows before and after this one have next to it.
    neighbours: [Option<(usize, u32)>; 2],
}

/// The batches of a window while it is planned.
#[derive(Default)]
struct Taken {
    batches: Vec<Arc<BatchSlots>>,
    /// Where the rows of each batch begin, and where those of the last one end.
    starts: Vec<u32>,
    end: u32,
    /// Row of the collection, and number among the rows of all batches. Rows of the collection
    /// ascend as stores and their rows do: one integer sorts them.
    rows: Vec<(u32, u32)>,
}

impl Taken {
    /// Adds a batch, of which only some rows of the collection are to be read.
    fn add(&mut self, rows: &[usize], slots: Arc<BatchSlots>, read: Range<usize>) {
        let numbered = rows.iter().zip(self.end..);
        let wanted = numbered.filter(|(row, _)| read.contains(row));
        self.rows
            .extend(wanted.map(|(&row, number)| (row as u32, number)));
        self.starts.push(self.end);
        self.end += rows.len() as u32;
        self.batches.push(slots);
    }

    /// The rows that are to be read, in the order of reading.
    fn picks(mut self, reading: Reading) -> (Vec<Arc<BatchSlots>>, Vec<Pick>) {
        if reading == Reading::ByBatch {
            for (number, &start) in self.starts.iter().enumerate() {
                let end = self.starts.get(number + 1).copied().unwrap_or(self.end);
                self.rows[start as usize..end as usize].sort_unstable();
            }
        } else {
            self.rows.sort_unstable();
        }
        let pick = |(_, number): (u32, u32)| {
            let batch = self.starts.partition_point(|&start| start <= number) - 1;
            let row = (number - self.starts[batch]) as usize;
            Pick { batch, row }
        };
        let picks = self.rows.iter().copied().map(pick).collect();
        (self.batches, picks)
    }
}

impl Window {
    /// Takes batches as the extent says, as long as their rows fit; at least one. `carried` is what
    /// the window before has begun of the first one.
    pub(crate) fn plan(
        plan: &Plan,
        schedule: &Schedule,
        extent: &Extent,
        (format, reading): (&BatchFormat, Reading),
        waiting: &Arc<Waiting>,
        carried: Option<&Carried>,
    ) -> Result<Window, Error> {
        let Extent { first, ends, .. } = *extent;
        let (mut taken, mut bytes, mut carried_until) = (Taken::default(), 0, None);
        let new_slots = |rows: &[usize]| {
            let located = rows.iter().map(|&row| plan.locate(row)).collect();
            let pack = reading == Reading::Packed;
            BatchSlots::new(plan, located, format, pack, waiting).map(Arc::new)
        };
        let mut next = schedule.rows(first);
        while let Some(rows) = next.take() {
            let begun = carried.filter(|_| taken.batches.is_empty());
            let slots = match begun {
                Some(begun) => begun.slots.clone(),
                None => match new_slots(&rows) {
                    // It fails as the first of a window of its own.
                    Err(_) if !taken.batches.is_empty() => break,
                    slots => slots?,
                },
            };
            let batch_bytes = extent.batch_bytes(&slots, waiting);
            let from = begun.map_or(0, |begun| begun.until + 1);
            taken.add(&rows, slots, from..usize::MAX);
            bytes += batch_bytes;
            next = schedule.rows(first + taken.batches.len());
            if bytes + batch_bytes > extent.budget {
                break;
            }
            if taken.batches.len() < extent.batches {
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
                        taken.add(next_rows, slots, 0..until + 1);
                        carried_until = Some(until);
                    }
                    break;
                }
            }
        }
        let mut neighbours = [None; 2];
        if ends != Ends::Anywhere {
            let before = first.checked_sub(1).and_then(|last| schedule.rows(last));
            let ends = [
                before.and_then(|rows| rows.last().copied()),
                next.and_then(|rows| rows.first().copied()),
            ];
            neighbours = ends.map(|row| row.map(|row| plan.locate(row)));
        }
        let (batches, picks) = taken.picks(reading);
        let mut window = Window {
            first_tasks: vec![usize::MAX; batches.len()],
            n_reads: vec![0; batches.len()],
            batches,
            carried_until,
            picks,
            tasks: Vec::new(),
            neighbours,
        };
        match reading {
            Reading::ByBatch => window.cut_by_batch(),
            Reading::Together | Reading::Packed => window.cut(plan),
        }
        for (number, task) in window.tasks.iter().enumerate() {
            for pick in &window.picks[task.picks.clone()] {
                let first = &mut window.first_tasks[pick.batch];
                *first = number.min(*first);
                window.n_reads[pick.batch] += 1;
            }
        }
        if carried.is_some() {
            // The window before made room for it.
            window.first_tasks[0] = usize::MAX;
        }
        Ok(window)
    }

    fn located(&self, pick: usize) -> (usize, u32) {
        let Pick { batch, row } = self.picks[pick];
        self.batches[batch].located(row)
    }

    fn cut_by_batch(&mut self) {
        let mut start = 0;
        for batch in &self.batches {
            let picks = start..start + batch.n_rows();
            start = picks.end;
            self.tasks.push(Task {
                picks,
                part: 0,
                n_parts: 1,
            });
        }
    }

    /// Cuts where bands end; larger bands into parts.
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

    /// For each batch, how often a task reads one of its rows.
    pub(crate) fn n_reads(&self) -> &[usize] {
        &self.n_reads
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
