//! Compressed sparse columns, converted to rows on the first read.
//!
//! Two passes over the file: one counts the entries of each row, one puts them in their places. If
//! the rows do not fit into the free part of the memory budget, the second pass sorts the entries
//! by blocks of rows into a temporary file; each block is then put in order and written to another
//! file. Both ways visit the columns in order, so those of each row ascend.
//!
//! ```text
//! columns in the file ─▶ row_starts: counts ─▶ where each row begins
//!                     ─▶ for_each ─┬─ memory.rs: each entry to its place        budget allows it
//!                                  └─ blocks.rs: by blocks of rows, to a file   otherwise
//!                                            └─▶ arrays over that memory ─▶ CsrMatrix
//! ```

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytemuck::{AnyBitPattern, NoUninit};
use once_cell::race::OnceBox;

use super::compressed::Compressed;
use super::csr::CsrMatrix;
use super::{PackedRows, ReadScratch};
use crate::array::chunk_reader::CachePolicy;
use crate::array::chunks::Chunks;
use crate::array::grid::Grid;
use crate::array::{Array, ArrayParts, ItemType, STEP_ELEMENTS};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::io::bytes::{ByteSource, Memory};
use crate::io::fork::ForkLocal;
use crate::io::lock::lock;
use crate::store::Store;

mod blocks;
mod memory;

use memory::Mapped;

/// The progress of a preparation: entries done, and entries to do. Each entry of a matrix counts
/// several times, once per pass.
pub(super) type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// A CSC matrix: column pointers in memory, and the same matrix by rows after it was converted.
#[derive(Debug, Clone)]
pub(super) struct CscMatrix {
    columns: Compressed,
    by_row: Arc<ByRow>,
}

#[derive(Debug)]
struct ByRow {
    converted: OnceBox<CsrMatrix>,
    /// Rows that an earlier process left in a cache on disk.
    packed: OnceBox<PackedRows>,
    /// Held by the thread that converts the matrix. A forked child has its own lock; a matrix that was
    /// converted before the fork is ready in the child too.
    converting: ForkLocal<Mutex<()>>,
}

impl CscMatrix {
    pub(super) fn open(store: &Store, element: &str) -> Result<CscMatrix, Error> {
        let columns = Compressed::open(store, element, 1)?;
        if columns.shape.iter().any(|&n| n > u64::from(u32::MAX)) {
            let found = format!("shape {:?}", columns.shape);
            return Err(store.invalid(element, "fewer than 2^32 rows and columns", found));
        }
        Ok(CscMatrix {
            columns,
            by_row: Arc::new(ByRow {
                converted: OnceBox::new(),
                packed: OnceBox::new(),
                converting: ForkLocal::new(Mutex::default),
            }),
        })
    }

    /// The parts as they are in the file.
    pub(super) fn parts(&self) -> &Compressed {
        &self.columns
    }

    pub(super) fn shape(&self) -> &[u64] {
        &self.columns.shape
    }

    pub(super) fn dtype(&self) -> DType {
        self.columns.dtype()
    }

    /// The matrix by rows, if this process or its parent converted it.
    pub(super) fn converted(&self) -> Option<&CsrMatrix> {
        self.by_row.converted.get()
    }

    /// Its rows in a cache, if they were found.
    pub(super) fn packed(&self) -> Option<&PackedRows> {
        self.by_row.packed.get()
    }

    pub(super) fn set_packed(&self, rows: PackedRows) -> &PackedRows {
        self.by_row.packed.get_or_init(|| Box::new(rows))
    }

    /// The length of a row that exists, once it is known.
    pub(super) fn row_len(&self, row: u64) -> Option<u64> {
        let packed = || self.packed().map(|packed| &packed.index);
        self.converted().or_else(packed)?.stored_len(row)
    }

    /// Whether rows can be read without converting the matrix.
    pub(super) fn is_ready(&self) -> bool {
        self.converted().is_some() || self.packed().is_some()
    }

    /// Returns the matrix by rows, and whether this call converted it.
    pub(super) fn rows(&self, progress: Progress<'_>) -> Result<(&CsrMatrix, bool), Error> {
        let _converting = lock(self.by_row.converting.get());
        if let Some(rows) = self.converted() {
            return Ok((rows, false));
        }
        let rows = match self.columns.dtype().size() {
            1 => self.convert::<u8>(progress)?,
            2 => self.convert::<u16>(progress)?,
            4 => self.convert::<u32>(progress)?,
            _ => self.convert::<u64>(progress)?,
        };
        // Callers may have made room for rows of the lengths that the cache states.
        if let Some(packed) = self.packed()
            && packed.index.parts().indptr != rows.parts().indptr
        {
            let expected = "the row lengths that the cache on disk states (clear the cache)";
            return Err(self.columns.indices.invalid(expected, "others"));
        }
        Ok((self.by_row.converted.get_or_init(|| Box::new(rows)), true))
    }

    fn convert<T: Word>(&self, progress: Progress<'_>) -> Result<CsrMatrix, Error> {
        let n_entries = self.n_entries();
        let bytes = n_entries.saturating_mul(4 + size_of::<T>() as u64);
        let context = &self.columns.data.parts().context;
        let reservation = context.pack_room().reserve(bytes);
        let n_passes = if reservation.is_some() { 2 } else { 3 };
        let starts = self.row_starts(&mut |done| progress(done, n_passes * n_entries))?;
        let (columns, values) = match reservation {
            Some(reservation) => {
                let (columns, values) = self.in_memory::<T>(&starts, progress)?;
                let reservation = Arc::new(reservation);
                let kept = |map| Memory::new(Mapped::new(map, Some(reservation.clone())));
                ((kept(columns), 0), (kept(values), 0))
            }
            None => {
                let map = self.in_file::<T>(&starts, progress)?;
                let memory = Memory::new(Mapped::new(map, None));
                ((memory.clone(), 0), (memory, n_entries * 4))
            }
        };
        self.as_rows(starts, columns, values)
    }

