//! The rows of a table from outside, found for the cells of each store.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use anndata_io::{
    AnnDataFile, Codes, Column, ColumnPlace, ColumnValues, EncodedColumn, Error, ErrorKind,
    IoContext,
};
use hashbrown::HashTable;

use crate::error::open::OpenError;
use crate::error::option::OptionError;
use crate::label_values::{labels_of, plain_text};
use crate::obs_table::{ObsTable, invalid};
use crate::options::Options;
use crate::plan::table_stores::{StoreName, codes_of_stores};
use crate::plan::{Plan, StorePlan};

/// No row of the table.
const NONE: u32 = u32::MAX;
/// The most names of each side in an error.
const MOST_NAMES: usize = 5;

/// A table whose rows can be found by their cells.
pub(crate) struct TableJoin<'a> {
    table: &'a ObsTable,
    /// The store of each row; `None` if cells are known by their names alone.
    stores: Option<RowStores<'a>>,
    /// The rows, by store and name.
    rows: HashTable<u32>,
    hasher: RandomState,
}

struct RowStores<'a> {
    labels: Cow<'a, EncodedColumn>,
    /// The codes that name each store.
    of_store: Vec<Vec<u32>>,
}

/// The row of the table for each cell of a store.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableRows(
    /// One for each row of the file; empty if the table does not mention the store.
    Vec<u32>,
);

impl TableRows {
    pub(crate) fn has(&self, row: u32) -> bool {
        self.0.get(row as usize).is_some_and(|&row| row != NONE)
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied().filter(|&row| row != NONE)
    }
}

impl<'a> TableJoin<'a> {
    /// Prepares the table of the options for their stores.
    ///
    /// # Errors
    /// When the table contradicts itself, has a cell twice, or names a store in no way that is known.
    pub(crate) fn new(options: &'a Options) -> Result<Option<TableJoin<'a>>, OptionError> {
        let Some(table) = &options.obs_table else {
            return Ok(None);
        };
        table.check()?;
        let mut join = TableJoin {
            table,
            stores: row_stores(table, options)?,
            rows: HashTable::with_capacity(table.len()),
            hasher: RandomState::new(),
        };
        for row in 0..table.len() as u32 {
            let (store, name) = (join.store_of(row), join.name(row));
            let hash = join.hasher.hash_one((store, name));
            if join.find_hashed(hash, store, name).is_some() {
                return Err(twice(&join, row));
            }
            // The table does not grow: it has room for all rows.
            join.rows.insert_unique(hash, row, |_| hash);
        }
        Ok(Some(join))
    }

    fn name(&self, row: u32) -> &'a str {
        let name = self.table.cell_names().get(row as usize);
        name.expect("a row of the table")
    }

    fn store_of(&self, row: u32) -> Option<u32> {
        let stores = self.stores.as_ref()?;
        stores.labels.codes.get(row as usize)
    }

    fn find(&self, store: Option<u32>, name: &str) -> Option<u32> {
        self.find_hashed(self.hasher.hash_one((store, name)), store, name)
    }

    fn find_hashed(&self, hash: u64, store: Option<u32>, name: &str) -> Option<u32> {
        let is_same = |&row: &u32| self.name(row) == name && self.store_of(row) == store;
        self.rows.find(hash, is_same).copied()
    }

    /// The rows for the cells of a store.
    ///
    /// # Errors
    /// When its names cannot be read, or a cell and a row do not belong together without doubt.
    pub(crate) fn rows(&self, number: usize, file: &AnnDataFile) -> Result<TableRows, Error> {
        let codes: Vec<Option<u32>> = match &self.stores {
            None => vec![None],
            Some(stores) => stores.of_store[number].iter().copied().map(Some).collect(),
        };
        if codes.is_empty() {
            return Ok(TableRows::default());
        }
        let names = file.obs_names()?;
        let mut rows: Vec<u32> = Vec::with_capacity(names.len());
        // One bit per row of the table, which may have many more than the store has cells.
        let mut used = vec![0u64; self.table.len().div_ceil(64)];
        for (cell, name) in names.iter().enumerate() {
            let mut found = codes.iter().filter_map(|&code| self.find(code, name));
            let row = found.next();
            if found.next().is_some() {
                let expected = "one row of obs_table for each cell";
                let found = format!("two for {name:?}, whose store has two names there");
                return Err(invalid_names(file, expected, found));
            }
            if let Some(row) = row {
                let (word, bit) = (&mut used[row as usize / 64], 1 << (row % 64));
                if *word & bit != 0 {
                    let first = rows.iter().position(|&known| known == row);
                    let first = first.unwrap_or_default();
                    let expected = "different names of the cells that obs_table mentions";
                    let found = format!("{name:?} in row {first} and in row {cell}");
                    return Err(invalid_names(file, expected, found));
                }
                *word |= bit;
            }
            rows.push(row.unwrap_or(NONE));
        }
        let is_mentioned = rows.iter().any(|&row| row != NONE);
        Ok(TableRows(if is_mentioned { rows } else { Vec::new() }))
    }

