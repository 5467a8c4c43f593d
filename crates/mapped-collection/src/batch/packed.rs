//! Sparse rows that wait for their batch, packed without loss.
//!
//! An exact shuffle decodes a file once per window. The more rows fit in memory, the fewer windows
//! there are. Columns take 2 bytes each if the matrix is narrow enough. Values take 1 or 2 bytes
//! each if all values of the row are small whole numbers, as counts are. A few values that are too
//! large for 1 byte are stored apart.

use anndata_io::{Bool8, Scalar, f16};

use crate::batch::waiting::WaitingRows;

/// The width of the widest matrix whose columns take 2 bytes.
const NARROW: usize = 1 << 16;

/// The packed rows of one matrix of one batch, in the order in which they arrived.
#[derive(Debug)]
pub(crate) struct PackedRows {
    narrow: bool,
    blocks: Vec<Vec<u64>>,
    /// The number of words in use in the last block.
    taken: usize,
    /// The place of each row of the batch.
    places: Vec<PackedRow>,
}

#[derive(Debug, Clone, Copy, Default)]
struct PackedRow {
    block: u32,
    /// In words of 8 bytes.
    start: u32,
    len: u32,
    /// Bytes per value: 1 or 2 for whole numbers, 0 for values that are stored as they are.
    value_bytes: u8,
    /// The number of values that are too large for 1 byte. Each takes a word behind the others: the
    /// value in the lower 16 bits, and the position above them.
    n_large: u16,
}

/// A type of values that may be packed.
pub(crate) trait Pack: Scalar {
    /// Returns `(n, 0)` if the value is an integer `n` below 2^16. Otherwise the second number is
    /// not 0. There is no branch, so that the loop vectorises.
    fn to_whole(self) -> (u32, u64);

    /// A whole number as a value.
    fn from_whole(whole: u16) -> Self;
}

macro_rules! pack_integer {
    ($($T:ty)*) => { $(
        impl Pack for $T {
            #[inline(always)]
            fn to_whole(self) -> (u32, u64) {
                let whole = self as u16;
                (whole.into(), (whole as $T ^ self) as u64 | u64::from(whole as $T != self))
            }
            #[inline(always)]
            fn from_whole(whole: u16) -> Self {
                whole as $T
            }
        }
    )* };
}

pack_integer!(i8 u8 i16 u16 i32 u32 i64 u64);

macro_rules! pack_float {
    ($T:ty, $shift:expr) => {
        impl Pack for $T {
            #[inline(always)]
            fn to_whole(self) -> (u32, u64) {
                // Next to 2^23 (2^52) the last bits of a float count ones. A fraction comes back
                // rounded; a negative or large number changes the bits above.
                const SHIFT: $T = $shift;
                let shifted = self + SHIFT;
                let whole = shifted.to_bits() ^ SHIFT.to_bits();
                let rest = (whole >> 16) | ((shifted - SHIFT).to_bits() ^ self.to_bits());
                (whole as u16 as u32, rest as u64)
            }
            #[inline(always)]
            fn from_whole(whole: u16) -> Self {
                whole as $T
            }
        }
    };
}

pack_float!(f32, 8_388_608.0);
pack_float!(f64, 4_503_599_627_370_496.0);

/// Types for which packing would gain nothing.
macro_rules! pack_as_it_is {
    ($($T:ty)*) => { $(
        impl Pack for $T {
            #[inline(always)]
            fn to_whole(self) -> (u32, u64) {
                (0, 1)
            }
            #[inline(always)]
            fn from_whole(_whole: u16) -> Self {
                unreachable!("no row of these is packed as whole numbers")
            }
        }
    )* };
}

pack_as_it_is!(Bool8 f16);

/// The most bytes that a row of `len` elements takes.
pub(crate) fn packed_bytes(len: usize, width: usize, value_bytes: usize) -> usize {
    let column_bytes = if width <= NARROW { 2 } else { 4 };
    (words(len, column_bytes) + words(len, value_bytes)) * 8
}

fn words(len: usize, bytes: usize) -> usize {
    (len * bytes).div_ceil(8)
}

