//! The files of a store: in a directory on disk, or within a zip archive.

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
use crate::error::{Error, ErrorKind};

/// Files by name; `/` joins the parts of a name. A name cannot lead out of the folder: callers
/// check the names that they pass, and an archive holds nothing but its entries.
#[derive(Debug, Clone)]
pub(crate) enum Folder {
    Disk(PathBuf),
    Zip(Arc<Archive>),
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
    /// Opens the zip archive at a path, seen from the folder in it that `inner` names; without
    /// `inner`, from the uppermost folder that holds one of `roots`. If there is no such folder, or
    /// there are several, returns a description of the archive instead.
    pub(crate) fn open_zip(
        path: &Path,
        inner: &str,
        context: &IoContext,
        roots: &[&str],
    ) -> Result<Result<Folder, String>, Error> {
        let archive = Archive::open(path, inner, context, roots)?;
        Ok(archive.map(|archive| Folder::Zip(Arc::new(archive))))
    }

    /// The path of the directory or archive.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Folder::Disk(root) => root,
            Folder::Zip(archive) => archive.path(),
        }
    }

    /// The length and the identity of a file; `None` if no file has that name. With `settled`, waits
    /// until a later change would show.
    pub(crate) fn find(&self, name: &str, settled: bool) -> Result<Option<(u64, Identity)>, Error> {
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
                    Ok(meta) if meta.is_file() => Ok(Some((meta.len(), Identity::seen_now(&meta)))),
                    Ok(_) => Ok(None),
                    Err(error) if is_absence(&error) => Ok(None),
                    Err(error) => Err(Error::io(path, "", error)),
                }
            }
            Folder::Zip(archive) => {
                let entry = archive.entry(name);
                Ok(entry.map(|entry| (entry.len, archive.identity())))
            }
        }
    }

    /// The length of a file; `None` if no file has that name.
    pub(crate) fn len(&self, name: &str) -> Result<Option<u64>, Error> {
        Ok(self.find(name, false)?.map(|(len, _)| len))
    }

    /// The identity of the archive that holds all files, if one does.
    pub(crate) fn archive(&self) -> Option<Identity> {
        match self {
            Folder::Disk(_) => None,
            Folder::Zip(archive) => Some(archive.identity()),
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

    /// Whether a file has to be inflated before it can be read.
    pub(crate) fn is_deflated(&self, name: &str) -> bool {
        match self {
            Folder::Disk(_) => false,
            Folder::Zip(archive) => archive
                .entry(name)
                .is_some_and(|entry| entry.compression == CompressionMethod::DEFLATE),
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
        }
    }
}
