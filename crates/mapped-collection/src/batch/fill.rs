//! Reads rows into the places of their batches.

use std::cell::Cell;
use std::sync::Arc;

use anndata_io::ReadScratch;

use crate::batch::Batch;
use crate::batch::form::BatchForm;
use crate::batch::matrix_slots::PlaceScratch;
use crate::batch::row_writer::RowWriter;
use crate::batch::slot_sink::SlotSink;
use crate::batch::slots::BatchSlots;
use crate::batch::transformed::Transformed;
use crate::batch::waiting::WaitingRows;
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::location::RowLocation;

/// One row of one of several batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchRow {
    pub(crate) batch: usize,
    pub(crate) row: usize,
}

/// Scratch memory for reading rows into their places. A thread keeps it from read to read.
#[derive(Debug, Default)]
pub(crate) struct FillScratch {
    pub(crate) read: ReadScratch,
    place: PlaceScratch,
}

thread_local! {
    static SCRATCH: Cell<FillScratch> = Cell::default();
}

impl FillScratch {
    /// Runs `read` with this thread's scratch for reads by index. The thread keeps buffers and
    /// decompressors from call to call; only the cache keeps chunks.
    pub(crate) fn of_thread<T>(read: impl FnOnce(&mut FillScratch) -> T) -> T {
        let mut scratch = SCRATCH.take();
        let result = read(&mut scratch);
        scratch.read.release_chunks();
        SCRATCH.set(scratch);
        result
    }

    /// The scratch for reads that pass over files once.
    pub(crate) fn for_scan() -> FillScratch {
        FillScratch {
            read: ReadScratch::for_scan(),
            ..Default::default()
        }
    }
}

/// Reads a part of the rows of several batches into their places: see [`MatrixSource::read_part`].
/// `rows` ascend by store and row of its file.
///
/// [`MatrixSource::read_part`]: anndata_io::MatrixSource::read_part
pub(crate) fn fill(
    plan: &Plan,
    batches: &[Arc<BatchSlots>],
    rows: &[BatchRow],
    part: (u64, u64),
    scratch: &mut FillScratch,
) -> Result<(), ReadError> {
    let located = |row: &BatchRow| batches[row.batch].located(row.row);
    let mut file_rows = Vec::new();
    let epoch = batches.first().map_or(0, |batch| batch.epoch());
    for rows in rows.chunk_by(|a, b| located(a).store == located(b).store) {
        let store = located(&rows[0]).store;
        file_rows.clear();
        file_rows.extend(rows.iter().map(|row| u64::from(located(row).row)));
        for (number, key) in plan.matrices.iter().enumerate() {
            let Some(source) = &plan.stores[store].matrices[number] else {
                continue;
            };
            let place = |index: usize| {
                let BatchRow { batch, row } = rows[index];
                (batches[batch].matrix(number), row)
            };
            let transformed = Transformed::new(plan, (store, key), source, epoch);
            let writer = RowWriter::new(plan, (store, key), transformed.as_ref());
            let mut sink = SlotSink::new(writer, &file_rows, place, &mut scratch.place);
            let read = source.read_part(&file_rows, part, &mut scratch.read, &mut sink);
            read.map_err(|error| ReadError::file(store, error))?;
            if let Some(fault) = sink.fault() {
                return Err(fault.of(plan, store, key));
            }
        }
    }
    Ok(())
}

/// As `fill`. If that fails, reads the rows again one by one, so that the error names the first bad
/// row.
pub(crate) fn fill_or_name_row(
    plan: &Plan,
    batches: &[Arc<BatchSlots>],
    rows: &[BatchRow],
    part: (u64, u64),
    scratch: &mut FillScratch,
) -> Result<(), ReadError> {
    let file_row = |row: &BatchRow| batches[row.batch].located(row.row).row;
    match (fill(plan, batches, rows, part, scratch), rows) {
        (Ok(()), _) => Ok(()),
        (Err(error), [row]) => Err(error.in_row(file_row(row))),
        (Err(error), rows) => {
            rows.iter().try_for_each(|row| {
                let one = std::slice::from_ref(row);
                let read = fill(plan, batches, one, part, scratch);
                read.map_err(|error| error.in_row(file_row(row)))
            })?;
            // Each row can be read by itself: the error belongs to no single row.
            Err(error)
        }
    }
}

/// Reads rows as one batch in this order.
///
/// # Errors
/// When the rows' stores differ in matrix keys or widths, or a file cannot be read.
pub(crate) fn read(
    plan: &Plan,
    located: Vec<RowLocation>,
    form: &BatchForm,
    waiting: &Arc<WaitingRows>,
) -> Result<Batch, ReadError> {
    plan.check_open()?;
    plan.prepare_stores_of(&located)?;
    let slots = Arc::new(BatchSlots::new(plan, located, form, None, waiting)?);
    let mut rows: Vec<BatchRow> = (0..slots.n_rows())
        .map(|row| BatchRow { batch: 0, row })
        .collect();
    rows.sort_by_key(|row| slots.located(row.row));
    let batches = std::slice::from_ref(&slots);
    FillScratch::of_thread(|scratch| fill_or_name_row(plan, batches, &rows, (0, 1), scratch))?;
    slots.finish(plan)
}
