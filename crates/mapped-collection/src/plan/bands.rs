//! Bands: the rows of a matrix whose chunks are decoded together.

use anndata_io::MatrixSource;

use crate::plan::location::RowLocation;
use crate::plan::{Plan, StorePlan};

/// The part of a batch that lies in the band in which the batch before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// No row, or no row at its beginning.
    Nothing,
    /// All rows, or rows of earlier bands.
    All,
    /// Its rows up to this one of the collection.
    Until(usize),
}

impl StorePlan {
    /// The matrix whose bands take the most bytes when decoded.
    pub(crate) fn costliest(&self) -> Option<&MatrixSource> {
        let sources = self.matrices.iter().flatten();
        sources.max_by_key(|source| (source.band_bytes(), source.rows_per_band()))
    }

    /// The bytes that a band of each of its matrices takes when decoded.
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
    /// The store and the band of a row of the collection. Both ascend with the row.
    fn band(&self, row: usize) -> (usize, u64) {
        let RowLocation { store, row } = self.locate(row);
        let source = self.stores[store].costliest();
        (store, source.map_or(0, |source| source.band(row.into())))
    }

    /// The part of the `next` rows that lies in the band in which `rows` end. `next` follows `rows`
    /// in file order.
    pub(crate) fn overlap(&self, rows: &[usize], next: &[usize]) -> Overlap {
        let (Some(&last), Some(&first)) = (rows.last(), next.first()) else {
            return Overlap::Nothing;
        };
        let end = self.band(last);
        if self.band(first) > end {
            return Overlap::Nothing;
        }
        let is_inside = |row: &usize| self.band(*row) <= end;
        match next.iter().max() {
            Some(row) if !is_inside(row) => {
                let inside = next.iter().copied().filter(is_inside);
                inside.max().map_or(Overlap::Nothing, Overlap::Until)
            }
            _ => Overlap::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::dense_plan;

    #[test]
    fn overlap_is_the_part_in_the_last_band_of_the_batch_before() {
        let plan = dense_plan(&[10, 20, 5]);
        let overlap = |rows: &[usize], next: &[usize]| plan.overlap(rows, next);
        assert_eq!(overlap(&[3, 4], &[5, 9]), Overlap::All);
        assert_eq!(overlap(&[8, 9], &[10, 11]), Overlap::Nothing);
        assert_eq!(overlap(&[5, 6], &[7, 8, 12]), Overlap::Until(8));
        assert_eq!(overlap(&[5, 12], &[29, 30, 34]), Overlap::Until(29));
        // A last step that is padded from the start of the order.
        assert_eq!(overlap(&[31, 32], &[33, 34, 0, 1]), Overlap::All);
        assert_eq!(overlap(&[27, 28], &[29, 30, 0, 1]), Overlap::Until(29));
    }
}
