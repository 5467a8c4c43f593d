//! Packed bands of dense matrices: the nonzeros of each row.

use std::borrow::Cow;
use std::ops::Range;

use row_pack::{Level, PackedRow};

use super::bands::{BandExtent, BandPack, NewPack, PackAccess};
use super::rest_of;
use crate::array::Array;
use crate::array::chunk_reader::CachePolicy;
use crate::dtype::{DType, Scalar, ValuesRef};
use crate::error::Error;
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
    access.band(number, of, |level, policy| {
        let dtype = array.dtype().unwrap_or(DType::F32);
        with_dtype!(dtype, T => pack_band::<T>(array, number, level, policy, scratch))
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

/// Decodes a band and packs the nonzeros of its rows. `None` if it is too large for a pack.
fn pack_band<T: Scalar>(
    array: &Array,
    number: u64,
    level: Level,
    policy: CachePolicy,
    scratch: &mut ReadScratch,
) -> Result<Option<NewPack>, Error> {
    let (n_rows, row_len) = (array.chunk_shape()[0], row_len(array));
    let first_row = number * n_rows;
    let rows: Vec<u64> = (first_row..(first_row + n_rows).min(array.shape()[0])).collect();
    let mut dense = vec![T::Packed::default(); rows.len() * row_len];
    array.read_rows(
        &rows,
        0..u64::MAX,
        policy,
        &mut scratch.data,
        |row, start, run| {
            let at = row * row_len + start;
            let run = bytemuck::cast_slice(run.as_bytes());
            dense[at..at + run.len()].copy_from_slice(run);
        },
    )?;
    let pack = &mut scratch.pack;
    pack.restart::<T::Packed>(row_len as u32, level);
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    for row in dense.chunks(row_len.max(1)) {
        columns.clear();
        values.clear();
        for (&value, column) in row.iter().zip(0..) {
            // A negative zero has a bit set.
            if bytemuck::bytes_of(&value).iter().any(|&byte| byte != 0) {
                columns.push(column);
                values.push(value);
            }
        }
        if pack.push(&columns, &values).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(NewPack {
        first_row,
        bytes: pack.finish(),
        n_elements: dense.len() as u64,
    }))
}
