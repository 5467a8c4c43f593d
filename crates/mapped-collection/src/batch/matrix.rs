//! The matrix of a batch, dense or CSR.

use anndata_io::{DType, Stored, Values};

/// A matrix of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Matrix {
    /// All elements.
    Dense {
        /// `[n_obs, n_vars]`; obsm elements may have more dimensions.
        shape: Vec<usize>,
        /// Row-major.
        values: Values,
    },
    /// Compressed sparse rows: columns ascending and distinct in each row.
    Csr {
        /// `[n_obs, n_vars]`.
        shape: [usize; 2],
        /// Where each row begins, and the end: `[n_obs + 1]`.
        indptr: CsrIndex,
        /// Column of each element, of the same integer type.
        indices: CsrIndex,
        /// The elements.
        values: Values,
    },
}

impl Matrix {
    /// The element type.
    pub fn dtype(&self) -> DType {
        let (Matrix::Dense { values, .. } | Matrix::Csr { values, .. }) = self;
        values.dtype()
    }
}

/// Row pointers and columns of a CSR matrix, 32-bit where that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CsrIndex {
    /// Below 2^31 nonzeros.
    I32(Vec<i32>),
    /// Any more.
    I64(Vec<i64>),
}

impl CsrIndex {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            CsrIndex::I32(v) => v.len(),
            CsrIndex::I64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`.
    ///
    /// # Panics
    /// When `index` is out of bounds.
    pub fn get(&self, index: usize) -> usize {
        match self {
            CsrIndex::I32(v) => v[index] as usize,
            CsrIndex::I64(v) => v[index] as usize,
        }
    }
}

/// A CSR matrix, with indices of 32 bits where they are enough.
pub(crate) fn csr(
    n_rows: usize,
    width: usize,
    indptr: &[usize],
    columns: Vec<u32>,
    values: Values,
) -> Matrix {
    let narrow = columns.len() < 1 << 31 && width <= 1 << 31;
    let (indptr, indices) = if narrow {
        let columns = bytemuck::allocation::cast_vec::<u32, i32>(columns);
        (
            CsrIndex::I32(indptr.iter().map(|&n| n as i32).collect()),
            CsrIndex::I32(columns),
        )
    } else {
        let columns = columns.into_iter().map(i64::from).collect();
        (
            CsrIndex::I64(indptr.iter().map(|&n| n as i64).collect()),
            CsrIndex::I64(columns),
        )
    };
    Matrix::Csr {
        shape: [n_rows, width],
        indptr,
        indices,
        values,
    }
}

/// Dense rows as CSR, zeros dropped.
pub(crate) fn compress<T: Stored>(n_rows: usize, width: usize, dense: &[T]) -> Matrix {
    let (mut indptr, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in 0..n_rows {
        for (column, &value) in dense[row * width..(row + 1) * width].iter().enumerate() {
            if !value.is_zero() {
                columns.push(column as u32);
                values.push(value);
            }
        }
        indptr.push(columns.len());
    }
    csr(n_rows, width, &indptr, columns, T::into_values(values))
}
