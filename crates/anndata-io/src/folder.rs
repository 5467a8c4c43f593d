//! The files of a store: in a directory on disk, or within a zip archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libdeflater::Decompressor;
use zip::{CompressionMethod, ZipArchive};

use crate::context::{ByteSource, FileSource, IoContext, Memory};
use crate::error::{Error, ErrorKind};

/// Files by name, the parts of which are joined by `/`. A name cannot lead out of it: callers
/// check theirs, and an archive has nothing but its entries.
#[derive(Debug, Clone)]
pub(crate) enum Folder {
    Disk(PathBuf),
    Zip(Arc<Archive>),
}

/// Where the bytes of a file lie.
#[derive(Debug, Clone)]
pub(crate) struct FileBytes {
    pub(crate) source: ByteSource,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// The entries of a zip archive.
#[derive(Debug)]
pub(crate) struct Archive {
    source: FileSource,
    /// What comes before the names: archives often hold one folder that holds everything.
    prefix: String,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    header: u64,
    stored: u64,
    len: u64,
    compression: CompressionMethod,
    encrypted: bool,
}

/// Bytes of the fixed part of the header that precedes each entry.
const HEADER_LEN: u64 = 30;
/// More than deflate expands.
const BEST_RATIO: u64 = 1032;

impl Folder {
    /// The zip archive at a path, seen from the folder in it that holds one of `roots`.
    pub(crate) fn open_zip(
        path: &Path,
        context: &IoContext,
        roots: &[&str],
    ) -> Result<Option<Folder>, Error> {
        let source = FileSource::open(context, path).map_err(|error| Error::io(path, "", error))?;
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
            // Names of zarr are UTF-8; one that is not is none of them.
            let Ok(name) = std::str::from_utf8(entry.name_raw()) else {
                continue;
            };
            if entry.is_file() {
                let entry = Entry {
                    header: entry.header_start(),
                    stored: entry.compressed_size(),
                    len: entry.size(),
                    compression: entry.compression(),
                    encrypted: entry.encrypted(),
                };
                // The last of several entries of a name counts, as it does for Python.
                entries.insert(name.to_owned(), entry);
            }
        }
        let is_root = |prefix: &str| {
            let mut names = roots.iter().map(|root| format!("{prefix}{root}"));
            names.any(|name| entries.contains_key(&name))
        };
        let tops = entries.keys().filter_map(|name| name.split_once('/'));
        let tops: BTreeSet<String> = tops.map(|(top, _)| format!("{top}/")).collect();
        let mut prefixes = std::iter::once(String::new()).chain(tops);
        let Some(prefix) = prefixes.find(|prefix| is_root(prefix)) else {
            return Ok(None);
        };
        Ok(Some(Folder::Zip(Arc::new(Archive {
            source,
            prefix,
            entries,
        }))))
    }

