//! The packs of a loader: whether rows are packed as their chunks are decoded, how tightly, and where
//! they are kept.
//!
//! If the packs of all that an epoch reads fit, each chunk is decoded once, and every later row and
//! epoch is read from packs. Whether they fit is first guessed, and then judged by what was packed,
//! before each window:
//!
//! ```text
//! in memory: guess ─▶ whole bytes fit ─▶ packed so far shows that they do not ─┐
//!                  └─▶ bits fit ◀───────────────────────────────────────────────┘
//!                        └─▶ packed so far shows that they do not ─▶ no packs
//!
//! with a cache on disk: bits fit on disk and in memory ─▶ packed so far shows that they do not
//!                                                           └─▶ packs on disk only
//! ```
//!
//! Without packs in memory, the memory is for waiting rows.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use anndata_io::{PackRoom, Packs};
use row_pack::Level;

use crate::loader::budget::BITS_TO_BYTES;
use crate::order::schedule::Schedule;
use crate::plan::Plan;

/// Bytes of a packed element of a sparse matrix, in whole bytes and in bits, before any is packed:
/// those of counts.
const SPARSE_BYTES: [f64; 2] = [3.1, 1.6];
/// Bytes of a packed element of a dense matrix: a tenth of them are counts, and the others zeros.
const DENSE_BYTES: f64 = 0.16;
/// The number of elements that show how the others pack.
const SAMPLE: u64 = 1 << 16;

/// The packs of a loader. They outlive its epochs.
///
/// Its lock is only ever tried: if a forked child finds it held, its epochs have no packs.
#[derive(Debug)]
pub(crate) struct LoaderPacks {
    room: Arc<PackRoom>,
    current: Mutex<Option<Current>>,
    /// Whether packs were tried and did not fit.
    refused: AtomicBool,
    /// The number of epochs that were begun.
    n_epochs: AtomicU32,
}

#[derive(Debug, Clone)]
struct Current {
    choice: Choice,
    packs: Packs,
    /// The number of epochs that were begun when it was chosen.
    epoch: u32,
}

/// Where rows are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// All of them: in memory, or on disk and in memory.
    All(Level),
    /// Those that fit on disk.
    OnDisk,
}

/// The packs with which a window is read.
#[derive(Debug, Clone)]
pub(crate) struct WindowPacks {
    pub(crate) packs: Packs,
    /// Whether all rows are packed, or will be when they are first read.
    pub(crate) hold_all: bool,
}

/// What an epoch would pack.
#[derive(Debug, Clone)]
pub(crate) struct PackPlan {
    /// The number of stored elements.
    n_elements: u64,
    /// A guess of the bytes of the packs, at each level.
    guess: [f64; 2],
    /// The most bytes that packs in memory may take.
    limit: usize,
}

/// What was packed so far.
#[derive(Debug, Clone, Copy)]
struct Packed {
    choice: Choice,
    n_elements: u64,
    /// In memory.
    bytes: usize,
    on_disk: u64,
    /// Whether a band did not fit.
    is_full: bool,
}

