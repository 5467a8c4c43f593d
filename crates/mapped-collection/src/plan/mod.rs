//! The contents of an opened collection.
//!
//! Takes the [options](crate::options) and an [`IoContext`]; returns a [`Plan`]. A plan never
//! changes, and every clone, epoch and thread shares it. Opening reads names, labels and row
//! pointers; matrices stay in their files.
//!
//! ```text
//! row of the collection ─▶ starts ─▶ store + row in its file ─▶ MatrixSource, ObsColumn
//!                                    column of the file ─▶ VarMap ─▶ joint column
//! ```

mod ahead;
pub(crate) mod bands;
pub(crate) mod cache;
pub(crate) mod counts;
pub(crate) mod filter;
pub(crate) mod fingerprint;
pub(crate) mod label_positions;
pub(crate) mod labels;
mod layers;
pub(crate) mod location;
pub(crate) mod matrices;
mod mismatch;
pub(crate) mod missing_keys;
pub(crate) mod names;
pub(crate) mod obs;
pub(crate) mod obs_source;
pub(crate) mod obs_table;
mod open;
pub(crate) mod overlap;
mod table_stores;
pub(crate) mod tokens;
mod totals;
pub(crate) mod transforms;
pub(crate) mod unmatched;
mod var_names;
pub(crate) mod variables;

use std::path::PathBuf;

use anndata_io::{AnnDataFile, AnnDataSource, DType, ErrorKind, IoContext, LayerKey, MatrixSource};
use once_cell::race::OnceBox;

use crate::error::labels::UnmatchedLabel;
use crate::error::read::ReadError;
use crate::genes::GeneList;
use crate::obs_table::ObsTable;
use crate::plan::location::RowLocation;
use crate::plan::matrices::MatrixKey;
use crate::plan::missing_keys::MissingKey;
use crate::plan::obs::{ObsColumn, ObsKey};
use crate::plan::obs_table::TableRows;
use crate::plan::overlap::Overlaps;
use crate::plan::transforms::ObsTotals;
use crate::plan::variables::Joint;

/// An opened collection.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The files and their cache.
    pub(crate) io: IoContext,
    pub(crate) stores: Vec<StorePlan>,
    /// The first row of each store, and the end of the last one.
    pub(crate) starts: Vec<usize>,
    pub(crate) matrices: Vec<MatrixKey>,
    pub(crate) obs: Vec<ObsKey>,
    /// Columns of obs that are in no file.
    pub(crate) table: Option<ObsTable>,
    /// The columns that the filter names.
    pub(crate) filter_keys: Vec<String>,
    /// The requested element type.
    pub(crate) dtype: Option<DType>,
    /// The joins of tables of variables. The first is that of `var`, if there is a join.
    pub(crate) joints: Vec<Joint>,
    /// The list of a join by given genes.
    pub(crate) genes: Option<GeneList>,
    pub(crate) overlaps: Overlaps,
    pub(crate) missing_keys: Vec<MissingKey>,
    /// Whether batches can be made. An error if two entries would have one name.
    pub(crate) batch_names: Result<(), ReadError>,
    pub(crate) unmatched_labels: Vec<UnmatchedLabel>,
    /// Whether no matrix is stored by column.
    all_by_row: bool,
    /// A hash of the data, once it was requested. No child of a fork waits for it.
    fingerprint: OnceBox<u64>,
}

/// One store of a collection.
#[derive(Debug)]
pub(crate) struct StorePlan {
    pub(crate) source: AnnDataSource,
    pub(crate) file: PathBuf,
    /// The number of rows of the file, before the filter.
    pub(crate) n_file_obs: u32,
    pub(crate) n_vars: u64,
    pub(crate) rows: Rows,
    /// One entry per matrix key of the plan; `None` if the store lacks it.
    pub(crate) matrices: Vec<Option<MatrixSource>>,
    /// The elements that the layers of the options were taken from.
    pub(crate) taken: Vec<Option<LayerKey>>,
    /// The columns that the obs keys of the plan were taken from.
    pub(crate) obs_taken: Vec<Option<String>>,
    /// One entry per obs key of the plan.
    pub(crate) columns: Vec<Option<ObsColumn>>,
    /// The rows of the table for its cells; without a table, no row.
    pub(crate) table_rows: TableRows,
    /// The totals in obs that matrices are normalised by.
    pub(crate) obs_totals: ObsTotals,
    /// One entry per column that the filter names.
    pub(crate) filter_columns: Vec<Option<ObsColumn>>,
}

