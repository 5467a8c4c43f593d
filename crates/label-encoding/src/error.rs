//! What can go wrong when labels are united, encoded or counted.

use crate::{Label, LabelKind};

/// Why labels could not be united, encoded or counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// Labels that cannot be compared: a text with a number, or a boolean with either.
    #[error(
        "labels are {first_kind} in store {first_store} but {second_kind} in store {second_store}"
    )]
    MixedKinds {
        /// The number of the first store that has labels.
        first_store: usize,
        /// The kind of its labels.
        first_kind: LabelKind,
        /// The number of the first store that disagrees (the same one if it disagrees with itself).
        second_store: usize,
        /// The kind of the label that disagrees.
        second_kind: LabelKind,
    },

    /// A label that is neither a class of the encoder nor its unknown label.
    #[error("label `{label}` is not among the categories of the encoder")]
    NotACategory {
        /// The label.
        label: Label,
    },

    /// Weights were requested without a key.
    #[error("label weights need at least one key")]
    NoKeys,

    /// The number of codes of a key is not the number of rows.
    #[error("key {key} has {found} codes for {expected} rows")]
    LengthMismatch {
        /// The position of the key among those given, from 0.
        key: usize,
        /// The number of rows.
        expected: usize,
        /// The number of codes.
        found: usize,
    },

    /// A code has no text.
    #[error("key {key} has code {code} in row {row} but only {n_texts} labels")]
    CodeOutOfRange {
        /// The position of the key among those given, from 0.
        key: usize,
        /// The row, from 0.
        row: usize,
        /// The code.
        code: u32,
        /// The number of labels of the key.
        n_texts: usize,
    },

    /// More classes than a `u32` can number.
    #[error("there are more than {max} classes", max = u32::MAX)]
    TooManyClasses,
}
