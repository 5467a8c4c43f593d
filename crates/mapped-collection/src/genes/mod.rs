//! Lists of genes, and other tables that a caller passes as files.
//!
//! Takes a path, or names; returns a [`GeneList`], or pairs of names. Uses only errors. A list is
//! read once: a collection that is opened again keeps its names.

pub(crate) mod file;
mod json;

use std::path::Path;
use std::sync::Arc;

use feature_join::VarNames;

use crate::error::Error;
use crate::error::option::OptionError;

/// The genes that a model takes in, in the order of its columns.
///
/// ```
/// use mapped_collection::GeneList;
///
/// let genes = GeneList::new(["CD4", "TP53"]);
/// assert!(genes.names().iter().eq(["CD4", "TP53"]));
///
/// let vocabulary = [("TP53", 7), ("<pad>", 0), ("CD4", 3)];
/// let genes = GeneList::from_vocabulary(vocabulary, None)?;
/// assert!(genes.names().iter().eq(["CD4", "TP53"]));
/// assert_eq!(genes.ids(), Some(&[3, 7][..]));
/// assert_eq!(genes.special(), [("<pad>".to_owned(), 0)]);
/// # Ok::<(), mapped_collection::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneList {
    names: Arc<VarNames>,
    ids: Option<Vec<i64>>,
    special: Vec<(String, i64)>,
}

impl GeneList {
    /// Genes in this order. They must be distinct: a collection checks that when it is opened.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> GeneList {
        GeneList {
            names: Arc::new(names.into_iter().collect()),
            ids: None,
            special: Vec::new(),
        }
    }

    /// The names of a vocabulary by ascending id. Names in `special`, by default those like
    /// `<pad>`, are not genes, but keep their ids.
    ///
    /// # Errors
    /// When two names have one id, or a special name is not in the vocabulary.
    pub fn from_vocabulary<S: Into<String>>(
        entries: impl IntoIterator<Item = (S, i64)>,
        special: Option<&[String]>,
    ) -> Result<GeneList, Error> {
        let entries = entries.into_iter();
        let mut entries: Vec<(String, i64)> = entries.map(|(name, id)| (name.into(), id)).collect();
        entries.sort_by_key(|(_, id)| *id);
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].1 == pair[1].1) {
            let found = format!("{} for both {:?} and {:?}", pair[0].1, pair[0].0, pair[1].0);
            return Err(OptionError::new("genes", "distinct ids", found).into());
        }
        let is_unknown = |name: &&String| !entries.iter().any(|(known, _)| known == *name);
        if let Some(name) = special.unwrap_or_default().iter().find(is_unknown) {
            let expected = "special names that are in the vocabulary";
            return Err(OptionError::new("genes", expected, format!("{name:?}")).into());
        }
        let is_special = |(name, _): &(String, i64)| match special {
            Some(special) => special.contains(name),
            None => name.starts_with('<') && name.ends_with('>'),
        };
        let (special, genes): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_special);
        let (names, ids): (Vec<String>, Vec<i64>) = genes.into_iter().unzip();
        Ok(GeneList {
            names: Arc::new(names.iter().collect()),
            ids: Some(ids),
            special,
        })
    }

    /// Reads a list from a file:
    ///
    /// - `.csv` and `.tsv`: the `column` of this name. The first line names the columns.
    /// - `.json`: an object of names and ids, as [`from_vocabulary`](Self::from_vocabulary) takes
    ///   it, or an array of names.
    /// - any other: one name per line. Empty lines and blanks around a name do not count. With a
    ///   `column`, a table whose columns are separated by tabs, otherwise by commas.
    ///
    /// # Errors
    /// When the file cannot be read, has another form, or lacks the column.
    pub fn from_file(
        path: impl AsRef<Path>,
        column: Option<&str>,
        special: Option<&[String]>,
    ) -> Result<GeneList, Error> {
        file::read_genes(path.as_ref(), column, special)
    }

    /// Reads a list from a file that is named in one text, as on a command line: `FILE`, or
    /// `FILE:COLUMN` unless a file of that whole name exists.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_argument(text: &str) -> Result<GeneList, Error> {
        let (path, column) = file::path_and_column("genes", text)?;
        GeneList::from_file(path, column, None)
    }

    /// The names, in the order of the columns.
    pub fn names(&self) -> &Arc<VarNames> {
        &self.names
    }

    /// The id of each name, ascending; `None` if the list is not of a vocabulary.
    pub fn ids(&self) -> Option<&[i64]> {
        self.ids.as_deref()
    }

    /// The special names of a vocabulary and their ids, ascending.
    pub fn special(&self) -> &[(String, i64)] {
        &self.special
    }
}

impl<S: AsRef<str>> From<Vec<S>> for GeneList {
    fn from(names: Vec<S>) -> Self {
        GeneList::new(names)
    }
}

impl<S: AsRef<str>, const N: usize> From<[S; N]> for GeneList {
    fn from(names: [S; N]) -> Self {
        GeneList::new(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vocabulary_refuses_one_id_for_two_names() {
        let error = GeneList::from_vocabulary([("A", 1), ("B", 0), ("C", 1)], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"genes: expected distinct ids, found 1 for both "A" and "C""#
        );
    }

    #[test]
    fn special_names_may_be_chosen() {
        let entries = [("[PAD]", 2), ("A", 1), ("<B>", 0)];
        let list = GeneList::from_vocabulary(entries, Some(&["[PAD]".to_owned()])).unwrap();
        assert!(list.names().iter().eq(["<B>", "A"]));
        assert_eq!(list.special(), [("[PAD]".to_owned(), 2)]);
        let error = GeneList::from_vocabulary(entries, Some(&["[CLS]".to_owned()])).unwrap_err();
        assert!(error.to_string().ends_with(r#"found "[CLS]""#), "{error}");
    }
}
