//! Which element of a store a matrix is read from.

use anndata_io::{AnnDataFile, ErrorKind, LayerKey, MatrixSource};

use crate::error::open::OpenError;
use crate::options::Options;
use crate::plan::counts::{COUNTS, find_non_count, shown};
use crate::plan::variables::{Table, table_of};

/// A matrix key of the options, with the elements to try in order.
#[derive(Debug)]
pub(crate) struct LayerChoice {
    pub(crate) name: String,
    pub(crate) keys: Vec<LayerKey>,
    pub(crate) counts: bool,
    /// Whether it names one element, and nothing is known of its values.
    pub(crate) is_plain: bool,
}

/// What a store has for a key.
pub(crate) type Taken = Option<(LayerKey, MatrixSource)>;

impl Options {
    /// The matrix keys and their elements.
    pub(crate) fn layers(&self) -> Vec<LayerChoice> {
        let choice = |name: &String| {
            let from = self.layers_from.iter().find(|(key, _)| key == name);
            let (keys, counts) = match from {
                Some((_, from)) => (from.keys(), from.are_counts()),
                None => (std::slice::from_ref(name), false),
            };
            LayerChoice {
                is_plain: !counts && keys == std::slice::from_ref(name),
                keys: keys.iter().map(|key| key.as_str().into()).collect(),
                name: name.clone(),
                counts,
            }
        };
        self.layers_keys.iter().map(choice).collect()
    }
}

impl LayerChoice {
    /// Whether it is `raw.X` and nothing else. Without a given list of genes, its rows are not
    /// joined.
    pub(crate) fn is_plain_raw(&self) -> bool {
        self.is_plain && self.keys == [LayerKey::RawX]
    }

    /// The names of its elements.
    pub(crate) fn names(&self) -> Vec<String> {
        self.keys.iter().map(ToString::to_string).collect()
    }

    /// Refuses a `raw.X` that is joined although nothing names its columns.
    pub(crate) fn check_raw(
        &self,
        file: &AnnDataFile,
        options: &Options,
        taken: Option<&LayerKey>,
        matrix: Option<&MatrixSource>,
    ) -> Result<(), OpenError> {
        let is_joined =
            options.join.is_some() && table_of(options, self, taken) == Some(Table::Raw);
        let (Some(matrix), true) = (matrix, is_joined) else {
            return Ok(());
        };
        if file.raw_var()?.is_some() {
            return Ok(());
        }
        let kind = ErrorKind::Invalid {
            expected: "a table raw/var with the names of its variables".to_owned(),
            found: format!("{} columns without names", matrix.row_len()),
        };
        Err(anndata_io::Error::new(file.path(), "raw.X", kind).into())
    }

    /// Opens the first element that the file has and that is fit.
    ///
    /// # Errors
    /// When an element cannot be read, or none of those that exist holds counts.
    pub(crate) fn open(&self, file: &AnnDataFile) -> Result<Taken, OpenError> {
        let (mut refused, mut absent) = (Vec::new(), Vec::new());
        for key in &self.keys {
            let Some(source) = file.layer(key)? else {
                absent.push(key.to_string());
                continue;
            };
            let non_count = match self.counts {
                true => find_non_count(&source)?,
                false => None,
            };
            match non_count {
                None => return Ok(Some((key.clone(), source))),
                Some(found) => {
                    refused.push(format!(
                        "{key}: {} in row {}",
                        shown(found.value),
                        found.row
                    ));
                }
            }
        }
        if refused.is_empty() {
            return Ok(None);
        }
        let kind = ErrorKind::Invalid {
            expected: format!("{COUNTS} in one of {}", self.names().join(", ")),
            found: match absent.is_empty() {
                true => refused.join("; "),
                false => format!("{}; there is no {}", refused.join("; "), absent.join(", ")),
            },
        };
        Err(anndata_io::Error::new(file.path(), self.name.as_str(), kind).into())
    }
}
