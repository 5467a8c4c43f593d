//! Where the bytes of each chunk of an array lie.

use std::borrow::Cow;
use std::fmt::Debug;

use super::grid::Grid;
use super::shards::ShardFiles;
use crate::context::{ByteSource, IoContext};
use crate::error::Error;
use crate::folder::{FileBytes, Folder};

/// The stored bytes of one chunk.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    /// Borrowed where it is known already: a copy would count references, which threads contend
    /// for.
    pub(crate) source: Cow<'a, ByteSource>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// Bit `i` set: codec `i` was not applied to this chunk.
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

/// Where every chunk lies: found once when the array is opened, and never changed.
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
    /// One file a chunk.
    Files(ChunkFiles),
    /// One file a shard, each holding many chunks and an index of them.
    Shards(ShardFiles),
    /// Wherever another library finds them: it hands out decoded elements.
    #[cfg_attr(
        not(any(feature = "libhdf5", feature = "zarrs")),
        expect(dead_code, reason = "its only sources")
    )]
    Library(Box<dyn BlockReader>),
}

/// A library that reads and decodes blocks of an array itself.
pub(crate) trait BlockReader: Debug + Send + Sync {
    /// At most how many bytes are stored for the whole array.
    fn stored_bytes(&self) -> u64;

    /// How many bytes one stored byte may become, in good faith.
    fn best_ratio(&self) -> u64;

    /// Bytes stored for the chunk whose first element is at `start`; `None` when it was never
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
    /// Where a chunk lies, `None` when it was never written.
    pub(crate) fn place(
        &self,
        chunk: u64,
        grid: &Grid,
        item: u64,
    ) -> Result<Option<Place<'_>>, Error> {
        match self {
            // Nothing lies where it could be read without the library.
            Chunks::Unallocated | Chunks::Library(_) => Ok(None),
            Chunks::Contiguous { source, offset } => Ok(Some(Place {
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
                    Place {
                        source: Cow::Borrowed(source),
                        offset,
                        len: len.into(),
                        skip_mask,
                    }
                }))
            }
            Chunks::Files(files) => {
                if files.present.binary_search(&chunk).is_err() {
                    return Ok(None);
                }
                let FileBytes {
                    source,
                    offset,
                    len,
                } = files.open(&grid.coords(chunk))?;
                Ok(Some(Place {
                    source: Cow::Owned(source),
                    offset,
                    len,
                    skip_mask: 0,
                }))
            }
            Chunks::Shards(shards) => shards.place(chunk, grid),
        }
    }

    /// Bytes stored, as far as that is known without a read: no more can be decoded from
    /// them than a codec's best ratio allows.
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
            Chunks::Files(files) => files.stored,
            Chunks::Shards(shards) => shards.files.stored,
            Chunks::Library(reader) => reader.stored_bytes(),
        }
    }
}

/// Files named by the coordinates of the chunk (or shard) that they hold.
#[derive(Debug)]
pub(crate) struct ChunkFiles {
    pub(crate) context: IoContext,
    pub(crate) folder: Folder,
    /// The folder of the array.
    pub(crate) element: String,
    /// What comes before the coordinates: `c` in zarr v3's default encoding.
    pub(crate) prefix: &'static str,
    pub(crate) separator: char,
    /// The files that exist, by the number of the chunk (or shard), ascending.
    pub(crate) present: Vec<u64>,
    /// Their bytes.
    pub(crate) stored: u64,
}

impl ChunkFiles {
    pub(super) fn open(&self, coords: &[u64]) -> Result<FileBytes, Error> {
        self.folder.open(&self.context, &self.name(coords))
    }

    /// The name of a file of the array.
    pub(super) fn name(&self, coords: &[u64]) -> String {
        join(&self.element, &self.key(coords))
    }

    fn key(&self, coords: &[u64]) -> String {
        let mut key = self.prefix.to_owned();
        for coord in coords {
            if !key.is_empty() {
                key.push(self.separator);
            }
            key.push_str(&coord.to_string());
        }
        if key.is_empty() { "0".to_owned() } else { key }
    }

    /// Lists the files that exist of an array. Unknown names are passed over, as zarr does.
    pub(crate) fn list(
        context: &IoContext,
        folder: &Folder,
        element: &str,
        prefix: &'static str,
        separator: char,
        grid: &Grid,
    ) -> Result<ChunkFiles, Error> {
        let (context, folder) = (context.clone(), folder.clone());
        let mut files = ChunkFiles {
            context,
            folder,
            element: element.to_owned(),
            prefix,
            separator,
            present: vec![],
            stored: 0,
        };
        let (start, depth) = match (prefix, separator) {
            ("", '/') => (element.to_owned(), grid.shape.len().max(1)),
            ("", _) => (element.to_owned(), 1),
            (prefix, '/') if !grid.shape.is_empty() => (join(element, prefix), grid.shape.len()),
            _ => (element.to_owned(), 1),
        };
        let mut found = Vec::new();
        let mut coords = Vec::new();
        files.walk(&start, depth, &mut coords, grid, &mut found)?;
        found.sort_unstable();
        files.present = found;
        Ok(files)
    }

    fn walk(
        &mut self,
        dir: &str,
        depth: usize,
        coords: &mut Vec<u64>,
        grid: &Grid,
        found: &mut Vec<u64>,
    ) -> Result<(), Error> {
        for name in self.folder.names(dir)? {
            let before = coords.len();
            if depth > 1 || self.separator == '/' && !grid.shape.is_empty() {
                let Ok(coord) = name.parse() else { continue };
                coords.push(coord);
            } else {
                let rest = name.strip_prefix(self.prefix).unwrap_or("-");
                let rest = rest.strip_prefix(self.separator).unwrap_or(rest);
                let parts: Result<Vec<u64>, _> = match rest {
                    "" => Ok(vec![]),
                    rest => rest.split(self.separator).map(str::parse).collect(),
                };
                let Ok(parts) = parts else { continue };
                if !grid.shape.is_empty() {
                    coords.extend(parts);
                }
            }
            if depth > 1 {
                self.walk(&join(dir, &name), depth - 1, coords, grid, found)?;
            } else if coords.len() == grid.shape.len()
                && self.key(coords).ends_with(&name)
                && let Some(number) = grid.number(coords)
                && let Some(len) = self.folder.len(&join(dir, &name))?
            {
                self.stored += len;
                found.push(number);
            }
            coords.truncate(before);
        }
        Ok(())
    }
}

impl ChunkFiles {
    /// An error of the file at these coordinates.
    pub(super) fn invalid(
        &self,
        coords: &[u64],
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::invalid(self.folder.path(), self.name(coords), expected, found)
    }
}

/// The name of a file in a folder; the empty one is the root.
fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}
