//! Columns of obs and var: one label or number per row.
//!
//! Takes a store and the name of a column. Returns a [`Column`], which reads labels as categories
//! and codes (`labels.rs`) or the values of some rows as they are (`values.rs`). `legacy.rs` finds
//! the categories of files written before anndata 0.8, and reads R's logicals: no layer above knows
//! the age of a file. `memory.rs` makes columns of labels that are in no file.
//!
//! ```text
//! in the file                           in memory once opened    on demand
//! categorical: categories, codes        categories               codes
//! nullable: values, mask; or values                              values, mask
//! ```

use crate::array::Array;
use crate::array::chunk_reader::ChunkReader;
use crate::array::text::Strings;
use crate::dtype::{Bool8, DType, Values};
use crate::error::Error;
use crate::path::member;
use crate::store::{Node, Store};

mod labels;
mod legacy;
mod memory;
mod values;

use labels::check_codes;
pub use labels::{Codes, EncodedColumn};
pub(crate) use labels::{check_code, has_nan, number_key};
pub(crate) use legacy::legacy_categories;
use legacy::{missing, read_categories, truth};
pub use memory::ColumnPlace;
pub(crate) use values::text_of;
pub use values::{ColumnRows, ColumnValues};

/// The advice for an element that is not a column: anndata would write it again unchanged.
const AS_COLUMN: &str = "leave it out, or write it as numbers, booleans, texts or a categorical";

/// A column of a table, opened. Categories and codes are in memory; numbers and texts are read
/// on demand.
#[derive(Debug, Clone)]
pub struct Column {
    len: u64,
    kind: Kind,
    /// Whether other, written data confirm the length.
    known_length: bool,
}

/// The parts of a column in the file.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Categorical {
        codes: Array,
        categories: ColumnValues,
    },
    Plain {
        values: Array,
        mask: Option<Array>,
    },
}

impl Column {
    /// Opens column `name` of the table at `frame`; `None` if it has no such column.
    pub(crate) fn open(store: &Store, frame: &str, name: &str) -> Result<Option<Column>, Error> {
        let element = member(frame, name);
        if name == "__categories" {
            return Ok(None);
        }
        let Some(node) = store.node(&element)? else {
            return Ok(None);
        };
        let encoding = store.text_attribute(&element, "encoding-type")?;
        let part = |name: &str| store.array(&member(&element, name));
        let column = match (node, encoding.as_deref()) {
            (Node::Group, Some("categorical")) => {
                let categories = member(&element, "categories");
                Column::categorical(part("codes")?, read_categories(store, &categories)?)?
            }
            (
                Node::Group,
                Some("nullable-integer" | "nullable-boolean" | "nullable-string-array"),
            ) => {
                let (values, mask) = (part("values")?, truth(part("mask")?)?);
                if mask.shape() != values.shape() || mask.dtype() != Some(DType::Bool) {
                    let expected = format!("booleans of shape {:?}", values.shape());
                    let found = format!(
                        "{} of shape {:?}",
                        mask.dtype().map_or("text", DType::name),
                        mask.shape()
                    );
                    return Err(mask.invalid(expected, found));
                }
                Column::plain(values, Some(mask))?
            }
            (Node::Array, None) => match legacy_categories(store, frame, name)? {
                Some(categories) => {
                    let categories = read_categories(store, &categories)?;
                    Column::categorical(store.array(&element)?, categories)?
                }
                None => Column::of_array(store, &element)?,
            },
            (Node::Array, Some("array" | "string-array")) => Column::of_array(store, &element)?,
            (Node::Group, None) => {
                let found = "a group without it";
                return Err(store.invalid(&element, "attribute encoding-type", found));
            }
            (_, encoding) => {
                let encoding = encoding.unwrap_or("none");
                let what = format!("the column encoding {encoding}");
                return Err(Error::unsupported(store.path(), element, what, AS_COLUMN));
            }
        };
        Ok(Some(column))
    }

    fn categorical(codes: Array, categories: ColumnValues) -> Result<Column, Error> {
        let codes = codes.into_integers()?;
        Column::checked(Kind::Categorical { codes, categories })
    }

    fn of_array(store: &Store, element: &str) -> Result<Column, Error> {
        let values = store.array(element)?;
        let mask = missing(&values, || store.array(element))?;
        Column::plain(truth(values)?, mask)
    }

