//! The collection: what it is, and its items.

use std::path::Path;
use std::sync::Arc;

use anndata_io::{AnnDataFile, AnnDataSource, ErrorKind, IoContext, MatrixSource, Values1d};
use feature_join::{Join, VarNames};
use label_encoding::Encoder;
use once_cell::race::OnceBox;

use crate::batch::pool::Recycler;
use crate::batch::row_writer::read_row;
use crate::builder::Builder;
use crate::error::Error;
use crate::item::{Item, ItemValue};
use crate::loader::prefetch::is_forked;
use crate::loader::state::of_data;
use crate::plan::unmatched::UnmatchedLabel;
use crate::plan::{MissingKey, ObsColumn, Plan, read_var_names};

/// Many AnnData files as one map-style dataset.
///
/// Row `i` of the collection is a cell of one of the files: its matrices joined to common
/// variables, its labels encoded. Cheap to clone, and all clones are one collection; safe to use
/// from many threads and, with nothing to be done about it, in forked processes.
///
/// # Differs from lamindb
/// - Repeated column indices are summed, missing labels are never a class, an absent column counts
///   as missing in weights and filters, `original_shapes` is known without a join.
/// - Plain floating-point columns are encoded only when `encode_labels` names them.
/// - Keys that no store has are listed by [`missing_keys`](Self::missing_keys) and warned of.
/// - `X` is not needed unless it is asked for.
#[derive(Debug, Clone)]
pub struct MappedCollection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Builder,
    context: IoContext,
    plan: Plan,
    /// Memory of batches read by index, for later ones.
    recycler: Arc<Recycler>,
    /// A hash of the data, once it was asked for; no child of a fork waits for it.
    fingerprint: OnceBox<u64>,
}

/// At most how many of its bytes are kept: a few dense batches.
const SPARE_BYTES: usize = 128 << 20;

impl MappedCollection {
    /// Starts with the files, in the order of their rows.
    pub fn builder<S: Into<AnnDataSource>>(sources: impl IntoIterator<Item = S>) -> Builder {
        Builder::new(sources)
    }

    pub(crate) fn open(mut options: Builder) -> Result<MappedCollection, Error> {
        if options.sources.is_empty() {
            return Err(Error::NoPaths);
        }
        // Files are opened again later, when the current folder may be another one.
        let sources = options.sources.into_iter().map(AnnDataSource::resolved);
        options.sources = sources.collect::<Result<_, _>>()?;
        // Its forked children will know that they are.
        is_forked();
        let context = IoContext::new(options.io);
        let plan = Plan::open(&options, &context)?;
        Ok(MappedCollection {
            inner: Arc::new(Inner {
                options,
                context,
                plan,
                recycler: Arc::new(Recycler::new(SPARE_BYTES)),
                fingerprint: OnceBox::new(),
            }),
        })
    }

