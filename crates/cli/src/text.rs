//! Pieces of text for people.

use std::borrow::Cow;

use comfy_table::{CellAlignment, Table, presets};
use mapped_anndata::io::ValuesRef;
use mapped_anndata::{Encoder, ItemValue, Label};
use serde::Serialize;

use crate::escape::escape;
use crate::json::{Number, Value};

/// The most elements of a row that are shown.
const N_SHOWN: usize = 8;

/// An integer with separators: `12,345`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 store`, `4 stores`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", thousands(n as u64))
}

/// The text in place of a missing label.
pub(crate) const MISSING: &str = "(missing)";

/// A label for printing. It cannot be taken for a missing one.
pub(crate) fn label(text: &str) -> Cow<'_, str> {
    match text {
        MISSING => Cow::Owned(format!("\\{MISSING}")),
        text => escape(text),
    }
}

/// A table without lines. Aligns the columns `numbers` to the right, and escapes all cells.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    numbers: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header)
        .add_rows(
            rows.into_iter()
                .map(|row| row.map(|cell| escape(&cell).into_owned())),
        );
    for &number in numbers {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // Indented by the table's own padding.
    table.trim_fmt()
}

/// The label that a code stands for.
pub(crate) fn label_of(encoder: &Encoder, code: i64) -> Option<&Label> {
    match usize::try_from(code) {
        Ok(class) => encoder.classes().get(class),
        Err(_) => encoder
            .unknown()
            .filter(|_| code == mapped_anndata::UNKNOWN_CODE),
    }
}

/// An encoded label: `2 (T cell)`.
pub(crate) fn code(encoder: Option<&Encoder>, code: i64) -> String {
    match encoder.and_then(|encoder| label_of(encoder, code)) {
        Some(found) => format!("{code} ({})", escape(&found.python_text())),
        None => format!("{code} {MISSING}"),
    }
}

/// The value of an item. If it is a code, it is one of `encoder`.
pub(crate) fn value(value: &ItemValue, encoder: Option<&Encoder>) -> String {
    match value {
        ItemValue::Row(row) => {
            let (shape, values) = (row.shape(), row.values().as_slice());
            let first: Vec<String> = (0..values.len().min(N_SHOWN))
                .map(|i| number(values, i))
                .collect();
            let more = if values.len() > N_SHOWN { " ..." } else { "" };
            let share = nonzero(values, values.len());
            format!(
                "{shape:?} {}, {share}: {}{more}",
                values.dtype(),
                first.join(" ")
            )
        }
        ItemValue::Code(n) => code(encoder, *n),
        ItemValue::Text(text) => label(text).into_owned(),
        ItemValue::Missing => MISSING.to_owned(),
        number => or_missing(plain(&Value(number))),
    }
}

/// Says how many of `n` elements are not zero. All nonzero elements are among `values`.
pub(crate) fn nonzero(values: ValuesRef<'_>, n: usize) -> String {
    if n == 0 {
        return "empty".to_owned();
    }
    let found = mapped_anndata::io::with_dtype!(values.dtype(), T => {
        use mapped_anndata::io::Scalar;
        let typed = <T as Scalar>::from_slice(values).unwrap_or_default();
        typed.iter().filter(|value| !value.is_zero()).count()
    });
    format!("{:.1}% nonzero", 100.0 * found as f64 / n as f64)
}

/// A number of a label column. NaN is a missing label.
pub(crate) fn or_missing(number: String) -> String {
    match &*number {
        "nan" => MISSING.to_owned(),
        _ => number,
    }
}

/// Element `i` of an array.
pub(crate) fn number(values: ValuesRef<'_>, i: usize) -> String {
    plain(&Number(values.dtype(), values.get(i)))
}

/// A number as in JSON, but with NaN and infinities as Python prints them.
fn plain(number: &impl Serialize) -> String {
    let text = serde_json::to_string(number).unwrap_or_default();
    match text.trim_matches('"') {
        "null" => "nan".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mapped_anndata::Matrix;
    use mapped_anndata::{Categories, Values};

    use super::*;

    #[test]
    fn counts_read_well() {
        assert_eq!(
            [0, 999, 1000, 1234567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [count(1, "store"), count(2000, "cell")],
            ["1 store", "2,000 cells"]
        );
    }

    #[test]
    fn codes_have_names() {
        let labels = ["T", "B", "?"].map(Label::from);
        let categories = Categories::merge(&[(0, labels)]).unwrap();
        let encoder = Encoder::new(categories, Some(&Label::from("?")));
        let names = [0, 1, -1, -100, 7].map(|n| code(Some(&encoder), n));
        assert_eq!(
            names,
            ["0 (B)", "1 (T)", "-1 (?)", "-100 (missing)", "7 (missing)"]
        );
    }

    #[test]
    fn long_rows_are_cut() {
        let row = |values: Values| {
            let shape = vec![values.len()];
            value(&ItemValue::Row(Matrix::Dense { shape, values }), None)
        };
        let short = row(Values::F32(vec![0.1, f32::NAN, 0.0, f32::INFINITY]));
        assert_eq!(short, "[4] float32, 75.0% nonzero: 0.1 nan 0.0 inf");
        assert_eq!(
            row(Values::U8(vec![0; 9])),
            "[9] uint8, 0.0% nonzero: 0 0 0 0 0 0 0 0 ..."
        );
    }

    #[test]
    fn tables_have_no_lines() {
        let text = table(["path", "cells"], &[1], [["a".into(), "10".into()]]);
        assert_eq!(text, " path  cells\n a        10");
    }
}
