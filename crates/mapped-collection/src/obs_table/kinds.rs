//! Decides whether the texts of a column are numbers.

use anndata_io::{Bool8, ColumnRows, ColumnValues, Strings, Values};

use super::column::TableColumn;
use super::texts::TextCodes;

/// The largest whole number up to which float64 holds every one.
const MAX_EXACT: u64 = 1 << 53;

/// Returns texts as integers, floats or booleans if all of them are such.
pub(super) fn typed(column: TextCodes) -> TableColumn {
    match values(column.texts()) {
        None => column.into(),
        Some(distinct) => {
            let codes = column.codes().iter();
            let codes = codes.map(|&code| Some(code).filter(|&code| code != u32::MAX));
            let rows = ColumnRows::of_codes(&ColumnValues::Numbers(distinct), codes);
            rows.into()
        }
    }
}

/// What a text is, beside a text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Int(i64),
    Float(f64),
    /// NaN or an infinity, which is no number unless others are.
    Word(f64),
    Bool(bool),
}

impl Field {
    fn of(text: &str) -> Option<Field> {
        match text {
            "true" | "True" | "TRUE" => return Some(Field::Bool(true)),
            "false" | "False" | "FALSE" => return Some(Field::Bool(false)),
            _ => {}
        }
        let text = text.trim();
        let digits = text.trim_start_matches(['-', '+']).as_bytes();
        let first = digits.first()?;
        if !first.is_ascii_digit() && *first != b'.' {
            let value = text.parse().ok();
            return value.map(Field::Word);
        }
        // A code with leading zeros is another one without them.
        if *first == b'0' && digits.get(1).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        if digits.iter().all(u8::is_ascii_digit) {
            // Digits that do not fit would lose some as a float.
            return text.parse().ok().map(Field::Int);
        }
        let value: f64 = text.parse().ok()?;
        value.is_finite().then_some(Field::Float(value))
    }

    fn as_float(self) -> Option<f64> {
        match self {
            Field::Int(value) if value.unsigned_abs() <= MAX_EXACT => Some(value as f64),
            Field::Float(value) | Field::Word(value) => Some(value),
            Field::Int(_) | Field::Bool(_) => None,
        }
    }
}

/// The texts as numbers or booleans; `None` if one is neither.
fn values(texts: &Strings) -> Option<Values> {
    let fields: Vec<Field> = texts.iter().map(Field::of).collect::<Option<_>>()?;
    let booleans = fields.iter().map(|field| match field {
        Field::Bool(value) => Some(Bool8((*value).into())),
        _ => None,
    });
    let integers = fields.iter().map(|field| match field {
        Field::Int(value) => Some(*value),
        _ => None,
    });
    let is_number = |field: &Field| matches!(field, Field::Int(_) | Field::Float(_));
    if fields.is_empty() {
        None
    } else if let Some(booleans) = booleans.collect() {
        Some(Values::Bool(booleans))
    } else if let Some(integers) = integers.collect() {
        Some(Values::I64(integers))
    } else if fields.iter().any(is_number) {
        let floats = fields.iter().map(|field| field.as_float());
        floats.collect::<Option<_>>().map(Values::F64)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_is_of_numbers_if_all_texts_are_the_same_as_numbers() {
        let of = |texts: &[&str]| values(&texts.iter().copied().collect());
        assert_eq!(of(&["1", "-2", "+3"]), Some(Values::I64(vec![1, -2, 3])));
        assert_eq!(
            of(&["1", " 0.5", "1e3"]),
            Some(Values::F64(vec![1.0, 0.5, 1000.0]))
        );
        assert_eq!(
            of(&["-inf", ".5"]),
            Some(Values::F64(vec![f64::NEG_INFINITY, 0.5]))
        );
        let booleans = [1, 0, 1].map(Bool8).to_vec();
        assert_eq!(of(&["true", "False", "TRUE"]), Some(Values::Bool(booleans)));
        let Some(Values::F64(floats)) = of(&["nan", "2"]) else {
            panic!("not floats");
        };
        assert!(floats[0].is_nan() && floats[1] == 2.0);
        for texts in [
            &["007", "8"][..],
            &["00.5"],
            &["nan", "inf"],
            &["1", "true"],
            &["12345678901234567890"],
            &["9007199254740993", "0.5"],
            &["1e999"],
            &["0x10"],
            &["1_000"],
            &["-"],
            &["1 2"],
            &["T cell", "1"],
            &[],
        ] {
            assert_eq!(of(texts), None, "{texts:?}");
        }
        assert_eq!(
            of(&["9007199254740993"]),
            Some(Values::I64(vec![9_007_199_254_740_993]))
        );
    }
}
