//! What all stores of a collection share: a bounded set of open files and a bounded cache of
//! decoded chunks.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use memmap2::Mmap;
use once_cell::race::OnceBox;

use crate::array::buffer::AlignedBytes;
use crate::error::{Error, ErrorKind};
use crate::fork_local::ForkLocal;

/// Who reads HDF5 files.
///
/// The C library is part of builds with the feature `libhdf5` only: elsewhere, opening a file by it
/// is an error that says so. It reads what the default backend refuses (virtual datasets, links
/// into other files, raw data in external files, the filters nbit and scaleoffset), but its global
/// lock lets only one thread read at a time, every array keeps its file open, whatever
/// [`max_open_files`](IoOptions::max_open_files) says, and a forked process gets an error. Links
/// and virtual datasets lead to whatever files they name: only open those of people you trust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hdf5Backend {
    /// This crate itself: no global lock, any number of threads and forks.
    #[default]
    Pure,
    /// The C library.
    LibHdf5,
    /// The default one, and where it refuses (its error is
    /// [`Unsupported`](crate::ErrorKind::Unsupported)) the C library, element by element.
    PureThenLibHdf5,
}

/// Who reads the arrays of zarr stores.
///
/// The crate zarrs is part of builds with the feature `zarrs` only: elsewhere, opening a store by it is an error that says
/// so. It reads what the default backend refuses (the codecs pcodec and reshape, shards within shards or inside other codecs; with the feature `zarrs-zfp`, which needs cmake and libclang, zfp), but no tables of records and fewer codecs of numcodecs, and a
/// forked process gets an error. What metadata claims is checked before zarrs is asked. What a compressed chunk claims of itself
/// is not, and zarrs takes memory for it: only open stores of people you trust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZarrBackend {
    /// This crate itself: bounded memory, any number of forks.
    #[default]
    Pure,
    /// The crate zarrs.
    Zarrs,
    /// The default one, and where it refuses (its error is
    /// [`Unsupported`](crate::ErrorKind::Unsupported)) zarrs, array by array.
    PureThenZarrs,
}

/// Limits of an [`IoContext`], and who reads files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoOptions {
    /// Bytes of decoded chunks to keep. The chunk in use is held even when it is larger.
    pub cache_bytes: usize,
    /// At most how many files are kept open; the least recently read is closed first.
    pub max_open_files: usize,
    /// Whether uncompressed bytes of files on local Linux file systems are read through a memory
    /// map, which spares a system call a row. The process is killed (SIGBUS) when another one
    /// truncates a file while it is being read; switch it off for files that others may change.
    /// Before each bulk of rows the file's size and time are compared with those at opening.
    pub mmap: bool,
    /// Bytes of memory for matrices that are stored by column (CSC) and were turned into rows, all
    /// of them together. One that no longer fits goes to a temporary file without a name, in the
    /// folder that `TMPDIR` names, and is read through a memory map. Turning takes up to 64 MiB
    /// more while it lasts.
    pub csc_bytes: usize,
    /// Who reads HDF5 files.
    pub hdf5: Hdf5Backend,
    /// Who reads the arrays of zarr stores.
    pub zarr: ZarrBackend,
}

impl Default for IoOptions {
    /// 64 MiB of chunks, 64 open files, memory maps, 512 MiB of matrices that were turned, no
    /// other library.
    fn default() -> Self {
        IoOptions {
            cache_bytes: 64 << 20,
            max_open_files: 64,
            mmap: true,
            csc_bytes: 512 << 20,
            hdf5: Hdf5Backend::Pure,
            zarr: ZarrBackend::Pure,
        }
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
    /// Bytes of [`IoOptions::csc_bytes`] in use.
    csc_bytes: AtomicUsize,
    local: ForkLocal<Local>,
}

#[derive(Debug, Default)]
struct Counts {
    decoded_chunks: AtomicU64,
    cache_hits: AtomicU64,
    bytes_read: AtomicU64,
}

/// What one process has open and decoded.
struct Local {
    files: Mutex<LruCache<PathBuf, (Arc<File>, Identity)>>,
    chunks: Mutex<ChunkCache>,
    /// Told when a chunk that was being decoded is no longer.
    decoded: Condvar,
}

struct ChunkCache {
    chunks: LruCache<ChunkKey, Arc<AlignedBytes>>,
    bytes: usize,
    /// Chunks that a thread is decoding for all.
    claimed: HashSet<ChunkKey>,
}

/// A chunk in the cache, or the right to decode it.
pub(crate) enum Cached<'a> {
    Chunk(Arc<AlignedBytes>),
    /// Nobody else decodes the chunk as long as this is held.
    Claimed(#[allow(dead_code, reason = "its drop is what counts")] Claim<'a>),
}

/// A chunk that this thread decodes while others wait for it. Drop it when the chunk is kept.
pub(crate) struct Claim<'a> {
    local: &'a Local,
    key: ChunkKey,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(&self.local.chunks).claimed.remove(&self.key);
        self.local.decoded.notify_all();
    }
}

