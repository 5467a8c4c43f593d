//! The matrix of a batch, dense or CSR.

use std::fmt;

use anndata_io::{DType, Scalar, Values, with_dtype};

use crate::batch::csr::{CsrView, IndexType};

/// A matrix of a batch.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive: a caller that converts every kind should fail to compile when one is added.
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
        /// The column of each element, of the same integer type.
        indices: CsrIndex,
        /// The elements.
        values: Values,
    },
}

impl Matrix {
    /// `[n_obs, n_vars]`; obsm elements may have more dimensions.
    pub fn shape(&self) -> &[usize] {
        match self {
            Matrix::Dense { shape, .. } => shape,
            Matrix::Csr { shape, .. } => shape,
        }
    }

    /// The number of stored elements. A dense matrix stores all.
    pub fn nnz(&self) -> usize {
        self.values().len()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.values().dtype()
    }

    /// The stored elements, row by row.
    pub fn values(&self) -> &Values {
        let (Matrix::Dense { values, .. } | Matrix::Csr { values, .. }) = self;
        values
    }

    /// The stored elements, owned.
    pub fn into_values(self) -> Values {
        let (Matrix::Dense { values, .. } | Matrix::Csr { values, .. }) = self;
        values
    }

    /// All elements of a matrix of either format, row-major.
    pub fn to_dense(&self) -> Values {
        match self {
            Matrix::Dense { values, .. } => values.clone(),
            Matrix::Csr {
                shape: [n_rows, width],
                indptr,
                indices,
                values,
            } => {
                let mut dense = Values::zeros(values.dtype(), n_rows * width);
                with_dtype!(values.dtype(), T => {
                    let values = T::from_slice(values.as_slice()).expect("its own type");
                    let out = T::as_mut_vec(&mut dense).expect("its own type");
                    for row in 0..*n_rows {
                        for at in indptr.get(row)..indptr.get(row + 1) {
                            out[row * width + indices.get(at)] = values[at];
                        }
                    }
                });
                dense
            }
        }
    }

    /// The elements of a dense matrix of type `T`, row-major.
    ///
    /// # Errors
    /// When the matrix is CSR, or its elements have another type.
    pub fn dense<T: Scalar>(&self) -> Result<&[T], MatrixTypeError> {
        let values = match self {
            Matrix::Dense { values, .. } => T::from_slice(values.as_slice()),
            Matrix::Csr { .. } => None,
        };
        values.ok_or_else(|| self.type_error("dense", T::DTYPE, None))
    }

    /// A CSR matrix of type `T` with 32-bit indices. Every CSR matrix with fewer than 2^31 elements
    /// has them.
    ///
    /// # Errors
    /// When the matrix is dense, its elements have another type, or its indices have 64 bits.
    pub fn csr<T: Scalar>(&self) -> Result<CsrView<'_, T>, MatrixTypeError> {
        self.csr_with()
    }

    /// A CSR matrix of type `T` with indices of type `I`.
    ///
    /// # Errors
    /// When the matrix is dense, or its elements or indices have another type.
    pub fn csr_with<T: Scalar, I: IndexType>(&self) -> Result<CsrView<'_, T, I>, MatrixTypeError> {
        let view = || match self {
            Matrix::Csr {
                shape,
                indptr,
                indices,
                values,
            } => Some(CsrView {
                shape: *shape,
                indptr: I::from_index(indptr)?,
                indices: I::from_index(indices)?,
                values: T::from_slice(values.as_slice())?,
            }),
            Matrix::Dense { .. } => None,
        };
        view().ok_or_else(|| self.type_error("CSR", T::DTYPE, Some(I::NAME)))
    }

    /// A dense matrix of type `T` as an array of the crate `ndarray`.
    ///
    /// # Errors
    /// When the matrix is CSR, or its elements have another type.
    #[cfg(feature = "ndarray")]
    pub fn view<T: Scalar>(&self) -> Result<ndarray::ArrayViewD<'_, T>, MatrixTypeError> {
        let shape = ndarray::IxDyn(self.shape());
        let view = ndarray::ArrayViewD::from_shape(shape, self.dense()?);
        Ok(view.expect("as many elements as the shape says"))
    }

    fn type_error(
        &self,
        layout: &'static str,
        dtype: DType,
        index: Option<&'static str>,
    ) -> MatrixTypeError {
        let found = match self {
            Matrix::Dense { .. } => ("dense", self.dtype(), None),
            Matrix::Csr { indices, .. } => ("CSR", self.dtype(), Some(indices.type_name())),
        };
        MatrixTypeError {
            expected: (layout, dtype, index),
            found,
        }
    }
}