    /// The directory or archive.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Folder::Disk(root) => root,
            Folder::Zip(archive) => archive.source.path(),
        }
    }

    /// The length of a file; `None` when there is none of that name.
    pub(crate) fn len(&self, name: &str) -> Result<Option<u64>, Error> {
        match self {
            Folder::Disk(root) => match std::fs::metadata(root.join(name)) {
                Ok(meta) => Ok(meta.is_file().then_some(meta.len())),
                Err(error) if is_absence(&error) => Ok(None),
                Err(error) => Err(Error::io(root.join(name), "", error)),
            },
            Folder::Zip(archive) => Ok(archive.entry(name).map(|entry| entry.len)),
        }
    }

    /// The names of the files and folders in a folder, in no particular order; none when it does
    /// not exist.
    pub(crate) fn names(&self, folder: &str) -> Result<Vec<String>, Error> {
        match self {
            Folder::Disk(root) => {
                let path = root.join(folder);
                let io_error = |error| Error::io(&path, "", error);
                let entries = match std::fs::read_dir(&path) {
                    Err(error) if is_absence(&error) => return Ok(Vec::new()),
                    entries => entries.map_err(io_error)?,
                };
                let mut names = Vec::new();
                for entry in entries {
                    // A name that is no UTF-8 is none of zarr's.
                    names.extend(entry.map_err(io_error)?.file_name().into_string());
                }
                Ok(names)
            }
            Folder::Zip(archive) => Ok(archive.names(folder)),
        }
    }

    /// The names, escaped, of the folders in a folder of which no element can be named: those that
    /// are not UTF-8.
    pub(crate) fn unreadable_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let Folder::Disk(root) = self else {
            return Ok(Vec::new());
        };
        let path = root.join(folder);
        let entries = std::fs::read_dir(&path).map_err(|error| Error::io(&path, "", error))?;
        let escaped = |entry: std::fs::DirEntry| {
            let name = entry.file_name();
            let is_one = name.to_str().is_none() && entry.path().is_dir();
            is_one.then(|| name.as_encoded_bytes().escape_ascii().to_string())
        };
        Ok(entries.filter_map(|entry| escaped(entry.ok()?)).collect())
    }

    /// A whole file; `None` when there is none of that name.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Folder::Disk(root) => match std::fs::read(root.join(name)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if is_absence(&error) => Ok(None),
                Err(error) => Err(Error::io(root.join(name), "", error)),
            },
            Folder::Zip(archive) => {
                let Some(entry) = archive.entry(name) else {
                    return Ok(None);
                };
                let found = archive.open(name, entry)?;
                let mut bytes = vec![0; found.len as usize];
                found.source.read_exact_at(found.offset, &mut bytes)?;
                Ok(Some(bytes))
            }
        }
    }

    /// Where the bytes of a file lie. A compressed entry of an archive is decompressed.
    pub(crate) fn open(&self, context: &IoContext, name: &str) -> Result<FileBytes, Error> {
        match self {
            Folder::Disk(root) => {
                let path = root.join(name);
                let file = FileSource::open(context, &path);
                let file = file.map_err(|error| Error::io(path, "", error))?;
                let len = file.len();
                let source = ByteSource::File(file);
                Ok(FileBytes {
                    source,
                    offset: 0,
                    len,
                })
            }
            Folder::Zip(archive) => match archive.entry(name) {
                Some(entry) => archive.open(name, entry),
                None => Err(Error::new(self.path(), name, ErrorKind::NotFound)),
            },
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

impl Archive {
    fn entry(&self, name: &str) -> Option<Entry> {
        self.entries.get(&format!("{}{name}", self.prefix)).copied()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let within = match folder {
            "" => self.prefix.clone(),
            folder => format!("{}{folder}/", self.prefix),
        };
        let mut names: Vec<String> = Vec::new();
        let mut from = Bound::Included(within.clone());
        // From each name, the search goes on after everything below it.
        while let Some((name, _)) = self.entries.range((from, Bound::Unbounded)).next()
            && let Some(rest) = name.strip_prefix(&within)
        {
            let first = rest.split('/').next().unwrap_or(rest);
            if names.last().is_none_or(|last| last != first) {
                names.push(first.to_owned());
            }
            from = match first.len() == rest.len() {
                true => Bound::Excluded(name.clone()),
                // '0' comes right after '/'.
                false => Bound::Included(format!("{within}{first}0")),
            };
        }
        names
    }

    fn open(&self, name: &str, entry: Entry) -> Result<FileBytes, Error> {
        let invalid = |expected: &str, found: String| {
            Error::invalid(self.source.path(), name, expected, found)
        };
        let unsupported = |what: String| {
            let way_out = "zip the store again without compression (zip -0 -r)";
            Error::unsupported(self.source.path(), name, what, way_out)
        };
        if entry.encrypted {
            return Err(unsupported(
                "an encrypted entry of a zip archive".to_owned(),
            ));
        }
        let mut header = [0; HEADER_LEN as usize];
        self.source.read_exact_at(entry.header, &mut header)?;
        let word = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
        if !header.starts_with(b"PK\x03\x04") {
            return Err(invalid(
                "the header of a zip entry",
                format!("{:?}", &header[..4]),
            ));
        }
        let offset = entry.header + HEADER_LEN + word(26) + word(28);
        let end = offset.checked_add(entry.stored);
        if end.is_none_or(|end| end > self.source.len()) {
            let found = format!("{} bytes at {offset}", entry.stored);
            return Err(invalid("an entry within the archive", found));
        }
        match entry.compression {
            CompressionMethod::STORE if entry.len == entry.stored => Ok(FileBytes {
                source: ByteSource::File(self.source.clone()),
                offset,
                len: entry.len,
            }),
            CompressionMethod::DEFLATE if entry.len / BEST_RATIO <= entry.stored => {
                let mut stored = vec![0; entry.stored as usize];
                self.source.read_exact_at(offset, &mut stored)?;
                let mut bytes = vec![0; entry.len as usize];
                let inflated = Decompressor::new().deflate_decompress(&stored, &mut bytes);
                match inflated {
                    Ok(len) if len == bytes.len() => {}
                    Ok(len) => {
                        return Err(invalid(
                            "as many bytes as the entry claims",
                            len.to_string(),
                        ));
                    }
                    Err(error) => return Err(invalid("a deflated entry", error.to_string())),
                }
                Ok(FileBytes {
                    source: ByteSource::Memory(Memory::new(bytes)),
                    offset: 0,
                    len: entry.len,
                })
            }
            CompressionMethod::STORE | CompressionMethod::DEFLATE => {
                let found = format!("{} of {}", entry.stored, entry.len);
                Err(invalid(
                    "stored bytes that can be those of the entry",
                    found,
                ))
            }
            method => Err(unsupported(format!("a zip entry compressed with {method}"))),
        }
    }
}

/// A file as the zip reader wants it.
struct Reader<'a> {
    source: &'a FileSource,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let len = (out.len() as u64).min(left) as usize;
        let read = self.source.read_exact_at(self.at, &mut out[..len]);
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
