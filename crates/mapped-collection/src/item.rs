//! One row, as a model sees it.

use anndata_io::{ColumnRows, ColumnValues, DType, NumericValue};

use crate::batch::fill::FillScratch;
use crate::batch::matrix::Matrix;
use crate::batch::row_writer::{DenseRow, RowWriter};
use crate::batch::transformed::Transformed;
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::location::RowLocation;

/// One row of a collection: named values, in lamindb's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The number of the store.
    pub store_idx: usize,
    /// The row in the store's file.
    pub row_idx: u32,
    entries: Vec<(String, ItemValue)>,
}

/// A value of an [`Item`].
#[derive(Debug, Clone, PartialEq)]
// Exhaustive: a caller that converts every kind should fail to compile when one is added.
pub enum ItemValue {
    /// A row of a matrix, dense: `[n_vars]` for X and layers.
    Row(Matrix),
    /// An encoded label: 0 to n-1, or -1 for the unknown label.
    Code(i64),
    /// A text.
    Text(String),
    /// A number or boolean of an obs column, with its numpy type. A missing value of a plain float
    /// column is NaN.
    Number(DType, NumericValue),
    /// A missing label.
    Missing,
}

impl Item {
    /// The keys and values: matrices, then obsm, then obs.
    pub fn entries(&self) -> &[(String, ItemValue)] {
        &self.entries
    }

    /// The keys and values, owned.
    pub fn into_entries(self) -> Vec<(String, ItemValue)> {
        self.entries
    }

    /// The value of a key; `None` when this row's store lacks it.
    pub fn get(&self, key: &str) -> Option<&ItemValue> {
        self.entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// A row of a matrix, dense: `[n_vars]` for X and layers.
    pub fn row(&self, key: &str) -> Option<&Matrix> {
        match self.get(key)? {
            ItemValue::Row(row) => Some(row),
            _ => None,
        }
    }

    /// The code of an encoded label; `None` when the label is missing.
    pub fn code(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            ItemValue::Code(code) => Some(*code),
            _ => None,
        }
    }

    /// The text of a label that is not encoded; `None` when the label is missing.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            ItemValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads a row of a store's file, in the types of that store.
    pub(crate) fn read(plan: &Plan, location: RowLocation) -> Result<Item, ReadError> {
        let RowLocation { store, row } = location;
        plan.check_open()?;
        plan.find_medians(1, &mut |_| true)?;
        let failed = |error| ReadError::file(store, error).in_row(row);
        let (keys, of_store) = (plan.matrices.iter(), &plan.stores[store]);
        let mut item = Item {
            store_idx: store,
            row_idx: row,
            entries: Vec::with_capacity(keys.len() + plan.obs.len()),
        };
        for (key, source) in keys.zip(&of_store.matrices) {
            let Some(source) = source else { continue };
            let shape = plan.row_shape(store, key, source);
            let dtype = plan.item_dtype(key, source);
            let transformed = Transformed::new(plan, (store, key), source, 0);
            let writer = RowWriter::new(plan, (store, key), transformed.as_ref());
            let mut out = DenseRow::new(writer.of_row(row), dtype, shape.iter().product());
            let read = FillScratch::of_thread(|scratch| {
                source.read_rows(&[row.into()], &mut scratch.read, &mut out)
            });
            read.map_err(failed)?;
            if let Some(fault) = out.fault {
                return Err(fault.of(plan, store, key).in_row(row));
            }
            let values = out.values.cast(dtype);
            item.insert(&key.name, ItemValue::Row(Matrix::Dense { shape, values }));
        }
        for (key, column) in plan.obs.iter().zip(&of_store.columns) {
            let Some(column) = column else { continue };
            let value = match key.encoder {
                Some(_) => column.code(row).map_or(ItemValue::Missing, ItemValue::Code),
                None => only_value(&column.read(&[row.into()]).map_err(failed)?),
            };
            item.insert(&key.name, value);
        }
        Ok(item)
    }

    /// Sets a key as a Python dict does: an existing key keeps its place.
    fn insert(&mut self, key: &str, value: ItemValue) {
        match self.entries.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key.to_owned(), value)),
        }
    }
}

/// The value of the only row that was read.
fn only_value(rows: &ColumnRows) -> ItemValue {
    match &rows.values {
        _ if !rows.is_valid(0) => ItemValue::Missing,
        ColumnValues::Numbers(numbers) => {
            ItemValue::Number(numbers.dtype(), numbers.as_slice().get(0))
        }
        ColumnValues::Texts(texts) => {
            let text = texts.get(0).expect("one row was read");
            ItemValue::Text(text.to_owned())
        }
    }
}

impl IntoIterator for Item {
    type Item = (String, ItemValue);
    type IntoIter = std::vec::IntoIter<(String, ItemValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a Item {
    type Item = &'a (String, ItemValue);
    type IntoIter = std::slice::Iter<'a, (String, ItemValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_keeps_the_place_of_a_key_that_is_set_again() {
        let mut item = Item {
            store_idx: 0,
            row_idx: 3,
            entries: Vec::new(),
        };
        item.insert("a", ItemValue::Code(1));
        item.insert("b", ItemValue::Missing);
        item.insert("a", ItemValue::Text("t".into()));
        let keys: Vec<_> = item.entries().iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
        assert!((&item).into_iter().eq(item.entries()));
        assert_eq!(item.clone().into_iter().count(), 2);
        assert_eq!(
            (item.text("a"), item.code("a"), item.text("b")),
            (Some("t"), None, None)
        );
    }
}
