//! The open files of a process, limited in number.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lru::LruCache;

use crate::io::lock::lock;

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
        lock(&self.files)
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    pub(super) len: u64,
    modified: (i64, i64),
    /// When anything about the file changed, its name or permissions included. It does not count
    /// when identities are compared.
    changed: (i64, i64),
    /// Whether a later change would show in the times: those of file systems are coarse.
    is_settled: bool,
}

/// How long ago a file must have changed, if its file system counts parts of a second.
const FINE: Duration = Duration::from_millis(100);
/// The same if it counts seconds, or pairs of them.
const COARSE: Duration = Duration::from_millis(2100);

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        let of = |identity: &Identity| {
            let Identity {
                device,
                inode,
                len,
                modified,
                ..
            } = *identity;
            (device, inode, len, modified)
        };
        of(self) == of(other)
    }
}

impl Identity {
    fn of(file: &File) -> io::Result<Identity> {
        Ok(Identity::seen_now(&file.metadata()?))
    }

    /// The identity of a file of which the metadata was just read, with a [stamp](Self::stamp).
    pub(super) fn seen_now(meta: &Metadata) -> Identity {
        let identity = Identity::from(meta);
        let changed = identity.changed;
        Identity {
            is_settled: age(changed).is_some_and(|age| age >= settling(changed)),
            ..identity
        }
    }

    /// Everything that changes when the file does, for another process to compare. `None` if the
    /// file changed so short a time ago that another change might not show.
    pub(crate) fn stamp(&self) -> Option<[u8; 48]> {
        let words = [
            self.inode,
            self.len,
            self.modified.0 as u64,
            self.modified.1 as u64,
            self.changed.0 as u64,
            self.changed.1 as u64,
        ];
        let stamp = words.map(u64::to_le_bytes);
        self.is_settled
            .then(|| *stamp.as_flattened().first_chunk().expect("48 bytes"))
    }
}

/// To be compared with another one.
impl From<&Metadata> for Identity {
    fn from(meta: &Metadata) -> Identity {
        Identity {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            is_settled: false,
        }
    }
}

/// How long ago something was; `None` if it is in the future.
fn age((seconds, nanos): (i64, i64)) -> Option<Duration> {
    let time = Duration::new(seconds.try_into().ok()?, nanos.try_into().ok()?);
    SystemTime::now().duration_since(UNIX_EPOCH + time).ok()
}

fn settling(changed: (i64, i64)) -> Duration {
    if changed.1 == 0 { COARSE } else { FINE }
}

/// Waits until a later change of a file would show in its times.
pub(crate) fn wait_until_settled(meta: &Metadata) {
    let changed = (meta.ctime(), meta.ctime_nsec());
    if let Some(age) = age(changed) {
        std::thread::sleep(settling(changed).saturating_sub(age));
    }
}
