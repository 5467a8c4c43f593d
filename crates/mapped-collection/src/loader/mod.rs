//! Epochs of batches: their rows, how far ahead and in how much memory they are read, and resuming.
//!
//! Takes a [`Plan`] and [`LoaderOptions`]; returns an [`Epoch`], an iterator of batches.
//!
//! ```text
//! order ─▶ Schedule ─┐
//! policy, budget ────┴▶ Job ─▶ Prefetcher ─▶ Epoch ─▶ caller
//!                              threads: window of coming batches ─▶ tasks in file order
//!
//! memory = chunk cache + finished batches + rows that wait for their batch, and packs
//! ```

pub(crate) mod budget;
pub(crate) mod epoch;
pub(crate) mod job;
pub(crate) mod options;
pub(crate) mod packs;
mod paired;
pub(crate) mod policy;
pub(crate) mod prefetch;
pub(crate) mod state;
pub(crate) mod window;

use std::sync::Arc;

use anndata_io::PackRoom;

use crate::batch::form::BatchForm;
use crate::batch::pool::BufferPool;
use crate::error::Error;
use crate::error::state::StateError;
use crate::loader::epoch::Epoch;
use crate::loader::job::Job;
use crate::loader::options::LoaderOptions;
use crate::loader::packs::LoaderPacks;
use crate::loader::state::{LoaderState, of_drawn, order_fingerprint};
use crate::order::Order;
use crate::order::matched::Controls;
use crate::order::sampler::Sampler;
use crate::plan::Plan;

/// Epochs of batches of one collection.
///
/// ```
/// use mapped_collection::{LoaderOptions, Shuffle};
///
/// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
/// let loader = cells.loader(LoaderOptions::new(2).shuffle(Shuffle::Exact).seed(42))?;
/// for epoch in 0..3 {
///     let mut n_rows = 0;
///     for batch in loader.epoch(epoch) {
///         n_rows += batch?.n_obs();
///     }
///     assert_eq!(n_rows, loader.n_rows());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Loader {
    plan: Arc<Plan>,
    options: LoaderOptions,
    /// The sampler of the options, without the rows that are dropped for lack of a control.
    sampler: Sampler,
    /// Buffers outlive an epoch, so that the next one finds them warm.
    pool: Arc<BufferPool>,
    packs: Arc<LoaderPacks>,
}

impl Loader {
    pub(crate) fn new(plan: &Arc<Plan>, options: LoaderOptions) -> Result<Loader, Error> {
        plan.check_open()?;
        plan.check_batch_names()?;
        let with_rows = plan.stores_with_rows();
        for number in 0..plan.matrices.len() {
            plan.common_row_shape(number, &with_rows)?;
        }
        let packs = Arc::new(PackRoom::new(0));
        Loader {
            plan: plan.clone(),
            sampler: options.sampler.clone(),
            options,
            pool: Arc::new(BufferPool::new(0).beside(&packs)),
            packs: Arc::new(LoaderPacks::new(packs)),
        }
        .checked()
    }

    fn checked(mut self) -> Result<Loader, Error> {
        let n_obs = self.plan.n_obs();
        self.options.check(n_obs)?;
        self.sampler = match &self.options.matched {
            None => self.options.sampler.clone(),
            Some(matched) => {
                self.plan.check_control_name()?;
                matched.restrict(&self.options.sampler, n_obs)?
            }
        };
        // A real order may take long to make. File order is as good for this check. With controls, it
        // has only rows that have one.
        let order = match &self.options.matched {
            None => Order::InOrder(n_obs),
            Some(_) => Order::first(self.sampler.drawable(n_obs), self.options.step_rows()),
        };
        let job = self.job(order, 0, 0)?;
        self.pool.set_limit(job.budget.spare());
        Ok(self)
    }

