//! Random samples of the genes of a row, without replacement.
//!
//! # The draws, exactly
//! Each gene takes one random number `u` in `[0, 1)`, in the order of the columns. The random words
//! are those of the [row](generator_of_row) in its file, for the seed, the epoch and the domain
//! `genes as tokens.`. If all genes fit, nothing is drawn.
//!
//! - Uniform: if `left` genes are left, this one included, and `missing` are still wanted, it is taken
//!   if `u * left < missing` (D. Knuth, The Art of Computer Programming 2, algorithm 3.4.2S).
//! - By value: the genes with the smallest `-ln(1 - u) / (value / largest value)` are taken, of equal
//!   ones the first. That has the distribution of draws one after the other, each in proportion to
//!   the values (P. Efraimidis and P. Spirakis, Information Processing Letters 97, 2006).

use anndata_io::Scalar;
use rand_chacha::ChaCha8Rng;

use crate::random::{Domain, generator_of_row, unit};

const DOMAIN: &Domain = b"genes as tokens.";

/// The row whose genes are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SampledRow {
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    pub(crate) store: u32,
    /// In the file.
    pub(crate) row: u32,
}

impl SampledRow {
    fn generator(self) -> ChaCha8Rng {
        generator_of_row(self.seed, self.epoch, DOMAIN, (self.store, self.row))
    }
}

/// Draws samples of one row at a time, and reuses its buffers.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    drawn: Vec<u32>,
    races: Vec<(f64, u32)>,
}

impl Sample {
    /// Returns the positions of all genes.
    pub(crate) fn all(&mut self, n: usize) -> &[u32] {
        self.drawn.clear();
        self.drawn.extend(0..n as u32);
        &self.drawn
    }

    /// Returns the ascending positions of `wanted` of more than `wanted` genes.
    pub(crate) fn uniform(&mut self, row: SampledRow, n: usize, wanted: usize) -> &[u32] {
        let mut rng = row.generator();
        self.drawn.clear();
        for at in 0..n {
            let (left, missing) = (n - at, wanted - self.drawn.len());
            if unit(&mut rng) * (left as f64) < missing as f64 {
                self.drawn.push(at as u32);
            }
        }
        &self.drawn
    }

    /// Returns the ascending positions of `wanted` of more than `wanted` genes, drawn by their
    /// positive and finite values.
    pub(crate) fn by_value<T: Scalar>(
        &mut self,
        row: SampledRow,
        values: &[T],
        wanted: usize,
    ) -> &[u32] {
        let mut rng = row.generator();
        // Quotients of very small values would all be infinite.
        let floats = values.iter().map(|&value| f64::cast_from(value));
        let largest = floats.fold(0.0, f64::max);
        self.races.clear();
        self.races
            .extend(values.iter().zip(0..).map(|(&value, at)| {
                let weight = f64::cast_from(value) / largest;
                let time = -libm::log(1.0 - unit(&mut rng)) / weight;
                (time, at)
            }));
        let earlier = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        self.races.select_nth_unstable_by(wanted, earlier);
        self.drawn.clear();
        self.drawn
            .extend(self.races[..wanted].iter().map(|(_, at)| *at));
        self.drawn.sort_unstable();
        &self.drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: SampledRow = SampledRow {
        seed: 3,
        epoch: 1,
        store: 2,
        row: 7,
    };

    #[test]
    fn samples_are_distinct_and_ascend() {
        let values: Vec<f32> = (1..=100).map(|i| i as f32).collect();
        let mut sample = Sample::default();
        for wanted in [0, 1, 50, 99] {
            let uniform = sample.uniform(ROW, 100, wanted).to_vec();
            let by_value = sample.by_value(ROW, &values, wanted).to_vec();
            for drawn in [uniform, by_value] {
                assert_eq!(drawn.len(), wanted);
                assert!(drawn.is_sorted_by(|a, b| a < b) && drawn.iter().all(|&at| at < 100));
            }
        }
    }

    #[test]
    fn samples_depend_on_the_row_alone() {
        let mut sample = Sample::default();
        let first = sample.uniform(ROW, 100, 20).to_vec();
        assert_eq!(Sample::default().uniform(ROW, 100, 20), first);
        for other in [
            SampledRow { seed: 4, ..ROW },
            SampledRow { epoch: 0, ..ROW },
            SampledRow { store: 1, ..ROW },
            SampledRow { row: 8, ..ROW },
        ] {
            assert_ne!(sample.uniform(other, 100, 20), first);
        }
    }

    #[test]
    fn genes_are_drawn_as_often_as_expected() {
        let mut sample = Sample::default();
        let (mut uniform, mut by_value) = ([0u32; 4], [0u32; 4]);
        for row in 0..20_000 {
            let row = SampledRow { row, ..ROW };
            for &at in sample.uniform(row, 4, 2) {
                uniform[at as usize] += 1;
            }
            for &at in sample.by_value(row, &[1u8, 1, 2, 4], 1) {
                by_value[at as usize] += 1;
            }
        }
        assert!(
            uniform.iter().all(|n| (9_800..=10_200).contains(n)),
            "{uniform:?}"
        );
        for (n, expected) in by_value.into_iter().zip([2500, 2500, 5000, 10_000]) {
            assert!(n.abs_diff(expected) < 250, "{by_value:?}");
        }
    }
}
