//! One file per chunk (or shard), named by coordinates, as zarr stores them.

use crate::array::grid::Grid;
use crate::error::Error;
use crate::io::context::IoContext;
use crate::io::folder::{FileBytes, Folder};
use crate::io::open_files::Identity;
use crate::path::member;

/// Files named by the coordinates of the chunk (or shard) that they hold.
#[derive(Debug)]
pub(crate) struct ChunkFiles {
    pub(crate) context: IoContext,
    pub(crate) folder: Folder,
    /// The folder of the array.
    pub(crate) element: String,
    /// The part of a name before the coordinates: `c` in zarr v3's default encoding.
    pub(crate) prefix: &'static str,
    pub(crate) separator: char,
    /// The numbers of the chunks (or shards) whose files exist, ascending.
    pub(crate) present: Vec<u64>,
    /// What these files were when the array was opened, if packs of them may be kept.
    stamps: Vec<FileStamp>,
    /// The total bytes of these files.
    pub(crate) stored: u64,
}

/// A hash of the identity of a file; `None` if a change of it might not show.
type FileStamp = Option<[u8; 8]>;

fn stamp(identity: Identity) -> FileStamp {
    let hash = blake3::hash(&identity.stamp()?);
    hash.as_bytes().first_chunk().copied()
}

impl ChunkFiles {
    /// Adds what identifies all files to `out`. `None` if a change of one might not show.
    pub(super) fn identify(&self, out: &mut Vec<u8>) -> Option<()> {
        for (number, stamp) in self.present.iter().zip(&self.stamps) {
            out.extend(number.to_le_bytes());
            out.extend((*stamp)?);
        }
        (self.present.len() == self.stamps.len()).then_some(())
    }

    /// Whether the file with this number is the one that was there when the array was opened. A file
    /// that did not exist then is never read, and so counts as unchanged.
    pub(super) fn is_unchanged(&self, number: u64, grid: &Grid) -> bool {
        let Ok(at) = self.present.binary_search(&number) else {
            return true;
        };
        let name = self.name(&grid.coords(number));
        let found = self.folder.find(&name, false).ok().flatten();
        let now = found.and_then(|(_, identity)| stamp(identity));
        now.is_some() && self.stamps.get(at) == Some(&now)
    }

    pub(super) fn open(&self, coords: &[u64]) -> Result<FileBytes, Error> {
        self.folder.open(&self.context, &self.name(coords))
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
        let (context, folder) = (context.clone(), folder.clone());
        let mut files = ChunkFiles {
            context,
            folder,
            element: element.to_owned(),
            prefix,
            separator,
            present: vec![],
            stamps: vec![],
            stored: 0,
        };
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
        if files.context.cache().is_some() {
            files.stamps = found.iter().map(|&(_, stamp)| stamp).collect();
        }
        files.present = found.into_iter().map(|(number, _)| number).collect();
        Ok(files)
    }

    fn walk(
        &mut self,
        dir: &str,
        depth: usize,
        coords: &mut Vec<u64>,
        grid: &Grid,
        found: &mut Vec<(u64, FileStamp)>,
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
                && let Some((len, identity)) = self.folder.find(&member(dir, &name), keeps_packs)?
            {
                self.stored += len;
                found.push((number, keeps_packs.then(|| stamp(identity)).flatten()));
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
