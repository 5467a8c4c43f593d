//! Which rows of a store are kept.

use std::borrow::Cow;
use std::collections::HashMap;

use anndata_io::{Codes, EncodedColumn};
use label_encoding::{Label, LabelKind};

use crate::error::labels::UnmatchedLabel;
use crate::label_values::labels_of;
use crate::options::{FilterValue, LabelMatch, ObsFilter};
use crate::plan::obs::ObsColumn;
use crate::plan::obs_source::ObsSource;
use crate::plan::obs_table::StoreObs;
use crate::plan::unmatched::{Candidates, unmatched};

impl ObsFilter {
    /// The initial state of each of the [keys](Self::keys), before any file was read.
    pub(crate) fn unseen(&self) -> Vec<Seen> {
        let unseen = |(_, allowed): &(String, Vec<FilterValue>)| Seen {
            column: false,
            values: vec![false; allowed.len()],
            candidates: Candidates::default(),
        };
        self.columns.iter().map(unseen).collect()
    }

    /// The labels that no file has, in columns that some file has.
    pub(crate) fn unmatched(&self, seen: &[Seen]) -> Vec<UnmatchedLabel> {
        let mut found = Vec::new();
        for ((key, allowed), seen) in self.columns.iter().zip(seen) {
            if !seen.column {
                continue;
            }
            let labels = allowed.iter().zip(&seen.values);
            let labels = labels.filter_map(|(value, is_seen)| match value {
                FilterValue::Label(label) if !is_seen => Some(label),
                _ => None,
            });
            found.extend(unmatched("obs_filter", Some(key), labels, &seen.candidates));
        }
        found
    }

    /// Reads the columns of a store, one per [key](Self::keys).
    pub(crate) fn read(&self, obs: &StoreObs<'_>) -> Result<Vec<FilterColumn>, anndata_io::Error> {
        let read = |key: &String| match ObsSource::open(obs, key)? {
            Some(column) => column.read_labels().map(|labels| Some((column, labels))),
            None => Ok(None),
        };
        self.keys().map(read).collect()
    }

