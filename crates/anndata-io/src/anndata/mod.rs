//! AnnData files: which elements there are, and how to open them.

use std::path::{Path, PathBuf};

use crate::array::text::Strings;
use crate::column::{Column, ColumnRows, Values1d, legacy_categories};
use crate::dtype::{Slice, Wide};
use crate::error::{Error, ErrorKind};
use crate::io::context::IoContext;
use crate::io::location::Location;
use crate::key::LayerKey;
use crate::matrix::MatrixSource;
use crate::store::container;
use crate::store::{Attribute, MemoryStore, Node, Store};

mod keys;

/// Where an AnnData object is: a path, or memory.
#[derive(Debug, Clone)]
pub enum AnnDataSource {
    /// A `.h5ad` file, a `.zarr` directory or a `.zarr.zip` archive; the content decides. A table
    /// inside a file is named by a path below it: `cells.h5mu/mod/rna`. A `file:` URL is a path.
    Path(PathBuf),
    /// A path that was resolved: another current folder does not change what it leads to.
    At(Location),
    /// A store in memory.
    Memory(MemoryStore),
}

impl AnnDataSource {
    /// Opens it.
    ///
    /// # Errors
    /// As [`AnnDataFile::open`].
    pub fn open(&self, context: &IoContext) -> Result<AnnDataFile, Error> {
        match self {
            AnnDataSource::Path(path) => AnnDataFile::open_in(path, context),
            AnnDataSource::At(location) => {
                AnnDataFile::from_store(Store::open_at(location, context)?)
            }
            AnnDataSource::Memory(store) => {
                AnnDataFile::from_store(store.clone().in_context(context).into())
            }
        }
    }