    /// Opens the same files anew with the same options: a collection of its own, which closing
    /// this one does not close.
    ///
    /// A forked process need not call it.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn fork(&self) -> Result<MappedCollection, Error> {
        MappedCollection::open(self.inner.options.clone())
    }

    /// Closes the files, in all clones. Reading afterwards is [`Error::Closed`]; twice is fine.
    pub fn close(&self) {
        self.inner.context.close();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn closed(&self) -> bool {
        self.inner.context.is_closed()
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    pub(crate) fn recycler(&self) -> &Arc<Recycler> {
        &self.inner.recycler
    }

    pub(crate) fn options(&self) -> &Builder {
        &self.inner.options
    }

    /// A hash of the data; the first call reads some obs names.
    pub(crate) fn fingerprint(&self) -> Result<u64, Error> {
        let hash = || Ok(Box::new(of_data(self)?));
        self.inner.fingerprint.get_or_try_init(hash).copied()
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed() {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    /// The files and their cache: counters for tests and reports.
    pub fn io(&self) -> &IoContext {
        &self.inner.context
    }

    /// Number of rows (cells) that passed the filter.
    pub fn n_obs(&self) -> usize {
        self.plan().n_obs()
    }

    /// Number of joint variables (genes); `None` without a join.
    pub fn n_vars(&self) -> Option<usize> {
        self.plan().joint.as_ref().and_then(|joint| joint.n_vars())
    }

    /// `(n_obs, n_vars)`.
    pub fn shape(&self) -> (usize, Option<usize>) {
        (self.n_obs(), self.n_vars())
    }

    /// For each store, its rows that passed the filter and its variables.
    pub fn original_shapes(&self) -> Vec<(usize, usize)> {
        let stores = self.plan().stores.iter();
        stores
            .map(|store| (store.rows.len(), store.n_vars as usize))
            .collect()
    }

    /// Number of stores.
    pub fn n_stores(&self) -> usize {
        self.plan().stores.len()
    }

    /// What the stores are called, in order: their paths as they were given.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.plan().stores.iter().map(|store| store.file.as_path())
    }

    /// The absolute paths of the files, in order; of stores in memory, their names.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        let sources = self.options().sources.iter();
        sources
            .zip(self.names())
            .map(|(source, name)| match source {
                AnnDataSource::At(location) => location.path(),
                _ => name,
            })
    }

    /// Store number and row in its file of row `index` of the collection.
    ///
    /// # Errors
    /// When `index` is out of bounds; a negative one counts from the end.
    pub fn locate(&self, index: i64) -> Result<(usize, u32), Error> {
        Ok(self.plan().locate(self.position(index)?))
    }

    /// The rows of a store that passed the filter, by their numbers in its file, ascending.
    pub fn kept_rows(&self, store: usize) -> impl ExactSizeIterator<Item = u32> {
        let rows = &self.plan().stores[store].rows;
        (0..rows.len()).map(|index| rows.get(index))
    }

    /// Whether a row of a batch always equals the item of that row: all stores with rows have the
    /// same matrices and columns, of the same widths and types. Otherwise a batch has types that
    /// hold the values of all stores, where an item has its own store's, or rows cannot be batched.
    pub fn is_uniform(&self) -> bool {
        let plan = self.plan();
        let with_rows = plan.stores_with_rows();
        let stores = || with_rows.iter().map(|&store| &plan.stores[store]);
        let matrices_alike = plan.matrices.iter().enumerate().all(|(number, key)| {
            let own_type = |source: &MatrixSource| self.options().dtype.or(Some(source.dtype()));
            plan.common_row_shape(number, &with_rows).is_ok()
                && stores()
                    .filter_map(|store| store.matrices[number].as_ref())
                    .all(|source| own_type(source) == key.dtype)
        });
        let columns_alike = plan.obs.iter().enumerate().all(|(number, key)| {
            let nowhere = plan
                .stores
                .iter()
                .all(|store| store.columns[number].is_none());
            nowhere
                || stores().all(|store| {
                    let column = store.columns[number].as_ref();
                    column.is_some_and(|c| key.encoder.is_some() || c.dtype() == key.dtype)
                })
        });
        plan.check_batch_names().is_ok() && matrices_alike && columns_alike
    }

    pub(crate) fn position(&self, index: i64) -> Result<usize, Error> {
        let n_obs = self.n_obs();
        let position = if index < 0 {
            index + n_obs as i64
        } else {
            index
        };
        usize::try_from(position)
            .ok()
            .filter(|&position| position < n_obs)
            .ok_or(Error::OutOfBounds { index, n_obs })
    }

    /// The join that was asked for.
    pub fn join(&self) -> Option<Join> {
        self.options().join
    }

    /// The join in effect: `None` without one, and when all stores have equal variables.
    pub fn join_vars(&self) -> Option<Join> {
        self.plan()
            .joint
            .as_ref()
            .and_then(|joint| joint.effective())
    }

    /// The joint variables; `None` without a join.
    pub fn var_joint(&self) -> Option<&Arc<VarNames>> {
        self.plan().joint.as_ref().and_then(|joint| joint.names())
    }

    /// For each store, as lamindb's `var_indices`: with an inner join the position in the store
    /// of each joint variable, with an outer join the joint position of each of the store's.
    /// `None` without a join in effect.
    pub fn var_indices(&self) -> Option<Vec<Vec<i64>>> {
        let joint = self.plan().joint.as_ref()?;
        (0..self.n_stores())
            .map(|store| joint.indices(store))
            .collect()
    }

    /// Turns matrices that are stored by column (CSC) into rows. Otherwise that happens to each when its
    /// rows are first read, which then takes long; workers that are forked afterwards share what
    /// is ready.
    ///
    /// `progress` is told the part that is done, from 0 to 1.
    ///
    /// # Errors
    /// When the collection is closed, a matrix cannot be read, or a temporary file cannot be
    /// written.
    pub fn prepare(&self, mut progress: impl FnMut(f64)) -> Result<(), Error> {
        self.check_open()?;
        let stores = self.plan().stores.iter();
        let matrices = stores.flat_map(|store| store.matrices.iter().flatten());
        let by_column: Vec<_> = matrices.filter(|matrix| !matrix.is_prepared()).collect();
        for (number, matrix) in by_column.iter().enumerate() {
            matrix.prepare(&mut |done, total| {
                let done = number as f64 + done as f64 / total.max(1) as f64;
                progress(done / by_column.len() as f64);
            })?;
        }
        Ok(())
    }

    /// Which joint variables a store has: `[n_vars] bool`. A variable that it lacks is 0 in its
    /// rows, which no item tells from a measured 0. `None` without a join, or without such a
    /// store.
    pub fn presence(&self, store: usize) -> Option<Vec<bool>> {
        self.plan().joint.as_ref()?.presence(store)
    }

    /// The variables of every store, in order.
    ///
    /// # Errors
    /// Without a join they are read now, which may fail.
    pub fn var_list(&self) -> Result<Vec<Arc<VarNames>>, Error> {
        match &self.plan().var_names {
            Some(names) => Ok(names.clone()),
            None => {
                self.check_open()?;
                read_var_names(&self.options().sources, &self.inner.context)
            }
        }
    }

    /// Whether the variables of every store are sorted by code point.
    ///
    /// # Errors
    /// As [`var_list`](Self::var_list).
    pub fn check_vars_sorted(&self, ascending: bool) -> Result<bool, Error> {
        Ok(self.var_list()?.iter().all(|names| {
            if ascending {
                names.is_sorted_ascending()
            } else {
                names.is_sorted_descending()
            }
        }))
    }

    /// The numbers of the stores whose variables are not these, in this order.
    ///
    /// # Errors
    /// As [`var_list`](Self::var_list).
    pub fn check_vars_non_aligned<S: AsRef<str>>(
        &self,
        vars: impl IntoIterator<Item = S>,
    ) -> Result<Vec<usize>, Error> {
        let vars: VarNames = vars.into_iter().collect();
        let stores = self.var_list()?;
        let differ = stores
            .iter()
            .enumerate()
            .filter(|(_, names)| ***names != vars);
        Ok(differ.map(|(store, _)| store).collect())
    }

    /// The encoded keys and their encoders, in the order of the obs keys.
    pub fn encoders(&self) -> impl Iterator<Item = (&str, &Encoder)> {
        self.plan()
            .obs
            .iter()
            .filter_map(|key| Some((key.name.as_str(), key.encoder.as_ref()?)))
    }

    /// The encoder of a key; `None` when it is not encoded.
    pub fn encoder(&self, key: &str) -> Option<&Encoder> {
        self.encoders()
            .find(|(name, _)| *name == key)
            .map(|(_, encoder)| encoder)
    }

    /// The keys asked for that no store has, which no item has either.
    pub fn missing_keys(&self) -> &[MissingKey] {
        &self.plan().missing_keys
    }

    /// The labels of the filter and the unknown labels that no store has, each with the nearest
    /// one that a store has: nothing passes for them, and nothing is unknown.
    pub fn unmatched_labels(&self) -> &[UnmatchedLabel] {
        &self.plan().unmatched_labels
    }

    /// A store's file, opened again for what was not kept of it.
    pub(crate) fn reopen(&self, store: usize) -> Result<AnnDataFile, Error> {
        let file = self.options().sources[store].open(&self.inner.context)?;
        if file.n_obs() != u64::from(self.plan().stores[store].n_file_obs) {
            let kind = ErrorKind::Changed;
            return Err(anndata_io::Error::new(file.path(), "obs", kind).into());
        }
        Ok(file)
    }

    /// The obs names of rows, in the order asked.
    ///
    /// # Errors
    /// When an index is out of bounds or a file cannot be read.
    pub fn obs_names(&self, indices: &[i64]) -> Result<Vec<String>, Error> {
        self.check_open()?;
        let mut of_store: Vec<Vec<(usize, u64)>> = vec![Vec::new(); self.n_stores()];
        for (target, &index) in indices.iter().enumerate() {
            let (store, row) = self.locate(index)?;
            of_store[store].push((target, row.into()));
        }
        let mut names = vec![String::new(); indices.len()];
        for (store, wanted) in of_store.into_iter().enumerate() {
            if wanted.is_empty() {
                continue;
            }
            let column = self.reopen(store)?.obs_index()?;
            let rows: Vec<u64> = wanted.iter().map(|&(_, row)| row).collect();
            for (&(target, _), name) in wanted.iter().zip(column.read_names(&rows)?.iter()) {
                names[target] = name.to_owned();
            }
        }
        Ok(names)
    }

    /// Row `index`, with everything that was asked for. A negative index counts from the end.
    ///
    /// Without a `dtype`, a matrix row has the type that it has in its file, also through an
    /// outer join.
    ///
    /// # Errors
    /// When `index` is out of bounds, the collection is closed, or the file cannot be read.
    pub fn get(&self, index: i64) -> Result<Item, Error> {
        self.check_open()?;
        let plan = self.plan();
        let (store_idx, row) = plan.locate(self.position(index)?);
        let store = &plan.stores[store_idx];
        let mut item = Item::new(store_idx, row);
        for (key, source) in plan.matrices.iter().zip(&store.matrices) {
            let Some(source) = source else { continue };
            let shape = plan.row_shape(store_idx, key, source);
            let dtype = self.options().dtype.unwrap_or(source.dtype());
            let map = plan.var_map(store_idx, key);
            let values = read_row(source, map, row, shape.iter().product(), dtype)?;
            item.insert(&key.name, ItemValue::Row { shape, values });
        }
        for (key, column) in plan.obs.iter().zip(&store.columns) {
            if let Some(column) = column {
                item.insert(&key.name, obs_value(column, key.encoder.is_some(), row)?);
            }
        }
        Ok(item)
    }
}

/// The value of one row of a column.
fn obs_value(column: &ObsColumn, encoded: bool, row: u32) -> Result<ItemValue, Error> {
    match column {
        ObsColumn::Labels {
            categories,
            codes,
            encoded: table,
            ..
        } => {
            let Some(code) = codes.get(row as usize) else {
                return Ok(ItemValue::Missing);
            };
            if encoded {
                return Ok(table[code as usize].map_or(ItemValue::Missing, ItemValue::Code));
            }
            Ok(value_at(categories, code as usize))
        }
        ObsColumn::Values(column) => {
            let rows = column.read_rows(&[row.into()])?;
            Ok(if rows.is_valid(0) {
                value_at(&rows.values, 0)
            } else {
                ItemValue::Missing
            })
        }
    }
}

fn value_at(values: &Values1d, index: usize) -> ItemValue {
    match values {
        Values1d::Texts(texts) => {
            ItemValue::Text(texts.get(index).expect("codes are checked").to_owned())
        }
        Values1d::Numbers(numbers) => {
            ItemValue::Number(numbers.dtype(), numbers.as_slice().get(index))
        }
    }
}
