//! The shared state of all stores of a collection: a limited number of open files, and a cache of
//! decoded chunks within a budget.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::buffers::AlignedBytes;
use super::chunk_cache::{Cached, ChunkCache, ChunkKey};
use super::claims::Claims;
use super::fork::ForkLocal;
use super::open_files::{Identity, OpenFiles};
use super::options::IoOptions;
use super::pack_cache::{CacheOptions, PackCache};
use super::pack_room::PackRoom;
use super::remote::Keeping;
use crate::error::{Error, ErrorKind};

/// The open files and decoded chunks that any number of stores share.
///
/// Cheap to clone; all clones are one context. Safe to use from many threads, and in a child
/// process after a fork: the child starts with no open file and no cached chunk of its own.
#[derive(Debug, Clone)]
pub struct IoContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: IoOptions,
    closed: AtomicBool,
    counts: Counts,
    packs: Arc<PackRoom>,
    cache: Option<PackCache>,
    /// Whether the cache is that of the user, for files on servers only.
    is_of_user: bool,
    local: ForkLocal<Local>,
    keeping: ForkLocal<Keeping>,
}

#[derive(Debug, Default)]
struct Counts {
    decoded_chunks: AtomicU64,
    cache_hits: AtomicU64,
    bytes_read: AtomicU64,
    packed_rows: AtomicU64,
}
/// The open files and decoded chunks of one process.
struct Local {
    files: OpenFiles,
    chunks: ChunkCache,
    /// Bands of chunks that one thread is packing for all.
    bands: Claims<ChunkKey>,
}

impl IoContext {
    /// Makes a context with nothing open.
    pub fn new(options: IoOptions) -> Self {
        IoContext::make(options, None, false)
    }

    /// As [`new`](Self::new), with packed rows that outlive the process.
    ///
    /// # Errors
    /// As [`PackCache::open`].
    pub fn with_cache(options: IoOptions, cache: &CacheOptions) -> Result<Self, Error> {
        let cache = PackCache::open_mapped(cache, options.mmap)?;
        Ok(IoContext::make(options, Some(cache), false))
    }

    /// As [`with_cache`](Self::with_cache), in the folder of [`CacheOptions::of_user`], with `size`
    /// instead of the default, if given. Without a home there is no cache. When the folder is made, a
    /// [warning](PackCache::take_warnings) says so.
    ///
    /// # Errors
    /// When the folder cannot be read, or is something else.
    pub fn with_user_cache(options: IoOptions, size: Option<u64>) -> Result<Self, Error> {
        let Some(mut cache) = CacheOptions::of_user() else {
            return Ok(IoContext::new(options));
        };
        if let Some(size) = size {
            cache = cache.size(size);
        }
        let is_new = !cache.get_folder().exists();
        let opened = PackCache::open_mapped(&cache, options.mmap).map_err(|error| {
            let expected = "a folder that keeps what is read of files on servers: the option `cache` \
                            names another one, or turns it off";
            let found = match error.kind() {
                ErrorKind::Invalid { found, .. } => found.clone(),
                kind => kind.to_string(),
            };
            Error::invalid(cache.get_folder(), "", expected, found)
        })?;
        let context = IoContext::make(options, Some(opened), true);
        let made = context.cache().filter(|cache| is_new && !cache.is_full());
        if let Some(made) = made {
            made.warn(format!(
                "{}: this folder now keeps what is read of files on servers, up to {} GiB; choose \
                 another one, or none, with the option `cache`",
                cache.get_folder().display(),
                cache.get_size() >> 30
            ));
        }
        Ok(context)
    }

    fn make(options: IoOptions, cache: Option<PackCache>, is_of_user: bool) -> Self {
        // Remembers this process as the parent of others.
        super::fork::is_forked_child();
        let local = ForkLocal::new(|| Local {
            files: OpenFiles::new(),
            chunks: ChunkCache::new(),
            bands: Claims::new(),
        });
        let (closed, counts) = (AtomicBool::new(false), Counts::default());
        IoContext {
            inner: Arc::new(Inner {
                options,
                closed,
                counts,
                packs: Arc::new(PackRoom::new(options.pack_bytes)),
                cache,
                is_of_user,
                local,
                keeping: ForkLocal::new(Keeping::default),
            }),
        }
    }

    /// Between a call with true and one with false, what is read of files on servers is kept in the
    /// [cache](Self::with_cache), so that another process reads it from there: for all that is read
    /// when a collection is opened. Packed rows are kept at any time. Without the feature `remote`,
    /// does nothing.
    pub fn keep_remote_reads(&self, keep: bool) {
        self.keeping().set(keep);
    }

    /// Whether the cache keeps nothing of files on disks.
    pub(crate) fn keeps_only_remote(&self) -> bool {
        self.inner.is_of_user
    }

    pub(crate) fn keeping(&self) -> &Keeping {
        self.inner.keeping.get()
    }

