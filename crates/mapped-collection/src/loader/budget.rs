//! The memory of an epoch, and the share of each part.

use anndata_io::IoContext;
use row_pack::Level;

use crate::batch::pool::BufferPool;
use crate::batch::slots::BatchSlots;
use crate::batch::waiting::WaitingRows;
use crate::error::option::OptionError;

/// The most finished batches that wait for the caller.
const MOST_READY: usize = 8;
/// The fraction of the rows' share that windows are planned to fill: later rows may pack worse than
/// earlier ones.
const FILLED: f64 = 0.95;

/// The size of rows packed in bits to that in whole bytes, before any were: about 0.5 for counts.
pub(crate) const BITS_TO_BYTES: f64 = 0.6;

/// Divides the option `memory`. No other code knows the rule.
///
/// ```text
/// memory = decoded chunks + finished batches        + rows that wait, and packs
///          cache_bytes      most_ready, at most 1/8   the rest
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// The most bytes of rows that wait for their batches.
    rows: usize,
    /// The most finished batches that wait for the caller.
    most_ready: usize,
    /// The most bytes of a batch, computed from the first one.
    batch: usize,
    /// The most bytes of its rows while they wait.
    waiting: usize,
}

/// Bytes of one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BatchBytes {
    /// While its rows wait.
    pub(crate) waiting: usize,
    /// When it is finished.
    pub(crate) finished: usize,
}

impl BatchBytes {
    pub(crate) fn of(slots: &BatchSlots) -> BatchBytes {
        BatchBytes {
            waiting: slots.packed_bytes() + slots.placed_bytes(),
            finished: slots.finished_bytes(),
        }
    }

    pub(crate) fn max(self, other: BatchBytes) -> BatchBytes {
        BatchBytes {
            waiting: self.waiting.max(other.waiting),
            finished: self.finished.max(other.finished),
        }
    }
}

impl Budget {
    /// Divides `memory` bytes for batches like this one; `cache` of them are for decoded chunks.
    ///
    /// # Errors
    /// When two batches do not fit.
    pub(crate) fn new(
        memory: usize,
        cache: usize,
        batch: BatchBytes,
    ) -> Result<Budget, OptionError> {
        let rest = memory.saturating_sub(cache);
        let bytes = batch.waiting.max(batch.finished);
        if bytes.saturating_mul(2) > rest {
            let needed = bytes.saturating_mul(2).saturating_add(cache);
            let expected = format!(
                "at least {needed} bytes: {cache} for the cache of chunks, and room for two batches"
            );
            return Err(OptionError::new("memory", expected, memory));
        }
        let most_ready = (rest / 8 / batch.finished.max(1)).clamp(1, MOST_READY);
        Ok(Budget {
            rows: rest - most_ready * batch.finished,
            most_ready,
            batch: bytes,
            waiting: batch.waiting,
        })
    }

    /// The most finished batches that wait for the caller.
    pub(crate) fn most_ready(&self) -> usize {
        self.most_ready
    }

    /// The most bytes of a batch, computed from the first one.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// The most bytes of spare buffers to keep while no row waits. Finished batches have their own
    /// share.
    pub(crate) fn spare(&self) -> usize {
        self.rows
    }

    /// The most bytes of packs, if they hold all rows. The rest is for batches: one for each of the
    /// threads, and two that wait.
    pub(crate) fn packs(&self, workers: usize) -> usize {
        let batches = self.batch.saturating_mul(workers.max(1) + 2);
        self.rows - batches.min(self.rows / 2)
    }

    /// Whether `more` bytes of rows fit beside those that are `held`, by rows that wait or by packs,
    /// and those being loaded.
    pub(crate) fn has_room(&self, held: usize, loading: usize, more: usize) -> bool {
        held + loading + more <= self.rows
    }

    /// Whether a window of these [costs](Self::cost) fits beside the bytes of packs.
    pub(crate) fn fits(&self, costs: usize, packs: usize) -> bool {
        costs + packs <= self.rows
    }

    /// The part of the budget that the rows of a batch take if they pack as earlier rows did. With
    /// `alone`, no other window shares the budget.
    pub(crate) fn cost(&self, slots: &BatchSlots, waiting: &WaitingRows, alone: bool) -> usize {
        let packed = match slots.packed_bytes() {
            0 => 0,
            bytes => {
                let packing = packing(waiting.pool(), slots.level()) / FILLED;
                (bytes as f64 * packing) as usize + waiting.block_bytes()
            }
        };
        // Packed rows are freed one by one. Other rows are freed with their batch, so that two
        // windows share the budget.
        let windows = if alone { 1 } else { 2 };
        packed + windows * slots.placed_bytes()
    }

