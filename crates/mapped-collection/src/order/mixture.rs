//! Draws fixed numbers of rows from several groups.
//!
//! # The draws, exactly
//! The draws are [divided](divide) among groups, group `g` draws its rows, then all draws are put into the order that
//! [`permutation`](crate::permutation) returns for their number. Random words are those of
//! [`shuffle`](crate::order::shuffle), from the streams `2^52 + g * 2^20 + s`.
//!
//! Of `n` rows without weights, a group takes the first rows of a permutation of them. If it has
//! fewer rows than draws, each draw is `below(n)` of stream 0. With weights, it draws as a weighted
//! sampler does, from stream 0: without replacement if enough weights are positive.

use std::sync::Arc;

use crate::order::shuffle::{Purpose, below, generator, permutation_for};
use crate::order::weighted::{weighted_with_replacement, weighted_without_replacement};

/// A group of rows that has a share of the draws: part of a [`Sampler::Mixture`].
///
/// A group draws without replacement, unless it has fewer rows (of positive weight) than draws;
/// then it draws with replacement.
///
/// [`Sampler::Mixture`]: crate::Sampler::Mixture
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
// Exhaustive: callers make groups of their own.
pub struct MixtureGroup {
    /// Rows by index in the collection.
    pub rows: Arc<[u32]>,
    /// The part of the draws that the group has, in proportion to those of other groups.
    pub share: f64,
    /// One weight per row of the group, not negative. By default, all rows are equally likely.
    #[cfg_attr(feature = "serde", serde(default))]
    pub weights: Option<Arc<[f64]>>,
}

impl MixtureGroup {
    /// Whether a row of the group, by its position, may be drawn.
    fn may_draw(&self, at: usize) -> bool {
        self.share > 0.0
            && self
                .weights
                .as_ref()
                .is_none_or(|weights| weights[at] > 0.0)
    }

    /// The rows that may be drawn.
    pub(crate) fn drawable(&self) -> impl Iterator<Item = u32> {
        let rows = self.rows.iter().enumerate();
        rows.filter(|(at, _)| self.may_draw(*at))
            .map(|(_, &row)| row)
    }

    /// The same share of only some of the rows; none without a row to draw.
    pub(crate) fn keep(&self, keeps: impl Fn(u32) -> bool) -> MixtureGroup {
        let kept = |at: &usize| keeps(self.rows[*at]);
        let kept: Vec<usize> = (0..self.rows.len()).filter(kept).collect();
        let weights = self.weights.as_ref();
        let is_drawable = kept.iter().any(|&at| self.may_draw(at));
        MixtureGroup {
            rows: kept.iter().map(|&at| self.rows[at]).collect(),
            share: if is_drawable { self.share } else { 0.0 },
            weights: weights.map(|weights| kept.iter().map(|&at| weights[at]).collect()),
        }
    }

    /// Draws `n` rows of group `number`.
    fn draw(&self, number: u32, n: usize, seed: u64, epoch: u64) -> Vec<u32> {
        let purpose = Purpose::Group(number);
        let mut rng = generator(seed, epoch, purpose.stream(0));
        let rows = &self.rows;
        let positions = match &self.weights {
            _ if n == 0 => Vec::new(),
            None if n <= rows.len() => {
                let mut order = permutation_for(rows.len() as u32, seed, epoch, purpose);
                order.truncate(n);
                order
            }
            None => (0..n).map(|_| below(&mut rng, rows.len() as u32)).collect(),
            Some(weights) if n <= self.drawable().count() => {
                weighted_without_replacement(weights, n, &mut rng)
            }
            Some(weights) => weighted_with_replacement(weights, n, &mut rng),
        };
        positions.into_iter().map(|at| rows[at as usize]).collect()
    }
}

