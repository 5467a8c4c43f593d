//! The obs columns of items and batches: their labels and encoders.

use std::path::{Path, PathBuf};

use anndata_io::{Codes, Column, ColumnRows, ColumnValues, DType, EncodedColumn};
use label_encoding::{Categories, Encoder, EncodingError, Label};

use crate::error::labels::LabelsError;
use crate::error::open::OpenError;
use crate::error::option::OptionError;
use crate::error::{Error, quoted};
use crate::label_values::labels_of;
use crate::options::{EncodeLabels, LabelMatch, Options, UnknownLabel};
use crate::plan::ahead::in_order;
use crate::plan::obs_source::ObsSource;
use crate::plan::{Plan, StorePlan};

/// An obs key of items and batches.
#[derive(Debug)]
pub(crate) struct ObsKey {
    pub(crate) name: String,
    /// Present when the key is encoded.
    pub(crate) encoder: Option<Encoder>,
    /// numpy's promotion over all stores; `None` when a store has text, or when no store has the
    /// column.
    pub(crate) dtype: Option<DType>,
}

/// A column of one store.
#[derive(Debug)]
pub(crate) enum ObsColumn {
    /// Categories in memory, and one code per row.
    Labels {
        /// `None` when they are texts that the encoder holds.
        categories: ColumnValues,
        codes: Codes,
        /// The code of each category in batches, when the key is encoded; `None` for a NaN.
        encoded: Vec<Option<i64>>,
        /// The codes, as in the file's [`Column`].
        dtype: Option<DType>,
        nullable: bool,
    },
    /// Values read on demand.
    Values(Column),
}

impl ObsColumn {
    /// The values of rows of the file. A missing value is not valid.
    ///
    /// # Errors
    /// When the column cannot be read.
    pub(crate) fn read(&self, rows: &[u64]) -> Result<ColumnRows, anndata_io::Error> {
        match self {
            ObsColumn::Labels {
                categories, codes, ..
            } => {
                let codes = rows.iter().map(|&row| codes.get(row as usize));
                Ok(ColumnRows::of_codes(categories, codes))
            }
            ObsColumn::Values(column) => column.read_rows(rows),
        }
    }

    /// The code of a row of the file when the key is encoded; `None` where its label is missing.
    #[inline]
    pub(crate) fn code(&self, row: u32) -> Option<i64> {
        match self {
            ObsColumn::Labels { codes, encoded, .. } => encoded[codes.get(row as usize)? as usize],
            ObsColumn::Values(_) => None,
        }
    }

    /// Keeps a column that was read.
    pub(crate) fn labels(column: &ObsSource, labels: EncodedColumn) -> ObsColumn {
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
                ColumnValues::Numbers(numbers) => Some(numbers.dtype()),
                ColumnValues::Texts(_) => None,
            },
            ObsColumn::Values(column) => column.dtype(),
        }
    }
}

impl Plan {
    /// Whether a store has an obs key.
    pub(crate) fn has_column(&self, number: usize) -> bool {
        let mut stores = self.stores.iter();
        stores.any(|store| store.columns[number].is_some())
    }

    /// The encoders of the keys that a store has.
    pub(crate) fn found_encoders(&self) -> Vec<(&str, &Encoder)> {
        let encoders = self.obs.iter().enumerate().filter_map(|(number, key)| {
            let encoder = key.encoder.as_ref()?;
            self.has_column(number).then_some((&*key.name, encoder))
        });
        encoders.collect()
    }
}

/// The obs keys to encode, unless they turn out to be floats.
pub(crate) fn encoded_keys(options: &Options) -> Result<Vec<String>, OptionError> {
    let encoded = match &options.encode_labels {
        EncodeLabels::All => options.obs_keys.clone(),
        EncodeLabels::Keys(keys) => {
            if let Some(key) = keys.iter().find(|key| !options.obs_keys.contains(key)) {
                let found = format!("{key:?}");
                return Err(OptionError::new(
                    "encode_labels",
                    "keys that are in .obs([..])",
                    found,
                ));
            }
            keys.clone()
        }
    };
    if let UnknownLabel::Keys(keys) = &options.unknown_label
        && !encoded.is_empty()
        && let Some((key, _)) = keys.iter().find(|(key, _)| !encoded.contains(key))
    {
        let found = format!("{key:?}");
        return Err(OptionError::new(
            "unknown_label",
            "keys that are in .obs([..]) and encoded",
            found,
        ));
    }
    Ok(encoded)
}

