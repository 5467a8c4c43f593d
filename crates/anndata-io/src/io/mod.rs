//! Files and their bytes: the only place that touches a file system or a network.
//!
//! Takes paths, and positions in files. Returns bytes, and decoded chunks that callers stored here
//! before. Knows nothing of arrays or formats.
//!
//! ```text
//! IoContext ─┬─ options, counters                       shared by all clones
//!            ├─ PackRoom          memory of packed rows  bounded by pack_bytes
//!            ├─ PackCache         packed rows on disk    bounded by its size; shared by processes
//!            └─ ForkLocal: one of these per process
//!                 ├─ OpenFiles    file descriptors       bounded by max_open_files
//!                 └─ ChunkCache   decoded chunks         bounded by cache_bytes
//!
//! ByteSource ─┬─ File: FileSource ─▶ IoContext ─▶ pread, or a memory map
//!             ├─ Memory            ─▶ bytes that clones share
//!             └─ Remote (remote/)  ─▶ requests to a server, by the feature `remote`
//! ```
//!
//! `location` resolves paths, `folder` finds the files of a store in a directory or a zip archive,
//! `fork` keeps state behind locks apart from that of a parent process.

mod archive;
pub(crate) mod buffers;
pub(crate) mod byte_size;
pub(crate) mod bytes;
pub(crate) mod chunk_cache;
pub(crate) mod claims;
pub(crate) mod context;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod fork;
pub(crate) mod location;
pub(crate) mod lock;
pub(crate) mod open_files;
pub(crate) mod options;
pub(crate) mod pack_cache;
pub(crate) mod pack_room;
#[cfg_attr(not(feature = "remote"), path = "no_remote.rs")]
pub(crate) mod remote;
