//! Rows of CSC matrices in a cache on disk.
//!
//! A matrix that is converted to rows leaves all of them in the cache, with their starts. Later
//! processes read them from there and convert nothing. If the cache has less than all of a matrix,
//! the matrix is converted again.

use std::ops::Range;
use std::sync::Arc;

use row_pack::Level;

use super::access::{PackAccess, PackWhen};
use super::bands::MatrixPacks;
use crate::error::Error;
use crate::io::pack_room::PackRoom;
use crate::matrix::csc::{CscMatrix, Progress};
use crate::matrix::csr::CsrMatrix;
use crate::matrix::{MatrixSource, ReadScratch, RowSink};

/// The number of bands that show how large all packs will be.
const SAMPLED_BANDS: u64 = 16;

/// The rows of a converted matrix, all of them packed on disk.
#[derive(Debug)]
pub(in crate::matrix) struct PackedRows {
    /// Where the rows begin and end. Its arrays have no bytes.
    pub(in crate::matrix) index: CsrMatrix,
    packs: MatrixPacks,
}

impl MatrixSource {
    /// Reads rows of a CSC matrix from the cache. Returns the positions of those that it does not
    /// have after all, or `None` if the matrix was converted here or must be.
    pub(super) fn read_packed_csc(
        &self,
        matrix: &CscMatrix,
        rows: &[u64],
        scratch: &mut ReadScratch,
        sink: &mut impl RowSink,
    ) -> Result<Option<Vec<Range<usize>>>, Error> {
        let array = &matrix.parts().data;
        if matrix.converted().is_some() || array.parts().context.is_closed() {
            return Ok(None);
        }
        let Some(packed) = self.packed_csc(matrix) else {
            return Ok(None);
        };
        array.check_rows(rows, self.n_rows())?;
        let when = PackWhen::Never;
        let mut access = PackAccess::new(&packed.packs, array, when, &scratch.stop);
        let rest = packed.index.read_packed(rows, &mut access, scratch, sink);
        Ok(Some(rest))
    }

    /// The rows of a CSC matrix in the cache, if it has all of them.
    pub(in crate::matrix) fn packed_csc<'a>(
        &self,
        matrix: &'a CscMatrix,
    ) -> Option<&'a PackedRows> {
        if let Some(packed) = matrix.packed() {
            return Some(packed);
        }
        let cached = self.cached()?;
        let starts = cached.row_starts(self.n_rows(), self.n_stored())?;
        let index = matrix.index(starts).ok()?;
        let packs = MatrixPacks::new(self, Level::Bits, Arc::new(PackRoom::new(0)))?;
        let is_complete = packs.is_complete() && cached.are_all_unchanged();
        is_complete.then(|| matrix.set_packed(PackedRows { index, packs }))
    }

    /// Returns a CSC matrix by rows. Converts it now if that was not done yet, and leaves the rows
    /// in the cache.
    pub(in crate::matrix) fn converted<'a>(
        &self,
        matrix: &'a CscMatrix,
        progress: Progress<'_>,
    ) -> Result<&'a CsrMatrix, Error> {
        if let Some(rows) = matrix.converted() {
            return Ok(rows);
        }
        let n_kept = self.cached().map_or(0, |_| self.n_stored());
        let mut n_steps = 0;
        let (rows, is_new) = matrix.rows(&mut |done, steps| {
            n_steps = steps;
            progress(done, steps + n_kept);
        })?;
        // A thread that waited for another one did nothing that it could report.
        if is_new {
            self.keep_rows(rows, &mut |done| progress(n_steps + done, n_steps + n_kept));
            progress(n_steps + n_kept, n_steps + n_kept);
        }
        Ok(rows)
    }

    /// Packs the rows of a converted matrix into the cache, if all of them fit.
    fn keep_rows(&self, rows: &CsrMatrix, progress: &mut dyn FnMut(u64)) {
        let Some((cached, array)) = self.cached().zip(self.pack_array()) else {
            return;
        };
        let mut scratch = ReadScratch::for_scan();
        // Rows that were read from other files than those of the key are not kept.
        if self.estimate(rows, &mut scratch) > cached.room() || !cached.are_all_unchanged() {
            return;
        }
        let Some(packs) = MatrixPacks::new(self, Level::Bits, Arc::new(PackRoom::new(0))) else {
            return;
        };
        let mut access = PackAccess::new(&packs, array, PackWhen::Now, &scratch.stop);
        for number in 0..self.n_bands() {
            rows.pack(number, &mut access, &mut scratch);
            if cached.is_full() || array.parts().context.is_closed() {
                return;
            }
            progress(self.band_of(number).span.end);
        }
        if packs.is_complete() {
            cached.put_row_starts(&rows.parts().indptr);
        }
    }

    /// The bytes that the packs of all rows take, from some bands all over the matrix.
    fn estimate(&self, rows: &CsrMatrix, scratch: &mut ReadScratch) -> u64 {
        let n_bands = self.n_bands();
        let step = n_bands.div_ceil(SAMPLED_BANDS).max(1);
        let (mut n_sampled, mut n_bytes) = (0u32, 0);
        for number in (0..n_bands).step_by(step as usize) {
            n_bytes += rows.packed_len(number, scratch);
            n_sampled += 1;
        }
        let of_bands = (n_bytes as f64 * n_bands as f64 / f64::from(n_sampled.max(1))) as u64;
        // A little more, because others may pack less well.
        of_bands + of_bands / 10 + size_of_val(&rows.parts().indptr[..]) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnnDataFile, CacheOptions, IoContext, IoOptions, LayerKey, ValuesRef};

    struct Lengths(Vec<usize>);

    impl RowSink for Lengths {
        fn dense(&mut self, _: usize, _: usize, _: ValuesRef<'_>) {
            panic!("the rows are sparse");
        }

        fn sparse(&mut self, row: usize, columns: &[u32], _: ValuesRef<'_>) {
            self.0[row] = columns.len();
        }
    }

    fn open(folder: &std::path::Path) -> MatrixSource {
        let cache = CacheOptions::new(folder);
        let context = IoContext::with_cache(IoOptions::new(), &cache).expect("a folder");
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/stores/csc_gzip.h5ad"
        );
        let file = AnnDataFile::open_in(path, &context).expect("valid");
        file.layer(&LayerKey::X).expect("readable").expect("X")
    }

    fn lengths(source: &MatrixSource) -> Result<Vec<usize>, Error> {
        let rows: Vec<u64> = (0..source.n_rows()).collect();
        let mut sink = Lengths(vec![0; rows.len()]);
        source.read_rows(&rows, &mut ReadScratch::default(), &mut sink)?;
        Ok(sink.0)
    }

    #[test]
    fn crafted_row_starts_are_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path());
        let n_rows = first.n_rows() as usize;
        let mut crafted = vec![0; n_rows];
        crafted.push(first.n_stored());
        // The first to write them is believed.
        let cached = first.cached().expect("a cache");
        cached.put_row_starts(&crafted);
        let expected = lengths(&first).expect("it is converted");
        drop(first);
        let later = open(folder.path());
        assert_eq!(
            later.stored_len(0),
            Some(later.n_stored().div_ceil(later.n_rows()))
        );
        later
            .prepare(&mut |_, _| {})
            .expect("the cache has all rows");
        assert_eq!(later.stored_len(0), Some(0), "as crafted");
        let error = lengths(&later).expect_err("the packs have other lengths");
        assert!(error.to_string().contains("clear the cache"), "{error}");
        assert_eq!(expected.iter().sum::<usize>() as u64, later.n_stored());
    }
}
