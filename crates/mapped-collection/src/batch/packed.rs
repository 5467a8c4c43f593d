//! Sparse rows that wait for their batch, packed without loss by the crate `row-pack`.
//!
//! An exact shuffle decodes a file once per window. The more rows fit in memory, the fewer windows
//! there are.

use anndata_io::Scalar;
use row_pack::{Level, RowPacker};

use crate::batch::waiting::WaitingRows;

/// The packed rows of one matrix of one batch, in the order in which they arrived.
#[derive(Debug)]
pub(crate) struct PackedRows {
    /// The number of columns of the matrix.
    width: usize,
    level: Level,
    blocks: Vec<Vec<u8>>,
    /// The place of each row of the batch; `None` until it arrives.
    places: Vec<Option<RowPlace>>,
}

#[derive(Debug, Clone, Copy)]
struct RowPlace {
    block: u32,
    start: usize,
    end: usize,
    /// The number of elements.
    len: u32,
}

/// Packs rows that wait. A thread keeps it from row to row.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    rows: RowPacker,
    row: Vec<u8>,
}

const OWN_BYTES: &str = "this process packed the row";

impl PackedRows {
    /// Makes room for the rows of a batch of `n_rows`, of a matrix with `width` columns. No row has
    /// arrived yet.
    pub(crate) fn new(n_rows: usize, width: usize, level: Level) -> PackedRows {
        PackedRows {
            width,
            level,
            blocks: Vec::new(),
            places: vec![None; n_rows],
        }
    }

    /// How tightly rows are packed.
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Packs a row into memory of `waiting`. Returns the bytes that it takes.
    pub(crate) fn put<T: Scalar>(
        &mut self,
        row: usize,
        columns: &[u32],
        values: &[T],
        (packer, waiting): (&mut Packer, &WaitingRows),
    ) -> usize {
        let values: &[T::Packed] = bytemuck::cast_slice(values);
        let most = RowPacker::most_bytes(columns.len(), self.width, size_of::<T>());
        let room = |block: &Vec<u8>| block.capacity() - block.len();
        let start;
        if self.level == Level::Bytes && self.blocks.last().is_some_and(|last| room(last) >= most) {
            let block = self.blocks.last_mut().expect("it has room");
            start = block.len();
            packer.rows.pack(self.level, columns, values, block);
        } else {
            // A block never grows: packed elsewhere, the row shows how much room it needs.
            packer.row.clear();
            packer
                .rows
                .pack(self.level, columns, values, &mut packer.row);
            let last = self.blocks.last();
            if last.is_none_or(|last| room(last) < packer.row.len()) {
                self.blocks.push(waiting.take_block(packer.row.len()));
            }
            let block = self.blocks.last_mut().expect("one was just added");
            start = block.len();
            block.extend_from_slice(&packer.row);
        }
        let end = self.blocks.last().map_or(0, Vec::len);
        self.places[row] = Some(RowPlace {
            block: self.blocks.len() as u32 - 1,
            start,
            end,
            len: columns.len() as u32,
        });
        end - start
    }

    /// The number of elements of a row.
    pub(crate) fn len(&self, row: usize) -> usize {
        self.places[row].map_or(0, |place| place.len as usize)
    }

