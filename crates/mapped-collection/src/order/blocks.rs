//! Blocks of neighbouring rows in random order, mixed within pools of blocks.

use crate::order::shuffle::{Purpose, permutation_for};

/// The fewest rows in a pool of [`Shuffle::Blocks`](crate::Shuffle::Blocks).
const POOL_ROWS: usize = 8192;
const POOL_BLOCKS: usize = 16;

/// The number of rows in a pool of blocks of `block` rows.
pub(crate) fn pool_rows(block: usize) -> usize {
    block.saturating_mul(POOL_BLOCKS.max(POOL_ROWS.div_ceil(block)))
}

/// The order of `n` rows. Permutes the blocks, then the rows of each pool.
pub(crate) fn blocks(n: usize, block: usize, seed: u64, epoch: u64) -> Vec<u32> {
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
}
