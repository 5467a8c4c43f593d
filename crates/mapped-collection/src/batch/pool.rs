//! Memory of batches: how much rows take that wait, and buffers used again, because memory that was
//! never touched is slow to touch.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use anndata_io::{DType, Values};

use crate::batch::Matrix;
use crate::batch::matrix_slots::Indices;

/// Columns and values of sparse rows; no columns for dense ones.
type Buffers = (Vec<u32>, Values);

/// Buffers that no batch uses.
///
/// Nobody waits for it: when its lock is taken, as it may be for ever in a forked child, buffers
/// are made and dropped as usual.
#[derive(Debug)]
pub(crate) struct Recycler {
    spare: Mutex<Spare>,
    /// Bytes of rows that wait, in all epochs.
    waiting: AtomicUsize,
    /// The most bytes to keep, less those that wait.
    limit: AtomicUsize,
    /// Bytes of rows before they were packed, and after.
    unpacked: AtomicU64,
    packed: AtomicU64,
}

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Buffers>,
    blocks: Vec<Vec<u64>>,
    bytes: usize,
}

fn n_bytes((columns, values): &Buffers) -> usize {
    columns.capacity() * 4 + values.capacity() * values.dtype().size()
}

impl Recycler {
    pub(crate) fn new(limit: usize) -> Recycler {
        Recycler {
            spare: Mutex::default(),
            waiting: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            unpacked: AtomicU64::new(0),
            packed: AtomicU64::new(0),
        }
    }

    /// Changes how many bytes to keep at most.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// `len` elements of any value, and as many columns if they are `sparse`.
    pub(crate) fn take(&self, dtype: DType, len: usize, sparse: bool) -> Buffers {
        let found = self.spare.try_lock().ok().and_then(|mut spare| {
            let alike = |(columns, values): &Buffers| {
                values.dtype() == dtype && (columns.capacity() > 0) == sparse
            };
            // The last one is the likeliest to be in the processor's cache.
            let at = spare.buffers.iter().rposition(alike)?;
            let buffers = spare.buffers.swap_remove(at);
            spare.bytes -= n_bytes(&buffers);
            Some(buffers)
        });
        let fits = |(columns, values): &Buffers| {
            values.capacity() >= len && (!sparse || columns.capacity() >= len)
        };
        match found.filter(fits) {
            Some((mut columns, mut values)) => {
                values.resize(len);
                columns.resize(if sparse { len } else { 0 }, 0);
                (columns, values)
            }
            None => {
                // Fresh zeros cost no memory before they are written: room for longer rows, later.
                let room = len + len / 8;
                let mut columns = vec![0; if sparse { room } else { 0 }];
                let mut values = Values::zeros(dtype, room);
                values.resize(len);
                columns.truncate(len);
                (columns, values)
            }
        }
    }

    pub(crate) fn give(&self, buffers: Buffers) {
        self.keep(n_bytes(&buffers), |spare| spare.buffers.push(buffers));
    }

    fn keep(&self, bytes: usize, push: impl FnOnce(&mut Spare)) {
        if let Ok(mut spare) = self.spare.try_lock()
            && self.waiting.load(Ordering::Relaxed) + spare.bytes + bytes
                <= self.limit.load(Ordering::Relaxed)
        {
            spare.bytes += bytes;
            push(&mut spare);
        }
    }

    /// Bytes of rows that wait.
    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Bytes that packed rows take, as a part of what they take at most: what was seen so far.
    pub(crate) fn packing(&self) -> f64 {
        let unpacked = self.unpacked.load(Ordering::Relaxed);
        if unpacked < 1 << 16 {
            return 1.0;
        }
        self.packed.load(Ordering::Relaxed) as f64 / unpacked as f64
    }
}

impl Drop for Recycler {
    /// Gives memory back to the system, too. glibc keeps what is freed in the middle of an arena:
    /// without this, loaders made one after the other, each of 1 GiB, left 2 GB with the process.
    fn drop(&mut self) {
        std::mem::take(&mut self.spare);
        // SAFETY: it takes a number, and no memory that is in use is touched.
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// The rows of one epoch that were read and wait for their batch.
#[derive(Debug)]
pub(crate) struct Waiting {
    recycler: Arc<Recycler>,
    bytes: AtomicUsize,
    /// Words of a block of packed rows; a longer row has a block of its own.
    block_words: usize,
}

/// Bounds of the bytes of a block: few are wasted at the end of one, and few blocks make a batch.
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 512..=64 << 10;

impl Waiting {
    /// For batches of about so many bytes.
    pub(crate) fn new(recycler: &Arc<Recycler>, batch_bytes: usize) -> Waiting {
        let block_bytes = (batch_bytes / 16).next_power_of_two();
        Waiting {
            recycler: recycler.clone(),
            bytes: AtomicUsize::new(0),
            block_words: block_bytes.clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end()) / 8,
        }
    }

    pub(crate) fn recycler(&self) -> &Arc<Recycler> {
        &self.recycler
    }

    /// Bytes of memory in use by them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of a block of packed rows.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_words * 8
    }

