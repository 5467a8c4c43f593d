//! Labels as integers.

use std::collections::HashMap;

use crate::{Categories, EncodingError, Label};

/// The code of the unknown label, and of nothing else.
pub const UNKNOWN_CODE: i64 = -1;

/// The customary code of a missing value: torch's cross entropy ignores it by default (`ignore_index`). An [`Encoder`]
/// never returns it, because a missing value is not a label.
pub const MISSING_CODE: i64 = -100;

/// Turns the labels of one key into codes: `0..n_classes` in ascending order of the labels. The unknown label is
/// [`UNKNOWN_CODE`] and leaves no gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    /// Ascending; a label's position is its code.
    classes: Vec<Label>,
    unknown: Option<Label>,
}

/// With more classes than this, many labels are encoded through a table. A binary search in a million classes reads
/// twenty of them, which lie scattered in memory.
const MOST_SEARCHED: usize = 1000;

/// The codes of an encoder, prepared for many lookups.
#[derive(Debug)]
pub struct Lookup<'a> {
    encoder: &'a Encoder,
    by_label: Option<HashMap<&'a Label, i64>>,
}

impl Lookup<'_> {
    /// As [`Encoder::encode`].
    pub fn encode(&self, label: &Label) -> Option<i64> {
        match &self.by_label {
            Some(codes) => codes.get(label).copied(),
            None => self.encoder.encode(label),
        }
    }
}

impl Encoder {
    /// Makes the encoder of `categories`. `unknown` is not a class; it is ignored if it is not among the categories.
    pub fn new(categories: Categories, unknown: Option<&Label>) -> Self {
        let position = unknown.and_then(|label| categories.position(label));
        let mut classes = categories.into_labels();
        let unknown = position.map(|position| classes.remove(position));
        Encoder { classes, unknown }
    }

    /// The code of a label; `None` if it is neither a class nor the unknown label.
    pub fn encode(&self, label: &Label) -> Option<i64> {
        if self.unknown.as_ref() == Some(label) {
            return Some(UNKNOWN_CODE);
        }
        let position = self.classes.binary_search(label).ok()?;
        Some(position as i64)
    }

    /// The codes of the labels of one store, `[labels.len()] i64`. If its rows hold positions in that list, one lookup
    /// then encodes a row.
    ///
    /// # Errors
    ///
    /// [`EncodingError::NotACategory`] for the first label that has no code.
    pub fn table(&self, labels: &[Label]) -> Result<Vec<i64>, EncodingError> {
        let code = |label: &Label| {
            self.encode(label)
                .ok_or_else(|| EncodingError::NotACategory {
                    label: label.clone(),
                })
        };
        labels.iter().map(code).collect()
    }

