//! Counts the memory of rows that were read and wait for their batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use row_pack::Level;

use crate::batch::pool::BufferPool;

/// The rows of one epoch that were read and wait for their batch.
#[derive(Debug)]
pub(crate) struct WaitingRows {
    pool: Arc<BufferPool>,
    bytes: AtomicUsize,
    /// The bytes of a block of packed rows; a longer row has a block of its own.
    block_bytes: usize,
}

/// The bounds of a block's size in bytes. Small enough to waste little at the end, and large enough
/// that few blocks make a batch.
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 512..=64 << 10;

impl WaitingRows {
    /// For batches of about `batch_bytes` bytes.
    pub(crate) fn new(pool: &Arc<BufferPool>, batch_bytes: usize) -> WaitingRows {
        let block_bytes = (batch_bytes / 16).next_power_of_two();
        WaitingRows {
            pool: pool.clone(),
            bytes: AtomicUsize::new(0),
            block_bytes: block_bytes.clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end()),
        }
    }

    pub(crate) fn pool(&self) -> &Arc<BufferPool> {
        &self.pool
    }

    /// Bytes of memory in use by them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The bytes of a block of packed rows.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Counts memory that rows begin to occupy.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.pool.add_waiting(bytes);
    }

    /// Counts memory that no row occupies any longer.
    pub(crate) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.pool.remove_waiting(bytes);
    }

    /// Counts a packed row: the most bytes that it could take, and what it took.
    pub(crate) fn count_packed(&self, level: Level, most: usize, packed: usize) {
        self.pool.count_packed(level, most, packed);
    }

    /// Returns an empty block with room for at least `n_bytes`.
    pub(crate) fn take_block(&self, n_bytes: usize) -> Vec<u8> {
        let block = self.pool.take_block(n_bytes.max(self.block_bytes));
        self.add(block.capacity());
        block
    }

    pub(crate) fn give_block(&self, block: Vec<u8>) {
        self.remove(block.capacity());
        self.pool.give_block(block);
    }
}
