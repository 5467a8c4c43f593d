//! Packed bands of CSR matrices.

use std::borrow::Cow;
use std::ops::Range;

use row_pack::{Level, PackedRow};

use super::access::PackAccess;
use super::bands::{BandExtent, BandPack, NewPack};
use super::rest_of;
use crate::array::chunk_reader::CachePolicy;
use crate::dtype::Scalar;
use crate::error::Error;
use crate::matrix::csr::{CsrMatrix, SummedRow, is_canonical, slice};
use crate::matrix::{ReadScratch, RowSink};
use crate::with_dtype;

/// The part of a row in one band.
struct Piece<'a> {
    row: u64,
    n_elements: u64,
    band: &'a BandPack,
}

impl CsrMatrix {
    /// Reads rows from packs. Returns the positions of those that are not packed.
    pub(super) fn read_packed(
        &self,
        rows: &[u64],
        access: &mut PackAccess<'_>,
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Vec<Range<usize>> {
        with_dtype!(self.dtype(), T => {
            // Everything is decoded before the sink sees a row: it may hold a lock from row to row.
            let mut pieces = Vec::with_capacity(rows.len());
            let has_pieces = rows.iter().map(|&row| {
                self.add_pieces::<T>(row, &mut pieces, access, scratch)
            });
            let has_pieces: Vec<bool> = has_pieces.collect();
            let bytes = pieces
                .iter()
                .map(|piece| piece.band.piece(piece.row).unwrap_or_default());
            let bytes: Vec<Cow<'_, [u8]>> = bytes.collect();
            let pieces = parse(&pieces, &bytes);
            let (mut start, mut summed) = (0, SummedRow::<T>::default());
            rest_of(rows, |at, row| {
                has_pieces[at] && {
                    let of_row = start..start + self.bands(row).count();
                    start = of_row.end;
                    self.read_packed_row(at, &pieces[of_row], (scratch, &mut summed), sink)
                }
            })
        })
    }

    /// Packs a band.
    pub(super) fn pack(&self, number: u64, access: &mut PackAccess<'_>, scratch: &mut ReadScratch) {
        let of = || self.band_of(number);
        access.band(number, of, |level, policy| {
            with_dtype!(self.dtype(), T => self.pack_band::<T>(number, level, policy, scratch))
        });
    }

    /// The length of the pack of a band; 0 if it cannot be packed.
    pub(super) fn packed_len(&self, number: u64, scratch: &mut ReadScratch) -> u64 {
        let pack = with_dtype!(self.dtype(), T => {
            self.pack_band::<T>(number, Level::Bits, CachePolicy::Nothing, scratch)
        });
        pack.ok()
            .flatten()
            .map_or(0, |pack| pack.bytes.len() as u64)
    }

    /// The bands in which a row has elements.
    pub(super) fn bands(&self, row: u64) -> Range<u64> {
        let span = self.range(row);
        match span.is_empty() {
            true => 0..0,
            false => span.start / self.band_len()..span.end.div_ceil(self.band_len()),
        }
    }

    /// Adds the piece of a row in each of its bands; packs the bands whose time has come. If a band
    /// is not packed, adds nothing and returns false.
    fn add_pieces<'a, T: Scalar>(
        &self,
        row: u64,
        pieces: &mut Vec<Piece<'a>>,
        access: &mut PackAccess<'a>,
        scratch: &mut ReadScratch,
    ) -> bool {
        let (before, span) = (pieces.len(), self.range(row));
        for number in self.bands(row) {
            let pack = |level, policy| self.pack_band::<T>(number, level, policy, scratch);
            let Some(band) = access.band(number, || self.band_of(number), pack) else {
                pieces.truncate(before);
                return false;
            };
            let elements = self.elements_of_band(number);
            pieces.push(Piece {
                row,
                n_elements: span.end.min(elements.end) - span.start.max(elements.start),
                band,
            });
        }
        true
    }

