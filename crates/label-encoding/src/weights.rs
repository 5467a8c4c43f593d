//! Weighs rows by how rare their class is.

use std::collections::HashMap;

use crate::EncodingError;

/// The code of a row without a label in a [`LabelColumn`].
pub const MISSING: u32 = u32::MAX;

/// The text of a missing label. A label with this very text is the same class.
const MISSING_TEXT: &str = "nan";

/// The labels of one key: one code per row of the whole collection.
#[derive(Debug, Clone, Copy)]
pub struct LabelColumn<'a> {
    /// `[n_rows] u32`: positions in `texts`, or [`MISSING`].
    pub codes: &'a [u32],
    /// The labels as text ([`Label::python_text`](crate::Label::python_text)). Texts may repeat (they are then one
    /// label), and need not occur in a row.
    pub texts: &'a [String],
}

/// The classes with the number of their rows, and the class of each row.
///
/// Takes 4 bytes per row.
#[derive(Debug, Clone)]
pub struct LabelWeights {
    /// By first appearance, distinct.
    classes: Vec<String>,
    /// `[n_classes]`, each at least 1.
    counts: Vec<u64>,
    /// `[n_rows]`, positions in `classes`.
    class_idx: Vec<u32>,
}

impl LabelWeights {
    /// Counts the rows of each class.
    ///
    /// The class of a row is the text of its label, `nan` if it is missing. With several `keys`, their texts are joined
    /// by `__` to one class. Different labels may then coincide: `a__b` with `c` is `a` with `b__c`.
    ///
    /// # Errors
    ///
    /// [`EncodingError::NoKeys`], [`EncodingError::LengthMismatch`] if a key does not have `n_rows` codes,
    /// [`EncodingError::CodeOutOfRange`] for a code without a text, [`EncodingError::TooManyClasses`] for more than
    /// `u32::MAX` classes.
    pub fn count(n_rows: usize, keys: &[LabelColumn<'_>]) -> Result<Self, EncodingError> {
        for (key, column) in keys.iter().enumerate() {
            check(n_rows, key, column)?;
        }
        let (first, others) = keys.split_first().ok_or(EncodingError::NoKeys)?;
        let (mut classes, mut class_idx) = classes_of(first)?;
        for column in others {
            classes = combine(classes, &mut class_idx, column)?;
        }
        let mut counts = vec![0; classes.len()];
        for &class in &class_idx {
            counts[class as usize] += 1;
        }
        Ok(LabelWeights {
            classes,
            counts,
            class_idx,
        })
    }

    /// The classes, `[n_classes]`, in order of their first row.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of rows of each class, `[n_classes]`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The class of each row, `[n_rows]`, as positions in [`classes`](Self::classes).
    pub fn class_idx(&self) -> &[u32] {
        &self.class_idx
    }

    /// The weight of each row, `[n_rows] f64`, not normalised: with `c` the number of rows of its class, `1 / c`, or
    /// `s / (c + s)` with a scaler `s`.
    ///
    /// The scaler is not checked. A useful one is positive; a large one evens the weights out.
    pub fn weights(&self, scaler: Option<f64>) -> Vec<f64> {
        let by_class: Vec<f64> = self.class_weights(scaler).collect();
        let weight = |&class: &u32| by_class[class as usize];
        self.class_idx.iter().map(weight).collect()
    }

    /// Each class with the weight of its rows, as in [`weights`](Self::weights), by first appearance.
    pub fn by_class(&self, scaler: Option<f64>) -> Vec<(String, f64)> {
        let classes = self.classes.iter().cloned();
        classes.zip(self.class_weights(scaler)).collect()
    }

    fn class_weights(&self, scaler: Option<f64>) -> impl Iterator<Item = f64> {
        self.counts.iter().map(move |&count| match scaler {
            None => 1.0 / count as f64,
            Some(scaler) => scaler / (count as f64 + scaler),
        })
    }
}

fn check(n_rows: usize, key: usize, column: &LabelColumn<'_>) -> Result<(), EncodingError> {
    if column.codes.len() != n_rows {
        return Err(EncodingError::LengthMismatch {
            key,
            expected: n_rows,
            found: column.codes.len(),
        });
    }
    let n_texts = column.texts.len();
    let in_range = |code: u32| code == MISSING || (code as usize) < n_texts;
    match column.codes.iter().position(|&code| !in_range(code)) {
        None => Ok(()),
        Some(row) => Err(EncodingError::CodeOutOfRange {
            key,
            row,
            code: column.codes[row],
            n_texts,
        }),
    }
}

/// The classes of one key alone, by first appearance, and the class of each row.
fn classes_of(column: &LabelColumn<'_>) -> Result<(Vec<String>, Vec<u32>), EncodingError> {
    let mut classes = Classes::default();
    // One slot per code and one for missing, filled by the first such row.
    let mut class_of_code = vec![None; column.texts.len() + 1];
    let mut class_idx = Vec::with_capacity(column.codes.len());
    for &code in column.codes {
        let slot = (code as usize).min(column.texts.len());
        let class = match class_of_code[slot] {
            Some(class) => class,
            None => *class_of_code[slot].insert(classes.number(column.text(code).to_owned())?),
        };
        class_idx.push(class);
    }
    Ok((classes.texts, class_idx))
}

/// Adds a key: joins the text of each row's class with its label of `column`, and numbers the joined classes anew.
fn combine(
    before: Vec<String>,
    class_idx: &mut [u32],
    column: &LabelColumn<'_>,
) -> Result<Vec<String>, EncodingError> {
    let mut classes = Classes::default();
    let mut class_of_pair: HashMap<(u32, u32), u32> = HashMap::new();
    for (class, &code) in class_idx.iter_mut().zip(column.codes) {
        let pair = (*class, code);
        *class = match class_of_pair.get(&pair) {
            Some(&joined) => joined,
            None => {
                let text = format!("{}__{}", before[*class as usize], column.text(code));
                let joined = classes.number(text)?;
                class_of_pair.insert(pair, joined);
                joined
            }
        };
    }
    Ok(classes.texts)
}

impl LabelColumn<'_> {
    /// The text of a code that was checked.
    fn text(&self, code: u32) -> &str {
        self.texts
            .get(code as usize)
            .map_or(MISSING_TEXT, String::as_str)
    }
}