/// A part of the memory for CSC matrices, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    context: IoContext,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let used = &self.context.inner.csc_bytes;
        used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A chunk of an array of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChunkKey {
    pub(crate) array: u64,
    pub(crate) chunk: u64,
}

/// Locks a mutex whose guarded value is valid even if a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IoContext {
    /// A context with nothing open.
    pub fn new(options: IoOptions) -> Self {
        let local = ForkLocal::new(|| Local {
            files: Mutex::new(LruCache::unbounded()),
            chunks: Mutex::new(ChunkCache {
                chunks: LruCache::unbounded(),
                bytes: 0,
                claimed: HashSet::new(),
            }),
            decoded: Condvar::new(),
        });
        let (closed, counts) = (AtomicBool::new(false), Counts::default());
        IoContext {
            inner: Arc::new(Inner {
                options,
                closed,
                counts,
                csc_bytes: AtomicUsize::new(0),
                local,
            }),
        }
    }

    /// Closes every file and forgets every chunk. Reads fail from now on, in all clones.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        let local = self.inner.local.get();
        lock(&local.files).clear();
        let mut cache = lock(&local.chunks);
        cache.chunks.clear();
        cache.bytes = 0;
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire)
    }

    /// How many chunks were decoded so far, in this process and those it was forked from.
    pub fn decoded_chunks(&self) -> u64 {
        self.inner.counts.decoded_chunks.load(Ordering::Relaxed)
    }

    /// How many times a chunk was found decoded.
    pub fn cache_hits(&self) -> u64 {
        self.inner.counts.cache_hits.load(Ordering::Relaxed)
    }

    /// Bytes of arrays read so far, as they are stored.
    pub fn bytes_read(&self) -> u64 {
        self.inner.counts.bytes_read.load(Ordering::Relaxed)
    }

    /// The limits that the context was made with.
    pub fn options(&self) -> IoOptions {
        self.inner.options
    }

    /// Files open at this moment.
    pub fn open_files(&self) -> usize {
        lock(&self.inner.local.get().files).len()
    }

    /// The file at `path`, opened now if it was not, and which file it is.
    fn file(&self, path: &Path) -> io::Result<(Arc<File>, Identity)> {
        let files = &self.inner.local.get().files;
        if let Some((file, identity)) = lock(files).get(path) {
            return Ok((file.clone(), *identity));
        }
        let file = Arc::new(File::open(path)?);
        let identity = Identity::of(&file)?;
        let mut files = lock(files);
        while files.len() >= self.inner.options.max_open_files.max(1) {
            files.pop_lru();
        }
        if !self.is_closed() {
            files.put(path.to_owned(), (file.clone(), identity));
        }
        Ok((file, identity))
    }

    /// The chunk if it is in the cache, or when another thread is just decoding it; else the right
    /// to decode it.
    pub(crate) fn cached_chunk(&self, key: ChunkKey) -> Cached<'_> {
        let local = self.inner.local.get();
        let mut cache = lock(&local.chunks);
        loop {
            if let Some(chunk) = cache.chunks.get(&key) {
                self.inner.counts.cache_hits.fetch_add(1, Ordering::Relaxed);
                return Cached::Chunk(chunk.clone());
            }
            if cache.claimed.insert(key) {
                return Cached::Claimed(Claim { local, key });
            }
            let wait = local.decoded.wait(cache);
            cache = wait.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a chunk of so many bytes can be kept.
    pub(crate) fn can_keep(&self, bytes: u64) -> bool {
        bytes <= self.inner.options.cache_bytes as u64
    }

    /// A part of the memory for CSC matrices; `None` when as much is no longer free.
    pub(crate) fn reserve_csc(&self, bytes: u64) -> Option<Reservation> {
        let bytes = usize::try_from(bytes).ok()?;
        let used = &self.inner.csc_bytes;
        let order = Ordering::Relaxed;
        let taken = used.fetch_update(order, order, |used| {
            let with = used.checked_add(bytes)?;
            (with <= self.inner.options.csc_bytes).then_some(with)
        });
        let context = self.clone();
        taken.is_ok().then_some(Reservation { context, bytes })
    }

    /// Counts bytes that were read where they lie.
    pub(crate) fn count_read(&self, bytes: u64) {
        self.inner
            .counts
            .bytes_read
            .fetch_add(bytes, Ordering::Relaxed);
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

    /// Keeps a chunk as long as the budget allows. Gives one that had to go, for its memory.
    pub(crate) fn keep_chunk(
        &self,
        key: ChunkKey,
        chunk: &Arc<AlignedBytes>,
    ) -> Option<Arc<AlignedBytes>> {
        let budget = self.inner.options.cache_bytes;
        if !self.can_keep(chunk.len() as u64) || self.is_closed() {
            return None;
        }
        let mut cache = lock(&self.inner.local.get().chunks);
        cache.bytes += chunk.len();
        if let Some(old) = cache.chunks.put(key, chunk.clone()) {
            cache.bytes -= old.len();
        }
        let mut gone = None;
        while cache.bytes > budget {
            let Some((_, old)) = cache.chunks.pop_lru() else {
                break;
            };
            cache.bytes -= old.len();
            gone = Some(old);
        }
        gone
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

/// Identity and extent of a file, to notice when it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    len: u64,
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

/// A file that can be read at any position from any thread. It holds no descriptor of its own:
/// the context opens and closes as its limit allows, and a file that was opened again must be
/// the same as at first.
#[derive(Debug, Clone)]
pub(crate) struct FileSource {
    context: IoContext,
    path: Arc<Path>,
    identity: Identity,
    /// The whole file, mapped when its bytes are first wanted as they lie; empty where it cannot
    /// or may not be.
    map: Arc<OnceBox<Option<Mmap>>>,
}

impl FileSource {
    /// Opens the file at `path`.
    pub(crate) fn open(context: &IoContext, path: &Path) -> io::Result<FileSource> {
        let (_, identity) = context.file(path)?;
        Ok(FileSource {
            context: context.clone(),
            path: path.into(),
            identity,
            map: Arc::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.identity.len
    }

    /// An error when the file at the path is no longer the one that was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        let meta = std::fs::metadata(&self.path);
        let meta = meta.map_err(|error| Error::io(&self.path, "", error))?;
        if Identity::from(&meta) == self.identity {
            return Ok(());
        }
        Err(Error::new(&self.path, "", ErrorKind::Changed))
    }

    /// Fills `out` with the bytes at `offset`, from a map of the file where there is one. Whoever
    /// calls it has [checked](Self::check_unchanged) the file not long before.
    fn read_in_place(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let map = self.map.get_or_init(|| Box::new(self.map_file()));
        let range = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(out.len())?));
        match (map, range) {
            (Some(map), Some(range)) if range.end <= map.len() && !self.context.is_closed() => {
                out.copy_from_slice(&map[range]);
                Ok(())
            }
            _ => self.read_exact_at(offset, out),
        }
    }

    fn map_file(&self) -> Option<Mmap> {
        if !self.context.inner.options.mmap || self.len() == 0 {
            return None;
        }
        let (file, identity) = self.context.file(&self.path).ok()?;
        if !is_local(&file) || identity != self.identity {
            return None;
        }
        // SAFETY: the map is read-only and its bytes are only ever copied out, as plain bytes of
        // which every value is valid. What remains is that another process changes the file: its
        // size and time are compared before each bulk of reads, and the risk that is left (SIGBUS
        // when it is truncated in between) is documented on `IoOptions::mmap`, which turns it off.
        unsafe { Mmap::map(&*file).ok() }
    }

    /// Fills `out` with the bytes at `offset`.
    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let fail = |kind| Error::new(&self.path, "", kind);
        if self.context.is_closed() {
            return Err(fail(ErrorKind::Closed));
        }
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(Error::invalid(
                &*self.path,
                "",
                format!("{} bytes at {offset}", out.len()),
                format!("a file of {} bytes", self.len()),
            ));
        }
        let io_error = |error| Error::io(&self.path, "", error);
        let (file, identity) = self.context.file(&self.path).map_err(io_error)?;
        if identity != self.identity {
            return Err(fail(ErrorKind::Changed));
        }
        match file.read_exact_at(out, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(fail(ErrorKind::Changed))
            }
            result => result.map_err(io_error),
        }
    }
}

