//! The options of a builder, as they were set.

use anndata_io::{AnnDataSource, CacheOptions, DType, IoOptions};
use feature_join::{Duplicates, Join, NameRule};

use crate::builder::MappedCollectionBuilder;
use crate::genes::GeneList;
use crate::obs_table::ObsTable;
use crate::options::{CacheChoice, EncodeLabels, FilterValue, FirstOf, LabelMatch, Unmapped};
use crate::transform::Transform;

impl MappedCollectionBuilder {
    /// The files, in the order of their rows.
    pub fn get_sources(&self) -> &[AnnDataSource] {
        &self.0.sources
    }

    /// [`layers`](Self::layers) as set, each key once.
    pub fn get_layers(&self) -> &[String] {
        &self.0.layers_keys
    }

    /// Where a matrix of [`layers_from`](Self::layers_from) comes from.
    pub fn get_layer_from(&self, name: &str) -> Option<&FirstOf> {
        let mut layers = self.0.layers_from.iter();
        let found = layers.find(|(key, _)| key == name);
        found.map(|(_, from)| from)
    }

    /// [`obs`](Self::obs) as set, each key once.
    pub fn get_obs(&self) -> &[String] {
        &self.0.obs_keys
    }

    /// The columns that are tried for a key of obs.
    pub fn get_obs_from(&self, key: &str) -> Option<&[String]> {
        let mut keys = self.0.obs_from.iter();
        let found = keys.find(|(known, _)| known == key);
        found.map(|(_, columns)| columns.as_slice())
    }

    /// [`obs_table`](Self::obs_table) as set.
    pub fn get_obs_table(&self) -> Option<&ObsTable> {
        self.0.obs_table.as_ref()
    }

    /// [`unmapped`](Self::unmapped) as set.
    pub fn get_unmapped(&self) -> Unmapped {
        self.0.unmapped
    }

    /// [`obsm`](Self::obsm) as set, each key once.
    pub fn get_obsm(&self) -> &[String] {
        &self.0.obsm_keys
    }

    /// The columns of [`filter`](Self::filter) and the values that they let through.
    pub fn get_filter(&self) -> impl ExactSizeIterator<Item = (&str, &[FilterValue])> {
        let columns = self.0.obs_filter.columns.iter();
        columns.map(|(key, values)| (key.as_str(), values.as_slice()))
    }

    /// [`join`](Self::join) as set.
    pub fn get_join(&self) -> Option<Join> {
        self.0.join
    }

    /// [`genes`](Self::genes) as set.
    pub fn get_genes(&self) -> Option<&GeneList> {
        self.0.genes.as_ref()
    }

    /// [`min_overlap`](Self::min_overlap) as set.
    pub fn get_min_overlap(&self) -> f64 {
        self.0.min_overlap
    }

    /// The columns of [`var_key`](Self::var_key) and [`var_key_of`](Self::var_key_of) for a store.
    pub fn get_var_key(&self, store: usize) -> &[String] {
        self.0.var_key.of(store)
    }

    /// [`strip_version`](Self::strip_version) and [`aliases`](Self::aliases) as set.
    pub fn get_name_rule(&self) -> &NameRule {
        &self.0.name_rule
    }

    /// [`duplicates`](Self::duplicates) as set.
    pub fn get_duplicates(&self) -> Duplicates {
        self.0.duplicates
    }

    /// [`encode_labels`](Self::encode_labels) as set.
    pub fn get_encode_labels(&self) -> &EncodeLabels {
        &self.0.encode_labels
    }

    /// The label of `key` that is encoded as -1, if one is set.
    pub fn get_unknown_label(&self, key: &str) -> Option<&LabelMatch> {
        self.0.unknown_label.of(key)
    }

    /// [`dtype`](Self::dtype) as set.
    pub fn get_dtype(&self) -> Option<DType> {
        self.0.dtype
    }

    /// [`io`](Self::io) as set.
    pub fn get_io(&self) -> IoOptions {
        self.0.io
    }

    /// The folder of [`cache`](Self::cache), if one is set.
    pub fn get_cache(&self) -> Option<&CacheOptions> {
        match &self.0.cache {
            CacheChoice::Folder(cache) => Some(cache),
            CacheChoice::OfUser | CacheChoice::Off => None,
        }
    }

    /// [`user_cache_size`](Self::user_cache_size) as set.
    pub fn get_user_cache_size(&self) -> Option<u64> {
        self.0.user_cache_size
    }

    /// The [`transforms`](Self::transforms) of a matrix as set.
    pub fn get_transforms(&self, key: &str) -> &[Transform] {
        let mut of_keys = self.0.transforms.iter();
        of_keys
            .find(|(name, _)| name == key)
            .map_or(&[], |(_, transforms)| transforms)
    }
}
