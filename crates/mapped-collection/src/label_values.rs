//! Converts values of files to labels.

use anndata_io::{ColumnValues, DType, NumericValue, ValuesRef};
use label_encoding::{FloatWidth, Label};

/// The categories of a column as labels; `None` for NaN.
pub(crate) fn labels_of(categories: &ColumnValues) -> Vec<Option<Label>> {
    match categories {
        ColumnValues::Texts(texts) => texts.iter().map(|text| Some(Label::from(text))).collect(),
        ColumnValues::Numbers(numbers) => {
            let slice = numbers.as_slice();
            (0..slice.len()).map(|i| number_label(slice, i)).collect()
        }
    }
}

pub(crate) fn number_label(numbers: ValuesRef<'_>, index: usize) -> Option<Label> {
    match numbers.get(index) {
        NumericValue::Bool(value) => Some(Label::from(value)),
        NumericValue::Signed(value) => Some(Label::from(value)),
        NumericValue::Unsigned(value) => Some(Label::from(value)),
        NumericValue::F32(value) => {
            let half = numbers.dtype() == DType::F16;
            Label::float(
                value.into(),
                if half {
                    FloatWidth::F16
                } else {
                    FloatWidth::F32
                },
            )
        }
        NumericValue::F64(value) => Label::float(value, FloatWidth::F64),
    }
}

/// A label as an element of a numpy array of this type.
pub(crate) fn cast(label: &Label, dtype: DType) -> Label {
    let width = match dtype {
        DType::F16 => FloatWidth::F16,
        DType::F32 => FloatWidth::F32,
        DType::F64 => FloatWidth::F64,
        _ => {
            return match label {
                Label::Bool(value) if dtype != DType::Bool => Label::Int((*value).into()),
                label => label.clone(),
            };
        }
    };
    let value = match label {
        Label::Bool(value) => f64::from(*value),
        Label::Int(value) => *value as f64,
        Label::Float(value) => value.value(),
        Label::Str(_) => return label.clone(),
    };
    Label::float(value, width).expect("a label is never NaN")
}

/// The text of a label in label maps and joins. Whole floats have the texts of integers: where an
/// integer is missing, pandas stores the whole column as floats.
pub(crate) fn plain_text(label: &Label) -> String {
    let mut text = label.python_text().into_owned();
    if matches!(label, Label::Float(_)) && text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    text
}