/// Whether a file lies on a local file system, of a kind that is known.
#[cfg(target_os = "linux")]
fn is_local(file: &File) -> bool {
    // ext2 to ext4, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs, bcachefs.
    const LOCAL: [u64; 8] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x794c_7630,
        0x2fc1_2fc1,
        0xf2f5_2010,
        0xca45_1a4e,
    ];
    rustix::fs::fstatfs(file).is_ok_and(|stat| LOCAL.contains(&(stat.f_type as u64)))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_file: &File) -> bool {
    false
}

/// Sources of the bytes of arrays: a file, or memory.
#[derive(Debug, Clone)]
pub(crate) enum ByteSource {
    File(FileSource),
    Memory(Memory),
}

/// Bytes in memory, or mapped from a file that nobody else can reach.
#[derive(Clone)]
pub(crate) struct Memory {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    before_read: Option<BeforeRead>,
}

/// What is called before bytes are read, and may refuse.
pub(crate) type BeforeRead = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

impl Memory {
    pub(crate) fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Memory {
        Memory {
            bytes: Arc::new(bytes),
            before_read: None,
        }
    }

    /// Memory that others hold too.
    pub(crate) fn shared(bytes: Arc<AlignedBytes>) -> Memory {
        Memory {
            bytes,
            before_read: None,
        }
    }

