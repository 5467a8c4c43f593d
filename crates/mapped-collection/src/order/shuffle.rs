//! The order of a shuffled epoch: the same for a seed on every platform, and in every later
//! release.
//!
//! # The order, exactly
//! Random words are the 32-bit outputs of ChaCha with 8 rounds, in order, from stream `s` of the
//! key whose 32 bytes are: the seed (8 bytes, little-endian), the epoch (8 bytes, little-endian),
//! and the 16 ASCII bytes `mapped-anndata 1`. `below(n)` draws a uniform integer from 0 to n-1: it
//! multiplies a word by n and takes the upper 32 bits of the 64-bit product; when the lower 32
//! bits are less than 2^32 mod n, it draws again.
//!
//! The rows 0 to n-1 are dealt into `2^b` buckets, with the smallest b for which
//! `n <= 2^b * 32768`: row by row, ascending, the bucket is the upper b bits of the next word of
//! stream 0 (no word is drawn when b is 0). Rows keep their order in a bucket. Then the rows of
//! bucket k are shuffled with stream k+1: for i from the last down to 1, position i changes
//! places with position `below(i + 1)`. The order is bucket 0, bucket 1, and so on.
//!
//! Every permutation is equally likely: buckets are a random composition, and each is shuffled
//! evenly. Unlike one long Fisher-Yates shuffle, each bucket fits the processor's cache: 10^8 rows
//! take seconds.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use crate::random::{self, Domain};

/// The number of rows of a full bucket: 128 KiB of 32-bit positions.
const BUCKET: u64 = 1 << 15;
const DOMAIN: &Domain = b"mapped-anndata 1";

/// The purpose of random words. Each purpose has streams of its own. The first 2^32 are for the
/// order of rows, described above.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// The order of rows.
    Rows,
    /// The order of blocks.
    Blocks,
    /// The order of rows in a pool of blocks.
    Pool(u32),
    /// Weighted draws.
    Draws,
    /// The draws of a group of a mixture.
    Group(u32),
    /// The controls of rows.
    Controls,
    /// Splits.
    Split,
}

impl Purpose {
    /// Stream `index` of a purpose. `index` is below 2^32.
    pub(crate) fn stream(self, index: u64) -> u64 {
        let first = match self {
            Purpose::Rows => 0,
            Purpose::Blocks => 1 << 32,
            Purpose::Draws => 2 << 32,
            Purpose::Split => 3 << 32,
            Purpose::Controls => 4 << 32,
            // A pool has fewer than 2^16 buckets.
            Purpose::Pool(number) => (1 << 48) + (u64::from(number) << 16),
            // All rows have at most 2^17 buckets.
            Purpose::Group(number) => (1 << 52) + (u64::from(number) << 20),
        };
        first + index
    }
}

/// The random words of a stream.
pub(super) fn generator(seed: u64, epoch: u64, stream: u64) -> ChaCha8Rng {
    random::generator(seed, epoch, DOMAIN, stream)
}

/// A uniform integer below `n`, which is not 0.
pub(super) fn below(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    let mut product = u64::from(rng.next_u32()) * u64::from(n);
    if (product as u32) < n {
        let threshold = n.wrapping_neg() % n; // 2^32 mod n
        while (product as u32) < threshold {
            product = u64::from(rng.next_u32()) * u64::from(n);
        }
    }
    (product >> 32) as u32
}

/// The rows 0 to `n - 1` in the order of a seed and an epoch.
pub fn permutation(n: u32, seed: u64, epoch: u64) -> Vec<u32> {
    permutation_for(n, seed, epoch, Purpose::Rows)
}

/// The numbers 0 to `n - 1` in the order of a seed, an epoch and a purpose.
pub(crate) fn permutation_for(n: u32, seed: u64, epoch: u64, purpose: Purpose) -> Vec<u32> {
    let mut bits = 0;
    while BUCKET << bits < u64::from(n) {
        bits += 1;
    }
    let mut order = Vec::with_capacity(n as usize);
    let mut ends = vec![0u32; 1 << bits];
    if bits == 0 {
        order.extend(0..n);
        ends[0] = n;
    } else {
        // Counts, then deals: drawing the words twice is cheaper than keeping them.
        let bucket = |word: u32| (word >> (32 - bits)) as usize;
        let mut rng = generator(seed, epoch, purpose.stream(0));
        for _ in 0..n {
            ends[bucket(rng.next_u32())] += 1;
        }
        let mut next = vec![0u32; 1 << bits];
        let mut at = 0;
        for (start, end) in next.iter_mut().zip(&mut ends) {
            *start = at;
            at += *end;
            *end = at;
        }
        order.resize(n as usize, 0);
        let mut rng = generator(seed, epoch, purpose.stream(0));
        for row in 0..n {
            let at = &mut next[bucket(rng.next_u32())];
            order[*at as usize] = row;
            *at += 1;
        }
    }
    let mut start = 0;
    for (number, &end) in ends.iter().enumerate() {
        let mut rng = generator(seed, epoch, purpose.stream(number as u64 + 1));
        let rows = &mut order[start as usize..end as usize];
        for i in (1..rows.len()).rev() {
            rows.swap(i, below(&mut rng, i as u32 + 1) as usize);
        }
        start = end;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These orders must never change. `fixtures/generate/shuffle.py` computed them from the
    /// description alone.
    #[test]
    fn permutation_of_a_seed_never_changes() {
        assert_eq!(permutation(10, 42, 0), [9, 5, 3, 8, 0, 4, 7, 6, 2, 1]);
        assert_eq!(permutation(10, 42, 1), [0, 9, 1, 2, 5, 8, 6, 4, 7, 3]);
        let large = permutation(100_000, 7, 3);
        assert_eq!(
            large[..8],
            [77397, 81381, 56079, 17517, 77000, 70495, 68130, 78425]
        );
        let checksum = large.iter().enumerate().fold(0u64, |sum, (i, &row)| {
            sum.wrapping_add((i as u64 + 1).wrapping_mul(u64::from(row)))
        });
        assert_eq!(checksum, 249_645_288_434_592);
    }

    #[test]
    fn permutation_has_every_row_once() {
        for n in [0, 1, 2, 1000, 32_768, 32_769, 200_000] {
            let mut order = permutation(n, 1, 2);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..n), "{n}");
        }
    }

    /// All 24 orders of four rows come about equally often. Chi-square with 23 degrees of freedom
    /// has its 99.9 % quantile at 49.7.
    #[test]
    fn permutations_are_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for seed in 0..24_000 {
            *counts.entry(permutation(4, seed, 0)).or_insert(0i32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi_square: f64 = counts
            .values()
            .map(|&n| f64::from((n - 1000) * (n - 1000)) / 1000.0)
            .sum();
        assert!(chi_square < 49.7, "{chi_square}");
    }

    /// In a large shuffle, the new position of a row does not depend on its old one. The mean
    /// distance of two uniform positions is a third.
    #[test]
    fn permutation_mixes_over_the_whole_range() {
        let n = 200_000u32;
        let order = permutation(n, 5, 0);
        let distance: f64 = order
            .iter()
            .enumerate()
            .map(|(i, &row)| (i as f64 - f64::from(row)).abs())
            .sum();
        let mean = distance / f64::from(n) / f64::from(n);
        assert!((mean - 1.0 / 3.0).abs() < 0.005, "{mean}");
    }
}
