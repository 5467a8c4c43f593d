//! From matrices in files to their places in items and batches: gene join, conversion and
//! placement in one pass.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anndata_io::{
    DType, Element, MatrixSource, ReadScratch, RowSink, Slice, Stored, Values, with_dtype,
};
use feature_join::{ABSENT, SortScratch, VarMap};

use crate::batch::{Matrix, Output};
use crate::error::Error;
use crate::recycle::Recycler;

const COLUMNS_ARE_CHECKED: &str = "a matrix has as many columns as its store has variables";

/// Reads one row densely: `[width]`, converted.
pub(crate) fn read_row(
    source: &MatrixSource,
    map: Option<&VarMap>,
    row: u32,
    width: usize,
    dtype: DType,
) -> Result<Values, Error> {
    let mut sink = RowInto {
        map,
        out: Values::zeros(dtype, width),
    };
    source.read_rows(&[row.into()], &mut ReadScratch::default(), &mut sink)?;
    Ok(sink.out)
}

struct RowInto<'a> {
    map: Option<&'a VarMap>,
    out: Values,
}

impl RowSink for RowInto<'_> {
    fn dense(&mut self, _row: usize, start: usize, values: Slice<'_>) {
        put_dense(&mut self.out, 0, self.map, start, values);
    }

    fn sparse(&mut self, _row: usize, columns: &[u32], values: Slice<'_>) {
        put_sparse(&mut self.out, 0, self.map, columns, values);
    }
}

/// Writes a run of a dense row into a row of `out` that begins at element `at`.
fn put_dense(out: &mut Values, at: usize, map: Option<&VarMap>, start: usize, values: Slice<'_>) {
    with_dtype!(out.dtype(), D => {
        let out = D::as_mut_vec(out).expect("its own type");
        match map {
            None => values.write_to(&mut out[at + start..at + start + values.len()]),
            Some(map) => {
                let row = &mut out[at..at + map.n_joint()];
                with_dtype!(values.dtype(), S => {
                    let source = S::from_slice(values).expect("its own type");
                    map.scatter_dense(start, source, row, D::cast_from)
                        .expect(COLUMNS_ARE_CHECKED);
                });
            }
        }
    });
}

/// Writes a sparse row into a row of `out`, all zeros, that begins at element `at`.
fn put_sparse(
    out: &mut Values,
    at: usize,
    map: Option<&VarMap>,
    columns: &[u32],
    values: Slice<'_>,
) {
    with_dtype!(out.dtype(), D => {
        let out = &mut D::as_mut_vec(out).expect("its own type")[at..];
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            match map {
                None => scatter(columns, source, out),
                Some(map) => map
                    .scatter_sparse(columns, source, &mut out[..map.n_joint()], D::cast_from)
                    .expect(COLUMNS_ARE_CHECKED),
            }
        });
    });
}

fn scatter<S: Element, D: Element>(columns: &[u32], values: &[S], out: &mut [D]) {
    for (&column, &value) in columns.iter().zip(values) {
        out[column as usize] = D::cast_from(value);
    }
}

/// Row pointers and columns of a CSR matrix, 32-bit where that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indices {
    /// Below 2^31 nonzeros.
    I32(Vec<i32>),
    /// Any more.
    I64(Vec<i64>),
}

impl Indices {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Indices::I32(v) => v.len(),
            Indices::I64(v) => v.len(),
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
            Indices::I32(v) => v[index] as usize,
            Indices::I64(v) => v[index] as usize,
        }
    }
}

/// One matrix of a batch while its rows arrive, in any order and from many threads. Every row has
/// its place from the start.
#[derive(Debug)]
pub(crate) struct MatrixSlots {
    n_rows: usize,
    row_shape: Vec<usize>,
    dtype: DType,
    output: Output,
    /// For rows that stay sparse: where each row's elements may begin, and the end.
    starts: Option<Vec<usize>>,
    recycler: Option<Arc<Recycler>>,
    /// Memory comes with the first row.
    filled: Mutex<Option<Filled>>,
}

#[derive(Debug)]
enum Filled {
    Dense(Values),
    Sparse {
        columns: Vec<u32>,
        values: Values,
        lens: Vec<u32>,
        pairs: Vec<(u32, u32)>,
        sort: SortScratch,
    },
}

