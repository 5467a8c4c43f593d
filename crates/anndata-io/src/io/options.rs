//! The limits of an [`IoContext`](crate::IoContext), and the libraries that read files.

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

/// The limits of an [`IoContext`](crate::IoContext), and the libraries that read files.
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
    /// which the [cache](crate::IoContext::with_cache) keeps parts: one request a file. Without it, a
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