    fn plain(values: Array, mask: Option<Array>) -> Result<Column, Error> {
        Column::checked(Kind::Plain { values, mask })
    }

    fn checked(kind: Kind) -> Result<Column, Error> {
        let (Kind::Categorical { codes: rows, .. } | Kind::Plain { values: rows, .. }) = &kind;
        match rows.shape() {
            &[len] => Ok(Column {
                len,
                kind,
                known_length: false,
            }),
            shape => Err(rows.invalid("one value per row", format!("shape {shape:?}"))),
        }
    }

    /// The number of rows.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the same column, whose length was found to be that of the written index.
    pub(crate) fn of_known_length(mut self) -> Column {
        self.known_length = true;
        self
    }

    fn read_array(&self, array: &Array) -> Result<Values, Error> {
        if self.known_length {
            array.read_all_of_known_length()
        } else {
            array.read_all()
        }
    }

    /// The parts of the column in the file.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The array with one element per row, for errors.
    pub(crate) fn rows_array(&self) -> &Array {
        let (Kind::Categorical { codes: rows, .. } | Kind::Plain { values: rows, .. }) = &self.kind;
        rows
    }

    /// The type of the numbers: of a plain column's values, or of the categories. `None` for text.
    pub fn dtype(&self) -> Option<DType> {
        match &self.kind {
            Kind::Categorical {
                categories: ColumnValues::Numbers(values),
                ..
            } => Some(values.dtype()),
            Kind::Categorical { .. } => None,
            Kind::Plain { values, .. } => values.dtype(),
        }
    }

    /// Whether the column has categories in the file.
    pub fn is_categorical(&self) -> bool {
        matches!(self.kind, Kind::Categorical { .. })
    }

    /// Whether a missing value of this column needs a mark outside the column's own number type.
    /// True except for plain float columns, whose missing value is NaN.
    pub fn is_nullable(&self) -> bool {
        match &self.kind {
            Kind::Plain { values, mask: None } => !values.dtype().is_some_and(DType::is_float),
            _ => true,
        }
    }

    /// Reads all texts of a column of plain text; `None` for any other column.
    pub fn read_plain_texts(&self) -> Result<Option<Strings>, Error> {
        match &self.kind {
            Kind::Plain { values, mask: None } if values.dtype().is_none() => {
                values.read_strings().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Returns the texts of some rows, in the order of `rows`, for obs names. Numbers become their
    /// text, missing values `nan`.
    ///
    /// # Errors
    /// As [`read_rows`](Self::read_rows).
    pub fn read_names(&self, rows: &[u64]) -> Result<Strings, Error> {
        Ok(self.read_rows(rows)?.into_texts())
    }

    /// Returns the values of some rows, in the order of `rows`, which need not ascend.
    ///
    /// # Errors
    /// When a row is out of bounds, the column cannot be read, or a code has no category.
    pub fn read_rows(&self, rows: &[u64]) -> Result<ColumnRows, Error> {
        match &self.kind {
            Kind::Categorical {
                codes: array,
                categories,
            } => {
                let codes = check_codes(array, &read_at(array, rows)?, categories)?;
                let codes = (0..codes.len()).map(|row| codes.get(row));
                Ok(ColumnRows::of_codes(categories, codes))
            }
            Kind::Plain { values, mask } => {
                let valid = match mask {
                    None => None,
                    Some(mask) => {
                        let mask = read_at(mask, rows)?.as_slice().to_vec::<Bool8>();
                        Some(mask.into_iter().map(|masked| masked.0 == 0).collect())
                    }
                };
                let values = match values.dtype() {
                    Some(_) => ColumnValues::Numbers(read_at(values, rows)?),
                    None => ColumnValues::Texts(values.read_string_rows(rows)?),
                };
                Ok(ColumnRows { values, valid })
            }
        }
    }
}

/// Reads single elements of a 1-D array, in the order of `rows`.
fn read_at(array: &Array, rows: &[u64]) -> Result<Values, Error> {
    let mut out = Values::new(array.number_type()?);
    let ranges = rows.iter().map(|&row| row..row.saturating_add(1));
    array.read_ranges(ranges, &mut out, &mut ChunkReader::default())?;
    Ok(out)
}