    /// Rows that begin at `starts`, without their bytes.
    pub(super) fn index(&self, starts: Vec<u64>) -> Result<CsrMatrix, Error> {
        let nothing = (Memory::new([0u8; 0]), 0);
        self.as_rows(starts, nothing.clone(), nothing)
    }

    /// Makes a matrix of row starts and of the places of its columns and values.
    fn as_rows(
        &self,
        starts: Vec<u64>,
        columns: (Memory, u64),
        values: (Memory, u64),
    ) -> Result<CsrMatrix, Error> {
        Ok(CsrMatrix::new(Compressed {
            shape: self.columns.shape,
            major: 0,
            indptr: Arc::new(starts),
            indices: self.array(&self.columns.indices, DType::U32, columns)?,
            data: self.array(&self.columns.data, self.dtype(), values)?,
        }))
    }

    pub(super) fn n_entries(&self) -> u64 {
        self.columns.indptr.last().copied().unwrap_or_default()
    }

    fn n_rows(&self) -> usize {
        self.columns.shape[0] as usize
    }

    /// Returns the start of each row's entries, and the end of the last.
    fn row_starts(&self, progress: &mut dyn FnMut(u64)) -> Result<Vec<u64>, Error> {
        let mut scratch = self.scratch()?;
        // Counts stand one place later, so that their sums are the starts.
        let mut starts = vec![0u64; self.n_rows() + 1];
        for range in self.steps() {
            let raw = self.columns.indices.read_or_view(
                range.clone(),
                &mut scratch.indices,
                &mut scratch.raw_columns,
            )?;
            for &row in self.columns.minors(raw, &mut scratch.columns)? {
                match starts.get_mut(row as usize + 1) {
                    Some(count) => *count += 1,
                    None => return Err(self.columns.no_such_minor(row.into())),
                }
            }
            progress(range.end);
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Ok(starts)
    }

    /// Returns ranges of entries, each within one chunk of the row numbers.
    fn steps(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let n_entries = self.n_entries();
        let chunk = match self.columns.is_direct() {
            true => STEP_ELEMENTS,
            false => self.columns.indices.chunk_shape()[0].min(STEP_ELEMENTS * 16),
        };
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = at;
            at = (at / chunk + 1).saturating_mul(chunk).min(n_entries);
            (start < at).then_some(start..at)
        })
    }

    fn scratch(&self) -> Result<ReadScratch, Error> {
        let mut scratch = ReadScratch::for_scan();
        // A pass needs each chunk only once.
        let (indices, data) = (&self.columns.indices, &self.columns.data);
        scratch.indices.begin(indices, CachePolicy::Nothing)?;
        scratch.data.begin(data, CachePolicy::Nothing)?;
        Ok(scratch)
    }

    /// Hands out all entries in the order of the columns.
    fn for_each<T: Word>(
        &self,
        progress: &mut dyn FnMut(u64),
        mut visit: impl FnMut(Entry<T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut scratch = self.scratch()?;
        let indptr = &self.columns.indptr[..];
        let mut column = 0;
        for range in self.steps() {
            let raw = self.columns.indices.read_or_view(
                range.clone(),
                &mut scratch.indices,
                &mut scratch.raw_columns,
            )?;
            let rows = self.columns.minors(raw, &mut scratch.columns)?;
            let values = self.columns.data.read_or_view(
                range.clone(),
                &mut scratch.data,
                &mut scratch.raw_values,
            )?;
            let values: &[T] = bytemuck::cast_slice(values);
            let mut at = range.start;
            while at < range.end {
                // Skip columns without entries.
                while indptr[column + 1] <= at {
                    column += 1;
                }
                let end = indptr[column + 1].min(range.end);
                let within = (at - range.start) as usize..(end - range.start) as usize;
                for (&row, &value) in rows[within.clone()].iter().zip(&values[within]) {
                    let column = column as u32;
                    visit(Entry { row, column, value })?;
                }
                at = end;
            }
            progress(range.end);
        }
        Ok(())
    }

    /// The error of a second pass when the file changed after the first.
    fn changed(&self) -> Error {
        self.columns.indices.error(ErrorKind::Changed)
    }

    /// Makes an array of all entries at a place, named as the one in the file.
    fn array(
        &self,
        of_file: &Array,
        dtype: DType,
        (memory, offset): (Memory, u64),
    ) -> Result<Array, Error> {
        let grid = Grid::single(vec![self.n_entries()]);
        let chunks = Chunks::Contiguous {
            source: ByteSource::Memory(memory),
            offset,
        };
        Ok(Array::new(ArrayParts::plain(
            of_file.parts().context.clone(),
            of_file.file().to_owned(),
            of_file.element().to_owned(),
            grid.ok_or_else(|| self.changed())?,
            ItemType::Number(dtype),
            chunks,
        )))
    }
}

/// One entry on its way to its row.
struct Entry<T> {
    row: u32,
    column: u32,
    value: T,
}

/// Types that hold values by their bits.
trait Word: AnyBitPattern + NoUninit + Default + Send + Sync {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}
