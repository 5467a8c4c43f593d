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
use super::pack_cache::{CacheOptions, PackCache};
use super::pack_room::PackRoom;
use super::remote::Keeping;
use crate::error::Error;

/// The library that reads HDF5 files.
///
/// The C library is part of a build only with the feature `libhdf5`; without it, opening a file
/// with the C library returns an error that says so. The C library reads what the default backend
/// refuses (virtual datasets, links into other files, raw data in external files, the filters nbit
/// and scaleoffset). But its global lock lets only one thread read at a time, every array keeps its
/// file open regardless of [`max_open_files`](IoOptions::max_open_files), and a forked process gets
/// an error. Links and virtual datasets lead to whatever files they name: only open files of people
/// you trust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Hdf5Backend {
    /// This crate itself: no global lock, any number of threads and forks.
    #[default]
    Pure,
    /// The C library.
    LibHdf5,
    /// The default reader; for each element that it refuses with
    /// [`Unsupported`](crate::ErrorKind::Unsupported), the C library.
    PureThenLibHdf5,
}

/// The library that reads the arrays of zarr stores.
///
/// The crate zarrs is part of a build only with the feature `zarrs`; without it, opening a store
/// with zarrs returns an error that says so. It reads what the default backend refuses (the codecs
/// pcodec and reshape, shards within shards or inside other codecs; with the feature `zarrs-zfp`,
/// which needs cmake and libclang, zfp). But it reads no tables of records and fewer codecs of
/// numcodecs, and a forked process gets an error. This crate checks the claims of metadata before
/// it calls zarrs. It does not check the claims inside a compressed chunk, and zarrs allocates
/// memory for them: only open stores of people you trust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ZarrBackend {
    /// This crate itself: bounded memory, any number of forks.
    #[default]
    Pure,
    /// The crate zarrs.
    Zarrs,
    /// The default reader; for each array that it refuses with
    /// [`Unsupported`](crate::ErrorKind::Unsupported), zarrs.
    PureThenZarrs,
}

/// The limits of an [`IoContext`], and the libraries that read files.
///
/// ```
/// use anndata_io::{IoContext, IoOptions};
///
/// let context = IoContext::new(IoOptions::new().cache_bytes(1 << 20).max_open_files(4));
/// assert_eq!(context.options().get_cache_bytes(), 1 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct IoOptions {
    pub(crate) cache_bytes: usize,
    pub(crate) max_open_files: usize,
    pub(crate) mmap: bool,
    pub(crate) pack_bytes: usize,
    pub(crate) pack_uncompressed: bool,
    pub(crate) revalidate: bool,
    pub(crate) hdf5: Hdf5Backend,
    pub(crate) zarr: ZarrBackend,
}

impl IoOptions {
    /// Defaults: 64 MiB of chunks, 64 open files, memory maps, 512 MiB of packed and converted
    /// rows, no other library.
    pub fn new() -> IoOptions {
        IoOptions {
            cache_bytes: 64 << 20,
            max_open_files: 64,
            mmap: true,
            pack_bytes: 512 << 20,
            pack_uncompressed: false,
            revalidate: true,
            hdf5: Hdf5Backend::Pure,
            zarr: ZarrBackend::Pure,
        }
    }

    /// Bytes of decoded chunks to keep. The chunk in use is held even if it is larger. Default: 64
    /// MiB.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The largest number of files to keep open; the least recently read is closed first. Default:
    /// 64.
    pub fn max_open_files(mut self, files: usize) -> Self {
        self.max_open_files = files;
        self
    }

    /// Whether uncompressed bytes of files on local Linux file systems are read through a memory
    /// map, which saves one system call per row. If another process truncates a file during a read,
    /// the system kills this process (SIGBUS); switch maps off for files that others may change.
    /// Before each bulk of rows the file's size and time are compared with those at opening.
    /// Default: true.
    pub fn mmap(mut self, mmap: bool) -> Self {
        self.mmap = mmap;
        self
    }

