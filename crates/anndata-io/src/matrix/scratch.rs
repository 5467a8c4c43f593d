//! Buffers for reads of rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use row_pack::{Level, PackBuilder};

use super::Packs;
use crate::array::chunk_reader::ChunkReader;
use crate::io::buffers::AlignedBytes;

/// The buffers, last chunks and decompressors that reads need, kept from one call to the next. One
/// per thread.
#[derive(Debug)]
pub struct ReadScratch {
    pub(super) scan: bool,
    pub(super) neighbours: [Option<u64>; 2],
    pub(super) packs: Option<Packs>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) indices: ChunkReader,
    pub(super) data: ChunkReader,
    pub(super) raw_columns: AlignedBytes,
    pub(super) raw_values: AlignedBytes,
    pub(super) columns: Vec<u32>,
    pub(super) pack: PackBuilder,
}

impl Default for ReadScratch {
    fn default() -> Self {
        ReadScratch {
            scan: false,
            neighbours: [None; 2],
            packs: None,
            stop: Arc::default(),
            indices: ChunkReader::default(),
            data: ChunkReader::default(),
            raw_columns: AlignedBytes::default(),
            raw_values: AlignedBytes::default(),
            columns: Vec::new(),
            // Each pack states its matrix anew.
            pack: PackBuilder::new::<u8>(0, Level::Bits),
        }
    }
}

impl ReadScratch {
    /// For reads that pass over a file once, in consecutive pieces: only chunks that neighbouring
    /// pieces share go into the cache.
    pub fn for_scan() -> Self {
        ReadScratch {
            scan: true,
            ..Default::default()
        }
    }

    /// Prepares the next piece of a scan. `before` and `after` are the adjacent rows of the same
    /// matrices that belong to other pieces. Bands of dense chunks that contain them go into the
    /// cache, if they fit.
    pub fn set_neighbours(&mut self, before: Option<u64>, after: Option<u64>) {
        self.neighbours = [before, after];
    }

    /// Sets the packs of the next reads, if they use any. Matrices that these packs do not hold are
    /// read without them.
    pub fn set_packs(&mut self, packs: Option<Packs>) {
        self.packs = packs;
    }

    /// Sets a flag. Once it is true, reads with packs pack no more bands and wait for no other process
    /// that packs some; rows that are not packed are then an error.
    pub fn set_stop(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    /// Whether the [flag](Self::set_stop) is true.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Releases the chunks that were read last, so that only the cache holds chunks.
    pub fn release_chunks(&mut self) {
        self.indices.forget();
        self.data.forget();
    }
}