/// A request for a matrix in a format or type that it does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixTypeError {
    expected: MatrixType,
    found: MatrixType,
}

/// Format, element type, and the type of a CSR matrix's indices.
type MatrixType = (&'static str, DType, Option<&'static str>);

impl fmt::Display for MatrixTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let describe = |(layout, dtype, index): MatrixType| match index {
            None => format!("a {layout} matrix of {dtype}"),
            Some(index) => format!("a {layout} matrix of {dtype} with {index} indices"),
        };
        let (expected, found) = (describe(self.expected), describe(self.found));
        write!(
            f,
            "expected {expected}, found {found}: choose both when the batch is read"
        )
    }
}

impl std::error::Error for MatrixTypeError {}

/// The row pointers or columns of a CSR matrix, 32-bit where that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive: a caller that converts every kind should fail to compile when one is added.
pub enum CsrIndex {
    /// For fewer than 2^31 nonzeros.
    I32(Vec<i32>),
    /// For 2^31 nonzeros or more.
    I64(Vec<i64>),
}

impl CsrIndex {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            CsrIndex::I32(v) => v.len(),
            CsrIndex::I64(v) => v.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn type_name(&self) -> &'static str {
        match self {
            CsrIndex::I32(_) => i32::NAME,
            CsrIndex::I64(_) => i64::NAME,
        }
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

/// A CSR matrix, with 32-bit indices where they are enough.
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
pub(crate) fn compress<T: Scalar>(n_rows: usize, width: usize, dense: &[T]) -> Matrix {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn dense() -> Matrix {
        Matrix::Dense {
            shape: vec![2, 3],
            values: Values::F32(vec![1.0, 0.0, 2.0, 0.0, 3.0, 0.0]),
        }
    }

    fn sparse() -> Matrix {
        csr(
            2,
            3,
            &[0, 2, 3],
            vec![0, 2, 1],
            Values::F32(vec![1.0, 2.0, 3.0]),
        )
    }

    #[test]
    fn matrix_formats_have_the_same_elements() {
        assert_eq!(sparse().to_dense(), dense().to_dense());
        let Values::F32(values) = dense().to_dense() else {
            unreachable!("of this type");
        };
        assert_eq!(compress(2, 3, &values), sparse());
        assert_eq!((dense().nnz(), sparse().nnz()), (6, 3));
        assert_eq!(dense().shape(), sparse().shape());
    }

    #[test]
    fn matrix_views_are_typed() {
        let (dense, sparse) = (dense(), sparse());
        assert_eq!(dense.dense::<f32>().unwrap()[4], 3.0);
        let view = sparse.csr::<f32>().unwrap();
        let rows: Vec<_> = view.rows().collect();
        assert_eq!(rows, [(&[0, 2][..], &[1.0, 2.0][..]), (&[1], &[3.0])]);
        assert_eq!((view.nnz(), view.shape()), (3, [2, 3]));
    }

    #[test]
    fn matrix_type_error_names_the_actual_type() {
        let error = |error: MatrixTypeError| error.to_string();
        let way_out = ": choose both when the batch is read";
        assert_eq!(
            error(sparse().dense::<f64>().unwrap_err()),
            format!(
                "expected a dense matrix of float64, found a CSR matrix of float32 with int32 indices{way_out}"
            )
        );
        assert_eq!(
            error(dense().csr::<f32>().unwrap_err()),
            format!(
                "expected a CSR matrix of float32 with int32 indices, found a dense matrix of float32{way_out}"
            )
        );
        assert!(sparse().csr_with::<f32, i64>().is_err());
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn matrix_is_a_view_of_ndarray() {
        let dense = dense();
        let view = dense.view::<f32>().unwrap();
        assert_eq!(view[[1, 1]], 3.0);
        assert!(std::ptr::eq(
            view.as_ptr(),
            dense.dense::<f32>().unwrap().as_ptr()
        ));
        assert!(sparse().view::<f32>().is_err());
    }

    #[cfg(feature = "sprs")]
    #[test]
    fn matrix_is_a_view_of_sprs() {
        let sparse = sparse();
        let view = sparse.csr::<f32>().unwrap();
        let matrix = view.to_sprs();
        assert_eq!(matrix.get(0, 2), Some(&2.0));
        assert!(std::ptr::eq(matrix.data().as_ptr(), view.values().as_ptr()));
    }
}
