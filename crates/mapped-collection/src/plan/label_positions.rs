//! The labels of rows, and the labels that an option names, as positions in a list.

use label_encoding::MISSING;

use crate::error::labels::LabelsError;
use crate::options::FilterValue;
use crate::plan::filter::matches_label;
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

    /// The positions of the labels that equal a value of an option. Several labels match if they
    /// are equal numbers of different kinds, such as 1 and true.
    ///
    /// # Errors
    /// When no label matches.
    pub(crate) fn positions_of(
        &self,
        option: &'static str,
        key: &str,
        value: &FilterValue,
    ) -> Result<Vec<usize>, LabelsError> {
        let FilterValue::Label(wanted) = value else {
            return Ok(vec![self.labels().len()]);
        };
        let known = self.labels().iter().enumerate();
        let equal = known.filter(|(_, label)| matches_label(label, wanted));
        let positions: Vec<usize> = equal.map(|(position, _)| position).collect();
        match positions.is_empty() {
            true => Err(no_such_label(option, key, wanted, self.labels())),
            false => Ok(positions),
        }
    }
}
