//! Which rows of a store are kept.

use anndata_io::{AnnDataFile, Codes, LabelColumn};
use label_encoding::{Label, LabelKind};

use crate::builder::LabelMatch;
use crate::error::Error;
use crate::labels::labels_of;
use crate::plan::ObsColumn;

/// A label that a filter lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterValue {
    /// A missing label: NaN, None or NA, never the text `nan`.
    Missing,
    /// This label.
    Label(LabelMatch),
}

impl<L: Into<LabelMatch>> From<L> for FilterValue {
    fn from(label: L) -> Self {
        FilterValue::Label(label.into())
    }
}

/// Columns and the labels they let through: AND over columns, OR within one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ObsFilter {
    columns: Vec<(String, Vec<FilterValue>)>,
}

impl ObsFilter {
    pub(crate) fn allow(&mut self, key: String, values: impl Iterator<Item = FilterValue>) {
        match self.columns.iter_mut().find(|(name, _)| *name == key) {
            Some((_, allowed)) => allowed.extend(values),
            None => self.columns.push((key, values.collect())),
        }
    }

    /// The columns.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.columns.iter().map(|(key, _)| key)
    }

    /// The rows of a file that pass, ascending, and its columns, one for each of the
    /// [keys](Self::keys). Marks those that the file has in `found`.
    pub(crate) fn rows(
        &self,
        file: &AnnDataFile,
        found: &mut [bool],
    ) -> Result<(Vec<u32>, Vec<Option<ObsColumn>>), Error> {
        let mut rows: Vec<u32> = (0..file.n_obs() as u32).collect();
        let mut columns = Vec::with_capacity(self.columns.len());
        for ((key, allowed), found) in self.columns.iter().zip(found) {
            let column = file.obs_column(key)?;
            columns.push(match column {
                Some(column) => {
                    *found = true;
                    let labels = column.read_labels()?;
                    let passes = Passes::new(&labels, allowed);
                    rows.retain(|&row| passes.row(&labels, row as usize));
                    // Labels that are nearly all different are not worth their memory.
                    Some(match labels.codes {
                        Codes::U32(_) => ObsColumn::Values(column),
                        _ => ObsColumn::labels(&column, labels),
                    })
                }
                None => {
                    if !allowed.contains(&FilterValue::Missing) {
                        rows.clear();
                    }
                    None
                }
            });
        }
        Ok((rows, columns))
    }
}

/// What a filter says of each category of a column.
struct Passes {
    categories: Vec<bool>,
    missing: bool,
}

impl Passes {
    fn new(column: &LabelColumn, allowed: &[FilterValue]) -> Passes {
        let missing = allowed.contains(&FilterValue::Missing);
        let passes = |label: &Option<Label>| match label {
            None => missing,
            Some(label) => allowed.iter().any(|value| match value {
                FilterValue::Missing => false,
                FilterValue::Label(wanted) => matches_label(label, wanted),
            }),
        };
        Passes {
            categories: labels_of(&column.categories).iter().map(passes).collect(),
            missing,
        }
    }

    fn row(&self, column: &LabelColumn, row: usize) -> bool {
        column
            .codes
            .get(row)
            .map_or(self.missing, |code| self.categories[code as usize])
    }
}

/// Whether a label is the wanted one. As in Python, true is 1 and false is 0.
fn matches_label(label: &Label, wanted: &LabelMatch) -> bool {
    let as_number = |label: &Label| match label {
        Label::Bool(value) => Label::Int((*value).into()),
        label => label.clone(),
    };
    match wanted {
        LabelMatch::Exact(wanted) => as_number(label) == as_number(wanted),
        LabelMatch::Text(text) => {
            *label.python_text() == **text
                || match label.kind() {
                    LabelKind::Number => text
                        .parse::<i128>()
                        .map(Label::Int)
                        .ok()
                        .or_else(|| {
                            let value = text.parse().ok()?;
                            Label::float(value, label_encoding::FloatWidth::F64)
                        })
                        .is_some_and(|wanted| same_number(label, &wanted)),
                    LabelKind::Bool => text.eq_ignore_ascii_case(&label.python_text()),
                    _ => false,
                }
        }
    }
}

/// Whether a number is the one written: 0.1 means the float32 nearest to 0.1, too.
fn same_number(label: &Label, wanted: &Label) -> bool {
    match (label, wanted) {
        (Label::Float(found), Label::Float(wanted)) => {
            Label::float(wanted.value(), found.width()).as_ref() == Some(label)
        }
        _ => label == wanted,
    }
}

#[cfg(test)]
mod tests {
    use label_encoding::FloatWidth;

    use super::*;

    #[test]
    fn texts_are_read_by_the_labels_kind() {
        let text = |text: &str| LabelMatch::Text(text.to_owned());
        let float = |value, width| Label::float(value, width).expect("not NaN");
        assert!(matches_label(&Label::from(7), &text("7")));
        assert!(matches_label(&Label::from(7), &text("7.0")));
        assert!(matches_label(&float(0.1, FloatWidth::F32), &text("0.1")));
        assert!(matches_label(&float(2.0, FloatWidth::F64), &text("2")));
        assert!(matches_label(&Label::from(true), &text("true")));
        assert!(matches_label(&Label::from("7"), &text("7")));
        assert!(!matches_label(&Label::from("7"), &text("7.0")));
    }

    #[test]
    fn exact_labels_keep_their_kind() {
        assert!(!matches_label(&Label::from(7), &LabelMatch::from("7")));
        assert!(matches_label(&Label::from(true), &LabelMatch::from(1)));
        assert!(!matches_label(
            &Label::from("True"),
            &LabelMatch::from(true)
        ));
    }
}
