//! Turns a matrix of a batch into tokens.

use anndata_io::{DType, Scalar, Values, with_dtype};

use crate::batch::matrix::{CsrIndex, Matrix};
use crate::batch::nonzeros::nonzero_columns;
use crate::batch::pool::BufferPool;
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::counts::shown;
use crate::plan::location::RowLocation;
use crate::plan::tokens::{IDS, LENGTHS, PlannedTokens, VALUES};
use crate::tokens::row::{Expressed, RowTokens};
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
            let mut rows = RowTokens::new(self.form, ids_of);
            let mut scratch = Nonzeros::<T>::default();
            let ids = i64::as_mut_vec(&mut ids).expect("its own type");
            let values = T::as_mut_vec(&mut values).expect("its own type");
            let places = ids.chunks_exact_mut(length).zip(values.chunks_exact_mut(length));
            for ((row, location), (ids, values)) in located.iter().enumerate().zip(places) {
                let expressed = scratch.of_row(&matrix, row);
                let sampled = SampledRow {
                    seed: self.form.seed,
                    epoch,
                    store: location.store as u32,
                    row: location.row,
                };
                let written = rows.write(sampled, expressed, ids, values).map_err(|fault| {
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

/// Finds the elements of rows that are not 0, and reuses its buffers.
#[derive(Default)]
struct Nonzeros<T> {
    columns: Vec<u32>,
    values: Vec<T>,
}

impl<T: Scalar> Nonzeros<T> {
    fn of_row<'a>(&'a mut self, matrix: &'a Matrix, row: usize) -> Expressed<'a, T> {
        let values = T::from_slice(matrix.values().as_slice()).expect("its own type");
        match matrix {
            Matrix::Csr {
                indptr, indices, ..
            } => {
                let place = indptr.get(row)..indptr.get(row + 1);
                let values = &values[place.clone()];
                if let CsrIndex::I32(columns) = indices
                    && values.iter().all(|value| !value.is_zero())
                {
                    let columns = bytemuck::cast_slice(&columns[place]);
                    return Expressed { columns, values };
                }
                self.columns.clear();
                self.values.clear();
                for (at, &value) in place.zip(values).filter(|(_, value)| !value.is_zero()) {
                    self.columns.push(indices.get(at) as u32);
                    self.values.push(value);
                }
            }
            Matrix::Dense { shape, .. } => {
                let width = shape[1];
                let values = &values[row * width..(row + 1) * width];
                self.columns.resize(width, 0);
                let n = nonzero_columns(values, &mut self.columns);
                self.columns.truncate(n);
                self.values.clear();
                let columns = self.columns.iter();
                self.values
                    .extend(columns.map(|&column| values[column as usize]));
            }
        }
        Expressed {
            columns: &self.columns,
            values: &self.values,
        }
    }
}