    /// The same memory, whose reads begin with a call.
    pub(crate) fn before_read(mut self, call: BeforeRead) -> Memory {
        self.before_read = Some(call);
        self
    }

    fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes().len())
    }
}

impl ByteSource {
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        match self {
            ByteSource::File(file) => file.check_unchanged(),
            ByteSource::Memory(_) => Ok(()),
        }
    }

    /// As [`read_exact_at`](Self::read_exact_at), through a memory map where there is one.
    pub(crate) fn read_in_place(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        match self {
            ByteSource::File(file) => file.read_in_place(offset, out),
            ByteSource::Memory(_) => self.read_exact_at(offset, out),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            ByteSource::File(file) => file.len(),
            ByteSource::Memory(memory) => memory.bytes().len() as u64,
        }
    }

    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        match self {
            ByteSource::File(file) => file.read_exact_at(offset, out),
            ByteSource::Memory(memory) => {
                if let Some(call) = &memory.before_read {
                    call().map_err(|error| Error::io("memory", "", error))?;
                }
                let bytes = memory.bytes();
                let found = usize::try_from(offset)
                    .ok()
                    .and_then(|start| bytes.get(start..start.checked_add(out.len())?));
                match found {
                    Some(found) => out.copy_from_slice(found),
                    None => {
                        let expected = format!("{} bytes at {offset}", out.len());
                        let found = format!("{} bytes", bytes.len());
                        return Err(Error::invalid("memory", "", expected, found));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Numbers arrays so that their chunks can share a cache.
pub(crate) fn next_array_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Arc<AlignedBytes> {
        Arc::new(AlignedBytes::zeroed(len))
    }

    #[test]
    fn the_cache_stays_within_its_budget() {
        let context = IoContext::new(IoOptions {
            cache_bytes: 100,
            max_open_files: 2,
            mmap: true,
            ..Default::default()
        });
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
    fn a_chunk_is_decoded_by_one_thread_for_all() {
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

    #[test]
    fn few_files_stay_open_and_a_changed_one_is_noticed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let context = IoContext::new(IoOptions {
            cache_bytes: 0,
            max_open_files: 2,
            mmap: false,
            ..Default::default()
        });
        let sources: Vec<_> = (0..5u8)
            .map(|i| {
                let path = dir.path().join(format!("{i}"));
                std::fs::write(&path, [i; 4]).expect("a small file");
                FileSource::open(&context, &path).expect("the file exists")
            })
            .collect();
        for (i, source) in sources.iter().enumerate() {
            let mut out = [0; 2];
            source.read_exact_at(1, &mut out).expect("within the file");
            assert_eq!(out, [i as u8; 2]);
            assert!(context.open_files() <= 2);
        }
        assert!(matches!(
            sources[0]
                .read_exact_at(3, &mut [0; 2])
                .expect_err("past the end")
                .kind(),
            ErrorKind::Invalid { .. }
        ));
        std::fs::write(sources[0].path(), [9; 5]).expect("a small file");
        let error = sources[0]
            .read_exact_at(0, &mut [0; 2])
            .expect_err("changed");
        assert!(matches!(error.kind(), ErrorKind::Changed));
        context.close();
        let error = sources[4]
            .read_exact_at(0, &mut [0; 2])
            .expect_err("closed");
        assert!(matches!(error.kind(), ErrorKind::Closed));
        assert_eq!(context.open_files(), 0);
    }
}
