//! The options of a collection, as a caller sets them.

mod get;
mod obs_table;

use std::sync::Arc;

#[cfg(feature = "remote")]
use anndata_io::StorageOptions;
use anndata_io::{AnnDataSource, CacheOptions, DType, IoOptions};
use feature_join::{Duplicates, Join};

use crate::collection::MappedCollection;
use crate::error::Error;
#[cfg(feature = "remote")]
use crate::error::open::OpenError;
use crate::genes::GeneList;
use crate::options::{
    CacheChoice, EncodeLabels, FilterValue, FirstOf, LabelMatch, LabelPairs, NewLabel, Options,
    UnknownLabel, Unmapped, distinct,
};
use crate::transform::Transform;

/// The options of a [`MappedCollection`], with lamindb's names and defaults.
///
/// Nothing is read before [`open`](Self::open). Methods that begin with `get_` return what was set,
/// as those of [`std::process::Command`] do.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct MappedCollectionBuilder(Options);

impl MappedCollectionBuilder {
    pub(crate) fn new<S: Into<AnnDataSource>>(sources: impl IntoIterator<Item = S>) -> Self {
        MappedCollectionBuilder(Options::new(sources.into_iter().map(Into::into).collect()))
    }

    /// Matrices to read: `X`, `raw.X`, or names of layers. By default, `X`. The list may be empty.
    pub fn layers<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.0.layers_keys = distinct(keys);
        self.0.layers_from.clear();
        self
    }

    /// Matrices to read, each from the first of several elements that a store has: see [`FirstOf`].
    /// It replaces [`layers`](Self::layers). Each matrix is joined by the variables of where it lies:
    /// `raw.X` by those of raw.
    ///
    /// ```
    /// use mapped_collection::{FirstOf, MappedCollection};
    /// # use mapped_collection::{MemoryStore, Values};
    /// # let store = |name: &str, x| {
    /// #     let store = MemoryStore::new(name).dataframe("obs", &["c1"]).dataframe("var", &["g1", "g2"]);
    /// #     store.array("X", &[1, 2], Values::F32(x))
    /// # };
    /// # let raw = store("a", vec![0.7, 1.1]).array("layers/umi", &[1, 2], Values::F32(vec![1.0, 2.0]));
    /// # let paths = [raw, store("b", vec![3.0, 4.0])];
    ///
    /// let counts = FirstOf::counts(["X", "umi"]);
    /// let cells = MappedCollection::builder(paths).layers_from([("counts", counts)]).open()?;
    /// assert_eq!(cells.source_key(0, "counts").as_deref(), Some("umi"));
    /// assert_eq!(cells.source_key(1, "counts").as_deref(), Some("X"));
    /// assert_eq!(cells.get_batch(&[0, 1])?.matrix("counts").unwrap().dense::<f32>()?, [1., 2., 3., 4.]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layers_from<S: Into<String>>(
        mut self,
        layers: impl IntoIterator<Item = (S, FirstOf)>,
    ) -> Self {
        let layers = layers.into_iter().map(|(name, from)| (name.into(), from));
        self.0.layers_from = layers.collect();
        self.0.layers_keys = distinct(self.0.layers_from.iter().map(|(name, _)| name.as_str()));
        self
    }

    /// What happens to the values of a matrix on their way into items and batches: steps that run in
    /// this order on each row. `key` is one of [`layers`](Self::layers); matrices of obsm have no
    /// transforms. An empty list removes earlier ones.
    ///
    /// See [`Transform`] for the steps, and for an example.
    pub fn transforms(
        mut self,
        key: impl Into<String>,
        transforms: impl IntoIterator<Item = Transform>,
    ) -> Self {
        let key = key.into();
        self.0.transforms.retain(|(name, _)| *name != key);
        let transforms: Vec<Transform> = transforms.into_iter().collect();
        if !transforms.is_empty() {
            self.0.transforms.push((key, transforms));
        }
        self
    }

    /// Columns of obs to read; `_index` stands for the obs names. By default, no column.
    pub fn obs<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.0.obs_keys = distinct(keys);
        self.0.obs_from.clear();
        self
    }

    /// Obs keys, each from the first of several columns that a store has. It replaces
    /// [`obs`](Self::obs). Filters, weights and splits know a key by its new name.
    ///
    /// ```
    /// # use mapped_collection::{MappedCollection, MemoryStore};
    /// # let store = |name: &str, column: &str, labels: [&str; 2]| {
    /// #     let store = MemoryStore::new(name).dataframe("obs", &["c1", "c2"]).dataframe("var", &["g"]);
    /// #     store.texts(&format!("obs/{column}"), &labels)
    /// # };
    /// # let paths = [store("a", "celltype", ["T cell", "B"]), store("b", "cell_type", ["t", "B"])];
    /// let cells = MappedCollection::builder(paths)
    ///     .layers([""; 0])
    ///     .obs_from([("cell_type", ["cell_type", "celltype"])])
    ///     .label_map("cell_type", [("T cell", "T"), ("t", "T")])
    ///     .open()?;
    /// assert_eq!(cells.source_key(0, "cell_type").as_deref(), Some("celltype"));
    /// let labels = cells.merged_labels("cell_type")?;
    /// let labels: Vec<_> = labels.iter().map(|label| label.unwrap().to_string()).collect();
    /// assert_eq!(labels, ["T", "B", "T", "B"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn obs_from<S, C>(mut self, keys: impl IntoIterator<Item = (S, C)>) -> Self
    where
        S: Into<String>,
        C: IntoIterator<Item: Into<String>>,
    {
        let keys = keys.into_iter();
        let keys = keys.map(|(key, columns)| (key.into(), distinct(columns)));
        self.0.obs_from = keys.collect();
        self.0.obs_keys = distinct(self.0.obs_from.iter().map(|(key, _)| key.as_str()));
        self
    }

    /// New labels for those of an obs key, in all stores, before they are united and encoded. Old
    /// labels are known by their texts, also numbers; all labels of the key are texts then.
    /// [`read_pairs`](crate::read_pairs) reads pairs from a file.
    pub fn label_map<O: Into<String>, N: Into<NewLabel>>(
        mut self,
        key: impl Into<String>,
        pairs: impl IntoIterator<Item = (O, N)>,
    ) -> Self {
        let key = key.into();
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(old, new)| (old.into(), new.into()));
        self.0.label_maps.retain(|(known, _)| *known != key);
        let pairs = LabelPairs::new(pairs.collect());
        self.0.label_maps.push((key, Arc::new(pairs)));
        self
    }

    /// What happens to labels that a [label map](Self::label_map) does not mention. By default, they
    /// are kept.
    pub fn unmapped(mut self, unmapped: Unmapped) -> Self {
        self.0.unmapped = unmapped;
        self
    }

    /// Elements of obsm to read. By default, no element.
    pub fn obsm<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.0.obsm_keys = distinct(keys);
        self
    }

    /// Keeps only rows whose label in column `key` is one of `values`. If called for several
    /// columns, a row must pass all of them. If called again for one column, the values add up.
    ///
    /// [`FilterValue::Missing`] allows missing labels: a store without the column then keeps all of
    /// its rows. Otherwise it keeps no row.
    ///
    /// ```
    /// # use mapped_collection::{FilterValue, MappedCollection, MemoryStore, Values};
    /// # let store = MemoryStore::new("a")
    /// #     .dataframe("obs", &["c1", "c2", "c3"])
    /// #     .categorical("obs/donor", vec![0, 1, -1], &["d1", "d2"])
    /// #     .dataframe("var", &["g"])
    /// #     .array("X", &[3, 1], Values::F32(vec![1., 2., 3.]));
    /// let cells = MappedCollection::builder([store])
    ///     .filter("donor", ["d2"])
    ///     .filter("donor", [FilterValue::Missing])
    ///     .open()?;
    /// assert_eq!(cells.n_obs(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter<V: Into<FilterValue>>(
        mut self,
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into);
        self.0.obs_filter.allow(key.into(), values);
        self
    }

    /// How variables are joined. `None` leaves every row at the width of its store. By default,
    /// [`Join::Inner`].
    pub fn join(mut self, join: impl Into<Option<Join>>) -> Self {
        self.0.join = join.into();
        self
    }

    /// The genes that the model takes in: every row of X, of a layer and of `raw.X` has exactly these
    /// columns, in this order. A gene that a store lacks is 0 there, and
    /// [`presence`](MappedCollection::presence) shows which it has. The elements of obsm stay as they are.
    ///
    /// It cannot be combined with a [`join`](Self::join) other than the default. A single store is joined, too.
    ///
    /// ```
    /// use mapped_collection::{GeneList, Join, MappedCollection};
    /// # let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/demo/a.h5ad");
    /// # let paths = [demo];
    ///
    /// let genes = GeneList::new(["ZNF7", "NKG7"]); // or GeneList::from_file("genes.txt", None, None)?
    /// let cells = MappedCollection::builder(paths).genes(genes).open()?;
    /// assert_eq!(cells.join_vars(), Some(Join::Given));
    /// assert_eq!(cells.get(0)?.row("X").expect("X is read").shape(), [2]);
    /// assert_eq!(cells.gene_overlaps()[0].fraction(), 1.0);
    /// # Ok::<(), mapped_collection::Error>(())
    /// ```
    pub fn genes(mut self, genes: impl Into<GeneList>) -> Self {
        self.0.genes = Some(genes.into());
        self
    }

    /// The [overlap](crate::GeneOverlap::fraction) with given genes below which
    /// [`low_overlaps`](MappedCollection::low_overlaps) lists a store, from 0 to 1. By default, 0.5.
    /// A store without any of the genes is an error in any case.
    pub fn min_overlap(mut self, fraction: f64) -> Self {
        self.0.min_overlap = fraction;
        self
    }

    /// The column of var (and of the variables of raw, if they are joined) that holds the names to
    /// join by; `_index` stands for the index. Of several, each store uses the first that it has. A variable
    /// without a name in this column is dropped. By default, the index.
    ///
    /// ```
    /// # use mapped_collection::{MappedCollection, MemoryStore, Values};
    /// # let store = |name: &str, symbols: [&str; 2], ids: [&str; 2]| {
    /// #     let store = MemoryStore::new(name).dataframe("obs", &["c1"]).dataframe("var", &symbols);
    /// #     store.texts("var/ensembl_id", &ids).array("X", &[1, 2], Values::F32(vec![1., 2.]))
    /// # };
    /// # let ours = store("ours", ["TP53", "CD4"], ["ENSG00000141510.16", "ENSG00000010610.9"]);
    /// # let theirs = MemoryStore::new("theirs").dataframe("obs", &["c1"])
    /// #     .dataframe("var", &["ENSG00000010610", "ENSG00000141510"])
    /// #     .array("X", &[1, 2], Values::F32(vec![3., 4.]));
    /// let cells = MappedCollection::builder([ours, theirs])
    ///     .var_key(["ensembl_id", "_index"])
    ///     .strip_version(true)
    ///     .open()?;
    /// assert!(cells.var_joint().unwrap().iter().eq(["ENSG00000141510", "ENSG00000010610"]));
    /// assert_eq!(cells.get(1)?.row("X").expect("X is read").dense::<f32>()?, [4.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn var_key<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.0.var_key.all = distinct(keys);
        self
    }

    /// As [`var_key`](Self::var_key), for one store, by its number.
    pub fn var_key_of<S: Into<String>>(
        mut self,
        store: usize,
        keys: impl IntoIterator<Item = S>,
    ) -> Self {
        let of_store = &mut self.0.var_key.of_store;
        of_store.retain(|(number, _)| *number != store);
        of_store.push((store, distinct(keys)));
        self
    }

    /// Whether names that look like Ensembl or RefSeq ids lose their version before they are joined:
    /// see [`strip_version`](crate::strip_version). By default, they keep it.
    pub fn strip_version(mut self, strip: bool) -> Self {
        self.0.name_rule = self.0.name_rule.strip_version(strip);
        self
    }

    /// New names for old ones in the stores, before they are joined: see
    /// [`NameRule::aliases`](crate::NameRule::aliases). [`read_pairs`](crate::read_pairs) reads them
    /// from a file. A name that is in the list of [`genes`](Self::genes) changes only if its new name is
    /// there, too. By default, no name changes.
    pub fn aliases<O: Into<String>, N: Into<String>>(
        mut self,
        aliases: impl IntoIterator<Item = (O, N)>,
    ) -> Self {
        self.0.name_rule = self.0.name_rule.aliases(aliases);
        self
    }

    /// What happens to a variable whose name an earlier one of its store has, also if only
    /// [stripping](Self::strip_version) or [aliases](Self::aliases) make them equal. By default, it is
    /// an error if a join is needed.
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.0.duplicates = duplicates;
        self
    }

    /// The obs keys to encode: a list of keys, or `false` to encode no key. By default (`true`),
    /// all but plain floating-point columns.
    pub fn encode_labels(mut self, keys: impl Into<EncodeLabels>) -> Self {
        self.0.encode_labels = keys.into();
        self
    }

    /// The label of `key` that is encoded as -1. A label that does not occur is ignored.
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

    /// One label that is encoded as -1 in every encoded key.
    pub fn unknown_label_for_all(mut self, label: impl Into<LabelMatch>) -> Self {
        self.0.unknown_label = UnknownLabel::All(label.into());
        self
    }

    /// Element type of all matrices of items and batches. By default, an item has the type of its
    /// store, and a batch has numpy's promotion of the types of all stores.
    pub fn dtype(mut self, dtype: impl Into<Option<DType>>) -> Self {
        self.0.dtype = dtype.into();
        self
    }

    /// Limits on memory and open files, and the reader of h5ad files: see [`IoOptions`].
    pub fn io(mut self, options: IoOptions) -> Self {
        self.0.io = options;
        self
    }

    /// A folder on disk for rows of compressed matrices, packed. Epochs fill it, or
    /// [`prepare`](MappedCollection::prepare) beforehand; what it holds is not decoded again, in this
    /// process or another one. If files lie on servers, names and labels are kept there, too.
    ///
    /// By default, collections with files on servers have the folder of
    /// [`CacheOptions::of_user`], and others have none. `None` stands for no folder in any case.
    ///
    /// ```
    /// use mapped_collection::{CacheOptions, LoaderOptions, MappedCollection, Shuffle};
    /// # let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/demo/a.h5ad");
    /// # let scratch = tempfile::tempdir()?;
    /// # let (paths, folder) = ([demo], scratch.path().join("packs"));
    ///
    /// let cache = CacheOptions::new(folder).size(1 << 30);
    /// let cells = MappedCollection::builder(paths).cache(cache).open()?;
    /// for batch in cells.loader(LoaderOptions::new(512).shuffle(Shuffle::Exact))?.epoch(0) {
    ///     batch?;
    /// }
    /// assert_eq!(cells.cached().expect("a cache").fraction(), 1.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache(mut self, cache: impl Into<Option<CacheOptions>>) -> Self {
        self.0.cache = match cache.into() {
            Some(cache) => CacheChoice::Folder(cache),
            None => CacheChoice::Off,
        };
        self
    }

    /// The most bytes of the user's cache folder, if files on servers are kept there. With
    /// [`cache`](Self::cache), or without such files, it has no effect. Default: the size of
    /// [`CacheOptions::of_user`].
    pub fn user_cache_size(mut self, bytes: u64) -> Self {
        self.0.user_cache_size = Some(bytes);
        self
    }

    /// How files in buckets (`s3://`, `gs://`, `az://`) are reached: see [`StorageOptions`]. They hold
    /// for all files given to [`builder`](MappedCollection::builder); for a file with others, pass an
    /// [`AnnDataSource::with_storage`] there and leave this out.
    ///
    /// # Errors
    /// When a path is a URL of an unknown kind, or is empty.
    ///
    /// ```no_run
    /// use mapped_collection::{MappedCollection, StorageOptions};
    ///
    /// let public = StorageOptions::new([("skip_signature", "true"), ("region", "us-west-2")])?;
    /// let cells = MappedCollection::builder(["s3://bucket/cells.h5ad"])
    ///     .storage_options(&public)?
    ///     .open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "remote")]
    pub fn storage_options(mut self, storage: &StorageOptions) -> Result<Self, Error> {
        let sources = std::mem::take(&mut self.0.sources).into_iter();
        let sources = sources.map(|source| source.with_storage(storage));
        self.0.sources = sources.collect::<Result<_, _>>().map_err(OpenError::from)?;
        Ok(self)
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
