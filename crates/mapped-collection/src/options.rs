//! The options of a collection, as plain data. Nothing here opens a file.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use anndata_io::{AnnDataSource, CacheOptions, DType, IoOptions};
use feature_join::{Duplicates, Join, NameRule};
use label_encoding::Label;

use crate::genes::GeneList;
use crate::obs_table::ObsTable;
use crate::transform::Transform;

/// The options that a [builder](crate::MappedCollectionBuilder) collects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) sources: Vec<AnnDataSource>,
    pub(crate) layers_keys: Vec<String>,
    /// Where matrices come from, if not from the element of their name.
    pub(crate) layers_from: Vec<(String, FirstOf)>,
    /// The transforms of matrices.
    pub(crate) transforms: Vec<(String, Vec<Transform>)>,
    pub(crate) obs_keys: Vec<String>,
    /// The columns that are tried for obs keys, if they are not the column of the key's name. Each
    /// store uses the first that it has.
    pub(crate) obs_from: Vec<(String, Vec<String>)>,
    /// New labels for old ones, by key.
    pub(crate) label_maps: Vec<(String, Arc<LabelPairs>)>,
    pub(crate) unmapped: Unmapped,
    /// Columns of obs that are in no file.
    pub(crate) obs_table: Option<ObsTable>,
    pub(crate) obsm_keys: Vec<String>,
    pub(crate) obs_filter: ObsFilter,
    pub(crate) join: Option<Join>,
    pub(crate) genes: Option<GeneList>,
    pub(crate) min_overlap: f64,
    pub(crate) var_key: VarKey,
    pub(crate) name_rule: NameRule,
    pub(crate) duplicates: Duplicates,
    pub(crate) encode_labels: EncodeLabels,
    pub(crate) unknown_label: UnknownLabel,
    pub(crate) dtype: Option<DType>,
    pub(crate) io: IoOptions,
    pub(crate) cache: CacheChoice,
    pub(crate) user_cache_size: Option<u64>,
}

impl Options {
    pub(crate) fn new(sources: Vec<AnnDataSource>) -> Options {
        Options {
            sources,
            layers_keys: vec!["X".to_owned()],
            layers_from: Vec::new(),
            transforms: Vec::new(),
            obs_keys: Vec::new(),
            obs_from: Vec::new(),
            label_maps: Vec::new(),
            unmapped: Unmapped::default(),
            obs_table: None,
            obsm_keys: Vec::new(),
            obs_filter: ObsFilter::default(),
            join: Some(Join::Inner),
            genes: None,
            min_overlap: 0.5,
            var_key: VarKey::default(),
            name_rule: NameRule::default(),
            duplicates: Duplicates::default(),
            encode_labels: EncodeLabels::All,
            unknown_label: UnknownLabel::None,
            dtype: None,
            io: IoOptions::default(),
            cache: CacheChoice::default(),
            user_cache_size: None,
        }
    }
}

/// Where packed rows are kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum CacheChoice {
    /// In the cache of the user, if files lie on servers; otherwise nowhere.
    #[default]
    OfUser,
    Off,
    Folder(CacheOptions),
}

/// The texts of old labels, and the new labels.
#[derive(Debug)]
pub(crate) struct LabelPairs {
    /// The new labels are among the old ones, too, unless they have pairs of their own.
    pairs: HashMap<String, NewLabel>,
    /// The old labels as given.
    pub(crate) old: BTreeSet<String>,
    /// The labels that files have, for those of the map that no file has.
    pub(crate) seen: Mutex<BTreeSet<String>>,
}

impl PartialEq for LabelPairs {
    fn eq(&self, other: &Self) -> bool {
        (&self.pairs, &self.old) == (&other.pairs, &other.old)
    }
}

impl LabelPairs {
    pub(crate) fn new(given: HashMap<String, NewLabel>) -> LabelPairs {
        let old = given.keys().cloned().collect();
        let mut pairs = given.clone();
        for label in given.into_values() {
            if let NewLabel::Text(text) = &label {
                pairs.entry(text.clone()).or_insert(label);
            }
        }
        LabelPairs {
            pairs,
            old,
            seen: Mutex::default(),
        }
    }

    /// The new label of an old one; `None` if the map mentions it neither as an old nor as a new one.
    pub(crate) fn get(&self, old: &str) -> Option<&NewLabel> {
        self.pairs.get(old)
    }
}

/// A label of a [label map](crate::MappedCollectionBuilder::label_map).
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive: a label is there or it is not.
pub enum NewLabel {
    /// This text.
    Text(String),
    /// The label becomes missing.
    Missing,
}

impl From<&str> for NewLabel {
    fn from(text: &str) -> Self {
        NewLabel::Text(text.to_owned())
    }
}

impl From<String> for NewLabel {
    fn from(text: String) -> Self {
        NewLabel::Text(text)
    }
}

impl<T: Into<NewLabel>> From<Option<T>> for NewLabel {
    fn from(label: Option<T>) -> Self {
        label.map_or(NewLabel::Missing, Into::into)
    }
}

