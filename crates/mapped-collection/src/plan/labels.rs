//! The labels of one obs key over all stores.

use std::borrow::Cow;
use std::collections::HashMap;

use anndata_io::{Codes, Column, ColumnValues, DType};
use label_encoding::{Encoder, Label, MISSING};

use crate::label_values::{cast, labels_of};
use crate::plan::Rows;
use crate::plan::filter::as_number;
use crate::plan::obs::ObsColumn;

/// The labels of one obs key, one per row of a collection. Holds the distinct labels and one code
/// of 4 bytes per row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedLabels {
    labels: Vec<Label>,
    codes: Vec<u32>,
}

impl MergedLabels {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The label of a row; `None` when it is missing.
    ///
    /// # Panics
    /// When `row` is out of bounds.
    pub fn get(&self, row: usize) -> Option<&Label> {
        label_of(&self.labels, self.codes[row])
    }

    /// The label of every row, in order.
    ///
    /// ```
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let labels = cells.merged_labels("cell_type")?;
    /// let n_missing = labels.iter().filter(|label| label.is_none()).count();
    /// assert_eq!((labels.len(), n_missing), (5, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> MergedLabelsIter<'_> {
        MergedLabelsIter {
            labels: &self.labels,
            codes: self.codes.iter(),
        }
    }

    /// The distinct labels that rows may have.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// For each row, its position in [`labels`](Self::labels); `u32::MAX` when missing.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// Merges the columns of all stores, each with its kept rows. The labels of a store without the
    /// column are missing.
    ///
    /// If every store has numbers, they are promoted as numpy promotes arrays that it concatenates:
    /// 2 beside 2.5 is 2.0.
    pub(crate) fn merge<'a>(stores: Vec<(Option<StoreLabels<'a>>, &Rows)>) -> MergedLabels {
        let types = stores.iter().filter_map(|(column, _)| column.as_ref());
        let promoted = types
            .map(|column| column.array_type)
            .reduce(|a, b| Some(a?.promote(b?)))
            .flatten();
        let mut merged = MergedLabels {
            labels: Vec::new(),
            codes: Vec::new(),
        };
        // Without promotion 2 and 2.0 are two labels, as their texts are.
        let mut known: HashMap<(Label, String), u32> = HashMap::new();
        for (store, rows) in stores {
            let Some(store) = store else {
                merged
                    .codes
                    .resize(merged.codes.len() + rows.len(), MISSING);
                continue;
            };
            let table: Vec<u32> = labels_of(&store.categories)
                .into_iter()
                .map(|label| match label {
                    None => MISSING,
                    Some(label) => {
                        let label = promoted.map_or(label.clone(), |dtype| cast(&label, dtype));
                        let text = if promoted.is_some() {
                            String::new()
                        } else {
                            label.to_string()
                        };
                        *known.entry((label.clone(), text)).or_insert_with(|| {
                            merged.labels.push(label);
                            merged.labels.len() as u32 - 1
                        })
                    }
                })
                .collect();
            let code = |row: usize| store.codes.get(row).map_or(MISSING, |c| table[c as usize]);
            merged
                .codes
                .extend(rows.iter().map(|row| code(row as usize)));
        }
        merged
    }
}

impl MergedLabels {
    /// The same labels, equal ones once: 2 and 2.0 are one label then, as their values are.
    pub(crate) fn united(mut self) -> MergedLabels {
        let mut known: HashMap<Cow<'_, Label>, u32> = HashMap::new();
        let mut labels = Vec::new();
        let mut unite = |label| {
            *known.entry(as_number(label)).or_insert_with(|| {
                labels.push(label.clone());
                labels.len() as u32 - 1
            })
        };
        let codes: Vec<u32> = self.labels.iter().map(&mut unite).collect();
        if labels.len() < self.labels.len() {
            let of_rows = self.codes.iter_mut().filter(|code| **code != MISSING);
            of_rows.for_each(|code| *code = codes[*code as usize]);
            self.labels = labels;
        }
        self
    }
}

fn label_of(labels: &[Label], code: u32) -> Option<&Label> {
    (code != MISSING).then(|| &labels[code as usize])
}

impl<'a> IntoIterator for &'a MergedLabels {
    type Item = Option<&'a Label>;
    type IntoIter = MergedLabelsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The labels of all rows, in order: see [`MergedLabels::iter`].
#[derive(Debug, Clone)]
pub struct MergedLabelsIter<'a> {
    labels: &'a [Label],
    codes: std::slice::Iter<'a, u32>,
}

impl<'a> Iterator for MergedLabelsIter<'a> {
    type Item = Option<&'a Label>;

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.codes.next()?;
        Some(label_of(self.labels, *code))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.codes.size_hint()
    }
}

impl ExactSizeIterator for MergedLabelsIter<'_> {}

/// The labels of one store, as in its file, whatever their codes.
pub(crate) struct StoreLabels<'a> {
    categories: Cow<'a, ColumnValues>,
    codes: Cow<'a, Codes>,
    /// The type of the numpy array that the reference would make of them; `None` for an array of
    /// objects, whose elements keep their own types.
    array_type: Option<DType>,
}

