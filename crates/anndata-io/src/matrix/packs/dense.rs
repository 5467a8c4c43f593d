//! Packed bands of dense matrices: the nonzeros of each row.

use std::borrow::Cow;
use std::ops::Range;

use row_pack::{Level, PackBuilder, PackedRow, Value};

use super::access::PackAccess;
use super::bands::{BandExtent, BandPack, NewPack};
use super::rest_of;
use crate::array::Array;
use crate::array::chunk_reader::CachePolicy;
use crate::dtype::{DType, Scalar, ValuesRef};
use crate::error::Error;
use crate::limits::MOST_PACK_BYTES;
use crate::matrix::{ReadScratch, RowSink};
use crate::with_dtype;

/// The most times that a band is decoded to pack it.
const MOST_PASSES: u64 = 16;
/// The most rows of a pass, whose number of nonzeros is counted.
const MOST_ROWS_OF_PASS: u64 = 1 << 20;

/// Reads rows from packs. Returns the positions of those that are not packed.
pub(super) fn read_packed(
    array: &Array,
    rows: &[u64],
    access: &mut PackAccess<'_>,
    scratch: &mut ReadScratch,
    sink: &mut impl RowSink,
) -> Vec<Range<usize>> {
    let dtype = array.dtype().unwrap_or(DType::F32);
    let (rows_per_band, row_len) = (array.chunk_shape()[0], row_len(array));
    // Everything is decoded before the sink sees a row: it may hold a lock from row to row.
    let pieces = rows.iter().map(|&row| {
        let band = band(array, row / rows_per_band, access, scratch)?;
        band.piece(row)
    });
    let pieces: Vec<Option<Cow<'_, [u8]>>> = pieces.collect();
    rest_of(rows, |at, _| {
        let piece = pieces[at].as_deref();
        let Some(piece) = piece.and_then(|piece| PackedRow::parse(piece).ok()) else {
            return false;
        };
        scratch.raw_values.resize(row_len * dtype.size());
        let bytes = scratch.raw_values.as_mut_slice();
        bytes.fill(0);
        let read = with_dtype!(dtype, T => {
            let out: &mut [<T as Scalar>::Packed] = bytemuck::cast_slice_mut(bytes);
            piece.scatter(None, out, |value: <T as Scalar>::Packed| value)
        });
        if read.is_ok() {
            sink.dense(at, 0, ValuesRef::from_bytes(dtype, bytes));
        }
        read.is_ok()
    })
}

/// Returns a band if it is packed. Packs it now if its time has come.
pub(super) fn band<'a>(
    array: &Array,
    number: u64,
    access: &mut PackAccess<'a>,
    scratch: &mut ReadScratch,
) -> Option<&'a BandPack> {
    let of = || band_of(array, number);
    let most = access.packing();
    access.band(number, of, |level, policy| {
        let dtype = array.dtype().unwrap_or(DType::F32);
        with_dtype!(dtype, T => pack_band::<T>(array, number, (level, most), policy, scratch))
    })
}

pub(super) fn band_of(array: &Array, number: u64) -> BandExtent {
    let (n_rows, extent) = (array.shape()[0], array.chunk_shape()[0]);
    let span = number * extent..((number + 1) * extent).min(n_rows);
    BandExtent {
        number,
        n_elements: (span.end - span.start) * row_len(array) as u64,
        span,
    }
}

fn row_len(array: &Array) -> usize {
    array.shape()[1..].iter().product::<u64>() as usize
}

/// Decodes a band and packs the nonzeros of its rows. If they do not fit into `most` bytes, decodes the
/// band once more for those of further rows. `None` if that takes too many passes, or if the pack
/// would be too large.
fn pack_band<T: Scalar>(
    array: &Array,
    number: u64,
    (level, most): (Level, usize),
    policy: CachePolicy,
    scratch: &mut ReadScratch,
) -> Result<Option<NewPack>, Error> {
    let band = band_of(array, number);
    let n_rows = band.span.end - band.span.start;
    let ReadScratch { data, pack, .. } = scratch;
    pack.restart::<T::Packed>(row_len(array) as u32, level);
    let mut nonzeros = Nonzeros::<T::Packed>::new(most, band.n_elements);
    let mut n_done = 0;
    while n_done < n_rows {
        let first = band.span.start + n_done;
        let end = band.span.end.min(first + MOST_ROWS_OF_PASS);
        let rows: Vec<u64> = (first..end).collect();
        nonzeros.begin(rows.len());
        let policy = policy.clone();
        array.read_rows(&rows, 0..u64::MAX, policy, data, |row, start, run| {
            nonzeros.add(row, start, bytemuck::cast_slice(run.as_bytes()));
        })?;
        let Some(()) = nonzeros.pack(pack) else {
            return Ok(None);
        };
        n_done += nonzeros.counts.len() as u64;
        // As the rows so far, so the others.
        let of_all = |so_far: u64| so_far.saturating_mul(n_rows) / n_done;
        let n_passes = n_rows.div_ceil(nonzeros.counts.len() as u64);
        let n_bytes = of_all(pack.n_bytes() as u64);
        if n_passes > MOST_PASSES || n_bytes > MOST_PACK_BYTES.min(4 * most as u64) {
            return Ok(None);
        }
    }
    Ok(Some(NewPack {
        first_row: band.span.start,
        bytes: pack.finish(),
        n_elements: band.n_elements,
    }))
}

