//! Columns of obs that come from outside the files: a table of cells and their labels.
//!
//! Takes lists of labels, or a file; returns an [`ObsTable`]. Uses errors, and the helpers of
//! [`genes`](crate::genes) that read tables. Knows no store: `plan/obs_table.rs` finds the rows of the
//! table that belong to the cells of each store.
//!
//! ```text
//! file ─▶ TextCodes of each column ─▶ kinds: texts or numbers ─▶ TableColumn ─▶ ObsTable
//! ```

pub(crate) mod column;
mod file;
mod kinds;
#[cfg(feature = "parquet")]
mod parquet;
mod texts;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anndata_io::{ColumnValues, EncodedColumn, Strings, nearest_name};

use crate::error::option::OptionError;
use crate::error::{Error, did_you_mean, quoted};
use crate::genes::file::path_and_column;
use crate::obs_table::column::TableColumn;
use crate::obs_table::texts::TextCodes;

/// Labels of cells from outside the files, for
/// [`obs_table`](crate::MappedCollectionBuilder::obs_table): names of cells, and columns with a label
/// for each. Cheap to clone.
///
/// ```
/// use mapped_collection::{MappedCollection, ObsTable};
/// # use mapped_collection::MemoryStore;
/// # let store = |name: &str, cells: [&str; 2]| {
/// #     MemoryStore::new(name).dataframe("obs", &cells).dataframe("var", &["g"])
/// # };
/// # let paths = [store("a", ["c1", "c2"]), store("b", ["c3", "c4"])];
///
/// let table = ObsTable::new(["c4", "c1", "c2"]).column("fate", ["blood", "neuron", "blood"]);
/// let cells = MappedCollection::builder(paths)
///     .layers([""; 0])
///     .obs_table(table)
///     .obs(["fate"])
///     .open()?;
/// assert_eq!(cells.get(0)?.code("fate"), Some(1)); // c1: neuron
/// assert_eq!(cells.get(2)?.code("fate"), None); // c3 is not in the table
/// assert_eq!(cells.not_in_table(), Some(vec![0, 1]));
/// # Ok::<(), mapped_collection::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ObsTable {
    names: Arc<Strings>,
    stores: Stores,
    /// The paths by which the table knows the stores, in order, beside those that are opened.
    paths: Arc<[PathBuf]>,
    columns: Vec<NamedColumn>,
}

type NamedColumn = (String, Arc<TableColumn>);

/// The store that a row belongs to.
#[derive(Debug, Clone)]
enum Stores {
    /// Any that has a cell of the name.
    Any,
    Named(Arc<EncodedColumn>),
    /// That which this column names.
    Column(String),
}

impl ObsTable {
    /// A table of these cells, without columns. A name that occurs twice is an error when a collection
    /// is opened, unless the rows belong to different [stores](Self::stores).
    pub fn new<S: AsRef<str>>(cell_names: impl IntoIterator<Item = S>) -> ObsTable {
        let mut names = Strings::default();
        for name in cell_names {
            names.push(name.as_ref());
        }
        ObsTable {
            names: Arc::new(names),
            stores: Stores::Any,
            paths: Arc::new([]),
            columns: Vec::new(),
        }
    }