/// What happens to the labels that a [label map](crate::MappedCollectionBuilder::label_map) does not
/// mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unmapped {
    /// They are kept.
    #[default]
    Keep,
    /// They become missing.
    Missing,
    /// They are an error, unless no row of the file has them: those are left out. A new label needs no pair of its
    /// own.
    Error,
}

/// Matrices of a store, of which the first one that it has is read.
///
/// ```
/// use mapped_collection::FirstOf;
///
/// let counts = FirstOf::counts(["raw.X", "counts", "X"]);
/// assert_eq!(counts.keys(), ["raw.X", "counts", "X"]);
/// assert!(counts.are_counts());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstOf {
    keys: Vec<String>,
    counts: bool,
}

impl FirstOf {
    /// The first that exists of `X`, `raw.X` and layers with these names.
    pub fn new<S: Into<String>>(keys: impl IntoIterator<Item = S>) -> FirstOf {
        FirstOf {
            keys: distinct(keys),
            counts: false,
        }
    }

    /// As [`new`](Self::new), but the first that holds counts: whole numbers that are not negative.
    /// When a collection is opened, 16 rows decide, spread evenly over the file; a matrix that is stored
    /// by column is converted for that. When a row is read,
    /// all of its values are checked, and a row with other values is an error.
    pub fn counts<S: Into<String>>(keys: impl IntoIterator<Item = S>) -> FirstOf {
        FirstOf {
            keys: distinct(keys),
            counts: true,
        }
    }

    /// The names, each once, in order.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Whether they must hold counts.
    pub fn are_counts(&self) -> bool {
        self.counts
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for FirstOf {
    fn from(keys: [S; N]) -> Self {
        FirstOf::new(keys)
    }
}

/// The columns of var that hold the names to join by. Each store uses the first that it has. An
/// empty list stands for the index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VarKey {
    pub(crate) all: Vec<String>,
    /// Of single stores, by their numbers.
    pub(crate) of_store: Vec<(usize, Vec<String>)>,
}

impl VarKey {
    /// The columns of a store.
    pub(crate) fn of(&self, store: usize) -> &[String] {
        let own = self.of_store.iter().find(|(number, _)| *number == store);
        own.map_or(&self.all, |(_, keys)| keys)
    }
}

/// Which obs keys are encoded as integers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EncodeLabels {
    /// Every obs key except plain floating-point columns.
    #[default]
    All,
    /// These obs keys.
    Keys(Vec<String>),
}

impl From<bool> for EncodeLabels {
    /// All keys, or no key.
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
        EncodeLabels::Keys(distinct(keys))
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for EncodeLabels {
    fn from(keys: [S; N]) -> Self {
        EncodeLabels::Keys(distinct(keys))
    }
}

/// The label that is encoded as -1.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum UnknownLabel {
    /// There is no unknown label: every label is a class.
    #[default]
    None,
    /// One label for all encoded keys.
    All(LabelMatch),
    /// One label for each of these keys, which must be encoded.
    Keys(Vec<(String, LabelMatch)>),
}

impl UnknownLabel {
    /// The unknown label of a key.
    pub(crate) fn of(&self, key: &str) -> Option<&LabelMatch> {
        match self {
            UnknownLabel::None => None,
            UnknownLabel::All(label) => Some(label),
            UnknownLabel::Keys(keys) => keys
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, label)| label),
        }
    }
}

/// A label as the caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelMatch {
    /// This label, of this kind: the text `"2"` is not the number 2.
    Exact(Label),
    /// The label with this Python text, whatever its kind. For command lines.
    Text(String),
}

impl<L: Into<Label>> From<L> for LabelMatch {
    fn from(label: L) -> Self {
        LabelMatch::Exact(label.into())
    }
}

/// A label that a filter lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterValue {
    /// A missing label: NaN, None or NA, never the text `nan`.
    Missing,
    /// This label.
    Label(LabelMatch),
}

impl<L: Into<LabelMatch>> From<L> for FilterValue {
    fn from(label: L) -> Self {
        FilterValue::Label(label.into())
    }
}

/// The columns of a filter and the labels that they let through. A row must pass every column; one
/// of a column's values is enough. Without columns, every row passes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ObsFilter {
    pub(crate) columns: Vec<(String, Vec<FilterValue>)>,
}

impl ObsFilter {
    /// Adds values that column `key` lets through.
    pub(crate) fn allow(&mut self, key: String, values: impl Iterator<Item = FilterValue>) {
        match self.columns.iter_mut().find(|(name, _)| *name == key) {
            Some((_, allowed)) => allowed.extend(values),
            None => self.columns.push((key, values.collect())),
        }
    }

    /// The columns.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.columns.iter().map(|(key, _)| key)
    }
}

/// The keys, each once.
pub(crate) fn distinct<S: Into<String>>(keys: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for key in keys.into_iter().map(Into::into) {
        if !texts.contains(&key) {
            texts.push(key);
        }
    }
    texts
}
