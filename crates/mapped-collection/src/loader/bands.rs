//! Where windows end: bands are the rows whose chunks are decoded together.

use std::sync::Arc;

use anndata_io::MatrixSource;

use crate::batch::BatchSlots;
use crate::batch::pool::Waiting;
use crate::plan::{Plan, StorePlan};

/// Where a window ends, besides where memory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// After so many batches, whose neighbours in the files come at any time.
    Anywhere,
    /// After so many batches, in file order: the cache keeps a band of chunks that it cuts.
    InFileOrder,
    /// In file order where a band of chunks does, which the cache could not keep; after at least so
    /// many batches.
    WithBand,
}

/// Which batches a window has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) first: usize,
    pub(crate) batches: usize,
    pub(crate) ends: Ends,
    /// Bytes of rows that wait; packed ones take the part `packing` of the most that they take.
    pub(crate) budget: usize,
    pub(crate) packing: f64,
}

impl Extent {
    /// What a batch takes of the budget.
    pub(crate) fn batch_bytes(&self, slots: &BatchSlots, waiting: &Waiting) -> usize {
        let packed = match slots.packed_bytes() {
            0 => 0,
            bytes => (bytes as f64 * self.packing) as usize + waiting.block_bytes(),
        };
        // Packed rows make room one by one, others when their batch is finished: two windows share
        // the budget then. A band that does not fit in half of it would be decoded more often.
        let windows = if self.ends == Ends::WithBand { 1 } else { 2 };
        packed + windows * slots.placed_bytes()
    }
}

/// A batch that begins in the last band of a window. The window reads its rows up to this one of the
/// collection, the next window reads the others and finishes it: no band is decoded for both.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    pub(crate) slots: Arc<BatchSlots>,
    pub(crate) until: usize,
}

/// How much of a batch lies in the band in which the batch before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// No row, at least none at its beginning.
    None,
    /// All rows, or rows of earlier bands.
    All,
    /// Its rows up to this one of the collection.
    Until(usize),
}

impl StorePlan {
    /// The matrix whose bands take most to decode.
    pub(crate) fn costliest(&self) -> Option<&MatrixSource> {
        let sources = self.matrices.iter().flatten();
        sources.max_by_key(|source| (source.band_bytes(), source.rows_per_band()))
    }

    /// Bytes that a band of each of its matrices takes when it is decoded.
    pub(crate) fn band_bytes(&self) -> u64 {
        let sources = self.matrices.iter().flatten();
        sources.fold(0, |sum, source| sum.saturating_add(source.band_bytes()))
    }

    /// The most rows of a band.
    pub(crate) fn rows_per_band(&self) -> u64 {
        self.costliest().map_or(1, MatrixSource::rows_per_band)
    }
}

impl Plan {
    /// The store and the band of a row of the collection. They ascend with the row.
    fn band(&self, row: usize) -> (usize, u64) {
        let (store, row) = self.locate(row);
        let source = self.stores[store].costliest();
        (store, source.map_or(0, |source| source.band(row.into())))
    }

    /// How much of the `next` rows, which go on where `rows` end in file order, lies in the same band.
    pub(crate) fn rest_of_band(&self, rows: &[usize], next: &[usize]) -> Rest {
        let (Some(&last), Some(&first)) = (rows.last(), next.first()) else {
            return Rest::None;
        };
        let end = self.band(last);
        if self.band(first) > end {
            return Rest::None;
        }
        let is_inside = |row: &usize| self.band(*row) <= end;
        match next.iter().max() {
            Some(row) if !is_inside(row) => {
                let inside = next.iter().copied().filter(is_inside);
                inside.max().map_or(Rest::None, Rest::Until)
            }
            _ => Rest::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::atomic::{AtomicBool, Ordering};

    use anndata_io::{MemoryStore, Values};

    use super::*;
    use crate::batch::BatchFormat;
    use crate::batch::pool::Recycler;
    use crate::collection::MappedCollection;
    use crate::loader::job::Job;
    use crate::loader::prefetch::Pipeline;
    use crate::order::Order;
    use crate::order::schedule::{Part, Schedule};

    fn cells(sizes: &[usize]) -> MappedCollection {
        let stores = sizes.iter().map(|&n| {
            let names: Vec<String> = (0..n).map(|i| i.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let chunk = [n as u64, 2].map(|extent| NonZeroU64::new(extent).expect("not 0"));
            MemoryStore::new("cells")
                .dataframe("obs", &names)
                .dataframe("var", &["a", "b", "c", "d"])
                .array("X", &[n as u64, 4], Values::F32(vec![1.0; 4 * n]))
                .chunks("X", &chunk)
        });
        let cells = MappedCollection::builder(stores).cache_bytes(0).open();
        cells.expect("the stores fit together")
    }

    #[test]
    fn rows_that_wait_stay_within_the_budget() {
        let cells = cells(&[1000, 300, 1700, 40, 40, 900]);
        for workers in [0, 1, 3] {
            for memory in [4_000, 10_000, 30_000] {
                let recycler = Arc::new(Recycler::new(0));
                let schedule = Schedule {
                    order: Order::InOrder(cells.n_obs()),
                    start: 0,
                    batch_size: 16,
                    drop_last: false,
                    pad: true,
                    rank: Part::WHOLE,
                    reader: Part::WHOLE,
                };
                let n_batches = schedule.n_batches();
                let format = BatchFormat::default();
                let job = Job::new(&cells, schedule, format, workers, memory, &recycler);
                let job = job.expect("two batches fit");
                let room = job.window_bytes;
                let is_over = AtomicBool::new(false);
                let most = std::thread::scope(|scope| {
                    let watch = scope.spawn(|| {
                        let mut most = 0;
                        while !is_over.load(Ordering::Relaxed) {
                            most = most.max(recycler.waiting_bytes());
                        }
                        most
                    });
                    let mut pipeline = Pipeline::start(job, 0);
                    for _ in 0..n_batches {
                        pipeline.next().expect("readable");
                    }
                    is_over.store(true, Ordering::Relaxed);
                    watch.join().expect("it only looks")
                });
                assert!(most <= room, "{most} of {room} bytes, {workers} workers");
                assert_eq!(recycler.waiting_bytes(), 0);
            }
        }
    }

    #[test]
    fn what_lies_in_the_band_of_the_batch_before() {
        let cells = cells(&[10, 20, 5]);
        let rest = |rows: &[usize], next: &[usize]| cells.plan().rest_of_band(rows, next);
        assert_eq!(rest(&[3, 4], &[5, 9]), Rest::All);
        assert_eq!(rest(&[8, 9], &[10, 11]), Rest::None);
        assert_eq!(rest(&[5, 6], &[7, 8, 12]), Rest::Until(8));
        assert_eq!(rest(&[5, 12], &[29, 30, 34]), Rest::Until(29));
        // A last step that is completed from the order's start.
        assert_eq!(rest(&[31, 32], &[33, 34, 0, 1]), Rest::All);
        assert_eq!(rest(&[27, 28], &[29, 30, 0, 1]), Rest::Until(29));
    }
}
