//! Buffers of batches, used again: memory that was never touched is slow to touch.

use std::sync::{Mutex, Weak};

use anndata_io::{DType, Values};

use crate::batch::Matrix;
use crate::rows::Indices;

/// Columns and values of sparse rows; no columns for dense ones.
type Buffers = (Vec<u32>, Values);

/// Buffers that no batch uses.
///
/// Nobody waits for it: when its lock is taken, as it may be for ever in a forked child, buffers
/// are made and dropped as usual.
#[derive(Debug)]
pub(crate) struct Recycler {
    spare: Mutex<Vec<Buffers>>,
    /// Bytes to keep at the most.
    limit: usize,
}

fn n_bytes((columns, values): &Buffers) -> usize {
    columns.capacity() * 4 + values.capacity() * values.dtype().size()
}

impl Recycler {
    pub(crate) fn new(limit: usize) -> Recycler {
        Recycler {
            spare: Mutex::new(Vec::new()),
            limit,
        }
    }

    /// `len` elements of any value, and as many columns if they are `sparse`.
    pub(crate) fn take(&self, dtype: DType, len: usize, sparse: bool) -> Buffers {
        let fits = |(columns, values): &Buffers| {
            values.dtype() == dtype
                && (columns.capacity() > 0) == sparse
                && values.capacity() >= len / 2
        };
        let found = self.spare.try_lock().ok().and_then(|mut spare| {
            let at = spare.iter().rposition(fits)?;
            Some(spare.swap_remove(at))
        });
        let Some((mut columns, mut values)) = found else {
            // Fresh zeros cost no memory before they are written.
            return (
                vec![0; if sparse { len } else { 0 }],
                Values::zeros(dtype, len),
            );
        };
        values.resize(len);
        columns.resize(if sparse { len } else { 0 }, 0);
        (columns, values)
    }

    pub(crate) fn give(&self, buffers: Buffers) {
        if let Ok(mut spare) = self.spare.try_lock() {
            let kept: usize = spare.iter().map(n_bytes).sum();
            if kept + n_bytes(&buffers) <= self.limit {
                spare.push(buffers);
            }
        }
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
    use std::sync::Arc;

    use super::*;

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let recycler = Arc::new(Recycler::new(1 << 20));
        let (columns, values) = recycler.take(DType::F32, 100, true);
        let at = values.as_slice().as_bytes().as_ptr();
        let home = Home(Arc::downgrade(&recycler));
        let columns = Indices::I32(columns.into_iter().map(|n| n as i32).collect());
        let matrix = Matrix::Csr {
            shape: [1, 9],
            indptr: Indices::I32(vec![0, 100]),
            indices: columns,
            values,
        };
        home.take_back(&mut vec![("X".to_owned(), matrix)]);
        assert_ne!(
            recycler
                .take(DType::F64, 90, true)
                .1
                .as_slice()
                .as_bytes()
                .as_ptr(),
            at
        );
        let (columns, values) = recycler.take(DType::F32, 90, true);
        assert_eq!((columns.len(), values.len()), (90, 90));
        assert_eq!(values.as_slice().as_bytes().as_ptr(), at);
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let recycler = Recycler::new(1000);
        recycler.give((Vec::new(), Values::zeros(DType::F64, 100)));
        recycler.give((Vec::new(), Values::zeros(DType::F64, 100)));
        assert_eq!(recycler.spare.lock().expect("free").len(), 1);
    }
}
