//! The open files of a process, limited in number.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// A pool of file descriptors. The least recently used is closed first.
pub(super) struct OpenFiles {
    files: Mutex<LruCache<PathBuf, (Arc<File>, Identity)>>,
}

impl OpenFiles {
    pub(super) fn new() -> OpenFiles {
        OpenFiles {
            files: Mutex::new(LruCache::unbounded()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<PathBuf, (Arc<File>, Identity)>> {
        // The map is valid even if a holder panicked.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the file at `path` and its identity. Opens it if it is not open, and closes others
    /// if more than `max_open` would be open. A file that was just opened stays open only if `keep`
    /// allows it. `keep` is called under the lock, so that no race with [`clear`](Self::clear)
    /// leaves a file open.
    pub(super) fn open(
        &self,
        path: &Path,
        max_open: usize,
        keep: impl FnOnce() -> bool,
    ) -> io::Result<(Arc<File>, Identity)> {
        if let Some((file, identity)) = self.lock().get(path) {
            return Ok((file.clone(), *identity));
        }
        let file = Arc::new(File::open(path)?);
        let identity = Identity::of(&file)?;
        let mut files = self.lock();
        while files.len() >= max_open.max(1) {
            files.pop_lru();
        }
        if keep() {
            files.put(path.to_owned(), (file.clone(), identity));
        }
        Ok((file, identity))
    }

    /// The number of open files.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Closes all files.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}

/// The identity and extent of a file, to notice when it was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    pub(super) len: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Identity> {
        Ok(Identity::from(&file.metadata()?))
    }
}

impl From<&Metadata> for Identity {
    fn from(meta: &Metadata) -> Identity {
        Identity {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}
