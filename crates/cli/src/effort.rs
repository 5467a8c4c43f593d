//! The cost of an epoch, and how well its labels were mixed.

use mapped_anndata::{Batch, MappedCollection, permutation};
use serde::Serialize;

use crate::Result;
use crate::escape::escape;
use crate::text;

/// Counts of what was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    chunks_decoded: u64,
    cache_hits: u64,
    bytes_read: u64,
    packed_rows: u64,
}

impl Counts {
    pub(crate) fn of(cells: &MappedCollection) -> Counts {
        let io = cells.io();
        let (chunks_decoded, cache_hits) = (io.decoded_chunks(), io.cache_hits());
        Counts {
            chunks_decoded,
            cache_hits,
            bytes_read: io.bytes_read(),
            packed_rows: io.packed_rows(),
        }
    }

    /// The counts since `before`.
    pub(crate) fn since(&self, before: &Counts) -> Counts {
        Counts {
            chunks_decoded: self.chunks_decoded - before.chunks_decoded,
            cache_hits: self.cache_hits - before.cache_hits,
            bytes_read: self.bytes_read - before.bytes_read,
            packed_rows: self.packed_rows - before.packed_rows,
        }
    }

    pub(crate) fn in_words(&self) -> String {
        let from_packs = match self.packed_rows {
            0 => String::new(),
            rows => format!(", {} from packs", text::count(rows as usize, "row")),
        };
        format!(
            "{} MiB read, {} decoded{from_packs}",
            text::thousands(self.bytes_read >> 20),
            text::count(self.chunks_decoded as usize, "chunk")
        )
    }
}

/// Adds up the entropy of the labels of batches: how evenly the labels of one batch are spread.
#[derive(Debug)]
pub(crate) struct Entropy {
    key: Option<String>,
    sum: f64,
    batches: u64,
}

/// The mean entropy of the labels of a batch.
#[derive(Debug, Serialize)]
pub(crate) struct LabelEntropy {
    key: String,
    /// Over the batches that were streamed, in bits.
    mean: f64,
    /// Over the batches of an exact shuffle of all rows, in bits.
    exact: f64,
}

impl Entropy {
    /// Of the first encoded label.
    pub(crate) fn new(cells: &MappedCollection) -> Entropy {
        let key = cells.encoders().next().map(|(key, _)| key.to_owned());
        Entropy {
            key,
            sum: 0.0,
            batches: 0,
        }
    }

    pub(crate) fn add(&mut self, batch: &Batch) {
        if let Some(codes) = self.key.as_ref().and_then(|key| batch.codes(key)) {
            self.sum += bits(codes.iter().copied());
            self.batches += 1;
        }
    }

    pub(crate) fn result(
        &self,
        cells: &MappedCollection,
        batch_size: usize,
    ) -> Result<Option<LabelEntropy>> {
        let Some(key) = self.key.as_ref().filter(|_| self.batches > 0) else {
            return Ok(None);
        };
        let labels = cells.merged_labels(key)?;
        let order = permutation(labels.len() as u32, 0, 0);
        let code = |&row: &u32| i64::from(labels.codes()[row as usize]);
        let batches = order
            .chunks(batch_size)
            .map(|rows| bits(rows.iter().map(code)));
        let (sum, n) = batches.fold((0.0, 0), |(sum, n), bits| (sum + bits, n + 1));
        let (mean, exact) = (self.sum / self.batches as f64, sum / f64::from(n.max(1)));
        Ok(Some(LabelEntropy {
            key: key.clone(),
            mean,
            exact,
        }))
    }
}

impl LabelEntropy {
    pub(crate) fn in_words(&self) -> String {
        let LabelEntropy { key, mean, exact } = self;
        let key = escape(key);
        format!(
            "labels of {key} in a batch: {mean:.2} bits of entropy, {exact:.2} in an exact shuffle"
        )
    }
}

/// Shannon's entropy of the codes, in bits.
fn bits(codes: impl Iterator<Item = i64>) -> f64 {
    let mut counts = std::collections::HashMap::new();
    let mut n = 0u32;
    for code in codes {
        *counts.entry(code).or_insert(0u32) += 1;
        n += 1;
    }
    counts
        .values()
        .map(|&count| {
            let share = f64::from(count) / f64::from(n);
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_even_and_of_single_labels() {
        assert_eq!(bits([0, 1, 2, 3].into_iter()), 2.0);
        assert_eq!(bits([7, 7, 7].into_iter()), 0.0);
        assert_eq!(bits([].into_iter()), 0.0);
        assert!((bits([0, 0, 0, 1].into_iter()) - 0.811_278).abs() < 1e-6);
    }
}
