//! The options of a collection, as a caller sets them.

use anndata_io::{AnnDataSource, DType, Hdf5Backend};
use feature_join::Join;

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::options::{EncodeLabels, FilterValue, LabelMatch, Options, UnknownLabel, distinct};

/// The options of a [`MappedCollection`], with lamindb's names and defaults.
///
/// Nothing is read before [`open`](Self::open).
#[derive(Debug, Clone)]
pub struct MappedCollectionBuilder(Options);

impl MappedCollectionBuilder {
    pub(crate) fn new<S: Into<AnnDataSource>>(sources: impl IntoIterator<Item = S>) -> Self {
        MappedCollectionBuilder(Options::new(sources.into_iter().map(Into::into).collect()))
    }

    /// Matrices to read: `X`, `raw.X`, or names of layers. By default, `X`. None is legal.
    pub fn layers<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.0.layers_keys = distinct(keys);
        self
    }

    /// Columns of obs to read; `_index` gives the obs names. By default, none.
    pub fn obs<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.0.obs_keys = distinct(keys);
        self
    }

    /// Elements of obsm to read. By default, none.
    pub fn obsm<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.0.obsm_keys = distinct(keys);
        self
    }

    /// Keeps only rows whose label in column `key` is one of `values`. Called for several
    /// columns, a row must pass all; called again for one column, the values add up.
    ///
    /// [`FilterValue::Missing`] allows missing labels; a store without the column then keeps
    /// all of its rows, and none otherwise.
    pub fn filter<V: Into<FilterValue>>(
        mut self,
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into);
        self.0.obs_filter.allow(key.into(), values);
        self
    }

    /// How variables are joined; `None` leaves every row at its own store's width. By
    /// default, [`Join::Inner`].
    pub fn join(mut self, join: impl Into<Option<Join>>) -> Self {
        self.0.join = join.into();
        self
    }

    /// Which obs keys are encoded: a list of them, or `false` for none. By default (`true`), all
    /// but plain floating-point columns.
    pub fn encode_labels(mut self, keys: impl Into<EncodeLabels>) -> Self {
        self.0.encode_labels = keys.into();
        self
    }

    /// The label of `key` that is encoded to -1. One that does not occur is ignored.
    pub fn unknown_label(mut self, key: impl Into<String>, label: impl Into<LabelMatch>) -> Self {
        let entry = (key.into(), label.into());
        match &mut self.0.unknown_label {
            UnknownLabel::Keys(keys) => {
                keys.retain(|(key, _)| *key != entry.0);
                keys.push(entry);
            }
            other => *other = UnknownLabel::Keys(vec![entry]),
        }
        self
    }

    /// One label that is encoded to -1 in every encoded key.
    pub fn unknown_label_for_all(mut self, label: impl Into<LabelMatch>) -> Self {
        self.0.unknown_label = UnknownLabel::All(label.into());
        self
    }

    /// Element type of all matrices of items and batches. By default an item has its store's,
    /// and a batch numpy's promotion of all stores'.
    pub fn dtype(mut self, dtype: impl Into<Option<DType>>) -> Self {
        self.0.dtype = dtype.into();
        self
    }

    /// Bytes of decoded chunks to keep between reads. By default, 64 MiB.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.0.io.cache_bytes = bytes;
        self
    }

    /// At most how many files are kept open. By default, 64.
    pub fn max_open_files(mut self, files: usize) -> Self {
        self.0.io.max_open_files = files;
        self
    }

    /// Whether uncompressed files on local file systems are read through memory maps: see
    /// [`IoOptions::mmap`]. By default, they are.
    pub fn mmap(mut self, mmap: bool) -> Self {
        self.0.io.mmap = mmap;
        self
    }

    /// Bytes of memory for matrices that are stored by column and were turned into rows: see
    /// [`IoOptions::csc_bytes`]. By default, 512 MiB.
    pub fn csc_bytes(mut self, bytes: usize) -> Self {
        self.0.io.csc_bytes = bytes;
        self
    }

    /// What reads h5ad files: see [`Hdf5Backend`]. By default, pure Rust.
    pub fn hdf5_backend(mut self, backend: Hdf5Backend) -> Self {
        self.0.io.hdf5 = backend;
        self
    }

    /// Opens the collection: reads names, labels and row pointers of every file, and checks
    /// every option.
    ///
    /// # Errors
    /// When an option contradicts another, a file cannot be read, or the files do not fit
    /// together.
    pub fn open(self) -> Result<MappedCollection, Error> {
        MappedCollection::open(self.0)
    }
}
