//! What a collection knows of its stores once it is open: never changed, shared by all clones.

pub(crate) mod filter;
pub(crate) mod labels;
pub(crate) mod names;
pub(crate) mod unmatched;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anndata_io::{
    AnnDataFile, AnnDataSource, Codes, Column, DType, IoContext, LabelColumn, LayerKey,
    MatrixSource, Values1d, nearest_name,
};
use feature_join::{Join, JoinError, JointVars, VarMap, VarNames};
use label_encoding::{Categories, Encoder, EncodingError, Label};

use crate::builder::{Builder, EncodeLabels, LabelMatch, UnknownLabel};
use crate::error::Error;
use crate::plan::filter::{ObsFilter, Seen};
use crate::plan::labels::{KeptRows, labels_of};
use crate::plan::unmatched::UnmatchedLabel;

/// One store of a collection.
#[derive(Debug)]
pub(crate) struct StorePlan {
    pub(crate) file: PathBuf,
    /// Rows of the file, before the filter.
    pub(crate) n_file_obs: u32,
    pub(crate) n_vars: u64,
    pub(crate) rows: Rows,
    /// One for each matrix key of the plan; `None` where the store lacks it.
    pub(crate) matrices: Vec<Option<MatrixSource>>,
    /// One for each obs key of the plan.
    pub(crate) columns: Vec<Option<ObsColumn>>,
    /// One for each column that the filter names.
    pub(crate) filter_columns: Vec<Option<ObsColumn>>,
}

/// The rows of a store that passed the filter.
#[derive(Debug)]
pub(crate) enum Rows {
    All(u32),
    Some(Vec<u32>),
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match self {
            Rows::All(n) => *n as usize,
            Rows::Some(rows) => rows.len(),
        }
    }

    /// Row in the file of kept row `index`.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> u32 {
        match self {
            Rows::All(_) => index as u32,
            Rows::Some(rows) => rows[index],
        }
    }

    pub(crate) fn as_kept(&self) -> KeptRows<'_> {
        match self {
            Rows::All(n) => KeptRows::All(*n as usize),
            Rows::Some(rows) => KeptRows::Some(rows),
        }
    }
}

/// A column of one store.
#[derive(Debug)]
pub(crate) enum ObsColumn {
    /// Categories in memory, and a code a row.
    Labels {
        /// None when they are texts that the encoder has.
        categories: Values1d,
        codes: Codes,
        /// The code of each category in batches, when the key is encoded; `None` for a NaN.
        encoded: Vec<Option<i64>>,
        /// As the file's [`Column`] has them.
        dtype: Option<DType>,
        nullable: bool,
    },
    /// Values read on demand.
    Values(Column),
}

impl ObsColumn {
    /// What was read of a column.
    pub(crate) fn labels(column: &Column, labels: LabelColumn) -> ObsColumn {
        ObsColumn::Labels {
            categories: labels.categories,
            codes: labels.codes,
            encoded: Vec::new(),
            dtype: column.dtype(),
            nullable: column.is_nullable(),
        }
    }

    /// The type of its values when they are not encoded; `None` for texts.
    pub(crate) fn dtype(&self) -> Option<DType> {
        match self {
            ObsColumn::Labels { categories, .. } => match categories {
                Values1d::Numbers(numbers) => Some(numbers.dtype()),
                Values1d::Texts(_) => None,
            },
            ObsColumn::Values(column) => column.dtype(),
        }
    }
}

/// A matrix of items and batches.
#[derive(Debug)]
pub(crate) struct MatrixKey {
    /// Its name in items: `X`, `raw.X`, a layer, or `obsm_` and a name.
    pub(crate) name: String,
    /// Whether the join applies to it.
    pub(crate) joined: bool,
    /// numpy's promotion over all stores; `None` when no store has it.
    pub(crate) dtype: Option<DType>,
}

/// An obs key of items and batches.
#[derive(Debug)]
pub(crate) struct ObsKey {
    pub(crate) name: String,
    /// Present when the key is encoded.
    pub(crate) encoder: Option<Encoder>,
    /// numpy's promotion over all stores; `None` when any has text, or none the column.
    pub(crate) dtype: Option<DType>,
}

/// A key that no store has: it is left out of every item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKey {
    /// `layers`, `obsm` or `obs`.
    pub group: &'static str,
    /// The key that was asked for.
    pub key: String,
    /// An existing key that resembles it.
    pub nearest: Option<String>,
}

/// An opened collection, all but its files.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stores: Vec<StorePlan>,
    /// Where each store's rows begin; one more at the end.
    pub(crate) starts: Vec<usize>,
    pub(crate) matrices: Vec<MatrixKey>,
    pub(crate) obs: Vec<ObsKey>,
    pub(crate) var_names: Option<Vec<Arc<VarNames>>>,
    pub(crate) joint: Option<JointVars>,
    pub(crate) missing_keys: Vec<MissingKey>,
    /// Whether batches can be made: an error where two entries would have one name.
    pub(crate) batch_names: Result<(), Error>,
    pub(crate) unmatched_labels: Vec<UnmatchedLabel>,
}

