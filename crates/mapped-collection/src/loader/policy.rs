//! Decides how far ahead it is worth reading.

use crate::loader::budget::Budget;
use crate::loader::window::ends::WindowEnd;
use crate::order::Locality;
use crate::order::schedule::Schedule;
use crate::plan::Plan;

/// Windows grow by this factor, from one batch to the size that the budget allows. So the first
/// batch comes at once, and few windows are small.
const GROWTH: usize = 16;
/// The number of batches of a window that would gain nothing from more: enough to keep the threads
/// busy.
pub(crate) const FEW_BATCHES: usize = 4;
/// A block cuts chunks at both ends, and the windows of its neighbours decode those chunks again.
/// If they are more than this fraction of a block, windows as large as the budget allows are worth
/// their memory.
const CUT: f64 = 0.15;

/// How the rows of a window are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// Each batch by itself. Rows are read without decoding, so neighbours gain nothing from each
    /// other.
    ByBatch,
    /// All in file order, into their final places.
    Together,
    /// All in file order, and packed until their batch is finished.
    Packed,
}

/// How much a larger window helps, by saving decodes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WindowPolicy {
    /// Not at all: rows are read without decoding their neighbours. A small window stays in the
    /// processor's cache.
    Small,
    /// Rows come in file order.
    InOrder {
        /// [`WithBand`](WindowEnd::WithBand) if the cache would not keep a band of chunks. Windows
        /// are then as large as for a shuffle, including the first: its first batch needs all
        /// chunks of the band anyway.
        ends: WindowEnd,
        /// Whether windows are so large that rows wait packed.
        packed: bool,
    },
    /// Neighbours come within `rows` positions, and pools of that size follow each other.
    Pool { rows: usize },
    /// Neighbours come anywhere.
    Large {
        /// The number of rows of a window that decodes a good part of all chunks. A larger window
        /// costs little more.
        enough: usize,
        /// Whether neighbours come within a block, but a block cuts many chunks.
        blocks: bool,
    },
}

impl WindowPolicy {
    pub(crate) fn new(plan: &Plan, schedule: &Schedule) -> WindowPolicy {
        let stores = || {
            let stores = plan.stores.iter();
            stores.map(|store| (store.rows.len(), store.matrices.iter().flatten()))
        };
        if stores().all(|(_, mut sources)| sources.all(|source| source.is_direct())) {
            return WindowPolicy::Small;
        }
        // The number of bands of chunks, and the mean number of rows per band.
        let n_bands: f64 = stores()
            .map(|(n_rows, sources)| {
                let rows_per_band = sources.map(|source| source.rows_per_band()).max();
                n_rows as f64 / rows_per_band.unwrap_or(1) as f64
            })
            .sum();
        let rows_per_band = plan.n_obs() as f64 / n_bands.max(1.0);
        let large = |blocks| WindowPolicy::Large {
            enough: n_bands as usize / 2,
            blocks,
        };
        match schedule.locality() {
            Locality::Neighbours => {
                let cache = Budget::cache_of_window(&plan.io);
                let with_band = plan.stores.iter().any(|store| store.band_bytes() > cache);
                let few = (FEW_BATCHES * schedule.step_rows()) as u64;
                let ends = match with_band {
                    true => WindowEnd::WithBand,
                    false => WindowEnd::InFileOrder,
                };
                let mut stores = plan.stores.iter();
                WindowPolicy::InOrder {
                    ends,
                    packed: with_band && stores.any(|store| store.rows_per_band() > few),
                }
            }
            Locality::Within { block, .. } if rows_per_band > CUT * block as f64 => large(true),
            Locality::Within { pool, .. } => WindowPolicy::Pool { rows: pool },
            Locality::Anywhere => large(false),
        }
    }

    pub(crate) fn read_mode(self) -> ReadMode {
        match self {
            WindowPolicy::Small => ReadMode::ByBatch,
            WindowPolicy::InOrder { packed: false, .. } => ReadMode::Together,
            WindowPolicy::InOrder { packed: true, .. }
            | WindowPolicy::Pool { .. }
            | WindowPolicy::Large { .. } => ReadMode::Packed,
        }
    }

    /// The first epoch of a loader in which packing rows saves decodes. If rows come near their
    /// neighbours, an epoch decodes each chunk about once anyway.
    pub(crate) fn packs_from(self) -> u32 {
        match self {
            WindowPolicy::Large { blocks: false, .. } => 1,
            WindowPolicy::InOrder { .. }
            | WindowPolicy::Pool { .. }
            | WindowPolicy::Large { blocks: true, .. } => 2,
            WindowPolicy::Small => u32::MAX,
        }
    }

    pub(crate) fn ends(self) -> WindowEnd {
        match self {
            WindowPolicy::InOrder { ends, .. } => ends,
            _ => WindowEnd::Anywhere,
        }
    }

    /// The most batches of a window that begins at batch `first`, or the fewest if it ends with a
    /// band of chunks. `before` is the number of batches of the window before it.
    pub(crate) fn window_batches(self, schedule: &Schedule, first: usize, before: usize) -> usize {
        let step = schedule.step_rows();
        let grown = before.saturating_mul(GROWTH).max(1);
        match self {
            WindowPolicy::Small | WindowPolicy::InOrder { .. } => grown.min(FEW_BATCHES),
            WindowPolicy::Pool { rows } => {
                let position = schedule.start + first * step;
                // To the end of the pool, or to that of the next pool if this one is nearly
                // through.
                let rest = rows - position % rows;
                let pool = if rest < step { rest + rows } else { rest };
                grown.min(pool.div_ceil(step))
            }
            WindowPolicy::Large { enough, .. } => {
                let rows = grown.saturating_mul(schedule.batch_size);
                if before > 0 && rows > enough {
                    usize::MAX
                } else {
                    grown
                }
            }
        }
    }
}