    /// Prepares the lookup of many labels.
    pub fn lookup(&self) -> Lookup<'_> {
        let by_label = (self.classes.len() > MOST_SEARCHED).then(|| self.entries().collect());
        Lookup {
            encoder: self,
            by_label,
        }
    }

    /// Every label with its code: the unknown one first, then the classes ascending.
    pub fn entries(&self) -> impl Iterator<Item = (&Label, i64)> {
        let unknown = self.unknown.iter().map(|label| (label, UNKNOWN_CODE));
        unknown.chain(self.classes.iter().zip(0..))
    }

    /// The classes: the label at position `i` has code `i`.
    pub fn classes(&self) -> &[Label] {
        &self.classes
    }

    /// The number of classes. The unknown label is not a class.
    pub fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// The unknown label, if it is among the categories.
    pub fn unknown(&self) -> Option<&Label> {
        self.unknown.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FloatWidth;

    fn encoder(labels: &[&str], unknown: Option<&str>) -> Encoder {
        let labels: Vec<Label> = labels.iter().copied().map(Label::from).collect();
        let categories = Categories::merge(&[(0, labels)]).unwrap();
        Encoder::new(categories, unknown.map(Label::from).as_ref())
    }

    fn entries(encoder: &Encoder) -> Vec<(String, i64)> {
        let entry = |(label, code): (&Label, i64)| (label.to_string(), code);
        encoder.entries().map(entry).collect()
    }

    fn expected(entries: &[(&str, i64)]) -> Vec<(String, i64)> {
        entries
            .iter()
            .map(|&(label, code)| (label.to_owned(), code))
            .collect()
    }

    #[test]
    fn codes_ascend_with_the_labels() {
        let encoder = encoder(&["c", "a", "b"], None);
        assert_eq!(entries(&encoder), expected(&[("a", 0), ("b", 1), ("c", 2)]));
        assert_eq!((encoder.n_classes(), encoder.unknown()), (3, None));
    }

    #[test]
    fn unknown_label_leaves_no_gap_and_comes_first() {
        let encoder = encoder(&["c", "a", "b"], Some("b"));
        assert_eq!(
            entries(&encoder),
            expected(&[("b", -1), ("a", 0), ("c", 1)])
        );
        assert_eq!(encoder.n_classes(), 2);
        assert_eq!(encoder.unknown(), Some(&Label::from("b")));
        assert_eq!(encoder.encode(&Label::from("b")), Some(UNKNOWN_CODE));
        assert_eq!(encoder.encode(&Label::from("c")), Some(1));
    }

    #[test]
    fn unknown_label_that_does_not_occur_is_ignored() {
        let encoder = encoder(&["a", "b"], Some("x"));
        assert_eq!(entries(&encoder), expected(&[("a", 0), ("b", 1)]));
        assert_eq!(encoder.encode(&Label::from("x")), None);
    }

    #[test]
    fn encoder_may_be_empty() {
        let encoder = encoder(&[], Some("x"));
        assert_eq!((encoder.n_classes(), encoder.entries().count()), (0, 0));
        assert_eq!(encoder.table(&[]), Ok(vec![]));
    }

    #[test]
    fn unknown_label_may_be_alone() {
        let encoder = encoder(&["x"], Some("x"));
        assert_eq!((encoder.n_classes(), encoder.classes()), (0, &[][..]));
        assert_eq!(entries(&encoder), expected(&[("x", -1)]));
    }

    #[test]
    fn numbers_are_encoded_by_value() {
        let labels = [3, 1, 2].map(Label::from);
        let two = Label::float(2.0, FloatWidth::F32).unwrap();
        let encoder = Encoder::new(Categories::merge(&[(0, labels)]).unwrap(), Some(&two));
        assert_eq!(encoder.encode(&Label::from(2_i64)), Some(UNKNOWN_CODE));
        assert_eq!(
            entries(&encoder),
            expected(&[("2", -1), ("1", 0), ("3", 1)])
        );
        assert_eq!(encoder.encode(&Label::from(true)), None);
    }

    #[test]
    fn many_labels_are_encoded_like_one() {
        for n in [3, 3 * MOST_SEARCHED as i64] {
            let labels: Vec<Label> = (0..n).rev().map(Label::from).collect();
            let categories = Categories::merge(&[(0, labels.clone())]).unwrap();
            let encoder = Encoder::new(categories, Some(&Label::from(1)));
            let lookup = encoder.lookup();
            assert_eq!(lookup.by_label.is_some(), n > 3);
            let float = Label::float(2.0, FloatWidth::F32).unwrap();
            for label in labels
                .iter()
                .chain([&float, &Label::from(n), &Label::from("1")])
            {
                assert_eq!(lookup.encode(label), encoder.encode(label), "{label}");
            }
        }
    }

    #[test]
    fn table_follows_the_order_of_the_store() {
        let encoder = encoder(&["a", "b", "c"], Some("a"));
        let table = encoder.table(&["c", "a", "b", "c"].map(Label::from));
        assert_eq!(table, Ok(vec![1, -1, 0, 1]));
        let error = encoder.table(&["c", "x"].map(Label::from)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "label `x` is not among the categories of the encoder"
        );
    }
}
