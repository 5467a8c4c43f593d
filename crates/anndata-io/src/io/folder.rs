//! The files of a store: in a directory on disk, within a zip archive, or on a server.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zip::CompressionMethod;

use super::archive::Archive;
use super::buffers::AlignedBytes;
use super::bytes::{ByteSource, Memory};
use super::context::IoContext;
use super::file::FileSource;
use super::location::is_absence;
use super::open_files::{Identity, wait_until_settled};
use super::remote::RemoteFolder;
use crate::error::{Error, ErrorKind};

/// Files by name; `/` joins the parts of a name. A name cannot lead out of the folder: callers
/// check the names that they pass, and an archive holds nothing but its entries.
#[derive(Debug, Clone)]
pub(crate) enum Folder {
    Disk(PathBuf),
    Zip(Arc<Archive>),
    /// Without a list of the files, only its documents are known.
    Remote(RemoteFolder),
}

/// A file that exists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) len: u64,
    /// A hash of its identity; `None` if a change of it might not show.
    pub(crate) stamp: FileStamp,
}

pub(crate) type FileStamp = Option<[u8; 8]>;

fn file_stamp(identity: Identity) -> FileStamp {
    short_hash(&identity.stamp()?)
}

fn short_hash(bytes: &[u8]) -> FileStamp {
    blake3::hash(bytes).as_bytes().first_chunk().copied()
}

/// The place of a file's bytes.
#[derive(Debug, Clone)]
pub(crate) struct FileBytes {
    pub(crate) source: ByteSource,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl FileBytes {
    /// Wraps a file that was inflated as a whole.
    pub(crate) fn in_memory(bytes: Arc<AlignedBytes>) -> FileBytes {
        FileBytes {
            len: bytes.len() as u64,
            source: ByteSource::Memory(Memory::shared(bytes)),
            offset: 0,
        }
    }
}

impl Folder {
    /// Opens the zip archive in a source, seen from the folder in it that `inner` names; without
    /// `inner`, from the uppermost folder that holds one of `roots`. If there is no such folder, or
    /// there are several, returns a description of the archive instead.
    pub(crate) fn open_zip(
        path: &Path,
        source: ByteSource,
        inner: &str,
        roots: &[&str],
    ) -> Result<Result<Folder, String>, Error> {
        let archive = Archive::open(path, source, inner, roots)?;
        Ok(archive.map(|archive| Folder::Zip(Arc::new(archive))))
    }

