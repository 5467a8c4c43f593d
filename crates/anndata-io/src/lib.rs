//! Reads AnnData files, `.h5ad` and `.zarr`, as they are on disk.
//!
//! AnnData is the common format of single-cell data: a matrix of cells and genes, mostly sparse, with a table of labels
//! for the cells. This crate opens one such file and reads its matrices by bulks of rows, its label columns, and its
//! names. HDF5 is read in pure Rust: no C library, no global lock, and a forked process reads on.
//!
//! # What it is not
//!
//! It writes no file and holds no whole matrix in memory. It opens one file at a time: the crate `mapped-collection`
//! joins several. With the feature `remote`, it reads files on servers, too.
//!
//! # The types that matter
//!
//! - [`AnnDataFile`]: one opened file. It lists its elements and opens them.
//! - [`MatrixSource`]: X, a layer, `raw.X` or an element of obsm, of which any rows can be read.
//! - [`RowSink`]: receives the rows, in the element type of the file. Implement it to read into a place of your own.
//! - [`Column`]: a column of obs, as categories and codes or as the values of some rows.
//! - [`Check`]: reads a whole file and lists all of its faults.
//! - [`IoContext`]: the open files and decoded chunks that files share, both bounded.
//! - [`Packs`] and [`PackCache`]: rows of compressed matrices, packed in memory or in a folder on disk, so that no chunk
//!   is decoded twice.
//!
//! # Example
//!
//! ```
//! use anndata_io::{AnnDataFile, LayerKey, MemoryStore, ReadScratch, RowSink, ValuesRef, Values};
//!
//! /// Sums the elements of each row.
//! struct Sums(Vec<f64>);
//!
//! impl RowSink for Sums {
//!     fn dense(&mut self, row: usize, _start: usize, values: ValuesRef<'_>) {
//!         self.0[row] += values.to_vec::<f64>().iter().sum::<f64>();
//!     }
//!     fn sparse(&mut self, row: usize, _columns: &[u32], values: ValuesRef<'_>) {
//!         self.dense(row, 0, values);
//!     }
//! }
//!
//! // `AnnDataFile::open("cells.h5ad")` reads a file; this one is in memory.
//! let store = MemoryStore::new("cells")
//!     .dataframe("obs", &["c1", "c2", "c3"])
//!     .dataframe("var", &["g1", "g2"])
//!     .csr("X", [3, 2], vec![0, 1, 1, 3], vec![1, 0, 1], Values::F32(vec![5., 1., 2.]));
//! let cells = AnnDataFile::from_store(store.into())?;
//!
//! let x = cells.layer(&LayerKey::X)?.expect("it has an X");
//! let mut sums = Sums(vec![0.0; 2]);
//! x.read_rows(&[0, 2], &mut ReadScratch::default(), &mut sums)?;
//! assert_eq!(sums.0, [5.0, 3.0]);
//! # Ok::<(), anndata_io::Error>(())
//! ```
//!
//! # What is read
//!
//! Files as anndata 0.6 to 0.13 write them: dense arrays, CSR and CSC matrices, and tables of numbers in obsm; obs
//! columns that are categorical (of texts, numbers or booleans), nullable, text or numeric. In HDF5, the filters gzip,
//! shuffle, fletcher32, lzf, zstd, lz4 and blosc. In zarr (formats 2 and 3, sharded or not, zipped or not), blosc, zstd,
//! gzip, zlib, lz4, bz2, lzma, checksums, and the simple filters of numcodecs. A path below a file names a table inside
//! it (MuData, SpatialData): `cells.h5mu/mod/rna`. Anything else is an [error](ErrorKind::Unsupported) that names it and
//! the way out.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `ndarray`: stores in memory ([`MemoryStore`]) take arrays of the crate `ndarray`.
//! - `serde`: [`IoOptions`] and [`DType`] as data, such as JSON or TOML.
//! - `libhdf5`: a second reader of h5ad files, on the HDF5 C library, for files that the default reader refuses. The
//!   library is built from source, which needs cmake.
//! - `zarrs`: a second reader of zarr arrays, the crate `zarrs`, for codecs that the default reader refuses.
//! - `zarrs-zfp`: its codecs zfp and zfpy, which need cmake and libclang.
//!
//! # Trust
//!
//! Files are untrusted: every length, offset, code and index in one is compared with what the file can hold before it is
//! used. A damaged or hostile file is an error.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_endian = "little"))]
compile_error!("anndata-io reads little-endian files in place and is for little-endian machines");

mod anndata;
mod array;
mod chain;
mod check;
mod column;
mod dtype;
mod error;
mod io;
mod key;
mod limits;
mod matrix;
mod path;
mod store;
#[doc(hidden)]
pub mod testing;

pub use anndata::{AnnDataFile, AnnDataSource, VarTable};
pub use array::Array;
pub use array::text::Strings;
pub use chain::{Chain, chain};
pub use check::{Check, CheckReport, ElementCounts, ElementLayout, ElementReport};
pub use column::{Codes, Column, ColumnPlace, ColumnRows, ColumnValues, EncodedColumn};
pub use dtype::{Bool8, DType, NumericValue, Scalar, UnknownDType, Values, ValuesRef, f16};
pub use error::{Error, ErrorKind, nearest_name};
pub use io::byte_size::{ByteSize, ByteSizeError};
pub use io::context::IoContext;
#[doc(hidden)]
pub use io::fork::is_forked_child;
pub use io::location::Location;
pub use io::options::{Hdf5Backend, IoOptions, ZarrBackend};
pub use io::pack_cache::{CacheFault, CacheOptions, CachedElement, PackCache};
pub use io::pack_room::PackRoom;
#[cfg(feature = "remote")]
pub use io::remote::StorageOptions;
pub use io::remote::fetched_bytes;
pub use key::LayerKey;
pub use matrix::{MatrixSource, Packs, ReadScratch, RowBuffer, RowSink};
pub use store::{Attribute, MemoryStore, Node, Store};
