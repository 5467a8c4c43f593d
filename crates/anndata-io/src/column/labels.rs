//! Labels: the distinct values of a column, and the code of each row.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Column, ColumnValues, Kind};
use crate::array::Array;
use crate::dtype::{Bool8, NumericValue, Scalar, Values};
use crate::error::Error;

/// A column as distinct values, and the value of each row as a code.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedColumn {
    /// For a categorical column, its categories as they stand in the file, used or not; for any
    /// other column, its distinct values in order of appearance.
    pub categories: ColumnValues,
    /// One code per row.
    pub codes: Codes,
}

/// One category number per row, in the narrowest integers that hold them. The largest number of
/// each type means a missing label.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive: loops are written for each width.
pub enum Codes {
    /// Up to 255 categories.
    U8(Vec<u8>),
    /// Up to 65,535 categories.
    U16(Vec<u16>),
    /// More categories.
    U32(Vec<u32>),
}

impl Codes {
    /// Codes of that many categories, one per row; `None` for a missing label.
    pub fn new(n_categories: usize, rows: impl ExactSizeIterator<Item = Option<u32>>) -> Codes {
        let mut codes = Codes::with_capacity(n_categories, rows.len());
        rows.for_each(|code| codes.push(code));
        codes
    }

    fn with_capacity(n_categories: usize, rows: usize) -> Codes {
        match n_categories {
            0..=0xff => Codes::U8(Vec::with_capacity(rows)),
            0x100..=0xffff => Codes::U16(Vec::with_capacity(rows)),
            _ => Codes::U32(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, code: Option<u32>) {
        match self {
            Codes::U8(codes) => codes.push(code.map_or(u8::MAX, |code| code as u8)),
            Codes::U16(codes) => codes.push(code.map_or(u16::MAX, |code| code as u16)),
            Codes::U32(codes) => codes.push(code.unwrap_or(u32::MAX)),
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Codes::U8(codes) => codes.len(),
            Codes::U16(codes) => codes.len(),
            Codes::U32(codes) => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The category of a row; `None` if its label is missing.
    ///
    /// # Panics
    /// When `row` is out of bounds.
    #[inline]
    pub fn get(&self, row: usize) -> Option<u32> {
        match self {
            Codes::U8(codes) => Some(codes[row])
                .filter(|&code| code != u8::MAX)
                .map(u32::from),
            Codes::U16(codes) => Some(codes[row])
                .filter(|&code| code != u16::MAX)
                .map(u32::from),
            Codes::U32(codes) => Some(codes[row]).filter(|&code| code != u32::MAX),
        }
    }

    /// The number of bytes in memory.
    pub fn n_bytes(&self) -> usize {
        match self {
            Codes::U8(codes) => codes.len(),
            Codes::U16(codes) => codes.len() * 2,
            Codes::U32(codes) => codes.len() * 4,
        }
    }
}

impl Column {
    /// Reads the whole column as categories and codes. NaN is missing.
    ///
    /// # Errors
    /// When it cannot be read, or a code has no category.
    pub fn read_labels(&self) -> Result<EncodedColumn, Error> {
        match &self.kind {
            Kind::Categorical {
                codes: array,
                categories,
            } => {
                let codes = check_codes(array, &self.read_array(array)?, categories)?;
                Ok(EncodedColumn {
                    categories: categories.clone(),
                    codes,
                })
            }
            Kind::Plain { values, mask } => {
                let mask = mask
                    .as_ref()
                    .map(|mask| self.read_array(mask))
                    .transpose()?;
                let mask = mask.map(|mask| mask.as_slice().to_vec::<Bool8>());
                let valid = |row: usize| mask.as_ref().is_none_or(|mask| mask[row].0 == 0);
                if values.dtype().is_none() {
                    let texts = values.read_strings()?;
                    let mut distinct = DistinctValues::default();
                    for (row, text) in texts.iter().enumerate() {
                        distinct.push(valid(row).then_some(text));
                    }
                    let categories = distinct.values.iter().copied().collect();
                    return Ok(EncodedColumn {
                        codes: distinct.codes(),
                        categories: ColumnValues::Texts(categories),
                    });
                }
                let numbers = self.read_array(values)?;
                let mut distinct = DistinctValues::default();
                let mut first_rows = Vec::new();
                for row in 0..numbers.len() {
                    let key = if valid(row) {
                        number_key(numbers.as_slice().get(row))
                    } else {
                        None
                    };
                    if distinct.push(key) {
                        first_rows.push(row);
                    }
                }
                let categories = crate::with_dtype!(numbers.dtype(), T => {
                    let all = <T as Scalar>::from_slice(numbers.as_slice()).expect("its own type");
                    Scalar::into_values(first_rows.iter().map(|&row| all[row]).collect::<Vec<T>>())
                });
                Ok(EncodedColumn {
                    categories: ColumnValues::Numbers(categories),
                    codes: distinct.codes(),
                })
            }
        }
    }
}

/// Checks a code from a file; returns `None` for a missing label.
///
/// # Errors
/// When the code has no category.
pub(crate) fn check_code(
    array: &Array,
    code: i64,
    n_categories: usize,
) -> Result<Option<u32>, Error> {
    match code {
        -1 => Ok(None),
        0.. if (code as u64) < n_categories as u64 && code < i64::from(u32::MAX) => {
            Ok(Some(code as u32))
        }
        _ => {
            let expected = format!("codes from -1 to below the {n_categories} categories");
            Err(array.invalid(expected, code.to_string()))
        }
    }
}

/// Checks the codes of rows against the categories. A code whose category is NaN is missing.
pub(super) fn check_codes(
    array: &Array,
    stored: &Values,
    categories: &ColumnValues,
) -> Result<Codes, Error> {
    let n_categories = categories.len();
    let has_nan = has_nan(categories);
    let mut codes = Codes::with_capacity(n_categories, stored.len());
    let stored = stored.as_slice();
    for row in 0..stored.len() {
        let code = match stored.get(row) {
            NumericValue::Signed(code) => code,
            NumericValue::Unsigned(code) => i64::try_from(code).unwrap_or(i64::MAX),
            _ => unreachable!("codes are integers: checked when the column was opened"),
        };
        let code = check_code(array, code, n_categories)?;
        codes.push(code.filter(|&code| !has_nan || !is_nan(categories, code as usize)));
    }
    Ok(codes)
}

/// Whether one of the categories is NaN, which is never a label.
pub(crate) fn has_nan(categories: &ColumnValues) -> bool {
    (0..categories.len()).any(|i| is_nan(categories, i))
}

fn is_nan(categories: &ColumnValues, i: usize) -> bool {
    match categories {
        ColumnValues::Numbers(numbers) => number_key(numbers.as_slice().get(i)).is_none(),
        ColumnValues::Texts(_) => false,
    }
}

/// Returns a key by which two numbers compare as equal; `None` for NaN.
pub(crate) fn number_key(value: NumericValue) -> Option<u64> {
    match value {
        NumericValue::Bool(value) => Some(value.into()),
        NumericValue::Signed(value) => Some(value as u64),
        NumericValue::Unsigned(value) => Some(value),
        // Adding zero makes -0.0 positive.
        NumericValue::F32(value) => (!value.is_nan()).then(|| u64::from((value + 0.0).to_bits())),
        NumericValue::F64(value) => (!value.is_nan()).then(|| (value + 0.0).to_bits()),
    }
}

/// Distinct values in order of appearance, and the code of each row.
struct DistinctValues<K> {
    numbers: HashMap<K, u32>,
    values: Vec<K>,
    rows: Vec<u32>,
}

impl<K> Default for DistinctValues<K> {
    fn default() -> Self {
        DistinctValues {
            numbers: Default::default(),
            values: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> DistinctValues<K> {
    /// Adds a row; returns true if its value is new.
    fn push(&mut self, key: Option<K>) -> bool {
        let Some(key) = key else {
            self.rows.push(u32::MAX);
            return false;
        };
        let next = self.values.len() as u32;
        let code = *self.numbers.entry(key).or_insert(next);
        self.rows.push(code);
        if code == next {
            self.values.push(key);
        }
        code == next
    }

    fn codes(self) -> Codes {
        let mut codes = Codes::with_capacity(self.values.len(), self.rows.len());
        self.rows
            .iter()
            .for_each(|&code| codes.push(Some(code).filter(|&code| code != u32::MAX)));
        codes
    }
}