    /// The path of the directory or archive.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Folder::Disk(root) => root,
            Folder::Zip(archive) => archive.path(),
            Folder::Remote(folder) => folder.path(),
        }
    }

    /// The folder on a server.
    pub(crate) fn remote(&self) -> Option<&RemoteFolder> {
        match self {
            Folder::Disk(_) | Folder::Zip(_) => None,
            Folder::Remote(folder) => Some(folder),
        }
    }

    /// Whether files lie on a server.
    pub(crate) fn is_remote(&self) -> bool {
        match self {
            Folder::Disk(_) => false,
            Folder::Zip(archive) => archive.source().is_remote(),
            Folder::Remote(_) => true,
        }
    }

    /// Finds a file; `None` if no file has that name. With `settled`, waits until a later change would
    /// show.
    pub(crate) fn find(&self, name: &str, settled: bool) -> Result<Option<Found>, Error> {
        match self {
            Folder::Disk(root) => {
                let path = root.join(name);
                let found = || {
                    let meta = std::fs::metadata(&path)?;
                    if !settled {
                        return Ok(meta);
                    }
                    wait_until_settled(&meta);
                    std::fs::metadata(&path)
                };
                match found() {
                    Ok(meta) if meta.is_file() => Ok(Some(Found {
                        len: meta.len(),
                        stamp: file_stamp(Identity::seen_now(&meta)),
                    })),
                    Ok(_) => Ok(None),
                    Err(error) if is_absence(&error) => Ok(None),
                    Err(error) => Err(Error::io(path, "", error)),
                }
            }
            Folder::Zip(archive) => Ok(archive.entry(name).map(|entry| Found {
                len: entry.len,
                stamp: None,
            })),
            Folder::Remote(folder) => {
                let of_document = || Some((folder.documents().get(name)?.len() as u64, None));
                let found = folder.file(name).or_else(of_document);
                Ok(found.map(|(len, stamp)| Found {
                    len,
                    stamp: stamp.and_then(|stamp| short_hash(stamp.as_bytes())),
                }))
            }
        }
    }

    /// The length of a file; `None` if no file has that name.
    pub(crate) fn len(&self, name: &str) -> Result<Option<u64>, Error> {
        Ok(self.find(name, false)?.map(|found| found.len))
    }

    /// Whether all files are known by one [stamp](Self::stamp).
    pub(crate) fn is_stamped_as_one(&self) -> bool {
        match self {
            Folder::Disk(_) => false,
            Folder::Zip(_) => true,
            Folder::Remote(folder) => !folder.is_listed(),
        }
    }

    /// What tells all files from others, for packs that outlive the process; `None` if nothing does.
    pub(crate) fn stamp(&self) -> Option<Vec<u8>> {
        match self {
            Folder::Disk(_) => None,
            Folder::Zip(archive) => archive.source().stamp(),
            Folder::Remote(folder) => folder.stamp().map(Into::into),
        }
    }

    /// The names of the files and folders in a folder, in no particular order; empty if the folder
    /// does not exist.
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
                    // Zarr names are UTF-8, so other names are skipped.
                    names.extend(entry.map_err(io_error)?.file_name().into_string());
                }
                Ok(names)
            }
            Folder::Zip(archive) => Ok(archive.names(folder)),
            Folder::Remote(remote) => {
                let within = match folder {
                    "" => String::new(),
                    folder => format!("{folder}/"),
                };
                Ok(remote.first_parts(&within))
            }
        }
    }

    /// The escaped names of the folders in a folder that are not UTF-8, and so cannot be named as
    /// elements.
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

    /// Reads a whole file; `None` if no file has that name.
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
                let found = archive.open_entry(name, entry)?;
                let mut bytes = vec![0; found.len as usize];
                found.source.read_exact_at(found.offset, &mut bytes)?;
                Ok(Some(bytes))
            }
            Folder::Remote(folder) => Ok(folder.documents().get(name).cloned()),
        }
    }

    /// Inflates a deflated entry of an archive; `None` for a file that is stored uncompressed.
    pub(crate) fn inflate(&self, name: &str) -> Result<Option<AlignedBytes>, Error> {
        match self {
            Folder::Zip(archive) if self.is_deflated(name) => {
                let entry = archive.entry(name);
                entry.map(|entry| archive.inflate(name, entry)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// Asks a server for files of an archive that will be read soon.
    pub(crate) fn stage(&self, names: impl Iterator<Item = String>) {
        if let Folder::Zip(archive) = self {
            let mut places = names.filter_map(|name| archive.place(&name));
            archive.source().stage(&mut places);
        }
    }

    /// Whether a file has to be inflated before it can be read.
    pub(crate) fn is_deflated(&self, name: &str) -> bool {
        match self {
            Folder::Zip(archive) => archive
                .entry(name)
                .is_some_and(|entry| entry.compression == CompressionMethod::DEFLATE),
            _ => false,
        }
    }

    /// Returns where the bytes of a file lie. Inflates a compressed entry of an archive.
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
                Some(entry) => archive.open_entry(name, entry),
                None => Err(Error::new(self.path(), name, ErrorKind::NotFound)),
            },
            // Without a list, files are read by their numbers.
            Folder::Remote(folder) => {
                let found = folder.open(name);
                found.ok_or_else(|| Error::new(self.path(), name, ErrorKind::NotFound))
            }
        }
    }
}

/// The first parts of the rest of all names that begin with `within`.
pub(super) fn first_parts<T>(names: &BTreeMap<String, T>, within: String) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut from = Bound::Included(within.clone());
    // After each part, the search continues past everything below it.
    while let Some((name, _)) = names.range((from, Bound::Unbounded)).next()
        && let Some(rest) = name.strip_prefix(&within)
    {
        let first = rest.split('/').next().unwrap_or(rest);
        if parts.last().is_none_or(|last| last != first) {
            parts.push(first.to_owned());
        }
        from = match first.len() == rest.len() {
            true => Bound::Excluded(name.clone()),
            // '0' comes right after '/'.
            false => Bound::Included(format!("{within}{first}0")),
        };
    }
    parts
}