    /// Checks the rows of all stores.
    ///
    /// # Errors
    /// When a name stands for cells of two stores, or no row belongs to any cell.
    pub(crate) fn check(
        &self,
        stores: &[StorePlan],
        io: &IoContext,
    ) -> Result<(), crate::error::Error> {
        if self.stores.is_none() && stores.len() > 1 {
            let mut owners = vec![NONE; self.table.len()];
            for (number, store) in stores.iter().enumerate() {
                for row in store.table_rows.iter() {
                    let owner = std::mem::replace(&mut owners[row as usize], number as u32);
                    if owner != NONE {
                        let other = &stores[owner as usize];
                        return Err(OpenError::SharedCellName {
                            files: Box::new((other.file.clone(), store.file.clone())),
                            name: self.name(row).to_owned(),
                        }
                        .into());
                    }
                }
            }
        }
        let is_matched = |store: &StorePlan| !store.table_rows.0.is_empty();
        if stores.iter().any(is_matched) || stores.iter().all(|store| store.n_file_obs == 0) {
            return Ok(());
        }
        Err(self.without_match(stores, io)?.into())
    }

    /// The error of a table that has no row for any cell: names of both sides.
    fn without_match(
        &self,
        stores: &[StorePlan],
        io: &IoContext,
    ) -> Result<OptionError, OpenError> {
        let is_named = |&(number, store): &(usize, &StorePlan)| {
            let named = self.stores.as_ref();
            store.n_file_obs > 0 && named.is_none_or(|named| !named.of_store[number].is_empty())
        };
        let mut numbered = stores.iter().enumerate();
        let Some((number, store)) = numbered.find(is_named) else {
            return Ok(invalid("rows of stores that have cells", "no such row"));
        };
        let file = store.source.open(io)?;
        let cells: Vec<u64> = (0..file.n_obs().min(MOST_NAMES as u64)).collect();
        let cells = file.obs_index()?.read_names(&cells)?;
        let is_of_store = |&row: &u32| match (&self.stores, self.store_of(row)) {
            (Some(stores), Some(code)) => stores.of_store[number].contains(&code),
            _ => true,
        };
        let rows = (0..self.table.len() as u32).filter(is_of_store);
        let rows = rows.take(MOST_NAMES).map(|row| self.name(row));
        let file = store.file.display();
        let expected = format!("names of cells such as {} ({file})", listed(cells.iter()));
        let found = format!("{}: no row is that of a cell", listed(rows));
        Ok(invalid(expected, found))
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    names.join(", ")
}

fn invalid_names(file: &AnnDataFile, expected: &str, found: String) -> Error {
    let expected = expected.to_owned();
    Error::new(file.path(), "obs", ErrorKind::Invalid { expected, found })
}

/// The error of a cell that the table has twice.
fn twice(join: &TableJoin<'_>, row: u32) -> OptionError {
    let name = join.name(row);
    let Some(stores) = &join.stores else {
        let hint = "if it is a cell of two stores, give the column of stores, too";
        return invalid("each cell once", format!("{name:?} twice: {hint}"));
    };
    let store = match (&stores.labels.categories, join.store_of(row)) {
        (ColumnValues::Texts(texts), Some(code)) => texts.get(code as usize).unwrap_or_default(),
        _ => "",
    };
    let expected = "each cell of a store once";
    invalid(expected, format!("{name:?} of {store:?} twice"))
}

/// The store of each row, if the table has it.
fn row_stores<'a>(
    table: &'a ObsTable,
    options: &Options,
) -> Result<Option<RowStores<'a>>, OptionError> {
    let labels = match table.store_labels() {
        None => return Ok(None),
        Some(Ok(labels)) => Cow::Borrowed(labels),
        Some(Err(column)) => {
            let (file, context) = (Path::new("obs_table"), &IoContext::default());
            let (element, unreadable) = ("stores", |error| invalid("names of stores", error));
            let place = ColumnPlace {
                file,
                element,
                context,
            };
            let labels = column.to_labels(place).map_err(unreadable)?;
            let texts = labels_of(&labels.categories).into_iter();
            // A code of a NaN is missing.
            let texts = texts.map(|label| label.as_ref().map(plain_text).unwrap_or_default());
            let texts: Vec<String> = texts.collect();
            Cow::Owned(EncodedColumn {
                categories: ColumnValues::Texts(texts.iter().map(String::as_str).collect()),
                codes: labels.codes,
            })
        }
    };
    let codes = &labels.codes;
    if let Some(row) = (0..codes.len()).find(|&row| codes.get(row).is_none()) {
        let cell = table.cell_names().get(row).unwrap_or_default();
        let found = format!("none for the cell {cell:?} (row {row})");
        return Err(invalid("the name of a store in each row", found));
    }
    let ColumnValues::Texts(texts) = &labels.categories else {
        return Err(invalid("names of stores", "numbers"));
    };
    let stores = options.sources.iter().enumerate();
    let stores = stores.map(|(number, source)| StoreName::of(source, table.store_path(number)));
    let stores: Vec<StoreName<'_>> = stores.collect();
    let of_store = codes_of_stores(texts, &used(codes, texts.len()), &stores)?;
    Ok(Some(RowStores { labels, of_store }))
}