impl PackedRows {
    /// Makes room for the rows of a batch of `n_rows`, of a matrix with `width` columns. No row has
    /// arrived yet.
    pub(crate) fn new(n_rows: usize, width: usize) -> PackedRows {
        PackedRows {
            narrow: width <= NARROW,
            blocks: Vec::new(),
            taken: 0,
            places: vec![PackedRow::default(); n_rows],
        }
    }

    fn column_bytes(&self) -> usize {
        if self.narrow { 2 } else { 4 }
    }

    /// Packs a row into memory of `waiting`. Returns the bytes that it takes.
    pub(crate) fn put<T: Pack>(
        &mut self,
        row: usize,
        columns: &[u32],
        values: &[T],
        waiting: &WaitingRows,
    ) -> usize {
        let len = columns.len();
        let (n_large, rest) = values.iter().fold((0u32, 0), |(n, rests), value| {
            let (whole, rest) = value.to_whole();
            (n + u32::from(whole > u8::MAX.into()), rests | rest)
        });
        let words_as_bytes = words(len, 1) + n_large as usize;
        let (value_bytes, value_words) = match size_of::<T>() {
            size if rest != 0 || size <= 1 => (0, words(len, size)),
            size if words_as_bytes <= words(len, size.min(2)) && n_large < u16::MAX.into() => {
                (1, words_as_bytes)
            }
            size if size > 2 => (2, words(len, 2)),
            size => (0, words(len, size)),
        };
        let n_large = if value_bytes == 1 { n_large as u16 } else { 0 };
        let column_words = words(len, self.column_bytes());
        let n_words = column_words + value_words;
        if self
            .blocks
            .last()
            .is_none_or(|block| block.len() - self.taken < n_words)
        {
            self.blocks.push(waiting.take_block(n_words));
            self.taken = 0;
        }
        self.places[row] = PackedRow {
            block: self.blocks.len() as u32 - 1,
            start: self.taken as u32,
            len: len as u32,
            value_bytes,
            n_large,
        };
        let block = self.blocks.last_mut().expect("one was just added");
        let place = &mut block[self.taken..self.taken + n_words];
        self.taken += n_words;
        let (column_part, value_part) = place.split_at_mut(column_words);
        if self.narrow {
            let out: &mut [u16] = bytemuck::cast_slice_mut(column_part);
            convert(columns, out, |column| column as u16);
        } else {
            let out: &mut [u32] = bytemuck::cast_slice_mut(column_part);
            out[..len].copy_from_slice(columns);
        }
        match value_bytes {
            0 => bytemuck::cast_slice_mut(value_part)[..len].copy_from_slice(values),
            1 => {
                let (small, large) = value_part.split_at_mut(words(len, 1));
                convert(values, bytemuck::cast_slice_mut(small), |value: T| {
                    value.to_whole().0 as u8
                });
                if n_large > 0 {
                    let wholes = values.iter().map(|value| u64::from(value.to_whole().0));
                    let found = (0u64..).zip(wholes).filter(|(_, whole)| *whole > 255);
                    for (word, (position, whole)) in large.iter_mut().zip(found) {
                        *word = position << 16 | whole;
                    }
                }
            }
            _ => convert(values, bytemuck::cast_slice_mut(value_part), |value: T| {
                value.to_whole().0 as u16
            }),
        }
        n_words * 8
    }

    /// The number of elements of a row.
    pub(crate) fn len(&self, row: usize) -> usize {
        self.places[row].len as usize
    }

    fn parts(&self, row: usize) -> (&[u64], &[u64], PackedRow) {
        let place = self.places[row];
        let Some(block) = self.blocks.get(place.block as usize) else {
            return (&[], &[], place);
        };
        let words_of_columns = words(place.len as usize, self.column_bytes());
        let (columns, values) = block[place.start as usize..].split_at(words_of_columns);
        (columns, values, place)
    }

