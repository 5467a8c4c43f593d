//! The collection: its properties, items, batches and epochs.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use anndata_io::{AnnDataSource, IoContext};
use feature_join::Join;
use label_encoding::Encoder;

use crate::batch::fill::read;
use crate::batch::form::BatchForm;
use crate::batch::pool::BufferPool;
use crate::batch::waiting::WaitingRows;
use crate::batch::{Batch, BatchFormat};
use crate::builder::MappedCollectionBuilder;
use crate::error::Error;
use crate::error::labels::UnmatchedLabel;
use crate::error::open::OpenError;
use crate::error::read::ReadError;
use crate::item::Item;
use crate::loader::Loader;
use crate::loader::options::LoaderOptions;
use crate::options::Options;
use crate::plan::Plan;
use crate::plan::cache::Cached;
use crate::plan::location::RowLocation;
use crate::plan::missing_keys::MissingKey;

/// Many AnnData files as one map-style dataset.
///
/// Row `i` of the collection is a cell of one of the files, with its matrices joined to common
/// variables and its labels encoded. Cloning is cheap, and all clones are one collection. It is
/// safe to use from many threads and, without any setup, in forked processes.
///
/// # Differs from lamindb
/// - Repeated column indices are summed, missing labels are never a class, an absent column counts
///   as missing in weights and filters, `original_shapes` is known without a join.
/// - Plain floating-point columns are encoded only when `encode_labels` names them.
/// - [`missing_keys`](Self::missing_keys) lists the keys that no store has.
/// - `X` is optional unless it is requested.
#[derive(Debug, Clone)]
pub struct MappedCollection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    plan: Arc<Plan>,
    /// Buffers of batches read by index, for later batches.
    waiting: Arc<WaitingRows>,
}

/// The most bytes of spare buffers to keep: a few dense batches.
const SPARE_BYTES: usize = 128 << 20;

impl MappedCollection {
    /// Returns a builder with these files, in the order of their rows.
    pub fn builder<S: Into<AnnDataSource>>(
        sources: impl IntoIterator<Item = S>,
    ) -> MappedCollectionBuilder {
        MappedCollectionBuilder::new(sources)
    }

    pub(crate) fn open(mut options: Options) -> Result<MappedCollection, Error> {
        if options.sources.is_empty() {
            return Err(OpenError::NoPaths.into());
        }
        if let Some(genes) = &options.genes
            && matches!(options.join, Some(Join::Inner | Join::Given))
        {
            options.join = Some(Join::Given);
            options.name_rule =
                std::mem::take(&mut options.name_rule).for_list(genes.names().iter());
        }
        // Files are opened again later, and the current folder may change before that.
        let sources = options.sources.into_iter().map(AnnDataSource::resolved);
        options.sources = sources.collect::<Result<_, _>>().map_err(OpenError::from)?;
        let plan = Arc::new(Plan::open(&options)?);
        let pool = Arc::new(BufferPool::new(SPARE_BYTES));
        Ok(MappedCollection {
            inner: Arc::new(Inner {
                options,
                plan,
                waiting: Arc::new(WaitingRows::new(&pool, 0)),
            }),
        })
    }

    /// Opens the same files again with the same options. The new collection stays open when this
    /// one is closed.
    ///
    /// There is no need to call it in a forked process.
    ///
    /// # Errors
    /// As [`MappedCollectionBuilder::open`].
    pub fn fork(&self) -> Result<MappedCollection, Error> {
        let forked = MappedCollection::open(self.inner.options.clone())?;
        // Computing them again would read all rows.
        for (own, new) in self.plan().matrices.iter().zip(&forked.plan().matrices) {
            let median = own.pipeline.as_ref().and_then(|own| own.median());
            if let (Some(median), Some(new)) = (median, &new.pipeline) {
                new.set_median(median);
            }
        }
        Ok(forked)
    }

    /// Closes the files, in all clones. Reads then fail with [`ReadError::Closed`]. Closing twice
    /// is fine.
    pub fn close(&self) {
        self.io().close();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.io().is_closed()
    }

    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.inner.plan
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    /// The files and their cache: counters for tests and reports.
    pub fn io(&self) -> &IoContext {
        &self.plan().io
    }