/// Which categories some row has.
fn used(codes: &Codes, n_categories: usize) -> Vec<bool> {
    let mut used = vec![false; n_categories];
    for code in (0..codes.len()).filter_map(|row| codes.get(row)) {
        used[code as usize] = true;
    }
    used
}

/// The obs columns of a store that is being opened.
pub(crate) struct StoreObs<'a> {
    pub(crate) file: &'a AnnDataFile,
    pub(crate) options: &'a Options,
    pub(crate) rows: &'a TableRows,
    pub(crate) io: &'a IoContext,
}

impl StoreObs<'_> {
    /// Opens a column of the table, or of the file.
    pub(crate) fn column(&self, name: &str) -> Result<Option<Column>, Error> {
        let table = self.options.obs_table.as_ref();
        let (file, n_rows) = (self.file.path(), self.file.n_obs() as usize);
        match table.and_then(|table| gathered(table, name, self.rows, n_rows, file, self.io)) {
            Some(column) => column.map(Some),
            None => self.file.obs_column(name),
        }
    }

    /// The element of a column, in errors.
    pub(crate) fn element(&self, name: &str) -> String {
        let table = self.options.obs_table.as_ref();
        match table.and_then(|table| table.find(name)) {
            Some(_) => table_element(name),
            None => format!("obs/{name}"),
        }
    }

    /// The names of all columns.
    pub(crate) fn keys(&self) -> Result<Vec<String>, Error> {
        let mut keys = self.file.obs_keys()?;
        let table = self.options.obs_table.iter();
        keys.extend(table.flat_map(ObsTable::column_names).map(str::to_owned));
        Ok(keys)
    }
}

fn table_element(name: &str) -> String {
    format!("obs_table/{name}")
}

/// The column of the table for the cells of a store; `None` if the table does not have it.
fn gathered(
    table: &ObsTable,
    name: &str,
    rows: &TableRows,
    n_rows: usize,
    file: &Path,
    context: &IoContext,
) -> Option<Result<Column, Error>> {
    let element = &table_element(name);
    let place = ColumnPlace {
        file,
        element,
        context,
    };
    Some(table.find(name)?.gather(&rows.0, n_rows, place))
}

impl Plan {
    /// A column of a store, of the table or of its file, which is opened again.
    pub(crate) fn obs_column(
        &self,
        number: usize,
        key: &str,
    ) -> Result<Option<Column>, crate::error::read::ReadError> {
        let failed = |error| crate::error::read::ReadError::file(number, error);
        let StorePlan {
            table_rows: rows,
            n_file_obs,
            file,
            ..
        } = &self.stores[number];
        let n_rows = *n_file_obs as usize;
        let table = self.table.as_ref();
        match table.and_then(|table| gathered(table, key, rows, n_rows, file, &self.io)) {
            Some(column) => column.map(Some).map_err(failed),
            None => self.reopen(number)?.obs_column(key).map_err(failed),
        }
    }
}
