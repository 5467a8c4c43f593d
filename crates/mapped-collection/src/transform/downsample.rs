//! Draws a smaller number of the molecules of a row.
//!
//! # The draws, exactly
//! Each entry of the row, in ascending order of its joint column, draws from a binomial distribution
//! ([`binomial`]) whose number of trials is the count. If the total of the row in its file is wanted
//! afterwards, the molecules of all genes that the join dropped draw last, together. The random words
//! are those of the [row](generator_of_row) in its file, for the seed, the epoch and the domain
//! `downsampled rows`.

use crate::random::{Domain, generator_of_row};
use crate::transform::Depth;
use crate::transform::binomial::binomial;
use crate::transform::pipeline::RowFacts;
use crate::transform::total::Total;

const DOMAIN: &Domain = b"downsampled rows";

/// A [`Downsample`](crate::Transform::Downsample) step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Downsample {
    pub(crate) depth: Depth,
    pub(crate) seed: u64,
}

impl Downsample {
    /// Draws the entries of a row of counts, and moves those that are left to the front. Returns
    /// their number, and the total of the whole row, with the genes that the join dropped.
    pub(crate) fn draw(
        self,
        facts: &RowFacts,
        columns: &mut [u32],
        values: &mut [f64],
    ) -> (usize, f64) {
        let p = match self.depth {
            Depth::To(depth) => (depth / facts.total).min(1.0),
            Depth::Fraction(fraction) => fraction,
        };
        if p >= 1.0 || values.is_empty() {
            return (values.len(), facts.total);
        }
        let mut rng = generator_of_row(self.seed, facts.epoch, DOMAIN, (facts.store, facts.row));
        let dropped = facts.total - Total::of_slice(values).value();
        let (mut n, mut total) = (0, 0.0);
        for i in 0..values.len() {
            let drawn = binomial(values[i], p, &mut rng);
            total += drawn;
            if drawn > 0.0 {
                (columns[n], values[n]) = (columns[i], drawn);
                n += 1;
            }
        }
        (n, total + binomial(dropped.max(0.0), p, &mut rng))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(depth: Depth, facts: RowFacts, values: &[f64]) -> (Vec<u32>, Vec<f64>, f64) {
        let mut columns: Vec<u32> = (0..values.len() as u32).collect();
        let mut values = values.to_vec();
        let (n, total) = Downsample { depth, seed: 3 }.draw(&facts, &mut columns, &mut values);
        (columns[..n].to_vec(), values[..n].to_vec(), total)
    }

    #[test]
    fn downsample_keeps_a_row_of_few_molecules() {
        let facts = RowFacts {
            total: 9.0,
            ..RowFacts::default()
        };
        let (columns, values, total) = draw(Depth::To(9.0), facts, &[4.0, 2.0]);
        assert_eq!((columns, values, total), (vec![0, 1], vec![4.0, 2.0], 9.0));
        let facts = RowFacts::default();
        assert_eq!(draw(Depth::To(9.0), facts, &[]), (vec![], vec![], 0.0));
    }

    #[test]
    fn downsample_draws_the_same_for_the_same_row() {
        let facts = RowFacts {
            total: 1000.0,
            store: 2,
            row: 7,
            epoch: 1,
            ..RowFacts::default()
        };
        let counts = [1.0, 0.0, 300.0, 2.0, 500.0];
        let first = draw(Depth::To(100.0), facts, &counts);
        assert_eq!(draw(Depth::Fraction(0.1), facts, &counts), first);
        let (columns, values, total) = &first;
        assert!(!columns.contains(&1) && values.iter().all(|&value| value > 0.0));
        assert!((50.0..150.0).contains(total) && values.iter().sum::<f64>() <= *total);
        for other in [
            RowFacts { store: 1, ..facts },
            RowFacts { row: 8, ..facts },
            RowFacts { epoch: 0, ..facts },
        ] {
            assert_ne!(draw(Depth::To(100.0), other, &counts), first);
        }
    }
}