    /// Bytes of memory for rows of compressed matrices that were read by index, packed. A band of
    /// chunks is packed when it is requested a second time; from then on, none of its rows decodes
    /// a chunk. What was packed stays, and what no longer fits is decoded. Loaders count packed
    /// rows in their own memory.
    ///
    /// Matrices that are stored by column (CSC) and were converted to rows share these bytes. One
    /// that no longer fits goes to a temporary file without a name, in the folder that `TMPDIR`
    /// names, and is read through a memory map. The conversion takes up to 64 MiB more while it
    /// lasts. Default: 512 MiB.
    pub fn pack_bytes(mut self, bytes: usize) -> Self {
        self.pack_bytes = bytes;
        self
    }

    /// Whether rows of uncompressed matrices are packed, too. That is slower for files that the
    /// system keeps in memory, and faster for files on slow storage, such as a network file system.
    /// Default: false.
    pub fn pack_uncompressed(mut self, pack: bool) -> Self {
        self.pack_uncompressed = pack;
        self
    }

    /// Whether a server is asked, when a file of it is opened again, if the file is still the one of
    /// which the [cache](IoContext::with_cache) keeps parts: one request a file. Without it, a
    /// changed file is noticed only when something else of it is read. Default: true.
    pub fn revalidate(mut self, revalidate: bool) -> Self {
        self.revalidate = revalidate;
        self
    }

    /// Selects the reader of HDF5 files. Default: this crate itself.
    pub fn hdf5(mut self, backend: Hdf5Backend) -> Self {
        self.hdf5 = backend;
        self
    }

    /// Selects the reader of the arrays of zarr stores. Default: this crate itself.
    pub fn zarr(mut self, backend: ZarrBackend) -> Self {
        self.zarr = backend;
        self
    }

    /// Returns the value of [`cache_bytes`](Self::cache_bytes).
    pub fn get_cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Returns the value of [`max_open_files`](Self::max_open_files).
    pub fn get_max_open_files(&self) -> usize {
        self.max_open_files
    }

    /// Returns the value of [`mmap`](Self::mmap).
    pub fn get_mmap(&self) -> bool {
        self.mmap
    }

    /// Returns the value of [`pack_bytes`](Self::pack_bytes).
    pub fn get_pack_bytes(&self) -> usize {
        self.pack_bytes
    }

    /// Returns the value of [`pack_uncompressed`](Self::pack_uncompressed).
    pub fn get_pack_uncompressed(&self) -> bool {
        self.pack_uncompressed
    }

    /// Returns the value of [`revalidate`](Self::revalidate).
    pub fn get_revalidate(&self) -> bool {
        self.revalidate
    }

    /// Returns the value of [`zarr`](Self::zarr).
    pub fn get_zarr(&self) -> ZarrBackend {
        self.zarr
    }

    /// Returns the value of [`hdf5`](Self::hdf5).
    pub fn get_hdf5(&self) -> Hdf5Backend {
        self.hdf5
    }
}

impl Default for IoOptions {
    fn default() -> Self {
        IoOptions::new()
    }
}

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
        IoContext::make(options, None)
    }

    /// As [`new`](Self::new), with packed rows that outlive the process.
    ///
    /// # Errors
    /// As [`PackCache::open`].
    pub fn with_cache(options: IoOptions, cache: &CacheOptions) -> Result<Self, Error> {
        let cache = PackCache::open_mapped(cache, options.mmap)?;
        Ok(IoContext::make(options, Some(cache)))
    }

    /// As [`with_cache`](Self::with_cache), in the folder of [`CacheOptions::of_user`]. If that
    /// cannot be used, there is no cache. When the folder is made, a
    /// [warning](PackCache::take_warnings) says so.
    pub fn with_user_cache(options: IoOptions) -> Self {
        let Some(cache) = CacheOptions::of_user() else {
            return IoContext::new(options);
        };
        let is_new = !cache.get_folder().exists();
        let Ok(context) = IoContext::with_cache(options, &cache) else {
            return IoContext::new(options);
        };
        if let Some(made) = context.cache().filter(|_| is_new) {
            made.warn(format!(
                "{}: this folder now keeps what is read of files on servers, up to {} GiB; choose \
                 another one, or none, with the option `cache`",
                cache.get_folder().display(),
                cache.get_size() >> 30
            ));
        }
        context
    }

    fn make(options: IoOptions, cache: Option<PackCache>) -> Self {
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
