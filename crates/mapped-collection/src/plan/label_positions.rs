//! The labels of rows, and the labels that an option names, as positions in a list.

use std::borrow::Cow;
use std::collections::HashMap;

use label_encoding::{Label, MISSING};

use crate::error::labels::LabelsError;
use crate::options::{FilterValue, LabelMatch};
use crate::plan::filter::{as_number, matches_text};
use crate::plan::labels::MergedLabels;
use crate::plan::unmatched::no_such_label;

impl MergedLabels {
    /// For each row, the position of its label among the [labels](Self::labels); the number of
    /// labels if it is missing.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        let missing = self.labels().len();
        let codes = self.codes().iter();
        codes.map(move |&code| {
            if code == MISSING {
                missing
            } else {
                code as usize
            }
        })
    }

    /// The rows of each label, then those without one.
    pub(crate) fn rows_by_label(&self) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); self.labels().len() + 1];
        for (row, label) in (0..).zip(self.positions()) {
            rows[label].push(row);
        }
        rows
    }
}

/// The labels of a key, by value.
#[derive(Debug)]
pub(crate) struct LabelIndex<'a> {
    labels: &'a [Label],
    positions: HashMap<Cow<'a, Label>, usize>,
}

impl<'a> LabelIndex<'a> {
    pub(crate) fn new(labels: &'a [Label]) -> LabelIndex<'a> {
        let numbered = labels.iter().enumerate();
        LabelIndex {
            labels,
            positions: numbered.map(|(at, label)| (as_number(label), at)).collect(),
        }
    }

    /// The position of the label that equals a value of an option; the number of labels if the value
    /// stands for a missing label.
    ///
    /// # Errors
    /// When no label does.
    pub(crate) fn position(
        &self,
        option: &'static str,
        key: &str,
        value: &FilterValue,
    ) -> Result<usize, LabelsError> {
        let wanted = match value {
            FilterValue::Missing => return Ok(self.labels.len()),
            FilterValue::Label(wanted) => wanted,
        };
        let found = match wanted {
            LabelMatch::Exact(label) => self.positions.get(&as_number(label)).copied(),
            LabelMatch::Text(text) => {
                let mut labels = self.labels.iter();
                labels.position(|label| matches_text(label, text))
            }
        };
        found.ok_or_else(|| no_such_label(option, key, wanted, self.labels))
    }
}