/// Distinct texts, numbered by first appearance.
#[derive(Default)]
struct Classes {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Classes {
    fn number(&mut self, text: String) -> Result<u32, EncodingError> {
        if let Some(&number) = self.numbers.get(&text) {
            return Ok(number);
        }
        let number = u32::try_from(self.texts.len()).map_err(|_| EncodingError::TooManyClasses)?;
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn count(keys: &[(&[u32], &[&str])]) -> Result<LabelWeights, EncodingError> {
        let owned: Vec<Vec<String>> = keys.iter().map(|(_, t)| texts(t)).collect();
        let columns: Vec<LabelColumn<'_>> = keys
            .iter()
            .zip(&owned)
            .map(|((codes, _), texts)| LabelColumn { codes, texts })
            .collect();
        LabelWeights::count(keys[0].0.len(), &columns)
    }

    #[test]
    fn weights_grow_with_rarity() {
        let counted = count(&[(&[1, 1, 0, 1], &["a", "b", "never"])]).unwrap();
        assert_eq!(counted.classes(), ["b", "a"]);
        assert_eq!(counted.counts(), [3, 1]);
        assert_eq!(counted.class_idx(), [0, 0, 1, 0]);
        let third = 1.0 / 3.0;
        assert_eq!(counted.weights(None), [third, third, 1.0, third]);
        assert_eq!(
            counted.by_class(None),
            [("b".to_owned(), third), ("a".to_owned(), 1.0)]
        );
    }

    #[test]
    fn scaler_evens_weights_out() {
        let counted = count(&[(&[1, 1, 0, 1], &["a", "b"])]).unwrap();
        assert_eq!(counted.weights(Some(3.0)), [0.5, 0.5, 0.75, 0.5]);
        assert_eq!(counted.by_class(Some(3.0))[1], ("a".to_owned(), 0.75));
        assert_eq!(counted.weights(Some(0.0)), [0.0; 4]);
    }

    #[test]
    fn missing_and_literal_nan_are_one_class() {
        let counted = count(&[(&[MISSING, 0, 1, MISSING], &["nan", "a"])]).unwrap();
        assert_eq!(counted.classes(), ["nan", "a"]);
        assert_eq!(counted.counts(), [3, 1]);
    }

    #[test]
    fn equal_texts_are_one_class() {
        let counted = count(&[(&[2, 0, 1], &["1", "2", "2"])]).unwrap();
        assert_eq!(counted.classes(), ["2", "1"]);
        assert_eq!(counted.counts(), [2, 1]);
    }

    #[test]
    fn keys_are_joined_row_by_row() {
        let counted = count(&[
            (&[0, 1, 0, MISSING], &["a", "b"]),
            (&[0, 0, 0, 1], &["x", "y"]),
            (&[MISSING, 0, MISSING, 0], &["True"]),
        ])
        .unwrap();
        assert_eq!(
            counted.classes(),
            ["a__x__nan", "b__x__True", "nan__y__True"]
        );
        assert_eq!(counted.counts(), [2, 1, 1]);
    }

    #[test]
    fn joined_texts_that_coincide_are_one_class() {
        let counted = count(&[(&[0, 1], &["a__b", "a"]), (&[0, 1], &["c", "b__c"])]).unwrap();
        assert_eq!(counted.classes(), ["a__b__c"]);
        assert_eq!(counted.counts(), [2]);
        let counted = count(&[
            (&[0, 1], &["a__b", "a"]),
            (&[0, 1], &["c", "b__c"]),
            (&[0, 1], &["x", "y"]),
        ]);
        assert_eq!(counted.unwrap().classes(), ["a__b__c__x", "a__b__c__y"]);
    }

    #[test]
    fn weights_of_no_rows_are_empty() {
        let counted = count(&[(&[], &["a"])]).unwrap();
        assert!(counted.weights(None).is_empty() && counted.by_class(None).is_empty());
    }

    #[test]
    fn bad_columns_are_errors() {
        assert_eq!(
            LabelWeights::count(0, &[]).unwrap_err(),
            EncodingError::NoKeys
        );
        let error = count(&[(&[0, 0], &["a"]), (&[0], &["a"])]).unwrap_err();
        assert_eq!(error.to_string(), "key 1 has 1 codes for 2 rows");
        let error = count(&[(&[0, 1], &["a"])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "key 0 has code 1 in row 1 but only 1 labels"
        );
    }
}
