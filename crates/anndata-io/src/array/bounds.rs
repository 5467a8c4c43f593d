//! Refuses arrays that claim more than their stored bytes can hold: no length in a file is believed
//! beyond the best ratio of the codecs that the file names.

use super::Array;
use super::chunks::{BlockReader, Chunks};
use crate::error::{Error, ErrorKind};
use crate::limits::{FREE_ARRAY_BYTES, FREE_CHUNK_BYTES, FREE_INDEX_BYTES};

impl Array {
    /// Refuses an array that claims more elements than its stored bytes can hold.
    pub(crate) fn check_written(&self) -> Result<(), Error> {
        self.check_written_but(FREE_ARRAY_BYTES)
    }

    /// The same for an index, with which everything else is compared: names differ, so nearly every
    /// one has stored bytes.
    pub(crate) fn check_index_written(&self) -> Result<(), Error> {
        self.check_written_but(FREE_INDEX_BYTES)
    }

    fn check_written_but(&self, free: u64) -> Result<(), Error> {
        // What is stored shows only when it is read: see `check_absent`.
        if self.inner.chunks.unlisted().is_some() {
            return Ok(());
        }
        let item = match (&self.inner.record, self.inner.stored_size()) {
            (Some(record), _) => record.len as u64,
            // A text of variable length is stored with a length of four bytes.
            (None, 0) => 4,
            (None, size) => size as u64,
        };
        let stored = self.inner.chunks.stored_bytes(&self.inner.grid, item);
        let ratio = match &self.inner.chunks {
            Chunks::Library(reader) => reader.best_ratio(),
            _ => self.inner.pipeline.best_ratio(),
        };
        let limit = stored.saturating_mul(ratio).saturating_add(free);
        let len = match self.inner.record {
            Some(_) => self.inner.grid.shape[0],
            None => self.len(),
        };
        if len.saturating_mul(item) > limit {
            let found = format!("{stored} bytes stored for {} elements", self.len());
            return Err(self.invalid("no more elements than the stored bytes can hold", found));
        }
        Ok(())
    }

    /// Refuses too many chunks that were never written, for files that are found out only when they are
    /// read.
    pub(super) fn check_absent(&self, chunk: u64) -> Result<(), Error> {
        let Some(files) = self.inner.chunks.unlisted() else {
            return Ok(());
        };
        let n_absent = files.count_absent(chunk);
        let fetched = files.fetched();
        let limit = fetched
            .saturating_mul(self.inner.pipeline.best_ratio())
            .saturating_add(FREE_ARRAY_BYTES);
        if n_absent.saturating_mul(self.chunk_bytes().max(1)) > limit {
            let expected = "at most the chunks without a file that the bytes of the others allow";
            let found = format!("{n_absent} without a file, {fetched} bytes in others");
            return Err(self.invalid(expected, found));
        }
        Ok(())
    }

    /// Returns the stored bytes of a chunk; `None` if it was never written. Refuses a chunk whose
    /// `len` bytes cannot come from them.
    pub(super) fn check_block(
        &self,
        chunk: u64,
        reader: &dyn BlockReader,
        len: u64,
    ) -> Result<Option<u64>, Error> {
        if self.inner.context.is_closed() {
            return Err(self.error(ErrorKind::Closed));
        }
        let grid = &self.inner.grid;
        let Some(stored) = reader.stored_bytes_at(&grid.start(chunk))? else {
            return Ok(None);
        };
        let limit = stored
            .saturating_mul(reader.best_ratio())
            .saturating_add(FREE_CHUNK_BYTES);
        if len > limit {
            let expected = format!("chunk {chunk} of shape {:?}", grid.chunk);
            return Err(self.invalid(expected, format!("{stored} stored bytes")));
        }
        Ok(Some(stored))
    }
}
