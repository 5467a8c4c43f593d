//! The place of each chunk's bytes.
//!
//! Takes the number of a chunk in the array's grid. Returns a [`ChunkLocation`] (a source and a
//! range of its bytes), or `None` if the chunk was never written. A backend makes the list when it
//! opens an array, and it never changes.
//!
//! ```text
//! Chunks ─┬─ Contiguous, Table     one source, offsets known
//!         ├─ Files   (files.rs)    one file per chunk, found by its name
//!         ├─ Shards  (shards.rs)   one file for many chunks, and an index in it
//!         └─ Library               another library reads elements: a `BlockReader`
//! ```

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Range;

use super::grid::Grid;
use crate::error::Error;
use crate::io::bytes::ByteSource;
use crate::io::remote::RemoteFiles;

mod files;
mod shards;

pub(crate) use files::ChunkFiles;
pub(crate) use shards::ShardFiles;

/// The stored bytes of one chunk.
#[derive(Debug, Clone)]
pub(crate) struct ChunkLocation<'a> {
    /// Borrowed if it exists already: a copy would count references, and threads contend for the
    /// count.
    pub(crate) source: Cow<'a, ByteSource>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// If bit `i` is set, codec `i` was not applied to this chunk.
    pub(crate) skip_mask: u32,
}

/// One row of a [`Chunks::Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableEntry {
    pub(crate) chunk: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) skip_mask: u32,
}

/// The place of every chunk: found once when the array is opened, and never changed.
///
/// A chunk without a place was never written: its elements are the fill value.
#[derive(Debug)]
pub(crate) enum Chunks {
    /// Nothing was ever written.
    Unallocated,
    /// One block that is the whole array.
    Contiguous { source: ByteSource, offset: u64 },
    /// Blocks of one file, ascending by chunk number.
    Table {
        source: ByteSource,
        entries: Vec<TableEntry>,
    },
    /// One file per chunk.
    Files(Box<ChunkFiles>),
    /// One file per shard, each with many chunks and an index of them.
    Shards(Box<ShardFiles>),
    /// The chunks of another library, which finds them itself and hands out decoded elements.
    #[cfg_attr(
        not(any(feature = "libhdf5", feature = "zarrs")),
        expect(dead_code, reason = "its only sources")
    )]
    Library(Box<dyn BlockReader>),
}

/// A library that reads and decodes blocks of an array itself.
pub(crate) trait BlockReader: Debug + Send + Sync {
    /// The most bytes that are stored for the whole array.
    fn stored_bytes(&self) -> u64;

    /// The most bytes that an honest stored byte may become.
    fn best_ratio(&self) -> u64;

    /// Bytes stored for the chunk whose first element is at `start`; `None` if it was never
    /// written.
    fn stored_bytes_at(&self, start: &[u64]) -> Result<Option<u64>, Error>;

    /// Reads the block of shape `count` at `start` into the first corner of a block of shape
    /// `within`, which `out` holds: row-major, native-endian.
    fn read(
        &self,
        start: &[u64],
        count: &[u64],
        within: &[u64],
        out: &mut [u8],
    ) -> Result<(), Error>;

    /// Hands out the texts of the block of shape `count` at `start`.
    fn read_texts(
        &self,
        start: &[u64],
        count: &[u64],
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error>;
}

impl Chunks {
    /// Returns the place of a chunk; `None` if it was never written.
    pub(crate) fn locate(
        &self,
        chunk: u64,
        grid: &Grid,
        item: u64,
    ) -> Result<Option<ChunkLocation<'_>>, Error> {
        match self {
            // These have no bytes that could be read without the library.
            Chunks::Unallocated | Chunks::Library(_) => Ok(None),
            Chunks::Contiguous { source, offset } => Ok(Some(ChunkLocation {
                source: Cow::Borrowed(source),
                offset: *offset,
                len: grid.len() * item,
                skip_mask: 0,
            })),
            Chunks::Table { source, entries } => {
                // A table without holes is its own index.
                let at = match entries.get(chunk as usize) {
                    Some(entry) if entry.chunk == chunk => Ok(chunk as usize),
                    _ => entries.binary_search_by_key(&chunk, |entry| entry.chunk),
                };
                Ok(at.ok().map(|at| {
                    let TableEntry {
                        offset,
                        len,
                        skip_mask,
                        ..
                    } = entries[at];
                    ChunkLocation {
                        source: Cow::Borrowed(source),
                        offset,
                        len: len.into(),
                        skip_mask,
                    }
                }))
            }
            Chunks::Files(files) => {
                let file = files.open_chunk(chunk, grid, item)?;
                Ok(file.map(|file| ChunkLocation {
                    source: Cow::Owned(file.source),
                    offset: file.offset,
                    len: file.len,
                    skip_mask: 0,
                }))
            }
            Chunks::Shards(shards) => shards.locate(chunk, grid),
        }
    }

