//! Zarr shards: files that hold many chunks and an index of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use once_cell::race::OnceBox;

use super::{ChunkFiles, ChunkLocation};
use crate::array::grid::Grid;
use crate::error::Error;
use crate::io::buffers::AlignedBytes;
use crate::io::chunk_cache::{Cached, ChunkKey, next_array_id};
use crate::io::claims::Claims;
use crate::io::folder::FileBytes;
use crate::io::fork::ForkLocal;
use crate::io::lock::lock;
use crate::limits::MOST_FETCHED_INDEX_BYTES;

/// Zarr v3's sharding: each file holds a block of chunks and, at its end or start, an index of
/// their offsets and lengths. An index is read when first needed and kept. If two threads need it
/// at once, one of them reads it for both.
#[derive(Debug)]
pub(crate) struct ShardFiles {
    /// The files, named by shard.
    pub(crate) files: ChunkFiles,
    /// The array cut into shards.
    pub(crate) shards: Grid,
    /// Whether the index stands at the end of the file, and whether a crc32c follows it.
    index_at_end: bool,
    index_checksum: bool,
    indexes: Indexes,
    /// The numbers of the shards whose index is being read.
    reading: ForkLocal<Claims<u64>>,
    /// Shards of a zip archive that had to be inflated.
    inflated: Inflated,
}

/// The indexes that were read.
#[derive(Debug)]
enum Indexes {
    /// Of each shard that exists.
    Listed(Vec<OnceBox<Shard>>),
    /// Of shards of which it was found out that they exist, or not.
    Unlisted(ForkLocal<Mutex<HashMap<u64, Option<Arc<Shard>>>>>),
}

/// A shard that this or another owner keeps.
enum Held<'a> {
    Borrowed(&'a Shard),
    Shared(Arc<Shard>),
}

impl Deref for Held<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        match self {
            Held::Borrowed(shard) => shard,
            Held::Shared(shard) => shard,
        }
    }
}

/// Shards that were inflated as a whole. The cache of decoded chunks keeps them. The last one is
/// held even if it is larger than the budget of the cache; otherwise it would be inflated again for
/// each of its chunks.
#[derive(Debug)]
struct Inflated {
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
struct Shard {
    /// Its position among those that exist, if they are listed.
    at: usize,
    /// `None` if the file has to be inflated.
    file: Option<FileBytes>,
    len: u64,
    chunks: Vec<(u64, u64)>,
}

impl ShardFiles {
    /// Takes the files, the array cut into shards, and what is known of the index of each: whether it
    /// stands at the end of the file, and whether a checksum follows it.
    pub(crate) fn new(
        files: ChunkFiles,
        shards: Grid,
        index_at_end: bool,
        index_checksum: bool,
    ) -> ShardFiles {
        let indexes = match files.listed() {
            Some(listed) => {
                Indexes::Listed(listed.present.iter().map(|_| OnceBox::new()).collect())
            }
            None => Indexes::Unlisted(ForkLocal::new(Mutex::default)),
        };
        ShardFiles {
            files,
            shards,
            index_at_end,
            index_checksum,
            indexes,
            reading: ForkLocal::new(Claims::new),
            inflated: Inflated::default(),
        }
    }

    /// Returns the place of a chunk; `None` if it was never written.
    pub(super) fn locate(
        &self,
        chunk: u64,
        grid: &Grid,
    ) -> Result<Option<ChunkLocation<'_>>, Error> {
        let location = self.place(chunk, grid)?;
        if let (Some(files), Some(location)) = (self.files.unlisted(), &location) {
            files.count_part(location.len);
        }
        Ok(location)
    }

