//! Weighted draws of rows.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use crate::random::unit;

/// Draws rows with probabilities proportional to their weights, by the alias method. Each draw
/// takes the same time, whatever the number of rows.
///
/// # Panics
/// When no weight is positive, or there are 2^32 rows or more. The loader checks both when it is
/// made.
pub(crate) fn weighted_with_replacement(
    weights: &[f64],
    n: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    let table = Alias::new(weights);
    (0..n)
        .map(|_| table.draw(rng.next_u64(), unit(rng)))
        .collect()
}

/// Draws rows one after the other, each from those left, with probabilities proportional to their
/// weights. These are the rows with the smallest `-ln(u) / weight`, ascending.
pub(crate) fn weighted_without_replacement(
    weights: &[f64],
    n: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    let mut keys: Vec<(f64, u32)> = Vec::new();
    for (row, &weight) in weights.iter().enumerate() {
        // Every row draws a number, so that the weights of other rows do not change its own.
        let key = -libm::log(1.0 - unit(rng)) / weight;
        if weight > 0.0 {
            keys.push((key, row as u32));
        }
    }
    let n = n.min(keys.len());
    let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if n < keys.len() && n > 0 {
        keys.select_nth_unstable_by(n - 1, order);
    }
    keys.truncate(n);
    keys.sort_unstable_by(order);
    keys.into_iter().map(|(_, row)| row).collect()
}

/// Walker's alias table, in 16 bytes per row.
struct Alias {
    /// For each column, the chance to stay with it when it is hit, and the row to take otherwise.
    columns: Vec<(f64, u32)>,
}

impl Alias {
    fn new(weights: &[f64]) -> Alias {
        let total: f64 = weights.iter().sum();
        assert!(total > 0.0, "a positive weight is needed");
        let scale = weights.len() as f64 / total;
        let mut columns: Vec<(f64, u32)> = weights
            .iter()
            .zip(0u32..)
            .map(|(&weight, row)| (weight * scale, row))
            .collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..columns.len() as u32).partition(|&row| columns[row as usize].0 < 1.0);
        while let (Some(&low), Some(&high)) = (small.last(), large.last()) {
            small.pop();
            let rest = columns[high as usize].0 - (1.0 - columns[low as usize].0);
            columns[low as usize].1 = high;
            columns[high as usize].0 = rest;
            if rest < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        // The rest is 1 except for rounding. A row without weight must never be drawn.
        let heaviest = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        let heaviest = heaviest.expect("a positive weight was found") as u32;
        for row in small.into_iter().chain(large) {
            let weightless = weights[row as usize] == 0.0;
            columns[row as usize] = if weightless {
                (0.0, heaviest)
            } else {
                (1.0, row)
            };
        }
        Alias { columns }
    }

    fn draw(&self, word: u64, unit: f64) -> u32 {
        let n = self.columns.len() as u64;
        let column = ((u128::from(word) * u128::from(n)) >> 64) as usize;
        let (keep, alias) = self.columns[column];
        if unit < keep { column as u32 } else { alias }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::shuffle::{Purpose, generator};

    fn rng(seed: u64) -> ChaCha8Rng {
        generator(seed, 0, Purpose::Draws.stream(0))
    }

    fn counts(rows: &[u32], n: usize) -> Vec<usize> {
        let mut counts = vec![0; n];
        rows.iter().for_each(|&row| counts[row as usize] += 1);
        counts
    }

    #[test]
    fn weighted_draws_follow_the_weights() {
        let weights = [0.5, 0.0, 3.0, 1.0, 0.25, 0.25];
        let n = 200_000;
        let counts = counts(&weighted_with_replacement(&weights, n, &mut rng(9)), 6);
        for (count, weight) in counts.iter().zip(weights) {
            let expected = n as f64 * weight / 5.0;
            assert!(
                (*count as f64 - expected).abs() <= 4.0 * expected.sqrt(),
                "{counts:?}"
            );
        }
        assert_eq!(counts[1], 0);
    }

    #[test]
    fn draws_without_replacement_are_distinct_and_heavy_rows_come_first() {
        let mut weights = vec![1.0; 1000];
        weights[..100].fill(0.0);
        weights[900..].fill(50.0);
        let rows = weighted_without_replacement(&weights, 5000, &mut rng(1));
        assert_eq!(rows.len(), 900);
        assert!(counts(&rows, 1000).into_iter().all(|count| count <= 1));
        let heavy = rows[..100].iter().filter(|&&row| row >= 900).count();
        assert!(heavy > 70, "{heavy} of the first hundred");
        assert_eq!(
            weighted_without_replacement(&weights, 10, &mut rng(1))[..],
            rows[..10]
        );
    }

    #[test]
    fn first_draw_without_replacement_follows_the_weights() {
        let weights = [1.0, 2.0, 5.0];
        let mut first = [0.0f64; 3];
        (0..20_000).for_each(|seed| {
            first[weighted_without_replacement(&weights, 1, &mut rng(seed))[0] as usize] += 1.0;
        });
        for (count, weight) in first.iter().zip(weights) {
            let expected = 20_000.0 * weight / 8.0;
            assert!(
                (count - expected).abs() < 4.0 * expected.sqrt(),
                "{first:?}"
            );
        }
    }
}
