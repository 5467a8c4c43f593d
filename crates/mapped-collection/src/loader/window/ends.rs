//! Where a window ends.

use std::sync::Arc;

use crate::batch::slots::BatchSlots;

/// Where a window ends, besides where memory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowEnd {
    /// After so many batches, whose neighbours in the files come at any time.
    Anywhere,
    /// After so many batches, in file order: the cache keeps a band of chunks that it cuts.
    InFileOrder,
    /// In file order where a band of chunks does, which the cache could not keep; after at least so
    /// many batches.
    WithBand,
}

/// A batch that begins in the last band of a window. The window reads its rows up to this one of the
/// collection, the next window reads the others and finishes it: no band is decoded for both.
#[derive(Debug, Clone)]
pub(crate) struct CarriedBatch {
    pub(crate) slots: Arc<BatchSlots>,
    pub(crate) until: usize,
}
