//! Opens a collection: reads every file once, then joins the variables and unites the labels.

use std::path::PathBuf;

use anndata_io::{AnnDataSource, IoContext, MatrixSource};
use feature_join::VarNames;
use once_cell::race::OnceBox;

use crate::error::Error;
use crate::error::open::OpenError;
use crate::options::{CacheChoice, ObsFilter, Options};
use crate::plan::ahead::{in_order, n_threads};
use crate::plan::filter::{FilterColumn, Seen};
use crate::plan::layers::LayerChoice;
use crate::plan::matrices::matrix_keys;
use crate::plan::obs::{check_keys, encoded_keys, open_columns};
use crate::plan::obs_source::{ObsSource, unmatched_maps};
use crate::plan::obs_table::{StoreObs, TableJoin};
use crate::plan::transforms::{check_transforms, compile, read_obs_totals};
use crate::plan::unmatched::unknown_labels;
use crate::plan::var_names::SharedNames;
use crate::plan::variables::{Table, TableNames, check_join, join_tables, tables_of};
use crate::plan::{Plan, Rows, StorePlan};

/// What was read of the files so far.
struct Opened {
    stores: Vec<StorePlan>,
    /// For each store, the columns of the obs keys.
    columns: Vec<Vec<Option<ObsSource>>>,
    names: TableNames,
    shared: SharedNames,
    /// What the files had of each column of the filter.
    filtered: Vec<Seen>,
}

impl Plan {
    /// Opens the files of the options and checks the options against them.
    ///
    /// # Errors
    /// When an option contradicts another, a file cannot be read, or the files do not fit
    /// together.
    pub(crate) fn open(options: &Options) -> Result<Plan, Error> {
        let encoded = encoded_keys(options)?;
        check_join(options)?;
        check_keys(options)?;
        check_transforms(options)?;
        let io = context(options)?;
        io.keep_remote_reads(true);
        let plan = Plan::read(options, encoded, io.clone());
        io.keep_remote_reads(false);
        plan
    }

    fn read(options: &Options, encoded: Vec<String>, io: IoContext) -> Result<Plan, Error> {
        let layers = options.layers();
        let table = TableJoin::new(options)?;
        let mut opened = Opened {
            stores: Vec::with_capacity(options.sources.len()),
            columns: Vec::with_capacity(options.sources.len()),
            names: TableNames::default(),
            shared: SharedNames::default(),
            filtered: options.obs_filter.unseen(),
        };
        let n_threads = n_threads(&options.sources);
        let sources: Vec<(usize, &AnnDataSource)> = options.sources.iter().enumerate().collect();
        in_order(
            &sources,
            n_threads,
            |source| StoreRead::of(*source, options, &layers, table.as_ref(), &io),
            |read| opened.add(read?, options),
        )?;
        let Opened {
            mut stores,
            columns,
            names,
            filtered,
            ..
        } = opened;
        if let Some(table) = &table {
            table.check(&stores, &io)?;
        }
        let files: Vec<PathBuf> = stores.iter().map(|store| store.file.clone()).collect();
        let tables = tables_of(options, &layers, &stores);
        let (joints, overlaps) = join_tables(options, &io, &stores, &files, &tables, &names)?;
        let obs = open_columns(options, &encoded, &files, columns, &mut stores, n_threads)?;
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(stores.iter().map(|store| {
            end += store.rows.len();
            end
        }));
        let mut plan = Plan {
            io,
            matrices: matrix_keys(options, &layers, &stores, &tables, &joints),
            stores,
            starts,
            obs,
            table: options.obs_table.clone(),
            filter_keys: options.obs_filter.keys().cloned().collect(),
            dtype: options.dtype,
            joints,
            genes: options.genes.clone(),
            overlaps,
            missing_keys: Vec::new(),
            batch_names: Ok(()),
            all_by_row: false,
            fingerprint: OnceBox::new(),
            unmatched_labels: options.obs_filter.unmatched(&filtered),
        };
        compile(&mut plan, options)?;
        MatrixSource::use_cache(plan.packable());
        MatrixSource::warn_of_small_cache(plan.packable());
        plan.all_by_row = plan.unprepared().count() == 0;
        plan.batch_names = plan.find_same_name();
        plan.missing_keys = plan.find_missing(options, &filtered)?;
        let unknown = unknown_labels(&options.unknown_label, &plan.found_encoders());
        plan.unmatched_labels.extend(unknown);
        plan.unmatched_labels.extend(unmatched_maps(options));
        Ok(plan)
    }
}