impl PackPlan {
    /// `None` if packs have no advantage, or cannot hold everything.
    pub(crate) fn new(
        plan: &Plan,
        schedule: &Schedule,
        limit: usize,
        workers: usize,
    ) -> Option<PackPlan> {
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
            // A thread that packs a dense band holds it twice meanwhile.
            let packing = source.band_bytes().saturating_mul(workers.max(2) as u64);
            let is_large = !source.is_sparse() && packing > limit as u64 / 4;
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

    /// Where rows are packed: as loosely as the packs fit, as far as is known.
    /// `disk` is the room for packs on disk, if there is a cache.
    fn choose(&self, packed: Option<Packed>, disk: Option<u64>) -> Option<Choice> {
        match disk {
            None => self.level(packed).map(Choice::All),
            Some(disk) => Some(self.with_disk(packed, disk)),
        }
    }

    fn with_disk(&self, packed: Option<Packed>, disk: u64) -> Choice {
        let packed = packed.filter(|packed| packed.n_elements > 0);
        let rest = match packed {
            None => self.guess[1],
            Some(packed) => {
                let rest = self.n_elements.saturating_sub(packed.n_elements);
                let bytes = packed.bytes as f64 + packed.on_disk as f64;
                bytes / packed.n_elements as f64 * rest as f64
            }
        };
        let in_memory = packed.map_or(0, |packed| packed.bytes);
        let room = self.limit.saturating_sub(in_memory) as f64 + disk as f64;
        let is_full = packed.is_some_and(|packed| packed.is_full);
        if rest > 0.0 && (is_full || rest > room) {
            Choice::OnDisk
        } else {
            Choice::All(Level::Bits)
        }
    }

    /// The loosest level at which the packs fit in memory, as far as is known.
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
        let Choice::All(level) = packed.choice else {
            return None;
        };
        let bytes = packed.bytes as f64 / packed.n_elements as f64 * self.n_elements as f64;
        let is_known = packed.n_elements >= SAMPLE.min(self.n_elements);
        if !packed.is_full && (!is_known || fits(bytes)) {
            return Some(level);
        }
        let tighter = level != Level::Bits && fits(bytes * BITS_TO_BYTES);
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
            n_epochs: AtomicU32::new(0),
        }
    }

    /// Counts an epoch that begins, and looks how much room there is on disk.
    pub(crate) fn begin_epoch(&self, plan: &Plan) {
        if let Some(cache) = plan.io.cache() {
            cache.available();
        }
        self.n_epochs.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of epochs that were begun.
    pub(crate) fn n_epochs(&self) -> u32 {
        self.n_epochs.load(Ordering::Relaxed)
    }

    /// The bytes of all packs.
    pub(crate) fn bytes(&self) -> usize {
        self.room.bytes()
    }

    /// Returns the packs with which the next window is read. Without `may_pack`, only those on
    /// disk may grow.
    pub(crate) fn get(
        &self,
        plan: &Plan,
        pack_plan: &PackPlan,
        may_pack: bool,
    ) -> Option<WindowPacks> {
        let disk = plan.io.cache().map(|cache| cache.room());
        let mut current = self.current.try_lock().ok()?;
        if !may_pack && disk.is_none() {
            let packs = current.as_ref().map(|current| current.packs.clone());
            let packs = packs.filter(Packs::is_complete)?;
            return Some(WindowPacks {
                packs,
                hold_all: true,
            });
        }
        if current.is_none() && self.refused.load(Ordering::Relaxed) {
            return None;
        }
        let packed = current.as_ref().map(Packed::of);
        let epoch = self.n_epochs();
        let choice = match &*current {
            // It may fit later, but not in this epoch: its windows take the memory.
            Some(current) if current.choice == Choice::OnDisk && current.epoch == epoch => {
                Some(Choice::OnDisk)
            }
            _ => pack_plan.choose(packed, disk),
        };
        if choice.is_none() {
            self.refused.store(packed.is_some(), Ordering::Relaxed);
        }
        if choice != packed.map(|packed| packed.choice) {
            *current = choice.map(|choice| {
                let (level, limit) = match choice {
                    Choice::All(level) => (level, pack_plan.limit),
                    Choice::OnDisk => (Level::Bits, 0),
                };
                self.room.set_limit(limit);
                Current {
                    choice,
                    packs: Packs::new(plan.packable(), level, &self.room),
                    epoch,
                }
            });
        }
        current
            .as_ref()
            .map(|Current { choice, packs, .. }| WindowPacks {
                packs: packs.clone(),
                hold_all: *choice != Choice::OnDisk || packs.is_complete(),
            })
    }
}

impl Packed {
    fn of(current: &Current) -> Packed {
        let Current { choice, packs, .. } = current;
        Packed {
            choice: *choice,
            n_elements: packs.n_elements(),
            bytes: packs.bytes(),
            on_disk: packs.cached_bytes(),
            is_full: packs.is_full(),
        }
    }
}

#[cfg(test)]
mod tests {
    use anndata_io::ReadScratch;
    use proptest::prelude::*;

    use super::*;
    use crate::order::Order;
    use crate::testing::{dense_plan, schedule, sparse_plan};

    /// What an epoch does whose elements take these bytes, in whole bytes and in bits: the levels
    /// that it tries, a tenth of all elements at a time.
    fn tried(plan: &PackPlan, bytes: [f64; 2]) -> Vec<Option<Level>> {
        let (mut tried, mut packed): (Vec<Option<Level>>, Option<Packed>) = (Vec::new(), None);
        let is_at = |packed: &Packed, level| packed.choice == Choice::All(level);
        loop {
            let level = plan.level(packed);
            if tried.last() != Some(&level) {
                tried.push(level);
            }
            let Some(level) = level else {
                return tried;
            };
            let before = packed.filter(|packed| is_at(packed, level));
            let n_before = before.map_or(0, |packed| packed.n_elements);
            if n_before == plan.n_elements {
                return tried;
            }
            let n_elements = (n_before + plan.n_elements.div_ceil(10)).min(plan.n_elements);
            let each = bytes[usize::from(level == Level::Bits)];
            let wanted = (each * n_elements as f64) as usize;
            packed = Some(Packed {
                choice: Choice::All(level),
                n_elements,
                bytes: wanted.min(plan.limit),
                on_disk: 0,
                is_full: wanted > plan.limit,
            });
        }
    }

