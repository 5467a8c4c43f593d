//! Where a row of the collection lies.

use crate::plan::Plan;

/// Where a row of the collection lies: its store, and its row in the store's file.
///
/// Locations ascend as the rows of the collection do.
///
/// ```
/// use mapped_collection::RowLocation;
///
/// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
/// let last = cells.n_obs() as i64 - 1;
/// assert_eq!(cells.locate(-1)?, cells.locate(last)?);
/// assert_eq!(cells.locate(-1)?, RowLocation { store: 1, row: 1 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowLocation {
    /// The number of the store, from 0, in the order of the collection.
    pub store: usize,
    /// The row in the store's file, before any filter.
    pub row: u32,
}

impl Plan {
    /// Finds a row of the collection.
    #[inline]
    pub(crate) fn locate(&self, index: usize) -> RowLocation {
        let store = self.starts.partition_point(|&start| start <= index) - 1;
        let row = self.stores[store].rows.get(index - self.starts[store]);
        RowLocation { store, row }
    }
}
