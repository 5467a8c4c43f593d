//! The order of an epoch's rows: which rows, how often, and when.

pub(crate) mod schedule;
pub(crate) mod shuffle;
pub(crate) mod weighted;

use std::sync::Arc;

use crate::order::shuffle::{Purpose, permutation_for};
use crate::order::weighted::{Weights, weighted_with_replacement, weighted_without_replacement};

/// How the rows of an epoch are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shuffle {
    /// As they stand in the files.
    #[default]
    None,
    /// Every permutation equally likely: the order that [`permutation`](crate::permutation) gives
    /// for the seed and the epoch.
    Exact,
    /// Blocks of `rows` adjacent rows in random order, and the rows mixed within pools of
    /// neighbouring blocks: 16 blocks, or as many as make 8,192 rows.
    ///
    /// For compressed files this costs little more than reading in order, where an exact shuffle
    /// with a small memory budget decodes chunks many times. The price is that rows that are
    /// neighbours in a file tend to share a pool: where a file is sorted by label, batches are less
    /// mixed than those of an exact shuffle. The label entropy of batches, which
    /// `mapped-anndata stream --json` reports, tells by how much.
    Blocks {
        /// Rows of a block.
        rows: usize,
    },
}

/// Which rows an epoch has.
#[derive(Debug, Clone, Default)]
pub enum Sampler {
    /// Each row once.
    #[default]
    All,
    /// These rows, by their index in the collection; repeats are fine.
    Rows(Arc<[u32]>),
    /// Rows that a sampler outside of this crate drew for one epoch. They are read as
    /// [`Rows`](Self::Rows) are; but the next epoch may have others, so a state holds a hash of
    /// them, which counts only while the epoch is being read.
    Drawn(Arc<[u32]>),
    /// `n_samples` rows (by default, as many as there are), each drawn with a probability
    /// proportional to its weight. The draws come in random order; no shuffle applies.
    Weighted {
        /// One weight a row, not negative: `[n_obs]`.
        weights: Weights,
        /// Draws in an epoch. By default, as many as there are rows; without replacement, as many
        /// as have a positive weight.
        n_samples: Option<usize>,
        /// Whether a row may come again. Without, no more rows can be drawn than have a positive
        /// weight.
        replacement: bool,
    },
}

impl Sampler {
    /// Rows of an epoch over a collection of `n_obs` rows.
    pub(crate) fn n_rows(&self, n_obs: usize) -> usize {
        match self {
            Sampler::All => n_obs,
            Sampler::Rows(rows) | Sampler::Drawn(rows) => rows.len(),
            Sampler::Weighted { weights, .. } if weights.is_empty() => 0,
            Sampler::Weighted {
                weights,
                n_samples,
                replacement,
            } => {
                let n = n_samples.unwrap_or(n_obs);
                if *replacement {
                    n
                } else {
                    n.min(weights.iter().filter(|&&weight| weight > 0.0).count())
                }
            }
        }
    }
}

/// Rows in the pool that [`Shuffle::Blocks`] mixes, at least.
const POOL_ROWS: usize = 8192;
const POOL_BLOCKS: usize = 16;

/// The rows of one epoch, in order.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Row `i` at position `i`.
    InOrder(usize),
    /// The row at each position: 4 bytes a row.
    Rows {
        rows: Arc<[u32]>,
        together: Together,
    },
}

/// Where in an order the rows come that lie together in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Together {
    /// One after the other.
    Neighbours,
    /// Those of one block all within one pool of so many rows; pools follow each other.
    Within { block: usize, pool: usize },
    /// Spread over the whole order.
    Anywhere,
}

fn pool_rows(block: usize) -> usize {
    block.saturating_mul(POOL_BLOCKS.max(POOL_ROWS.div_ceil(block)))
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
                let rows = if *replacement {
                    weighted_with_replacement(weights, n, seed, epoch)
                } else {
                    weighted_without_replacement(weights, n, seed, epoch)
                };
                return Order::Rows {
                    rows,
                    together: Together::Anywhere,
                };
            }
        };
        let n = rows.as_ref().map_or(n_obs, |rows| rows.len());
        let (positions, together) = match (shuffle, &rows) {
            (Shuffle::None, None) => return Order::InOrder(n),
            (Shuffle::None, Some(rows)) => {
                return Order::Rows {
                    rows: rows.clone(),
                    together: Together::Anywhere,
                };
            }
            (Shuffle::Exact, _) => (
                permutation_for(n as u32, seed, epoch, Purpose::Rows),
                Together::Anywhere,
            ),
            (Shuffle::Blocks { rows: block }, _) => (
                blocks(n, block, seed, epoch),
                match rows {
                    None => Together::Within {
                        block,
                        pool: pool_rows(block),
                    },
                    Some(_) => Together::Anywhere,
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
        Order::Rows { rows, together }
    }

    pub(crate) fn together(&self) -> Together {
        match self {
            Order::InOrder(_) => Together::Neighbours,
            Order::Rows { together, .. } => *together,
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

fn blocks(n: usize, block: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let block = block.min(n.max(1));
    let n_blocks = n.div_ceil(block);
    let mut order = Vec::with_capacity(n);
    for number in permutation_for(n_blocks as u32, seed, epoch, Purpose::Blocks) {
        let start = number as usize * block;
        order.extend((start..n.min(start + block)).map(|row| row as u32));
    }
    let pool = pool_rows(block);
    for (number, rows) in order.chunks_mut(pool).enumerate() {
        let mixed = permutation_for(rows.len() as u32, seed, epoch, Purpose::Pool(number as u32));
        let before = rows.to_vec();
        rows.iter_mut()
            .zip(mixed)
            .for_each(|(row, from)| *row = before[from as usize]);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_every_row_once_and_keep_neighbours_near() {
        for (n, block) in [(0, 4), (10, 4), (100_000, 32), (100_000, 2048)] {
            let order = blocks(n, block, 1, 0);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..n as u32));
            let pool = pool_rows(block);
            let at = |row: u32| {
                order
                    .iter()
                    .position(|&r| r == row)
                    .expect("every row comes")
            };
            if n > block {
                assert_eq!(
                    at(0) / pool,
                    at(block as u32 - 1) / pool,
                    "a block stays in one pool"
                );
            }
        }
    }

    #[test]
    fn a_list_of_rows_is_shuffled_as_its_positions_are() {
        let list: Arc<[u32]> = [7, 7, 3, 9].into();
        let order = Order::new(20, &Sampler::Rows(list.clone()), Shuffle::Exact, 5, 1);
        let expected = permutation_for(4, 5, 1, Purpose::Rows);
        for (position, from) in expected.into_iter().enumerate() {
            assert_eq!(order.row(position), list[from as usize] as usize);
        }
    }
}