/// Checks that every key has elements to try, and that the label maps belong to keys that are read.
pub(crate) fn check_keys(options: &Options) -> Result<(), OptionError> {
    let layers = options
        .layers_from
        .iter()
        .map(|(key, from)| ("layers", key, from.keys()));
    let obs = options
        .obs_from
        .iter()
        .map(|(key, columns)| ("obs", key, columns.as_slice()));
    if let Some((option, key, _)) = layers.chain(obs).find(|(_, _, from)| from.is_empty()) {
        let expected = format!("at least one element to take {key:?} from");
        return Err(OptionError::new(option, expected, "none"));
    }
    let is_known = |key: &String| {
        options.obs_keys.contains(key) || options.obs_filter.keys().any(|known| known == key)
    };
    let mut keys = options.label_maps.iter().map(|(key, _)| key);
    match keys.find(|key| !is_known(key)) {
        None => Ok(()),
        Some(key) => {
            let known = options.obs_keys.iter().chain(options.obs_filter.keys());
            let expected = format!("obs keys, or columns of the filter ({})", quoted(known));
            Err(OptionError::new("label_map", expected, format!("{key:?}")))
        }
    }
}

/// Makes the encoders, and keeps the parts of each store's columns that items need.
pub(crate) fn open_columns(
    options: &Options,
    encoded: &[String],
    files: &[PathBuf],
    mut columns: Vec<Vec<Option<ObsSource>>>,
    stores: &mut [StorePlan],
    n_threads: usize,
) -> Result<Vec<ObsKey>, Error> {
    let mut keys = Vec::with_capacity(options.obs_keys.len());
    for (number, name) in options.obs_keys.iter().enumerate() {
        let of_key: Vec<Option<ObsSource>> = columns
            .iter_mut()
            .map(|columns| columns[number].take())
            .collect();
        let types: Option<Vec<DType>> = of_key.iter().flatten().map(ObsSource::dtype).collect();
        let dtype = types.and_then(|types| types.into_iter().reduce(DType::promote));
        let plain_float = |column: &ObsSource| {
            !column.is_categorical() && column.dtype().is_some_and(DType::is_float)
        };
        let is_encoded = encoded.contains(name)
            && (options.encode_labels != EncodeLabels::All
                || !of_key.iter().flatten().any(plain_float));
        let mut merged = Vec::new();
        let mut store = 0;
        let read = |column: &Option<ObsSource>| match column {
            None => Ok(None),
            Some(source) if is_encoded || source.is_categorical() => {
                let labels = source.read_labels()?;
                let merged = is_encoded.then(|| labels_of(&labels.categories));
                Ok::<_, OpenError>(Some((ObsColumn::labels(source, labels), merged)))
            }
            Some(source) => Ok(source
                .as_column()
                .map(|column| (ObsColumn::Values(column.clone()), None))),
        };
        in_order(&of_key, n_threads, read, |read| {
            let (column, labels) = read?.unzip();
            stores[store].columns.push(column);
            merged.extend(labels.flatten().map(|labels| (store, labels)));
            store += 1;
            Ok::<_, Error>(())
        })?;
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
                // The encoder holds them, but numbers only by value.
                if let ColumnValues::Texts(texts) = categories {
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
) -> Result<Categories, LabelsError> {
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
            LabelsError::Mixed {
                key: key.to_owned(),
                files: Box::new((file(first_store), file(second_store))),
                kinds: Box::new((first_kind.to_string(), second_kind.to_string())),
            }
        }
        source => LabelsError::Encoding {
            key: key.to_owned(),
            source: Box::new(source),
        },
    })
}

fn encoder(options: &Options, key: &str, categories: Categories) -> Encoder {
    let unknown = match options.unknown_label.of(key) {
        None => None,
        Some(LabelMatch::Exact(label)) => Some(label.clone()),
        Some(LabelMatch::Text(text)) => categories.find_text(text).cloned(),
    };
    Encoder::new(categories, unknown.as_ref())
}
