//! The options of a collection, all checked when it is opened.

use anndata_io::{AnnDataSource, DType, Hdf5Backend, IoOptions, ZarrBackend};
use feature_join::Join;
use label_encoding::Label;

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::filter::{FilterValue, ObsFilter};

/// Which obs keys are encoded to integers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EncodeLabels {
    /// Every obs key but plain floating-point columns.
    #[default]
    All,
    /// These obs keys.
    Keys(Vec<String>),
}

impl From<bool> for EncodeLabels {
    /// All, or none.
    fn from(all: bool) -> Self {
        if all {
            EncodeLabels::All
        } else {
            EncodeLabels::Keys(Vec::new())
        }
    }
}

impl<S: Into<String>> From<Vec<S>> for EncodeLabels {
    fn from(keys: Vec<S>) -> Self {
        EncodeLabels::Keys(texts(keys))
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for EncodeLabels {
    fn from(keys: [S; N]) -> Self {
        EncodeLabels::Keys(texts(keys))
    }
}

/// The label that is encoded to -1.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum UnknownLabel {
    /// None: every label is a class.
    #[default]
    None,
    /// One for all encoded keys.
    All(LabelMatch),
    /// One for each of these keys, which must be encoded.
    Keys(Vec<(String, LabelMatch)>),
}

/// A label as the caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelMatch {
    /// This label, of this kind: the text `"2"` is not the number 2.
    Exact(Label),
    /// The label whose Python text this is, whatever its kind: for command lines.
    Text(String),
}

impl<L: Into<Label>> From<L> for LabelMatch {
    fn from(label: L) -> Self {
        LabelMatch::Exact(label.into())
    }
}

/// The options of a [`MappedCollection`], with lamindb's names and defaults.
///
/// Nothing is read before [`open`](Self::open).
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) sources: Vec<AnnDataSource>,
    pub(crate) layers_keys: Vec<String>,
    pub(crate) obs_keys: Vec<String>,
    pub(crate) obsm_keys: Vec<String>,
    pub(crate) obs_filter: Option<ObsFilter>,
    pub(crate) join: Option<Join>,
    pub(crate) encode_labels: EncodeLabels,
    pub(crate) unknown_label: UnknownLabel,
    pub(crate) dtype: Option<DType>,
    pub(crate) io: IoOptions,
}

/// The keys, each once.
fn texts<S: Into<String>>(keys: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for key in keys.into_iter().map(Into::into) {
        if !texts.contains(&key) {
            texts.push(key);
        }
    }
    texts
}

impl Builder {
    pub(crate) fn new<S: Into<AnnDataSource>>(sources: impl IntoIterator<Item = S>) -> Self {
        Builder {
            sources: sources.into_iter().map(Into::into).collect(),
            layers_keys: vec!["X".to_owned()],
            obs_keys: Vec::new(),
            obsm_keys: Vec::new(),
            obs_filter: None,
            join: Some(Join::Inner),
            encode_labels: EncodeLabels::All,
            unknown_label: UnknownLabel::None,
            dtype: None,
            io: IoOptions::default(),
        }
    }

    /// Matrices to read: `X`, `raw.X`, or names of layers. By default, `X`. None is legal.
    pub fn layers<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.layers_keys = texts(keys);
        self
    }

    /// Columns of obs to read; `_index` gives the obs names. By default, none.
    pub fn obs<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.obs_keys = texts(keys);
        self
    }

    /// Elements of obsm to read. By default, none.
    pub fn obsm<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.obsm_keys = texts(keys);
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
        let filter = self.obs_filter.get_or_insert_default();
        filter.allow(key.into(), values.into_iter().map(Into::into));
        self
    }

    /// How variables are joined; `None` leaves every row at its own store's width. By
    /// default, [`Join::Inner`].
    pub fn join(mut self, join: impl Into<Option<Join>>) -> Self {
        self.join = join.into();
        self
    }

    /// Which obs keys are encoded: a list of them, or `false` for none. By default (`true`), all
    /// but plain floating-point columns.
    pub fn encode_labels(mut self, keys: impl Into<EncodeLabels>) -> Self {
        self.encode_labels = keys.into();
        self
    }

    /// The label of `key` that is encoded to -1. One that does not occur is ignored.
    pub fn unknown_label(mut self, key: impl Into<String>, label: impl Into<LabelMatch>) -> Self {
        let entry = (key.into(), label.into());
        match &mut self.unknown_label {
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
        self.unknown_label = UnknownLabel::All(label.into());
        self
    }

    /// Element type of all matrices of items and batches. By default an item has its store's,
    /// and a batch numpy's promotion of all stores'.
    pub fn dtype(mut self, dtype: impl Into<Option<DType>>) -> Self {
        self.dtype = dtype.into();
        self
    }

    /// Accepted for lamindb's sake; categories are always kept in memory, and no result
    /// depends on it.
    pub fn cache_categories(self, _cache: bool) -> Self {
        self
    }

    /// Accepted for lamindb's sake and unnecessary: a collection may always be used from many
    /// threads and forked processes.
    pub fn parallel(self, _parallel: bool) -> Self {
        self
    }

    /// Bytes of decoded chunks to keep between reads. By default, 64 MiB.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.io.cache_bytes = bytes;
        self
    }

    /// At most how many files are kept open. By default, 64.
    pub fn max_open_files(mut self, files: usize) -> Self {
        self.io.max_open_files = files;
        self
    }

    /// Whether uncompressed files on local file systems are read through memory maps: see
    /// [`IoOptions::mmap`]. By default, they are.
    pub fn mmap(mut self, mmap: bool) -> Self {
        self.io.mmap = mmap;
        self
    }

    /// Bytes of memory for matrices that are stored by column and were turned into rows: see
    /// [`IoOptions::csc_bytes`]. By default, 512 MiB.
    pub fn csc_bytes(mut self, bytes: usize) -> Self {
        self.io.csc_bytes = bytes;
        self
    }

    /// What reads h5ad files: see [`Hdf5Backend`]. By default, pure Rust.
    pub fn hdf5_backend(mut self, backend: Hdf5Backend) -> Self {
        self.io.hdf5 = backend;
        self
    }

    /// What reads zarr stores: see [`ZarrBackend`]. By default, this package itself.
    pub fn zarr_backend(mut self, backend: ZarrBackend) -> Self {
        self.io.zarr = backend;
        self
    }

    /// Opens the collection: reads names, labels and row pointers of every file, and checks
    /// every option.
    ///
    /// # Errors
    /// When an option contradicts another, a file cannot be read, or the files do not fit
    /// together.
    pub fn open(self) -> Result<MappedCollection, Error> {
        MappedCollection::open(self)
    }
}
