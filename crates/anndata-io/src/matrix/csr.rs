//! Compressed sparse rows.

use std::ops::Range;

use super::compressed::Compressed;
use super::{ReadScratch, RowSink};
use crate::array::chunk_reader::CachePolicy;
use crate::array::{Array, STEP_ELEMENTS};
use crate::dtype::{DType, Scalar};
use crate::error::Error;
use crate::store::Store;
use crate::with_dtype;

/// A CSR matrix: row pointers in memory (8 bytes per row), the rest in the file.
#[derive(Debug, Clone)]
pub(super) struct CsrMatrix {
    parts: Compressed,
}

impl CsrMatrix {
    pub(super) fn open(store: &Store, element: &str) -> Result<CsrMatrix, Error> {
        Compressed::open(store, element, 0).map(CsrMatrix::new)
    }

    pub(super) fn new(parts: Compressed) -> CsrMatrix {
        CsrMatrix { parts }
    }

    pub(super) fn parts(&self) -> &Compressed {
        &self.parts
    }

    pub(super) fn shape(&self) -> &[u64] {
        &self.parts.shape
    }

    pub(super) fn dtype(&self) -> DType {
        self.parts.dtype()
    }

    pub(super) fn is_direct(&self) -> bool {
        self.parts.is_direct()
    }

    pub(super) fn band_len(&self) -> u64 {
        self.parts.band_len()
    }

    pub(super) fn band_bytes(&self) -> u64 {
        self.parts.band_bytes()
    }

    pub(super) fn rows_per_band(&self) -> u64 {
        let n_bands = self.parts.data.len().div_ceil(self.band_len()).max(1);
        (self.parts.shape[0] / n_bands).max(1)
    }

    pub(super) fn band(&self, row: u64) -> u64 {
        let start = usize::try_from(row)
            .ok()
            .and_then(|row| self.parts.indptr.get(row));
        start.map_or(u64::MAX, |start| start / self.band_len())
    }

    /// The elements of a row that exists.
    pub(super) fn range(&self, row: u64) -> Range<u64> {
        self.parts.indptr[row as usize]..self.parts.indptr[row as usize + 1]
    }

    /// The number of elements of all rows.
    pub(super) fn n_entries(&self) -> u64 {
        self.parts.indptr.last().copied().unwrap_or_default()
    }

    pub(super) fn stored_len(&self, row: u64) -> Option<u64> {
        let row = usize::try_from(row).ok()?;
        Some(self.parts.indptr.get(row.checked_add(1)?)? - self.parts.indptr[row])
    }

