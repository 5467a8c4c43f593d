//! Reuses buffers: the first write to fresh memory is slow.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use anndata_io::{DType, PackRoom, Values};
use row_pack::Level;

use crate::batch::matrix::{CsrIndex, Matrix};

/// Columns and values of sparse rows; no columns for dense ones.
type Buffers = (Vec<u32>, Values);

/// Below twice this number of elements, no dense buffer is too large for any matrix.
const MUCH: usize = 1 << 14;

/// Spare buffers, which no batch uses.
///
/// Its lock is only ever tried. If it is held, in a forked child possibly for ever, buffers are
/// allocated and freed as usual.
#[derive(Debug)]
pub(crate) struct BufferPool {
    spare: Mutex<Spare>,
    /// Bytes of waiting rows, in all epochs.
    waiting: AtomicUsize,
    /// The bytes of packs leave less room, too.
    packs: Arc<PackRoom>,
    /// The most bytes to keep, before the waiting bytes and those of packs are subtracted.
    limit: AtomicUsize,
    /// How rows packed so far, in whole bytes and in bits.
    packing: [Packing; 2],
}

/// Bytes of rows: the most that they could take, and what they took.
#[derive(Debug, Default)]
struct Packing {
    most: AtomicU64,
    packed: AtomicU64,
}

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Buffers>,
    blocks: Vec<Vec<u8>>,
    bytes: usize,
}

fn n_bytes((columns, values): &Buffers) -> usize {
    columns.capacity() * 4 + values.capacity() * values.dtype().size()
}

impl BufferPool {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> BufferPool {
        let packs = Arc::new(PackRoom::new(0));
        BufferPool {
            packs,
            spare: Mutex::default(),
            waiting: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            packing: Default::default(),
        }
    }

    /// The bytes of these packs count as used.
    pub(crate) fn beside(self, packs: &Arc<PackRoom>) -> BufferPool {
        let packs = packs.clone();
        BufferPool { packs, ..self }
    }

    /// Sets the most bytes to keep.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns `len` elements with unspecified values, and whether all are zero.
    pub(crate) fn take_dense(&self, dtype: DType, len: usize) -> (Values, bool) {
        match self.take(dtype, len, false) {
            Some((_, values)) => (values, false),
            None => (Values::zeros(dtype, len), true),
        }
    }

    /// Returns `len` columns and elements with unspecified values.
    pub(crate) fn take_sparse(&self, dtype: DType, len: usize) -> Buffers {
        if let Some(buffers) = self.take(dtype, len, true) {
            return buffers;
        }
        // Fresh zeros cost no memory until they are written, so this leaves room for longer rows
        // later.
        let room = len + len / 8;
        let (mut columns, mut values) = (vec![0; room], Values::zeros(dtype, room));
        columns.truncate(len);
        values.resize(len);
        (columns, values)
    }

    /// Returns spare buffers of this length. If no buffers fit, drops the oldest of their kind: they
    /// would only pile up.
    fn take(&self, dtype: DType, len: usize, sparse: bool) -> Option<Buffers> {
        let mut spare = self.spare.try_lock().ok()?;
        let is_alike = |(columns, values): &Buffers| {
            values.dtype() == dtype && (columns.capacity() > 0) == sparse
        };
        let fits = |buffers: &Buffers| {
            let (columns, values) = (buffers.0.capacity(), buffers.1.capacity());
            is_alike(buffers)
                && values >= len
                // A batch would keep the rest of a much larger one.
                && if sparse { columns >= len } else { values / 2 <= len.max(MUCH) }
        };
        // The last buffer is the likeliest to be in the processor's cache.
        let found = spare.buffers.iter().rposition(fits);
        let at = found.or_else(|| spare.buffers.iter().position(is_alike))?;
        let buffers = spare.buffers.remove(at);
        spare.bytes -= n_bytes(&buffers);
        drop(spare);
        found?;
        let (mut columns, mut values) = buffers;
        values.resize(len);
        columns.resize(if sparse { len } else { 0 }, 0);
        Some((columns, values))
    }

    /// Takes back buffers that are no longer used.
    pub(super) fn give(&self, buffers: Buffers) {
        self.keep(n_bytes(&buffers), |spare| spare.buffers.push(buffers));
    }

    fn keep(&self, bytes: usize, push: impl FnOnce(&mut Spare)) {
        if let Ok(mut spare) = self.spare.try_lock()
            && self.waiting.load(Ordering::Relaxed) + self.packs.bytes() + spare.bytes + bytes
                <= self.limit.load(Ordering::Relaxed)
        {
            spare.bytes += bytes;
            push(&mut spare);
        }
    }

    /// Takes back the buffers of a matrix that nobody will read again.
    pub(super) fn give_matrix(&self, matrix: Matrix) {
        match matrix {
            // One value per row: too little to be worth a place.
            Matrix::Dense { shape, .. } if shape.len() == 1 => {}
            Matrix::Dense { values, .. } => self.give((Vec::new(), values)),
            Matrix::Csr {
                indices: CsrIndex::I32(columns),
                values,
                ..
            } => {
                let columns = bytemuck::allocation::cast_vec::<i32, u32>(columns);
                self.give((columns, values));
            }
            Matrix::Csr { .. } => {}
        }
    }

    /// Returns an empty block with room for at least `n_bytes`.
    pub(super) fn take_block(&self, n_bytes: usize) -> Vec<u8> {
        let found = self.spare.try_lock().ok().and_then(|mut spare| {
            let block = spare.blocks.pop()?;
            spare.bytes -= block.capacity();
            Some(block)
        });
        let block = found.filter(|block| block.capacity() >= n_bytes);
        block.unwrap_or_else(|| Vec::with_capacity(n_bytes))
    }

