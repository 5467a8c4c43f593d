//! The labels of a collection's rows: listed, merged and counted.

use std::path::Path;

use anndata_io::nearest_name;
use label_encoding::{Categories, Label, LabelColumn, LabelWeights};

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::error::labels::LabelsError;
use crate::error::read::ReadError;
use crate::label_values::labels_of;
use crate::obs_table::ObsTable;
use crate::plan::StorePlan;
use crate::plan::labels::{MergedLabels, StoreLabels};
use crate::plan::obs::{ObsColumn, merge_categories};

/// How many rows have each code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeCounts {
    /// The codes that rows have, each with the number of its rows, in order of first appearance.
    pub counts: Vec<(i64, u64)>,
    /// The number of rows without a label.
    pub missing: u64,
}

impl MappedCollection {
    /// The labels of column `key` of every store, or an error if no store has it.
    fn labels(&self, key: &str) -> Result<Vec<Option<StoreLabels<'_>>>, Error> {
        self.plan().check_open()?;
        let plan = self.plan();
        let in_filter = plan.filter_keys.iter().position(|name| name == key);
        let in_obs = plan.obs.iter().position(|obs| obs.name == key);
        let encoder = in_obs.and_then(|number| plan.obs[number].encoder.as_ref());
        let store = |number: usize| -> Result<Option<StoreLabels<'_>>, ReadError> {
            let failed = |error| ReadError::file(number, error);
            let store = &plan.stores[number];
            let of_obs = in_obs.and_then(|key| store.columns[key].as_ref());
            let of_filter = in_filter.and_then(|key| store.filter_columns[key].as_ref());
            match (of_obs, of_filter) {
                (Some(ObsColumn::Values(_)) | None, Some(column)) => {
                    StoreLabels::of(column, None).map(Some).map_err(failed)
                }
                (Some(column), _) => StoreLabels::of(column, encoder).map(Some).map_err(failed),
                (None, None) if in_obs.is_some() || in_filter.is_some() => Ok(None),
                (None, None) => {
                    let column = plan.obs_column(number, key)?;
                    let labels = column.as_ref().map(StoreLabels::read);
                    labels.transpose().map_err(failed)
                }
            }
        };
        let stores: Vec<_> = (0..self.n_stores()).map(store).collect::<Result<_, _>>()?;
        match stores.iter().any(Option::is_some) {
            true => Ok(stores),
            false => Err(self.no_such_column(key).into()),
        }
    }

    fn no_such_column(&self, key: &str) -> LabelsError {
        let mut missing = self.missing_keys().iter();
        let known = missing
            .find(|missing| missing.group == "obs" && missing.key == key && missing.file.is_none());
        let nearest = match known {
            Some(missing) => missing.nearest.clone(),
            None => self.nearest_column(key),
        };
        LabelsError::NoSuchColumn {
            key: key.to_owned(),
            nearest,
        }
    }

    fn nearest_column(&self, key: &str) -> Option<String> {
        let stores = (0..self.n_stores()).filter_map(|store| self.plan().reopen(store).ok());
        let mut existing: Vec<String> = stores
            .filter_map(|file| file.obs_keys().ok())
            .flatten()
            .collect();
        let table = self.plan().table.iter().flat_map(ObsTable::column_names);
        existing.extend(table.map(str::to_owned));
        nearest_name(key, existing.iter().map(String::as_str))
    }

    /// The sorted union of the categories of obs column `key` over all stores. It includes
    /// categories without a row, and ignores the filter. `key` need not be one of the obs keys;
    /// [`merged_labels`](Self::merged_labels) says what is read in that case.
    ///
    /// # Errors
    /// When no store has the column, or one store has texts and another has numbers.
    pub fn merged_categories(&self, key: &str) -> Result<Categories, Error> {
        let stores = self.labels(key)?;
        let categories: Vec<(usize, Vec<Option<Label>>)> = stores
            .into_iter()
            .enumerate()
            .filter_map(|(number, store)| Some((number, labels_of(&store?.into_categories()))))
            .collect();
        let files: Vec<&Path> = self.names().collect();
        Ok(merge_categories(key, &files, &categories)?)
    }

    /// The label of every row: `[n_obs]`, missing for the rows of a store without the column.
    /// `key` need not be one of the obs keys.
    ///
    /// The labels of an encoded or categorical obs key are in memory. So are those of a filter
    /// column with up to 65,535 distinct labels. For these, no file is opened. For any other key,
    /// each call reads the column of every store.
    ///
    /// # Errors
    /// When no store has the column, or it cannot be read.
    pub fn merged_labels(&self, key: &str) -> Result<MergedLabels, Error> {
        let rows = self.plan().stores.iter().map(|store| &store.rows);
        Ok(MergedLabels::merge(
            self.labels(key)?.into_iter().zip(rows).collect(),
        ))
    }

    /// The merged labels of a key, equal ones once.
    ///
    /// # Errors
    /// As [`merged_labels`](Self::merged_labels).
    pub(crate) fn united_labels(&self, key: &str) -> Result<MergedLabels, Error> {
        Ok(self.merged_labels(key)?.united())
    }

    /// For each store, the number of its rows that passed the filter and have no row in the
    /// [`obs_table`](crate::MappedCollectionBuilder::obs_table): all labels of the table are missing
    /// there. `None` without a table.
    pub fn not_in_table(&self) -> Option<Vec<usize>> {
        self.plan().table.as_ref()?;
        let absent = |store: &StorePlan| {
            let rows = store.rows.iter();
            rows.filter(|&row| !store.table_rows.has(row)).count()
        };
        Some(self.plan().stores.iter().map(absent).collect())
    }

    /// Counts the labels of one key, or the combinations of several, over the rows that passed the
    /// filter. The result holds class weights: `1 / count`, or scaled. Labels come from memory
    /// where those of [`merged_labels`](Self::merged_labels) do.
    ///
    /// # Errors
    /// When there is no key, no store has one of the columns, or a column cannot be read.
    pub fn label_weights<S: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = S>,
    ) -> Result<LabelWeights, Error> {
        let keys: Vec<String> = keys
            .into_iter()
            .map(|key| key.as_ref().to_owned())
            .collect();
        let merged: Vec<MergedLabels> = keys
            .iter()
            .map(|key| self.merged_labels(key))
            .collect::<Result<_, _>>()?;
        let texts: Vec<Vec<String>> = merged
            .iter()
            .map(|merged| {
                merged
                    .labels()
                    .iter()
                    .map(|label| label.python_text().into_owned())
                    .collect()
            })
            .collect();
        let columns: Vec<LabelColumn<'_>> = merged
            .iter()
            .zip(&texts)
            .map(|(merged, texts)| LabelColumn {
                codes: merged.codes(),
                texts,
            })
            .collect();
        let failed = |source| LabelsError::Encoding {
            key: keys.join(", "),
            source: Box::new(source),
        };
        Ok(LabelWeights::count(self.n_obs(), &columns).map_err(failed)?)
    }

    /// Counts the codes of an encoded key over the rows that passed the filter; `None` when the key
    /// is not encoded. No file is read.
    pub fn code_counts(&self, key: &str) -> Option<CodeCounts> {
        let plan = self.plan();
        let number = plan.obs.iter().position(|obs| obs.name == key)?;
        let encoder = plan.obs[number].encoder.as_ref()?;
        // The unknown label, -1, comes first.
        let mut counts = vec![0; encoder.n_classes() + 1];
        let (mut order, mut missing) = (Vec::new(), 0);
        for store in &plan.stores {
            let Some(column) = &store.columns[number] else {
                missing += store.rows.len() as u64;
                continue;
            };
            for row in store.rows.iter() {
                let Some(code) = column.code(row) else {
                    missing += 1;
                    continue;
                };
                let count = &mut counts[(code + 1) as usize];
                if *count == 0 {
                    order.push(code);
                }
                *count += 1;
            }
        }
        let of = |code: i64| (code, counts[(code + 1) as usize]);
        Some(CodeCounts {
            counts: order.into_iter().map(of).collect(),
            missing,
        })
    }
}
