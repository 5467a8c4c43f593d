//! Where windows end: bands are the rows whose chunks are decoded together.

use std::sync::Arc;

use anndata_io::MatrixSource;

use crate::batch::BatchSlots;
use crate::plan::{Plan, StorePlan};
use crate::recycle::Waiting;

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
    /// Bytes of rows that wait; packed ones take the part `packing` of what they take at the most.
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
