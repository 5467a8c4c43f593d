//! Many AnnData files as one dataset: joined, label-encoded, with random access.
//!
//! [`MappedCollection`] opens `.h5ad` and `.zarr` files as they are on disk and treats their cells as the rows of one
//! table. Variables (genes) are aligned by an inner or an outer join, labels are encoded to integers, rows may be
//! filtered by label, and each label has a weight. Nothing is converted or loaded beforehand: opening reads names,
//! labels and row pointers.
//!
//! # What it is not
//!
//! It trains no model and writes no file. It keeps no copy of the data: each row is read when it is wanted, or shortly
//! before.
//!
//! # The types that matter
//!
//! - [`MappedCollectionBuilder`]: the options of a collection, with lamindb's names and defaults.
//! - [`MappedCollection`]: the opened collection.
//! - [`Item`]: one row, its matrices and labels by name.
//! - [`Batch`]: many rows in the order asked, dense or CSR. [`Matrix`] has typed views of its elements.
//! - [`Loader`]: epochs of batches, shuffled or sampled, read ahead by threads. An interrupted epoch can be resumed.
//!
//! # Example
//!
//! ```
//! use anndata_io::{MemoryStore, Values};
//! use mapped_collection::{Join, MappedCollection};
//!
//! // Paths go here: `["a.h5ad", "b.zarr"]`. These two stores are in memory.
//! let a = MemoryStore::new("a")
//!     .dataframe("obs", &["a1", "a2"])
//!     .categorical("obs/cell_type", vec![0, 1], &["T cell", "unknown"])
//!     .dataframe("var", &["MYC", "TCF7"])
//!     .array("X", &[2, 2], Values::F32(vec![1., 2., 3., 4.]));
//! let b = MemoryStore::new("b")
//!     .dataframe("obs", &["b1"])
//!     .categorical("obs/cell_type", vec![0], &["B cell"])
//!     .dataframe("var", &["TCF7", "GATA1"])
//!     .csr("X", [1, 2], vec![0, 1], vec![0], Values::F32(vec![5.]));
//!
//! let cells = MappedCollection::builder([a, b])
//!     .obs(["cell_type"])
//!     .join(Join::Outer)
//!     .unknown_label("cell_type", "unknown")
//!     .open()?;
//! assert_eq!(cells.shape(), (3, Some(3)));
//! assert!(cells.var_joint().unwrap().iter().eq(["GATA1", "MYC", "TCF7"]));
//!
//! let item = cells.get(-1)?;
//! assert_eq!(item.row("X").unwrap().values(), &Values::F32(vec![0., 0., 5.]));
//! assert_eq!(item.code("cell_type"), Some(0)); // B cell
//!
//! let batch = cells.get_batch(&[2, 0, 1])?;
//! assert_eq!(batch.codes("cell_type"), Some(&[0, 1, -1][..])); // unknown is -1
//! assert_eq!(cells.label_weights(["cell_type"])?.weights(None), [1.0, 1.0, 1.0]);
//! # Ok::<(), mapped_collection::Error>(())
//! ```
//!
//! # Features
//!
//! None is on by default.
//!
//! - `ndarray`: dense matrices as views of the crate `ndarray`, and stores in memory made of its arrays.
//! - `sprs`: CSR matrices as views of the crate `sprs`.
//! - `parquet`: [`ObsTable`]s from parquet files.
//! - `serde`: [`LoaderOptions`], [`SplitOptions`], [`IoOptions`] and [`Join`] as data, such as JSON or TOML.
//!   [`LoaderState`] needs no feature.
//! - `libhdf5`: a second reader of h5ad files, on the HDF5 C library. The library is built from source, which needs cmake.
//! - `zarrs`: a second reader of zarr arrays, the crate `zarrs`, for codecs that the default reader refuses.
//! - `zarrs-zfp`: its codecs zfp and zfpy, which need cmake and libclang.
//!
//! # Differs from lamindb
//!
//! Options that lamindb does not have: [`genes`](MappedCollectionBuilder::genes), [`var_key`](MappedCollectionBuilder::var_key)
//! and their companions, [`layers_from`](MappedCollectionBuilder::layers_from),
//! [`obs_from`](MappedCollectionBuilder::obs_from), [`obs_table`](MappedCollectionBuilder::obs_table),
//! [`label_map`](MappedCollectionBuilder::label_map) and [`transforms`](MappedCollectionBuilder::transforms); and
//! [`tokens`](BatchFormat::tokens) in batches.
//!
//! Items and batches have the values of `lamindb.core.MappedCollection`, with these departures:
//!
//! - Repeated column indices of a sparse row are summed; in the reference, the last one wins.
//! - A missing label is never a class. A store without a column counts as missing in labels, weights and filters.
//! - Plain floating-point columns are encoded only when [`encode_labels`](MappedCollectionBuilder::encode_labels) names
//!   them.
//! - Keys that no store has are listed by [`missing_keys`](MappedCollection::missing_keys), each with the nearest that
//!   exists.
//! - `X` is optional unless it is requested.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod builder;
mod collection;
mod error;
mod genes;
mod item;
mod label_values;
mod labels;
mod loader;
mod matched;
mod obs_table;
mod options;
mod order;
mod plan;
mod random;
mod samplers;
mod split;
#[cfg(test)]
mod testing;
mod tokens;
mod transform;
mod variables;

