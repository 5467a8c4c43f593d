//! Ranks the values of a row: by their numbers if few are distinct, otherwise by the digits of their
//! keys.

use anndata_io::Scalar;

use crate::tokens::distinct::Distinct;
use crate::tokens::keys::key;
use crate::tokens::lanes::{LANES, by_lanes};

/// The most bits of a digit: the counters of all lanes fit in the processor's first cache.
const DIGIT_BITS: u32 = 8;
/// The fewest values that are sorted by digits: for fewer, comparisons are faster.
const FEW: usize = 192;

/// Ranks the values of one row at a time, and reuses its buffers.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    /// The key of a value in 32 bits, and its position below it.
    entries: Vec<u64>,
    spare: Vec<u64>,
    distinct: Distinct,
    ranked: Vec<u32>,
}

impl Ranking {
    /// Returns the positions of the values by descending value. Equal values stay in order; NaN
    /// comes last.
    pub(crate) fn rank<T: Scalar>(&mut self, values: &[T]) -> &[u32] {
        self.ranked.clear();
        if values.len() >= FEW && self.distinct.find(values) {
            self.distinct.rank(&mut self.ranked);
            return &self.ranked;
        }
        if size_of::<T>() > 4 {
            self.ranked.extend(0..values.len() as u32);
            self.ranked.sort_by_key(|&at| key(values[at as usize]));
            return &self.ranked;
        }
        self.entries.clear();
        let entries = values.iter().zip(0u64..);
        self.entries
            .extend(entries.map(|(&value, at)| key(value) << 32 | at));
        if values.len() < FEW {
            self.entries.sort_unstable();
        } else {
            let first = self.entries[0];
            let varying = self
                .entries
                .iter()
                .fold(0, |bits, entry| bits | (entry ^ first));
            self.sort_by_digits((varying >> 32) as u32);
        }
        self.ranked
            .extend(self.entries.iter().map(|&entry| entry as u32));
        &self.ranked
    }

    /// Sorts entries by their keys, which differ in the `varying` bits: a radix sort from the lowest
    /// digit on. Positions ascend before, and so they do for equal keys afterwards.
    fn sort_by_digits(&mut self, varying: u32) {
        if varying == 0 {
            return;
        }
        // Whole numbers as floats end in equal bits.
        let lowest = 32 + varying.trailing_zeros();
        let n_bits = 64 - varying.leading_zeros() - lowest;
        let n_digits = n_bits.div_ceil(DIGIT_BITS);
        let digit_bits = n_bits.div_ceil(n_digits);
        let n_counters = 1 << digit_bits;
        self.spare.resize(self.entries.len(), 0);
        for number in 0..n_digits {
            let shift = lowest + number * digit_bits;
            let digit = |entry: u64| (entry >> shift) as usize & (n_counters - 1);
            let mut counters = [[0u32; LANES]; 1 << DIGIT_BITS];
            by_lanes(&self.entries, |lane, _, entry| {
                counters[digit(entry)][lane] += 1
            });
            // A counter becomes the place of its next entry.
            let mut end = 0;
            for counter in counters[..n_counters].as_flattened_mut() {
                (*counter, end) = (end, end + *counter);
            }
            by_lanes(&self.entries, |lane, _, entry| {
                let place = &mut counters[digit(entry)][lane];
                self.spare[*place as usize] = entry;
                *place += 1;
            });
            std::mem::swap(&mut self.entries, &mut self.spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use anndata_io::f16;

    use super::*;

    fn check<T: Scalar + PartialOrd>(values: &[T]) {
        let mut expected: Vec<u32> = (0..values.len() as u32).collect();
        expected.sort_by(|&a, &b| {
            let (a, b) = (values[a as usize], values[b as usize]);
            b.partial_cmp(&a).expect("not NaN")
        });
        assert_eq!(Ranking::default().rank(values), expected, "{values:?}");
    }

    /// Numbers without a pattern.
    fn mixed(n: usize) -> impl Iterator<Item = u64> {
        (1..=n as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7)
    }

    #[test]
    fn values_are_ranked_as_a_stable_sort_ranks_them() {
        for n in [0, 1, 2, 100, FEW, 2000] {
            check::<u8>(&mixed(n).map(|x| x as u8).collect::<Vec<_>>());
            check::<i16>(&mixed(n).map(|x| x as i16).collect::<Vec<_>>());
            check::<i64>(&mixed(n).map(|x| (x << 9) as i64).collect::<Vec<_>>());
            check::<u64>(&mixed(n).map(|x| x << 8 | 1).collect::<Vec<_>>());
            check::<f32>(&mixed(n).map(|x| (x % 40) as f32).collect::<Vec<_>>());
            check::<f32>(&mixed(n).map(|x| x as f32 - 1e17).collect::<Vec<_>>());
            check::<f64>(&mixed(n).map(|x| (x as f64).ln() - 38.0).collect::<Vec<_>>());
            check::<f16>(
                &mixed(n)
                    .map(|x| f16::from_f64((x % 90) as f64))
                    .collect::<Vec<_>>(),
            );
            check::<f32>(&vec![2.5; n]);
            // Few distinct values at the start only.
            let late = (0..n as u64).map(|i| if i < 100 { 3.0 } else { (i * 7 % 911) as f32 });
            check::<f32>(&late.collect::<Vec<_>>());
        }
        check::<f64>(&[0.5, f64::INFINITY, -1.0, 0.5, f64::NEG_INFINITY]);
    }

    #[test]
    fn nan_comes_last() {
        let nan = f32::NAN;
        assert_eq!(
            Ranking::default().rank(&[nan, 1.0, -nan, -2.0]),
            [1, 3, 0, 2]
        );
        let many: Vec<f64> = (0..300)
            .map(|i| if i % 2 == 0 { f64::NAN } else { 1.0 })
            .collect();
        let mut ranking = Ranking::default();
        let ranked = ranking.rank(&many);
        assert!(ranked[..150].iter().all(|at| at % 2 == 1));
    }
}
