//! Turns a matrix of a batch into tokens.

use std::borrow::Cow;

use anndata_io::{DType, Scalar, Values, with_dtype};

use crate::batch::matrix::{CsrIndex, Matrix};
use crate::batch::nonzeros::nonzero_columns;
use crate::batch::pool::BufferPool;
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::counts::shown;
use crate::plan::location::RowLocation;
use crate::plan::tokens::{IDS, LENGTHS, PlannedTokens, VALUES};
use crate::tokens::row::RowTokens;
use crate::tokens::sample::SampledRow;

impl PlannedTokens {
    /// The bytes of the tokens of `n_rows` rows.
    pub(super) fn bytes(&self, n_rows: usize, dtype: DType) -> usize {
        let row = self.form.length * (size_of::<i64>() + dtype.size()) + size_of::<i64>();
        n_rows.saturating_mul(row)
    }

    /// Turns the rows of a matrix of two dimensions into tokens. The memory of the matrix returns to
    /// the pool.
    ///
    /// # Errors
    /// When a row has a value that cannot be binned or drawn by.
    pub(super) fn tokenize(
        &self,
        plan: &Plan,
        (located, epoch): (&[RowLocation], u64),
        matrix: Matrix,
        pool: &BufferPool,
    ) -> Result<[(String, Matrix); 3], ReadError> {
        let key = &plan.matrices[self.matrix];
        let (n_rows, length) = (located.len(), self.form.length);
        // Every element is written.
        let (mut ids, _) = pool.take_dense(DType::I64, n_rows * length);
        let (mut values, _) = pool.take_dense(matrix.dtype(), n_rows * length);
        let mut lengths = Vec::with_capacity(n_rows);
        let ids_of = plan.genes.as_ref().and_then(|genes| genes.ids());
        with_dtype!(matrix.dtype(), T => {
            let mut rows = RowTokens::<T>::new(self.form, ids_of);
            let mut columns = Vec::new();
            let ids = i64::as_mut_vec(&mut ids).expect("its own type");
            let values = T::as_mut_vec(&mut values).expect("its own type");
            let places = ids.chunks_exact_mut(length).zip(values.chunks_exact_mut(length));
            for ((row, location), (ids, values)) in located.iter().enumerate().zip(places) {
                set_row(&mut rows, &matrix, row, &mut columns);
                let sampled = SampledRow {
                    seed: self.form.seed,
                    epoch,
                    store: location.store as u32,
                    row: location.row,
                };
                let written = rows.write(sampled, ids, values).map_err(|fault| {
                    let (expected, found) = (fault.expected.to_owned(), shown(fault.found));
                    let error = plan.value_error(location.store, key, expected, found);
                    error.in_row(location.row)
                });
                lengths.push(written? as i64);
            }
        });
        pool.give_matrix(matrix);
        let dense = |name: &str, values, shape| (name.to_owned(), Matrix::Dense { shape, values });
        Ok([
            dense(IDS, ids, vec![n_rows, length]),
            dense(VALUES, values, vec![n_rows, length]),
            dense(LENGTHS, Values::I64(lengths), vec![n_rows]),
        ])
    }
}

/// Takes a row of a matrix.
fn set_row<T: Scalar>(
    rows: &mut RowTokens<'_, T>,
    matrix: &Matrix,
    row: usize,
    scratch: &mut Vec<u32>,
) {
    let values = T::from_slice(matrix.values().as_slice()).expect("its own type");
    match matrix {
        Matrix::Csr {
            indptr, indices, ..
        } => {
            let place = indptr.get(row)..indptr.get(row + 1);
            let columns: Cow<'_, [u32]> = match indices {
                CsrIndex::I32(columns) => bytemuck::cast_slice(&columns[place.clone()]).into(),
                CsrIndex::I64(columns) => {
                    columns[place.clone()].iter().map(|&c| c as u32).collect()
                }
            };
            rows.set(&columns, &values[place]);
        }
        Matrix::Dense { shape, .. } => {
            let width = shape[1];
            let values = &values[row * width..(row + 1) * width];
            scratch.resize(width, 0);
            let n = nonzero_columns(values, scratch);
            rows.set_dense(&scratch[..n], values);
        }
    }
}
