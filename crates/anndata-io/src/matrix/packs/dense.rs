//! Packed bands of dense matrices: the nonzeros of each row.

use std::borrow::Cow;
use std::ops::Range;

use row_pack::{Level, PackedRow, Value};

use super::bands::{BandExtent, BandPack, NewPack, PackAccess};
use super::rest_of;
use crate::array::Array;
use crate::array::chunk_reader::CachePolicy;
use crate::dtype::{DType, Scalar, ValuesRef};
use crate::error::Error;
use crate::io::pack_room::PackRoom;
use crate::limits::MOST_PACKING_BYTES;
use crate::matrix::csr::is_canonical;
use crate::matrix::{ReadScratch, RowSink};
use crate::with_dtype;

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
    let room = access.room();
    access.band(number, of, |level, policy| {
        let dtype = array.dtype().unwrap_or(DType::F32);
        with_dtype!(dtype, T => pack_band::<T>(array, number, (level, room), policy, scratch))
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

/// Decodes a band and packs the nonzeros of its rows. `None` if its pack would be too large. If the
/// nonzeros do not fit into the memory for packing, decodes the band once more for those of further
/// rows.
fn pack_band<T: Scalar>(
    array: &Array,
    number: u64,
    (level, room): (Level, &PackRoom),
    policy: CachePolicy,
    scratch: &mut ReadScratch,
) -> Result<Option<NewPack>, Error> {
    let band = band_of(array, number);
    let rows: Vec<u64> = band.span.clone().collect();
    scratch
        .pack
        .restart::<T::Packed>(row_len(array) as u32, level);
    let mut nonzeros = Nonzeros::<T::Packed>::new(room.packing());
    let mut first = 0;
    while first < rows.len() {
        nonzeros.begin(rows.len() - first);
        let (policy, reader) = (policy.clone(), &mut scratch.data);
        array.read_rows(
            &rows[first..],
            0..u64::MAX,
            policy,
            reader,
            |row, start, run| {
                nonzeros.add(row, start, bytemuck::cast_slice(run.as_bytes()));
            },
        )?;
        for row in &mut nonzeros.rows {
            row.sort();
            let pushed = scratch.pack.push(&row.columns, &row.values);
            if pushed.is_err() || scratch.pack.n_bytes() > MOST_PACKING_BYTES {
                return Ok(None);
            }
        }
        first += nonzeros.rows.len();
    }
    Ok(Some(NewPack {
        first_row: band.span.start,
        bytes: scratch.pack.finish(),
        n_elements: band.n_elements,
    }))
}

/// The nonzeros of the first rows of a band: as many rows as fit into memory.
struct Nonzeros<T> {
    rows: Vec<RowNonzeros<T>>,
    n_held: usize,
    most: usize,
}

struct RowNonzeros<T> {
    columns: Vec<u32>,
    values: Vec<T>,
}

impl<T: Value> Nonzeros<T> {
    fn new(most_bytes: usize) -> Self {
        // Vectors that grow may have room for twice as many.
        let each = 2 * (size_of::<u32>() + size_of::<T>());
        Nonzeros {
            rows: Vec::new(),
            n_held: 0,
            most: most_bytes / each,
        }
    }

    fn begin(&mut self, n_rows: usize) {
        self.n_held = 0;
        self.rows.iter_mut().for_each(RowNonzeros::clear);
        self.rows.resize_with(n_rows, || RowNonzeros {
            columns: Vec::new(),
            values: Vec::new(),
        });
    }

    /// Adds adjacent elements of a row, unless the row no longer fits.
    fn add(&mut self, row: usize, start: usize, run: &[T]) {
        let Some(row) = self.rows.get_mut(row) else {
            return;
        };
        let before = row.columns.len();
        for (&value, column) in run.iter().zip(start as u32..) {
            // A negative zero has a bit set.
            if bytemuck::bytes_of(&value).iter().any(|&byte| byte != 0) {
                row.columns.push(column);
                row.values.push(value);
            }
        }
        self.n_held += row.columns.len() - before;
        while self.n_held > self.most && self.rows.len() > 1 {
            let dropped = self.rows.pop();
            self.n_held -= dropped.map_or(0, |row| row.columns.len());
        }
    }
}

impl<T: Value> RowNonzeros<T> {
    fn clear(&mut self) {
        self.columns.clear();
        self.values.clear();
    }

    /// Sorts by column: chunks of an array with more than two axes do not come in this order.
    fn sort(&mut self) {
        if is_canonical(&self.columns) {
            return;
        }
        let entries = self.columns.drain(..).zip(self.values.drain(..));
        let mut entries: Vec<(u32, T)> = entries.collect();
        entries.sort_unstable_by_key(|&(column, _)| column);
        (self.columns, self.values) = entries.into_iter().unzip();
    }
}