    /// Reads a table from a file. `cell_column` names the column that has the names of the cells;
    /// without it, this is the first one (of a parquet file that pandas wrote, its index). All others
    /// become columns of the table.
    ///
    /// - `.csv` and `.tsv`: the first line names the columns. An empty field is missing. A column is
    ///   one of integers (int64), otherwise of floats (float64), otherwise of booleans (`true` and
    ///   `false`, also in capitals), if all of its other fields can be read so. Otherwise it is one of
    ///   texts. A number that would not be the same afterwards makes the column one of texts: one with
    ///   leading zeros (`007`), or with more digits than the type holds.
    /// - `.parquet`, with the feature of that name: columns keep their types. Null is missing.
    ///
    /// # Errors
    /// When the file cannot be read, has another form, lacks the column, or a row lacks its cell name.
    ///
    /// ```
    /// use mapped_collection::ObsTable;
    /// # let scratch = tempfile::tempdir()?;
    /// # let path = scratch.path().join("labels.csv");
    ///
    /// std::fs::write(&path, "cell,fate,score\nc1,neuron,0.5\nc2,,2\n")?;
    /// let table = ObsTable::from_file(&path, Some("cell"))?;
    /// assert_eq!(table.len(), 2);
    /// assert!(table.column_names().eq(["fate", "score"])); // texts, and floats
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_file(path: impl AsRef<Path>, cell_column: Option<&str>) -> Result<ObsTable, Error> {
        file::read_table(path.as_ref(), cell_column)
    }

    /// Reads a table from a file that is named in one text, as on a command line: `FILE`, or
    /// `FILE:COLUMN` unless a file of that whole name exists.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_argument(text: &str) -> Result<ObsTable, Error> {
        let (path, column) = path_and_column(OPTION, text)?;
        ObsTable::from_file(path, column)
    }

    /// Adds a column, with one label per cell.
    pub fn column(mut self, name: impl Into<String>, labels: impl Into<TableColumn>) -> Self {
        self.columns.push((name.into(), Arc::new(labels.into())));
        self
    }

    /// Says to which store each row belongs, so that cells are known by store and name. A store is
    /// named by its path as given or its absolute path, by its file name (`a.h5ad`), or by this name
    /// without the extension (`a`). Rows of stores that are not opened are ignored.
    pub fn stores<S: AsRef<str>>(mut self, stores: impl IntoIterator<Item = S>) -> Self {
        let mut codes = TextCodes::default();
        for store in stores {
            codes.push(Some(store.as_ref()));
        }
        self.stores = Stores::Named(Arc::new(codes.into_labels()));
        self
    }

    /// As [`stores`](Self::stores), with the names in a column of the table. It remains a column.
    pub fn store_column(mut self, name: impl Into<String>) -> Self {
        self.stores = Stores::Column(name.into());
        self
    }

    /// The paths by which the table knows the stores, in their order, if they are opened by others:
    /// from another folder, or from copies elsewhere. The paths that are opened remain known, too.
    pub fn store_paths<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names of the columns, in order.
    pub fn column_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The columns and their names, in order.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (&str, &TableColumn)> {
        let columns = self.columns.iter();
        columns.map(|(name, column)| (name.as_str(), &**column))
    }

    /// The names of the cells, one per row.
    pub fn cell_names(&self) -> &Strings {
        &self.names
    }

    pub(crate) fn find(&self, name: &str) -> Option<&TableColumn> {
        let mut columns = self.columns.iter();
        let found = columns.find(|(known, _)| known == name);
        found.map(|(_, column)| &**column)
    }

    /// Checks that the table has labels for every cell, and columns of different names.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        let n_rows = self.len();
        if n_rows == 0 {
            return Err(invalid("at least one row", "none"));
        }
        if n_rows >= u32::MAX as usize {
            return Err(invalid("fewer than 2^32 - 1 rows", n_rows));
        }
        for (number, (name, column)) in self.columns.iter().enumerate() {
            let mut earlier = self.columns[..number].iter();
            if earlier.any(|(other, _)| other == name) {
                let found = format!("the column {name:?} twice");
                return Err(invalid("columns of different names", found));
            }
            if name == "_index" {
                let expected = "other names of columns than _index, which stands for the obs names";
                return Err(invalid(expected, format!("{name:?}: rename it")));
            }
            if column.len() != n_rows {
                let expected = format!("{n_rows} labels in the column {name:?}, one per cell");
                return Err(invalid(expected, column.len()));
            }
            if let Some((expected, found)) = column.fault() {
                let expected = format!("{expected} in the column {name:?}");
                return Err(invalid(expected, found));
            }
        }
        match &self.stores {
            Stores::Named(stores) if stores.codes.len() != n_rows => {
                let expected = format!("{n_rows} names of stores, one per cell");
                Err(invalid(expected, stores.codes.len()))
            }
            Stores::Column(name) if self.find(name).is_none() => {
                let near = nearest_name(name, self.column_names());
                let names = quoted(self.columns.iter().map(|(name, _)| name));
                let found = format!("{name:?}{}", did_you_mean(&near));
                Err(invalid(format!("a column of stores among {names}"), found))
            }
            _ => Ok(()),
        }
    }

    /// The other path by which the table knows a store.
    pub(crate) fn store_path(&self, number: usize) -> Option<&Path> {
        self.paths.get(number).map(PathBuf::as_path)
    }

    /// The names of stores and the code of each row; `None` if cells are known by their names alone.
    pub(crate) fn store_labels(&self) -> Option<Result<&EncodedColumn, &TableColumn>> {
        match &self.stores {
            Stores::Any => None,
            Stores::Named(stores) => Some(Ok(stores)),
            Stores::Column(name) => {
                let column = self.find(name)?;
                let texts = column.as_labels();
                let texts = texts.filter(|c| matches!(c.categories, ColumnValues::Texts(_)));
                Some(texts.ok_or(column))
            }
        }
    }
}