/// The nonzeros of the first rows of a pass: of as many rows as fit into memory.
struct Nonzeros<T> {
    entries: Vec<Entry<T>>,
    /// The number of entries of each row.
    counts: Vec<u32>,
    most: usize,
    /// Whether those of a single row did not fit.
    overflows: bool,
}

#[derive(Clone, Copy)]
struct Entry<T> {
    row: u32,
    column: u32,
    value: T,
}

impl<T: Value> Nonzeros<T> {
    /// Room for `n_bytes`, of at most `n_elements` nonzeros.
    fn new(n_bytes: usize, n_elements: u64) -> Self {
        // With the places of entries, which put them in order.
        let most = n_bytes / (size_of::<Entry<T>>() + size_of::<u32>());
        let most = most
            .min(usize::try_from(n_elements).unwrap_or(usize::MAX))
            .max(1);
        Nonzeros {
            entries: Vec::with_capacity(most),
            counts: Vec::new(),
            most,
            overflows: false,
        }
    }

    fn begin(&mut self, n_rows: usize) {
        self.entries.clear();
        self.counts.clear();
        self.counts.resize(n_rows, 0);
    }

    /// Adds adjacent elements of a row, unless the row no longer fits.
    fn add(&mut self, row: usize, start: usize, run: &[T]) {
        for (&value, column) in run.iter().zip(start as u32..) {
            // A negative zero has a bit set.
            if bytemuck::bytes_of(&value).iter().all(|&byte| byte == 0) {
                continue;
            }
            if self.entries.len() == self.most {
                self.drop_rows();
            }
            if row >= self.counts.len() {
                return;
            }
            let row = row as u32;
            self.entries.push(Entry { row, column, value });
            self.counts[row as usize] += 1;
        }
    }

    /// Drops the last rows, so that a quarter of the room is free.
    fn drop_rows(&mut self) {
        let (mut n_kept, mut n_rows) = (0, 0);
        for &count in &self.counts {
            n_kept += count as usize;
            if n_kept > self.most * 3 / 4 {
                break;
            }
            n_rows += 1;
        }
        self.overflows |= n_rows == 0;
        self.counts.truncate(n_rows);
        self.entries.retain(|entry| (entry.row as usize) < n_rows);
    }

    /// Packs the rows in order. `None` if a row does not fit, or the pack becomes too large.
    fn pack(&self, pack: &mut PackBuilder) -> Option<()> {
        if self.overflows {
            return None;
        }
        // The places of each row's entries, in the order in which they came.
        let mut next: Vec<u32> = Vec::with_capacity(self.counts.len());
        let mut n_before = 0;
        for &count in &self.counts {
            next.push(n_before);
            n_before += count;
        }
        let mut places = vec![0u32; self.entries.len()];
        for (place, entry) in (0u32..).zip(&self.entries) {
            let next = &mut next[entry.row as usize];
            places[*next as usize] = place;
            *next += 1;
        }
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        let mut rest = &mut places[..];
        for &count in &self.counts {
            let row;
            (row, rest) = rest.split_at_mut(count as usize);
            let entry = |place: u32| &self.entries[place as usize];
            // Chunks of an array with more than two axes do not come in the order of columns.
            if !row.is_sorted_by_key(|&place| entry(place).column) {
                row.sort_unstable_by_key(|&place| entry(place).column);
            }
            columns.clear();
            values.clear();
            columns.extend(row.iter().map(|&place| entry(place).column));
            values.extend(row.iter().map(|&place| entry(place).value));
            pack.push(&columns, &values).ok()?;
        }
        Some(())
    }
}
