//! Compressed sparse rows.

use std::sync::Arc;

use super::{ReadScratch, RowSink, check_rows, emptied};
use crate::array::Array;
use crate::dtype::{DType, Stored, Values};
use crate::error::Error;
use crate::store::{Attribute, Store};
use crate::with_dtype;

/// Nonzeros read at a time, at least one row: what stays in the processor's cache.
const STEP: u64 = 64 << 10;

/// A CSR matrix: row pointers in memory (8 bytes a row), the rest in the file.
#[derive(Debug, Clone)]
pub(super) struct CsrMatrix {
    shape: [u64; 2],
    indptr: Arc<Vec<u64>>,
    indices: Array,
    data: Array,
}

impl CsrMatrix {
    pub(super) fn open(store: &Store, element: &str) -> Result<CsrMatrix, Error> {
        let part = |name: &str| store.array(&format!("{element}/{name}"));
        let (indptr, indices, data) = (part("indptr")?, part("indices")?, part("data")?);
        let shape = match store.attribute(element, "shape")? {
            Some(Attribute::Integers(shape))
                if shape.len() == 2 && shape.iter().all(|&n| n >= 0) =>
            {
                [shape[0] as u64, shape[1] as u64]
            }
            found => {
                let found = found.map_or("none".to_owned(), |found| format!("{found:?}"));
                return Err(store.invalid(element, "attribute shape of two lengths", found));
            }
        };
        for array in [&indptr, &indices] {
            if !array.dtype().is_some_and(DType::is_integer) {
                let found = array.dtype().map_or("text", DType::name);
                return Err(array.invalid("integers", found));
            }
        }
        data.number_type()?;
        for array in [&indptr, &indices, &data] {
            if array.shape().len() != 1 {
                return Err(array.invalid("a 1-D array", format!("shape {:?}", array.shape())));
            }
        }
        if indices.len() != data.len() {
            let expected = format!("as many indices as data ({})", data.len());
            return Err(indices.invalid(expected, indices.len().to_string()));
        }
        if Some(indptr.len()) != shape[0].checked_add(1) {
            let expected = format!(
                "{} row pointers for {} rows",
                shape[0].saturating_add(1),
                shape[0]
            );
            return Err(indptr.invalid(expected, indptr.len().to_string()));
        }
        let indptr = row_pointers(&indptr, data.len())?;
        // A row may be as long as these: they must be able to hold what they claim.
        for array in [&indices, &data] {
            array.check_written()?;
        }
        Ok(CsrMatrix {
            shape,
            indptr: Arc::new(indptr),
            indices,
            data,
        })
    }

    pub(super) fn shape(&self) -> &[u64] {
        &self.shape
    }

    pub(super) fn dtype(&self) -> DType {
        self.data.dtype().expect("checked when it was opened")
    }

    pub(super) fn is_direct(&self) -> bool {
        self.indices.is_direct() && self.data.is_direct()
    }

    pub(super) fn stored_len(&self, row: u64) -> Option<u64> {
        let row = usize::try_from(row).ok()?;
        Some(self.indptr.get(row.checked_add(1)?)? - self.indptr[row])
    }

