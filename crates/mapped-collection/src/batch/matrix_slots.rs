//! The places of one matrix's rows, which arrive in any order and from many threads.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anndata_io::{DType, Scalar, Values, ValuesRef, with_dtype};
use row_pack::{Level, RowPacker};

use crate::batch::MatrixFormat;
use crate::batch::packed::{PackedRows, Packer};
use crate::batch::row_writer::{JoinScratch, RowFault, RowWriter};
use crate::batch::waiting::WaitingRows;

/// One matrix of a batch while its rows arrive. Every row has its place from the start.
#[derive(Debug)]
pub(crate) struct MatrixSlots {
    pub(super) n_rows: usize,
    pub(super) row_shape: Vec<usize>,
    /// The type of its rows while they wait.
    pub(super) dtype: DType,
    /// The type of the finished matrix.
    pub(super) final_dtype: DType,
    pub(super) format: MatrixFormat,
    pub(super) storage: RowStorage,
    pub(super) waiting: Arc<WaitingRows>,
    /// The first row allocates the memory.
    filled: Mutex<Filled>,
}

/// How rows lie until the batch is finished.
#[derive(Debug)]
pub(crate) enum RowStorage {
    /// Dense, in their final places.
    Dense {
        /// Whether rows may leave elements unwritten. Those are zeros.
        zeros: bool,
    },
    /// Sparse. They stay in place unless a row is shorter than its place.
    Sparse {
        /// Where each row's elements may begin, and the end.
        starts: Vec<usize>,
    },
    /// Sparse and packed.
    Packed {
        level: Level,
        /// The most elements that each row may have.
        lens: Vec<u32>,
    },
}

/// The rows that have arrived.
#[derive(Debug)]
pub(crate) enum Filled {
    Empty,
    Dense {
        values: Values,
        /// Whether rows that have not arrived are zeros.
        zeroed: bool,
    },
    Sparse {
        columns: Vec<u32>,
        values: Values,
        lens: Vec<u32>,
    },
    Packed(PackedRows),
    /// The rows are no longer wanted.
    Discarded,
}

/// Scratch memory for placing rows. A thread keeps it from row to row.
#[derive(Debug, Default)]
pub(crate) struct PlaceScratch {
    pub(super) join: JoinScratch,
    packer: Option<Packer>,
    columns: Vec<u32>,
    values: Option<Values>,
}

impl RowStorage {
    /// Sparse rows, and the most elements that each may have.
    pub(crate) fn sparse(lens: impl Iterator<Item = usize>, pack: Option<Level>) -> RowStorage {
        if let Some(level) = pack {
            let lens = lens.map(|len| len as u32).collect();
            return RowStorage::Packed { level, lens };
        }
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(lens.map(|len| {
            end += len;
            end
        }));
        RowStorage::Sparse { starts }
    }
}

impl MatrixSlots {
    /// Makes places for rows. The rows take their memory from `waiting`, which counts them.
    pub(crate) fn new(
        n_rows: usize,
        row_shape: Vec<usize>,
        (dtype, final_dtype): (DType, DType),
        (storage, format): (RowStorage, MatrixFormat),
        waiting: &Arc<WaitingRows>,
    ) -> Self {
        MatrixSlots {
            n_rows,
            row_shape,
            dtype,
            final_dtype,
            format,
            storage,
            waiting: waiting.clone(),
            filled: Mutex::new(Filled::Empty),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.row_shape.iter().product()
    }

    /// The most bytes that a row may take while it waits, if rows are packed.
    pub(crate) fn packed_row_bytes(&self, row: usize) -> usize {
        match &self.storage {
            RowStorage::Packed { lens, .. } => {
                RowPacker::most_bytes(lens[row] as usize, self.width(), self.dtype.size())
            }
            _ => 0,
        }
    }

    /// How tightly rows are packed, if they are.
    pub(crate) fn level(&self) -> Option<Level> {
        match self.storage {
            RowStorage::Packed { level, .. } => Some(level),
            _ => None,
        }
    }

    /// The bytes that the first row allocates for all rows, if they are not packed.
    pub(crate) fn placed_bytes(&self) -> usize {
        match &self.storage {
            RowStorage::Packed { .. } => 0,
            RowStorage::Dense { .. } => self.n_rows * self.width() * self.dtype.size(),
            RowStorage::Sparse { .. } => self.finished_bytes(),
        }
    }

    /// The bytes that the first row takes beyond its own: those of all places, or of a block.
    pub(crate) fn begun_bytes(&self) -> usize {
        match &self.storage {
            RowStorage::Packed { .. } => self.waiting.block_bytes(),
            _ => self.placed_bytes(),
        }
    }

    /// The bytes of the finished matrix.
    pub(crate) fn finished_bytes(&self) -> usize {
        let size = self.final_dtype.size();
        let dense = self.n_rows * self.width() * size;
        match (&self.storage, self.format) {
            (RowStorage::Dense { .. }, _) | (_, MatrixFormat::Dense) => dense,
            (RowStorage::Sparse { starts }, _) => starts.last().unwrap_or(&0) * (4 + size),
            (RowStorage::Packed { lens, .. }, _) => {
                lens.iter().map(|&len| len as usize).sum::<usize>() * (4 + size)
            }
        }
    }

    /// The place of a dense row.
    fn place(&self, row: usize) -> Range<usize> {
        row * self.width()..(row + 1) * self.width()
    }

    fn lock(&self) -> MutexGuard<'_, Filled> {
        self.filled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, filled: &mut Filled) {
        self.waiting.add(self.placed_bytes());
        let pool = self.waiting.pool();
        *filled = match &self.storage {
            RowStorage::Dense { zeros } => {
                let (mut values, mut zeroed) =
                    pool.take_dense(self.dtype, self.n_rows * self.width());
                if *zeros && !zeroed {
                    values.fill_zero();
                    zeroed = true;
                }
                Filled::Dense { values, zeroed }
            }
            RowStorage::Sparse { starts } => {
                let len = *starts.last().expect("never empty");
                let (columns, values) = pool.take_sparse(self.dtype, len);
                let lens = vec![0; self.n_rows];
                Filled::Sparse {
                    columns,
                    values,
                    lens,
                }
            }
            RowStorage::Packed { level, .. } => {
                Filled::Packed(PackedRows::new(self.n_rows, self.width(), *level))
            }
        };
    }

