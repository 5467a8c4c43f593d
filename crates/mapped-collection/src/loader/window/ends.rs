//! Where a window ends.

use std::sync::Arc;

use crate::batch::slots::BatchSlots;

/// Where a window ends, apart from the limit of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowEnd {
    /// After a given number of batches. The neighbours of its rows may come at any time.
    Anywhere,
    /// After a given number of batches, in file order. The cache keeps a band of chunks that the
    /// end cuts.
    InFileOrder,
    /// Where a band of chunks ends, in file order, after at least a given number of batches. The
    /// cache could not keep a band that the end would cut.
    WithBand,
}

/// A batch that begins in the last band of a window. The window reads its rows up to row `until` of
/// the collection. The next window reads the others and finishes it. So no band is decoded for
/// both.
#[derive(Debug, Clone)]
pub(crate) struct CarriedBatch {
    pub(crate) slots: Arc<BatchSlots>,
    pub(crate) until: usize,
}
