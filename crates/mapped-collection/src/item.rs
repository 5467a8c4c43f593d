//! One row, as a model sees it.

use anndata_io::{DType, NumericValue};
use label_encoding::MISSING_CODE;

use crate::batch::Batch;
use crate::batch::columns::BatchColumn;
use crate::batch::matrix::Matrix;

/// One row of a collection: named values, in lamindb's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Number of the store.
    pub store_idx: usize,
    /// Row in the store's file.
    pub row_idx: u32,
    entries: Vec<(String, ItemValue)>,
}

/// A value of an [`Item`].
#[derive(Debug, Clone, PartialEq)]
// Exhaustive: a program that turns every kind into its own arrays should not lose a new one in silence.
pub enum ItemValue {
    /// A row of a matrix, dense: `[n_vars]` for X and layers.
    Row(Matrix),
    /// An encoded label: 0 to n-1, or -1 for the unknown label.
    Code(i64),
    /// A text.
    Text(String),
    /// A number or boolean of an obs column, with its numpy type. A plain float column has its
    /// missing values as NaN here.
    Number(DType, NumericValue),
    /// A missing label.
    Missing,
}

impl Item {
    /// The keys and values: matrices, then obsm, then obs.
    pub fn entries(&self) -> &[(String, ItemValue)] {
        &self.entries
    }

    /// The keys and values, to keep.
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

    /// The code of an encoded label; `None` when it is missing.
    pub fn code(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            ItemValue::Code(code) => Some(*code),
            _ => None,
        }
    }

    /// The text of a label that is not encoded; `None` when it is missing.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            ItemValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The only row of a batch that has the types of its store.
    pub(crate) fn from_row(mut batch: Batch) -> Item {
        let mut item = Item {
            store_idx: batch.store_idx[0] as usize,
            row_idx: batch.row_idx[0],
            entries: Vec::with_capacity(batch.matrices.len() + batch.obs.len()),
        };
        for (key, matrix) in std::mem::take(&mut batch.matrices) {
            let Matrix::Dense { mut shape, values } = matrix else {
                unreachable!("an item is dense")
            };
            shape.remove(0);
            item.insert(key, ItemValue::Row(Matrix::Dense { shape, values }));
        }
        for (key, column) in std::mem::take(&mut batch.obs) {
            item.insert(key, first_value(column));
        }
        item
    }

    /// Sets a key as a Python dict does: a key that is there keeps its place.
    fn insert(&mut self, key: String, value: ItemValue) {
        match self.entries.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
    }
}

/// The value of the first row.
fn first_value(column: BatchColumn) -> ItemValue {
    match column {
        BatchColumn::Codes(codes) if codes[0] == MISSING_CODE => ItemValue::Missing,
        BatchColumn::Codes(codes) => ItemValue::Code(codes[0]),
        BatchColumn::Numbers { values, valid } if valid[0] => {
            ItemValue::Number(values.dtype(), values.as_slice().get(0))
        }
        BatchColumn::Texts(mut texts) => {
            texts.remove(0).map_or(ItemValue::Missing, ItemValue::Text)
        }
        BatchColumn::Numbers { .. } => ItemValue::Missing,
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
        item.insert("a".into(), ItemValue::Code(1));
        item.insert("b".into(), ItemValue::Missing);
        item.insert("a".into(), ItemValue::Text("t".into()));
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
