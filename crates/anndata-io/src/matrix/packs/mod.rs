//! Rows of compressed matrices, packed in memory when their band of chunks is decoded.
//!
//! A chunk holds many rows. Without packs, it is decoded again whenever one of them is requested
//! and the chunk is no longer in the cache. A band that is packed is decoded once: its rows are then
//! read from memory, in any order, bit for bit as they are in the file.
//!
//! ```text
//! rows ─▶ read: for each row, its bands ─┬─ packed ─▶ unpack ─▶ RowSink
//!                                        ├─ to be packed now ─▶ decode, pack all rows, unpack
//!                                        └─ otherwise: left to the caller, which decodes
//! ```
//!
//! `bands.rs` has the packs of a matrix, `access.rs` when a band is packed and by whom. `sparse.rs`
//! packs bands of CSR, `dense.rs` the nonzeros of dense bands; `csc.rs` leaves CSC that was converted
//! to rows on disk. A row that lies in two bands has a piece in each. What cannot be packed (a chunk
//! that does not decode, a column that the matrix does not have) is left to the caller, whose error
//! is then the usual one.
//!
//! Packs never change and are never dropped before their owner, so reading them takes no lock, and
//! a forked child reads those of its parent.

mod access;
mod bands;
mod cached;
mod csc;
mod dense;
mod sparse;

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use row_pack::Level;

use super::{MatrixLayout, MatrixSource, ReadScratch, RowSink};
use crate::array::{Array, STEP_ELEMENTS};
use crate::error::{Error, ErrorKind};
use crate::io::pack_room::PackRoom;
use crate::limits::{
    MOST_PACK_BYTES, MOST_PACKED_BANDS, MOST_PACKED_DENSE_BYTES, MOST_PACKING_BYTES,
};
use access::{PackAccess, PackWhen};
use bands::BandExtent;
pub(super) use bands::MatrixPacks;
pub(super) use cached::CachedMatrix;
pub(super) use csc::PackedRows;

/// The bytes of chunks that threads ask a server for together, and the most of one thread.
const BYTES_AHEAD: u64 = 32 << 20;
const MOST_AHEAD: u64 = 8 << 20;
/// The fewest and the most bands of them.
const BANDS_AHEAD: RangeInclusive<u64> = 16..=2048;

/// Packed rows of some matrices: every band of chunks that is decoded while they are
/// [in use](ReadScratch::set_packs) leaves all of its rows packed.
///
/// Cheap to clone; clones are the same packs. Any number of threads may read with them.
///
/// ```
/// use std::sync::Arc;
///
/// use anndata_io::{AnnDataFile, IoContext, LayerKey, PackRoom, Packs, ReadScratch};
/// # use anndata_io::{RowSink, ValuesRef};
/// # struct Sink;
/// # impl RowSink for Sink {
/// #     fn dense(&mut self, _: usize, _: usize, _: ValuesRef<'_>) {}
/// #     fn sparse(&mut self, _: usize, _: &[u32], _: ValuesRef<'_>) {}
/// # }
/// # let mut sink = Sink;
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/demo/c.zarr");
///
/// let context = IoContext::default();
/// let x = AnnDataFile::open_in(path, &context)?.layer(&LayerKey::X)?.expect("the file has X");
/// let packs = Packs::new([&x], row_pack::Level::Bits, &Arc::new(PackRoom::new(1 << 20)));
/// let mut scratch = ReadScratch::default();
/// scratch.set_packs(Some(packs.clone()));
/// x.read_rows(&[7], &mut scratch, &mut sink)?; // decodes the band of row 7, and packs it
/// let decoded = context.decoded_chunks();
/// x.read_rows(&[6, 7, 8], &mut scratch, &mut sink)?;
/// assert_eq!(context.decoded_chunks(), decoded);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Packs {
    matrices: Arc<HashMap<u64, MatrixPacks>>,
}

