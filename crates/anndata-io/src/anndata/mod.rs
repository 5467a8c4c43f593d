//! AnnData files: their elements, and how to open them.
//!
//! Takes a path or a store. Returns an [`AnnDataFile`], which opens matrices, columns and names by
//! their keys.
//!
//! ```text
//! AnnDataSource ─▶ Store ─▶ AnnDataFile ─┬─ layer, obsm  ─▶ MatrixSource
//!  source.rs                             ├─ obs_column   ─▶ Column
//!                                        ├─ var, raw_var ─▶ VarTable
//!                                        └─ keys.rs: which keys there are
//! ```
//!
//! The lengths of `obs` and `var` come from their indexes (`tables.rs`); everything else is
//! compared with them.

use std::path::Path;

use crate::array::text::Strings;
use crate::column::{Column, legacy_categories};
use crate::error::Error;
use crate::io::context::IoContext;
use crate::key::LayerKey;
use crate::limits::MAX_UNVOUCHED_ROW_ELEMENTS;
use crate::matrix::MatrixSource;
use crate::path::member;
use crate::store::container;
use crate::store::{Attribute, Node, Store};

mod keys;
mod source;
mod tables;
mod var_table;

pub use source::AnnDataSource;
use tables::{index, index_name, is_categories, what_it_is};
pub use var_table::VarTable;

/// An opened AnnData object.
///
/// The matrices and columns that it returns stay valid without it. Drop it after you have taken
/// them.
#[derive(Debug)]
pub struct AnnDataFile {
    store: Store,
    n_obs: u64,
    n_vars: u64,
}

impl AnnDataFile {
    /// Opens a `.h5ad` file, a `.zarr` directory or a `.zarr.zip` archive with its own context.
    ///
    /// # Errors
    /// When no such file exists, or it is not AnnData.
    pub fn open(path: impl AsRef<Path>) -> Result<AnnDataFile, Error> {
        AnnDataFile::open_in(path, &IoContext::default())
    }

