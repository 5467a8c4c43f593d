//! One file per chunk (or shard), named by coordinates, as zarr stores them.

use crate::array::grid::Grid;
use crate::error::Error;
use crate::io::context::IoContext;
use crate::io::folder::{FileBytes, FileStamp, Folder, Found};
use crate::io::remote::RemoteFiles;
use crate::limits::MOST_FETCHED_CHUNK_BYTES;
use crate::path::member;

/// Files named by the coordinates of the chunk (or shard) that they hold.
#[derive(Debug)]
pub(crate) struct ChunkFiles {
    pub(crate) context: IoContext,
    pub(crate) folder: Folder,
    /// The folder of the array.
    element: String,
    /// The part of a name before the coordinates: `c` in zarr v3's default encoding.
    prefix: &'static str,
    separator: char,
    /// The files that exist; `None` if that is found out when they are read.
    listed: Option<Listed>,
    /// What reads files of a folder on a server.
    remote: Option<RemoteFiles>,
}

#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The numbers of the chunks (or shards) whose files exist, ascending.
    pub(super) present: Vec<u64>,
    /// What these files were when the array was opened, if packs of them may be kept.
    stamps: Vec<FileStamp>,
    /// The total bytes of these files.
    stored: u64,
}

impl Listed {
    /// The position of a file among those that exist.
    pub(super) fn position(&self, number: u64) -> Option<usize> {
        self.present.binary_search(&number).ok()
    }
}

impl ChunkFiles {
    /// The files that exist, if that is known.
    pub(super) fn listed(&self) -> Option<&Listed> {
        self.listed.as_ref()
    }

    /// The files, if they are found out only when they are read.
    pub(super) fn unlisted(&self) -> Option<&RemoteFiles> {
        let remote = self.remote.as_ref();
        remote.filter(|_| self.listed.is_none())
    }

    /// The bytes of all files; if the folder does not list them, of those that were read.
    pub(super) fn stored(&self) -> u64 {
        match &self.listed {
            Some(listed) => listed.stored,
            None => self.remote.as_ref().map_or(0, RemoteFiles::fetched),
        }
    }

    /// Whether a file exists, as far as is known.
    fn may_exist(&self, number: u64) -> bool {
        let listed = self.listed.as_ref();
        listed.is_none_or(|listed| listed.position(number).is_some())
    }

    /// Adds what identifies all files to `out`. `None` if a change of one might not show.
    pub(super) fn identify(&self, out: &mut Vec<u8>) -> Option<()> {
        let Listed {
            present, stamps, ..
        } = self.listed.as_ref()?;
        for (number, stamp) in present.iter().zip(stamps) {
            out.extend(number.to_le_bytes());
            out.extend((*stamp)?);
        }
        (present.len() == stamps.len()).then_some(())
    }

    /// Whether the file with this number is the one that was there when the array was opened. A file
    /// that did not exist then is never read, and so counts as unchanged.
    pub(super) fn is_unchanged(&self, number: u64, grid: &Grid) -> bool {
        let Some(listed) = &self.listed else {
            return false;
        };
        let Some(at) = listed.position(number) else {
            return true;
        };
        let name = self.name(&grid.coords(number));
        let found = self.folder.find(&name, false).ok().flatten();
        let now = found.and_then(|found| found.stamp);
        now.is_some() && listed.stamps.get(at) == Some(&now)
    }

    pub(super) fn open(&self, coords: &[u64]) -> Result<FileBytes, Error> {
        self.folder.open(&self.context, &self.name(coords))
    }

    /// Opens the file of a chunk with elements of `item` bytes. `None` if it does not exist.
    pub(super) fn open_chunk(
        &self,
        chunk: u64,
        grid: &Grid,
        item: u64,
    ) -> Result<Option<FileBytes>, Error> {
        if !self.may_exist(chunk) {
            return Ok(None);
        }
        let coords = grid.coords(chunk);
        match &self.remote {
            Some(files) => files.read(chunk, &self.name(&coords), most_fetched(grid, item)),
            None => self.open(&coords).map(Some),
        }
    }

    /// Gives up the file of a chunk that a server was asked for.
    pub(super) fn give_up(&self, chunk: u64) {
        if let Some(files) = &self.remote {
            files.give_up(chunk);
        }
    }

    /// Asks a server for the files of chunks that will be read soon.
    pub(super) fn stage(&self, chunks: impl Iterator<Item = u64>, grid: &Grid, item: u64) {
        let name = |chunk| self.name(&grid.coords(chunk));
        let chunks = chunks.filter(|&chunk| self.may_exist(chunk));
        match &self.remote {
            Some(files) => files.stage(chunks, most_fetched(grid, item), name),
            None => self.folder.stage(chunks.map(name)),
        }
    }

    /// The name of a file of the array.
    pub(super) fn name(&self, coords: &[u64]) -> String {
        member(&self.element, &self.key(coords))
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

    /// Lists the existing files of an array. Unknown names are passed over, as zarr does.
    pub(crate) fn list(
        context: &IoContext,
        folder: &Folder,
        element: &str,
        prefix: &'static str,
        separator: char,
        grid: &Grid,
    ) -> Result<ChunkFiles, Error> {
        let mut files = ChunkFiles {
            context: context.clone(),
            folder: folder.clone(),
            element: element.to_owned(),
            prefix,
            separator,
            listed: None,
            remote: folder.remote().map(RemoteFiles::new),
        };
        if folder.remote().is_some_and(|folder| !folder.is_listed()) {
            return Ok(files);
        }
        let (start, depth) = match (prefix, separator) {
            ("", '/') => (element.to_owned(), grid.shape.len().max(1)),
            ("", _) => (element.to_owned(), 1),
            (prefix, '/') if !grid.shape.is_empty() => (member(element, prefix), grid.shape.len()),
            _ => (element.to_owned(), 1),
        };
        let mut found = Vec::new();
        let mut coords = Vec::new();
        files.walk(&start, depth, &mut coords, grid, &mut found)?;
        found.sort_unstable_by_key(|&(number, _)| number);
        let mut listed = Listed::default();
        for (number, Found { len, stamp }) in found {
            listed.present.push(number);
            listed.stored += len;
            if files.context.cache().is_some() {
                listed.stamps.push(stamp);
            }
        }
        files.listed = Some(listed);
        Ok(files)
    }

    fn walk(
        &self,
        dir: &str,
        depth: usize,
        coords: &mut Vec<u64>,
        grid: &Grid,
        found: &mut Vec<(u64, Found)>,
    ) -> Result<(), Error> {
        let keeps_packs = self.context.cache().is_some();
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
                self.walk(&member(dir, &name), depth - 1, coords, grid, found)?;
            } else if coords.len() == grid.shape.len()
                && self.key(coords).ends_with(&name)
                && let Some(number) = grid.number(coords)
                && let Some(file) = self.folder.find(&member(dir, &name), keeps_packs)?
            {
                found.push((number, file));
            }
            coords.truncate(before);
        }
        Ok(())
    }

    /// Makes an error about the file at these coordinates.
    pub(super) fn invalid(
        &self,
        coords: &[u64],
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::invalid(self.folder.path(), self.name(coords), expected, found)
    }
}

/// The most bytes that the file of a chunk may have.
fn most_fetched(grid: &Grid, item: u64) -> u64 {
    match item {
        // Texts have any length.
        0 => MOST_FETCHED_CHUNK_BYTES,
        item => {
            let decoded = grid.chunk_len().saturating_mul(item);
            decoded.saturating_mul(2).saturating_add(1 << 20)
        }
    }
}