    pub(super) fn started(&self) -> MutexGuard<'_, Filled> {
        let mut filled = self.lock();
        if matches!(*filled, Filled::Empty) {
            self.start(&mut filled);
        }
        filled
    }

    /// Allocates the memory of all rows, unless they are packed.
    pub(crate) fn begin(&self) {
        if !matches!(self.storage, RowStorage::Packed { .. }) {
            drop(self.started());
        }
    }

    pub(super) fn put_dense(
        &self,
        row: usize,
        writer: RowWriter<'_>,
        (read_row, start): (usize, usize),
        values: ValuesRef<'_>,
        scratch: &mut PlaceScratch,
    ) -> Result<(), RowFault> {
        match &mut *self.started() {
            Filled::Dense { values: out, .. } => {
                let place = (out, self.place(row), read_row);
                writer.dense(place, (start, values), &mut scratch.join)
            }
            Filled::Discarded => Ok(()),
            _ => unreachable!("dense stores have dense places"),
        }
    }

    pub(super) fn put_sparse(
        &self,
        row: usize,
        writer: RowWriter<'_>,
        columns: &[u32],
        values: ValuesRef<'_>,
        scratch: &mut PlaceScratch,
    ) -> Result<(), RowFault> {
        match &mut *self.started() {
            Filled::Dense {
                values: out,
                zeroed,
                ..
            } => {
                let place = self.place(row);
                if !*zeroed {
                    with_dtype!(self.dtype, T => {
                        let out = T::as_mut_vec(out).expect("its own type");
                        out[place.clone()].fill(T::default());
                    });
                }
                writer.scatter(out, place, (columns, values), &mut scratch.join)?;
            }
            Filled::Sparse {
                columns: out_columns,
                values: out,
                lens,
            } => {
                let RowStorage::Sparse { starts } = &self.storage else {
                    unreachable!("these rows have places of their own")
                };
                let place = starts[row]..starts[row + 1];
                let out_columns = &mut out_columns[place.clone()];
                let len = with_dtype!(self.dtype, T => {
                    let out = &mut T::as_mut_vec(out).expect("its own type")[place];
                    writer.sparse::<T>(columns, values, (out_columns, out), &mut scratch.join)?
                });
                lens[row] = len as u32;
            }
            Filled::Packed(rows) => {
                let packed = with_dtype!(self.dtype, T => {
                    self.pack::<T>(rows, row, writer, (columns, values), scratch)?
                });
                // A sample is enough, and keeps threads from contending at every row.
                if row.is_multiple_of(16) {
                    let most = self.packed_row_bytes(row);
                    self.waiting.count_packed(rows.level(), most, packed);
                }
            }
            Filled::Empty | Filled::Discarded => {}
        }
        Ok(())
    }

    fn pack<T: Scalar>(
        &self,
        rows: &mut PackedRows,
        row: usize,
        writer: RowWriter<'_>,
        (columns, values): (&[u32], ValuesRef<'_>),
        scratch: &mut PlaceScratch,
    ) -> Result<usize, RowFault> {
        let places = (scratch.packer.get_or_insert_default(), &*self.waiting);
        if let (true, Some(values)) = (writer.keeps_rows(), T::from_slice(values)) {
            return Ok(rows.put(row, columns, values, places));
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
        let joint = (&mut joint_columns[..], &mut out[..]);
        // Dense rows need no order, but only sorted columns take few bits.
        let len = match (self.format, rows.level()) {
            (MatrixFormat::Dense, Level::Bytes) => {
                writer.sparse_unordered::<T>(columns, values, joint, &mut scratch.join)
            }
            _ => writer.sparse::<T>(columns, values, joint, &mut scratch.join),
        };
        let packed = len.map(|len| rows.put(row, &joint_columns[..len], &out[..len], places));
        scratch.columns = joint_columns;
        scratch.values = Some(joint_values);
        packed
    }

    /// Discards the rows that have arrived, and those still to come.
    pub(crate) fn discard(&self) {
        let filled = std::mem::replace(&mut *self.lock(), Filled::Discarded);
        self.count_out(&filled);
        if let Filled::Packed(rows) = filled {
            rows.release(&self.waiting);
        }
    }

    /// Records that the rows wait no longer.
    pub(super) fn count_out(&self, filled: &Filled) {
        if let Filled::Dense { .. } | Filled::Sparse { .. } = filled {
            self.waiting.remove(self.placed_bytes());
        }
    }
}

impl Drop for MatrixSlots {
    fn drop(&mut self) {
        self.discard();
    }
}
