//! Columns of obs from outside the files.

use crate::builder::MappedCollectionBuilder;
use crate::obs_table::ObsTable;

impl MappedCollectionBuilder {
    /// Labels from a table outside the files. Its columns are obs keys like those of the files, for
    /// every option and method that takes a key. If a file has a column of the same name, that of the
    /// table is used, for all stores.
    ///
    /// Rows of the table belong to cells by the name of the cell (of the obs names of a store), or by
    /// store and name: see [`ObsTable::stores`]. A cell without a row has missing labels, which
    /// [`not_in_table`](crate::MappedCollection::not_in_table) counts. Rows without a cell are ignored,
    /// unless no row has a cell. The names of the cells are read when the collection is opened.
    ///
    /// # Errors
    /// [`open`](Self::open) fails if the table has a cell twice, if a name in it is that of two cells,
    /// if a name of a store in it is that of two stores or a misspelt one, or if no row is that of a cell.
    ///
    /// ```
    /// use mapped_collection::{MappedCollection, ObsTable};
    /// # use mapped_collection::MemoryStore;
    /// # let store = |name: &str| {
    /// #     MemoryStore::new(name).dataframe("obs", &["c1", "c2"]).dataframe("var", &["g"])
    /// # };
    /// # let paths = [store("a.h5ad"), store("b.h5ad")];
    ///
    /// // Both stores have cells named c1 and c2.
    /// let table = ObsTable::new(["c1", "c2", "c1"])
    ///     .column("sample", ["a.h5ad", "a.h5ad", "b.h5ad"])
    ///     .column("fate", ["blood", "neuron", "neuron"])
    ///     .store_column("sample");
    /// let cells = MappedCollection::builder(paths)
    ///     .layers([""; 0])
    ///     .obs_table(table)
    ///     .filter("fate", ["neuron"])
    ///     .open()?;
    /// assert_eq!(cells.obs_names(&[0, 1])?, ["c2", "c1"]);
    /// # Ok::<(), mapped_collection::Error>(())
    /// ```
    pub fn obs_table(mut self, table: impl Into<Option<ObsTable>>) -> Self {
        self.0.obs_table = table.into();
        self
    }
}
