//! The labels of one column of a table.

use anndata_io::{
    Codes, Column, ColumnPlace, ColumnRows, ColumnValues, EncodedColumn, Error, ErrorKind, Scalar,
    Values, with_dtype,
};

use super::texts::TextCodes;

/// The labels of a column of an [`ObsTable`](crate::ObsTable), one per row: texts, numbers, booleans,
/// or a categorical. It is made of a list of texts or [`Values`]; of [`ColumnRows`] or `Option`s if
/// some are missing; of an [`EncodedColumn`], which is categorical.
///
/// ```
/// use mapped_collection::{TableColumn, Values};
///
/// let texts = TableColumn::from(["T cell", "B cell"]);
/// let some = TableColumn::from([Some("T cell"), None]);
/// let numbers = TableColumn::from(Values::F64(vec![0.5, f64::NAN])); // NaN is missing
/// assert_eq!([texts.len(), some.len(), numbers.len()], [2; 3]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumn(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Labels {
        labels: EncodedColumn,
        /// Whether a label is a category even where no row has it.
        categorical: bool,
    },
    Numbers {
        values: Values,
        valid: Option<Vec<bool>>,
    },
    /// Values of another type: an error when they are asked for.
    Unsupported { what: String, len: usize },
}

/// The advice for a column of an unsupported type.
const WAY_OUT: &str = "write it as numbers, booleans or texts";

impl TableColumn {
    /// A column of values that cannot be labels, such as dates. It is an error only if it is read.
    pub fn unsupported(what: impl Into<String>, len: usize) -> TableColumn {
        let what = what.into();
        TableColumn(Kind::Unsupported { what, len })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Labels { labels, .. } => labels.codes.len(),
            Kind::Numbers { values, .. } => values.len(),
            Kind::Unsupported { len, .. } => *len,
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What contradicts itself in the column, as expected and found.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        match &self.0 {
            Kind::Labels { labels, .. } => {
                let (n, codes) = (labels.categories.len(), &labels.codes);
                let mut codes = (0..codes.len()).filter_map(|row| codes.get(row));
                let code = codes.find(|&code| code as usize >= n)?;
                Some((format!("codes below {n}"), code.to_string()))
            }
            Kind::Numbers { values, valid } => {
                let n_valid = valid.as_ref().map_or(values.len(), Vec::len);
                (n_valid != values.len()).then(|| {
                    (
                        format!("{} marks of validity", values.len()),
                        n_valid.to_string(),
                    )
                })
            }
            Kind::Unsupported { .. } => None,
        }
    }

    /// The categories and codes; `None` of numbers.
    pub fn as_labels(&self) -> Option<&EncodedColumn> {
        match &self.0 {
            Kind::Labels { labels, .. } => Some(labels),
            Kind::Numbers { .. } | Kind::Unsupported { .. } => None,
        }
    }

    /// Whether a label is a category even where no row has it.
    pub fn is_categorical(&self) -> bool {
        matches!(&self.0, Kind::Labels { categorical, .. } if *categorical)
    }

    /// The numbers, and which rows have one, if some have none; `None` of other columns.
    pub fn as_numbers(&self) -> Option<(&Values, Option<&[bool]>)> {
        match &self.0 {
            Kind::Numbers { values, valid } => Some((values, valid.as_deref())),
            Kind::Labels { .. } | Kind::Unsupported { .. } => None,
        }
    }

    /// What the values are, if they cannot be labels.
    pub fn as_unsupported(&self) -> Option<&str> {
        match &self.0 {
            Kind::Unsupported { what, .. } => Some(what),
            _ => None,
        }
    }

    /// The column as categories and codes.
    pub(crate) fn to_labels(&self, place: ColumnPlace<'_>) -> Result<EncodedColumn, Error> {
        let rows: Vec<u32> = (0..self.len() as u32).collect();
        self.gather(&rows, rows.len(), place)?.read_labels()
    }