/// The rows of a store that passed the filter.
#[derive(Debug)]
pub(crate) enum Rows {
    All(u32),
    Some(Vec<u32>),
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match self {
            Rows::All(n) => *n as usize,
            Rows::Some(rows) => rows.len(),
        }
    }

    /// The row in the file of kept row `index`.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> u32 {
        match self {
            Rows::All(_) => index as u32,
            Rows::Some(rows) => rows[index],
        }
    }

    /// The rows in the file, ascending.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = u32> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl Plan {
    pub(crate) fn n_obs(&self) -> usize {
        *self.starts.last().expect("never empty")
    }

    /// # Errors
    /// When the collection was closed.
    pub(crate) fn check_open(&self) -> Result<(), ReadError> {
        if self.io.is_closed() {
            Err(ReadError::Closed)
        } else {
            Ok(())
        }
    }

    /// The numbers of the stores that have rows.
    pub(crate) fn stores_with_rows(&self) -> Vec<usize> {
        let stores = self.stores.iter().enumerate();
        let with_rows = stores.filter(|(_, store)| store.rows.len() > 0);
        with_rows.map(|(number, _)| number).collect()
    }

    /// Opens a store's file again, for data that was not kept.
    pub(crate) fn reopen(&self, number: usize) -> Result<AnnDataFile, ReadError> {
        let store = &self.stores[number];
        let failed = |error| ReadError::file(number, error);
        let file = store.source.open(&self.io).map_err(failed)?;
        if file.n_obs() != u64::from(store.n_file_obs) {
            let kind = ErrorKind::Changed;
            return Err(failed(anndata_io::Error::new(file.path(), "obs", kind)));
        }
        Ok(file)
    }

    /// The obs names of rows of the collection, in the given order.
    pub(crate) fn obs_names(&self, rows: &[usize]) -> Result<Vec<String>, ReadError> {
        self.check_open()?;
        let located: Vec<RowLocation> = rows.iter().map(|&row| self.locate(row)).collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&target| located[target].store);
        let mut names = vec![String::new(); rows.len()];
        for targets in order.chunk_by(|&a, &b| located[a].store == located[b].store) {
            let store = located[targets[0]].store;
            let failed = |error| ReadError::file(store, error);
            let column = self.reopen(store)?.obs_index().map_err(failed)?;
            let rows = targets.iter().map(|&target| located[target].row.into());
            let names_read = column.read_names(&rows.collect::<Vec<u64>>());
            for (&target, name) in targets.iter().zip(names_read.map_err(failed)?.iter()) {
                names[target] = name.to_owned();
            }
        }
        Ok(names)
    }

    /// Whether all stores with rows have the same matrices and columns, of the same widths and
    /// types, so that a row of a batch equals the item of that row.
    pub(crate) fn is_uniform(&self) -> bool {
        let with_rows = self.stores_with_rows();
        let stores = || with_rows.iter().map(|&store| &self.stores[store]);
        let matrices_alike = self.matrices.iter().enumerate().all(|(number, key)| {
            let own_type = |source: &MatrixSource| Some(self.item_dtype(key, source));
            self.common_row_shape(number, &with_rows).is_ok()
                && stores()
                    .filter_map(|store| store.matrices[number].as_ref())
                    .all(|source| own_type(source) == key.dtype)
        });
        let columns_alike = self.obs.iter().enumerate().all(|(number, key)| {
            !self.has_column(number)
                || stores().all(|store| {
                    let column = store.columns[number].as_ref();
                    column.is_some_and(|c| key.encoder.is_some() || c.dtype() == key.dtype)
                })
        });
        self.check_batch_names().is_ok() && matrices_alike && columns_alike
    }
}
