//! The obs columns of a batch.

use anndata_io::{ColumnRows, ColumnValues, DType, Scalar, Values, with_dtype};

use crate::batch::slots::BatchSlots;
use crate::error::read::ReadError;
use crate::label_values::number_label;
use crate::plan::Plan;
use crate::plan::location::RowLocation;

/// An obs column of a batch. Rows of a store without the column are missing.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive: a caller that converts every kind should fail to compile when one is added.
pub enum BatchColumn {
    /// Encoded labels: `[n_obs] i64`.
    Codes(Vec<i64>),
    /// Numbers or booleans.
    Numbers {
        /// `[n_obs]`, unspecified where a value is missing.
        values: Values,
        /// Whether each row has a value: `[n_obs]`. A NaN of a float column is a value.
        valid: Vec<bool>,
    },
    /// Texts; `None` where missing.
    Texts(Vec<Option<String>>),
}

/// Reads an obs column of the rows of a batch.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read_column(
    plan: &Plan,
    number: usize,
    batch: &BatchSlots,
) -> Result<BatchColumn, ReadError> {
    let column = |store: usize| plan.stores[store].columns[number].as_ref();
    if plan.obs[number].encoder.is_some() {
        let code = |row: &RowLocation| column(row.store).and_then(|column| column.code(row.row));
        let codes = batch.located.iter().map(code);
        let missing = batch.form.missing_code;
        let codes = codes.map(|code| code.unwrap_or(missing)).collect();
        return Ok(BatchColumn::Codes(codes));
    }
    let mut order: Vec<usize> = (0..batch.n_rows()).collect();
    let located = &batch.located;
    order.sort_by_key(|&row| located[row]);
    let mut parts = Vec::new();
    for targets in order.chunk_by(|&a, &b| located[a].store == located[b].store) {
        let store = located[targets[0]].store;
        if let Some(column) = column(store) {
            let rows = targets.iter().map(|&row| located[row].row.into());
            let read = column.read(&rows.collect::<Vec<u64>>());
            let read = read.map_err(|error| ReadError::file(store, error))?;
            parts.push((read, targets));
        }
    }
    Ok(gather(batch.n_rows(), plan.obs[number].dtype, &parts))
}

/// The values of rows of several stores, each in its place.
fn gather(n_rows: usize, dtype: Option<DType>, parts: &[(ColumnRows, &[usize])]) -> BatchColumn {
    match dtype {
        Some(dtype) => {
            let mut valid = vec![false; n_rows];
            let values = with_dtype!(dtype, T => {
                let mut out = vec![T::default(); n_rows];
                for (part, targets) in parts {
                    let ColumnValues::Numbers(numbers) = &part.values else { continue };
                    let numbers = numbers.as_slice().to_vec::<T>();
                    for (i, &target) in targets.iter().enumerate() {
                        out[target] = numbers[i];
                        valid[target] = part.is_valid(i);
                    }
                }
                T::into_values(out)
            });
            BatchColumn::Numbers { values, valid }
        }
        None => {
            let mut texts = vec![None; n_rows];
            for (part, targets) in parts {
                for (i, &target) in targets
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| part.is_valid(*i))
                {
                    texts[target] = text_at(&part.values, i);
                }
            }
            BatchColumn::Texts(texts)
        }
    }
}

/// A value as text. When stores differ, a column mixes numbers and texts.
fn text_at(values: &ColumnValues, index: usize) -> Option<String> {
    match values {
        ColumnValues::Texts(texts) => texts.get(index).map(str::to_owned),
        ColumnValues::Numbers(numbers) => {
            number_label(numbers.as_slice(), index).map(|label| label.to_string())
        }
    }
}
