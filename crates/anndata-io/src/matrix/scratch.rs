//! Buffers that reads of rows need.

use crate::array::chunk_reader::ChunkReader;
use crate::io::buffers::AlignedBytes;

/// What reading needs besides a matrix, kept from one call to the next: buffers, the last chunks,
/// decompressors. One for each thread.
#[derive(Debug, Default)]
pub struct ReadScratch {
    pub(super) scan: bool,
    pub(super) neighbours: [Option<u64>; 2],
    pub(super) indices: ChunkReader,
    pub(super) data: ChunkReader,
    pub(super) raw_columns: AlignedBytes,
    pub(super) raw_values: AlignedBytes,
    pub(super) columns: Vec<u32>,
}

impl ReadScratch {
    /// For reads that pass over a file once, in pieces that follow each other: only chunks that
    /// neighbouring pieces share are put into the cache.
    pub fn for_scan() -> Self {
        ReadScratch {
            scan: true,
            ..Default::default()
        }
    }

    /// For the next piece of a scan: the row before it and the row after it, of the same matrices,
    /// that other pieces have. Bands of dense chunks in which these lie go into the cache, if they
    /// fit.
    pub fn set_neighbours(&mut self, before: Option<u64>, after: Option<u64>) {
        self.neighbours = [before, after];
    }

    /// Lets go of the chunks that were read last, so that only the cache holds chunks.
    pub fn release_chunks(&mut self) {
        self.indices.forget();
        self.data.forget();
    }
}