    /// The column of a store, in memory. For each of its rows, `rows` has the row of the table, or
    /// `u32::MAX` without one; it is empty if no row of the store has one.
    pub(crate) fn gather(
        &self,
        rows: &[u32],
        n_rows: usize,
        place: ColumnPlace<'_>,
    ) -> Result<Column, Error> {
        let row = |at: usize| {
            let row = *rows.get(at)?;
            (row != u32::MAX).then_some(row as usize)
        };
        match &self.0 {
            Kind::Labels {
                labels,
                categorical,
            } => {
                let codes = (0..n_rows).map(|at| labels.codes.get(row(at)?));
                let labels = match categorical {
                    true => EncodedColumn {
                        codes: Codes::new(labels.categories.len(), codes),
                        categories: labels.categories.clone(),
                    },
                    false => used(codes, &labels.categories),
                };
                Column::of_labels(&labels, place)
            }
            Kind::Numbers { values, valid } => {
                let is_valid = |at: usize| {
                    let has_value = |row| valid.as_ref().is_none_or(|valid| valid[row]);
                    row(at).is_some_and(has_value)
                };
                let dtype = values.dtype();
                let gathered = with_dtype!(dtype, T => {
                    let all = <T as Scalar>::from_slice(values.as_slice()).expect("its own type");
                    // A missing float is NaN, as in files.
                    let missing = T::cast_from(if dtype.is_float() { f64::NAN } else { 0.0 });
                    let value = |at| match row(at) {
                        Some(row) if is_valid(at) => all[row],
                        _ => missing,
                    };
                    T::into_values((0..n_rows).map(value).collect())
                });
                let mask: Vec<bool> = match dtype.is_float() {
                    true => Vec::new(),
                    false => (0..n_rows).map(is_valid).collect(),
                };
                // Without a missing value, it is a column of plain numbers, as pandas writes it.
                let mask = mask.contains(&false).then_some(&*mask);
                Column::of_numbers(gathered, mask, place)
            }
            Kind::Unsupported { what, .. } => {
                let kind = ErrorKind::Unsupported {
                    what: what.clone(),
                    way_out: WAY_OUT,
                };
                Err(Error::new(place.file, place.element, kind))
            }
        }
    }
}

/// The labels that rows have: those of a column of texts are the ones that occur.
fn used(
    codes: impl ExactSizeIterator<Item = Option<u32>>,
    categories: &ColumnValues,
) -> EncodedColumn {
    let mut new = vec![u32::MAX; categories.len()];
    let mut old = Vec::new();
    let codes = codes.map(|code| {
        let code = code? as usize;
        if new[code] == u32::MAX {
            new[code] = old.len() as u32;
            old.push(Some(code as u32));
        }
        Some(new[code])
    });
    let codes: Vec<Option<u32>> = codes.collect();
    EncodedColumn {
        codes: Codes::new(old.len(), codes.into_iter()),
        categories: ColumnRows::of_codes(categories, old.into_iter()).values,
    }
}

impl From<Values> for TableColumn {
    fn from(values: Values) -> Self {
        let valid = None;
        TableColumn(Kind::Numbers { values, valid })
    }
}

/// A categorical column.
impl From<EncodedColumn> for TableColumn {
    fn from(labels: EncodedColumn) -> Self {
        let categorical = true;
        TableColumn(Kind::Labels {
            labels,
            categorical,
        })
    }
}

impl From<ColumnRows> for TableColumn {
    fn from(rows: ColumnRows) -> Self {
        match rows.values {
            ColumnValues::Numbers(values) => {
                let valid = rows.valid;
                TableColumn(Kind::Numbers { values, valid })
            }
            ColumnValues::Texts(texts) => {
                let is_valid = |row: usize| match &rows.valid {
                    None => true,
                    Some(valid) => valid.get(row).copied().unwrap_or(false),
                };
                let texts = texts.iter().enumerate();
                let texts = texts.map(|(row, text)| is_valid(row).then_some(text));
                texts.collect()
            }
        }
    }
}

impl From<TextCodes> for TableColumn {
    fn from(texts: TextCodes) -> Self {
        let (labels, categorical) = (texts.into_labels(), false);
        TableColumn(Kind::Labels {
            labels,
            categorical,
        })
    }
}

/// Texts, some of which are missing.
impl<S: AsRef<str>> FromIterator<Option<S>> for TableColumn {
    fn from_iter<I: IntoIterator<Item = Option<S>>>(texts: I) -> Self {
        let mut codes = TextCodes::default();
        for text in texts {
            codes.push(text.as_ref().map(AsRef::as_ref));
        }
        codes.into()
    }
}

impl From<Vec<String>> for TableColumn {
    fn from(texts: Vec<String>) -> Self {
        texts.into_iter().map(Some).collect()
    }
}

impl From<Vec<Option<String>>> for TableColumn {
    fn from(texts: Vec<Option<String>>) -> Self {
        texts.into_iter().collect()
    }
}

impl<const N: usize> From<[&str; N]> for TableColumn {
    fn from(texts: [&str; N]) -> Self {
        texts.into_iter().map(Some).collect()
    }
}

impl<const N: usize> From<[Option<&str>; N]> for TableColumn {
    fn from(texts: [Option<&str>; N]) -> Self {
        texts.into_iter().collect()
    }
}
