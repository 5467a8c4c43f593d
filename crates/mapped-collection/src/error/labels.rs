//! Labels that do not exist or do not go together.

use std::path::PathBuf;

use label_encoding::EncodingError;

use crate::error::did_you_mean;

/// Why labels cannot be merged, encoded or counted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The labels of a key cannot be put into one order.
    #[error(
        "obs/{key}: expected labels of one kind, found {} in {} and {} in {}",
        kinds.0, files.0.display(), kinds.1, files.1.display()
    )]
    Mixed {
        /// The obs key.
        key: String,
        /// Two stores that differ.
        files: Box<(PathBuf, PathBuf)>,
        /// The kind of label that each of them has.
        kinds: Box<(String, String)>,
    },
    /// The labels of a key cannot be encoded or counted.
    #[error("the labels of {key:?} cannot be encoded or counted")]
    Encoding {
        /// The obs key, or several joined by a comma.
        key: String,
        /// Why.
        source: Box<EncodingError>,
    },
    /// No store has an obs column of this name.
    #[error("no store has the obs column {key:?}{}", did_you_mean(nearest))]
    NoSuchColumn {
        /// The name.
        key: String,
        /// An existing name that resembles it.
        nearest: Option<String>,
    },
    /// No store has a label that an option names.
    #[error(
        "{option}: no store has the label {label} in the obs key {key:?}{}",
        did_you_mean(nearest)
    )]
    NoSuchLabel {
        /// The option.
        option: &'static str,
        /// The obs key.
        key: String,
        /// The label, quoted if it is a text.
        label: String,
        /// An existing label that resembles it.
        nearest: Option<String>,
    },
}