impl Plan {
    /// The numbers of the stores that have rows.
    pub(crate) fn stores_with_rows(&self) -> Vec<usize> {
        let stores = self.stores.iter().enumerate();
        let with_rows = stores.filter(|(_, store)| store.rows.len() > 0);
        with_rows.map(|(number, _)| number).collect()
    }

    pub(crate) fn open(options: &Builder, context: &IoContext) -> Result<Plan, Error> {
        let encoded = encoded_keys(options)?;
        let layers: Vec<LayerKey> = options
            .layers_keys
            .iter()
            .map(|key| LayerKey::from(key.as_str()))
            .collect();
        let mut stores = Vec::with_capacity(options.sources.len());
        let mut columns = Vec::with_capacity(options.sources.len());
        let mut names = SharedNames::default();
        let mut var_names = Vec::with_capacity(options.sources.len());
        let filter = options.obs_filter.as_ref();
        let mut filtered = filter.map(ObsFilter::unseen).unwrap_or_default();
        for source in &options.sources {
            let file = source.open(context)?;
            let n_obs = u32::try_from(file.n_obs()).map_err(|_| Error::TooManyRows {
                file: file.path().into(),
                n_obs: file.n_obs(),
            })?;
            let (rows, filter_columns) = match filter {
                None => (Rows::All(n_obs), Vec::new()),
                Some(filter) => {
                    let (rows, columns) = filter.rows(&file, &mut filtered)?;
                    (Rows::Some(rows), columns)
                }
            };
            if options.join.is_some() {
                var_names.push(names.share(&file)?);
            }
            let mut matrices = Vec::with_capacity(layers.len() + options.obsm_keys.len());
            for key in &layers {
                matrices.push(file.layer(key)?);
            }
            for key in &options.obsm_keys {
                matrices.push(file.obsm(key)?);
            }
            let store_columns = options.obs_keys.iter().map(|key| file.obs_column(key));
            columns.push(store_columns.collect::<Result<Vec<_>, _>>()?);
            stores.push(StorePlan {
                file: file.path().to_owned(),
                n_file_obs: n_obs,
                n_vars: file.n_vars(),
                rows,
                matrices,
                columns: Vec::new(),
                filter_columns,
            });
        }
        let files: Vec<PathBuf> = stores.iter().map(|store| store.file.clone()).collect();
        let joint = match options.join {
            None => None,
            Some(join) => Some(join_vars(join, &var_names, &files)?),
        };
        let obs = open_columns(options, &encoded, &files, columns, &mut stores)?;
        let mut starts = vec![0];
        for store in &stores {
            starts.push(starts.last().expect("never empty") + store.rows.len());
        }
        let mut plan = Plan {
            matrices: matrix_keys(options, &layers, &stores),
            stores,
            starts,
            obs,
            var_names: options.join.is_some().then_some(var_names),
            joint,
            missing_keys: Vec::new(),
            batch_names: Ok(()),
            unmatched_labels: filter.map_or_else(Vec::new, |filter| filter.unmatched(&filtered)),
        };
        plan.batch_names = plan.find_same_name();
        plan.missing_keys = plan.find_missing(options, context, &filtered)?;
        let unknown = unmatched::unknown_labels(&options.unknown_label, &plan.found_encoders());
        plan.unmatched_labels.extend(unknown);
        unmatched::warn(&plan.unmatched_labels);
        Ok(plan)
    }

    pub(crate) fn n_obs(&self) -> usize {
        *self.starts.last().expect("never empty")
    }

    /// Store and row in its file of a row of the collection.
    #[inline]
    pub(crate) fn locate(&self, index: usize) -> (usize, u32) {
        let store = self.starts.partition_point(|&start| start <= index) - 1;
        (
            store,
            self.stores[store].rows.get(index - self.starts[store]),
        )
    }

    /// How the columns of a matrix of one store move; `None` when they stay where they are.
    pub(crate) fn var_map(&self, store: usize, key: &MatrixKey) -> Option<&VarMap> {
        let joint = self
            .joint
            .as_ref()
            .filter(|joint| key.joined && joint.effective().is_some())?;
        Some(&*joint.maps()[store]).filter(|map| !map.is_identity())
    }

    /// Shape of one row of a matrix of one store, after the join.
    pub(crate) fn row_shape(
        &self,
        store: usize,
        key: &MatrixKey,
        source: &MatrixSource,
    ) -> Vec<usize> {
        match self.var_map(store, key) {
            Some(map) => vec![map.n_joint()],
            None => source.shape()[1..]
                .iter()
                .map(|&extent| extent as usize)
                .collect(),
        }
    }

