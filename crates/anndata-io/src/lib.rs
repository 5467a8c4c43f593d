//! Reads AnnData files, `.h5ad` and `.zarr`, as they are on disk.
//!
//! AnnData is the field's format for single-cell data: a matrix of cells × genes, mostly sparse,
//! with a table of labels per cell. This crate opens one such file and gives its matrices by
//! **bulks of rows**, its label columns, and its names. HDF5 is read in pure Rust: no C library,
//! no global lock, nothing that a process fork breaks.
//!
//! It does not write files, does not join several of them, and holds no matrix in memory: for
//! collections of files see the `mapped-collection` crate.
//!
//! | type | is |
//! |---|---|
//! | [`AnnDataFile`] | one opened file: which elements it has, and how to open them |
//! | [`MatrixSource`] | X, a layer, `raw.X`, or an obsm element: rows on demand |
//! | [`Column`] | a column of obs: labels as categories and codes, or values of some rows |
//! | [`Check`] | everything in a file, read and looked at: all of its faults |
//! | [`IoContext`] | the open files and decoded chunks that files share, both bounded |
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
//! Files as anndata 0.6 to 0.13 write them: dense arrays, CSR, CSC, numeric tables in obsm; obs
//! columns that are categorical (of texts, numbers, booleans), nullable, text or numeric. HDF5 filters gzip, shuffle, fletcher32, lzf, zstd, lz4 and blosc;
//! zarr format 2 and 3 with blosc, zstd, gzip, zlib, lz4, bz2, lzma, checksums and the filters of
//! numcodecs that need little to decode, sharded or not, zipped or not. A table inside a file (MuData, SpatialData) is named by a path below it:
//! `cells.h5mu/mod/rna`. Anything else is an [error](ErrorKind::Unsupported) that names it and the way out.
//!
//! # Trust
//! Files come from strangers: no length, offset, code or index in one is used before it is
//! checked against what the file can hold.

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

pub use anndata::{AnnDataFile, AnnDataSource};
pub use array::Array;
pub use array::text::Strings;
pub use chain::{Chain, chain};
pub use check::{Check, CheckReport, ElementCounts, ElementLayout, ElementReport};
pub use column::{Codes, Column, ColumnRows, ColumnValues, EncodedColumn};
pub use dtype::{Bool8, DType, NumericValue, Scalar, UnknownDType, Values, ValuesRef, f16};
pub use error::{Error, ErrorKind, nearest_name};
pub use io::byte_size::{ByteSize, ByteSizeError};
pub use io::context::{Hdf5Backend, IoContext, IoOptions};
pub use io::location::Location;
pub use key::LayerKey;
pub use matrix::{MatrixSource, ReadScratch, Room, RowSink};
pub use store::{Attribute, MemoryStore, Node, Store};