impl MatrixSlots {
    /// Places for dense rows.
    pub(crate) fn dense(
        n_rows: usize,
        row_shape: Vec<usize>,
        dtype: DType,
        output: Output,
        recycler: Option<Arc<Recycler>>,
    ) -> Self {
        let filled = Mutex::new(None);
        MatrixSlots {
            n_rows,
            row_shape,
            dtype,
            output,
            starts: None,
            recycler,
            filled,
        }
    }

    /// Places for sparse rows, of which each has at most so many elements.
    pub(crate) fn sparse(
        row_shape: Vec<usize>,
        dtype: DType,
        output: Output,
        row_lens: impl Iterator<Item = usize>,
        recycler: Option<Arc<Recycler>>,
    ) -> Self {
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(row_lens.map(|len| {
            end += len;
            end
        }));
        let n_rows = starts.len() - 1;
        let starts = Some(starts);
        MatrixSlots {
            n_rows,
            row_shape,
            dtype,
            output,
            starts,
            recycler,
            filled: Mutex::new(None),
        }
    }

    /// Elements of any value, and columns if they are sparse.
    fn take(&self, len: usize, sparse: bool) -> (Vec<u32>, Values) {
        match &self.recycler {
            Some(recycler) => recycler.take(self.dtype, len, sparse),
            None => (
                vec![0; if sparse { len } else { 0 }],
                Values::zeros(self.dtype, len),
            ),
        }
    }

    fn zeros(&self) -> Values {
        let len = self.n_rows * self.width();
        match &self.recycler {
            Some(_) => {
                let mut values = self.take(len, false).1;
                values.fill_zero();
                values
            }
            None => Values::zeros(self.dtype, len),
        }
    }

    fn width(&self) -> usize {
        self.row_shape.iter().product()
    }

    /// Bytes that a row may take while it waits.
    pub(crate) fn row_bytes(&self, row: usize) -> usize {
        match &self.starts {
            Some(starts) => (starts[row + 1] - starts[row]) * (4 + self.dtype.size()),
            None => self.width() * self.dtype.size(),
        }
    }