    /// How tightly the rows of the next `n_batches` are packed: in whole bytes, which is faster,
    /// unless bits save a window.
    pub(crate) fn level(&self, n_batches: usize, pool: &BufferPool) -> Level {
        let most = n_batches as f64 * self.waiting as f64;
        let windows = |level| (most * packing(pool, level) / FILLED / self.rows as f64).ceil();
        // The first window shows how rows pack.
        if pool.packing(Level::Bytes).is_some() && windows(Level::Bits) < windows(Level::Bytes) {
            Level::Bits
        } else {
            Level::Bytes
        }
    }

    /// The bytes of decoded chunks that a window may keep when two are read at a time.
    pub(crate) fn cache_of_window(io: &IoContext) -> u64 {
        io.options().get_cache_bytes() as u64 / 2
    }
}

/// The fraction of their largest possible size that rows take at this level, as far as is known.
fn packing(pool: &BufferPool, level: Level) -> f64 {
    let known = pool.packing(level);
    let bytes = || pool.packing(Level::Bytes).unwrap_or(1.0);
    match level {
        Level::Bits => known.unwrap_or_else(|| bytes() * BITS_TO_BYTES),
        _ => known.unwrap_or(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(memory: usize, cache: usize, waiting: usize, finished: usize) -> Budget {
        let batch = BatchBytes { waiting, finished };
        Budget::new(memory, cache, batch).expect("two batches fit")
    }

    #[test]
    fn budget_parts_sum_to_the_memory() {
        for (memory, cache, waiting, finished) in [
            (1 << 30, 64 << 20, 1 << 20, 1 << 20),
            (1000, 0, 100, 500),
            (1 << 20, 1 << 19, 0, 0),
            (1 << 20, 0, 1 << 10, 1 << 18),
        ] {
            let budget = budget(memory, cache, waiting, finished);
            let ready = budget.most_ready() * finished;
            assert_eq!(cache + ready + budget.rows, memory);
            // One batch may always be ready. Further batches get at most an eighth of the rest.
            assert!(budget.most_ready() == 1 || ready <= (memory - cache) / 8);
            assert!(budget.has_room(0, 0, budget.batch()) || finished > waiting);
        }
    }

    #[test]
    fn budget_has_room_up_to_the_share_of_rows() {
        let budget = budget(1000, 200, 10, 10);
        let rows = 800 - 8 * 10;
        assert!(budget.has_room(rows - 30, 10, 20));
        assert!(!budget.has_room(rows - 30, 10, 21));
        assert!(budget.fits(rows, 0) && !budget.fits(rows + 1, 0) && !budget.fits(rows, 1));
        assert_eq!(budget.spare(), rows);
    }

    #[test]
    fn budget_packs_in_bits_where_that_saves_a_window() {
        let (pool, budget) = (BufferPool::new(0), budget(1 << 20, 0, 1 << 16, 0));
        assert_eq!(budget.rows, 1 << 20);
        assert_eq!(
            budget.level(1000, &pool),
            Level::Bytes,
            "nothing is known yet"
        );
        pool.count_packed(Level::Bytes, 1 << 20, 1 << 19);
        // In bytes, 30 batches fit; in bits, if they take 0.6 of it, 50.
        assert_eq!(budget.level(30, &pool), Level::Bytes);
        assert_eq!(budget.level(31, &pool), Level::Bits);
        assert_eq!(budget.level(50, &pool), Level::Bits);
        assert_eq!(
            budget.level(51, &pool),
            Level::Bytes,
            "two windows either way"
        );
        // Rows of many distinct values pack no better in bits.
        pool.count_packed(Level::Bits, 1 << 20, 1 << 19);
        assert_eq!(budget.level(40, &pool), Level::Bytes);
    }

    #[test]
    fn budget_refuses_less_than_two_batches() {
        let batch = BatchBytes {
            waiting: 300,
            finished: 100,
        };
        assert!(Budget::new(700, 100, batch).is_ok());
        let error = Budget::new(699, 100, batch)
            .expect_err("too little")
            .to_string();
        assert!(
            error.contains("at least 700 bytes: 100 for the cache"),
            "{error}"
        );
        let huge = BatchBytes {
            waiting: usize::MAX,
            finished: 0,
        };
        assert!(Budget::new(1 << 40, 0, huge).is_err());
    }
}
