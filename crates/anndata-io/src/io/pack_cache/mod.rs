//! Packed bands on disk, shared by processes.
//!
//! Takes the bytes of a band under the key of its matrix; returns them later, in this process or
//! another one. It knows nothing of rows: a key is a hash that callers make of everything that the
//! bands of a matrix depend on.
//!
//! ```text
//! put  ─▶ SegmentWriter ─▶ Folder: room, reserved under a lock ─▶ NAME.part ─▶ renamed: NAME.pack
//! find ─▶ Index: what the footers of segments say ─▶ Segment: a memory map, or pread ─▶ checksum
//! ```
//!
//! The folder is bounded. It never fails a read: if it cannot be read or written, callers decode the
//! file, and [`PackCache::take_warnings`] says why. State behind locks belongs to one process; a
//! forked child starts with an index of its own.

mod claims;
mod folder;
mod format;
mod index;
mod options;
mod report;
mod segment;
mod sharing;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use once_cell::race::OnceBox;

use super::fork::ForkLocal;
use super::lock::lock;
use crate::error::Error;
use claims::FolderClaims;
use folder::{Folder, Refusal, is_gone};
pub(crate) use format::{BandRecord, MatrixName, PackKey};
use index::{Entry, Index};
pub use options::CacheOptions;
pub use report::{CacheFault, CachedElement};
use segment::Reading;
pub(crate) use segment::SegmentSlice;
use writer::SegmentWriter;

/// The most warnings that are kept.
const MOST_WARNINGS: usize = 16;

/// A folder of packed rows, which outlive the process and are shared by processes.
///
/// Cheap to clone; all clones are one cache. Safe to use from many threads and, after a fork, from
/// children.
///
/// ```
/// use anndata_io::{CacheOptions, PackCache};
///
/// let folder = tempfile::tempdir()?;
/// let cache = PackCache::open(&CacheOptions::new(folder.path()).size(1 << 30))?;
/// assert!(cache.list()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: Folder,
    options: CacheOptions,
    reading: Arc<Reading>,
    /// All keys that were ever used.
    keys: Keys,
    /// Whether bands cannot be written, for a reason that does not pass.
    is_read_only: AtomicBool,
    /// Whether a band did not fit.
    is_full: AtomicBool,
    /// The bytes that could be reserved at the last look, less what was written since.
    room: AtomicU64,
    /// The number of damaged segments that were removed.
    n_discarded: AtomicU64,
    local: ForkLocal<Local>,
}

/// The keys of matrices that are in use: a list that only grows, and takes no lock.
#[derive(Debug, Default)]
struct Keys {
    keys: Vec<PackKey>,
    next: OnceBox<Keys>,
}

/// The state of one process.
#[derive(Debug, Default)]
struct Local {
    index: Mutex<Index>,
    writer: Mutex<Option<SegmentWriter>>,
    claims: FolderClaims,
    warnings: Mutex<Vec<String>>,
    uses: Mutex<Option<Uses>>,
}

/// The keys that a process uses, in a file that it keeps locked.
#[derive(Debug)]
struct Uses {
    file: File,
    path: PathBuf,
}

impl Drop for Uses {
    fn drop(&mut self) {
        // Otherwise, the next process that reserves room removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl PackCache {
    /// Opens a folder, and creates it if it does not exist. If it cannot be written, it is used as
    /// it is, with a [warning](Self::take_warnings).
    ///
    /// # Errors
    /// When the path is a file, or a folder with other contents.
    pub fn open(options: &CacheOptions) -> Result<PackCache, Error> {
        PackCache::open_mapped(options, true)
    }

    /// As [`open`](Self::open). Without `may_map`, segments are never mapped.
    pub(crate) fn open_mapped(options: &CacheOptions, may_map: bool) -> Result<PackCache, Error> {
        let (folder, made) = Folder::open(options.get_folder(), options.get_size())?;
        let cache = PackCache {
            inner: Arc::new(Inner {
                folder,
                options: options.clone(),
                reading: Reading::new(may_map),
                keys: Keys::default(),
                is_read_only: AtomicBool::new(false),
                is_full: AtomicBool::new(false),
                room: AtomicU64::new(0),
                n_discarded: AtomicU64::new(0),
                local: ForkLocal::new(Local::default),
            }),
        };
        if let Err(error) = made {
            cache.stop_writing(&error);
        }
        Ok(cache)
    }

    /// Whether this is a clone of another one.
    pub(crate) fn is_same(&self, other: &PackCache) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The options that the cache was opened with.
    pub fn options(&self) -> &CacheOptions {
        &self.inner.options
    }

    /// The absolute path of the folder.
    pub fn path(&self) -> &Path {
        self.inner.folder.path()
    }

    /// Returns what went wrong since the last call: damaged segments, a disk without room. Reading
    /// goes on without the cache there.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.inner.local.get().warnings))
    }

