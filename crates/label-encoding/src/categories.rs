//! The labels of one key, united over stores.

use crate::{EncodingError, Label, LabelKind};

/// The sorted, distinct labels of one key over all stores that have it. All are of one [kind](LabelKind).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Categories {
    labels: Vec<Label>,
}

impl Categories {
    /// Unites the labels of several stores, each given as (number of the store, its labels).
    ///
    /// Labels may repeat and come in any order; a store may have no labels. Of labels that are equal but print
    /// differently (`2` and `2.0`), the first one stays.
    ///
    /// # Errors
    ///
    /// [`EncodingError::MixedKinds`] if not all labels are of one kind. It names the first store that has labels and
    /// the first store that disagrees with it.
    pub fn merge<L: AsRef<[Label]>>(stores: &[(usize, L)]) -> Result<Self, EncodingError> {
        let mut first = None;
        let mut labels = Vec::new();
        for (store, store_labels) in stores {
            for label in store_labels.as_ref() {
                let (first_store, first_kind) = *first.get_or_insert((*store, label.kind()));
                if label.kind() != first_kind {
                    return Err(EncodingError::MixedKinds {
                        first_store,
                        first_kind,
                        second_store: *store,
                        second_kind: label.kind(),
                    });
                }
                labels.push((prefix(label), label));
            }
        }
        // A stable sort: of equal labels, the first stays first. Lists that are sorted already merge quickly.
        labels.sort();
        labels.dedup();
        Ok(Categories {
            labels: labels.into_iter().map(|(_, label)| label.clone()).collect(),
        })
    }

    /// The labels, ascending.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The number of labels.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no label: every value is missing.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The kind of the labels; `None` if there is no label.
    pub fn kind(&self) -> Option<LabelKind> {
        self.labels.first().map(Label::kind)
    }

    /// The position of a label in [`labels`](Self::labels).
    pub fn position(&self, label: &Label) -> Option<usize> {
        self.labels.binary_search(label).ok()
    }

    /// The first label whose [Python text](Label::python_text) is `text`, for callers that have only text, such as a
    /// command line: `"2.0"` finds the float 2, not the integer 2.
    pub fn find_text(&self, text: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.python_text() == text)
    }

    pub(crate) fn into_labels(self) -> Vec<Label> {
        self.labels
    }
}

impl<'a> IntoIterator for &'a Categories {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;

    fn into_iter(self) -> Self::IntoIter {
        self.labels.iter()
    }
}

/// The first bytes of a text, as a number that sorts as they do; one constant for all other labels. Most comparisons
/// then need not read the texts, which lie scattered in memory.
fn prefix(label: &Label) -> u128 {
    let mut bytes = [0; 16];
    if let Label::Str(text) = label {
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    }
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FloatWidth;

    fn float(value: f64) -> Label {
        Label::float(value, FloatWidth::F64).unwrap()
    }

    fn texts(categories: &Categories) -> Vec<String> {
        categories.labels().iter().map(Label::to_string).collect()
    }

    #[test]
    fn union_is_sorted_and_distinct() {
        let a = ["b", "10", "a"].map(Label::from);
        let b = ["9", "b", "b"].map(Label::from);
        let merged = Categories::merge(&[(0, &a[..]), (1, &[]), (2, &b[..])]).unwrap();
        assert_eq!(texts(&merged), ["10", "9", "a", "b"]);
        assert_eq!((merged.len(), merged.is_empty()), (4, false));
        assert_eq!(merged.kind(), Some(LabelKind::Text));
        assert_eq!(merged.position(&Label::from("a")), Some(2));
        assert_eq!(merged.position(&Label::from("c")), None);
    }

    /// Covers texts that begin with the same 16 bytes, end with zeros, or are cut within a character.
    #[test]
    fn long_texts_sort_by_all_of_their_bytes() {
        let mut expected = [
            "",
            "\0",
            "0123456789abcde",
            "0123456789abcde\0",
            "0123456789abcdef",
            "0123456789abcdef\0",
            "0123456789abcdef0",
            "0123456789abcdef1",
            "0123456789abcdeé",
            "0123456789abcdeéa",
            "é",
        ];
        expected.sort_unstable();
        let shuffled = [7, 0, 3, 9, 1, 10, 5, 2, 8, 4, 6, 3].map(|i| Label::from(expected[i]));
        let merged = Categories::merge(&[(0, shuffled)]).unwrap();
        assert_eq!(texts(&merged), expected);
    }

    #[test]
    fn numbers_sort_by_value_and_unite_across_types() {
        let ints = [10, 9, 2].map(Label::from);
        let floats = [2.0, 9.5, -1.0].map(float);
        let merged = Categories::merge(&[(0, &ints), (1, &floats)]).unwrap();
        assert_eq!(texts(&merged), ["-1.0", "2", "9", "9.5", "10"]);
        let merged = Categories::merge(&[(1, &floats), (0, &ints)]).unwrap();
        assert_eq!(texts(&merged), ["-1.0", "2.0", "9", "9.5", "10"]);
    }

    #[test]
    fn false_sorts_before_true() {
        let merged = Categories::merge(&[(0, [true, false].map(Label::from))]).unwrap();
        assert_eq!(texts(&merged), ["False", "True"]);
    }

    #[test]
    fn categories_may_be_empty() {
        let merged = Categories::merge(&[(0, [])]).unwrap();
        assert!(merged.is_empty());
        assert_eq!(merged.kind(), None);
        assert_eq!(merged, Categories::merge::<Vec<Label>>(&[]).unwrap());
    }

    #[test]
    fn kinds_do_not_mix() {
        let (text, number, boolean) = (
            [Label::from("1")],
            [Label::from(1_i64)],
            [Label::from(true)],
        );
        let cases = [
            (
                &text,
                &number,
                "labels are texts in store 3 but numbers in store 7",
            ),
            (
                &boolean,
                &number,
                "labels are booleans in store 3 but numbers in store 7",
            ),
            (
                &text,
                &boolean,
                "labels are texts in store 3 but booleans in store 7",
            ),
        ];
        for (first, second, message) in cases {
            let stores = [
                (1, &[][..]),
                (3, &first[..]),
                (4, &first[..]),
                (7, &second[..]),
            ];
            let error = Categories::merge(&stores).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn store_that_mixes_kinds_is_named_twice() {
        let error = Categories::merge(&[(2, [Label::from("a"), Label::from(true)])]).unwrap_err();
        let expected = EncodingError::MixedKinds {
            first_store: 2,
            first_kind: LabelKind::Text,
            second_store: 2,
            second_kind: LabelKind::Bool,
        };
        assert_eq!(error, expected);
    }

    #[test]
    fn labels_are_found_by_their_text() {
        let merged = Categories::merge(&[(0, [Label::from(7_i64), float(2.0)])]).unwrap();
        assert_eq!(merged.find_text("7"), Some(&Label::from(7_i64)));
        assert_eq!(merged.find_text("2.0"), Some(&float(2.0)));
        assert_eq!(merged.find_text("2"), None);
    }
}