    proptest! {
        #[test]
        fn packs_are_kept_only_if_all_of_them_fit(
            n_elements in 1..1_000_000_u64,
            limit in 0..4_000_000_usize,
            bytes in 0.1..12.0_f64,
            bits_to_bytes in 0.4..1.1_f64,
        ) {
            let guess = SPARSE_BYTES.map(|each| each * n_elements as f64);
            let plan = PackPlan { n_elements, guess, limit };
            let sizes = [bytes, bytes * bits_to_bytes];
            let tried = tried(&plan, sizes);
            // Never from bits back to bytes, and at most one level after another.
            let order = [Some(Level::Bytes), Some(Level::Bits), None];
            let mut rest = order.iter();
            prop_assert!(tried.iter().all(|level| rest.any(|other| other == level)), "{:?}", tried);
            let fits = |level| {
                let each = sizes[usize::from(level == Level::Bits)];
                (each * n_elements as f64) as usize <= limit
            };
            let last = tried.last().copied().flatten();
            prop_assert!(last.is_none_or(fits), "{:?}", tried);
            // What was tried and fits is kept.
            for level in tried.iter().copied().flatten() {
                prop_assert!(!fits(level) || last == Some(level), "{:?}", tried);
            }
        }
    }

    fn plan_of(plan: &Plan, limit: usize) -> Option<PackPlan> {
        PackPlan::new(plan, &schedule(Order::InOrder(plan.n_obs()), 8), limit, 2)
    }

    #[test]
    fn pack_plan_counts_what_must_be_decoded() {
        let sparse = plan_of(&sparse_plan(&[100, 20], 8), 1000).expect("it is compressed");
        assert_eq!(sparse.n_elements, 120);
        assert_eq!(sparse.level(None), Some(Level::Bytes));
        let dense = dense_plan(&[100]);
        let large = plan_of(&dense, 100 * 16 * 8).expect("a band is an eighth of the room");
        assert_eq!(large.n_elements, 400);
        assert!(plan_of(&dense, 100 * 16 * 8 - 1).is_none());
        // Only the stores that are read count.
        let order = Order::Rows {
            rows: [100, 101].into(),
            locality: crate::order::Locality::Anywhere,
        };
        let some = PackPlan::new(&sparse_plan(&[100, 20], 8), &schedule(order, 2), 1000, 2);
        assert_eq!(some.map(|plan| plan.n_elements), Some(20));
    }

    #[test]
    fn loader_packs_are_dropped_and_refused_when_they_do_not_fit() {
        let plan = sparse_plan(&[200], 8);
        let packs = LoaderPacks::new(Arc::new(PackRoom::new(0)));
        let read = |packs: &Packs| {
            let source = plan.stores[0].matrices[0].as_ref().expect("X");
            let mut scratch = ReadScratch::default();
            scratch.set_packs(Some(packs.clone()));
            let rows: Vec<u64> = (0..200).collect();
            struct Nothing;
            impl anndata_io::RowSink for Nothing {
                fn dense(&mut self, _: usize, _: usize, _: anndata_io::ValuesRef<'_>) {}
                fn sparse(&mut self, _: usize, _: &[u32], _: anndata_io::ValuesRef<'_>) {}
            }
            let read = source.read_rows(&rows, &mut scratch, &mut Nothing);
            read.expect("readable");
        };
        // 3.1 bytes per element are guessed. Rows of one element take more.
        let small = plan_of(&plan, 700).expect("it is compressed");
        assert!(
            packs.get(&plan, &small, false).is_none(),
            "nothing is packed"
        );
        let bytes = packs.get(&plan, &small, true).expect("a guess fits");
        read(&bytes.packs);
        assert!(packs.bytes() > 0 && packs.bytes() <= 700);
        assert!(
            packs.get(&plan, &small, true).is_none(),
            "bits would not fit either"
        );
        assert!(
            packs.get(&plan, &small, true).is_none(),
            "it is not tried again"
        );
        drop(bytes);
        assert_eq!(packs.bytes(), 0);
        let packs = LoaderPacks::new(Arc::new(PackRoom::new(0)));
        let large = plan_of(&plan, 1 << 20).expect("it is compressed");
        read(&packs.get(&plan, &large, true).expect("it fits").packs);
        let complete = packs.get(&plan, &large, false).expect("all is packed");
        assert!(complete.packs.is_complete() && complete.hold_all);
        let again = packs.get(&plan, &large, true);
        assert!(again.is_some_and(|again| again.packs.is_complete()));
    }
}