/// What any thread may use, and an epoch, which one thread at a time may.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    const fn sent<T: Send + 'static>() {}
    shared::<MappedCollection>();
    shared::<Loader>();
    shared::<Batch>();
    shared::<Item>();
    shared::<Error>();
    shared::<anndata_io::Array>();
    shared::<anndata_io::MatrixSource>();
    shared::<anndata_io::Error>();
    sent::<Epoch>();
};

#[cfg(feature = "remote")]
pub use anndata_io::StorageOptions;
pub use anndata_io::{
    AnnDataSource, CacheOptions, Codes, ColumnRows, ColumnValues, DType, EncodedColumn,
    Hdf5Backend, IoContext, IoOptions, MemoryStore, Values, ZarrBackend,
};
pub use batch::columns::BatchColumn;
pub use batch::csr::{CsrView, IndexType};
pub use batch::matrix::{CsrIndex, Matrix, MatrixTypeError};
pub use batch::{Batch, BatchFormat, MatrixFormat};
pub use builder::MappedCollectionBuilder;
pub use collection::MappedCollection;
pub use error::Error;
pub use error::labels::{LabelsError, UnmatchedLabel};
pub use error::open::{OpenError, StoreMismatch};
pub use error::option::OptionError;
pub use error::overlap::{GeneOverlap, LowOverlap, NameMismatch};
pub use error::read::ReadError;
pub use error::state::StateError;
pub use feature_join::{Duplicates, Join, NameRule, VarNames, strip_version};
pub use genes::GeneList;
pub use genes::file::{read_numbers, read_pairs};
pub use item::{Item, ItemValue};
pub use label_encoding::{Categories, Encoder, Label, LabelWeights, MISSING_CODE, UNKNOWN_CODE};
pub use labels::CodeCounts;
pub use loader::Loader;
pub use loader::epoch::Epoch;
pub use loader::options::LoaderOptions;
pub use loader::state::LoaderState;
pub use obs_table::ObsTable;
pub use obs_table::column::TableColumn;
pub use options::{EncodeLabels, FilterValue, FirstOf, LabelMatch, NewLabel, Unmapped};
pub use order::Shuffle;
pub use order::matched::Matched;
pub use order::mixture::MixtureGroup;
pub use order::sampler::Sampler;
pub use order::shuffle::permutation;
pub use order::split::{SplitBy, SplitOptions};
pub use plan::cache::Cached;
pub use plan::labels::{MergedLabels, MergedLabelsIter};
pub use plan::location::RowLocation;
pub use plan::missing_keys::MissingKey;
pub use samplers::Mixture;
pub use tokens::{SpecialToken, TokenSelection, Tokens};
pub use transform::{Depth, GeneValues, TargetTotal, Totals, Transform};
