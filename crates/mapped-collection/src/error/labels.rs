//! Labels that do not exist or do not go together.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use label_encoding::{EncodingError, Label};

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
    #[error("{0}")]
    NoSuchLabel(Box<UnmatchedLabel>),
}

/// A label of an option that no store has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnmatchedLabel {
    /// The option: `obs_filter`, `label_map`, `unknown_label`, `sampler` or `matched`.
    pub group: &'static str,
    /// The obs key; `None` for an unknown label of all encoded keys.
    pub key: Option<String>,
    /// The label as given.
    pub label: Label,
    /// An existing label that resembles it. It may be of another kind: the text `1` for the number
    /// 1.
    pub nearest: Option<Label>,
}

impl fmt::Display for UnmatchedLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, label) = (self.group, quoted(&self.label));
        write!(f, "{group}: no store has the label {label}")?;
        match &self.key {
            Some(key) => write!(f, " in the obs key {key:?}")?,
            None => f.write_str(" in any encoded obs key")?,
        }
        match &self.nearest {
            Some(nearest) => write!(f, ": did you mean {}?", quoted(nearest)),
            None => Ok(()),
        }
    }
}

/// A label for a message. Texts are quoted, to distinguish them from numbers.
pub(crate) fn quoted(label: &Label) -> Cow<'_, str> {
    match label {
        Label::Str(text) => format!("{text:?}").into(),
        label => label.python_text(),
    }
}