    /// Returns a loader with some options changed, for example for a rank that becomes known later,
    /// or for rows that a sampler [draws](crate::Sampler::Drawn) for one epoch. Both loaders share
    /// their spare memory and their packed rows.
    ///
    /// # Errors
    /// As [`MappedCollection::loader`](crate::MappedCollection::loader).
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// let second_of_two = loader.with(|options| options.rank(1, 2))?;
    /// assert_eq!(second_of_two.options().get_rank(), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with(
        &self,
        change: impl FnOnce(LoaderOptions) -> LoaderOptions,
    ) -> Result<Loader, Error> {
        self.plan.check_open()?;
        let options = change(self.options.clone());
        Loader {
            options,
            ..self.clone()
        }
        .checked()
    }

    /// Lets other processes see the packs of an epoch that ends.
    fn flush_cache(&self) {
        if let Some(cache) = self.plan.io.cache() {
            cache.flush();
        }
    }

    fn job(&self, order: Order, start: usize, epoch: u64) -> Result<Job, Error> {
        let options = &self.options;
        let matched = options.matched.as_ref();
        let controls = matched.map(|matched| Controls::new(matched, options.seed, epoch));
        Job::new(
            &self.plan,
            options.schedule(order, start, controls),
            BatchForm::new(&self.plan, &options.format, epoch)?,
            options.workers,
            options.memory,
            (&self.pool, &self.packs),
        )
    }

    /// The options of this loader.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// assert_eq!(loader.options().get_batch_size(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// The number of batches of a whole epoch.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// assert_eq!(cells.loader(LoaderOptions::new(2))?.n_batches(), 3); // 2, 2 and 1 of five rows
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn n_batches(&self) -> usize {
        self.options.n_batches(self.n_rows(), 0)
    }

    /// The number of rows of a whole epoch, of all ranks together; 0 for a sampler that
    /// [draws](crate::Sampler::Drawn) them later.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// assert_eq!(loader.n_rows(), cells.n_obs());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn n_rows(&self) -> usize {
        self.sampler.n_rows(self.plan.n_obs())
    }

    /// The state of an epoch before its first batch. The first call reads some obs names, which
    /// become part of the state's fingerprint.
    ///
    /// # Errors
    /// When obs names cannot be read.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// let state = loader.epoch_start(3)?;
    /// assert_eq!((state.epoch, state.rows), (3, 0));
    /// assert_eq!(loader.resume(&state)?.n_batches(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn epoch_start(&self, epoch: u64) -> Result<LoaderState, Error> {
        self.state(epoch, 0)
    }

    fn state(&self, epoch: u64, rows: usize) -> Result<LoaderState, Error> {
        let drawn = of_drawn(&self.options.sampler).filter(|_| rows > 0);
        Ok(LoaderState {
            epoch,
            rows: rows as u64,
            seed: self.options.seed,
            fingerprint: order_fingerprint(self.plan.fingerprint()?, &self.options),
            drawn,
        })
    }

    /// Starts an epoch at its first batch. The order of its rows depends only on the collection,
    /// the sampler, the shuffle, the seed and the number of the epoch.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// let sizes: Result<Vec<usize>, _> = loader.epoch(0).map(|batch| Ok(batch?.n_obs())).collect();
    /// assert_eq!(sizes.map_err(|error: mapped_collection::Error| error)?, [2, 2, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.begin(epoch, 0)
    }

    /// Continues the epoch of a state at its next batch.
    ///
    /// # Errors
    /// When the state belongs to another collection, seed, sampler or shuffle, or to other drawn
    /// rows, or when obs names cannot be read.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// let mut epoch = loader.epoch(0);
    /// epoch.next().expect("a first batch")?;
    /// let state = epoch.state()?; // to be stored: it is serialisable
    ///
    /// let mut rest = loader.resume(&state)?;
    /// assert_eq!(rest.next().expect("a second batch")?.row_idx, [2, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(&self, state: &LoaderState) -> Result<Epoch, Error> {
        self.check_state(state)?;
        if state.rows > 0 {
            self.check_drawn(state.epoch, state.drawn)?;
        }
        let n_rows = self.n_rows();
        match usize::try_from(state.rows) {
            Ok(rows) if rows <= n_rows => Ok(self.begin(state.epoch, rows)),
            _ => Err(StateError::Mismatch {
                what: "the number of its rows",
                expected: format!("at most {n_rows}"),
                found: state.rows.to_string(),
            }
            .into()),
        }
    }

    /// Checks that a state belongs to this collection and these options. Does not check that its
    /// sampler draws the same rows again.
    ///
    /// # Errors
    /// When it does not, or when obs names cannot be read.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// let state = loader.epoch_start(0)?;
    /// assert!(loader.check_state(&state).is_ok());
    /// let other = loader.with(|options| options.seed(7))?;
    /// assert!(other.check_state(&state).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_state(&self, state: &LoaderState) -> Result<(), Error> {
        let mismatch = |what, expected: u64, found: u64| {
            Err(StateError::Mismatch {
                what,
                expected: expected.to_string(),
                found: found.to_string(),
            }
            .into())
        };
        let own = self.state(state.epoch, 0)?;
        if state.seed != own.seed {
            return mismatch("its seed", own.seed, state.seed);
        }
        if state.fingerprint != own.fingerprint {
            let what = "the fingerprint of its data, sampler and shuffle (open the same files in the same \
                        order, with the same filter, sampler, shuffle and controls)";
            return mismatch(what, own.fingerprint, state.fingerprint);
        }
        Ok(())
    }

    /// Checks that the rows that a sampler drew for an epoch are those of a state in the middle of
    /// it.
    ///
    /// # Errors
    /// When they are different.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Sampler};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let drawn = |rows: [u32; 2]| LoaderOptions::new(1).sampler(Sampler::Drawn(rows.into()));
    /// let loader = cells.loader(drawn([4, 1]))?;
    /// let epoch = loader.epoch(0);
    /// assert!(loader.check_drawn(0, epoch.drawn()).is_ok());
    /// assert!(cells.loader(drawn([1, 4]))?.check_drawn(0, epoch.drawn()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_drawn(&self, epoch: u64, drawn: Option<u64>) -> Result<(), Error> {
        if drawn == of_drawn(&self.options.sampler) {
            Ok(())
        } else {
            Err(StateError::Redrawn { epoch }.into())
        }
    }

    /// The rest of an epoch after the first `rows` rows of its order. [`Epoch::position`] returns
    /// both numbers. For states that were checked already.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(2))?;
    /// let batch = loader.begin(0, 4).next().expect("a last batch")?;
    /// assert_eq!((&batch.store_idx[..], &batch.row_idx[..]), (&[1][..], &[1][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin(&self, epoch: u64, rows: usize) -> Epoch {
        let (shuffle, seed) = (self.options.shuffle, self.options.seed);
        let order = Order::new(self.plan.n_obs(), &self.sampler, shuffle, seed, epoch);
        let start = rows.min(order.len());
        self.packs.begin_epoch(&self.plan);
        let job = self.job(order, start, epoch).map(Arc::new);
        Epoch::new(self.clone(), epoch, start, job)
    }
}