    pub(super) fn give_block(&self, mut block: Vec<u8>) {
        block.clear();
        self.keep(block.capacity(), |spare| spare.blocks.push(block));
    }

    /// Counts bytes that rows begin to occupy. They leave less room for spare buffers.
    pub(super) fn add_waiting(&self, bytes: usize) {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn remove_waiting(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a packed row: the most bytes that it could take, and what it took.
    pub(crate) fn count_packed(&self, level: Level, most: usize, packed: usize) {
        let counts = &self.packing[usize::from(level == Level::Bits)];
        counts.most.fetch_add(most as u64, Ordering::Relaxed);
        counts.packed.fetch_add(packed as u64, Ordering::Relaxed);
    }

    /// The fraction of their largest possible size that rows packed at this level have taken so
    /// far; `None` if too few rows were packed to know.
    pub(crate) fn packing(&self, level: Level) -> Option<f64> {
        let counts = &self.packing[usize::from(level == Level::Bits)];
        let most = counts.most.load(Ordering::Relaxed);
        let packed = counts.packed.load(Ordering::Relaxed) as f64;
        (most >= 1 << 16).then_some(packed / most as f64)
    }
}

/// The way back to the pool for the buffers of a dropped batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolHandle(pub(crate) Weak<BufferPool>);

impl PoolHandle {
    /// Takes back the buffers of matrices that nobody will read again.
    pub(crate) fn take_back(&self, matrices: &mut Vec<(String, Matrix)>) {
        let Some(pool) = self.0.upgrade() else {
            return;
        };
        for (_, matrix) in matrices.drain(..) {
            pool.give_matrix(matrix);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::waiting::WaitingRows;

    #[test]
    fn pool_returns_buffers_of_dropped_batches() {
        let pool = Arc::new(BufferPool::new(1 << 20));
        let (columns, values) = pool.take_sparse(DType::F32, 100);
        let address = |values: &Values| values.as_slice().as_bytes().as_ptr();
        let at = address(&values);
        let handle = PoolHandle(Arc::downgrade(&pool));
        let columns = bytemuck::allocation::cast_vec::<u32, i32>(columns);
        let matrix = Matrix::Csr {
            shape: [1, 9],
            indptr: CsrIndex::I32(vec![0, 100]),
            indices: CsrIndex::I32(columns),
            values,
        };
        handle.take_back(&mut vec![("X".to_owned(), matrix)]);
        assert_ne!(address(&pool.take_sparse(DType::F64, 90).1), at);
        // Longer rows fit, because room was left for them.
        let (columns, values) = pool.take_sparse(DType::F32, 110);
        assert_eq!((columns.len(), values.len()), (110, 110));
        assert_eq!(address(&values), at);
    }

    #[test]
    fn pool_finds_a_dense_buffer_of_the_length() {
        let pool = BufferPool::new(1 << 30);
        let address = |values: &Values| values.as_slice().as_bytes().as_ptr();
        let give = |values| pool.give((Vec::new(), values));
        let [large, medium, small] = [1 << 20, 1 << 16, 10].map(|n| Values::zeros(DType::I64, n));
        let at = [&large, &medium].map(address);
        [medium, large, small].into_iter().for_each(give);
        assert_eq!(address(&pool.take_dense(DType::I64, 1 << 16).0), at[1]);
        assert_eq!(address(&pool.take_dense(DType::I64, 1 << 20).0), at[0]);
        // One value per row.
        pool.give_matrix(Matrix::Dense {
            shape: vec![10],
            values: Values::zeros(DType::I64, 10),
        });
        assert_eq!(pool.spare.lock().expect("free").buffers.len(), 1);
    }

    #[test]
    fn pool_says_whether_memory_is_zero() {
        let pool = BufferPool::new(1 << 20);
        let (mut values, zeroed) = pool.take_dense(DType::F32, 10);
        assert!(zeroed);
        assert_eq!(values, Values::zeros(DType::F32, 10));
        values = Values::F32(vec![1.0; 10]);
        pool.give((Vec::new(), values));
        assert!(!pool.take_dense(DType::F32, 10).1);
    }

    #[test]
    fn pool_keeps_at_most_its_limit() {
        let pool = Arc::new(BufferPool::new(1000));
        let waiting = WaitingRows::new(&pool, 0);
        pool.give((Vec::new(), Values::zeros(DType::F64, 100)));
        pool.give((Vec::new(), Values::zeros(DType::F64, 100)));
        let block = waiting.take_block(50);
        assert_eq!(waiting.bytes(), 512);
        waiting.give_block(block);
        assert_eq!(waiting.bytes(), 0);
        let spare = pool.spare.lock().expect("free");
        assert_eq!((spare.buffers.len(), spare.blocks.len()), (1, 0));
        assert_eq!(spare.bytes, 800);
    }

    #[test]
    fn pool_measures_how_rows_pack() {
        let waiting = WaitingRows::new(&Arc::new(BufferPool::new(0)), 0);
        waiting.count_packed(Level::Bytes, 1 << 15, 1 << 15);
        assert_eq!(waiting.pool().packing(Level::Bytes), None);
        waiting.count_packed(Level::Bits, 1 << 20, 1 << 19);
        assert_eq!(waiting.pool().packing(Level::Bytes), None);
        assert_eq!(waiting.pool().packing(Level::Bits), Some(0.5));
    }
}