/// The context of the options, with the cache that they name. Files on servers have one anyway.
fn context(options: &Options) -> Result<IoContext, OpenError> {
    let has_remote = || options.sources.iter().any(AnnDataSource::is_remote);
    match &options.cache {
        CacheChoice::Folder(cache) => Ok(IoContext::with_cache(options.io, cache)?),
        CacheChoice::OfUser if has_remote() => Ok(IoContext::with_user_cache(
            options.io,
            options.user_cache_size,
        )?),
        CacheChoice::OfUser | CacheChoice::Off => Ok(IoContext::new(options.io)),
    }
}

/// What one file says, read without regard to the others.
struct StoreRead {
    store: StorePlan,
    columns: Vec<Option<ObsSource>>,
    /// The columns of the filter.
    filter_columns: Vec<FilterColumn>,
    /// The names of each table; empty if no layer is joined by it.
    var_names: VarNames,
    raw_names: VarNames,
}

impl StoreRead {
    fn of(
        (number, source): (usize, &AnnDataSource),
        options: &Options,
        layers: &[LayerChoice],
        table: Option<&TableJoin<'_>>,
        io: &IoContext,
    ) -> Result<StoreRead, OpenError> {
        let file = source.open(io)?;
        let n_file_obs = u32::try_from(file.n_obs()).map_err(|_| OpenError::TooManyRows {
            file: file.path().into(),
            n_obs: file.n_obs(),
        })?;
        let rows = table.map(|table| table.rows(number, &file)).transpose()?;
        let rows = rows.unwrap_or_default();
        let store_obs = StoreObs {
            file: &file,
            options,
            rows: &rows,
            io,
        };
        let filter_columns = options.obs_filter.read(&store_obs)?;
        let found = layers.iter().map(|choice| choice.open(&file));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let (taken, mut matrices): (Vec<_>, Vec<_>) = found.into_iter().map(Option::unzip).unzip();
        for key in &options.obsm_keys {
            matrices.push(file.obsm(key)?);
        }
        for (layer, (taken, matrix)) in layers.iter().zip(taken.iter().zip(&matrices)) {
            layer.check_raw(&file, options, taken.as_ref(), matrix.as_ref())?;
        }
        let names_of = |table: Table| match table.is_used(options, layers, &taken) {
            true => table.read(&file, number, options),
            false => Ok(VarNames::default()),
        };
        let obs = options.obs_keys.iter();
        let columns = obs.map(|key| ObsSource::open(&store_obs, key));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let name_of =
            |column: &Option<ObsSource>| column.as_ref().map(|column| column.name.clone());
        Ok(StoreRead {
            var_names: names_of(Table::Var)?,
            raw_names: names_of(Table::Raw)?,
            store: StorePlan {
                taken,
                source: source.clone(),
                file: file.path().to_owned(),
                n_file_obs,
                n_vars: file.n_vars(),
                rows: Rows::All(n_file_obs),
                matrices,
                obs_taken: columns.iter().map(name_of).collect(),
                columns: Vec::new(),
                obs_totals: read_obs_totals(&store_obs)?,
                table_rows: rows,
                filter_columns: Vec::new(),
            },
            columns,
            filter_columns,
        })
    }
}

impl Opened {
    /// Adds what one more file says.
    fn add(&mut self, read: StoreRead, options: &Options) -> Result<(), OpenError> {
        let mut store = read.store;
        if options.obs_filter != ObsFilter::default() {
            let seen = &mut self.filtered;
            let filter = &options.obs_filter;
            let (rows, columns) = filter.rows(store.n_file_obs, read.filter_columns, seen);
            (store.rows, store.filter_columns) = (Rows::Some(rows), columns);
        }
        self.names.var.push(self.shared.share(read.var_names));
        self.names.raw.push(self.shared.share(read.raw_names));
        self.columns.push(read.columns);
        self.stores.push(store);
        Ok(())
    }
}