    /// Adds what identifies the files of the chunks to `out`, as they were when the array was opened.
    /// `None` if packs of them cannot be kept.
    pub(crate) fn identify(&self, out: &mut Vec<u8>) -> Option<()> {
        let stamp = match self {
            Chunks::Contiguous { source, offset } => {
                out.extend(offset.to_le_bytes());
                source.stamp()?
            }
            Chunks::Table { source, entries } => {
                for entry in entries {
                    let &TableEntry {
                        chunk,
                        offset,
                        len,
                        skip_mask,
                    } = entry;
                    for word in [chunk, offset, len.into(), skip_mask.into()] {
                        out.extend(word.to_le_bytes());
                    }
                }
                source.stamp()?
            }
            _ => {
                let files = self.files()?;
                match files.folder.is_stamped_as_one() {
                    true => files.folder.stamp()?,
                    false => return files.identify(out),
                }
            }
        };
        out.extend(stamp);
        Some(())
    }

    /// Whether each read is a request to a server.
    pub(crate) fn is_remote(&self) -> bool {
        match self {
            Chunks::Contiguous { source, .. } | Chunks::Table { source, .. } => source.is_remote(),
            _ => self.is_remote_files(),
        }
    }

    /// The files of chunks, or shards, that are found out only when they are read.
    pub(crate) fn unlisted(&self) -> Option<&RemoteFiles> {
        self.files()?.unlisted()
    }

    /// The files that chunks, or shards, are.
    fn files(&self) -> Option<&ChunkFiles> {
        match self {
            Chunks::Files(files) => Some(files),
            Chunks::Shards(shards) => Some(&shards.files),
            _ => None,
        }
    }

    /// Whether chunks are files on a server, or parts of such files.
    pub(crate) fn is_remote_files(&self) -> bool {
        self.files().is_some_and(|files| files.folder.is_remote())
    }

    /// Asks a server for those chunks in ascending ranges that are wanted, which will be read soon.
    pub(crate) fn stage(
        &self,
        chunks: impl Iterator<Item = Range<u64>>,
        is_wanted: impl Fn(u64) -> bool,
        grid: &Grid,
        item: u64,
    ) {
        let mut next = 0;
        // Two ranges may share a chunk.
        let mut once = |places: Range<u64>| {
            let places = places.start.max(next)..places.end.max(next);
            next = places.end;
            places
        };
        match self {
            Chunks::Table { source, entries } => {
                let within =
                    |chunk: u64| entries.partition_point(|entry| entry.chunk < chunk) as u64;
                let places =
                    chunks.flat_map(|chunks| once(within(chunks.start)..within(chunks.end)));
                let entries = places.map(|place| entries[place as usize]);
                let entries = entries.filter(|entry| is_wanted(entry.chunk));
                let ranges = entries.map(|TableEntry { offset, len, .. }| {
                    let len = u64::from(len);
                    (offset..offset.saturating_add(len), len)
                });
                source.stage(&mut { ranges });
            }
            Chunks::Files(files) => {
                let chunks = chunks.flat_map(once).filter(|&chunk| is_wanted(chunk));
                files.stage(chunks, grid, item);
            }
            Chunks::Shards(shards) => {
                shards.stage(chunks.flat_map(once), is_wanted, grid);
            }
            Chunks::Unallocated | Chunks::Contiguous { .. } | Chunks::Library(_) => {}
        }
    }

    /// Gives up chunks that a server was asked for. Those of shards are given up when they are old.
    pub(crate) fn give_up(&self, chunks: Range<u64>) {
        match self {
            Chunks::Table { source, entries } => {
                let from = entries.partition_point(|entry| entry.chunk < chunks.start);
                let entries = entries[from..].iter();
                for entry in entries.take_while(|entry| entry.chunk < chunks.end) {
                    source.give_up(entry.offset..entry.offset.saturating_add(entry.len.into()));
                }
            }
            Chunks::Files(files) => chunks.for_each(|chunk| files.give_up(chunk)),
            _ => {}
        }
    }

    /// Whether the files of some chunks are those that were there when the array was opened. If all
    /// chunks are in one file, every read compares it.
    pub(crate) fn are_unchanged(&self, mut chunks: Range<u64>, grid: &Grid) -> bool {
        // A chunk that a server did not have may be there again.
        if let Some(files) = self.unlisted() {
            return !chunks.any(|chunk| files.is_absent(chunk));
        }
        match self {
            Chunks::Files(files) if !files.folder.is_stamped_as_one() => {
                chunks.all(|chunk| files.is_unchanged(chunk, grid))
            }
            Chunks::Shards(shards) if !shards.files.folder.is_stamped_as_one() => {
                let mut numbers: Vec<Option<u64>> =
                    chunks.map(|chunk| shards.shard_of(chunk, grid)).collect();
                numbers.dedup();
                numbers
                    .into_iter()
                    .flatten()
                    .all(|number| shards.files.is_unchanged(number, &shards.shards))
            }
            _ => true,
        }
    }

    /// Stored bytes, as far as they are known without a read: a codec's best ratio limits how much
    /// can be decoded from them.
    pub(crate) fn stored_bytes(&self, grid: &Grid, item: u64) -> u64 {
        match self {
            Chunks::Unallocated => 0,
            Chunks::Contiguous { source, offset } => {
                (grid.len() * item).min(source.len().saturating_sub(*offset))
            }
            Chunks::Table { source, entries } => {
                let sum: u64 = entries.iter().map(|entry| u64::from(entry.len)).sum();
                sum.min(source.len())
            }
            Chunks::Files(files) => files.stored(),
            Chunks::Shards(shards) => shards.files.stored(),
            Chunks::Library(reader) => reader.stored_bytes(),
        }
    }
}
