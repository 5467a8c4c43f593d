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

use anndata_io::{MatrixSource, PackRoom, Packs};
use row_pack::Level;

use crate::plan::Plan;

mod plan;

pub(crate) use plan::PackPlan;
use plan::{Choice, Packed};

/// Rows of many distinct values take about this many bytes for each element at most.
const MOST_BYTES: u64 = 12;

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

/// The packs with which a window is read.
#[derive(Debug, Clone)]
pub(crate) struct WindowPacks {
    pub(crate) packs: Packs,
    /// Whether all rows are packed, or will be when they are first read.
    pub(crate) hold_all: bool,
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
            let n_stored = plan.packable().map(MatrixSource::n_stored).sum::<u64>();
            cache.available(n_stored.saturating_mul(MOST_BYTES));
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

    /// Returns the packs with which the next window is read. Without `may_pack`, new bands are packed
    /// only if there is a cache on disk.
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
        if let Some(current) = &mut *current {
            current.epoch = epoch;
        }
        if choice != packed.map(|packed| packed.choice) {
            *current = choice.map(|choice| {
                let (level, limit) = match choice {
                    Choice::All(level) => (level, pack_plan.limit),
                    Choice::OnDisk => (Level::Bits, 0),
                };
                self.room.set_limit(limit);
                self.room.set_packing(pack_plan.packing);
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
    use super::*;
    use crate::order::Order;
    use crate::testing::{schedule, sparse_plan};
    use anndata_io::ReadScratch;

    fn plan_of(plan: &Plan, limit: usize) -> Option<PackPlan> {
        PackPlan::new(plan, &schedule(Order::InOrder(plan.n_obs()), 8), limit, 2)
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