    /// Opens a file or directory that shares open files and decoded chunks with others.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(path: impl AsRef<Path>, context: &IoContext) -> Result<AnnDataFile, Error> {
        AnnDataFile::from_store(Store::open(path.as_ref(), context)?)
    }

    /// Takes a store that is already open.
    ///
    /// # Errors
    /// When it lacks the tables `obs` and `var`.
    pub fn from_store(store: Store) -> Result<AnnDataFile, Error> {
        if container::is_mudata(&store) {
            return Err(what_it_is(&store, "mod", "a MuData file".to_owned()));
        }
        let (obs, var) = (index(&store, "obs")?, index(&store, "var")?);
        // Everything else is compared with these two lengths, so they must be written, not claimed.
        obs.rows_array().check_index_written()?;
        var.rows_array().check_index_written()?;
        let (n_obs, n_vars) = (obs.len(), var.len());
        Ok(AnnDataFile {
            store,
            n_obs,
            n_vars,
        })
    }

    /// The path of the file or directory.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// The number of observations (cells).
    pub fn n_obs(&self) -> u64 {
        self.n_obs
    }

    /// The number of variables (genes) of X and the layers.
    pub fn n_vars(&self) -> u64 {
        self.n_vars
    }

    /// Returns the names of the variables. Numbers become their text.
    ///
    /// # Errors
    /// When the index of `var` cannot be read.
    pub fn var_names(&self) -> Result<Strings, Error> {
        self.names("var")
    }

    /// Returns the names of the observations. Numbers become their text.
    ///
    /// # Errors
    /// When the index of `obs` cannot be read.
    pub fn obs_names(&self) -> Result<Strings, Error> {
        self.names("obs")
    }

    /// Returns the names of the rows of a table.
    pub(crate) fn names(&self, table: &str) -> Result<Strings, Error> {
        let index = index(&self.store, table)?;
        let rows: Vec<u64> = match index.read_plain_texts()? {
            Some(names) => return Ok(names),
            None => (0..index.len()).collect(),
        };
        index.read_names(&rows)
    }

    /// Returns the names of a group's members that lead nowhere, and where they point.
    pub(crate) fn dangling(&self, group: &str) -> Vec<(String, String)> {
        match self.store.node(group) {
            Ok(Some(Node::Group)) => self.store.dangling(group).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Whether the file states that a process is writing it.
    pub(crate) fn has_writer(&self) -> bool {
        self.store.has_writer()
    }

    /// Whether a path exists, readable or not.
    pub(crate) fn has_element(&self, element: &str) -> bool {
        !matches!(self.store.node(element), Ok(None))
    }

    /// The path of the categories of a categorical column.
    pub(crate) fn categories_element(&self, column: &str) -> String {
        let beside = match (self.store.node(column), column.split_once('/')) {
            (Ok(Some(Node::Array)), Some((table, name))) => {
                legacy_categories(&self.store, table, name).ok().flatten()
            }
            _ => None,
        };
        beside.unwrap_or_else(|| member(column, "categories"))
    }

    /// Opens the column of var names.
    pub(crate) fn var_index(&self) -> Result<Column, Error> {
        index(&self.store, "var")
    }

    /// Opens the column of obs names: `_index` as an obs key.
    ///
    /// # Errors
    /// When the index of `obs` cannot be opened.
    pub fn obs_index(&self) -> Result<Column, Error> {
        index(&self.store, "obs")
    }

    /// Opens `X`, `raw.X` or a layer; `None` if the file does not have it.
    ///
    /// # Errors
    /// When it cannot be read, or its shape is not `[n_obs, n_vars]` (`raw.X` has its own columns).
    pub fn layer(&self, key: &LayerKey) -> Result<Option<MatrixSource>, Error> {
        let Some((element, var)) = self.matrix_element(key)? else {
            return Ok(None);
        };
        let Some(matrix) = MatrixSource::open(&self.store, &element, self.n_obs)? else {
            return Ok(None);
        };
        let n_cols = match var {
            None => Some(self.n_vars),
            Some(var) => match self.store.node(var)? {
                Some(Node::Group | Node::Table) => {
                    let index = index(&self.store, var)?;
                    index.rows_array().check_index_written()?;
                    Some(index.len())
                }
                _ => None,
            },
        };
        let matrix = matrix.with_columns(n_cols.unwrap_or(1));
        let shape = matrix.shape();
        if shape.len() != 2 || shape[0] != self.n_obs || n_cols.is_some_and(|n| n != shape[1]) {
            let columns = n_cols.map_or("any".to_owned(), |n| n.to_string());
            let expected = format!("shape [{}, {columns}]", self.n_obs);
            return Err(self.store.invalid(&element, expected, format!("{shape:?}")));
        }
        if n_cols.is_none() {
            self.check_width(&element, &matrix)?;
        }
        Ok(Some(matrix))
    }

    /// Refuses rows that are too wide to be believed, if nothing else in the file confirms their
    /// width.
    fn check_width(&self, element: &str, matrix: &MatrixSource) -> Result<(), Error> {
        if matrix.row_len() <= MAX_UNVOUCHED_ROW_ELEMENTS {
            return Ok(());
        }
        let expected = format!("at most {MAX_UNVOUCHED_ROW_ELEMENTS} elements a row");
        Err(self
            .store
            .invalid(element, expected, matrix.row_len().to_string()))
    }

    /// Returns the path of a matrix, and that of its variables if they are not `var`; `None` if
    /// there is no raw.
    fn matrix_element(
        &self,
        key: &LayerKey,
    ) -> Result<Option<(String, Option<&'static str>)>, Error> {
        if *key != LayerKey::RawX {
            return Ok(Some((key.element(), None)));
        }
        // An absent raw may be a scalar of encoding "null".
        if self.store.node("raw")? == Some(Node::Group) {
            return Ok(Some((key.element(), Some("raw/var"))));
        }
        // Before anndata 0.7, the parts of raw stand side by side.
        let is_there = self.store.node("raw.X")?.is_some();
        Ok(is_there.then(|| ("raw.X".to_owned(), Some("raw.var"))))
    }

    /// Opens an element of obsm; `None` if there is no such element.
    ///
    /// # Errors
    /// When it cannot be read, or has another number of rows.
    pub fn obsm(&self, key: &str) -> Result<Option<MatrixSource>, Error> {
        let element = member("obsm", key);
        let Some(matrix) = MatrixSource::open(&self.store, &element, self.n_obs)? else {
            return Ok(None);
        };
        if matrix.n_rows() != self.n_obs {
            let expected = format!("{} rows", self.n_obs);
            let found = matrix.n_rows().to_string();
            return Err(self.store.invalid(&element, expected, found));
        }
        self.check_width(&element, &matrix)?;
        Ok(Some(matrix))
    }

    /// Opens a column of obs; `None` if there is no such column. `_index` is the column of
    /// obs names, whatever its name in the file.
    ///
    /// # Errors
    /// When it cannot be read, or has another number of rows.
    pub fn obs_column(&self, key: &str) -> Result<Option<Column>, Error> {
        self.table_column("obs", key, self.n_obs)
    }

    /// Opens a column of a table of `n_rows` rows; `_index` is its index.
    fn table_column(&self, table: &str, key: &str, n_rows: u64) -> Result<Option<Column>, Error> {
        if key == "_index" {
            return index(&self.store, table).map(Some);
        }
        let Some(column) = Column::open(&self.store, table, key)? else {
            return Ok(None);
        };
        if column.len() != n_rows {
            let expected = format!("{n_rows} rows, as the index has");
            let found = column.len().to_string();
            return Err(column.rows_array().invalid(expected, found));
        }
        Ok(Some(column.of_known_length()))
    }

    /// Returns the names of the obs columns, sorted, without the index.
    ///
    /// # Errors
    /// When the members of `obs`, or their attributes, cannot be read.
    pub fn obs_keys(&self) -> Result<Vec<String>, Error> {
        self.table_keys("obs")
    }

    /// Returns the names of the columns of a table, sorted, without the index.
    fn table_keys(&self, table: &str) -> Result<Vec<String>, Error> {
        let index = index_name(&self.store, table)?;
        let mut keys = self.keys(table)?.keys;
        // The groups of a key may lack the marks that distinguish them from other folders. An
        // unreadable column order hides no other column.
        for name in self.column_order(table).unwrap_or_default() {
            if !keys.contains(&name) && self.store.node(&member(table, &name))?.is_some() {
                keys.push(name);
            }
        }
        keys.sort_unstable();
        keys.retain(|key| *key != index && !is_categories(key));
        Ok(keys)
    }

    /// Returns the path of the index of a table.
    pub(crate) fn index_element(&self, frame: &str) -> Result<String, Error> {
        Ok(member(frame, &index_name(&self.store, frame)?))
    }

    /// Returns the columns of a table in the order that the table lists; empty if it lists none.
    pub(crate) fn column_order(&self, table: &str) -> Result<Vec<String>, Error> {
        match self.store.attribute(table, "column-order")? {
            Some(Attribute::Texts(names)) => Ok(names),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the names of the obsm elements, sorted.
    ///
    /// # Errors
    /// When the members of `obsm` cannot be read.
    pub fn obsm_keys(&self) -> Result<Vec<String>, Error> {
        Ok(self.keys("obsm")?.keys)
    }

    /// Returns `X`, `raw.X` and the layers that exist, in this order, the layers sorted.
    ///
    /// # Errors
    /// When an element, or the members of `layers`, cannot be read.
    pub fn layers_keys(&self) -> Result<Vec<LayerKey>, Error> {
        let mut keys = Vec::new();
        if self.has_matrix("X")? {
            keys.push(LayerKey::X);
        }
        if let Some((element, _)) = self.matrix_element(&LayerKey::RawX)?
            && self.has_matrix(&element)?
        {
            keys.push(LayerKey::RawX);
        }
        keys.extend(self.keys("layers")?.keys.into_iter().map(LayerKey::Layer));
        Ok(keys)
    }

    fn has_matrix(&self, element: &str) -> Result<bool, Error> {
        Ok(self.store.node(element)?.is_some()
            && self
                .store
                .text_attribute(element, "encoding-type")?
                .as_deref()
                != Some("null"))
    }

    pub(crate) fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        let mut names = match self.store.node(group)? {
            Some(Node::Group | Node::Table) => self.store.children(group)?,
            _ => Vec::new(),
        };
        names.sort_unstable();
        Ok(names)
    }
}