impl Packs {
    /// Makes packs without rows for those of `sources` that are [packable](MatrixSource::is_packable).
    /// Their memory comes from `room`; once it is full, bands are decoded and not packed. Dense
    /// matrices are always packed at [`Level::Bits`].
    pub fn new<'a>(
        sources: impl IntoIterator<Item = &'a MatrixSource>,
        level: Level,
        room: &Arc<PackRoom>,
    ) -> Packs {
        let sources: Vec<&MatrixSource> = sources.into_iter().collect();
        MatrixSource::use_cache(sources.iter().copied());
        let of = |source: &MatrixSource| {
            let packs = MatrixPacks::new(source, level, room.clone())?;
            Some((source.pack_array()?.id(), packs))
        };
        Packs {
            matrices: Arc::new(sources.into_iter().filter_map(of).collect()),
        }
    }

    /// The bytes of the packs in memory.
    pub fn bytes(&self) -> usize {
        self.matrices.values().map(MatrixPacks::bytes).sum()
    }

    /// The bytes of the packs on disk.
    pub fn cached_bytes(&self) -> u64 {
        self.matrices.values().map(MatrixPacks::cached_bytes).sum()
    }

    /// The number of [stored elements](MatrixSource::n_stored) of the bands that are packed.
    pub fn n_elements(&self) -> u64 {
        self.matrices.values().map(MatrixPacks::n_elements).sum()
    }

    /// The number of bands of the matrices, and of those that are packed.
    pub fn n_bands(&self) -> (usize, usize) {
        let matrices = self.matrices.values();
        let counts = matrices.map(|packs| (packs.n_bands(), packs.n_packed()));
        counts.fold((0, 0), |(all, packed), (n, of)| (all + n, packed + of))
    }

    /// Whether every band is packed, except those that cannot be.
    pub fn is_complete(&self) -> bool {
        self.matrices.values().all(MatrixPacks::is_complete)
    }

    /// Whether some matrix has a band that could not be kept, in memory or on disk.
    pub fn is_full(&self) -> bool {
        self.matrices.values().any(MatrixPacks::is_full)
    }
}

impl MatrixSource {
    /// Whether [packs](Packs) can hold rows of this matrix: it is compressed, CSR or dense. For
    /// others, packs have no advantage.
    pub fn is_packable(&self) -> bool {
        match &self.layout {
            MatrixLayout::Csr(_) | MatrixLayout::Dense(_) if self.band_bytes() == 0 => false,
            MatrixLayout::Csr(_) => self.n_bands() <= MOST_PACKED_BANDS,
            MatrixLayout::Dense(_) => {
                self.n_bands() <= MOST_PACKED_BANDS && self.band_bytes() <= MOST_PACKED_DENSE_BYTES
            }
            MatrixLayout::Row(_) | MatrixLayout::Csc(_) | MatrixLayout::Frame(_) => false,
        }
    }

    /// The number of elements that the file stores: the entries of a sparse matrix, all elements of
    /// another one.
    pub fn n_stored(&self) -> u64 {
        match &self.layout {
            MatrixLayout::Csr(matrix) => matrix.n_entries(),
            MatrixLayout::Csc(matrix) => matrix.n_entries(),
            _ => self.n_rows().saturating_mul(self.row_len() as u64),
        }
    }

    /// The bytes that a thread may hold while it packs a band, besides the pack of a sparse one.
    pub fn packing_bytes(&self) -> u64 {
        match &self.layout {
            MatrixLayout::Dense(array) => array
                .chunk_bytes()
                .saturating_add(MOST_PACKING_BYTES as u64 + 3 * MOST_PACK_BYTES),
            _ => self.band_bytes(),
        }
    }

    /// The number of bands of chunks, if rows can be [packed](Self::is_packable); for CSC, that of
    /// its rows in a cache.
    pub fn n_bands(&self) -> u64 {
        match &self.layout {
            MatrixLayout::Csc(matrix) => matrix.n_entries().div_ceil(STEP_ELEMENTS),
            MatrixLayout::Csr(matrix) => matrix.n_entries().div_ceil(matrix.band_len()),
            MatrixLayout::Dense(array) => self.n_rows().div_ceil(array.chunk_shape()[0]),
            MatrixLayout::Row(_) | MatrixLayout::Frame(_) => 0,
        }
    }

    /// A band of chunks.
    fn band_of(&self, number: u64) -> BandExtent {
        match &self.layout {
            MatrixLayout::Csc(_) => {
                let start = number * STEP_ELEMENTS;
                let span = start..(start + STEP_ELEMENTS).min(self.n_stored());
                BandExtent {
                    number,
                    n_elements: span.end - span.start,
                    span,
                }
            }
            MatrixLayout::Csr(matrix) => matrix.band_of(number),
            MatrixLayout::Dense(array) => dense::band_of(array, number),
            MatrixLayout::Row(_) | MatrixLayout::Frame(_) => BandExtent {
                number,
                span: 0..0,
                n_elements: 0,
            },
        }
    }

    /// The bands of a range of elements of a sparse matrix, or of rows of a dense one.
    fn bands_of(&self, span: &Range<u64>) -> Range<u64> {
        let len = match &self.layout {
            MatrixLayout::Csr(matrix) => matrix.band_len(),
            MatrixLayout::Dense(array) => array.chunk_shape()[0],
            _ => return 0..0,
        };
        span.start / len..span.end.div_ceil(len)
    }

    /// The bands of a row that exists.
    fn bands_of_row(&self, row: u64) -> Range<u64> {
        match &self.layout {
            MatrixLayout::Csr(matrix) => matrix.bands(row),
            _ => self.bands_of(&(row..row + 1)),
        }
    }

