//! Feeds collections of AnnData files, `.h5ad` and `.zarr`, to a model **as they are on disk**: no
//! conversion, genes joined on the fly, labels encoded and weighted, rows in the order of a seed.
//!
//! # What it is not
//!
//! It writes no file and trains no model.
//!
//! # The types that matter
//!
//! All are those of the crate `mapped-collection`; [`io`], [`join`] and [`labels`] are the crates below it.
//!
//! - [`MappedCollection::builder`]: opens files with options, see [`MappedCollectionBuilder`].
//! - [`MappedCollection::get`], [`get_batch`](MappedCollection::get_batch): rows by number, as an [`Item`] or a [`Batch`].
//! - [`MappedCollection::loader`]: epochs of batches, in file order or shuffled, see [`Loader`].
//! - [`MappedCollection::label_weights`]: how rare the label of each row is.
//!
//! # Example
//!
//! ```
//! use mapped_anndata::{LoaderOptions, MappedCollection, MemoryStore, MatrixFormat, Shuffle, Values};
//!
//! // Usually paths: `MappedCollection::builder(["lung.h5ad", "liver.zarr"])`. Here, memory.
//! let lung = MemoryStore::new("lung")
//!     .dataframe("obs", &["l1", "l2", "l3"])
//!     .categorical("obs/cell_type", vec![1, 0, -1], &["B cell", "T cell"])
//!     .dataframe("var", &["CD4", "CD8A", "MYC"])
//!     .csr("X", [3, 3], vec![0, 1, 3, 3], vec![2, 0, 1], Values::F32(vec![1., 2., 3.]));
//! let liver = MemoryStore::new("liver")
//!     .dataframe("obs", &["h1"])
//!     .categorical("obs/cell_type", vec![0], &["T cell"])
//!     .dataframe("var", &["MYC", "ALB", "CD4"])
//!     .array("X", &[1, 3], Values::I32(vec![7, 8, 9]));
//!
//! let cells = MappedCollection::builder([lung, liver]).obs(["cell_type"]).open()?;
//! assert_eq!(cells.shape(), (4, Some(2))); // 4 cells, and the genes that both stores have
//! assert!(cells.var_joint().unwrap().iter().eq(["CD4", "MYC"])); // as the first store has them
//!
//! // A row by number, in the type of its own file.
//! let item = cells.get(3)?;
//! assert_eq!(item.row("X").unwrap().values(), &Values::I32(vec![9, 7]));
//! assert_eq!(item.code("cell_type"), Some(1)); // T cell
//!
//! // An epoch: every row once, in an order that seed 42 fixes for good.
//! let options = LoaderOptions::new(3).shuffle(Shuffle::Exact).seed(42).output(MatrixFormat::Csr);
//! let loader = cells.loader(options)?;
//! let mut codes = Vec::new();
//! for batch in loader.epoch(0) {
//!     codes.extend_from_slice(batch?.codes("cell_type").unwrap());
//! }
//! codes.sort();
//! assert_eq!(codes, [-100, 0, 1, 1]); // -100 is a missing label
//!
//! // Rare labels weigh more.
//! assert_eq!(cells.label_weights(["cell_type"])?.weights(None), [0.5, 1.0, 1.0, 0.5]);
//! # Ok::<(), mapped_anndata::Error>(())
//! ```
//!
//! # Features
//!
//! - `ndarray` (on by default): dense matrices as views of the crate `ndarray`.
//! - `sprs`: CSR matrices as views of the crate `sprs`.
//! - `parquet`: [`ObsTable`]s from parquet files.
//! - `serde`: options as data, such as JSON or TOML.
//! - `libhdf5`: a second reader of h5ad files, on the HDF5 C library. The library is built from source, which needs cmake.
//! - `zarrs`: a second reader of zarr arrays, the crate `zarrs`, for codecs that the default reader refuses.
//! - `zarrs-zfp`: its codecs zfp and zfpy, which need cmake and libclang.
//!
//! # For users of the Python package and of lamindb
//!
//! `cells` is a [`MappedCollection`]; options are set on its [`MappedCollectionBuilder`].
//!
//! | Python | here |
//! |---|---|
//! | `MappedCollection(paths, …)` | [`MappedCollection::builder`]`(paths)…`[`open`](MappedCollectionBuilder::open)`()?` |
//! | `layers_keys="counts"` | [`.layers`](MappedCollectionBuilder::layers)`(["counts"])` |
//! | `obs_keys=["cell_type"]` | [`.obs`](MappedCollectionBuilder::obs)`(["cell_type"])` |
//! | `obsm_keys=["X_pca"]` | [`.obsm`](MappedCollectionBuilder::obsm)`(["X_pca"])` |
//! | `obs_filter={"donor": ("d1", "d2")}` | [`.filter`](MappedCollectionBuilder::filter)`("donor", ["d1", "d2"])` |
//! | `join="outer"`, `join=None` | [`.join`](MappedCollectionBuilder::join)`(Join::Outer)`, `.join(None)` |
//! | `genes="genes.txt"` | [`.genes`](MappedCollectionBuilder::genes)`(`[`GeneList::from_file`]`("genes.txt", None, None)?)` |
//! | `var_key=["ensembl_id", None]` | [`.var_key`](MappedCollectionBuilder::var_key)`(["ensembl_id", "_index"])` |
//! | `layers_keys={"n": Counts("raw.X", "X")}` | [`.layers_from`](MappedCollectionBuilder::layers_from)`([("n", `[`FirstOf::counts`]`(["raw.X", "X"]))])` |
//! | `obs_table="labels.csv"` | [`.obs_table`](MappedCollectionBuilder::obs_table)`(`[`ObsTable::from_file`]`("labels.csv", None)?)` |
//! | `encode_labels=["cell_type"]` | [`.encode_labels`](MappedCollectionBuilder::encode_labels)`(["cell_type"])` |
//! | `encode_labels=False` | `.encode_labels(false)` |
//! | `unknown_label="unknown"` | [`.unknown_label_for_all`](MappedCollectionBuilder::unknown_label_for_all)`("unknown")` |
//! | `unknown_label={"cell_type": "unknown"}` | [`.unknown_label`](MappedCollectionBuilder::unknown_label)`("cell_type", "unknown")` |
//! | `dtype="float32"` | [`.dtype`](MappedCollectionBuilder::dtype)`(DType::F32)` |
//! | `len(cells)`, `cells.shape` | [`cells.n_obs`](MappedCollection::n_obs)`()`, [`cells.shape`](MappedCollection::shape)`()` |
//! | `cells[-1]["X"]` | [`cells.get`](MappedCollection::get)`(-1)?.`[`row`](Item::row)`("X")` |
//! | `cells.var_joint`, `cells.var_indices` | [`cells.var_joint`](MappedCollection::var_joint)`()`, [`cells.var_indices`](MappedCollection::var_indices)`()` |
//! | `cells.encoders["cell_type"]` | [`cells.encoder`](MappedCollection::encoder)`("cell_type")` |
//! | `cells.get_label_weights("cell_type")` | [`cells.label_weights`](MappedCollection::label_weights)`(["cell_type"])?.`[`weights`](LabelWeights::weights)`(None)` |
//! | `…, return_categories=True` | `….`[`by_class`](LabelWeights::by_class)`(None)` |
//! | `cells.get_merged_labels("donor")` | [`cells.merged_labels`](MappedCollection::merged_labels)`("donor")?` |
//! | `cells.get_merged_categories("donor")` | [`cells.merged_categories`](MappedCollection::merged_categories)`("donor")?` |
//! | `cells.check_vars_sorted()` | [`cells.check_vars_sorted`](MappedCollection::check_vars_sorted)`(true)?` |
//! | `cells.check_vars_non_aligned(vars)` | [`cells.check_vars_non_aligned`](MappedCollection::check_vars_non_aligned)`(vars)?` |
//! | `cells.close()`, `cells.closed` | [`cells.close`](MappedCollection::close)`()`, [`cells.is_closed`](MappedCollection::is_closed)`()` |
//! | torch's `DataLoader(cells, 512, shuffle=True)` | [`cells.loader`](MappedCollection::loader)`(`[`LoaderOptions::new`]`(512).shuffle(Shuffle::Exact))?` |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use mapped_collection::*;

/// One AnnData file: its elements, read in bulk by rows. The crate `anndata-io`.
pub use anndata_io as io;
/// Joins the variables of stores. The crate `feature-join`.
pub use feature_join as join;
/// Encodes labels as integers, and weighs them. The crate `label-encoding`.
pub use label_encoding as labels;
