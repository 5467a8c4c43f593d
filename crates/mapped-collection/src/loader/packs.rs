//! The packs of a loader: whether rows are packed as their chunks are decoded, and how tightly.
//!
//! If the packs of all that an epoch reads fit in memory, each chunk is decoded once, and every
//! later row and epoch is read from memory. Whether they fit is first guessed, and then judged by
//! what was packed, before each window:
//!
//! ```text
//! guess ─▶ whole bytes fit ─▶ packed so far shows that they do not ─┐
//!       └─▶ bits fit ◀──────────────────────────────────────────────┘
//!             └─▶ packed so far shows that they do not ─▶ no packs, the memory is for waiting rows
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anndata_io::{PackRoom, Packs};
use row_pack::Level;

use crate::order::schedule::Schedule;
use crate::plan::Plan;

/// Bytes of a packed element of a sparse matrix, in whole bytes and in bits, before any is packed:
/// those of counts.
const SPARSE_BYTES: [f64; 2] = [3.1, 1.6];
/// Bytes of a packed element of a dense matrix: a tenth of them are counts, and the others zeros.
const DENSE_BYTES: f64 = 0.16;
/// The size of rows packed in bits to that in whole bytes, before any were: about 0.5 for counts.
const BITS_TO_BYTES: f64 = 0.6;
/// The number of elements that show how the others pack.
const SAMPLE: u64 = 1 << 16;

/// The packs of a loader. They outlive its epochs.
///
/// Its lock is only ever tried: if a forked child finds it held, its epochs have no packs.
#[derive(Debug)]
pub(crate) struct LoaderPacks {
    room: Arc<PackRoom>,
    current: Mutex<Option<(Level, Packs)>>,
    /// Whether packs were tried and did not fit.
    refused: AtomicBool,
}

/// What an epoch would pack.
#[derive(Debug, Clone)]
pub(crate) struct PackPlan {
    /// The number of stored elements.
    n_elements: u64,
    /// A guess of the bytes of the packs, at each level.
    guess: [f64; 2],
    /// The most bytes that packs may take.
    limit: usize,
}

/// What was packed so far.
#[derive(Debug, Clone, Copy)]
struct Packed {
    level: Level,
    n_elements: u64,
    bytes: usize,
    /// Whether a band did not fit.
    is_full: bool,
}

impl PackPlan {
    /// `None` if packs have no advantage, or cannot hold everything.
    pub(crate) fn new(plan: &Plan, schedule: &Schedule, limit: usize) -> Option<PackPlan> {
        let mut pack_plan = PackPlan {
            n_elements: 0,
            guess: [0.0; 2],
            limit,
        };
        let is_read = stores_read(plan, schedule);
        let read = plan
            .stores
            .iter()
            .zip(is_read)
            .filter(|(_, is_read)| *is_read);
        let sources = read.flat_map(|(store, _)| store.matrices.iter().flatten());
        for source in sources.filter(|source| source.band_bytes() > 0) {
            let is_large = !source.is_sparse() && source.band_bytes() > limit as u64 / 8;
            if !source.is_packable() || is_large {
                return None;
            }
            pack_plan.n_elements += source.n_stored();
            for (guess, sparse) in pack_plan.guess.iter_mut().zip(SPARSE_BYTES) {
                let bytes = if source.is_sparse() {
                    sparse
                } else {
                    DENSE_BYTES
                };
                *guess += source.n_stored() as f64 * bytes;
            }
        }
        (pack_plan.n_elements > 0).then_some(pack_plan)
    }

    /// The loosest level at which the packs fit, as far as is known.
    fn level(&self, packed: Option<Packed>) -> Option<Level> {
        let fits = |bytes: f64| bytes <= self.limit as f64;
        let guessed = || {
            let mut levels = [Level::Bytes, Level::Bits].into_iter().zip(self.guess);
            levels
                .find(|&(_, bytes)| fits(bytes))
                .map(|(level, _)| level)
        };
        let Some(packed) = packed else {
            return guessed();
        };
        let bytes = packed.bytes as f64 / packed.n_elements as f64 * self.n_elements as f64;
        let is_known = packed.n_elements >= SAMPLE.min(self.n_elements);
        if !packed.is_full && (!is_known || fits(bytes)) {
            return Some(packed.level);
        }
        let tighter = packed.level != Level::Bits && fits(bytes * BITS_TO_BYTES);
        tighter.then_some(Level::Bits)
    }
}

/// For each store, whether the epoch may read rows of it.
fn stores_read(plan: &Plan, schedule: &Schedule) -> Vec<bool> {
    let order = &schedule.order;
    if order.len() >= plan.n_obs() {
        return plan
            .stores
            .iter()
            .map(|store| store.rows.len() > 0)
            .collect();
    }
    let mut read = vec![false; plan.stores.len()];
    for position in 0..order.len() {
        read[plan.locate(order.row(position)).store] = true;
    }
    read
}

impl LoaderPacks {
    /// Packs that take their memory from `room`.
    pub(crate) fn new(room: Arc<PackRoom>) -> LoaderPacks {
        LoaderPacks {
            room,
            current: Mutex::default(),
            refused: AtomicBool::new(false),
        }
    }

    /// The bytes of all packs.
    pub(crate) fn bytes(&self) -> usize {
        self.room.bytes()
    }

    /// Returns the packs with which the next window is read. They hold every band already, unless
    /// `may_pack`.
    pub(crate) fn get(&self, plan: &Plan, pack_plan: &PackPlan, may_pack: bool) -> Option<Packs> {
        let mut current = self.current.try_lock().ok()?;
        if !may_pack {
            let packs = current.as_ref().map(|(_, packs)| packs.clone());
            return packs.filter(Packs::is_complete);
        }
        if current.is_none() && self.refused.load(Ordering::Relaxed) {
            return None;
        }
        let packed = current.as_ref().map(|(level, packs)| Packed {
            level: *level,
            n_elements: packs.n_elements(),
            bytes: packs.bytes(),
            is_full: self.room.is_full(),
        });
        let level = pack_plan.level(packed);
        if level.is_none() {
            self.refused.store(packed.is_some(), Ordering::Relaxed);
        }
        if level != packed.map(|packed| packed.level) {
            self.room.set_limit(pack_plan.limit);
            let stores = plan.stores.iter().filter(|store| store.rows.len() > 0);
            let sources = stores.flat_map(|store| store.matrices.iter().flatten());
            let packs = |level| Packs::new(sources, level, &self.room);
            *current = level.map(|level| (level, packs(level)));
        }
        current.as_ref().map(|(_, packs)| packs.clone())
    }
}