    /// Closes every file and forgets every chunk. Reads fail from now on, in all clones.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        let local = self.inner.local.get();
        local.files.clear();
        local.chunks.clear();
        if let Some(cache) = self.cache() {
            cache.flush();
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire)
    }

    /// The number of chunks decoded so far, in this process and its forked ancestors.
    pub fn decoded_chunks(&self) -> u64 {
        self.inner.counts.decoded_chunks.load(Ordering::Relaxed)
    }

    /// The number of times that a chunk was already decoded.
    pub fn cache_hits(&self) -> u64 {
        self.inner.counts.cache_hits.load(Ordering::Relaxed)
    }

    /// The number of stored bytes of arrays read so far.
    pub fn bytes_read(&self) -> u64 {
        self.inner.counts.bytes_read.load(Ordering::Relaxed)
    }

    /// The number of rows of matrices that were read from packs so far, in memory or on disk.
    pub fn packed_rows(&self) -> u64 {
        self.inner.counts.packed_rows.load(Ordering::Relaxed)
    }

    /// Returns the options that the context was made with.
    pub fn options(&self) -> IoOptions {
        self.inner.options
    }

    /// The number of files open at this moment.
    pub fn open_files(&self) -> usize {
        self.inner.local.get().files.len()
    }

    /// Returns the file at `path` and its identity. Opens it if it is not open.
    pub(super) fn file(&self, path: &Path) -> io::Result<(Arc<File>, Identity)> {
        let files = &self.inner.local.get().files;
        files.open(path, self.inner.options.max_open_files, || {
            !self.is_closed()
        })
    }

    /// Returns the chunk if it is in the cache or another thread is decoding it right now;
    /// otherwise returns the right to decode it.
    pub(crate) fn cached_chunk(&self, key: ChunkKey) -> Cached<'_> {
        let cached = self.inner.local.get().chunks.get_or_claim(key);
        if matches!(cached, Cached::Chunk(_)) {
            self.inner.counts.cache_hits.fetch_add(1, Ordering::Relaxed);
        }
        cached
    }

    /// Whether a chunk is in the cache.
    pub(crate) fn has_chunk(&self, key: ChunkKey) -> bool {
        self.inner.local.get().chunks.has(key)
    }

    /// Whether a chunk of this many bytes can be kept.
    pub(crate) fn can_keep(&self, bytes: u64) -> bool {
        bytes <= self.inner.options.cache_bytes as u64
    }

    /// The memory of packed rows and of matrices that were converted to rows.
    pub(crate) fn pack_room(&self) -> &Arc<PackRoom> {
        &self.inner.packs
    }

    /// The packed rows on disk, if there are any.
    pub fn cache(&self) -> Option<&PackCache> {
        self.inner.cache.as_ref()
    }

    /// Leaves this process its share of [`IoOptions::pack_bytes`], if `n_processes` read the same
    /// files. What is packed already stays.
    pub fn share_packs(&self, n_processes: usize) {
        let bytes = self.inner.options.pack_bytes / n_processes.max(1);
        self.inner.packs.set_limit(bytes);
    }

    /// The bands of chunks that this process is packing.
    pub(crate) fn band_claims(&self) -> &Claims<ChunkKey> {
        &self.inner.local.get().bands
    }

    /// Counts bytes that were read in place.
    pub(crate) fn count_read(&self, bytes: u64) {
        self.inner
            .counts
            .bytes_read
            .fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts rows that were read from packs.
    pub(crate) fn count_packed(&self, rows: usize) {
        let packed = &self.inner.counts.packed_rows;
        packed.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Counts a chunk that was decoded from `stored` bytes.
    pub(crate) fn count_decoded(&self, stored: u64) {
        self.inner
            .counts
            .decoded_chunks
            .fetch_add(1, Ordering::Relaxed);
        self.inner
            .counts
            .bytes_read
            .fetch_add(stored, Ordering::Relaxed);
    }

    /// Keeps a chunk as long as the budget allows. Returns an evicted chunk, so that its memory can
    /// be used again.
    pub(crate) fn keep_chunk(
        &self,
        key: ChunkKey,
        chunk: &Arc<AlignedBytes>,
    ) -> Option<Arc<AlignedBytes>> {
        let budget = self.inner.options.cache_bytes;
        if !self.can_keep(chunk.len() as u64) || self.is_closed() {
            return None;
        }
        self.inner.local.get().chunks.put(key, chunk, budget)
    }
}

impl Default for IoContext {
    fn default() -> Self {
        IoContext::new(IoOptions::default())
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Arc<AlignedBytes> {
        Arc::new(AlignedBytes::zeroed(len))
    }

    #[test]
    fn context_cache_stays_within_its_budget() {
        let context = IoContext::new(IoOptions::new().cache_bytes(100).max_open_files(2));
        for chunk in 0..10 {
            context.keep_chunk(ChunkKey { array: 0, chunk }, &bytes(30));
        }
        let is_kept = |array, chunk| {
            let cached = context.cached_chunk(ChunkKey { array, chunk });
            matches!(cached, Cached::Chunk(_))
        };
        let kept = (0..10).filter(|&chunk| is_kept(0, chunk));
        assert_eq!(kept.collect::<Vec<_>>(), [7, 8, 9]);
        context.keep_chunk(ChunkKey { array: 1, chunk: 0 }, &bytes(101));
        assert!(!is_kept(1, 0));
    }

    #[test]
    fn context_lets_one_thread_decode_a_chunk_for_all() {
        let context = IoContext::default();
        let key = ChunkKey { array: 0, chunk: 3 };
        let (decoded, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2 {
                        let Cached::Claimed(claim) = context.cached_chunk(key) else {
                            continue;
                        };
                        // The first one to try gives up: another one must take over.
                        if failed.fetch_add(1, Ordering::Relaxed) == 0 {
                            continue;
                        }
                        decoded.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        context.keep_chunk(key, &bytes(8));
                        drop(claim);
                    }
                });
            }
        });
        assert_eq!(decoded.into_inner(), 1);
        assert_eq!(context.cache_hits(), 6);
    }
}
