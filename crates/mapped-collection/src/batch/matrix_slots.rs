//! The places of a batch's rows, which arrive in any order and from many threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anndata_io::{DType, Room, RowSink, Slice, Stored, Values, with_dtype};
use feature_join::{ABSENT, SortScratch, VarMap};

use crate::batch::packed::{Pack, PackedRows, packed_bytes};
use crate::batch::pool::Waiting;
use crate::batch::row_writer::{COLUMNS_ARE_CHECKED, put_dense, put_sparse};
use crate::batch::{Matrix, Output};

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

/// One matrix of a batch while its rows arrive. Every row has its place from the start.
#[derive(Debug)]
pub(crate) struct MatrixSlots {
    n_rows: usize,
    row_shape: Vec<usize>,
    dtype: DType,
    output: Output,
    layout: Layout,
    waiting: Arc<Waiting>,
    /// Memory comes with the first row.
    filled: Mutex<Filled>,
}

/// How rows lie until the batch is finished.
#[derive(Debug)]
pub(crate) enum Layout {
    /// Dense, where they stay.
    Dense {
        /// Whether rows may leave elements unwritten, which are zeros.
        zeros: bool,
    },
    /// Sparse, where they stay if none is shorter than it may be.
    Sparse {
        /// Where each row's elements may begin, and the end.
        starts: Vec<usize>,
    },
    /// Sparse and packed.
    Packed {
        /// The most elements of each row.
        lens: Vec<u32>,
    },
}

#[derive(Debug)]
enum Filled {
    Empty,
    Dense(Values),
    Sparse {
        columns: Vec<u32>,
        values: Values,
        lens: Vec<u32>,
    },
    Packed(PackedRows),
    /// The rows are not wanted any more.
    Discarded,
}

/// What placing rows needs besides, kept by a thread from row to row.
#[derive(Debug, Default)]
pub(crate) struct PlaceScratch {
    sort: SortScratch,
    pairs: Vec<(u32, u32)>,
    columns: Vec<u32>,
    values: Option<Values>,
}

impl Layout {
    /// Sparse rows, of which each has at most so many elements.
    pub(crate) fn sparse(lens: impl Iterator<Item = usize>, pack: bool) -> Layout {
        if pack {
            let lens = lens.map(|len| len as u32).collect();
            return Layout::Packed { lens };
        }
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(lens.map(|len| {
            end += len;
            end
        }));
        Layout::Sparse { starts }
    }
}

impl MatrixSlots {
    /// Places for rows, which are counted in `waiting` and take their memory from it.
    pub(crate) fn new(
        n_rows: usize,
        row_shape: Vec<usize>,
        dtype: DType,
        output: Output,
        layout: Layout,
        waiting: &Arc<Waiting>,
    ) -> Self {
        MatrixSlots {
            n_rows,
            row_shape,
            dtype,
            output,
            layout,
            waiting: waiting.clone(),
            filled: Mutex::new(Filled::Empty),
        }
    }

    /// Elements of any value, and columns if they are sparse.
    fn take(&self, len: usize, sparse: bool) -> (Vec<u32>, Values) {
        self.waiting.recycler().take(self.dtype, len, sparse)
    }

    fn width(&self) -> usize {
        self.row_shape.iter().product()
    }

    /// The most bytes that a row may take while it waits, if rows are packed.
    pub(crate) fn packed_row_bytes(&self, row: usize) -> usize {
        match &self.layout {
            Layout::Packed { lens } => {
                packed_bytes(lens[row] as usize, self.width(), self.dtype.size())
            }
            _ => 0,
        }
    }

    /// Bytes that all rows take from the first one on, if they are not packed.
    pub(crate) fn placed_bytes(&self) -> usize {
        match &self.layout {
            Layout::Packed { .. } => 0,
            _ => self.finished_bytes(),
        }
    }