    /// The same source with its path resolved against the current folder.
    ///
    /// # Errors
    /// When the path is a URL of something remote, or is empty.
    pub fn resolved(self) -> Result<AnnDataSource, Error> {
        match self {
            AnnDataSource::Path(path) => Location::resolve(&path).map(AnnDataSource::At),
            resolved => Ok(resolved),
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for AnnDataSource {
    fn from(path: &P) -> Self {
        AnnDataSource::Path(path.as_ref().to_owned())
    }
}

impl From<PathBuf> for AnnDataSource {
    fn from(path: PathBuf) -> Self {
        AnnDataSource::Path(path)
    }
}

impl From<String> for AnnDataSource {
    fn from(path: String) -> Self {
        AnnDataSource::Path(path.into())
    }
}

impl From<MemoryStore> for AnnDataSource {
    fn from(store: MemoryStore) -> Self {
        AnnDataSource::Memory(store)
    }
}

/// The widest row that is read of obsm, and of `raw.X` without variables: 16 million elements.
const MOST_COLUMNS: usize = 1 << 24;

/// Groups within groups, and groups in all, that are looked through for what cannot be read.
const MOST_NESTED: u32 = 8;
const MOST_GROUPS: u32 = 10_000;

/// An opened AnnData object.
///
/// Matrices and columns that it hands out stay valid without it; it is meant to be dropped once
/// they are taken.
#[derive(Debug)]
pub struct AnnDataFile {
    store: Store,
    n_obs: u64,
    n_vars: u64,
}

impl AnnDataFile {
    /// Opens a `.h5ad` file, a `.zarr` directory or a `.zarr.zip` archive with a context of its own.
    ///
    /// # Errors
    /// When there is no such file, or it is no AnnData.
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

    /// Takes a store that is open already.
    ///
    /// # Errors
    /// When it lacks the tables `obs` and `var`.
    pub fn from_store(store: Store) -> Result<AnnDataFile, Error> {
        if container::is_mudata(&store) {
            return Err(what_it_is(&store, "mod", "a MuData file".to_owned()));
        }
        let (obs, var) = (index(&store, "obs")?, index(&store, "var")?);
        // Everything else is compared with these two lengths: they must be written, not claimed.
        obs.rows_array().check_index_written()?;
        var.rows_array().check_index_written()?;
        let (n_obs, n_vars) = (obs.len(), var.len());
        Ok(AnnDataFile {
            store,
            n_obs,
            n_vars,
        })
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Number of observations (cells).
    pub fn n_obs(&self) -> u64 {
        self.n_obs
    }

    /// Number of variables (genes) of X and the layers.
    pub fn n_vars(&self) -> u64 {
        self.n_vars
    }

    /// The names of the variables. Numbers become their text.
    pub fn var_names(&self) -> Result<Strings, Error> {
        self.names("var")
    }

    /// The names of the rows of a table.
    pub(crate) fn names(&self, table: &str) -> Result<Strings, Error> {
        let index = index(&self.store, table)?;
        let rows: Vec<u64> = match index.read_plain_texts()? {
            Some(names) => return Ok(names),
            None => (0..index.len()).collect(),
        };
        index.read_names(&rows)
    }

    /// The members of a group that have a name and nothing behind it, and what stands there.
    pub(crate) fn dangling(&self, group: &str) -> Vec<(String, String)> {
        match self.store.node(group) {
            Ok(Some(Node::Group)) => self.store.dangling(group).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Whether the file says that a process writes it.
    pub(crate) fn has_writer(&self) -> bool {
        self.store.has_writer()
    }

    /// Whether something stands at a path, readable or not.
    pub(crate) fn has_element(&self, element: &str) -> bool {
        !matches!(self.store.node(element), Ok(None))
    }

    /// Where the categories of a categorical column are.
    pub(crate) fn categories_element(&self, column: &str) -> String {
        let beside = match (self.store.node(column), column.split_once('/')) {
            (Ok(Some(Node::Array)), Some((table, name))) => {
                legacy_categories(&self.store, table, name).ok().flatten()
            }
            _ => None,
        };
        beside.unwrap_or_else(|| format!("{column}/categories"))
    }

    /// The column of var names.
    pub(crate) fn var_index(&self) -> Result<Column, Error> {
        index(&self.store, "var")
    }

    /// The obs names column: `_index` as an obs key.
    pub fn obs_index(&self) -> Result<Column, Error> {
        index(&self.store, "obs")
    }

    /// Opens `X`, `raw.X` or a layer; `None` when the file has none.
    ///
    /// # Errors
    /// When it cannot be read, or its shape is not `[n_obs, n_vars]` (`raw.X` has columns of
    /// its own).
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

    /// Refuses rows of which nothing else in the file says how wide they are, where they are too
    /// wide to be believed.
    fn check_width(&self, element: &str, matrix: &MatrixSource) -> Result<(), Error> {
        if matrix.row_len() <= MOST_COLUMNS {
            return Ok(());
        }
        let expected = format!("at most {MOST_COLUMNS} elements a row");
        Err(self
            .store
            .invalid(element, expected, matrix.row_len().to_string()))
    }

    /// Where a matrix is, and its variables if they are not `var`; `None` when there is no raw.
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
        // Before anndata 0.7, its parts stand side by side.
        let is_there = self.store.node("raw.X")?.is_some();
        Ok(is_there.then(|| ("raw.X".to_owned(), Some("raw.var"))))
    }

    /// Opens an element of obsm; `None` when the file has none of that name.
    ///
    /// # Errors
    /// When it cannot be read, or has another number of rows.
    pub fn obsm(&self, key: &str) -> Result<Option<MatrixSource>, Error> {
        let element = format!("obsm/{key}");
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

    /// Opens a column of obs; `None` when the file has none of that name. `_index` is the
    /// column of obs names, whatever its name in the file.
    ///
    /// # Errors
    /// When it cannot be read, or has another number of rows.
    pub fn obs_column(&self, key: &str) -> Result<Option<Column>, Error> {
        if key == "_index" {
            return self.obs_index().map(Some);
        }
        let Some(column) = Column::open(&self.store, "obs", key)? else {
            return Ok(None);
        };
        if column.len() != self.n_obs {
            let expected = format!("{} rows, as the index has", self.n_obs);
            let found = column.len().to_string();
            return Err(column.rows_array().invalid(expected, found));
        }
        Ok(Some(column.of_known_length()))
    }

    /// The names of the obs columns, sorted, the index excluded.
    pub fn obs_keys(&self) -> Result<Vec<String>, Error> {
        let index = index_name(&self.store, "obs")?;
        let mut keys = self.keys("obs")?.keys;
        // The groups of a key may lack what tells them from other folders. An order that cannot be read
        // hides no other column.
        for name in self.column_order("obs").unwrap_or_default() {
            if !keys.contains(&name) && self.store.node(&format!("obs/{name}"))?.is_some() {
                keys.push(name);
            }
        }
        keys.sort_unstable();
        keys.retain(|key| *key != index && !is_categories(key));
        Ok(keys)
    }

    /// Where the index of a table is.
    pub(crate) fn index_element(&self, frame: &str) -> Result<String, Error> {
        Ok(format!("{frame}/{}", index_name(&self.store, frame)?))
    }

    /// The columns of a table as it lists them itself; none where it does not.
    pub(crate) fn column_order(&self, table: &str) -> Result<Vec<String>, Error> {
        match self.store.attribute(table, "column-order")? {
            Some(Attribute::Texts(names)) => Ok(names),
            _ => Ok(Vec::new()),
        }
    }

    /// The names of the obsm elements, sorted.
    pub fn obsm_keys(&self) -> Result<Vec<String>, Error> {
        Ok(self.keys("obsm")?.keys)
    }

    /// `X`, `raw.X` and the layers that exist, in this order, the layers sorted.
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

    /// What is wrong with the members of all groups that cannot be read at all.
    pub(crate) fn unreadable(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut groups = vec![(String::new(), 0)];
        let mut n_groups = 1;
        while let Some((group, depth)) = groups.pop() {
            errors.extend(match self.store.unreadable(&group) {
                Ok(errors) => errors,
                Err(error) => vec![error],
            });
            // A group may hold itself.
            if depth == MOST_NESTED {
                continue;
            }
            for name in self.store.children(&group).unwrap_or_default() {
                let element = match &*group {
                    "" => name,
                    group => format!("{group}/{name}"),
                };
                let is_group = matches!(self.store.node(&element), Ok(Some(Node::Group)));
                if is_group && n_groups < MOST_GROUPS {
                    n_groups += 1;
                    groups.push((element, depth + 1));
                }
            }
        }
        errors
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

/// Whether a member of a table holds the categories of its columns, as in anndata 0.7.
fn is_categories(key: &str) -> bool {
    key.split('/').next() == Some("__categories")
}

fn index_name(store: &Store, frame: &str) -> Result<String, Error> {
    if store.node(frame)? == Some(Node::Table) {
        let first = store.children(frame)?.into_iter().next();
        return Ok(first.unwrap_or_default());
    }
    Ok(store
        .text_attribute(frame, "_index")?
        .unwrap_or_else(|| "_index".to_owned()))
}

/// The error of a store that is not one table.
fn what_it_is(store: &Store, element: &str, found: String) -> Error {
    match container::what_it_is(store) {
        Some(kind) => Error::new(store.path(), "", kind),
        None => {
            let expected = "tables obs and var".to_owned();
            let kind = ErrorKind::NotAnnData { expected, found };
            Error::new(store.path(), element, kind)
        }
    }
}

fn index(store: &Store, frame: &str) -> Result<Column, Error> {
    match store.node(frame)? {
        Some(Node::Group | Node::Table) => {}
        found => {
            let found = match found {
                None => format!("no {frame}"),
                Some(_) => format!("an array {frame}"),
            };
            return Err(what_it_is(store, frame, found));
        }
    }
    let name = index_name(store, frame)?;
    Column::open(store, frame, &name)?.ok_or_else(|| {
        store.invalid(
            frame,
            format!("an index column {name:?}"),
            "none of that name",
        )
    })
}

impl Column {
    /// The texts of some rows, in the order of `rows`: obs names. Numbers become their text,
    /// missing values `nan`.
    ///
    /// # Errors
    /// As [`read_rows`](Self::read_rows).
    pub fn read_names(&self, rows: &[u64]) -> Result<Strings, Error> {
        Ok(self.read_rows(rows)?.into_texts())
    }
}

impl ColumnRows {
    fn into_texts(self) -> Strings {
        match (self.values, &self.valid) {
            (Values1d::Texts(texts), None) => texts,
            (Values1d::Texts(texts), Some(valid)) => texts
                .iter()
                .zip(valid)
                .map(|(text, &valid)| if valid { text } else { "nan" })
                .collect(),
            (Values1d::Numbers(numbers), valid) => {
                let mut out = Strings::default();
                for row in 0..numbers.len() {
                    let valid = valid.as_ref().is_none_or(|valid| valid[row]);
                    out.push(&if valid {
                        text_of(numbers.as_slice(), row)
                    } else {
                        "nan".into()
                    });
                }
                out
            }
        }
    }
}

/// A number of a label, as text.
pub(crate) fn text_of(numbers: Slice<'_>, row: usize) -> String {
    match numbers.get(row) {
        Wide::Bool(true) => "True".to_owned(),
        Wide::Bool(false) => "False".to_owned(),
        Wide::Signed(value) => value.to_string(),
        Wide::Unsigned(value) => value.to_string(),
        Wide::F32(value) => format!("{value:?}"),
        Wide::F64(value) => format!("{value:?}"),
    }
}