/// The option of a collection, in errors.
pub(crate) const OPTION: &str = "obs_table";

pub(crate) fn invalid(expected: impl Into<String>, found: impl ToString) -> OptionError {
    OptionError::new(OPTION, expected, found)
}

impl PartialEq for ObsTable {
    fn eq(&self, other: &Self) -> bool {
        let same_stores = match (&self.stores, &other.stores) {
            (Stores::Any, Stores::Any) => true,
            (Stores::Named(a), Stores::Named(b)) => Arc::ptr_eq(a, b) || a == b,
            (Stores::Column(a), Stores::Column(b)) => a == b,
            _ => false,
        };
        let same = |(a, b): (&NamedColumn, &NamedColumn)| {
            a.0 == b.0 && (Arc::ptr_eq(&a.1, &b.1) || a.1 == b.1)
        };
        same_stores
            && self.paths == other.paths
            && (Arc::ptr_eq(&self.names, &other.names) || self.names == other.names)
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(same)
    }
}

#[cfg(test)]
mod tests {
    use anndata_io::{Codes, Values};

    use super::*;

    #[test]
    fn table_that_contradicts_itself_is_refused() {
        let error = |table: ObsTable| table.check().unwrap_err().to_string();
        let table = || ObsTable::new(["c1", "c2"]);
        assert_eq!(
            error(table().column("x", ["a"])),
            "obs_table: expected 2 labels in the column \"x\", one per cell, found 1"
        );
        assert!(
            error(table().column("x", ["a"; 2]).column("x", ["b"; 2])).ends_with("\"x\" twice")
        );
        assert!(error(table().column("_index", ["a"; 2])).contains("rename it"));
        assert!(error(table().stores(["a"])).contains("2 names of stores"));
        let misspelt = table().column("dataset", ["a"; 2]).store_column("datasets");
        assert!(error(misspelt).ends_with("found \"datasets\": did you mean \"dataset\"?"));
        assert!(error(ObsTable::new([""; 0])).contains("at least one row"));
        let labels = EncodedColumn {
            categories: ColumnValues::Numbers(Values::I8(vec![4])),
            codes: Codes::U8(vec![0, 1]),
        };
        assert!(error(table().column("x", labels)).contains("codes below 1"));
    }

    #[test]
    fn tables_of_equal_content_are_equal() {
        let table = |label| ObsTable::new(["c1"]).column("x", [label]).stores(["a"]);
        assert_eq!(table("a"), table("a"));
        assert_ne!(table("a"), table("b"));
        assert_ne!(table("a"), table("a").store_column("x"));
    }
}