    /// Bytes of the finished matrix.
    pub(crate) fn finished_bytes(&self) -> usize {
        let size = self.dtype.size();
        let dense = self.n_rows * self.width() * size;
        match (&self.layout, self.output) {
            (Layout::Dense { .. }, _) | (_, Output::Dense) => dense,
            (Layout::Sparse { starts }, _) => starts.last().unwrap_or(&0) * (4 + size),
            (Layout::Packed { lens }, _) => {
                lens.iter().map(|&len| len as usize).sum::<usize>() * (4 + size)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Filled> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, filled: &mut Filled) {
        self.waiting.add(self.placed_bytes());
        *filled = match &self.layout {
            Layout::Dense { zeros } => {
                let mut values = self.take(self.n_rows * self.width(), false).1;
                if *zeros {
                    values.fill_zero();
                }
                Filled::Dense(values)
            }
            Layout::Sparse { starts } => {
                let (columns, values) = self.take(*starts.last().expect("never empty"), true);
                let lens = vec![0; self.n_rows];
                Filled::Sparse {
                    columns,
                    values,
                    lens,
                }
            }
            Layout::Packed { .. } => Filled::Packed(PackedRows::new(self.n_rows, self.width())),
        };
    }

    fn started(&self) -> MutexGuard<'_, Filled> {
        let mut filled = self.lock();
        if matches!(*filled, Filled::Empty) {
            self.start(&mut filled);
        }
        filled
    }

    /// Takes the memory of all rows, unless they are packed.
    pub(crate) fn begin(&self) {
        if !matches!(self.layout, Layout::Packed { .. }) {
            drop(self.started());
        }
    }

    fn put_dense(&self, row: usize, map: Option<&VarMap>, start: usize, values: Slice<'_>) {
        match &mut *self.started() {
            Filled::Dense(out) => put_dense(out, row * self.width(), map, start, values),
            Filled::Discarded => {}
            _ => unreachable!("dense stores have dense places"),
        }
    }

    fn put_sparse(
        &self,
        row: usize,
        map: Option<&VarMap>,
        columns: &[u32],
        values: Slice<'_>,
        scratch: &mut PlaceScratch,
    ) {
        match &mut *self.started() {
            Filled::Dense(out) => {
                let at = row * self.width();
                with_dtype!(self.dtype, T => {
                    let out = T::as_mut_vec(out).expect("its own type");
                    out[at..at + self.width()].fill(T::default());
                });
                put_sparse(out, at, map, columns, values);
            }
            Filled::Sparse {
                columns: out_columns,
                values: out,
                lens,
            } => {
                let Layout::Sparse { starts } = &self.layout else {
                    unreachable!("these rows have places of their own")
                };
                let place = starts[row]..starts[row + 1];
                let out_columns = &mut out_columns[place.clone()];
                let len = with_dtype!(self.dtype, T => {
                    let out = &mut T::as_mut_vec(out).expect("its own type")[place];
                    self.join::<T>(map, columns, values, (out_columns, out), scratch)
                });
                lens[row] = len as u32;
            }
            Filled::Packed(rows) => {
                let packed = with_dtype!(self.dtype, T => {
                    self.pack::<T>(rows, row, map, (columns, values), scratch)
                });
                // A sample is enough, and threads do not meet at every row.
                if row.is_multiple_of(16) {
                    self.waiting
                        .count_packed(self.packed_row_bytes(row), packed);
                }
            }
            Filled::Empty | Filled::Discarded => {}
        }
    }

    fn pack<T: Pack>(
        &self,
        rows: &mut PackedRows,
        row: usize,
        map: Option<&VarMap>,
        (columns, values): (&[u32], Slice<'_>),
        scratch: &mut PlaceScratch,
    ) -> usize {
        if let (None, Some(values)) = (map, T::from_slice(values)) {
            return rows.put(row, columns, values, &self.waiting);
        }
        let mut joint_columns = std::mem::take(&mut scratch.columns);
        let mut joint_values = match scratch.values.take() {
            Some(values) if values.dtype() == self.dtype => values,
            _ => Values::new(self.dtype),
        };
        // Every element is written before it is read.
        if joint_columns.len() < columns.len() {
            joint_columns.resize(columns.len(), 0);
        }
        if joint_values.len() < columns.len() {
            joint_values.resize(columns.len());
        }
        let out = T::as_mut_vec(&mut joint_values).expect("its own type");
        let len = self.join::<T>(map, columns, values, (&mut joint_columns, out), scratch);
        let packed = rows.put(row, &joint_columns[..len], &out[..len], &self.waiting);
        scratch.columns = joint_columns;
        scratch.values = Some(joint_values);
        packed
    }

    /// Joint columns and converted values of a row; gives their number.
    fn join<T: Stored>(
        &self,
        map: Option<&VarMap>,
        columns: &[u32],
        values: Slice<'_>,
        (out_columns, out): (&mut [u32], &mut [T]),
        scratch: &mut PlaceScratch,
    ) -> usize {
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            match map {
                None => {
                    out_columns[..columns.len()].copy_from_slice(columns);
                    out.iter_mut().zip(source).for_each(|(o, &v)| *o = T::cast_from(v));
                    columns.len()
                }
                Some(map) if self.output == Output::Dense => {
                    // Rows that become dense need no order.
                    let to_joint = map.file_to_joint().expect("not the identity");
                    let mut n = 0;
                    for (&column, &value) in columns.iter().zip(source) {
                        let joint = to_joint[column as usize];
                        out_columns[n] = joint;
                        out[n] = T::cast_from(value);
                        n += usize::from(joint != ABSENT);
                    }
                    n
                }
                Some(map) => {
                    let PlaceScratch { sort, pairs, .. } = scratch;
                    map.remap_distinct(columns, sort, pairs).expect(COLUMNS_ARE_CHECKED);
                    for (i, &(column, from)) in pairs.iter().enumerate() {
                        out_columns[i] = column;
                        out[i] = T::cast_from(source[from as usize]);
                    }
                    pairs.len()
                }
            }
        })
    }

