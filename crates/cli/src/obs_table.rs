//! Columns of obs from a table outside the files.

use std::io::Write;

use clap::CommandFactory;
use clap::error::ErrorKind;
use mapped_anndata::{MappedCollection, MappedCollectionBuilder, ObsTable};
use serde::Serialize;

use crate::Result;
use crate::args::Cli;
use crate::opened::Opened;
use crate::text;

/// The options that add columns of a table.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ObsTableArgs {
    /// Adds the columns of a table (.csv, .tsv or .parquet) to obs. COLUMN has the names of the cells; by
    /// default, the first one has. A column of the table comes before one of the same name in a file.
    #[arg(long, value_name = "FILE[:COLUMN]")]
    obs_table: Option<String>,
    /// The column of --obs-table that names the store of each row: by its path as given, its file name,
    /// or that without the extension. Without it, cells are known by their names alone.
    #[arg(long, value_name = "COLUMN")]
    obs_table_store: Option<String>,
}

impl ObsTableArgs {
    pub(crate) fn apply(
        &self,
        builder: MappedCollectionBuilder,
    ) -> Result<MappedCollectionBuilder> {
        let table = match &self.obs_table {
            Some(table) => ObsTable::from_argument(table)?,
            None if self.obs_table_store.is_some() => {
                let message = "--obs-table-store: expected --obs-table beside it, found none";
                let mut cli = Cli::command();
                return Err(cli
                    .error(ErrorKind::MissingRequiredArgument, message)
                    .into());
            }
            None => return Ok(builder),
        };
        Ok(builder.obs_table(match &self.obs_table_store {
            Some(column) => table.store_column(column),
            None => table,
        }))
    }
}

/// The cells that have no row in the table.
#[derive(Debug, Serialize)]
pub(crate) struct NotInTable {
    cells: usize,
    /// Those of each store.
    stores: Vec<usize>,
}

impl NotInTable {
    pub(crate) fn of(cells: &MappedCollection) -> Option<NotInTable> {
        let stores = cells.not_in_table()?;
        Some(NotInTable {
            cells: stores.iter().sum(),
            stores,
        })
    }
}

/// Writes how many cells have no row in the table, if there is one.
pub(crate) fn write_not_in_table(opened: &Opened, out: &mut impl Write) -> Result<()> {
    let Some(absent) = NotInTable::of(&opened.cells) else {
        return Ok(());
    };
    let n_cells = text::count(opened.cells.n_obs(), "cell");
    let n_absent = text::thousands(absent.cells as u64);
    writeln!(out, "\n{n_absent} of {n_cells} have no row in the table")?;
    if absent.cells == 0 {
        return Ok(());
    }
    let shapes = opened.cells.original_shapes();
    let stores = opened.names().into_iter().zip(shapes).zip(absent.stores);
    let rows = stores.filter(|(_, absent)| *absent > 0);
    let rows = rows.map(|((name, (n_obs, _)), absent)| {
        let [n_obs, absent] = [n_obs, absent].map(|n| text::thousands(n as u64));
        [name, n_obs, absent]
    });
    let table = text::table(["store", "cells", "without a row"], &[1, 2], rows);
    writeln!(out, "{table}")?;
    Ok(())
}