    /// Asks a server for those of some chunks that are wanted.
    pub(super) fn stage(
        &self,
        chunks: impl Iterator<Item = u64>,
        is_wanted: impl Fn(u64) -> bool,
        grid: &Grid,
    ) {
        // What cannot be located fails when it is read.
        let placed = |chunk| Some((chunk, self.place(chunk, grid).ok()??));
        let wanted = chunks.filter(|&chunk| is_wanted(chunk));
        let places: Vec<(u64, ChunkLocation<'_>)> = wanted.filter_map(placed).collect();
        let shard = |chunk| self.shard_of(chunk, grid);
        for of_shard in places.chunk_by(|(a, _), (b, _)| shard(*a) == shard(*b)) {
            // Indexes may have been read meanwhile, so what is wanted is found out again.
            let wanted = of_shard.iter().filter(|(chunk, _)| is_wanted(*chunk));
            let mut ranges = wanted.map(|(_, location)| {
                let ChunkLocation { offset, len, .. } = *location;
                (offset..offset + len, len)
            });
            of_shard[0].1.source.stage(&mut ranges);
        }
    }

    fn place(&self, chunk: u64, grid: &Grid) -> Result<Option<ChunkLocation<'_>>, Error> {
        let (shard_coords, within) = self.shard_coords(&grid.coords(chunk), grid);
        let Some(shard) = self.shard(&shard_coords, grid)? else {
            return Ok(None);
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
            None => self.open(shard.at, &shard_coords)?.0,
        };
        Ok(Some(ChunkLocation {
            source: Cow::Owned(file.source),
            offset: file.offset + offset,
            len,
            skip_mask: 0,
        }))
    }

    /// Returns a shard with its index, which is read now if it was not before. `None` if the shard does
    /// not exist.
    fn shard(&self, coords: &[u64], grid: &Grid) -> Result<Option<Held<'_>>, Error> {
        let Some(number) = self.shards.number(coords) else {
            return Ok(None);
        };
        let reading = || self.reading.get();
        match (&self.indexes, self.files.listed(), self.files.unlisted()) {
            (Indexes::Listed(indexes), Some(listed), _) => {
                let Some(at) = listed.position(number) else {
                    return Ok(None);
                };
                let known = || indexes[at].get();
                let claim = known().map_or_else(|| reading().get_or_claim(number, known), Ok);
                let shard = match claim {
                    Ok(shard) => shard,
                    Err(_claim) => {
                        let (file, in_file) = self.open(at, coords)?;
                        let shard = self.read_index(at, (file, in_file), coords, grid)?;
                        indexes[at].get_or_init(|| Box::new(shard))
                    }
                };
                Ok(Some(Held::Borrowed(shard)))
            }
            (Indexes::Unlisted(indexes), _, Some(files)) => {
                let indexes = || lock(indexes.get());
                let known = || indexes().get(&number).cloned();
                let claim = known().map_or_else(|| reading().get_or_claim(number, known), Ok);
                let _claim = match claim {
                    Ok(shard) => return Ok(shard.map(Held::Shared)),
                    Err(claim) => claim,
                };
                let len = self.index_len(grid);
                if len > MOST_FETCHED_INDEX_BYTES {
                    let expected =
                        format!("a shard index of at most {MOST_FETCHED_INDEX_BYTES} bytes");
                    return Err(self.files.invalid(coords, expected, len.to_string()));
                }
                let file = files.open(number, &self.files.name(coords), len, self.index_at_end)?;
                let shard = file.map(|file| self.read_index(0, (file, true), coords, grid));
                let shard = shard.transpose()?.map(Arc::new);
                indexes().insert(number, shard.clone());
                Ok(shard.map(Held::Shared))
            }
            _ => Ok(None),
        }
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
                let last = || lock(self.inflated.last.get());
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

    /// The bytes of the index of a shard.
    fn index_len(&self, grid: &Grid) -> u64 {
        let entries = self.shards.chunk_len() / grid.chunk_len();
        let checksum = if self.index_checksum { 4 } else { 0 };
        entries.saturating_mul(16).saturating_add(checksum)
    }

    fn read_index(
        &self,
        at: usize,
        (file, in_file): (FileBytes, bool),
        shard_coords: &[u64],
        grid: &Grid,
    ) -> Result<Shard, Error> {
        let entries = self.shards.chunk_len() / grid.chunk_len();
        let len = self.index_len(grid);
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
        Ok(Shard {
            at,
            file,
            len,
            chunks,
        })
    }
}