    pub(crate) fn warn(&self, message: String) {
        let mut warnings = lock(&self.inner.local.get().warnings);
        if warnings.len() < MOST_WARNINGS {
            warnings.push(message);
        }
    }

    /// Writes nothing more, and warns once.
    fn stop_writing(&self, error: &io::Error) {
        if !self.inner.is_read_only.swap(true, Ordering::Relaxed) {
            let folder = self.path().display();
            self.warn(format!(
                "{folder}: this cache cannot be written, only read: {error}"
            ));
        }
    }

    /// Records why something could not be written.
    fn refused(&self, refusal: Refusal) {
        self.inner.local.get().claims.release_all();
        match refusal {
            Refusal::Full => self.inner.is_full.store(true, Ordering::Relaxed),
            // It may be released later: `available` tries again.
            Refusal::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                let folder = self.path().display();
                if !self.inner.is_full.swap(true, Ordering::Relaxed) {
                    self.warn(format!(
                        "{folder}: nothing is written to this cache now: {error}"
                    ));
                }
            }
            Refusal::Io(error) => self.stop_writing(&error),
        }
    }

    /// Whether no more bands can be written at this time.
    pub fn is_full(&self) -> bool {
        self.inner.is_full.load(Ordering::Relaxed)
            || self.inner.is_read_only.load(Ordering::Relaxed)
    }

    /// Finds out how many bytes can be written now, and lets bands that did not fit be tried again. If
    /// `enough` bytes are free, does not determine what could be removed, which takes long in a large
    /// folder.
    pub fn available(&self, enough: u64) -> u64 {
        self.inner.local.get().claims.turn_on();
        self.inner.is_full.store(false, Ordering::Relaxed);
        let is_read_only = self.inner.is_read_only.load(Ordering::Relaxed);
        let room = match is_read_only {
            true => Ok(0),
            false => self.inner.folder.available(enough),
        };
        let room = room.unwrap_or_else(|error| {
            self.refused(error.into());
            0
        });
        self.registered().mark_as_used();
        self.inner.room.store(room, Ordering::Relaxed);
        room
    }

    /// The bytes that could be written at the last look, less what this process wrote since.
    pub fn room(&self) -> u64 {
        self.inner.room.load(Ordering::Relaxed)
    }

    /// The number of damaged segments that this process has found and removed.
    pub fn n_discarded(&self) -> u64 {
        self.inner.n_discarded.load(Ordering::Relaxed)
    }

    /// Completes the segment that this process writes, so that other processes see it. Then leaves
    /// to them the bands that it asked for and did not pack.
    pub fn flush(&self) {
        self.complete_current();
        self.inner.local.get().claims.release_all();
    }

    /// Completes the segment that this process writes, so that other processes see it.
    pub(crate) fn complete_current(&self) {
        let mut current = lock(&self.inner.local.get().writer);
        if let Some(writer) = current.take() {
            self.complete(writer);
        }
    }

    /// Completes a segment. The lock of the writer must be held.
    fn complete(&self, writer: SegmentWriter) {
        if let Err(error) = writer.complete(&self.inner.folder) {
            self.refused(error.into());
        }
        self.inner.local.get().claims.release_written();
    }

    /// Says that this process uses some matrices: their bands are then not removed for others.
    pub(crate) fn add_matrices(&self, keys: Vec<PackKey>) {
        let (mut last, mut new) = (&self.inner.keys, Box::new(Keys::from(keys)));
        while let Err(back) = last.next.set(new) {
            new = back;
            last = last.next.get().expect("it was set before");
        }
        drop(self.registered());
    }

    /// Visits what the folder holds of a matrix: records of bands, and the bytes of their packs.
    pub(crate) fn known(&self, key: PackKey, visit: impl FnMut(BandRecord, u64)) {
        self.index().known(key, visit);
    }

    /// Returns a band of at most `most` bytes, and what `parse` makes of its bytes, which agree with
    /// their checksum. Bytes that `parse` refuses are damaged.
    pub(crate) fn find<T>(
        &self,
        key: PackKey,
        band: u64,
        most: u64,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<(BandRecord, SegmentSlice, T)> {
        let Entry { segment, record } = self.index().get(key, band)?;
        let slice = segment.slice(&record)?;
        if record.len > most {
            self.discard(&segment);
            return None;
        }
        let parsed = slice.read(0..slice.len()).map(|bytes| {
            let agrees = record.agrees(&bytes);
            agrees.then(|| parse(&bytes)).flatten()
        });
        match parsed {
            Ok(Some(parsed)) => return Some((record.band, slice, parsed)),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                // If it is gone, another process needed the room.
                if !is_gone(&error) {
                    let path = segment.path().display();
                    self.warn(format!(
                        "{path}: this segment of the cache cannot be read: {error}"
                    ));
                }
                lock(&self.inner.local.get().index).forget(&segment);
            }
            Ok(None) | Err(_) => self.discard(&segment),
        }
        None
    }

    /// Keeps a band. `None` if it does not fit, or cannot be written.
    pub(crate) fn put(
        &self,
        name: &MatrixName,
        band: BandRecord,
        bytes: &[u8],
    ) -> Option<SegmentSlice> {
        if self.is_full() {
            return None;
        }
        // Another process may have packed it meanwhile.
        let written = self.index().get(name.key, band.band);
        if let Some(Entry { segment, record }) = written.filter(|found| found.record.band == band) {
            return segment.slice(&record);
        }
        let (len, local) = (bytes.len() as u64, self.inner.local.get());
        let mut current = lock(&local.writer);
        // Another thread may have found out meanwhile.
        if self.is_full() {
            return None;
        }
        if let Some(full) = current.take_if(|writer| !writer.has_room(name, len)) {
            self.complete(full);
        }
        if current.is_none() {
            let Inner {
                folder, reading, ..
            } = &*self.inner;
            let own: HashSet<PackKey> = self.keys().flatten().copied().collect();
            match SegmentWriter::begin((folder, &own), (name, len), reading) {
                Ok(writer) => *current = Some(writer),
                Err(refusal) => self.refused(refusal),
            }
        }
        let writer = current.as_mut()?;
        let record = match writer.append(name, band, bytes) {
            Ok(record) => record,
            Err(error) => {
                *current = None;
                local.claims.release_written();
                self.stop_writing(&error);
                return None;
            }
        };
        let order = Ordering::Relaxed;
        let less = |room: u64| Some(room.saturating_sub(len));
        let _ = self.inner.room.fetch_update(order, order, less);
        let segment = writer.segment().clone();
        let slice = segment.slice(&record);
        local.claims.set_written(name.key, band.band);
        self.registered().add(name.key, Entry { segment, record });
        slice
    }

    /// All keys that were ever used, in batches.
    fn keys(&self) -> impl Iterator<Item = &[PackKey]> {
        let batches = std::iter::successors(Some(&self.inner.keys), |keys| keys.next.get());
        batches.map(|batch| &batch.keys[..])
    }

    /// The index, which has all matrices. Others see that this process uses them.
    fn registered(&self) -> MutexGuard<'_, Index> {
        let local = self.inner.local.get();
        let mut index = lock(&local.index);
        let new = index.add_matrices(self.keys());
        if new.is_empty() || self.inner.is_read_only.load(Ordering::Relaxed) {
            return index;
        }
        let mut uses = lock(&local.uses);
        let before = uses.as_ref().map(|uses| uses.file.try_clone());
        let added = before.transpose().map_err(Refusal::from);
        match added.and_then(|file| self.inner.folder.add_uses(file, &new)) {
            Ok((file, Some(path))) => *uses = Some(Uses { file, path }),
            Ok((_, None)) => {}
            Err(refusal) => self.refused(refusal),
        }
        index
    }

    /// The index, after a look at the folder.
    fn index(&self) -> MutexGuard<'_, Index> {
        let mut index = self.registered();
        let refreshed = index.refresh(&self.inner.folder.packs(), &self.inner.reading);
        match refreshed {
            Ok(damaged) if damaged.is_empty() => index,
            Ok(damaged) => {
                drop(index);
                damaged.iter().for_each(|segment| self.discard(segment));
                self.registered()
            }
            // The folder vanished. Otherwise, the next look may succeed.
            Err(error) if is_gone(&error) => {
                self.stop_writing(&error);
                index
            }
            Err(_) => index,
        }
    }

    /// Removes a damaged segment. Its bands are then decoded anew.
    fn discard(&self, segment: &Arc<segment::Segment>) {
        lock(&self.inner.local.get().index).forget(segment);
        let removed = match std::fs::remove_file(segment.path()) {
            Ok(()) => "was removed",
            // Another thread or process found the same damage.
            Err(error) if is_gone(&error) => return,
            Err(_) => "cannot be removed",
        };
        self.inner.n_discarded.fetch_add(1, Ordering::Relaxed);
        let path = segment.path().display();
        self.warn(format!(
            "{path}: this segment of the cache is damaged and {removed}; its rows are decoded anew"
        ));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let local = self.local.get();
        lock(&local.index).mark_as_used();
        let writer = lock(&local.writer).take();
        if let Some(writer) = writer {
            let _ = writer.complete(&self.folder);
        }
    }
}

impl From<Vec<PackKey>> for Keys {
    fn from(keys: Vec<PackKey>) -> Self {
        Keys {
            keys,
            next: OnceBox::new(),
        }
    }
}