    pub(super) fn read_rows(
        &self,
        rows: &[u64],
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<(), Error> {
        self.parts.indices.check_rows(rows, self.parts.shape[0])?;
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        // The chunks at both ends of the piece may also hold rows of its neighbours.
        let (start, end) = (
            self.parts.indptr[first as usize],
            self.parts.indptr[last as usize + 1],
        );
        let scan = scratch.scan;
        let policy = |array: &Array| match scan {
            true => {
                let extent = array.chunk_shape()[0];
                let chunks = [start / extent, end.saturating_sub(1) / extent];
                CachePolicy::Only(chunks.map(|chunk| chunk..chunk + 1))
            }
            false => CachePolicy::All,
        };
        let (indices, data) = (&self.parts.indices, &self.parts.data);
        scratch.indices.begin(indices, policy(indices))?;
        scratch.data.begin(data, policy(data))?;
        let spans = || rows.iter().map(|&row| self.range(row));
        indices.stage(spans());
        data.stage(spans());
        with_dtype!(self.dtype(), T => self.read_typed::<T>(rows, scratch, sink))
    }

    fn read_typed<T: Scalar>(
        &self,
        rows: &[u64],
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<(), Error> {
        let ReadScratch {
            indices: column_reader,
            data: value_reader,
            raw_columns,
            raw_values,
            columns: wide,
            ..
        } = scratch;
        let column_size = self.parts.minor_type().size();
        let mut summed = SummedRow::default();
        let range = |row| self.range(row);
        // Each file read costs a system call, so neighbours are read together.
        let together = self.is_direct() && !(column_reader.is_mapped() && value_reader.is_mapped());
        // Elements that are stored as they are in memory are read without an extra copy.
        let in_place = self.is_direct() && !together && column_size == 4;
        let mut first = 0;
        while first < rows.len() {
            let Range { start, mut end } = range(rows[first]);
            let mut next = first + 1;
            while together && next < rows.len() && rows[next] == rows[next - 1] + 1 {
                let with_next = range(rows[next]).end;
                if with_next - start > STEP_ELEMENTS {
                    break;
                }
                (end, next) = (with_next, next + 1);
            }
            let len = (end - start) as usize;
            if in_place && let Some(buffer) = sink.row_buffer(first, len, T::DTYPE) {
                let columns = bytemuck::cast_slice_mut(buffer.columns);
                self.parts
                    .indices
                    .read_range_bytes(start..end, columns, column_reader)?;
                self.parts
                    .data
                    .read_range_bytes(start..end, buffer.values, value_reader)?;
                if is_canonical(buffer.columns) {
                    self.parts.check_minor(buffer.columns.last())?;
                    sink.row_filled();
                    first += 1;
                    continue;
                }
            }
            let raw_columns =
                self.parts
                    .indices
                    .read_or_view(start..end, column_reader, raw_columns)?;
            let values = self
                .parts
                .data
                .read_or_view(start..end, value_reader, raw_values)?;
            let values: &[T] = bytemuck::cast_slice(values);
            // A row may lie in two chunks: if it is requested again, it is still read once.
            let again = rows[next..].iter().take_while(|&&row| row == rows[first]);
            let copies = 1 + if next == first + 1 { again.count() } else { 0 };
            for (i, &row) in rows[first..next].iter().enumerate() {
                let span = range(row);
                let span = (span.start - start) as usize..(span.end - start) as usize;
                let raw = &raw_columns[span.start * column_size..span.end * column_size];
                let columns = self.parts.minors(raw, wide)?;
                let row_values = &values[span];
                let (columns, row_values) = if is_canonical(columns) {
                    self.parts.check_minor(columns.last())?;
                    (columns, row_values)
                } else {
                    self.parts.check_minor(columns.iter().max())?;
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
}

/// A row with ascending columns, in which the values of repeated columns were summed.
#[derive(Default)]
pub(super) struct SummedRow<T> {
    pub(super) columns: Vec<u32>,
    pub(super) values: Vec<T>,
    order: Vec<(u32, u32)>,
}

impl<T: Scalar> SummedRow<T> {
    pub(super) fn fill(&mut self, columns: &[u32], values: &[T]) {
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

pub(super) fn slice<T: Scalar>(values: &[T]) -> crate::dtype::ValuesRef<'_> {
    crate::dtype::ValuesRef::from_bytes(T::DTYPE, bytemuck::cast_slice(values))
}

/// Whether columns ascend and none repeats.
#[inline]
pub(super) fn is_canonical(columns: &[u32]) -> bool {
    // Without an early exit, the compiler compares several at once.
    let next = columns.get(1..).unwrap_or_default();
    let pairs = columns.iter().zip(next);
    pairs.fold(true, |ascend, (a, b)| ascend & (a < b))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;
    use crate::dtype::{Values, ValuesRef};
    use crate::matrix::RowBuffer;
    use crate::store::MemoryStore;

    /// Rows as columns and values; some rows are read in place.
    #[derive(Default)]
    struct Rows {
        rows: Vec<(Vec<u32>, Vec<i16>)>,
        has_buffer: bool,
    }

    impl RowSink for Rows {
        fn dense(&mut self, _: usize, _: usize, _: ValuesRef<'_>) {
            panic!("the rows are sparse");
        }

        fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
            self.rows[row] = (columns.to_vec(), values.to_vec());
        }

        fn row_buffer(&mut self, row: usize, len: usize, dtype: DType) -> Option<RowBuffer<'_>> {
            assert_eq!(dtype, DType::I16);
            let (columns, values) = &mut self.rows[row];
            columns.resize(len, 0);
            values.resize(len, 0);
            self.has_buffer.then_some(RowBuffer {
                columns,
                values: bytemuck::cast_slice_mut(values),
            })
        }
    }

    /// The stored entries of each row: columns in any order, some of them twice.
    type Entries = Vec<Vec<(u32, i16)>>;

    fn matrix(entries: &Entries, n_columns: u64, chunk: Option<u64>) -> CsrMatrix {
        let mut indptr = vec![0];
        let (mut indices, mut data) = (Vec::new(), Vec::new());
        for row in entries {
            indices.extend(row.iter().map(|&(column, _)| column as i32));
            data.extend(row.iter().map(|&(_, value)| value));
            indptr.push(indices.len() as i64);
        }
        let shape = [entries.len() as u64, n_columns];
        let mut store = MemoryStore::new("cells");
        if let Some(rows) = chunk.and_then(NonZeroU64::new) {
            store = store.chunked(rows);
        }
        let store = store.csr("X", shape, indptr, indices, Values::I16(data));
        CsrMatrix::open(&store.into(), "X").expect("a valid matrix")
    }

    fn read(matrix: &CsrMatrix, rows: &[u64], scratch: &mut ReadScratch, has_buffer: bool) -> Rows {
        let mut sink = Rows {
            rows: vec![Default::default(); rows.len()],
            has_buffer,
        };
        let read = matrix.read_rows(rows, scratch, &mut sink);
        read.expect("rows that exist");
        sink
    }

    /// Returns ascending columns, the values of each summed.
    fn canonical(row: &[(u32, i16)]) -> (Vec<u32>, Vec<i16>) {
        let mut sums = std::collections::BTreeMap::<u32, i16>::new();
        for &(column, value) in row {
            let sum = sums.entry(column).or_default();
            *sum = sum.wrapping_add(value);
        }
        sums.into_iter().unzip()
    }

    proptest! {
        #[test]
        fn csr_rows_are_canonical_whatever_is_stored(
            entries in prop::collection::vec(prop::collection::vec((0..9_u32, any::<i16>()), 0..7), 1..8),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            chunk in prop::option::of(1..7_u64),
            scan in any::<bool>(),
        ) {
            let matrix = matrix(&entries, 9, chunk);
            let mut rows: Vec<u64> = picks.iter().map(|pick| pick.index(entries.len()) as u64).collect();
            rows.sort_unstable();
            let expected: Vec<_> = rows.iter().map(|&row| canonical(&entries[row as usize])).collect();
            for has_buffer in [false, true] {
                let mut scratch = if scan { ReadScratch::for_scan() } else { ReadScratch::default() };
                let found = read(&matrix, &rows, &mut scratch, has_buffer);
                prop_assert_eq!(&found.rows, &expected, "buffer: {}", has_buffer);
            }
            for (row, stored) in entries.iter().enumerate() {
                prop_assert_eq!(matrix.stored_len(row as u64), Some(stored.len() as u64));
            }
            prop_assert_eq!(matrix.stored_len(entries.len() as u64), None);
        }
    }

    #[test]
    fn csr_bands_grow_with_the_row() {
        let entries = vec![vec![(0, 1), (1, 1)]; 10];
        let matrix = matrix(&entries, 2, Some(5));
        let bands: Vec<u64> = (0..10).map(|row| matrix.band(row)).collect();
        assert_eq!(bands, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]);
        assert_eq!(matrix.rows_per_band(), 2);
        assert_eq!(matrix.band_bytes(), 5 * 4 + 5 * 2, "indices and data");
    }

    #[test]
    fn csr_refuses_a_column_that_does_not_exist() {
        for (column, says) in [(3, "column 3"), (u32::MAX, "column -1")] {
            for entries in [vec![(1, 1), (column, 1)], vec![(column, 1), (1, 1)]] {
                let matrix = matrix(&vec![entries], 3, None);
                for has_buffer in [false, true] {
                    let mut sink = Rows {
                        rows: vec![Default::default()],
                        has_buffer,
                    };
                    let read = matrix.read_rows(&[0], &mut ReadScratch::default(), &mut sink);
                    let error = read.expect_err("3 columns").to_string();
                    assert!(error.contains("columns from 0 to below 3"), "{error}");
                    assert!(error.ends_with(says), "{error}");
                }
            }
        }
    }

    #[test]
    fn summed_row_adds_the_values_of_a_column() {
        let mut summed = SummedRow::default();
        summed.fill(&[5, 2, 5, 2], &[1u8, 2, 3, 255]);
        assert_eq!(summed.columns, [2, 5]);
        assert_eq!(summed.values, [1, 4], "integers wrap");
    }

    #[test]
    fn is_canonical_requires_ascending_columns() {
        assert!(is_canonical(&[]) && is_canonical(&[7]) && is_canonical(&[0, 1, 9]));
        assert!(!is_canonical(&[1, 1]) && !is_canonical(&[0, 9, 1]));
    }
}