    /// Counts memory that rows begin to wait in.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.recycler.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts memory that no row waits in any more.
    pub(crate) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.recycler.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a row that was packed.
    pub(crate) fn count_packed(&self, unpacked: usize, packed: usize) {
        let Recycler {
            unpacked: all,
            packed: taken,
            ..
        } = &*self.recycler;
        all.fetch_add(unpacked as u64, Ordering::Relaxed);
        taken.fetch_add(packed as u64, Ordering::Relaxed);
    }

    /// At least `n_words` words of 8 bytes, of any value.
    pub(crate) fn take_block(&self, n_words: usize) -> Vec<u64> {
        let found = self.recycler.spare.try_lock().ok().and_then(|mut spare| {
            let block = spare.blocks.pop()?;
            spare.bytes -= block.len() * 8;
            Some(block)
        });
        let n_words = n_words.max(self.block_words);
        let block = found.filter(|block| block.len() >= n_words);
        let block = block.unwrap_or_else(|| vec![0; n_words]);
        self.add(block.len() * 8);
        block
    }

    pub(crate) fn give_block(&self, block: Vec<u64>) {
        let bytes = block.len() * 8;
        self.remove(bytes);
        self.recycler.keep(bytes, |spare| spare.blocks.push(block));
    }
}

/// Where the buffers of a batch go when it is dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Home(pub(crate) Weak<Recycler>);

impl Home {
    /// Takes the buffers of matrices that nobody will read any more.
    pub(crate) fn take_back(&self, matrices: &mut Vec<(String, Matrix)>) {
        let Some(recycler) = self.0.upgrade() else {
            return;
        };
        for (_, matrix) in matrices.drain(..) {
            match matrix {
                Matrix::Dense { values, .. } => recycler.give((Vec::new(), values)),
                Matrix::Csr {
                    indices: Indices::I32(columns),
                    values,
                    ..
                } => {
                    let columns = bytemuck::allocation::cast_vec::<i32, u32>(columns);
                    recycler.give((columns, values));
                }
                Matrix::Csr { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let recycler = Arc::new(Recycler::new(1 << 20));
        let (columns, values) = recycler.take(DType::F32, 100, true);
        let address = |values: &Values| values.as_slice().as_bytes().as_ptr();
        let at = address(&values);
        let home = Home(Arc::downgrade(&recycler));
        let columns = bytemuck::allocation::cast_vec::<u32, i32>(columns);
        let matrix = Matrix::Csr {
            shape: [1, 9],
            indptr: Indices::I32(vec![0, 100]),
            indices: Indices::I32(columns),
            values,
        };
        home.take_back(&mut vec![("X".to_owned(), matrix)]);
        assert_ne!(address(&recycler.take(DType::F64, 90, true).1), at);
        // Longer rows fit in the room that was left for them.
        let (columns, values) = recycler.take(DType::F32, 110, true);
        assert_eq!((columns.len(), values.len()), (110, 110));
        assert_eq!(address(&values), at);
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let recycler = Arc::new(Recycler::new(1000));
        let waiting = Waiting::new(&recycler, 0);
        recycler.give((Vec::new(), Values::zeros(DType::F64, 100)));
        recycler.give((Vec::new(), Values::zeros(DType::F64, 100)));
        let block = waiting.take_block(50);
        assert_eq!(waiting.bytes(), 512);
        waiting.give_block(block);
        assert_eq!(waiting.bytes(), 0);
        let spare = recycler.spare.lock().expect("free");
        assert_eq!((spare.buffers.len(), spare.blocks.len()), (1, 0));
        assert_eq!(spare.bytes, 800);
    }

    #[test]
    fn packing_is_what_was_seen() {
        let waiting = Waiting::new(&Arc::new(Recycler::new(0)), 0);
        assert_eq!(waiting.recycler().packing(), 1.0);
        waiting.count_packed(1 << 20, 1 << 19);
        assert_eq!(waiting.recycler().packing(), 0.5);
    }
}
