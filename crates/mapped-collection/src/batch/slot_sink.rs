//! Hands the rows of one read to their places.

use std::ops::Range;
use std::sync::MutexGuard;

use anndata_io::{DType, RowBuffer, RowSink, Scalar, ValuesRef, with_dtype};

use crate::batch::matrix_slots::{Filled, MatrixSlots, PlaceScratch, RowStorage};
use crate::batch::row_writer::{RowFault, RowWriter};

/// Puts the rows of one read into their places.
pub(crate) struct SlotSink<'a, 's, F> {
    writer: RowWriter<'a>,
    /// The rows of the file that are read.
    rows: &'a [u64],
    /// The matrix, and the row in it, of each row that is read.
    place: F,
    scratch: &'s mut PlaceScratch,
    lent: Option<LentRow<'a>>,
    fault: Option<RowFault>,
}

/// The place of a sparse row, lent to the source, which reads the row into it.
struct LentRow<'a> {
    writer: RowWriter<'a>,
    /// Its matrix. One lock is held at a time: with two, threads could deadlock.
    filled: MutexGuard<'a, Filled>,
    /// Its number in the batch.
    row: usize,
    place: Range<usize>,
}

impl<'a, 's, F> SlotSink<'a, 's, F> {
    pub(crate) fn new(
        writer: RowWriter<'a>,
        rows: &'a [u64],
        place: F,
        scratch: &'s mut PlaceScratch,
    ) -> Self {
        scratch.join.clear();
        SlotSink {
            writer,
            rows,
            place,
            scratch,
            lent: None,
            fault: None,
        }
    }

    fn writer(&self, row: usize) -> RowWriter<'a> {
        self.writer.of_row(self.rows[row] as u32)
    }

    /// Why one of the rows could not be written.
    pub(crate) fn fault(self) -> Option<RowFault> {
        self.fault
    }
}

impl<'a, F: Fn(usize) -> (&'a MatrixSlots, usize)> RowSink for SlotSink<'a, '_, F> {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        self.lent = None;
        let (run, writer) = ((row, start), self.writer(row));
        let (slots, row) = (self.place)(row);
        let checked = writer.check(values);
        let put = checked.and_then(|()| slots.put_dense(row, writer, run, values, self.scratch));
        self.fault = self.fault.or(put.err());
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.lent = None;
        let writer = self.writer(row);
        let (slots, row) = (self.place)(row);
        let checked = writer.check(values);
        let put =
            checked.and_then(|()| slots.put_sparse(row, writer, columns, values, self.scratch));
        self.fault = self.fault.or(put.err());
    }

    fn row_buffer(&mut self, read_row: usize, len: usize, dtype: DType) -> Option<RowBuffer<'_>> {
        self.lent = None;
        let writer = self.writer(read_row);
        let (slots, row) = (self.place)(read_row);
        let RowStorage::Sparse { starts } = &slots.storage else {
            return None;
        };
        if self.writer.map.is_some() || self.writer.counts || slots.dtype != dtype {
            return None;
        }
        let place = starts[row]..starts[row] + len;
        let lent = self.lent.insert(LentRow {
            writer,
            filled: slots.started(),
            row,
            place: place.clone(),
        });
        let Filled::Sparse {
            columns,
            values,
            lens,
        } = &mut *lent.filled
        else {
            return None;
        };
        lens[row] = len as u32;
        let columns = &mut columns[place.clone()];
        let values = with_dtype!(dtype, T => {
            let values = T::as_mut_vec(values).expect("its own type");
            bytemuck::cast_slice_mut(&mut values[place])
        });
        Some(RowBuffer { columns, values })
    }

    fn row_filled(&mut self) {
        let Some(LentRow {
            writer,
            mut filled,
            row,
            place,
        }) = self.lent.take()
        else {
            return;
        };
        let Filled::Sparse {
            columns,
            values,
            lens,
        } = &mut *filled
        else {
            return;
        };
        if writer.transformed.is_none() {
            return;
        }
        let columns = &mut columns[place.clone()];
        let written = with_dtype!(values.dtype(), T => {
            let values = &mut T::as_mut_vec(values).expect("its own type")[place];
            writer.in_place(columns, values, &mut self.scratch.join)
        });
        match written {
            Ok(len) => lens[row] = len as u32,
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
    }
}
