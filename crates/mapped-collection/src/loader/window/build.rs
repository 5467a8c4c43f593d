//! Chooses the batches of a window, and cuts its reads into tasks.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use anndata_io::Packs;
use row_pack::Level;

use crate::batch::fill::BatchRow;
use crate::batch::slots::BatchSlots;
use crate::batch::waiting::WaitingRows;
use crate::error::read::ReadError;
use crate::loader::job::Job;
use crate::loader::policy::ReadMode;
use crate::loader::window::ends::{CarriedBatch, WindowEnd};
use crate::loader::window::{Task, Window};
use crate::plan::Plan;
use crate::plan::bands::Overlap;
use crate::plan::cache::first_of_process;
use crate::plan::location::RowLocation;

/// The fewest rows per read, so that the overhead of a read is small. A read may take a few more,
/// to end where a band of chunks ends.
const TASK_ROWS: usize = 128;
/// The most rows of a pack task: asking servers ahead takes time for each task. With fewer rows, tasks
/// are smaller, so that all threads have work.
const PACK_ROWS: usize = 1024;
/// The number of pack tasks for each thread, if there are enough rows.
const PACKS_PER_WORKER: usize = 8;

/// The approximate bytes of chunks that one read decodes. Larger bands are divided between threads.
const PART_BYTES: u64 = 16 << 20;
const MOST_PARTS: u64 = 64;

/// The batches that a window has, if they fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) first: usize,
    pub(crate) batches: usize,
    pub(crate) ends: WindowEnd,
    pub(crate) mode: ReadMode,
    /// How tightly sparse rows are packed while they wait, if they are.
    pub(crate) pack: Option<Level>,
    /// The bytes of the budget that packs have, or may have.
    pub(crate) pack_bytes: usize,
}

/// A row that a window is to read. Rows of the collection ascend as their locations do, so one
/// integer sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WantedRow {
    /// The row of the collection.
    row: u32,
    /// Its number among the rows of all batches of the window.
    number: u32,
}

/// The batches of a window while it is built.
#[derive(Default)]
struct WindowBuilder {
    batches: Vec<Arc<BatchSlots>>,
    /// Where the rows of each batch begin among those of all batches; `end` is where the last ones
    /// end.
    starts: Vec<u32>,
    end: u32,
    rows: Vec<WantedRow>,
    /// The last row of the collection that is read here of the last batch, if the next window
    /// finishes it.
    carried_until: Option<usize>,
}

impl WindowBuilder {
    /// Takes batches within `extent` as long as their rows fit, but at least one. Returns the rows
    /// of the batch that follows.
    fn take(
        &mut self,
        job: &Job,
        extent: &Extent,
        waiting: &Arc<WaitingRows>,
        carried: Option<&CarriedBatch>,
    ) -> Result<Option<Vec<usize>>, ReadError> {
        let alone = extent.ends == WindowEnd::WithBand;
        let (mut cost, mut next) = (0, job.schedule.rows_of_read(extent.first));
        while let Some(rows) = next.take() {
            let begun = carried.filter(|_| self.batches.is_empty());
            let slots = match begun {
                Some(begun) => begun.slots.clone(),
                None => match job.slots(&rows, extent.pack, waiting) {
                    // This batch will fail as the first of its own window.
                    Err(_) if !self.batches.is_empty() => break,
                    slots => slots?,
                },
            };
            let batch_cost = job.budget.cost(&slots, waiting, alone);
            let from = begun.map_or(0, |begun| begun.until + 1);
            self.add(&rows, slots, from..usize::MAX);
            cost += batch_cost;
            next = job.schedule.rows_of_read(extent.first + self.batches.len());
            if !job.budget.fits(cost + batch_cost, extent.pack_bytes) {
                break;
            }
            if self.batches.len() < extent.batches {
                continue;
            }
            let (WindowEnd::WithBand, Some(next_rows)) = (extent.ends, &next) else {
                break;
            };
            match job.plan.overlap(&rows, next_rows) {
                Overlap::Nothing => break,
                Overlap::All => {}
                Overlap::Until(until) => {
                    if let Ok(slots) = job.slots(next_rows, extent.pack, waiting) {
                        self.add(next_rows, slots, 0..until + 1);
                        self.carried_until = Some(until);
                    }
                    break;
                }
            }
        }
        Ok(next)
    }

    /// Adds a batch. Only its rows of the collection in `read` are to be read.
    fn add(&mut self, rows: &[usize], slots: Arc<BatchSlots>, read: Range<usize>) {
        let numbered = rows.iter().zip(self.end..);
        let wanted = numbered.filter(|(row, _)| read.contains(row));
        self.rows.extend(wanted.map(|(&row, number)| WantedRow {
            row: row as u32,
            number,
        }));
        self.starts.push(self.end);
        self.end += rows.len() as u32;
        self.batches.push(slots);
    }

    /// The rows that are to be read, in the order of reading.
    fn rows(&mut self, mode: ReadMode) -> Vec<BatchRow> {
        if mode == ReadMode::ByBatch {
            for (number, &start) in self.starts.iter().enumerate() {
                let end = self.starts.get(number + 1).copied().unwrap_or(self.end);
                self.rows[start as usize..end as usize].sort_unstable();
            }
        } else {
            self.rows.sort_unstable();
        }
        let batch_row = |&WantedRow { number, .. }: &WantedRow| {
            let batch = self.starts.partition_point(|&start| start <= number) - 1;
            let row = (number - self.starts[batch]) as usize;
            BatchRow { batch, row }
        };
        self.rows.iter().map(batch_row).collect()
    }
}

