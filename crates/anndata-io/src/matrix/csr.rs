//! Compressed sparse rows.

use std::ops::Range;
use std::sync::Arc;

use super::{ReadScratch, RowSink, check_rows};
use crate::array::Array;
use crate::dtype::{DType, Stored, Values};
use crate::error::Error;
use crate::store::{Attribute, Store};
use crate::with_dtype;

/// Nonzeros of neighbouring rows that are read together where a read is a system call.
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
            None => store.attribute(element, "h5sparse_shape")?,
            shape => shape,
        };
        let shape = match shape {
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

    /// Elements of a band: chunks of indices and of data may differ.
    fn band_len(&self) -> u64 {
        self.data.chunk_shape()[0].max(self.indices.chunk_shape()[0])
    }

    pub(super) fn rows_per_band(&self) -> u64 {
        let n_bands = self.data.len().div_ceil(self.band_len()).max(1);
        (self.shape[0] / n_bands).max(1)
    }

    pub(super) fn band(&self, row: u64) -> u64 {
        let start = usize::try_from(row)
            .ok()
            .and_then(|row| self.indptr.get(row));
        start.map_or(u64::MAX, |start| start / self.band_len())
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
        let ReadScratch {
            indices: column_cursor,
            data: value_cursor,
            raw_columns,
            raw_values,
            columns: wide,
            ..
        } = scratch;
        let column_size = self.column_type().size();
        let mut summed = Summed::default();
        let range = |row: u64| self.indptr[row as usize]..self.indptr[row as usize + 1];
        // A read of a file costs a system call: neighbours are read together.
        let together = self.is_direct() && !(column_cursor.mapped && value_cursor.mapped);
        // Elements that lie in the file as they do in memory need no copy on the way.
        let in_place = self.is_direct() && !together && column_size == 4;
        let mut first = 0;
        while first < rows.len() {
            let Range { start, mut end } = range(rows[first]);
            let mut next = first + 1;
            while together && next < rows.len() && rows[next] == rows[next - 1] + 1 {
                let with_next = range(rows[next]).end;
                if with_next - start > STEP {
                    break;
                }
                (end, next) = (with_next, next + 1);
            }
            let len = (end - start) as usize;
            if in_place && let Some(room) = sink.room(first, len, T::DTYPE) {
                let columns = bytemuck::cast_slice_mut(room.columns);
                self.indices
                    .read_range_bytes(start..end, columns, column_cursor)?;
                self.data
                    .read_range_bytes(start..end, room.values, value_cursor)?;
                if is_canonical(room.columns) {
                    self.check_column(room.columns.last())?;
                    first += 1;
                    continue;
                }
            }
            let raw_columns = self
                .indices
                .read_or_view(start..end, column_cursor, raw_columns)?;
            let values = self
                .data
                .read_or_view(start..end, value_cursor, raw_values)?;
            let values: &[T] = bytemuck::cast_slice(values);
            // A row that is asked for again may lie in two chunks: it is read once.
            let again = rows[next..].iter().take_while(|&&row| row == rows[first]);
            let copies = 1 + if next == first + 1 { again.count() } else { 0 };
            for (i, &row) in rows[first..next].iter().enumerate() {
                let span = range(row);
                let span = (span.start - start) as usize..(span.end - start) as usize;
                let raw = &raw_columns[span.start * column_size..span.end * column_size];
                let columns = self.columns(raw, wide)?;
                let row_values = &values[span];
                let (columns, row_values) = if is_canonical(columns) {
                    self.check_column(columns.last())?;
                    (columns, row_values)
                } else {
                    self.check_column(columns.iter().max())?;
                    summed.fill(columns, row_values);
                    (&summed.columns[..], &summed.values[..])
                };
                for copy in 0..copies {
                    sink.sparse(first + i + copy, columns, slice(row_values));
                }
            }
            first = next.max(first + copies);
        }
        Ok(())
    }

    fn column_type(&self) -> DType {
        self.indices.dtype().expect("checked when it was opened")
    }

    /// The columns of a row as 32-bit integers; one that is negative or wider becomes one that no
    /// matrix has. Only integers of other widths are copied.
    fn columns<'a>(&self, raw: &'a [u8], wide: &'a mut Vec<u32>) -> Result<&'a [u32], Error> {
        macro_rules! widen {
            ($T:ty) => {{
                wide.clear();
                wide.extend(
                    bytemuck::cast_slice(raw)
                        .iter()
                        .map(|&column: &$T| column as u32),
                );
                wide
            }};
        }
        macro_rules! narrow {
            ($T:ty) => {{
                let columns: &[$T] = bytemuck::cast_slice(raw);
                let largest = columns.iter().map(|&column| column as u64).max();
                if largest.is_some_and(|column| column > u32::MAX.into()) {
                    return Err(self.no_such_column(largest.unwrap_or_default()));
                }
                widen!($T)
            }};
        }
        Ok(match self.column_type() {
            DType::I32 | DType::U32 => bytemuck::cast_slice(raw),
            DType::I8 => widen!(i8),
            DType::U8 => widen!(u8),
            DType::I16 => widen!(i16),
            DType::U16 => widen!(u16),
            DType::I64 => narrow!(i64),
            DType::U64 => narrow!(u64),
            DType::Bool | DType::F16 | DType::F32 | DType::F64 => {
                unreachable!("checked when it was opened")
            }
        })
    }

    /// Refuses the largest column of a row when the matrix does not have it.
    fn check_column(&self, largest: Option<&u32>) -> Result<(), Error> {
        match largest {
            Some(&column) if u64::from(column) >= self.shape[1] => {
                Err(self.no_such_column(column.into()))
            }
            _ => Ok(()),
        }
    }

    fn no_such_column(&self, column: u64) -> Error {
        let found = format!("column {column}, or a negative one");
        let expected = format!("columns from 0 to below {}", self.shape[1]);
        self.indices.invalid(expected, found)
    }
}

/// A row whose columns were made to ascend, the values of repeated ones summed.
#[derive(Default)]
struct Summed<T> {
    columns: Vec<u32>,
    values: Vec<T>,
    order: Vec<(u32, u32)>,
}

impl<T: Stored> Summed<T> {
    fn fill(&mut self, columns: &[u32], values: &[T]) {
        self.order.clear();
        self.order.extend(columns.iter().copied().zip(0u32..));
        self.order.sort_unstable();
        self.columns.clear();
        self.values.clear();
        for &(column, from) in &self.order {
            let value = values[from as usize];
            if self.columns.last() == Some(&column) {
                let sum = self.values.last_mut().expect("one for each column");
                *sum = sum.add(value);
            } else {
                self.columns.push(column);
                self.values.push(value);
            }
        }
    }
}

fn slice<T: Stored>(values: &[T]) -> crate::dtype::Slice<'_> {
    crate::dtype::Slice::from_bytes(T::DTYPE, bytemuck::cast_slice(values))
}

/// Whether columns ascend and none repeats.
#[inline]
fn is_canonical(columns: &[u32]) -> bool {
    // Without a way out in the middle, several are compared at once.
    let next = columns.get(1..).unwrap_or_default();
    let pairs = columns.iter().zip(next);
    pairs.fold(true, |ascend, (a, b)| ascend & (a < b))
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