    fn row(&self, row: usize) -> Option<row_pack::PackedRow<'_>> {
        let place = self.places[row]?;
        let block = &self.blocks[place.block as usize];
        let bytes = &block[place.start..place.end];
        Some(row_pack::PackedRow::parse(bytes).expect(OWN_BYTES))
    }

    /// Unpacks a row into slices of its length.
    pub(crate) fn read<T: Scalar>(&self, row: usize, columns: &mut [u32], values: &mut [T]) {
        if let Some(row) = self.row(row) {
            let values: &mut [T::Packed] = bytemuck::cast_slice_mut(values);
            row.read(self.width, columns, values).expect(OWN_BYTES);
        }
    }

    /// Writes a row into a dense one of zeros.
    pub(crate) fn scatter<T: Scalar>(&self, row: usize, out: &mut [T]) {
        if let Some(row) = self.row(row) {
            let out: &mut [T::Packed] = bytemuck::cast_slice_mut(out);
            row.scatter(None, out, |value: T::Packed| value)
                .expect(OWN_BYTES);
        }
    }

    /// Returns the memory to the pool.
    pub(crate) fn release(self, waiting: &WaitingRows) {
        for block in self.blocks {
            waiting.give_block(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anndata_io::{Bool8, f16};

    use super::*;
    use crate::batch::pool::BufferPool;

    /// Packs rows of one type, and compares what is unpacked bit for bit.
    fn round_trip<T: Scalar>(rows: &[Vec<(u32, T)>], width: usize) {
        for level in [Level::Bytes, Level::Bits] {
            round_trip_at(level, rows, width);
        }
    }

    fn round_trip_at<T: Scalar>(level: Level, rows: &[Vec<(u32, T)>], width: usize) {
        let waiting = WaitingRows::new(&Arc::new(BufferPool::new(1 << 20)), 1 << 10);
        let mut packed = PackedRows::new(rows.len() + 1, width, level);
        let mut packer = Packer::default();
        for (row, elements) in rows.iter().enumerate().rev() {
            let (columns, values): (Vec<u32>, Vec<T>) = elements.iter().copied().unzip();
            let n_bytes = packed.put(row, &columns, &values, (&mut packer, &waiting));
            assert!(n_bytes <= RowPacker::most_bytes(columns.len(), width, size_of::<T>()));
        }
        let bytes = bytemuck::cast_slice::<T, u8>;
        for (row, elements) in rows.iter().enumerate() {
            assert_eq!(packed.len(row), elements.len());
            let (expected_columns, expected): (Vec<u32>, Vec<T>) = elements.iter().copied().unzip();
            let mut columns = vec![9; elements.len()];
            let mut values = vec![T::default(); elements.len()];
            packed.read(row, &mut columns, &mut values);
            assert_eq!(columns, expected_columns);
            assert_eq!(bytes(&values), bytes(&expected));
            if width <= 1000 {
                let mut dense = vec![T::default(); width];
                packed.scatter(row, &mut dense);
                for (&column, value) in expected_columns.iter().zip(&expected) {
                    assert_eq!(bytes(&dense[column as usize..][..1]), bytes(&[*value]));
                }
            }
        }
        assert_eq!(packed.len(rows.len()), 0, "this row never arrived");
        packed.release(&waiting);
        assert_eq!(waiting.bytes(), 0);
    }

    #[test]
    fn packed_rows_round_trip_in_every_type() {
        fn of<T: Scalar>(values: &[T]) {
            let row: Vec<_> = (0..).step_by(3).zip(values.iter().copied()).collect();
            round_trip(&[row.clone(), Vec::new(), row[..1].to_vec()], 1000);
        }
        of(&[0.5f32, f32::NAN, -0.0, 3.0, 300.0, 1e30]);
        of(&[0.5f64, f64::NAN, -0.0, 3.0, 300.0, 1e300]);
        of(&[f16::ONE, f16::NAN, f16::NEG_ZERO]);
        of(&[Bool8(0), Bool8(1)]);
        of(&[i8::MIN, 0, i8::MAX]);
        of(&[u8::MAX, 7]);
        of(&[i16::MIN, 300]);
        of(&[u16::MAX, 3]);
        of(&[i32::MIN, i32::MAX, 5]);
        of(&[u32::MAX, 5]);
        of(&[i64::MIN, 1 << 40, 5]);
        of(&[u64::MAX, 5]);
    }

    #[test]
    fn packed_rows_round_trip_when_long_or_wide() {
        let long: Vec<(u32, f32)> = (0..60_000).map(|i| (i, i as f32 / 2.0)).collect();
        let short = vec![(65_535, 1.0)];
        round_trip(&[short.clone(), long, Vec::new(), short], 65_536);
        round_trip(&[vec![(70_000, 1i32), (4_000_000_000, 2)]], usize::MAX);
    }
}