impl Window {
    /// Takes batches within `extent` as long as their rows fit, but at least one. `carried` is the
    /// first batch, if the window before has begun it. With packs, rows are read from them; the
    /// bands of the given batches are packed first.
    ///
    /// # Errors
    /// When the rows of the first batch do not fit together.
    pub(crate) fn build(
        job: &Job,
        extent: &Extent,
        packs: Option<(Packs, Range<usize>)>,
        waiting: &Arc<WaitingRows>,
        carried: Option<&CarriedBatch>,
    ) -> Result<Window, ReadError> {
        let mut builder = WindowBuilder::default();
        let next = builder.take(job, extent, waiting, carried)?;
        let mut neighbours = [None; 2];
        if extent.ends != WindowEnd::Anywhere {
            let before = extent.first.checked_sub(1);
            let before = before.and_then(|last| job.schedule.rows_of_read(last));
            let rows = [
                before.and_then(|rows| rows.last().copied()),
                next.and_then(|rows| rows.first().copied()),
            ];
            neighbours = rows.map(|row| row.map(|row| job.plan.locate(row)));
        }
        let rows = builder.rows(extent.mode);
        let batches = builder.batches;
        let mut window = Window {
            goes_on: carried.is_some(),
            n_reads: vec![0; batches.len()],
            batches,
            carried_until: builder.carried_until,
            rows,
            tasks: Vec::new(),
            neighbours,
            mode: extent.mode,
            packs: None,
            packed: Vec::new(),
            n_packing: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
        };
        if let Some((packs, batches)) = packs {
            window.packs = Some(packs);
            window.cut_packing(job, batches);
        }
        match extent.mode {
            ReadMode::ByBatch => window.cut_by_batch(),
            ReadMode::Together | ReadMode::Packed => window.cut(&job.plan),
        }
        for task in 0..window.n_tasks() {
            for row in 0..window.rows_of(task).len() {
                let batch = window.rows_of(task)[row].batch;
                window.n_reads[batch] += 1;
            }
        }
        Ok(window)
    }

    fn cut_by_batch(&mut self) {
        let mut start = 0;
        for batch in &self.batches {
            let rows = start..start + batch.n_rows();
            start = rows.end;
            self.tasks.push(Task::Read {
                rows,
                part: 0,
                n_parts: 1,
            });
        }
    }

    /// Lets threads pack the bands of these batches in file order. Afterwards, each batch is read
    /// by one thread, which waits for no other.
    fn cut_packing(&mut self, job: &Job, batches: Range<usize>) {
        let rows = batches.filter_map(|batch| job.schedule.rows_of_read(batch));
        self.packed = rows.flatten().map(|row| job.plan.locate(row)).collect();
        self.packed.sort_unstable();
        let (plan, n_rows) = (&job.plan, self.packed.len());
        let of_task = n_rows / (job.workers.max(1) * PACKS_PER_WORKER);
        let of_task = of_task.clamp(TASK_ROWS, PACK_ROWS);
        let mut start = 0;
        while start < n_rows {
            let end = end_of_task(plan, start..n_rows, of_task, |row| self.packed[row]);
            self.tasks.push(Task::Pack { rows: start..end });
            start = end;
        }
        self.n_packing = AtomicUsize::new(self.tasks.len());
        if plan.io.cache().is_some() {
            let first = first_of_process(self.tasks.len());
            self.tasks.rotate_left(first);
        }
    }

    /// Cuts where bands end, and cuts larger bands into parts.
    fn cut(&mut self, plan: &Plan) {
        let mut start = 0;
        while start < self.rows.len() {
            let rows = start..self.rows.len();
            let end = end_of_task(plan, rows, TASK_ROWS, |row| self.located(row));
            let store = self.located(start).store;
            let source = plan.stores[store].costliest();
            // A band is packed as a whole, and one read sums the variables of a row and transforms it.
            let needs_rows = plan.sums_variables(store) || plan.is_transformed();
            let may_divide = self.packs.is_none() && !needs_rows;
            let source = source.filter(|_| may_divide);
            let n_parts = source.map_or(1, |source| {
                let parts = source.band_bytes().div_ceil(PART_BYTES);
                parts.clamp(1, source.chunks_per_band().clamp(1, MOST_PARTS))
            });
            self.tasks.extend((0..n_parts).map(|part| Task::Read {
                rows: start..end,
                part,
                n_parts,
            }));
            start = end;
        }
    }
}

/// The end of the first task of some rows in file order: it has about `task_rows` rows of one store,
/// and ends where a band of the costliest matrix does. If two tasks shared a band, both would decode
/// it or wait for it.
fn end_of_task(
    plan: &Plan,
    rows: Range<usize>,
    task_rows: usize,
    located: impl Fn(usize) -> RowLocation,
) -> usize {
    let store = located(rows.start).store;
    let source = plan.stores[store].costliest();
    let band_of = |row: usize| source.map(|source| source.band(located(row).row.into()));
    let goes_on = |&end: &usize| {
        located(end).store == store
            && (end - rows.start < task_rows || band_of(end) == band_of(end - 1))
    };
    (rows.start + 1..rows.end)
        .find(|end| !goes_on(end))
        .unwrap_or(rows.end)
}