    /// Unpacks a row into slices of its length.
    pub(crate) fn read<T: Pack>(&self, row: usize, columns: &mut [u32], values: &mut [T]) {
        let (column_part, value_part, place) = self.parts(row);
        if self.narrow {
            convert(bytemuck::cast_slice(column_part), columns, |column: u16| {
                column.into()
            });
        } else {
            columns.copy_from_slice(&bytemuck::cast_slice(column_part)[..place.len as usize]);
        }
        match place.value_bytes {
            0 => values.copy_from_slice(&bytemuck::cast_slice(value_part)[..values.len()]),
            1 => {
                convert(bytemuck::cast_slice(value_part), values, |whole: u8| {
                    T::from_whole(whole.into())
                });
                for (position, value) in large::<T>(value_part, place) {
                    values[position] = value;
                }
            }
            _ => convert(bytemuck::cast_slice(value_part), values, T::from_whole),
        }
    }

    /// Writes a row into a dense one of zeros.
    pub(crate) fn scatter<T: Pack>(&self, row: usize, out: &mut [T]) {
        let (column_part, _, _) = self.parts(row);
        if self.narrow {
            self.scatter_columns(row, bytemuck::cast_slice::<u64, u16>(column_part), out);
        } else {
            self.scatter_columns(row, bytemuck::cast_slice::<u64, u32>(column_part), out);
        }
    }

    fn scatter_columns<C: Copy + TryInto<usize>, T: Pack>(
        &self,
        row: usize,
        columns: &[C],
        out: &mut [T],
    ) {
        let (_, value_part, place) = self.parts(row);
        let columns = &columns[..place.len as usize];
        match place.value_bytes {
            0 => scatter(columns, bytemuck::cast_slice(value_part), out, |value| {
                value
            }),
            1 => {
                scatter(
                    columns,
                    bytemuck::cast_slice(value_part),
                    out,
                    |whole: u8| T::from_whole(whole.into()),
                );
                for (position, value) in large::<T>(value_part, place) {
                    scatter(&columns[position..=position], &[value], out, |value| value);
                }
            }
            _ => scatter(
                columns,
                bytemuck::cast_slice(value_part),
                out,
                T::from_whole,
            ),
        }
    }

    /// Returns the memory to the pool.
    pub(crate) fn release(self, waiting: &WaitingRows) {
        for block in self.blocks {
            waiting.give_block(block);
        }
    }
}

/// The positions and values of elements that are too large for 1 byte.
fn large<T: Pack>(value_part: &[u64], place: PackedRow) -> impl Iterator<Item = (usize, T)> {
    let from = words(place.len as usize, 1);
    let words = value_part[from..].iter().take(place.n_large.into());
    words.map(|&word| ((word >> 16) as usize, T::from_whole(word as u16)))
}

/// Converts elements one by one, up to the length of the shorter slice.
fn convert<S: Copy, D>(from: &[S], to: &mut [D], convert: impl Fn(S) -> D) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = convert(from);
    }
}