    /// The array whose identity stands for the matrix.
    pub(super) fn pack_array(&self) -> Option<&Array> {
        match &self.layout {
            MatrixLayout::Csr(matrix) => Some(&matrix.parts().data),
            MatrixLayout::Csc(matrix) => Some(&matrix.parts().data),
            MatrixLayout::Dense(array) => Some(array),
            MatrixLayout::Row(_) | MatrixLayout::Frame(_) => None,
        }
    }

    /// Packs the bands of `rows` into the [packs in use](ReadScratch::set_packs). What lies on a
    /// server is also asked for ahead, for `next`: the rows that will be packed after them. All of
    /// these rows must ascend. What cannot be packed is left to the read of its rows, which then
    /// raises the error.
    ///
    /// Returns false after an error of the system or a server: others would take as long to fail.
    pub fn pack_rows(
        &self,
        rows: &[u64],
        next: impl IntoIterator<Item = u64>,
        scratch: &mut ReadScratch,
    ) -> bool {
        let order = |array: &Array| array.check_rows(rows, self.n_rows());
        if self.pack_array().is_none_or(|array| order(array).is_err()) {
            return true;
        }
        let rows = rows.iter().copied();
        let next = next.into_iter().take_while(|&row| row < self.n_rows());
        let bands = rows.flat_map(|row| self.bands_of_row(row));
        self.pack(bands, next.flat_map(|row| self.bands_of_row(row)), scratch)
    }

    /// Packs some bands, by their numbers below [`n_bands`](Self::n_bands), into the [packs in
    /// use](ReadScratch::set_packs). What lies on a server is also asked for ahead: the bands that
    /// follow. What cannot be packed is left to the read of its rows.
    ///
    /// Returns false after an error of the system or a server: others would take as long to fail.
    pub fn pack_bands(&self, bands: Range<u64>, scratch: &mut ReadScratch) -> bool {
        let end = bands.end.min(self.n_bands());
        self.pack(bands.start..end, end..self.n_bands(), scratch)
    }

    /// Packs bands. They ascend, and so do those that will be packed next. Returns false after an
    /// error of the system or a server.
    fn pack(
        &self,
        bands: impl Iterator<Item = u64>,
        next: impl Iterator<Item = u64>,
        scratch: &mut ReadScratch,
    ) -> bool {
        let given = scratch.packs.clone();
        let Some((array, packs)) = self.pack_array().zip(given.as_ref()) else {
            return true;
        };
        let Some(packs) = packs.matrices.get(&array.id()) else {
            return true;
        };
        let mut access = PackAccess::new(packs, array, PackWhen::Now, &scratch.stop);
        let mut bands: Vec<u64> = bands.collect();
        bands.dedup();
        if array.is_remote() {
            self.pack_remote(bands, next, &mut access, scratch);
        } else {
            for number in bands {
                if access.is_over() {
                    break;
                }
                self.pack_band(number, &mut access, scratch);
            }
        }
        !access.has_failed()
    }

    /// Packs bands of a file on a server: first those that no other process packs.
    fn pack_remote(
        &self,
        mut bands: Vec<u64>,
        next: impl Iterator<Item = u64>,
        access: &mut PackAccess<'_>,
        scratch: &mut ReadScratch,
    ) {
        let (n_bands, n_ahead) = (bands.len(), self.bands_ahead());
        for number in next {
            if bands.last().is_none_or(|&last| last < number) {
                bands.push(number);
            }
            if bands.len() >= n_bands + n_ahead {
                break;
            }
        }
        let mut of_others = Vec::new();
        for (at, &number) in bands[..n_bands].iter().enumerate() {
            if access.is_over() {
                return;
            }
            if at % n_ahead.div_ceil(2) == 0 {
                let ahead = &bands[at..(at + 2 * n_ahead).min(bands.len())];
                self.ask_ahead(ahead, access);
            }
            match access.is_of_others(number) {
                true => of_others.push(number),
                false => self.pack_band(number, access, scratch),
            }
        }
        let mut n_asked = 0;
        for (at, &number) in of_others.iter().enumerate() {
            if access.is_over() {
                return;
            }
            // If the other process has ended, this one packs the rest.
            if at >= n_asked && !access.is_of_others(number) {
                n_asked = (at + n_ahead).min(of_others.len());
                self.ask_ahead(&of_others[at..n_asked], access);
            }
            self.pack_band(number, access, scratch);
        }
    }