    /// Hands out a row, which consists of these pieces. Returns false if one could not be packed.
    fn read_packed_row<T: Scalar>(
        &self,
        at: usize,
        pieces: &[Option<PackedRow<'_>>],
        (scratch, summed): (&mut ReadScratch, &mut SummedRow<T>),
        sink: &mut impl RowSink,
    ) -> bool {
        if pieces.iter().any(Option::is_none) {
            return false;
        }
        let n_columns = self.parts().n_minor() as usize;
        let len = pieces.iter().flatten().map(PackedRow::len).sum();
        if let Some(buffer) = sink.row_buffer(at, len, T::DTYPE)
            && let Ok(values) = bytemuck::try_cast_slice_mut(buffer.values)
        {
            if !unpack::<T>(pieces, n_columns, buffer.columns, values) {
                return false;
            }
            if is_canonical(buffer.columns) {
                sink.row_filled();
                return true;
            }
        }
        let columns = &mut scratch.columns;
        columns.resize(len, 0);
        scratch.raw_values.resize(len * size_of::<T>());
        let values = bytemuck::cast_slice_mut(scratch.raw_values.as_mut_slice());
        if !unpack::<T>(pieces, n_columns, columns, values) {
            return false;
        }
        let values: &[T] = bytemuck::cast_slice(values);
        if is_canonical(columns) {
            sink.sparse(at, columns, slice(values));
        } else {
            summed.fill(columns, values);
            sink.sparse(at, &summed.columns, slice(&summed.values));
        }
        true
    }

    pub(super) fn band_of(&self, number: u64) -> BandExtent {
        let span = self.elements_of_band(number);
        BandExtent {
            number,
            n_elements: span.end - span.start,
            span,
        }
    }

    fn elements_of_band(&self, number: u64) -> Range<u64> {
        let start = number * self.band_len();
        start..(start + self.band_len()).min(self.n_entries())
    }

    /// Decodes a band and packs its part of every row. `None` if it is too large for a pack.
    fn pack_band<T: Scalar>(
        &self,
        number: u64,
        level: Level,
        policy: CachePolicy,
        scratch: &mut ReadScratch,
    ) -> Result<Option<NewPack>, Error> {
        let parts = self.parts();
        let band = self.elements_of_band(number);
        scratch.indices.begin(&parts.indices, policy.clone())?;
        scratch.data.begin(&parts.data, policy)?;
        let raw_columns = parts.indices.read_or_view(
            band.clone(),
            &mut scratch.indices,
            &mut scratch.raw_columns,
        )?;
        let values =
            parts
                .data
                .read_or_view(band.clone(), &mut scratch.data, &mut scratch.raw_values)?;
        let values: &[T::Packed] = bytemuck::cast_slice(values);
        let column_size = parts.minor_type().size();
        let indptr = &parts.indptr[..];
        let first_row = indptr[1..].partition_point(|&end| end <= band.start);
        let rows = (first_row..).take_while(|&row| indptr[row] < band.end);
        let pack = &mut scratch.pack;
        pack.restart::<T::Packed>(parts.n_minor() as u32, level);
        for row in rows {
            let span = indptr[row].max(band.start)..indptr[row + 1].min(band.end);
            let span = (span.start - band.start) as usize..(span.end - band.start) as usize;
            let raw = &raw_columns[span.start * column_size..span.end * column_size];
            let columns = parts.minors(raw, &mut scratch.columns);
            let exist = columns.and_then(|columns| {
                let largest = match is_canonical(columns) {
                    true => columns.last(),
                    false => columns.iter().max(),
                };
                parts.check_minor(largest)?;
                Ok(columns)
            });
            // Without its elements, a bad row is read from the file, which raises its error.
            let pushed = match exist {
                Ok(columns) => pack.push(columns, &values[span]),
                Err(_) => pack.push::<T::Packed>(&[], &[]),
            };
            if pushed.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(NewPack {
            first_row: first_row as u64,
            bytes: pack.finish(),
            n_elements: band.end - band.start,
        }))
    }
}

/// Parses pieces; `None` for one that could not be packed.
///
/// The bytes of all pieces are found first, in a pass of their own: a processor that waits for the
/// memory of one then waits for several others meanwhile.
fn parse<'a>(pieces: &[Piece<'_>], bytes: &'a [Cow<'_, [u8]>]) -> Vec<Option<PackedRow<'a>>> {
    let parsed = pieces.iter().zip(bytes).map(|(piece, bytes)| {
        let parsed = PackedRow::parse(bytes).ok();
        parsed.filter(|row| row.len() as u64 == piece.n_elements)
    });
    parsed.collect()
}

/// Unpacks the pieces of a row into slices of its length.
fn unpack<T: Scalar>(
    pieces: &[Option<PackedRow<'_>>],
    n_columns: usize,
    mut columns: &mut [u32],
    mut values: &mut [T::Packed],
) -> bool {
    pieces.iter().flatten().all(|piece| {
        let (piece_columns, rest_columns) = std::mem::take(&mut columns).split_at_mut(piece.len());
        let (piece_values, rest_values) = std::mem::take(&mut values).split_at_mut(piece.len());
        (columns, values) = (rest_columns, rest_values);
        piece.read(n_columns, piece_columns, piece_values).is_ok()
    })
}