    /// Forgets the rows, and those still to come.
    pub(crate) fn discard(&self) {
        let filled = std::mem::replace(&mut *self.lock(), Filled::Discarded);
        self.count_out(&filled);
        if let Filled::Packed(rows) = filled {
            rows.release(&self.waiting);
        }
    }

    /// Rows do not wait any more.
    fn count_out(&self, filled: &Filled) {
        if let Filled::Dense(_) | Filled::Sparse { .. } = filled {
            self.waiting.remove(self.placed_bytes());
        }
    }

    /// The matrix, with every row that arrived in its place. Its memory leaves with it.
    pub(crate) fn finish(&self) -> Matrix {
        let filled = std::mem::replace(&mut *self.started(), Filled::Discarded);
        self.count_out(&filled);
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
                columns,
                values,
                lens,
            } => self.close_gaps(columns, values, &lens),
            Filled::Packed(rows) => {
                let matrix = match self.output {
                    Output::Dense => {
                        let mut values = self.take(n_rows * width, false).1;
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
                    Output::Csr => self.unpack(&rows),
                };
                rows.release(&self.waiting);
                matrix
            }
            Filled::Empty | Filled::Discarded => unreachable!("a batch is finished once"),
        }
    }

    fn unpack(&self, rows: &PackedRows) -> Matrix {
        let mut indptr = Vec::with_capacity(self.n_rows + 1);
        indptr.push(0);
        let mut end = 0;
        indptr.extend((0..self.n_rows).map(|row| {
            end += rows.len(row);
            end
        }));
        let (mut columns, mut values) = self.take(end, true);
        with_dtype!(self.dtype, T => {
            let values = T::as_mut_vec(&mut values).expect("its own type");
            for (row, place) in indptr.windows(2).enumerate() {
                let place = place[0]..place[1];
                rows.read(row, &mut columns[place.clone()], &mut values[place]);
            }
        });
        csr(self.n_rows, self.width(), &indptr, columns, values)
    }

    /// Rows that lost columns in the join leave gaps: closes them.
    fn close_gaps(&self, mut columns: Vec<u32>, mut values: Values, lens: &[u32]) -> Matrix {
        let Layout::Sparse { starts } = &self.layout else {
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

impl Drop for MatrixSlots {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Puts the rows of one read into their places.
pub(crate) struct SlotSink<'a, 's, F> {
    map: Option<&'a VarMap>,
    /// The matrix, and the row in it, of each row that is read.
    place: F,
    scratch: &'s mut PlaceScratch,
    /// The matrix that room was last given in.
    given: Option<MutexGuard<'a, Filled>>,
}

impl<'a, 's, F> SlotSink<'a, 's, F> {
    pub(crate) fn new(map: Option<&'a VarMap>, place: F, scratch: &'s mut PlaceScratch) -> Self {
        SlotSink {
            map,
            place,
            scratch,
            given: None,
        }
    }
}

impl<'a, F: Fn(usize) -> (&'a MatrixSlots, usize)> RowSink for SlotSink<'a, '_, F> {
    fn dense(&mut self, row: usize, start: usize, values: Slice<'_>) {
        self.given = None;
        let (slots, row) = (self.place)(row);
        slots.put_dense(row, self.map, start, values);
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: Slice<'_>) {
        self.given = None;
        let (slots, row) = (self.place)(row);
        slots.put_sparse(row, self.map, columns, values, self.scratch);
    }

    fn room(&mut self, row: usize, len: usize, dtype: DType) -> Option<Room<'_>> {
        // One lock at a time, or threads could wait for each other's.
        self.given = None;
        let (slots, row) = (self.place)(row);
        let Layout::Sparse { starts } = &slots.layout else {
            return None;
        };
        if self.map.is_some() || slots.dtype != dtype {
            return None;
        }
        let Filled::Sparse {
            columns,
            values,
            lens,
        } = &mut **self.given.insert(slots.started())
        else {
            return None;
        };
        lens[row] = len as u32;
        let place = starts[row]..starts[row] + len;
        let columns = &mut columns[place.clone()];
        let values = with_dtype!(dtype, T => {
            let values = T::as_mut_vec(values).expect("its own type");
            bytemuck::cast_slice_mut(&mut values[place])
        });
        Some(Room { columns, values })
    }
}