    /// Asks the server for those of some bands that still have to be packed.
    fn ask_ahead(&self, bands: &[u64], access: &PackAccess<'_>) {
        let bands = bands.iter().map(|&number| self.band_of(number)).collect();
        let missing = access.claim_missing(bands);
        missing.iter().for_each(|of| access.set_asked(of.number));
        for array in self.pack_arrays() {
            let spans = missing.iter().map(|of| of.span.clone());
            array.stage_wanted(spans, |span| {
                self.bands_of(&span)
                    .any(|band| access.is_free_in_process(band))
            });
        }
    }

    fn pack_band(&self, number: u64, access: &mut PackAccess<'_>, scratch: &mut ReadScratch) {
        match &self.layout {
            MatrixLayout::Csr(matrix) => matrix.pack(number, access, scratch),
            MatrixLayout::Dense(array) => {
                dense::band(array, number, access, scratch);
            }
            // Converting it packs it.
            _ => return,
        }
        access.release(number);
        // Another thread or process packed it, or there was no room: nobody needs the answer.
        if access.take_asked(number) {
            let span = self.band_of(number).span;
            self.pack_arrays()
                .for_each(|array| array.give_up(span.clone()));
        }
    }

    /// The number of bands that a server is asked for ahead.
    fn bands_ahead(&self) -> usize {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let of_array = |array: &Array| match array.parts().chunks.unlisted() {
            // A guess: what is stored is not known.
            Some(_) => array.chunk_bytes().saturating_mul(array.chunks_beside()) / 4,
            None => array.stored_bytes() / self.n_bands().max(1),
        };
        let of_band = self
            .pack_arrays()
            .map(of_array)
            .fold(1, u64::saturating_add);
        let n_bands = (BYTES_AHEAD / threads).min(MOST_AHEAD) / of_band;
        n_bands.clamp(*BANDS_AHEAD.start(), *BANDS_AHEAD.end()) as usize
    }

    /// The arrays that bands are decoded from.
    fn pack_arrays(&self) -> impl Iterator<Item = &Array> {
        let arrays = match &self.layout {
            MatrixLayout::Csr(matrix) => {
                [Some(&matrix.parts().indices), Some(&matrix.parts().data)]
            }
            MatrixLayout::Dense(array) => [Some(array), None],
            _ => [None, None],
        };
        arrays.into_iter().flatten()
    }

    /// Reads those of `rows` that are packed, or are packed now. Returns the positions of the
    /// others, `None` if those are all of them.
    ///
    /// # Errors
    /// When the rows are not in order or do not exist, or some of them are not packed and the read
    /// was [stopped](ReadScratch::set_stop).
    pub(super) fn read_packed(
        &self,
        rows: &[u64],
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<Option<Vec<Range<usize>>>, Error> {
        if let MatrixLayout::Csc(matrix) = &self.layout {
            return self.read_packed_csc(matrix, rows, scratch, sink);
        }
        let Some(array) = self.pack_array() else {
            return Ok(None);
        };
        let context = &array.parts().context;
        let given = scratch.packs.clone();
        let given = given
            .as_ref()
            .and_then(|packs| packs.matrices.get(&array.id()));
        let (packs, when) = match (given, self.packs.get()) {
            (Some(packs), _) => (packs, PackWhen::Now),
            (None, Some(packs)) if scratch.scan => (packs, PackWhen::Never),
            (None, Some(packs)) => (packs, PackWhen::SecondTime),
            (None, None) if scratch.scan => return Ok(None),
            (None, None) => {
                let room = context.pack_room();
                let Some(packs) = MatrixPacks::new(self, Level::Bits, room.clone()) else {
                    return Ok(None);
                };
                let packs = self.packs.get_or_init(|| Box::new(packs));
                (packs, PackWhen::SecondTime)
            }
        };
        if context.is_closed() {
            return Ok(None);
        }
        array.check_rows(rows, self.n_rows())?;
        let mut access = PackAccess::new(packs, array, when, &scratch.stop);
        let rest = match &self.layout {
            MatrixLayout::Csr(matrix) => matrix.read_packed(rows, &mut access, scratch, sink),
            _ => dense::read_packed(array, rows, &mut access, scratch, sink),
        };
        // A read from the file could take as long as the wait that was given up.
        if !rest.is_empty() && scratch.is_stopped() {
            return Err(array.error(ErrorKind::Closed));
        }
        Ok(Some(rest))
    }
}

/// Calls `read` for each row with its position. Returns the ranges of positions for which it
/// returned false.
fn rest_of(rows: &[u64], mut read: impl FnMut(usize, u64) -> bool) -> Vec<Range<usize>> {
    let mut rest: Vec<Range<usize>> = Vec::new();
    for (at, &row) in rows.iter().enumerate() {
        if read(at, row) {
            continue;
        }
        match rest.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => rest.push(at..at + 1),
        }
    }
    rest
}
