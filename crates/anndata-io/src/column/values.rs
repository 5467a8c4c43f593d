//! Values of a column as they are: numbers or texts, some of which may be missing.

use numpy_text::{FloatWidth, float_text};

use crate::array::text::Strings;
use crate::dtype::{DType, NumericValue, Scalar, Values, ValuesRef};

/// Numbers or texts.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// Numbers or booleans.
    Numbers(Values),
    /// Texts.
    Texts(Strings),
}

impl ColumnValues {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            ColumnValues::Numbers(values) => values.len(),
            ColumnValues::Texts(texts) => texts.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Some rows of a column as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnRows {
    /// One value per row; unspecified if it is missing.
    pub values: ColumnValues,
    /// Whether each row has a value; `None` if all have. A NaN of a float column counts as a value
    /// here.
    pub valid: Option<Vec<bool>>,
}

impl ColumnRows {
    /// Returns the values for codes.
    pub fn of_codes(
        categories: &ColumnValues,
        codes: impl ExactSizeIterator<Item = Option<u32>> + Clone,
    ) -> ColumnRows {
        let valid: Vec<bool> = codes.clone().map(|code| code.is_some()).collect();
        let values = match categories {
            ColumnValues::Texts(texts) => {
                let text = |code| texts.get(code as usize).expect("codes are checked");
                ColumnValues::Texts(codes.map(|code| code.map_or("", text)).collect())
            }
            ColumnValues::Numbers(numbers) => crate::with_dtype!(numbers.dtype(), T => {
                let all = <T as Scalar>::from_slice(numbers.as_slice()).expect("its own type");
                let values = codes.map(|code| code.map_or(T::default(), |code| all[code as usize]));
                ColumnValues::Numbers(Scalar::into_values(values.collect::<Vec<T>>()))
            }),
        };
        let all_valid = valid.iter().all(|&valid| valid);
        ColumnRows {
            values,
            valid: (!all_valid).then_some(valid),
        }
    }

    /// Whether position `index` of these rows has a value.
    pub fn is_valid(&self, index: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid[index])
    }

    /// Converts the values to texts. Numbers become their text, missing values `nan`.
    pub(super) fn into_texts(self) -> Strings {
        match (self.values, &self.valid) {
            (ColumnValues::Texts(texts), None) => texts,
            (ColumnValues::Texts(texts), Some(valid)) => texts
                .iter()
                .zip(valid)
                .map(|(text, &valid)| if valid { text } else { "nan" })
                .collect(),
            (ColumnValues::Numbers(numbers), valid) => {
                let mut out = Strings::default();
                for row in 0..numbers.len() {
                    let valid = valid.as_ref().is_none_or(|valid| valid[row]);
                    out.push(&if valid {
                        text_of(numbers.as_slice(), row)
                    } else {
                        "nan".into()
                    });
                }
                out
            }
        }
    }
}

/// Returns the text of a number in a label, as numpy writes it.
pub(crate) fn text_of(numbers: ValuesRef<'_>, row: usize) -> String {
    let width = match numbers.dtype() {
        DType::F16 => FloatWidth::F16,
        DType::F32 => FloatWidth::F32,
        _ => FloatWidth::F64,
    };
    match numbers.get(row) {
        NumericValue::Bool(true) => "True".to_owned(),
        NumericValue::Bool(false) => "False".to_owned(),
        NumericValue::Signed(value) => value.to_string(),
        NumericValue::Unsigned(value) => value.to_string(),
        NumericValue::F32(value) => float_text(value.into(), width),
        NumericValue::F64(value) => float_text(value, width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::{Bool8, f16};

    #[test]
    fn text_of_a_number_is_numpys() {
        for (numbers, text) in [
            (Values::F64(vec![2.0]), "2.0"),
            (Values::F64(vec![1e16]), "1e+16"),
            (Values::F64(vec![1e-5]), "1e-05"),
            (Values::F64(vec![f64::NAN]), "nan"),
            (Values::F32(vec![1.0 / 3.0]), "0.33333334"),
            (Values::F32(vec![1e6]), "1e+06"),
            (Values::F16(vec![f16::from_f32(0.1)]), "0.1"),
            (Values::I8(vec![-7]), "-7"),
            (Values::U64(vec![u64::MAX]), "18446744073709551615"),
            (Values::Bool(vec![Bool8(1)]), "True"),
        ] {
            assert_eq!(text_of(numbers.as_slice(), 0), text);
        }
    }

    #[test]
    fn column_rows_of_codes_keep_missing_ones_apart() {
        let categories = ColumnValues::Texts(["a", "b"].into_iter().collect());
        let rows = ColumnRows::of_codes(&categories, [Some(1), None, Some(0)].into_iter());
        assert_eq!(rows.valid, Some(vec![true, false, true]));
        let texts: Vec<String> = rows.into_texts().iter().map(str::to_owned).collect();
        assert_eq!(texts, ["b", "nan", "a"]);
    }
}
