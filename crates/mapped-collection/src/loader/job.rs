//! What an epoch delivers, and how far ahead it is worth to look.

use std::sync::Arc;

use crate::batch::BatchFormat;
use crate::batch::pool::{Recycler, Waiting};
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::loader::bands::{Carried, Ends, Extent};
use crate::loader::window::{Reading, Window};
use crate::order::Together;
use crate::order::schedule::Schedule;

/// Windows grow by this factor, from one batch to what the budget allows: the first batch comes at
/// once, and few windows are small.
const GROWTH: usize = 16;
/// Part of the budget that windows are planned to fill: rows may pack worse than those before.
const FILLED: f64 = 0.95;
/// Batches of a window that gains nothing by being larger: enough to keep the threads busy.
const FEW_BATCHES: usize = 4;
/// At most how many finished batches wait for the caller.
const MOST_READY: usize = 8;

/// What a pipeline delivers, and within which bounds.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) collection: MappedCollection,
    pub(crate) schedule: Schedule,
    format: BatchFormat,
    pub(crate) workers: usize,
    /// Bytes of rows that may wait for their batches.
    pub(crate) window_bytes: usize,
    /// The most bytes of a batch, as the first one has it.
    batch_bytes: usize,
    /// Finished batches that may wait for the caller.
    pub(crate) most_ready: usize,
    gain: Gain,
    recycler: Arc<Recycler>,
}

impl Job {
    /// Divides a budget: finished batches take at most an eighth, rows that wait the rest.
    ///
    /// # Errors
    /// When one batch does not fit.
    pub(crate) fn new(
        collection: &MappedCollection,
        schedule: Schedule,
        format: BatchFormat,
        workers: usize,
        memory: usize,
        recycler: &Arc<Recycler>,
    ) -> Result<Job, Error> {
        let cache = collection.io().options().cache_bytes;
        let plan = collection.plan();
        let budget = memory.saturating_sub(cache);
        let gain = Gain::new(collection, &schedule);
        let (waiting_bytes, finished_bytes) = match schedule.n_batches() {
            0 => (0, 0),
            _ => {
                let one = Extent {
                    first: 0,
                    batches: 1,
                    ends: Ends::Anywhere,
                    budget: 0,
                    packing: 1.0,
                };
                let (form, waiting) = ((&format, gain.reading()), Waiting::new(recycler, 0));
                let window = Window::plan(plan, &schedule, &one, form, &Arc::new(waiting), None)?;
                (window.waiting_bytes(0), window.finished_bytes(0))
            }
        };
        let batch_bytes = waiting_bytes.max(finished_bytes);
        if batch_bytes * 2 > budget {
            return Err(Error::Option {
                option: "memory",
                expected: format!(
                    "at least {} bytes: {cache} for the cache of chunks, and room for two batches",
                    cache + 2 * batch_bytes
                ),
                found: memory.to_string(),
            });
        }
        let most_ready = (budget / 8 / finished_bytes.max(1)).clamp(1, MOST_READY);
        let window_bytes = budget - most_ready * finished_bytes;
        let (collection, recycler) = (collection.clone(), recycler.clone());
        Ok(Job {
            collection,
            schedule,
            format,
            workers,
            window_bytes,
            batch_bytes,
            most_ready,
            gain,
            recycler,
        })
    }
}

/// What a larger window is good for: fewer decodes.
#[derive(Debug, Clone, Copy)]
enum Gain {
    /// Rows are read without decoding their neighbours. A small window stays in the processor's
    /// cache.
    Nothing,
    /// Rows come in file order.
    InOrder {
        /// With a band of chunks where the cache would not keep it: windows are then as large as
        /// they are for a shuffle, from the first one on, as its first batch takes all chunks of the
        /// band anyway.
        ends: Ends,
        /// Whether windows are so large that rows wait packed.
        packed: bool,
    },
    /// Neighbours come within so many positions, and pools of that size follow each other.
    Within { rows: usize },
    /// Neighbours come anywhere.
    Always {
        /// Rows of a window that decodes a good part of all chunks already: a larger one costs
        /// little more.
        enough: usize,
    },
}

/// A block cuts chunks at both ends, and what is cut is decoded for its neighbours' windows again.
/// Where that is more than this part of a block, windows as large as the budget allows are worth
/// their memory.
const CUT: f64 = 0.15;