    /// Bytes of the matrix when it is finished, beyond what its rows took while they waited.
    pub(crate) fn finishing_bytes(&self) -> usize {
        let dense = self.n_rows * self.width() * self.dtype.size();
        if self.starts.is_some() && self.output == Output::Dense {
            dense
        } else {
            0
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Filled>> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn empty(&self) -> Filled {
        match &self.starts {
            None => Filled::Dense(self.zeros()),
            Some(starts) => {
                let (columns, values) = self.take(*starts.last().expect("never empty"), true);
                Filled::Sparse {
                    columns,
                    values,
                    lens: vec![0; self.n_rows],
                    pairs: Vec::new(),
                    sort: SortScratch::default(),
                }
            }
        }
    }

    fn put_dense(&self, row: usize, map: Option<&VarMap>, start: usize, values: Slice<'_>) {
        let mut filled = self.lock();
        match filled.get_or_insert_with(|| self.empty()) {
            Filled::Dense(out) => put_dense(out, row * self.width(), map, start, values),
            Filled::Sparse { .. } => unreachable!("dense stores have dense places"),
        }
    }

    fn put_sparse(&self, row: usize, map: Option<&VarMap>, columns: &[u32], values: Slice<'_>) {
        let mut filled = self.lock();
        match filled.get_or_insert_with(|| self.empty()) {
            Filled::Dense(out) => put_sparse(out, row * self.width(), map, columns, values),
            Filled::Sparse {
                columns: out_columns,
                values: out,
                lens,
                pairs,
                sort,
            } => {
                let starts = self.starts.as_ref().expect("sparse places have them");
                let place = starts[row]..starts[row + 1];
                let out_columns = &mut out_columns[place.clone()];
                lens[row] = with_dtype!(out.dtype(), D => {
                    let out = &mut D::as_mut_vec(out).expect("its own type")[place];
                    with_dtype!(values.dtype(), S => {
                        let source = S::from_slice(values).expect("its own type");
                        match map {
                            None => {
                                out_columns[..columns.len()].copy_from_slice(columns);
                                out.iter_mut().zip(source).for_each(|(o, &v)| *o = D::cast_from(v));
                                columns.len()
                            }
                            Some(map) if self.output == Output::Dense => {
                                // Rows that become dense need no order.
                                let to_joint = map.file_to_joint().expect("not the identity");
                                let mut n = 0;
                                for (&column, &value) in columns.iter().zip(source) {
                                    let joint = to_joint[column as usize];
                                    out_columns[n] = joint;
                                    out[n] = D::cast_from(value);
                                    n += usize::from(joint != ABSENT);
                                }
                                n
                            }
                            Some(map) => {
                                map.remap_distinct(columns, sort, pairs).expect(COLUMNS_ARE_CHECKED);
                                for (i, &(column, from)) in pairs.iter().enumerate() {
                                    out_columns[i] = column;
                                    out[i] = D::cast_from(source[from as usize]);
                                }
                                pairs.len()
                            }
                        }
                    })
                }) as u32;
            }
        }
    }

    /// The matrix, with every row that arrived in its place. Its memory leaves with it.
    pub(crate) fn finish(&self) -> Matrix {
        let filled = self.lock().take().unwrap_or_else(|| self.empty());
        let (n_rows, width) = (self.n_rows, self.width());
        let shape = || {
            std::iter::once(n_rows)
                .chain(self.row_shape.iter().copied())
                .collect()
        };
        match filled {
            Filled::Dense(values) if self.output == Output::Csr && self.row_shape.len() == 1 => {
                with_dtype!(self.dtype, T => {
                    let values = T::from_slice(values.as_slice()).expect("its own type");
                    compress(n_rows, width, values)
                })
            }
            Filled::Dense(values) => Matrix::Dense {
                shape: shape(),
                values,
            },
            Filled::Sparse {
                mut columns,
                mut values,
                lens,
                ..
            } => {
                let starts = self.starts.as_ref().expect("sparse places have them");
                if self.output == Output::Dense {
                    // Each row is zeroed and filled while it is in the processor's cache.
                    let mut out = self.take(n_rows * width, false).1;
                    with_dtype!(self.dtype, T => {
                        let out = T::as_mut_vec(&mut out).expect("its own type");
                        let values = T::as_mut_vec(&mut values).expect("its own type");
                        for (row, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                            let place = starts[row]..starts[row] + lens[row] as usize;
                            out.fill(T::default());
                            scatter(&columns[place.clone()], &values[place], out);
                        }
                    });
                    if let Some(recycler) = &self.recycler {
                        recycler.give((columns, values));
                    }
                    return Matrix::Dense {
                        shape: shape(),
                        values: out,
                    };
                }
                let mut indptr = Vec::with_capacity(n_rows + 1);
                indptr.push(0);
                let mut end = 0;
                with_dtype!(self.dtype, T => {
                    let values = T::as_mut_vec(&mut values).expect("its own type");
                    for row in 0..n_rows {
                        let place = starts[row]..starts[row] + lens[row] as usize;
                        // Rows that lost columns in the join leave gaps: close them.
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
                csr(n_rows, width, &indptr, columns, values)
            }
        }
    }
}

fn csr(n_rows: usize, width: usize, indptr: &[usize], columns: Vec<u32>, values: Values) -> Matrix {
    let narrow = columns.len() < 1 << 31 && width <= 1 << 31;
    let (indptr, indices) = if narrow {
        let columns = bytemuck::allocation::cast_vec::<u32, i32>(columns);
        (
            Indices::I32(indptr.iter().map(|&n| n as i32).collect()),
            Indices::I32(columns),
        )
    } else {
        let columns = columns.into_iter().map(i64::from).collect();
        (
            Indices::I64(indptr.iter().map(|&n| n as i64).collect()),
            Indices::I64(columns),
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
fn compress<T: Stored>(n_rows: usize, width: usize, dense: &[T]) -> Matrix {
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

/// Puts the rows of one read into their places.
pub(crate) struct SlotSink<'a, F> {
    pub(crate) map: Option<&'a VarMap>,
    /// The matrix, and the row in it, of each row that is read.
    pub(crate) place: F,
}

impl<'a, F: Fn(usize) -> (&'a MatrixSlots, usize)> RowSink for SlotSink<'a, F> {
    fn dense(&mut self, row: usize, start: usize, values: Slice<'_>) {
        let (slots, row) = (self.place)(row);
        slots.put_dense(row, self.map, start, values);
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: Slice<'_>) {
        let (slots, row) = (self.place)(row);
        slots.put_sparse(row, self.map, columns, values);
    }
}
