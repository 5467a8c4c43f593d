//! A zip archive as the folder of a store: finds entries by name, reads them in place or inflates
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libdeflater::Decompressor;
use zip::{CompressionMethod, ZipArchive};

use super::buffers::AlignedBytes;
use super::bytes::ByteSource;
use super::folder::{FileBytes, first_parts};
use crate::error::Error;
use crate::limits::DEFLATE_RATIO;

/// The entries of a zip archive.
#[derive(Debug)]
pub(crate) struct Archive {
    /// The path as the user knows it.
    path: PathBuf,
    source: ByteSource,
    /// The prefix of all names: archives often hold one folder that contains everything.
    prefix: String,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    header: u64,
    /// Where the next entry begins.
    end: u64,
    stored: u64,
    pub(super) len: u64,
    crc32: u32,
    pub(super) compression: CompressionMethod,
    encrypted: bool,
}

/// Bytes of the fixed part of the header that precedes each entry.
const HEADER_LEN: u64 = 30;
impl Archive {
    /// Opens the archive in a source, seen from the folder in it that `inner` names; without `inner`,
    /// from the uppermost folder that holds one of `roots`. If there is no such folder, or there
    /// are several, returns a description of the archive instead.
    pub(super) fn open(
        path: &Path,
        source: ByteSource,
        inner: &str,
        roots: &[&str],
    ) -> Result<Result<Archive, String>, Error> {
        let reader = Reader {
            source: &source,
            at: 0,
        };
        let broken = |error: zip::result::ZipError| {
            let expected = "a zip archive that can be read";
            Error::invalid(path, "", expected, error.to_string())
        };
        let archive = ZipArchive::new(io::BufReader::new(reader)).map_err(broken)?;
        let mut entries = BTreeMap::new();
        for number in 0..archive.len() {
            let entry = archive.by_index_data(number).map_err(broken)?;
            // Zarr names are UTF-8, so an entry with another name is not part of a store.
            let Ok(name) = std::str::from_utf8(entry.name_raw()) else {
                continue;
            };
            if entry.is_file() {
                let entry = Entry {
                    header: entry.header_start(),
                    end: entry.header_start(),
                    stored: entry.compressed_size(),
                    len: entry.size(),
                    crc32: entry.crc32(),
                    compression: entry.compression(),
                    encrypted: entry.encrypted(),
                };
                // The last of several entries with one name counts, as in Python.
                entries.insert(name.to_owned(), entry);
            }
        }
        set_ends(&mut entries, source.len());
        source.forget_structure();
        Ok(prefix(path, &entries, inner, roots).map(|prefix| Archive {
            path: path.to_owned(),
            source,
            prefix,
            entries,
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn source(&self) -> &ByteSource {
        &self.source
    }

    pub(super) fn entry(&self, name: &str) -> Option<Entry> {
        self.entries.get(&format!("{}{name}", self.prefix)).copied()
    }

    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let within = match folder {
            "" => self.prefix.clone(),
            folder => format!("{}{folder}/", self.prefix),
        };
        first_parts(&self.entries, within)
    }

    pub(super) fn open_entry(&self, name: &str, entry: Entry) -> Result<FileBytes, Error> {
        if entry.compression == CompressionMethod::DEFLATE {
            return Ok(FileBytes::in_memory(Arc::new(self.inflate(name, entry)?)));
        }
        let offset = self.data_offset(name, entry)?;
        match entry.compression {
            CompressionMethod::STORE if entry.len == entry.stored => Ok(FileBytes {
                source: self.source.clone(),
                offset,
                len: entry.len,
            }),
            CompressionMethod::STORE => {
                let found = format!("{} of {}", entry.stored, entry.len);
                Err(self.invalid(name, "stored bytes that can be those of the entry", found))
            }
            method => Err(self.unsupported(name, format!("a zip entry compressed with {method}"))),
        }
    }

    /// Where an entry lies, its header included, and how many bytes of it are read at last.
    pub(super) fn place(&self, name: &str) -> Option<(Range<u64>, u64)> {
        let entry = self.entry(name)?;
        Some((entry.header..entry.end, entry.stored))
    }

    fn invalid(&self, name: &str, expected: &str, found: String) -> Error {
        Error::invalid(&self.path, name, expected, found)
    }

    fn unsupported(&self, name: &str, what: String) -> Error {
        let way_out = "zip the store again without compression (zip -0 -r)";
        Error::unsupported(&self.path, name, what, way_out)
    }

    /// Returns where the bytes of an entry begin. All of them lie within the archive.
    fn data_offset(&self, name: &str, entry: Entry) -> Result<u64, Error> {
        if entry.encrypted {
            let what = "an encrypted entry of a zip archive".to_owned();
            return Err(self.unsupported(name, what));
        }
        let mut header = [0; HEADER_LEN as usize];
        self.source.read_structure(entry.header, &mut header)?;
        let word = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
        if !header.starts_with(b"PK\x03\x04") {
            let found = format!("{:?}", &header[..4]);
            return Err(self.invalid(name, "the header of a zip entry", found));
        }
        let offset = entry.header + HEADER_LEN + word(26) + word(28);
        let end = offset.checked_add(entry.stored);
        if end.is_none_or(|end| end > self.source.len()) {
            let found = format!("{} bytes at {offset}", entry.stored);
            return Err(self.invalid(name, "an entry within the archive", found));
        }
        Ok(offset)
    }

    /// Inflates a deflated entry. Refuses a length above what deflate can make of the stored bytes,
    /// or above the memory that is free.
    pub(super) fn inflate(&self, name: &str, entry: Entry) -> Result<AlignedBytes, Error> {
        let offset = self.data_offset(name, entry)?;
        if entry.len / DEFLATE_RATIO as u64 > entry.stored {
            let found = format!("{} of {}", entry.stored, entry.len);
            return Err(self.invalid(name, "stored bytes that can be those of the entry", found));
        }
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
        if Vec::<u8>::new().try_reserve_exact(len).is_err() {
            let found = format!("{len} bytes, for which there is no memory");
            return Err(self.unsupported(name, format!("a deflated entry of {found}")));
        }
        let mut stored = Vec::new();
        if stored.try_reserve_exact(entry.stored as usize).is_err() {
            let found = format!("{} bytes, for which there is no memory", entry.stored);
            return Err(self.unsupported(name, format!("a deflated entry of {found}")));
        }
        stored.resize(entry.stored as usize, 0);
        self.source.read_exact_at(offset, &mut stored)?;
        let mut bytes = AlignedBytes::zeroed(len);
        let inflated = Decompressor::new().deflate_decompress(&stored, bytes.as_mut_slice());
        match inflated {
            Ok(found) if found == len => {
                let computed = libdeflater::crc32(bytes.as_slice());
                if computed == entry.crc32 {
                    return Ok(bytes);
                }
                let found = format!("{computed:#010x}");
                Err(self.invalid(name, &format!("a crc32 of {:#010x}", entry.crc32), found))
            }
            Ok(found) => {
                let expected = format!("{len} bytes, as the entry claims");
                Err(self.invalid(name, &expected, found.to_string()))
            }
            Err(error) => Err(self.invalid(name, "a deflated entry", error.to_string())),
        }
    }
}

/// Finds out where entries end; at the latest, after the longest header.
fn set_ends(entries: &mut BTreeMap<String, Entry>, len: u64) {
    let mut headers: Vec<u64> = entries.values().map(|entry| entry.header).collect();
    headers.push(len);
    headers.sort_unstable();
    for entry in entries.values_mut() {
        let next = headers.partition_point(|&header| header <= entry.header);
        let longest = HEADER_LEN + 2 * u64::from(u16::MAX);
        let most = entry
            .header
            .saturating_add(longest)
            .saturating_add(entry.stored);
        entry.end = headers.get(next).map_or(len, |&next| next.min(most));
    }
}

/// Returns the prefix of the names of the store that a path in an archive refers to.
fn prefix(
    path: &Path,
    entries: &BTreeMap<String, Entry>,
    inner: &str,
    roots: &[&str],
) -> Result<String, String> {
    let mut tops: BTreeSet<&str> = BTreeSet::new();
    let mut least = usize::MAX;
    for name in entries.keys() {
        let (folder, file) = name.split_at(name.rfind('/').map_or(0, |slash| slash + 1));
        let depth = folder.matches('/').count();
        if depth <= least && roots.contains(&file) {
            if depth < least {
                tops.clear();
                least = depth;
            }
            tops.insert(folder);
        }
    }
    if !inner.is_empty() {
        let below = tops
            .iter()
            .flat_map(|top| [format!("{top}{inner}/"), format!("{top}mod/{inner}/")]);
        let mut below = std::iter::once(format!("{inner}/")).chain(below);
        let is_root = |folder: &String| {
            let mut roots = roots.iter();
            roots.any(|root| entries.contains_key(&format!("{folder}{root}")))
        };
        return below
            .find(is_root)
            .ok_or_else(|| format!("a zip archive without a zarr group {inner}"));
    }
    let mut tops = tops.into_iter();
    match (tops.next(), tops.next()) {
        (Some(top), None) => Ok(top.to_owned()),
        (Some(top), Some(_)) => {
            let example = path.join(top.trim_end_matches('/'));
            let example = example.display();
            Err(format!(
                "a zip archive of several zarr stores: name one by its path, such as {example}"
            ))
        }
        (None, _) => Err(without_zarr(entries)),
    }
}

/// Describes an archive that holds no zarr store.
fn without_zarr(entries: &BTreeMap<String, Entry>) -> String {
    let mut names = entries.keys().filter(|name| !name.starts_with("__MACOSX/"));
    if let Some(file) = names.clone().find(|name| {
        let ends = [".h5ad", ".h5mu", ".h5", ".loom"];
        ends.iter().any(|end| name.ends_with(end))
    }) {
        return format!("a zip archive of {file}: unzip it first");
    }
    let is_npz = !entries.is_empty() && names.all(|name| name.ends_with(".npy"));
    if is_npz {
        return "a numpy archive (.npz): write an AnnData object of it".to_owned();
    }
    "a zip archive without zarr.json or .zgroup".to_owned()
}

/// A file in the form that the zip reader expects.
struct Reader<'a> {
    source: &'a ByteSource,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let len = (out.len() as u64).min(left) as usize;
        let read = self.source.read_structure(self.at, &mut out[..len]);
        read.map_err(io::Error::other)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