    pub(super) fn read_rows(
        &self,
        rows: &[u64],
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<(), Error> {
        check_rows(&self.indices, rows, self.shape[0])?;
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        scratch.indices.mapped = self.indices.check_unchanged()?;
        scratch.data.mapped = self.data.check_unchanged()?;
        // The chunks at both ends of the piece may hold rows of its neighbours.
        let (start, end) = (self.indptr[first as usize], self.indptr[last as usize + 1]);
        let ends = |array: &Array| {
            let extent = array.chunk_shape()[0];
            scratch
                .scan
                .then_some([start / extent, end.saturating_sub(1) / extent])
        };
        (scratch.indices.shared, scratch.data.shared) = (ends(&self.indices), ends(&self.data));
        with_dtype!(self.dtype(), T => self.read_typed::<T>(rows, scratch, sink))
    }

    fn read_typed<T: Stored>(
        &self,
        rows: &[u64],
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<(), Error> {
        let index_type = self.indices.dtype().expect("checked when it was opened");
        let mut raw_columns = emptied(&mut scratch.raw_columns, index_type);
        let mut data = emptied(&mut scratch.raw_data, T::DTYPE);
        let ReadScratch {
            indices: column_cursor,
            data: data_cursor,
            columns: wide,
            ..
        } = scratch;
        let (mut order, mut unique_columns, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        let range = |row: u64| self.indptr[row as usize]..self.indptr[row as usize + 1];
        let mut first = 0;
        while first < rows.len() {
            let (mut end, mut nonzeros) = (first, 0);
            while end < rows.len() && (end == first || nonzeros < STEP) {
                nonzeros += range(rows[end]).count() as u64;
                end += 1;
            }
            raw_columns.clear();
            data.clear();
            let ranges = || rows[first..end].iter().map(|&row| range(row));
            self.indices
                .read_ranges(ranges(), &mut raw_columns, column_cursor)?;
            self.data.read_ranges(ranges(), &mut data, data_cursor)?;
            let columns = self.columns(&raw_columns, wide)?;
            let values = T::from_slice(data.as_slice()).expect("made of this type");
            let mut at = 0;
            for (i, &row) in rows[first..end].iter().enumerate() {
                let len = range(row).count();
                let (row_columns, row_values) = (&columns[at..at + len], &values[at..at + len]);
                at += len;
                if is_canonical(row_columns) {
                    sink.sparse(first + i, row_columns, slice(row_values));
                } else {
                    order.clear();
                    order.extend(row_columns.iter().copied().zip(0u32..));
                    order.sort_unstable();
                    unique_columns.clear();
                    sums.clear();
                    for &(column, from) in &order {
                        let value = row_values[from as usize];
                        if unique_columns.last() == Some(&column) {
                            let sum: &mut T = sums.last_mut().expect("one for each column");
                            *sum = sum.add(value);
                        } else {
                            unique_columns.push(column);
                            sums.push(value);
                        }
                    }
                    sink.sparse(first + i, &unique_columns, slice(&sums));
                }
            }
            first = end;
        }
        (scratch.raw_columns, scratch.raw_data) = (Some(raw_columns), Some(data));
        Ok(())
    }

    /// Column numbers as 32-bit integers, all within the matrix. Only integers of other widths are
    /// copied.
    fn columns<'a>(&self, raw: &'a Values, wide: &'a mut Vec<u32>) -> Result<&'a [u32], Error> {
        /// The columns, and the largest; a negative number becomes a very large one.
        macro_rules! widen {
            ($values:expr) => {{
                wide.clear();
                wide.extend($values.iter().map(|&column| column as u32));
                let largest = $values.iter().map(|&column| column as u64).max();
                (&wide[..], largest)
            }};
        }
        let largest = |columns: &[u32]| columns.iter().copied().max().map(u64::from);
        let (columns, largest) = match raw {
            Values::I32(v) => {
                let columns = bytemuck::cast_slice(v);
                (columns, largest(columns))
            }
            Values::U32(v) => (&v[..], largest(v)),
            Values::I8(v) => widen!(v),
            Values::U8(v) => widen!(v),
            Values::I16(v) => widen!(v),
            Values::U16(v) => widen!(v),
            Values::I64(v) => widen!(v),
            Values::U64(v) => widen!(v),
            Values::Bool(_) | Values::F16(_) | Values::F32(_) | Values::F64(_) => {
                unreachable!("checked when it was opened")
            }
        };
        let n_cols = self.shape[1];
        match largest {
            Some(largest) if largest >= n_cols => {
                let found = format!("column {largest}, or a negative one");
                let expected = format!("columns from 0 to below {n_cols}");
                Err(self.indices.invalid(expected, found))
            }
            _ => Ok(columns),
        }
    }
}

fn slice<T: Stored>(values: &[T]) -> crate::dtype::Slice<'_> {
    crate::dtype::Slice::from_bytes(T::DTYPE, bytemuck::cast_slice(values))
}

/// Whether columns ascend and none repeats.
#[inline]
fn is_canonical(columns: &[u32]) -> bool {
    columns.windows(2).all(|pair| pair[0] < pair[1])
}

/// The row pointers, which must start at 0, not decrease, and stay within the nonzeros.
fn row_pointers(array: &Array, nonzeros: u64) -> Result<Vec<u64>, Error> {
    let indptr = match array.read_all()? {
        Values::U64(values) => values,
        // A negative number becomes a very large one.
        Values::I64(values) => bytemuck::allocation::cast_vec(values),
        values => bytemuck::allocation::cast_vec(values.as_slice().to_vec::<i64>()),
    };
    if let Some(&first) = indptr.first().filter(|&&first| first != 0) {
        return Err(array.invalid("row pointers that start at 0", (first as i64).to_string()));
    }
    if let Some(row) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        let found = format!(
            "{} after {} at row {row}",
            indptr[row + 1] as i64,
            indptr[row]
        );
        return Err(array.invalid("row pointers that do not decrease", found));
    }
    match indptr.last() {
        Some(&last) if last > nonzeros => {
            let expected = format!("row pointers up to the {nonzeros} nonzeros stored");
            Err(array.invalid(expected, last.to_string()))
        }
        _ => Ok(indptr),
    }
}
