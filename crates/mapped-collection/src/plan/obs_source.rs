//! A column of obs as the options name it: from the first of several that a file has, its labels
//! replaced by a map.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anndata_io::{Codes, Column, ColumnValues, DType, EncodedColumn, Error, ErrorKind};
use label_encoding::Label;

use crate::error::labels::UnmatchedLabel;
use crate::label_values::{labels_of, plain_text};
use crate::options::{LabelMatch, LabelPairs, NewLabel, Options, Unmapped};
use crate::plan::obs_table::StoreObs;
use crate::plan::unmatched::{Candidates, unmatched};

/// The column of one store for a key.
#[derive(Debug, Clone)]
pub(crate) struct ObsSource {
    column: Column,
    /// The column's own name.
    pub(crate) name: String,
    map: Option<LabelMap>,
}

/// New labels for old ones, and where they come from.
#[derive(Debug, Clone)]
struct LabelMap {
    pairs: Arc<LabelPairs>,
    unmapped: Unmapped,
    file: PathBuf,
    element: String,
}

/// The most labels of one column that are remembered for warnings.
const MOST_SEEN: usize = 10_000;

fn lock(seen: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The labels of the maps that no file has, each with the nearest that one has.
pub(crate) fn unmatched_maps(options: &Options) -> Vec<UnmatchedLabel> {
    let mut found = Vec::new();
    for (key, map) in &options.label_maps {
        let seen = lock(&map.seen);
        // If no file has a column for the key, it is one of the missing keys.
        if seen.is_empty() {
            continue;
        }
        let mut candidates = Candidates::default();
        let labels: Vec<Label> = seen.iter().map(|text| Label::from(text.as_str())).collect();
        candidates.add(labels.iter());
        let absent = map.old.difference(&seen);
        let absent: Vec<LabelMatch> = absent.map(|old| LabelMatch::Text(old.clone())).collect();
        found.extend(unmatched(
            "label_map",
            Some(key),
            absent.iter(),
            &candidates,
        ));
    }
    found
}

impl Options {
    /// The columns of a key, in the order in which they are tried.
    pub(crate) fn columns_of<'a>(&'a self, key: &'a String) -> &'a [String] {
        let from = self.obs_from.iter().find(|(name, _)| name == key);
        from.map_or(std::slice::from_ref(key), |(_, columns)| columns)
    }
}

impl ObsSource {
    /// Opens the first column of a key that the store has; `None` without one.
    ///
    /// # Errors
    /// When the column cannot be read.
    pub(crate) fn open(obs: &StoreObs<'_>, key: &String) -> Result<Option<ObsSource>, Error> {
        let options = obs.options;
        let map = options.label_maps.iter().find(|(name, _)| name == key);
        for name in options.columns_of(key) {
            if let Some(column) = obs.column(name)? {
                return Ok(Some(ObsSource {
                    column,
                    name: name.clone(),
                    map: map.map(|(_, pairs)| LabelMap {
                        pairs: pairs.clone(),
                        unmapped: options.unmapped,
                        file: obs.file.path().into(),
                        element: obs.element(name),
                    }),
                }));
            }
        }
        Ok(None)
    }

    /// The column, if its labels stay as they are.
    pub(crate) fn as_column(&self) -> Option<&Column> {
        self.map.is_none().then_some(&self.column)
    }

    /// The type of its values; `None` for texts. Labels of a map are texts.
    pub(crate) fn dtype(&self) -> Option<DType> {
        self.as_column()?.dtype()
    }

    /// Whether its values have a mask.
    pub(crate) fn is_nullable(&self) -> bool {
        self.as_column().is_some_and(Column::is_nullable)
    }

    /// Whether its labels are kept in memory.
    pub(crate) fn is_categorical(&self) -> bool {
        self.as_column().is_none_or(Column::is_categorical)
    }

    /// Reads its labels.
    ///
    /// # Errors
    /// When they cannot be read, or the map does not mention one and must.
    pub(crate) fn read_labels(&self) -> Result<EncodedColumn, Error> {
        let labels = self.column.read_labels()?;
        match &self.map {
            None => Ok(labels),
            Some(map) => map.apply(&labels),
        }
    }
}

impl LabelMap {
    fn apply(&self, labels: &EncodedColumn) -> Result<EncodedColumn, Error> {
        let mut used = vec![None; labels.categories.len()];
        for row in 0..labels.codes.len() {
            if let Some(code) = labels.codes.get(row) {
                used[code as usize].get_or_insert(row);
            }
        }
        let labels_there = labels_of(&labels.categories).into_iter();
        let old: Vec<Option<String>> = labels_there
            .map(|label| label.as_ref().map(plain_text))
            .collect();
        lock(&self.pairs.seen).extend(old.iter().flatten().take(MOST_SEEN).cloned());
        let mut texts: Vec<String> = Vec::new();
        let mut known = HashMap::new();
        let mut table = Vec::with_capacity(used.len());
        for (old, row) in old.into_iter().zip(used) {
            let new = match old.map(|old| (self.pairs.get(&old), old)) {
                None | Some((Some(NewLabel::Missing), _)) => None,
                Some((Some(NewLabel::Text(new)), _)) => Some(new.clone()),
                Some((None, old)) => match (self.unmapped, row) {
                    (Unmapped::Keep, _) => Some(old),
                    (Unmapped::Missing, _) | (Unmapped::Error, None) => None,
                    (Unmapped::Error, Some(row)) => {
                        let kind = ErrorKind::Invalid {
                            expected: "labels that the label map mentions".to_owned(),
                            found: format!("{old:?} in row {row}"),
                        };
                        return Err(Error::new(&self.file, &*self.element, kind));
                    }
                },
            };
            table.push(new.map(|new| {
                *known.entry(new).or_insert_with_key(|new: &String| {
                    texts.push(new.clone());
                    texts.len() as u32 - 1
                })
            }));
        }
        let codes = (0..labels.codes.len()).map(|row| table[labels.codes.get(row)? as usize]);
        Ok(EncodedColumn {
            codes: Codes::new(texts.len(), codes),
            categories: ColumnValues::Texts(texts.iter().map(String::as_str).collect()),
        })
    }
}
