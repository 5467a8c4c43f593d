//! The names that the variables of a store are joined by.

use std::collections::HashSet;
use std::sync::Arc;

use anndata_io::{AnnDataFile, Column, ErrorKind, VarTable, nearest_name};
use feature_join::{NameRule, VarNames};

use crate::error::open::OpenError;
use crate::label_values::{labels_of, plain_text};

/// The key of the index of a table.
pub(crate) const INDEX: &str = "_index";

/// Keeps equal lists of names only once.
#[derive(Default)]
pub(crate) struct SharedNames(HashSet<Arc<VarNames>>);

impl SharedNames {
    pub(crate) fn share(&mut self, names: VarNames) -> Arc<VarNames> {
        if let Some(known) = self.0.get(&names) {
            return known.clone();
        }
        let names = Arc::new(names);
        self.0.insert(names.clone());
        names
    }
}

/// Reads the names in the first of the columns `keys` that a table has, or in its index if there
/// are no keys. An empty or missing text in a column is not a name.
///
/// # Errors
/// When the table has no such column, or it cannot be read.
pub(crate) fn read_names(
    file: &AnnDataFile,
    table: VarTable<'_>,
    keys: &[String],
    rule: &NameRule,
) -> Result<VarNames, OpenError> {
    for key in keys {
        if key == INDEX {
            break;
        }
        if let Some(column) = table.column(key)? {
            let names = column_names(&column, rule)?;
            if names.n_unnamed() == names.len() && !names.is_empty() {
                let element = format!("{}/{key}", table.element());
                let kind = ErrorKind::Invalid {
                    expected: "names of variables".to_owned(),
                    found: "no name".to_owned(),
                };
                return Err(anndata_io::Error::new(file.path(), element, kind).into());
            }
            return Ok(names);
        }
    }
    if !keys.is_empty() && !keys.iter().any(|key| key == INDEX) {
        let found = table.keys()?;
        let near = |key: &String| nearest_name(key, found.iter().map(String::as_str));
        return Err(OpenError::NoVarColumn {
            file: file.path().into(),
            element: table.element(),
            nearest: keys.iter().find_map(near),
            expected: keys.to_vec(),
            found,
        });
    }
    let names = table.names()?;
    Ok(if rule.is_empty() {
        names.iter().collect()
    } else {
        names.iter().map(|name| rule.apply(name)).collect()
    })
}

/// Reads the names in a column.
pub(crate) fn column_names(
    column: &Column,
    rule: &NameRule,
) -> Result<VarNames, anndata_io::Error> {
    let named = |text: &str| !text.is_empty();
    // The common case, without a list of distinct names.
    if let Some(texts) = column.read_plain_texts()? {
        let names = texts
            .iter()
            .map(|text| named(text).then(|| rule.apply(text)));
        return Ok(VarNames::with_missing(names));
    }
    let labels = column.read_labels()?;
    let names = labels_of(&labels.categories);
    let names = names.into_iter().map(|label| {
        let text = plain_text(&label?);
        named(&text).then(|| rule.apply(&text).into_owned())
    });
    let names: Vec<Option<String>> = names.collect();
    let name = |row: usize| names[labels.codes.get(row)? as usize].as_deref();
    Ok(VarNames::with_missing((0..labels.codes.len()).map(name)))
}
