//! Which rows an epoch has, and when each comes.
//!
//! Takes numbers of rows, a sampler, a shuffle, a seed and an epoch; returns rows of the
//! collection. It knows no file, no batch and no thread. Every result is a function of its
//! arguments alone, the same on every platform.
//!
//! ```text
//! Sampler ─▶ rows ─┐
//!                  ├─▶ Order ─▶ Schedule ─▶ the rows of batch 0, 1, 2, … of one rank and reader
//! Shuffle, seed ───┘   4 B per row   ▲
//! Matched ───────────────────────────┘       and, for each of them, a control
//! ```

pub(crate) mod blocks;
pub(crate) mod matched;
pub(crate) mod mixture;
pub(crate) mod sampler;
pub(crate) mod schedule;
pub(crate) mod shuffle;
pub(crate) mod split;
pub(crate) mod weighted;

use std::sync::Arc;

use crate::order::blocks::{blocks, pool_rows};
use crate::order::sampler::Sampler;
use crate::order::shuffle::{Purpose, generator, permutation_for};
use crate::order::weighted::{weighted_with_replacement, weighted_without_replacement};

/// How the rows of an epoch are shuffled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Shuffle {
    /// As they stand in the files.
    #[default]
    None,
    /// Every permutation is equally likely: the order that [`permutation`](crate::permutation)
    /// returns for the seed and the epoch.
    Exact,
    /// Blocks of `rows` adjacent rows in random order, and the rows mixed within pools of
    /// neighbouring blocks: 16 blocks, or as many as make 8,192 rows.
    ///
    /// For compressed files this costs little more than reading in order, while an exact shuffle
    /// with a small memory budget decodes chunks many times. The price is that rows that are
    /// neighbours in a file tend to share a pool. If a file is sorted by label, batches are less
    /// mixed than those of an exact shuffle. The label entropy of batches shows by how much;
    /// `mapped-anndata stream --json` reports it.
    Blocks {
        /// The number of rows per block.
        rows: usize,
    },
}

/// The rows of one epoch, in order.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Row `i` at position `i`.
    InOrder(usize),
    /// The row at each position: 4 bytes per row.
    Rows {
        rows: Arc<[u32]>,
        locality: Locality,
    },
}

/// Where rows that are neighbours in a file come in an order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Locality {
    /// One after the other.
    Neighbours,
    /// The rows of one block come within one pool of `pool` rows. Pools follow each other.
    Within { block: usize, pool: usize },
    /// Spread over the whole order.
    Anywhere,
}

impl Order {
    pub(crate) fn new(
        n_obs: usize,
        sampler: &Sampler,
        shuffle: Shuffle,
        seed: u64,
        epoch: u64,
    ) -> Order {
        let rows = match sampler {
            Sampler::All => None,
            Sampler::Rows(rows) | Sampler::Drawn(rows) => Some(rows.clone()),
            Sampler::Weighted { weights, .. } if weights.is_empty() => return Order::InOrder(0),
            Sampler::Weighted {
                weights,
                n_samples,
                replacement,
            } => {
                let n = n_samples.unwrap_or(n_obs);
                let stream = Purpose::Draws.stream(u64::from(!*replacement));
                let mut rng = generator(seed, epoch, stream);
                let rows = if *replacement {
                    weighted_with_replacement(weights, n, &mut rng)
                } else {
                    weighted_without_replacement(weights, n, &mut rng)
                };
                return Order::anywhere(rows);
            }
            Sampler::Mixture { groups, n_samples } => {
                return Order::anywhere(mixture::draw(groups, *n_samples, seed, epoch));
            }
        };
        let n = rows.as_ref().map_or(n_obs, |rows| rows.len());
        let (positions, locality) = match (shuffle, &rows) {
            (Shuffle::None, None) => return Order::InOrder(n),
            (Shuffle::None, Some(rows)) => {
                return Order::anywhere(rows.clone());
            }
            (Shuffle::Exact, _) => (
                permutation_for(n as u32, seed, epoch, Purpose::Rows),
                Locality::Anywhere,
            ),
            (Shuffle::Blocks { rows: block }, _) => (
                blocks(n, block, seed, epoch),
                match rows {
                    None => Locality::Within {
                        block,
                        pool: pool_rows(block),
                    },
                    Some(_) => Locality::Anywhere,
                },
            ),
        };
        let rows = match rows {
            None => positions.into(),
            Some(rows) => positions
                .into_iter()
                .map(|position| rows[position as usize])
                .collect(),
        };
        Order::Rows { rows, locality }
    }

    /// The first `n` of some rows.
    pub(crate) fn first(rows: impl Iterator<Item = u32>, n: usize) -> Order {
        Order::anywhere(rows.take(n).collect::<Vec<u32>>())
    }

    /// Rows whose neighbours come anywhere.
    fn anywhere(rows: impl Into<Arc<[u32]>>) -> Order {
        Order::Rows {
            rows: rows.into(),
            locality: Locality::Anywhere,
        }
    }

    pub(crate) fn locality(&self) -> Locality {
        match self {
            Order::InOrder(_) => Locality::Neighbours,
            Order::Rows { locality, .. } => *locality,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Order::InOrder(n) => *n,
            Order::Rows { rows, .. } => rows.len(),
        }
    }

    pub(crate) fn row(&self, position: usize) -> usize {
        match self {
            Order::InOrder(_) => position,
            Order::Rows { rows, .. } => rows[position] as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_list_is_shuffled_like_its_positions() {
        let list: Arc<[u32]> = [7, 7, 3, 9].into();
        let order = Order::new(20, &Sampler::Rows(list.clone()), Shuffle::Exact, 5, 1);
        let expected = permutation_for(4, 5, 1, Purpose::Rows);
        for (position, from) in expected.into_iter().enumerate() {
            assert_eq!(order.row(position), list[from as usize] as usize);
        }
    }
}