impl Gain {
    fn new(collection: &MappedCollection, schedule: &Schedule) -> Gain {
        let stores = || {
            let stores = collection.plan().stores.iter();
            stores.map(|store| (store.rows.len(), store.matrices.iter().flatten()))
        };
        if stores().all(|(_, mut sources)| sources.all(|source| source.is_direct())) {
            return Gain::Nothing;
        }
        // Bands of chunks that all rows lie in, and rows of one of them.
        let n_bands: f64 = stores()
            .map(|(n_rows, sources)| {
                let rows_per_band = sources.map(|source| source.rows_per_band()).max();
                n_rows as f64 / rows_per_band.unwrap_or(1) as f64
            })
            .sum();
        let rows_per_band = collection.n_obs() as f64 / n_bands.max(1.0);
        let always = Gain::Always {
            enough: n_bands as usize / 2,
        };
        let together = match schedule.order.together() {
            Together::Anywhere if schedule.is_ascending() => Together::Neighbours,
            together => together,
        };
        match together {
            Together::Neighbours => {
                // Two windows are read at a time, each perhaps in a band of its own.
                let cache = collection.io().options().cache_bytes as u64 / 2;
                let stores = &collection.plan().stores;
                let with_band = stores.iter().any(|store| store.band_bytes() > cache);
                let few = (FEW_BATCHES * schedule.step_rows()) as u64;
                Gain::InOrder {
                    ends: if with_band {
                        Ends::WithBand
                    } else {
                        Ends::InFileOrder
                    },
                    packed: with_band && stores.iter().any(|store| store.rows_per_band() > few),
                }
            }
            Together::Within { block, .. } if rows_per_band > CUT * block as f64 => always,
            Together::Within { pool, .. } => Gain::Within { rows: pool },
            Together::Anywhere => always,
        }
    }

    fn reading(self) -> Reading {
        match self {
            Gain::Nothing => Reading::ByBatch,
            Gain::InOrder { packed: false, .. } => Reading::Together,
            Gain::InOrder { packed: true, .. } | Gain::Within { .. } | Gain::Always { .. } => {
                Reading::Packed
            }
        }
    }

    fn ends(self) -> Ends {
        match self {
            Gain::InOrder { ends, .. } => ends,
            _ => Ends::Anywhere,
        }
    }
}

impl Job {
    /// For the rows of an epoch that wait.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting::new(&self.recycler, self.batch_bytes)
    }

    /// The window that begins at a batch and has so many batches, or as many as fit. With
    /// `carried`, it goes on with what the window before it began.
    pub(crate) fn plan_window(
        &self,
        first: usize,
        batches: usize,
        waiting: &Arc<Waiting>,
        carried: Option<&Carried>,
    ) -> Result<Window, Error> {
        let extent = Extent {
            first,
            batches,
            ends: self.gain.ends(),
            budget: self.window_bytes,
            packing: self.recycler.packing() / FILLED,
        };
        let form = (&self.format, self.gain.reading());
        let plan = self.collection.plan();
        Window::plan(plan, &self.schedule, &extent, form, waiting, carried)
    }

    /// Lanes of tasks. Batches that are read one by one come soonest in their order.
    pub(crate) fn n_lanes(&self) -> usize {
        match self.gain.reading() {
            Reading::ByBatch => 1,
            Reading::Together | Reading::Packed => self.workers.max(1),
        }
    }

    /// At most how many batches a window has that begins at this one; at least, where it ends with a
    /// band of chunks; `before` is how many the one before it had.
    pub(crate) fn window_batches(&self, first: usize, before: usize) -> usize {
        let step = self.schedule.step_rows();
        let grown = before.saturating_mul(GROWTH).max(1);
        match self.gain {
            Gain::Nothing | Gain::InOrder { .. } => grown.min(FEW_BATCHES),
            Gain::Within { rows } => {
                let position = self.schedule.start + first * step;
                // To the end of the pool, or of the next when this one is nearly through.
                let rest = rows - position % rows;
                let pool = if rest < step { rest + rows } else { rest };
                grown.min(pool.div_ceil(step))
            }
            Gain::Always { enough } => {
                let rows = grown.saturating_mul(self.schedule.batch_size);
                if before > 0 && rows > enough {
                    usize::MAX
                } else {
                    grown
                }
            }
        }
    }
}