/// The `n` rows of an epoch of a mixture, in random order.
///
/// # Panics
/// When a group has a share but no row to draw. The loader checks this when it is made.
pub(crate) fn draw(groups: &[MixtureGroup], n: usize, seed: u64, epoch: u64) -> Arc<[u32]> {
    let shares: Vec<f64> = groups.iter().map(|group| group.share).collect();
    let numbered = groups.iter().zip(0u32..).zip(divide(n, &shares));
    let draws = numbered.flat_map(|((group, number), n)| group.draw(number, n, seed, epoch));
    let drawn: Vec<u32> = draws.collect();
    let order = permutation_for(drawn.len() as u32, seed, epoch, Purpose::Rows);
    order.into_iter().map(|at| drawn[at as usize]).collect()
}

/// Divides `n` draws in proportion to shares, by the largest remainder: each group has its quota,
/// rounded down, and the groups with the largest fractions have one more. Of equal fractions, the
/// first comes first.
///
/// The shares must be finite and not negative; with draws, `n` times their sum must be finite, and
/// the sum not 0.
fn divide(n: usize, shares: &[f64]) -> Vec<usize> {
    let sum: f64 = shares.iter().sum();
    let quotas: Vec<f64> = shares.iter().map(|share| n as f64 * share / sum).collect();
    let mut counts: Vec<usize> = quotas.iter().map(|quota| *quota as usize).collect();
    let rest = n.saturating_sub(counts.iter().sum());
    let mut order: Vec<usize> = (0..quotas.len()).collect();
    order.sort_by(|&a, &b| quotas[b].fract().total_cmp(&quotas[a].fract()));
    for &group in order.iter().take(rest) {
        counts[group] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(rows: std::ops::Range<u32>, share: f64, weights: Option<Vec<f64>>) -> MixtureGroup {
        MixtureGroup {
            rows: rows.collect(),
            share,
            weights: weights.map(Into::into),
        }
    }

    #[test]
    fn divided_draws_go_to_the_largest_remainders() {
        assert_eq!(divide(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
        assert_eq!(divide(7, &[0.5, 0.0, 0.25, 0.25]), [3, 0, 2, 2]);
        assert_eq!(divide(5, &[1e300, 1e-300]), [5, 0]);
        assert_eq!(divide(0, &[1.0]), [0]);
    }

    #[test]
    fn mixture_draws_each_row_once_where_a_group_has_enough() {
        let groups = [group(0..100, 0.6, None), group(100..110, 0.4, None)];
        let drawn = draw(&groups, 100, 3, 1);
        let (mut large, small): (Vec<u32>, Vec<u32>) = drawn.iter().partition(|&&row| row < 100);
        large.sort_unstable();
        large.dedup();
        assert_eq!((large.len(), small.len()), (60, 40));
        assert!(small.iter().all(|row| (100..110).contains(row)));
        assert_ne!(drawn, draw(&groups, 100, 3, 2));
        // The two groups are mixed.
        let first = drawn[..50].iter().filter(|&&row| row < 100).count();
        assert!((20..40).contains(&first), "{first}");
    }

    /// These draws must never change. `fixtures/generate/draws.py` computed them from the
    /// description alone.
    #[test]
    fn draws_of_a_seed_never_change() {
        let groups = [
            group(0..40_000, 3.0, None),
            group(40_000..40_003, 7.0, None),
            group(0..0, 0.0, None),
        ];
        let expected = [
            40002, 25966, 40002, 40001, 5795, 40002, 40001, 40001, 40000, 37486,
        ];
        assert_eq!(draw(&groups, 10, 42, 3)[..], expected);
    }

    #[test]
    fn weights_of_a_mixture_choose_within_a_group() {
        let weights = vec![0.0, 3.0, 1.0];
        let few = draw(&[group(5..8, 1.0, Some(weights.clone()))], 2, 1, 0);
        assert!(few.contains(&6) && few.contains(&7), "{few:?}");
        let many = draw(&[group(5..8, 1.0, Some(weights))], 40_000, 1, 0);
        let heavy = many.iter().filter(|&&row| row == 6).count();
        assert!(
            !many.contains(&5) && heavy.abs_diff(30_000) < 400,
            "{heavy}"
        );
    }
}