    /// The encoders of the keys that a store has.
    fn found_encoders(&self) -> Vec<(&str, &Encoder)> {
        let encoders = self.obs.iter().enumerate().filter_map(|(number, key)| {
            let mut columns = self.stores.iter().map(|store| &store.columns[number]);
            let encoder = key.encoder.as_ref()?;
            columns
                .any(Option::is_some)
                .then_some((&*key.name, encoder))
        });
        encoders.collect()
    }

    /// The keys that no store has: of the options, and of the filter, where a misspelt one would
    /// leave no row without a word.
    fn find_missing(
        &self,
        options: &Builder,
        context: &IoContext,
        filtered: &[Seen],
    ) -> Result<Vec<MissingKey>, Error> {
        let mut wanted: Vec<(&'static str, &String)> = Vec::new();
        let layers = options.layers_keys.iter().map(|key| ("layers", key));
        let names = layers.chain(options.obsm_keys.iter().map(|key| ("obsm", key)));
        for (number, key) in names.enumerate() {
            if self
                .stores
                .iter()
                .all(|store| store.matrices[number].is_none())
            {
                wanted.push(key);
            }
        }
        for (number, key) in options.obs_keys.iter().enumerate() {
            if self
                .stores
                .iter()
                .all(|store| store.columns[number].is_none())
            {
                wanted.push(("obs", key));
            }
        }
        let filter_keys = options.obs_filter.iter().flat_map(ObsFilter::keys);
        for (key, _) in filter_keys.zip(filtered).filter(|(_, seen)| !seen.column) {
            if !wanted.contains(&("obs", key)) {
                wanted.push(("obs", key));
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut existing: HashSet<(&str, String)> = HashSet::new();
        for source in &options.sources {
            let file = source.open(context)?;
            existing.extend(
                file.layers_keys()?
                    .iter()
                    .map(|key| ("layers", key.to_string())),
            );
            existing.extend(file.obsm_keys()?.into_iter().map(|key| ("obsm", key)));
            existing.extend(file.obs_keys()?.into_iter().map(|key| ("obs", key)));
        }
        let missing = wanted.into_iter().map(|(group, key)| {
            let names = existing.iter().filter(|(name, _)| *name == group);
            let nearest = nearest_name(key, names.map(|(_, name)| name.as_str()));
            match &nearest {
                Some(name) => {
                    tracing::warn!("no store has {group} key {key:?}: did you mean {name:?}?")
                }
                None => tracing::warn!("no store has {group} key {key:?}"),
            }
            MissingKey {
                group,
                key: key.clone(),
                nearest,
            }
        });
        Ok(missing.collect())
    }
}

/// The obs keys that are to be encoded, unless they turn out to be floats.
fn encoded_keys(options: &Builder) -> Result<Vec<String>, Error> {
    let encoded = match &options.encode_labels {
        EncodeLabels::All => options.obs_keys.clone(),
        EncodeLabels::Keys(keys) => {
            if let Some(key) = keys.iter().find(|key| !options.obs_keys.contains(key)) {
                return Err(Error::EncodeLabels { key: key.clone() });
            }
            keys.clone()
        }
    };
    if let UnknownLabel::Keys(keys) = &options.unknown_label
        && !encoded.is_empty()
        && let Some((key, _)) = keys.iter().find(|(key, _)| !encoded.contains(key))
    {
        return Err(Error::UnknownLabel { key: key.clone() });
    }
    Ok(encoded)
}

/// Lists of names that are equal are kept once.
#[derive(Default)]
struct SharedNames(HashSet<Arc<VarNames>>);

impl SharedNames {
    fn share(&mut self, file: &AnnDataFile) -> Result<Arc<VarNames>, Error> {
        let names: VarNames = file.var_names()?.iter().collect();
        if let Some(known) = self.0.get(&names) {
            return Ok(known.clone());
        }
        let names = Arc::new(names);
        self.0.insert(names.clone());
        Ok(names)
    }
}

/// The var names of every store, equal lists once.
pub(crate) fn read_var_names(
    sources: &[AnnDataSource],
    context: &IoContext,
) -> Result<Vec<Arc<VarNames>>, Error> {
    let mut names = SharedNames::default();
    sources
        .iter()
        .map(|source| names.share(&source.open(context)?))
        .collect()
}

fn join_vars(join: Join, names: &[Arc<VarNames>], files: &[PathBuf]) -> Result<JointVars, Error> {
    JointVars::new(Some(join), names).map_err(|error| match error {
        JoinError::DuplicateName { store, name } => Error::DuplicateVariable {
            file: files[store].clone(),
            name,
        },
        error => Error::Join(error),
    })
}

fn matrix_keys(options: &Builder, layers: &[LayerKey], stores: &[StorePlan]) -> Vec<MatrixKey> {
    let layers = layers
        .iter()
        .map(|key| (key.to_string(), *key != LayerKey::RawX));
    let obsm = options
        .obsm_keys
        .iter()
        .map(|key| (format!("obsm_{key}"), false));
    let keys = layers
        .chain(obsm)
        .enumerate()
        .map(|(number, (name, joined))| {
            let types = stores
                .iter()
                .filter_map(|store| Some(store.matrices[number].as_ref()?.dtype()));
            let dtype = types
                .reduce(DType::promote)
                .map(|dtype| options.dtype.unwrap_or(dtype));
            MatrixKey {
                name,
                joined,
                dtype,
            }
        });
    keys.collect()
}

/// Makes the encoders, and keeps of each store's columns what items need.
fn open_columns(
    options: &Builder,
    encoded: &[String],
    files: &[PathBuf],
    mut columns: Vec<Vec<Option<Column>>>,
    stores: &mut [StorePlan],
) -> Result<Vec<ObsKey>, Error> {
    let mut keys = Vec::with_capacity(options.obs_keys.len());
    for (number, name) in options.obs_keys.iter().enumerate() {
        let of_key: Vec<Option<Column>> = columns
            .iter_mut()
            .map(|columns| columns[number].take())
            .collect();
        let types: Option<Vec<DType>> = of_key.iter().flatten().map(Column::dtype).collect();
        let dtype = types.and_then(|types| types.into_iter().reduce(DType::promote));
        let plain_float = |column: &Column| {
            !column.is_categorical() && column.dtype().is_some_and(DType::is_float)
        };
        let is_encoded = encoded.contains(name)
            && (options.encode_labels != EncodeLabels::All
                || !of_key.iter().flatten().any(plain_float));
        let mut merged = Vec::new();
        for (store, column) in of_key.into_iter().enumerate() {
            stores[store].columns.push(match column {
                None => None,
                Some(column) if is_encoded || column.is_categorical() => {
                    let labels = column.read_labels()?;
                    if is_encoded {
                        merged.push((store, labels_of(&labels.categories)));
                    }
                    Some(ObsColumn::labels(&column, labels))
                }
                Some(column) => Some(ObsColumn::Values(column)),
            });
        }
        let encoder = if is_encoded {
            let categories = merge_categories(name, files, &merged)?;
            Some(encoder(options, name, categories))
        } else {
            None
        };
        if let Some(encoder) = &encoder {
            let lookup = encoder.lookup();
            for (store, labels) in &merged {
                let Some(Some(ObsColumn::Labels {
                    categories,
                    encoded,
                    ..
                })) = stores[*store].columns.get_mut(number)
                else {
                    continue;
                };
                let code = |label: &Option<Label>| lookup.encode(label.as_ref()?);
                *encoded = labels.iter().map(code).collect();
                // The encoder has them, if only by value where they are numbers.
                if let Values1d::Texts(texts) = categories {
                    *texts = Default::default();
                }
            }
        }
        keys.push(ObsKey {
            name: name.clone(),
            encoder,
            dtype,
        });
    }
    Ok(keys)
}

/// The sorted union of the labels of the stores that have a key.
pub(crate) fn merge_categories(
    key: &str,
    files: &[impl AsRef<Path>],
    stores: &[(usize, Vec<Option<Label>>)],
) -> Result<Categories, Error> {
    let labels: Vec<(usize, Vec<Label>)> = stores
        .iter()
        .map(|(store, labels)| (*store, labels.iter().flatten().cloned().collect()))
        .collect();
    Categories::merge(&labels).map_err(|error| match error {
        EncodingError::MixedKinds {
            first_store,
            first_kind,
            second_store,
            second_kind,
        } => {
            let file = |store: usize| files[store].as_ref().to_owned();
            Error::MixedLabels {
                key: key.to_owned(),
                files: Box::new((file(first_store), file(second_store))),
                kinds: Box::new((first_kind.to_string(), second_kind.to_string())),
            }
        }
        source => Error::Labels {
            key: key.to_owned(),
            source: Box::new(source),
        },
    })
}

fn encoder(options: &Builder, key: &str, categories: Categories) -> Encoder {
    let wanted = match &options.unknown_label {
        UnknownLabel::None => None,
        UnknownLabel::All(label) => Some(label),
        UnknownLabel::Keys(keys) => keys
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, label)| label),
    };
    let unknown = match wanted {
        None => None,
        Some(LabelMatch::Exact(label)) => Some(label.clone()),
        Some(LabelMatch::Text(text)) => categories.find_text(text).cloned(),
    };
    Encoder::new(categories, unknown.as_ref())
}