impl<'a> StoreLabels<'a> {
    fn new(
        categories: Cow<'a, ColumnValues>,
        codes: Cow<'a, Codes>,
        dtype: Option<DType>,
        nullable: bool,
    ) -> StoreLabels<'a> {
        let missing = nullable && any_missing(&codes);
        StoreLabels {
            categories,
            codes,
            array_type: dtype.filter(|dtype| dtype.is_float() || !missing),
        }
    }

    /// Reads a column.
    pub(crate) fn read(column: &Column) -> Result<StoreLabels<'static>, anndata_io::Error> {
        let labels = column.read_labels()?;
        let (categories, codes) = (Cow::Owned(labels.categories), Cow::Owned(labels.codes));
        let (dtype, nullable) = (column.dtype(), column.is_nullable());
        Ok(StoreLabels::new(categories, codes, dtype, nullable))
    }

    /// The labels of a column of a plan, whose key may be encoded. Reads them only if they are not
    /// in memory.
    pub(crate) fn of(
        column: &'a ObsColumn,
        encoder: Option<&Encoder>,
    ) -> Result<StoreLabels<'a>, anndata_io::Error> {
        match column {
            ObsColumn::Values(column) => StoreLabels::read(column),
            ObsColumn::Labels {
                categories,
                codes,
                encoded,
                dtype,
                nullable,
            } => {
                let categories = match encoder {
                    Some(encoder) if categories.len() < encoded.len() => {
                        Cow::Owned(ColumnValues::Texts(texts_of(encoded, encoder).collect()))
                    }
                    _ => Cow::Borrowed(categories),
                };
                let codes = Cow::Borrowed(codes);
                Ok(StoreLabels::new(categories, codes, *dtype, *nullable))
            }
        }
    }

    pub(crate) fn into_categories(self) -> ColumnValues {
        self.categories.into_owned()
    }
}

/// The texts of the encoded labels.
fn texts_of<'a>(
    encoded: &'a [Option<i64>],
    encoder: &'a Encoder,
) -> impl Iterator<Item = &'a str> + 'a {
    encoded.iter().map(|code| {
        let class = code.and_then(|code| encoder.classes().get(usize::try_from(code).ok()?));
        match class.or(encoder.unknown()) {
            Some(Label::Str(text)) => &**text,
            _ => unreachable!("every text has a code"),
        }
    })
}

fn any_missing(codes: &Codes) -> bool {
    (0..codes.len()).any(|row| codes.get(row).is_none())
}

#[cfg(test)]
mod tests {
    use anndata_io::Values;

    use super::*;

    fn column(values: Values, codes: Vec<u8>) -> StoreLabels<'static> {
        let dtype = values.dtype();
        let (values, codes) = (ColumnValues::Numbers(values), Codes::U8(codes));
        StoreLabels::new(Cow::Owned(values), Cow::Owned(codes), Some(dtype), true)
    }

    fn texts(merged: &MergedLabels) -> Vec<String> {
        merged
            .iter()
            .map(|label| label.map_or("-".into(), |l| l.to_string()))
            .collect()
    }

    fn merge(stores: Vec<(Option<StoreLabels<'_>>, Rows)>) -> MergedLabels {
        let (columns, rows): (Vec<_>, Vec<_>) = stores.into_iter().unzip();
        MergedLabels::merge(columns.into_iter().zip(&rows).collect())
    }

    #[test]
    fn merged_numbers_are_promoted_as_in_numpy() {
        let ints = || {
            (
                Some(column(Values::I64(vec![2, 3]), vec![1, 0])),
                Rows::All(2),
            )
        };
        let floats = || (Some(column(Values::F64(vec![2.0]), vec![0])), Rows::All(1));
        let merged = merge(vec![ints(), (None, Rows::All(1)), floats()]);
        assert_eq!(texts(&merged), ["3.0", "2.0", "-", "2.0"]);
        assert_eq!(merged.labels().len(), 2);
    }

    #[test]
    fn merged_labels_keep_their_types_beside_missing_integers() {
        let ints = column(Values::I64(vec![2]), vec![255, 0]);
        let ints = (Some(ints), Rows::Some(vec![1, 0]));
        let floats = (Some(column(Values::F64(vec![2.5]), vec![0])), Rows::All(1));
        assert_eq!(texts(&merge(vec![ints, floats])), ["2", "-", "2.5"]);
    }

    #[test]
    fn united_labels_are_equal_numbers_once() {
        let ints = column(Values::I64(vec![2, 3]), vec![255, 0, 1]);
        let ints = (Some(ints), Rows::All(3));
        let floats = (Some(column(Values::F64(vec![2.0]), vec![0])), Rows::All(1));
        let merged = merge(vec![ints, floats]);
        assert_eq!(merged.labels().len(), 3);
        let united = merged.united();
        assert_eq!(united.codes(), [MISSING, 0, 1, 0]);
        assert_eq!(united.labels().len(), 2);
    }
}
