//! Bands: the rows whose chunks are decoded together.

use anndata_io::MatrixSource;

use crate::plan::{Plan, StorePlan};

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
        let in_band = |&&row: &&usize| self.band(row) <= end;
        let inside = next.iter().filter(in_band);
        match (inside.clone().count() == next.len(), inside.max()) {
            (false, Some(&row)) => Rest::Until(row),
            _ => Rest::All,
        }
    }
}
