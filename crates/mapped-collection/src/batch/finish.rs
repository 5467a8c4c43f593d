//! Turns the places of a batch's rows into its matrices.

use anndata_io::{Scalar, Values, with_dtype};

use crate::batch::MatrixFormat;
use crate::batch::matrix::{Matrix, compress, csr};
use crate::batch::matrix_slots::{Filled, MatrixSlots, RowStorage};
use crate::batch::packed::PackedRows;

impl MatrixSlots {
    /// Returns the matrix, with every row that arrived in its place. The memory moves out with it.
    pub(crate) fn finish(&self) -> Matrix {
        let filled = std::mem::replace(&mut *self.started(), Filled::Discarded);
        if self.dtype == self.final_dtype {
            self.count_out(&filled);
        }
        let (n_rows, width) = (self.n_rows, self.width());
        let shape = || {
            std::iter::once(n_rows)
                .chain(self.row_shape.iter().copied())
                .collect()
        };
        match filled {
            Filled::Dense { values, .. }
                if self.format == MatrixFormat::Csr && self.row_shape.len() == 1 =>
            {
                let values = self.converted(values);
                with_dtype!(values.dtype(), T => {
                    let values = T::from_slice(values.as_slice()).expect("its own type");
                    compress(n_rows, width, values)
                })
            }
            Filled::Dense { values, .. } => Matrix::Dense {
                shape: shape(),
                values: self.converted(values),
            },
            Filled::Sparse {
                columns,
                values,
                lens,
            } => self.close_gaps(columns, values, &lens),
            Filled::Packed(rows) => {
                let matrix = match self.format {
                    MatrixFormat::Dense => {
                        let pool = self.waiting.pool();
                        let (mut values, _) = pool.take_dense(self.dtype, n_rows * width);
                        with_dtype!(self.dtype, T => {
                            let out = T::as_mut_vec(&mut values).expect("its own type");
                            // Each row is zeroed and filled while it is in the processor's cache.
                            for (row, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                                out.fill(T::default());
                                rows.scatter(row, out);
                            }
                        });
                        let shape = shape();
                        Matrix::Dense { shape, values }
                    }
                    MatrixFormat::Csr => self.unpack(&rows),
                };
                rows.release(&self.waiting);
                matrix
            }
            Filled::Empty | Filled::Discarded => unreachable!("a batch is finished once"),
        }
    }

    /// Dense rows in the type of the batch.
    fn converted(&self, values: Values) -> Values {
        if values.dtype() == self.final_dtype {
            return values;
        }
        let pool = self.waiting.pool();
        let (mut out, _) = pool.take_dense(self.final_dtype, values.len());
        with_dtype!(self.final_dtype, T => {
            values.as_slice().write_to(T::as_mut_vec(&mut out).expect("its own type"));
        });
        self.waiting.remove(self.placed_bytes());
        pool.give((Vec::new(), values));
        out
    }

    fn unpack(&self, rows: &PackedRows) -> Matrix {
        let mut indptr = Vec::with_capacity(self.n_rows + 1);
        indptr.push(0);
        let mut end = 0;
        indptr.extend((0..self.n_rows).map(|row| {
            end += rows.len(row);
            end
        }));
        let (mut columns, mut values) = self.waiting.pool().take_sparse(self.dtype, end);
        with_dtype!(self.dtype, T => {
            let values = T::as_mut_vec(&mut values).expect("its own type");
            for (row, place) in indptr.windows(2).enumerate() {
                let place = place[0]..place[1];
                rows.read(row, &mut columns[place.clone()], &mut values[place]);
            }
        });
        csr(self.n_rows, self.width(), &indptr, columns, values)
    }

    /// Closes the gaps behind rows that lost columns in the join.
    fn close_gaps(&self, mut columns: Vec<u32>, mut values: Values, lens: &[u32]) -> Matrix {
        let RowStorage::Sparse { starts } = &self.storage else {
            unreachable!("these rows have places of their own")
        };
        let mut indptr = Vec::with_capacity(self.n_rows + 1);
        indptr.push(0);
        let mut end = 0;
        with_dtype!(self.dtype, T => {
            let values = T::as_mut_vec(&mut values).expect("its own type");
            for (&start, &len) in starts.iter().zip(lens) {
                let place = start..start + len as usize;
                if place.start != end {
                    columns.copy_within(place.clone(), end);
                    values.copy_within(place.clone(), end);
                }
                end += place.len();
                indptr.push(end);
            }
            values.truncate(end);
        });
        columns.truncate(end);
        csr(self.n_rows, self.width(), &indptr, columns, values)
    }
}
