//! The tables of variables: `var`, and that of `raw`.

use super::AnnDataFile;
use super::tables::index;
use crate::array::text::Strings;
use crate::column::Column;
use crate::error::Error;
use crate::key::LayerKey;
use crate::store::Node;

/// A table of variables (genes): that of `X` and the layers, or that of `raw.X`.
#[derive(Debug, Clone, Copy)]
pub struct VarTable<'a> {
    file: &'a AnnDataFile,
    element: &'static str,
    len: u64,
}

impl AnnDataFile {
    /// The table `var`: the variables of `X` and the layers.
    pub fn var(&self) -> VarTable<'_> {
        VarTable {
            file: self,
            element: "var",
            len: self.n_vars,
        }
    }

    /// The table of the variables of `raw.X`; `None` without one.
    ///
    /// # Errors
    /// When its index cannot be opened.
    pub fn raw_var(&self) -> Result<Option<VarTable<'_>>, Error> {
        let element = match self.matrix_element(&LayerKey::RawX)? {
            Some((_, Some(element))) => element,
            _ => return Ok(None),
        };
        let Some(Node::Group | Node::Table) = self.store.node(element)? else {
            return Ok(None);
        };
        let index = index(&self.store, element)?;
        index.rows_array().check_index_written()?;
        Ok(Some(VarTable {
            file: self,
            element,
            len: index.len(),
        }))
    }
}

impl VarTable<'_> {
    /// Its path in the file.
    pub fn element(&self) -> &'static str {
        self.element
    }

    /// Returns the names of the variables. Numbers become their text.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn names(&self) -> Result<Strings, Error> {
        self.file.names(self.element)
    }

    /// Opens a column; `None` if there is no such column. `_index` is the column of names, whatever
    /// its name in the file.
    ///
    /// # Errors
    /// When it cannot be read, or is not as long as the index.
    pub fn column(&self, key: &str) -> Result<Option<Column>, Error> {
        self.file.table_column(self.element, key, self.len)
    }

    /// Returns the names of the columns, sorted, without the index.
    ///
    /// # Errors
    /// When the members of the table, or their attributes, cannot be read.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.file.table_keys(self.element)
    }
}

#[cfg(test)]
mod tests {
    use crate::dtype::Values;
    use crate::store::{MemoryStore, Store};

    use super::*;

    fn file(store: MemoryStore) -> AnnDataFile {
        AnnDataFile::from_store(Store::from(store)).expect("a table of cells and genes")
    }

    fn store() -> MemoryStore {
        MemoryStore::new("a")
            .dataframe("obs", &["c"])
            .dataframe("var", &["g1", "g2"])
            .array("var/mean", &[2], Values::F32(vec![1.0, 2.0]))
    }

    #[test]
    fn columns_of_var_are_listed_and_opened() {
        let file = file(store().array("var/short", &[1], Values::F32(vec![1.0])));
        let var = file.var();
        assert_eq!(var.keys().unwrap(), ["mean", "short"]);
        assert!(var.column("mean").unwrap().is_some());
        assert!(var.column("other").unwrap().is_none());
        assert_eq!(var.column("_index").unwrap().unwrap().len(), 2);
        let error = var.column("short").unwrap_err().to_string();
        assert!(
            error.contains("expected 2 rows, as the index has, found 1"),
            "{error}"
        );
        assert!(file.raw_var().unwrap().is_none());
    }

    #[test]
    fn raw_has_variables_of_its_own() {
        let store = store()
            .dataframe("raw/var", &["g1", "g2", "g3"])
            .group("raw");
        let file = file(store);
        let raw = file.raw_var().unwrap().unwrap();
        assert_eq!(raw.element(), "raw/var");
        assert!(raw.names().unwrap().iter().eq(["g1", "g2", "g3"]));
        assert_eq!(raw.keys().unwrap(), [""; 0]);
    }
}