    /// The rows of a file that pass, ascending, and its columns, one per [key](Self::keys). Records
    /// in `seen` which of the columns and labels the file has.
    pub(crate) fn rows(
        &self,
        n_file_obs: u32,
        columns: Vec<FilterColumn>,
        seen: &mut [Seen],
    ) -> (Vec<u32>, Vec<Option<ObsColumn>>) {
        let mut rows: Vec<u32> = (0..n_file_obs).collect();
        let mut kept = Vec::with_capacity(columns.len());
        for (((_, allowed), column), seen) in self.columns.iter().zip(columns).zip(seen) {
            kept.push(match column {
                Some((column, labels)) => {
                    seen.column = true;
                    let passes = Verdicts::new(&labels, allowed, seen);
                    rows.retain(|&row| passes.row(&labels, row as usize));
                    // Labels that are nearly all distinct are not worth their memory.
                    Some(match (&labels.codes, column.as_column()) {
                        (Codes::U32(_), Some(column)) => ObsColumn::Values(column.clone()),
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
        (rows, kept)
    }
}

/// A column and its labels; `None` if the file does not have it.
pub(crate) type FilterColumn = Option<(ObsSource, EncodedColumn)>;

/// What the files had of one column of a filter.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether some file has the column.
    pub(crate) column: bool,
    /// For each value, whether some file has it.
    values: Vec<bool>,
    /// The labels of the files, as long as a value was not found.
    candidates: Candidates,
}

/// The verdicts of a filter on each category of a column.
struct Verdicts {
    categories: Vec<bool>,
    missing: bool,
}

impl Verdicts {
    fn new(column: &EncodedColumn, allowed: &[FilterValue], seen: &mut Seen) -> Verdicts {
        let missing = allowed.contains(&FilterValue::Missing);
        let labels = labels_of(&column.categories);
        let known = labels.iter().flatten();
        let mut verdicts: HashMap<Cow<'_, Label>, bool> = known
            .clone()
            .map(|label| (as_number(label), false))
            .collect();
        for (value, is_seen) in allowed.iter().zip(&mut seen.values) {
            match value {
                FilterValue::Missing => {}
                FilterValue::Label(LabelMatch::Exact(wanted)) => {
                    if let Some(passes) = verdicts.get_mut(&as_number(wanted)) {
                        (*passes, *is_seen) = (true, true);
                    }
                }
                FilterValue::Label(LabelMatch::Text(text)) => {
                    for label in known.clone().filter(|label| matches_text(label, text)) {
                        verdicts.insert(as_number(label), true);
                        *is_seen = true;
                    }
                }
            }
        }
        let passes = |label: &Option<Label>| match label {
            Some(label) => verdicts[&as_number(label)],
            None => missing,
        };
        let categories = labels.iter().map(passes).collect();
        let is_found =
            |(value, seen): (&FilterValue, &bool)| *seen || *value == FilterValue::Missing;
        if !allowed.iter().zip(&seen.values).all(is_found) {
            seen.candidates.add(labels.iter().flatten());
        }
        Verdicts {
            categories,
            missing,
        }
    }

    fn row(&self, column: &EncodedColumn, row: usize) -> bool {
        column
            .codes
            .get(row)
            .map_or(self.missing, |code| self.categories[code as usize])
    }
}

/// A label, but true as 1 and false as 0, which they equal in Python.
pub(crate) fn as_number(label: &Label) -> Cow<'_, Label> {
    match label {
        Label::Bool(value) => Cow::Owned(Label::Int((*value).into())),
        label => Cow::Borrowed(label),
    }
}

/// Whether a label is the one that a text stands for, whatever its kind.
pub(crate) fn matches_text(label: &Label, text: &str) -> bool {
    if label.python_text() == text {
        return true;
    }
    match label.kind() {
        LabelKind::Number => {
            let integer = || text.parse::<i128>().map(Label::Int).ok();
            let float = || Label::float(text.parse().ok()?, label_encoding::FloatWidth::F64);
            let wanted = integer().or_else(float);
            wanted.is_some_and(|wanted| same_number(label, &wanted))
        }
        LabelKind::Bool => text.eq_ignore_ascii_case(&label.python_text()),
        _ => false,
    }
}

/// Whether a number is the one written. 0.1 also matches the float32 nearest to 0.1.
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
    use anndata_io::{Bool8, ColumnValues, Values};
    use label_encoding::FloatWidth;

    use super::*;

    #[test]
    fn filter_reads_texts_by_the_kind_of_the_label() {
        let float = |value, width| Label::float(value, width).expect("not NaN");
        assert!(matches_text(&Label::from(7), "7"));
        assert!(matches_text(&Label::from(7), "7.0"));
        assert!(matches_text(&float(0.1, FloatWidth::F32), "0.1"));
        assert!(matches_text(&float(2.0, FloatWidth::F64), "2"));
        assert!(matches_text(&Label::from(true), "true"));
        assert!(matches_text(&Label::from("7"), "7"));
        assert!(!matches_text(&Label::from("7"), "7.0"));
    }

    #[test]
    fn filter_label_keeps_its_kind() {
        let column = |categories| EncodedColumn {
            categories,
            codes: Codes::U8(vec![0, 1, 255]),
        };
        let passing = |categories, wanted: &[FilterValue]| {
            let filter = ObsFilter {
                columns: vec![("k".to_owned(), wanted.to_vec())],
            };
            let verdicts = Verdicts::new(&column(categories), wanted, &mut filter.unseen()[0]);
            verdicts.categories
        };
        let numbers = || ColumnValues::Numbers(Values::I64(vec![7, 1]));
        assert_eq!(
            passing(numbers(), &["7".into(), true.into()]),
            [false, true]
        );
        let texts = || ColumnValues::Texts(["True", "1"].into_iter().collect());
        assert_eq!(passing(texts(), &[true.into(), 1.into()]), [false, false]);
        let bools = || ColumnValues::Numbers(Values::Bool([0, 1].map(Bool8).to_vec()));
        assert_eq!(passing(bools(), &[1.into()]), [false, true]);
    }
}