fn scatter<C: Copy + TryInto<usize>, V: Copy, T>(
    columns: &[C],
    values: &[V],
    out: &mut [T],
    convert: impl Fn(V) -> T,
) {
    for (&column, &value) in columns.iter().zip(values) {
        let slot = column
            .try_into()
            .ok()
            .and_then(|column| out.get_mut(column));
        *slot.expect("columns are below the width") = convert(value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::pool::BufferPool;

    fn round_trip<T: Pack>(rows: &[Vec<(u32, T)>], width: usize) -> Vec<u8> {
        let waiting = WaitingRows::new(&Arc::new(BufferPool::new(1 << 20)), 1 << 10);
        let mut packed = PackedRows::new(rows.len(), width);
        for (row, elements) in rows.iter().enumerate() {
            let (columns, values): (Vec<u32>, Vec<T>) = elements.iter().copied().unzip();
            packed.put(row, &columns, &values, &waiting);
        }
        for (row, elements) in rows.iter().enumerate() {
            assert_eq!(packed.len(row), elements.len());
            let (expected_columns, expected): (Vec<u32>, Vec<T>) = elements.iter().copied().unzip();
            let mut columns = vec![9; elements.len()];
            let mut values = vec![T::default(); elements.len()];
            packed.read(row, &mut columns, &mut values);
            assert_eq!(columns, expected_columns);
            // Bit by bit, including NaN and negative zero.
            let bytes = bytemuck::cast_slice::<T, u8>;
            assert_eq!(bytes(&values), bytes(&expected));
            if width <= 1000 {
                let mut dense = vec![T::default(); width];
                packed.scatter(row, &mut dense);
                for (&column, value) in expected_columns.iter().zip(&expected) {
                    assert_eq!(bytes(&dense[column as usize..][..1]), bytes(&[*value]));
                }
            }
        }
        let kinds = packed.places.iter().map(|place| place.value_bytes);
        let kinds = kinds.collect();
        packed.release(&waiting);
        assert_eq!(waiting.bytes(), 0);
        kinds
    }

    fn one_value_rows<T: Pack>(values: &[T]) -> Vec<u8> {
        let rows: Vec<_> = values.iter().map(|&value| vec![(7, value)]).collect();
        round_trip(&rows, 10)
    }

    #[test]
    fn packed_rows_shrink_whole_numbers_only() {
        assert_eq!(
            one_value_rows(&[0.0f32, 255.0, 256.0, 65_535.0, 65_536.0, 0.5, -1.0, -0.0]),
            [1, 1, 2, 2, 0, 0, 0, 0],
        );
        let odd = [
            f32::NAN,
            f32::INFINITY,
            f32::MIN_POSITIVE,
            8_388_608.0,
            16_777_217.0,
        ];
        assert_eq!(one_value_rows(&odd), [0; 5]);
        assert_eq!(
            one_value_rows(&[3.0f64, 300.0, 1e300, -0.0, f64::NEG_INFINITY, 4.5e15]),
            [1, 2, 0, 0, 0, 0]
        );
        assert_eq!(one_value_rows(&[7i64, -7, 1 << 40, 70_000]), [1, 0, 0, 0]);
        assert_eq!(one_value_rows(&[7u16, 700]), [1, 0]);
        assert_eq!(one_value_rows(&[7u8, 255]), [0, 0]);
        assert_eq!(one_value_rows(&[f16::ONE]), [0]);
    }

    #[test]
    fn packed_rows_stay_narrow_beside_a_few_large_counts() {
        let row = |n_large: u32| {
            let value = |i| {
                if i % 7 == 3 && i / 7 < n_large {
                    300 + i
                } else {
                    i % 256
                }
            };
            (0..700).map(|i| (i, value(i) as f32)).collect::<Vec<_>>()
        };
        // A large value costs 8 bytes. A second byte for every value would cost 700.
        assert_eq!(
            round_trip(&[row(0), row(3), row(80), row(90)], 1000),
            [1, 1, 1, 2]
        );
    }

    #[test]
    fn packed_rows_round_trip_when_long_or_wide() {
        let long: Vec<(u32, f32)> = (0..60_000).map(|i| (i, i as f32 / 2.0)).collect();
        let short = vec![(65_535, 1.0)];
        round_trip(&[short.clone(), long, Vec::new(), short], 65_536);
        round_trip(&[vec![(70_000, 1i32), (4_000_000_000, 2)]], usize::MAX);
    }

    proptest! {
        #[test]
        fn packed_rows_round_trip(
            rows in prop::collection::vec(
                prop::collection::vec((0..500u32, any::<f32>()), 0..40), 0..20),
            wide in any::<bool>(),
        ) {
            // A dense row holds one value per column.
            let rows: Vec<Vec<(u32, f32)>> = rows
                .into_iter()
                .map(|row| row.into_iter().collect::<std::collections::BTreeMap<_, _>>())
                .map(|row| row.into_iter().collect())
                .collect();
            round_trip(&rows, if wide { 100_000 } else { 500 });
            let counts: Vec<Vec<(u32, i32)>> = rows
                .iter()
                .map(|row| row.iter().map(|&(c, v)| (c, (v as i32) % 400)).collect())
                .collect();
            round_trip(&counts, 500);
        }
    }
}
