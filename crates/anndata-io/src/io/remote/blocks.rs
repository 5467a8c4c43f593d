//! Blocks of the structure of a file, which is read in small pieces that lie close together.

use crate::io::lock::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The bytes of a block.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;
/// The most blocks that are kept, for each object.
const MOST_BLOCKS: usize = 32;
/// The most blocks of one request.
const MOST_TOGETHER: u64 = 16;

/// The blocks that were read last.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: BTreeMap<u64, Block>,
    /// The block after the last request, and how many blocks that one had.
    next: u64,
    n_together: u64,
    n_reads: u64,
}

#[derive(Debug)]
struct Block {
    bytes: Arc<Vec<u8>>,
    last_read: u64,
}

impl Blocks {
    /// Returns a block, from `fetch` if it is not there. That receives a number of blocks: reads of
    /// one block after the other fetch more and more of them together.
    pub(super) fn get<E>(
        &self,
        number: u64,
        n_blocks: u64,
        fetch: impl FnOnce(u64) -> Result<Vec<u8>, E>,
    ) -> Result<Arc<Vec<u8>>, E> {
        // The lock is held while blocks are fetched, so that nobody fetches them twice.
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.n_reads += 1;
        if let Some(block) = state.blocks.get_mut(&number) {
            block.last_read = state.n_reads;
            return Ok(block.bytes.clone());
        }
        let follows = number == state.next && number > 0;
        let n_together = match follows {
            true => (2 * state.n_together).clamp(1, MOST_TOGETHER),
            false => 1,
        };
        let n_together = n_together.min(n_blocks - number).max(1);
        let fetched = fetch(n_together)?;
        (state.next, state.n_together) = (number + n_together, n_together);
        for (at, bytes) in (number..).zip(fetched.chunks(BLOCK_BYTES as usize)) {
            let block = Block {
                bytes: Arc::new(bytes.to_vec()),
                last_read: state.n_reads,
            };
            state.blocks.insert(at, block);
        }
        let found = state.blocks.get(&number).map(|block| block.bytes.clone());
        while state.blocks.len() > MOST_BLOCKS {
            let oldest = state.blocks.iter().min_by_key(|(_, block)| block.last_read);
            let oldest = oldest.map(|(&number, _)| number);
            oldest.and_then(|oldest| state.blocks.remove(&oldest));
        }
        Ok(found.unwrap_or_default())
    }

    /// Gives up all blocks.
    pub(super) fn clear(&self) {
        let mut state = lock(&self.state);
        state.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_fetched_once_and_more_of_them_together() {
        let blocks = Blocks::default();
        let mut fetched = Vec::new();
        for number in [5, 5, 6, 7, 8, 9, 10, 11, 12, 3, 13, 5] {
            let bytes = blocks.get(number, 12 + 2, |n_blocks| {
                fetched.push((number, n_blocks));
                let bytes =
                    (number..number + n_blocks).flat_map(|n| [n as u8; BLOCK_BYTES as usize]);
                Ok::<_, ()>(bytes.collect())
            });
            assert_eq!(
                *bytes.expect("fetched"),
                [number as u8; BLOCK_BYTES as usize]
            );
        }
        assert_eq!(fetched, [(5, 1), (6, 2), (8, 4), (12, 2), (3, 1)]);
        let nothing = blocks.get(40, 41, |_| Err::<Vec<u8>, _>("no answer"));
        assert_eq!(nothing, Err("no answer"));
    }
}
