//! What an epoch would pack, and whether it fits: a guess, corrected by what was packed so far.

use row_pack::Level;

use crate::loader::budget::BITS_TO_BYTES;
use crate::order::matched::Controls;
use crate::order::schedule::Schedule;
use crate::plan::Plan;

/// Bytes of a packed element of a sparse matrix, in whole bytes and in bits, before any is packed:
/// those of counts.
const SPARSE_BYTES: [f64; 2] = [3.1, 1.6];
/// Bytes of a packed element of a dense matrix: a tenth of them are counts, and the others zeros.
const DENSE_BYTES: f64 = 0.16;
/// The least memory with which a thread packs a dense band.
const LEAST_PACKING: usize = 2 << 20;
/// The number of elements that show how the others pack.
const SAMPLE: u64 = 1 << 16;

/// Where rows are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// All of them: in memory, or on disk and in memory.
    All(Level),
    /// Those that fit on disk.
    OnDisk,
}

/// What an epoch would pack.
#[derive(Debug, Clone)]
pub(crate) struct PackPlan {
    /// The number of stored elements.
    n_elements: u64,
    /// A guess of the bytes of the packs, at each level.
    guess: [f64; 2],
    /// The most bytes that packs in memory may take.
    pub(super) limit: usize,
    /// The most bytes that a thread takes beside them while it packs a dense band.
    pub(super) packing: usize,
}

/// What was packed so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    pub(super) choice: Choice,
    pub(super) n_elements: u64,
    /// In memory.
    pub(super) bytes: usize,
    pub(super) on_disk: u64,
    /// Whether a band did not fit.
    pub(super) is_full: bool,
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
            packing: (limit / 8 / workers.max(2)).max(LEAST_PACKING),
        };
        let is_read = stores_read(plan, schedule);
        let read = plan
            .stores
            .iter()
            .zip(is_read)
            .filter(|(_, is_read)| *is_read);
        let sources = read.flat_map(|(store, _)| store.matrices.iter().flatten());
        for source in sources.filter(|source| source.band_bytes() > 0) {
            if !source.is_packable() {
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

    /// Where rows are packed: as loosely as the packs fit, as far as is known. `disk`
    /// is the room for packs on disk, if there is a cache.
    pub(super) fn choose(&self, packed: Option<Packed>, disk: Option<u64>) -> Option<Choice> {
        match disk {
            None => self.level(packed).map(Choice::All),
            Some(disk) => Some(self.with_disk(packed, disk)),
        }
    }

    fn with_disk(&self, packed: Option<Packed>, disk: u64) -> Choice {
        let n_packed = packed.map_or(0, |packed| packed.n_elements);
        let n_rest = self.n_elements.saturating_sub(n_packed) as f64;
        let known = packed.filter(|_| n_packed >= SAMPLE.min(self.n_elements));
        let each = match known {
            None => self.guess[1] / self.n_elements as f64,
            Some(packed) => (packed.bytes as f64 + packed.on_disk as f64) / n_packed as f64,
        };
        let rest = n_rest * each;
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
    let controls = schedule.controls.iter().flat_map(Controls::drawable);
    if order.len() >= plan.n_obs() {
        return plan
            .stores
            .iter()
            .map(|store| store.rows.len() > 0)
            .collect();
    }
    let mut read = vec![false; plan.stores.len()];
    let rows = (0..order.len()).map(|position| order.row(position));
    for row in rows.chain(controls.map(|row| row as usize)) {
        read[plan.locate(row).store] = true;
    }
    read
}

#[cfg(test)]
mod tests {
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
            let plan = PackPlan { n_elements, guess, limit, packing: 0 };
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

    /// What an epoch does with a cache that has room for `disk` bytes: whether all of it was packed,
    /// and whether a band did not fit.
    fn packed_with_disk(plan: &PackPlan, disk: u64, each: f64) -> (bool, bool) {
        let mut packed: Option<Packed> = None;
        let size = |n_elements: u64| (each * n_elements as f64).ceil() as u64;
        loop {
            let on_disk = packed.map_or(0, |packed| packed.on_disk);
            match plan.choose(packed, Some(disk - on_disk)) {
                Some(Choice::All(Level::Bits)) => {}
                choice => {
                    assert_eq!(choice, Some(Choice::OnDisk));
                    return (false, packed.is_some_and(|packed| packed.is_full));
                }
            }
            let before = packed.map_or(0, |packed| packed.n_elements);
            if before == plan.n_elements {
                return (true, false);
            }
            let n_elements = (before + plan.n_elements.div_ceil(10)).min(plan.n_elements);
            let wanted = size(n_elements);
            packed = Some(Packed {
                choice: Choice::All(Level::Bits),
                n_elements,
                bytes: wanted.saturating_sub(disk).min(plan.limit as u64) as usize,
                on_disk: wanted.min(disk),
                is_full: wanted > disk + plan.limit as u64,
            });
        }
    }

    proptest! {
        #[test]
        fn packs_on_disk_and_in_memory_hold_all_if_they_fit(
            n_elements in 1..2_000_000_u64,
            limit in 0..2_000_000_usize,
            disk in 0..4_000_000_u64,
            each in 0.1..12.0_f64,
        ) {
            let guess = SPARSE_BYTES.map(|each| each * n_elements as f64);
            let plan = PackPlan { n_elements, guess, limit, packing: 0 };
            let (all, overran) = packed_with_disk(&plan, disk, each);
            let room = limit as f64 + disk as f64;
            let needed = each * n_elements as f64;
            prop_assert!(!all || needed <= room + 1.0);
            // A few bytes more or less are a matter of rounding.
            if guess[1] <= room && needed + 10.0 <= room {
                prop_assert!(all);
            }
            // After a sample, it is known beforehand that not all will fit.
            if guess[1] <= room && n_elements > 20 * SAMPLE && room > needed / 5.0 {
                prop_assert!(!overran);
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
        let small = plan_of(&dense, 100).expect("it is compressed");
        assert_eq!((small.n_elements, small.packing), (400, LEAST_PACKING));
        let large = plan_of(&dense, 1 << 30).expect("it is compressed");
        assert_eq!(large.packing, 64 << 20, "an eighth, for two threads");
        // Only the stores that are read count.
        let order = Order::Rows {
            rows: [100, 101].into(),
            locality: crate::order::Locality::Anywhere,
        };
        let some = PackPlan::new(&sparse_plan(&[100, 20], 8), &schedule(order, 2), 1000, 2);
        assert_eq!(some.map(|plan| plan.n_elements), Some(20));
    }
}