    /// The number of rows (cells) that passed the filter.
    pub fn n_obs(&self) -> usize {
        self.plan().n_obs()
    }

    /// The number of joint variables (genes); `None` without a join.
    pub fn n_vars(&self) -> Option<usize> {
        self.var_joint().map(|names| names.len())
    }

    /// `(n_obs, n_vars)`.
    pub fn shape(&self) -> (usize, Option<usize>) {
        (self.n_obs(), self.n_vars())
    }

    /// For each store, the number of its rows that passed the filter and the number of its
    /// variables.
    pub fn original_shapes(&self) -> Vec<(usize, usize)> {
        let stores = self.plan().stores.iter();
        stores
            .map(|store| (store.rows.len(), store.n_vars as usize))
            .collect()
    }

    /// The number of stores.
    pub fn n_stores(&self) -> usize {
        self.plan().stores.len()
    }

    /// The names of the stores, in order: their paths as they were given.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.plan().stores.iter().map(|store| store.file.as_path())
    }

    /// The absolute paths of the files, in order; of stores in memory, their names.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.plan().stores.iter().map(|store| match &store.source {
            AnnDataSource::At(location) => location.path(),
            _ => store.file.as_path(),
        })
    }

    /// Where row `index` of the collection lies. A negative index counts from the end.
    ///
    /// # Errors
    /// When `index` is out of bounds.
    pub fn locate(&self, index: i64) -> Result<RowLocation, Error> {
        Ok(self.plan().locate(self.position(index)?))
    }

    /// The rows of a store that passed the filter, by their numbers in its file, ascending.
    pub fn kept_rows(&self, store: usize) -> impl ExactSizeIterator<Item = u32> {
        self.plan().stores[store].rows.iter()
    }

    /// Whether a row of a batch always equals the item of that row. That is so when all stores with
    /// rows have the same matrices and columns, of the same widths and types. Otherwise either a
    /// batch has types that hold the values of all stores while an item has those of its store, or
    /// the rows cannot share a batch.
    pub fn is_uniform(&self) -> bool {
        self.plan().is_uniform()
    }

    fn position(&self, index: i64) -> Result<usize, Error> {
        let n_obs = self.n_obs();
        let position = if index < 0 {
            index + n_obs as i64
        } else {
            index
        };
        usize::try_from(position)
            .ok()
            .filter(|&position| position < n_obs)
            .ok_or_else(|| ReadError::OutOfBounds { index, n_obs }.into())
    }

    /// Does beforehand what would otherwise slow down the first epoch: [turns columns into
    /// rows](Self::turn_columns); with all processors, fills the
    /// [cache](MappedCollectionBuilder::cache), if there is one, and computes the
    /// [median](crate::TargetTotal::Median) of totals, if one is needed.
    ///
    /// Calls `progress` with the fraction that is done, from 0 to 1.
    ///
    /// # Errors
    /// As [`turn_columns`](Self::turn_columns), or when a total for a median cannot be computed. A
    /// chunk that cannot be decoded for the cache is no error here: it is one when its rows are read.
    pub fn prepare(&self, mut progress: impl FnMut(f64)) -> Result<(), Error> {
        self.prepare_while(|done| {
            progress(done);
            true
        })
    }

    /// As [`prepare`](Self::prepare), but if `progress` returns false, ends soon and keeps what is
    /// in the cache by then. A matrix that is being turned is turned to its end.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn prepare_while(&self, mut progress: impl FnMut(f64) -> bool) -> Result<(), Error> {
        let plan = self.plan();
        let n_matrices = plan.unprepared().count();
        let (fills_cache, finds_medians) = (self.io().cache().is_some(), plan.lacks_median());
        // Turning a matrix counts as much as filling the cache, or as reading all totals.
        let n_steps = n_matrices + usize::from(fills_cache) + usize::from(finds_medians);
        let goes_on = Cell::new(true);
        let mut report = |n_done: usize, done: f64| {
            let part = (n_done as f64 + done) / n_steps as f64;
            goes_on.set(goes_on.get() && progress(part));
            goes_on.get()
        };
        self.turn_columns(|done| {
            report(0, done * n_matrices as f64);
        })?;
        if fills_cache && goes_on.get() {
            plan.fill_cache(|done| report(n_matrices, done));
        }
        if finds_medians && goes_on.get() {
            self.find_medians_while(&mut |done| report(n_steps - 1, done))?;
        }
        Ok(())
    }

    /// Turns matrices that are stored by column (CSC) into rows, unless the
    /// [cache](MappedCollectionBuilder::cache) has their rows. Without this call, the first read of
    /// such a matrix does it, and takes long. Workers that are forked afterwards share the
    /// prepared matrices.
    ///
    /// Calls `progress` with the fraction that is done, from 0 to 1.
    ///
    /// # Errors
    /// When the collection is closed, a matrix cannot be read, or a temporary file cannot be
    /// written.
    pub fn turn_columns(&self, mut progress: impl FnMut(f64)) -> Result<(), Error> {
        self.plan().check_open()?;
        let by_column: Vec<_> = self.plan().unprepared().collect();
        for (number, (store, matrix)) in by_column.iter().enumerate() {
            let prepared = matrix.prepare(&mut |done, total| {
                let done = number as f64 + done as f64 / total.max(1) as f64;
                progress(done / by_column.len() as f64);
            });
            prepared.map_err(|error| ReadError::file(*store, error))?;
        }
        Ok(())
    }

    /// Computes the [median](crate::TargetTotal::Median) of totals with all processors, unless it is
    /// known or no transform needs it. Without this call, the first read does it with one. Workers
    /// that are forked afterwards know it.
    ///
    /// Calls `progress` with the fraction that is done, from 0 to 1.
    ///
    /// # Errors
    /// When a row cannot be read, or its total is negative or not finite.
    pub fn find_medians(&self, mut progress: impl FnMut(f64)) -> Result<(), Error> {
        self.find_medians_while(&mut |done| {
            progress(done);
            true
        })
    }

    fn find_medians_while(&self, progress: &mut dyn FnMut(f64) -> bool) -> Result<(), Error> {
        self.plan().check_open()?;
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(self.plan().find_medians(n_threads, progress)?)
    }

    /// The median of the totals of the rows of a matrix, if it is
    /// [normalised](crate::TargetTotal::Median) to it and the median is known by now.
    pub fn median_total(&self, key: &str) -> Option<f64> {
        self.plan().matrix_key(key)?.pipeline.as_ref()?.median()
    }

    /// What the [cache](MappedCollectionBuilder::cache) holds of this collection; `None` without
    /// one.
    pub fn cached(&self) -> Option<Cached> {
        self.plan().cached()
    }

    /// The encoded keys and their encoders, in the order of the obs keys.
    pub fn encoders(&self) -> impl Iterator<Item = (&str, &Encoder)> {
        self.plan()
            .obs
            .iter()
            .filter_map(|key| Some((key.name.as_str(), key.encoder.as_ref()?)))
    }

    /// The encoder of a key; `None` when the key is not encoded.
    pub fn encoder(&self, key: &str) -> Option<&Encoder> {
        self.encoders()
            .find(|(name, _)| *name == key)
            .map(|(_, encoder)| encoder)
    }

    /// The requested keys that no store has. No item has them either. Of keys with several elements to
    /// try ([`layers_from`](MappedCollectionBuilder::layers_from),
    /// [`obs_from`](MappedCollectionBuilder::obs_from)), also those that one store lacks.
    pub fn missing_keys(&self) -> &[MissingKey] {
        &self.plan().missing_keys
    }

    /// What a store has for a key: of a matrix, `X`, `raw.X` or the name of a layer; of an obs key, the
    /// name of a column. `None` if the store has nothing, and if there is no such key or store.
    pub fn source_key(&self, store: usize, key: &str) -> Option<String> {
        let of_store = self.plan().stores.get(store)?;
        let position = |keys: &[String]| keys.iter().position(|known| known == key);
        let options = self.options();
        if let Some(number) = position(&options.layers_keys) {
            return of_store.taken[number].as_ref().map(ToString::to_string);
        }
        of_store.obs_taken[position(&options.obs_keys)?].clone()
    }

    /// The labels of the filter and the unknown labels that no store has. Each comes with the
    /// nearest label that a store has. In a filter, such a label lets no row pass; as an unknown
    /// label, it has no effect.
    pub fn unmatched_labels(&self) -> &[UnmatchedLabel] {
        &self.plan().unmatched_labels
    }

    /// The obs names of rows, in the order of `indices`.
    ///
    /// # Errors
    /// When an index is out of bounds or a file cannot be read.
    pub fn obs_names(&self, indices: &[i64]) -> Result<Vec<String>, Error> {
        let rows = indices.iter().map(|&index| self.position(index));
        Ok(self
            .plan()
            .obs_names(&rows.collect::<Result<Vec<_>, Error>>()?)?)
    }

    /// Row `index`, with all requested matrices and columns. A negative index counts from the end.
    ///
    /// Without a `dtype`, a matrix row has the type of its file, even with an outer join.
    ///
    /// # Errors
    /// When `index` is out of bounds, the collection is closed, or the file cannot be read.
    ///
    /// ```
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let last = cells.get(-1)?;
    /// assert_eq!(last.row("X").expect("X is read").dense::<f32>()?, [0.0, 9.0]);
    /// assert_eq!((last.code("cell_type"), last.code("donor")), (None, Some(2))); // one is missing
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, index: i64) -> Result<Item, Error> {
        Ok(Item::read(self.plan(), self.locate(index)?)?)
    }

    /// Rows by index, dense, in the given order. Repeats are fine.
    ///
    /// A call decodes each chunk of a file once. Beyond the batch itself, it needs one chunk of
    /// each array, the budget of the cache, and up to 128 MiB of buffers kept from earlier batches.
    ///
    /// # Errors
    /// When an index is out of bounds, the rows' stores differ in matrix keys or widths, two
    /// entries would have one name, the collection is closed, or a file cannot be read.
    ///
    /// ```
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let batch = cells.get_batch(&[3, 0, -1])?;
    /// assert_eq!(batch.x().expect("X is read").dense::<f32>()?, [7., 8., 1., 2., 0., 9.]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_batch(&self, indices: &[i64]) -> Result<Batch, Error> {
        self.get_batch_with(indices, &BatchFormat::default())
    }

    /// Rows by index, in the given format.
    ///
    /// # Errors
    /// As [`get_batch`](Self::get_batch).
    ///
    /// ```
    /// use mapped_collection::{BatchFormat, MatrixFormat};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let format = BatchFormat::new().output(MatrixFormat::Csr);
    /// let batch = cells.get_batch_with(&[1, 2], &format)?;
    /// let x = batch.x().expect("X is read").csr::<f32>()?;
    /// assert_eq!((x.shape(), x.nnz(), x.indices()), ([2, 2], 2, &[1, 0][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_batch_with(&self, indices: &[i64], format: &BatchFormat) -> Result<Batch, Error> {
        self.plan().check_batch_names()?;
        let form = BatchForm::new(self.plan(), format, 0)?;
        let located = indices.iter().map(|&index| self.locate(index));
        let located = located.collect::<Result<_, _>>()?;
        Ok(read(self.plan(), located, &form, &self.inner.waiting)?)
    }

    /// Prepares epochs of batches. Reads nothing and starts no thread before the first batch is
    /// requested.
    ///
    /// # Errors
    /// When an option makes no sense, the collection has 2^32 rows or more, its stores differ in
    /// matrix keys or widths (so that not all rows can share a batch), two entries of a batch would
    /// have one name, or two batches do not fit in the memory allowed.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Shuffle};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2).shuffle(Shuffle::Exact).seed(42))?;
    /// for batch in loader.epoch(0) {
    ///     let batch = batch?;
    ///     let (x, labels) = (batch.x().expect("X is read"), batch.codes("cell_type"));
    ///     assert_eq!(x.shape()[0], labels.expect("an encoded key").len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn loader(&self, options: LoaderOptions) -> Result<Loader, Error> {
        Loader::new(self.plan(), options)
    }
}
