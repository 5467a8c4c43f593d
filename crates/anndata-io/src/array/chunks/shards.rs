//! Zarr shards: files that hold many chunks and an index of them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use once_cell::race::OnceBox;

use super::{ChunkFiles, ChunkLocation};
use crate::array::grid::Grid;
use crate::error::Error;
use crate::io::buffers::AlignedBytes;
use crate::io::chunk_cache::{Cached, ChunkKey, next_array_id};
use crate::io::folder::FileBytes;
use crate::io::fork::ForkLocal;

/// Zarr v3's sharding: each file holds a block of chunks and, at its end or start, an index of
/// their offsets and lengths. An index is read when first needed and kept. If two threads need it
/// at once, both read it, so that no thread waits and a fork leaves nothing locked.
#[derive(Debug)]
pub(crate) struct ShardFiles {
    /// The files, named by shard.
    pub(crate) files: ChunkFiles,
    /// The array cut into shards.
    pub(crate) shards: Grid,
    /// Whether the index stands at the end of the file, and whether a crc32c follows it.
    pub(crate) index_at_end: bool,
    pub(crate) index_checksum: bool,
    /// The index of each shard in `files.present`.
    pub(crate) indexes: Vec<OnceBox<Shard>>,
    /// Shards of a zip archive that had to be inflated.
    pub(crate) inflated: Inflated,
}

/// Shards that were inflated as a whole. The cache of decoded chunks keeps them. The last one is
/// held even if it is larger than the budget of the cache; otherwise it would be inflated again for
/// each of its chunks.
#[derive(Debug)]
pub(crate) struct Inflated {
    /// Their array id in the cache.
    id: u64,
    last: ForkLocal<Mutex<InflatedShard>>,
}

/// The number of a shard and its bytes.
type InflatedShard = Option<(u64, Arc<AlignedBytes>)>;

impl Default for Inflated {
    fn default() -> Self {
        Inflated {
            id: next_array_id(),
            last: ForkLocal::new(Mutex::default),
        }
    }
}

/// A shard file and the `(offset, length)` of its chunks, row-major; both are `u64::MAX` for a
/// chunk that was never written.
#[derive(Debug)]
pub(crate) struct Shard {
    /// `None` if the file has to be inflated.
    file: Option<FileBytes>,
    len: u64,
    chunks: Vec<(u64, u64)>,
}

impl ShardFiles {
    /// Returns the place of a chunk; `None` if it was never written.
    pub(super) fn locate(
        &self,
        chunk: u64,
        grid: &Grid,
    ) -> Result<Option<ChunkLocation<'_>>, Error> {
        let (shard_coords, within) = self.shard_coords(&grid.coords(chunk), grid);
        let number = self.shards.number(&shard_coords);
        let Some(at) = number.and_then(|number| self.files.present.binary_search(&number).ok())
        else {
            return Ok(None);
        };
        let shard = match self.indexes[at].get() {
            Some(shard) => shard,
            None => {
                let shard = self.read_index(at, &shard_coords, grid)?;
                self.indexes[at].get_or_init(|| Box::new(shard))
            }
        };
        let (offset, len) = shard.chunks[within as usize];
        if (offset, len) == (u64::MAX, u64::MAX) {
            return Ok(None);
        }
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > shard.len) {
            let expected = format!("chunk {chunk} within its shard of {} bytes", shard.len);
            let found = format!("{len} bytes at {offset}");
            return Err(self.files.invalid(&shard_coords, expected, found));
        }
        let file = match &shard.file {
            Some(file) => file.clone(),
            None => self.open(at, &shard_coords)?.0,
        };
        Ok(Some(ChunkLocation {
            source: Cow::Owned(file.source),
            offset: file.offset + offset,
            len,
            skip_mask: 0,
        }))
    }

    /// The coordinates of the shard of a chunk, and the number of the chunk in it.
    fn shard_coords(&self, coords: &[u64], grid: &Grid) -> (Vec<u64>, u64) {
        let mut shard_coords = Vec::with_capacity(coords.len());
        let mut within = 0;
        for (axis, &coord) in coords.iter().enumerate() {
            let per_shard = self.shards.chunk[axis] / grid.chunk[axis];
            shard_coords.push(coord / per_shard);
            within = within * per_shard + coord % per_shard;
        }
        (shard_coords, within)
    }

    /// The number of the shard of a chunk.
    pub(super) fn shard_of(&self, chunk: u64, grid: &Grid) -> Option<u64> {
        let (coords, _) = self.shard_coords(&grid.coords(chunk), grid);
        self.shards.number(&coords)
    }

    /// Returns the bytes of a shard, and whether they lie in a file.
    fn open(&self, at: usize, shard_coords: &[u64]) -> Result<(FileBytes, bool), Error> {
        let name = self.files.name(shard_coords);
        let (context, folder) = (&self.files.context, &self.files.folder);
        if !folder.is_deflated(&name) {
            return Ok((self.files.open(shard_coords)?, true));
        }
        let (array, chunk) = (self.inflated.id, at as u64);
        let key = ChunkKey { array, chunk };
        let bytes = match context.cached_chunk(key) {
            Cached::Chunk(bytes) => bytes,
            // No other thread inflates the shard until the claim is dropped.
            _claim @ Cached::Claimed(_) => {
                let last = || {
                    let last = self.inflated.last.get();
                    last.lock().unwrap_or_else(PoisonError::into_inner)
                };
                let held = last().clone().filter(|(held, _)| *held == chunk);
                match held {
                    Some((_, bytes)) => bytes,
                    None => {
                        let bytes = Arc::new(folder.inflate(&name)?.unwrap_or_default());
                        if context.can_keep(bytes.len() as u64) {
                            context.keep_chunk(key, &bytes);
                        } else {
                            *last() = Some((chunk, bytes.clone()));
                        }
                        bytes
                    }
                }
            }
        };
        Ok((FileBytes::in_memory(bytes), false))
    }

    fn read_index(&self, at: usize, shard_coords: &[u64], grid: &Grid) -> Result<Shard, Error> {
        let (file, in_file) = self.open(at, shard_coords)?;
        let entries = self.shards.chunk_len() / grid.chunk_len();
        let checksum = if self.index_checksum { 4 } else { 0 };
        let len = entries.saturating_mul(16).saturating_add(checksum);
        if len > file.len {
            let expected = format!("a shard index of {len} bytes");
            let found = format!("a file of {} bytes", file.len);
            return Err(self.files.invalid(shard_coords, expected, found));
        }
        let mut bytes = vec![0; len as usize];
        let offset = if self.index_at_end { file.len - len } else { 0 };
        let offset = file.offset + offset;
        file.source.read_exact_at(offset, &mut bytes)?;
        let (index, stored) = bytes.split_at(entries as usize * 16);
        if self.index_checksum && crc32c::crc32c(index).to_le_bytes() != stored {
            let expected = "a shard index that agrees with its crc32c";
            return Err(self
                .files
                .invalid(shard_coords, expected, "another checksum"));
        }
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let chunks = index
            .chunks_exact(16)
            .map(|entry| (word(&entry[..8]), word(&entry[8..])))
            .collect();
        let len = file.len;
        let file = in_file.then_some(file);
        Ok(Shard { file, len, chunks })
    }
}
