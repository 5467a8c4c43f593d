//! Compressed sparse columns, turned into rows when they are first read.
//!
//! Two passes over the file: one counts the elements of each row, one puts them in their places.
//! Where the rows do not fit into the memory that is left for them, the second pass sorts the
//! elements by blocks of rows into a temporary file, from which each block is then put in order
//! and written to another one. Either way columns are passed in order, so those of each row ascend.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::{AnyBitPattern, NoUninit};
use memmap2::{Mmap, MmapMut};
use once_cell::race::OnceBox;

use super::ReadScratch;
use super::compressed::Compressed;
use super::csr::CsrMatrix;
use crate::array::chunk_reader::CachePolicy;
use crate::array::chunks::Chunks;
use crate::array::decode::CodecPipeline;
use crate::array::grid::Grid;
use crate::array::{Array, ArrayParts, ItemType, STEP_ELEMENTS};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::io::bytes::{ByteSource, Memory};
use crate::io::context::{IoContext, Reservation};
use crate::io::fork::ForkLocal;
use crate::limits::{CSC_SORT_BYTES, MIN_CSC_BLOCK_BYTES};
use crate::store::Store;

/// How far a preparation is: elements done, and elements to do. A matrix counts several times,
/// once for each pass.
pub(super) type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// A CSC matrix: column pointers in memory, and the same matrix by rows once it was read.
#[derive(Debug, Clone)]
pub(super) struct CscMatrix {
    columns: Compressed,
    by_row: Arc<ByRow>,
}

#[derive(Debug)]
struct ByRow {
    ready: OnceBox<CsrMatrix>,
    /// Held by the thread that turns the matrix. A forked child has one of its own, and what is
    /// ready by then is ready in the child.
    turning: ForkLocal<Mutex<()>>,
}

impl CscMatrix {
    pub(super) fn open(store: &Store, element: &str) -> Result<CscMatrix, Error> {
        let columns = Compressed::open(store, element, 1)?;
        if columns.shape.iter().any(|&n| n > u64::from(u32::MAX)) {
            let found = format!("shape {:?}", columns.shape);
            return Err(store.invalid(element, "less than 2^32 rows and columns", found));
        }
        Ok(CscMatrix {
            columns,
            by_row: Arc::new(ByRow {
                ready: OnceBox::new(),
                turning: ForkLocal::new(Mutex::default),
            }),
        })
    }

    /// As it is in the file.
    pub(super) fn parts(&self) -> &Compressed {
        &self.columns
    }

    pub(super) fn shape(&self) -> &[u64] {
        &self.columns.shape
    }

    pub(super) fn dtype(&self) -> DType {
        self.columns.dtype()
    }

    /// The matrix by rows, if it was turned.
    pub(super) fn ready(&self) -> Option<&CsrMatrix> {
        self.by_row.ready.get()
    }

    /// The matrix by rows, turned now if it was not.
    pub(super) fn rows(&self, progress: Progress<'_>) -> Result<&CsrMatrix, Error> {
        if let Some(rows) = self.ready() {
            return Ok(rows);
        }
        let lock = self.by_row.turning.get();
        let _turning = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = self.ready() {
            return Ok(rows);
        }
        let rows = match self.columns.dtype().size() {
            1 => self.turn::<u8>(progress)?,
            2 => self.turn::<u16>(progress)?,
            4 => self.turn::<u32>(progress)?,
            _ => self.turn::<u64>(progress)?,
        };
        Ok(self.by_row.ready.get_or_init(|| Box::new(rows)))
    }

    fn turn<T: Word>(&self, progress: Progress<'_>) -> Result<CsrMatrix, Error> {
        let n_elements = self.n_elements();
        let bytes = n_elements.saturating_mul(4 + size_of::<T>() as u64);
        let context = &self.columns.data.parts().context;
        let reservation = context.reserve_csc(bytes);
        let n_passes = if reservation.is_some() { 2 } else { 3 };
        let starts = self.row_starts(&mut |done| progress(done, n_passes * n_elements))?;
        let (columns, values) = match reservation {
            Some(reservation) => {
                let (columns, values) = self.in_memory::<T>(&starts, progress)?;
                let reservation = Arc::new(reservation);
                let kept = |map| Memory::new(Mapped(map, Some(reservation.clone())));
                ((kept(columns), 0), (kept(values), 0))
            }
            None => {
                let map = self.in_file::<T>(&starts, progress)?;
                let memory = Memory::new(Mapped(map, None));
                ((memory.clone(), 0), (memory, n_elements * 4))
            }
        };
        Ok(CsrMatrix::new(Compressed {
            shape: self.columns.shape,
            major: 0,
            indptr: Arc::new(starts),
            indices: self.array(&self.columns.indices, DType::U32, columns)?,
            data: self.array(&self.columns.data, self.dtype(), values)?,
        }))
    }

    fn n_elements(&self) -> u64 {
        self.columns.indptr.last().copied().unwrap_or_default()
    }

    fn n_rows(&self) -> usize {
        self.columns.shape[0] as usize
    }

    /// Where the elements of each row begin, and the end.
    fn row_starts(&self, progress: &mut dyn FnMut(u64)) -> Result<Vec<u64>, Error> {
        let mut scratch = self.scratch()?;
        // Counts stand one place on, so that their sums are the starts.
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

    /// Ranges of elements that lie in one chunk of the row numbers.
    fn steps(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let n_elements = self.n_elements();
        let chunk = match self.columns.is_direct() {
            true => STEP_ELEMENTS,
            false => self.columns.indices.chunk_shape()[0].min(STEP_ELEMENTS * 16),
        };
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = at;
            at = (at / chunk + 1).saturating_mul(chunk).min(n_elements);
            (start < at).then_some(start..at)
        })
    }

    fn scratch(&self) -> Result<ReadScratch, Error> {
        let mut scratch = ReadScratch::for_scan();
        // No chunk is wanted a second time in a pass.
        let (indices, data) = (&self.columns.indices, &self.columns.data);
        scratch.indices.begin(indices, CachePolicy::Nothing)?;
        scratch.data.begin(data, CachePolicy::Nothing)?;
        Ok(scratch)
    }

    /// Hands out all elements in the order of the columns: row, column, value.
    fn for_each<T: Word>(
        &self,
        progress: &mut dyn FnMut(u64),
        mut visit: impl FnMut(u32, u32, T) -> Result<(), Error>,
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
                // Columns without elements are passed over.
                while indptr[column + 1] <= at {
                    column += 1;
                }
                let end = indptr[column + 1].min(range.end);
                let within = (at - range.start) as usize..(end - range.start) as usize;
                for (&row, &value) in rows[within.clone()].iter().zip(&values[within]) {
                    visit(row, column as u32, value)?;
                }
                at = end;
            }
            progress(range.end);
        }
        Ok(())
    }

    /// What a second pass finds when the file changed after the first.
    fn changed(&self) -> Error {
        self.columns.indices.error(ErrorKind::Changed)
    }

    fn in_memory<T: Word>(
        &self,
        starts: &[u64],
        progress: Progress<'_>,
    ) -> Result<(Mmap, Mmap), Error> {
        let n_elements = self.n_elements();
        let mut next = starts[..self.n_rows()].to_vec();
        let failed = |error| self.columns.indices.error(ErrorKind::Io(Arc::new(error)));
        let mut column_map = pages(n_elements * 4).map_err(failed)?;
        let mut value_map = pages(n_elements * size_of::<T>() as u64).map_err(failed)?;
        let columns: &mut [u32] = bytemuck::cast_slice_mut(&mut column_map);
        let values: &mut [T] = bytemuck::cast_slice_mut(&mut value_map);
        let report = &mut |done| progress(n_elements + done, 2 * n_elements);
        self.for_each(report, |row, column, value: T| {
            let place = next.get_mut(row as usize).ok_or_else(|| self.changed())?;
            let at = *place as usize;
            match (columns.get_mut(at), values.get_mut(at)) {
                (Some(column_at), Some(value_at)) => (*column_at, *value_at) = (column, value),
                _ => return Err(self.changed()),
            }
            *place += 1;
            Ok(())
        })?;
        let read_only = |map: MmapMut| map.make_read_only().map_err(failed);
        Ok((read_only(column_map)?, read_only(value_map)?))
    }

    /// All columns, then all values, in an unlinked file, mapped.
    fn in_file<T: Word>(&self, starts: &[u64], progress: Progress<'_>) -> Result<Mmap, Error> {
        let n_elements = self.n_elements();
        let temporary = |error| {
            let element = format!(
                "{} (as rows, in {})",
                self.columns.indices.element(),
                std::env::temp_dir().display()
            );
            Error::io(self.columns.indices.file(), element, error)
        };
        let blocks = Blocks::new(starts, 2 * (8 + size_of::<T>() as u64));
        let (parts, sorted) = (tempfile::tempfile(), tempfile::tempfile());
        let (parts, sorted) = (parts.map_err(temporary)?, sorted.map_err(temporary)?);
        // By blocks of rows.
        let mut writers = blocks.writers::<T>(&parts, starts);
        let report = &mut |done| progress(n_elements + done, 3 * n_elements);
        self.for_each(report, |row, column, value: T| {
            let block = blocks
                .of_row
                .get(row as usize)
                .ok_or_else(|| self.changed())?;
            let writer = &mut writers[*block as usize];
            let element = Element { row, column, value };
            writer.push(&element).map_err(temporary)
        })?;
        for writer in &mut writers {
            writer.flush().map_err(temporary)?;
            if writer.at != writer.end {
                return Err(self.changed());
            }
        }
        drop(writers);
        // By rows.
        let (mut bytes, mut columns, mut values) = (Vec::new(), Vec::new(), Vec::<T>::new());
        for rows in &blocks.rows {
            let first = starts[rows.start];
            let n_in_block = (starts[rows.end] - first) as usize;
            bytes.resize(n_in_block * Element::<T>::LEN, 0);
            let offset = first * Element::<T>::LEN as u64;
            parts.read_exact_at(&mut bytes, offset).map_err(temporary)?;
            columns.resize(n_in_block, 0u32);
            values.resize(n_in_block, T::default());
            let mut next = starts[rows.clone()].to_vec();
            for element in bytes
                .chunks_exact(Element::<T>::LEN)
                .map(Element::<T>::from_bytes)
            {
                let place = &mut next[element.row as usize - rows.start];
                let at = (*place - first) as usize;
                // A row with more elements than were counted would reach beyond its block.
                if at >= n_in_block {
                    return Err(self.changed());
                }
                (columns[at], values[at]) = (element.column, element.value);
                *place += 1;
            }
            let write =
                |bytes: &[u8], offset| sorted.write_all_at(bytes, offset).map_err(temporary);
            write(bytemuck::cast_slice(&columns), first * 4)?;
            let offset = n_elements * 4 + first * size_of::<T>() as u64;
            write(bytemuck::cast_slice(&values), offset)?;
            progress(2 * n_elements + starts[rows.end], 3 * n_elements);
        }
        // SAFETY: the map is read-only, and its bytes are only ever copied out. The file has no
        // name, so that nobody else can change it.
        unsafe { Mmap::map(&sorted) }.map_err(temporary)
    }

    /// The array of all elements at a place, under the name of the one in the file.
    fn array(
        &self,
        of_file: &Array,
        dtype: DType,
        (memory, offset): (Memory, u64),
    ) -> Result<Array, Error> {
        let grid = Grid::single(vec![self.n_elements()]);
        let context: IoContext = of_file.parts().context.clone();
        Ok(Array::new(ArrayParts {
            context,
            file: of_file.file().to_owned(),
            element: of_file.element().to_owned(),
            grid: grid.ok_or_else(|| self.changed())?,
            item: ItemType::Number(dtype),
            big_endian: false,
            pipeline: CodecPipeline::default(),
            stored_axes: None,
            chunks: Chunks::Contiguous {
                source: ByteSource::Memory(memory),
                offset,
            },
            fill: Vec::new(),
            record: None,
            conversion: None,
            missing: None,
            id: 0,
        }))
    }
}

/// Values by their bits.
trait Word: AnyBitPattern + NoUninit + Default + Send + Sync {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// Rows in memory, and the part of the budget that they take.
struct Mapped(
    Mmap,
    #[expect(dead_code, reason = "its drop is what counts")] Option<Arc<Reservation>>,
);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Memory of zeros for at least so many bytes, in large pages where the system has them: elements
/// are written far from each other, and finding each in a table of small pages takes longer than
/// writing it.
fn pages(n_bytes: u64) -> io::Result<MmapMut> {
    let len = usize::try_from(n_bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let map = MmapMut::map_anon(len.next_multiple_of(8).max(8))?;
    #[cfg(target_os = "linux")]
    if let Err(error) = map.advise(memmap2::Advice::HugePage) {
        tracing::debug!("no large pages: {error}");
    }
    Ok(map)
}

/// One element on its way to its row.
struct Element<T> {
    row: u32,
    column: u32,
    value: T,
}

impl<T: Word> Element<T> {
    const LEN: usize = 8 + size_of::<T>();

    fn from_bytes(bytes: &[u8]) -> Element<T> {
        Element {
            row: bytemuck::pod_read_unaligned(&bytes[..4]),
            column: bytemuck::pod_read_unaligned(&bytes[4..8]),
            value: bytemuck::pod_read_unaligned(&bytes[8..]),
        }
    }
}

/// Rows in blocks that fit into memory.
struct Blocks {
    rows: Vec<Range<usize>>,
    of_row: Vec<u32>,
}

impl Blocks {
    /// Blocks of elements that each take so many bytes; a row is never divided.
    fn new(starts: &[u64], element_bytes: u64) -> Blocks {
        let most = CSC_SORT_BYTES / element_bytes;
        let n_rows = starts.len() - 1;
        let (mut rows, mut of_row) = (Vec::new(), Vec::with_capacity(n_rows));
        let mut first = 0;
        for row in 0..n_rows {
            if row > first && starts[row + 1] - starts[first] > most {
                rows.push(first..row);
                first = row;
            }
            of_row.push(rows.len() as u32);
        }
        if first < n_rows {
            rows.push(first..n_rows);
        }
        Blocks { rows, of_row }
    }

    fn writers<'a, T: Word>(&self, file: &'a File, starts: &[u64]) -> Vec<Writer<'a>> {
        let capacity = (CSC_SORT_BYTES as usize / self.rows.len().max(1)).max(MIN_CSC_BLOCK_BYTES);
        let at = |row: usize| starts[row] * Element::<T>::LEN as u64;
        let writer = |rows: &Range<usize>| Writer {
            file,
            at: at(rows.start),
            end: at(rows.end),
            buffer: Vec::new(),
            capacity,
        };
        self.rows.iter().map(writer).collect()
    }
}

/// Writes the elements of a block.
struct Writer<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    capacity: usize,
}

impl Writer<'_> {
    fn push<T: Word>(&mut self, element: &Element<T>) -> io::Result<()> {
        if self.buffer.len() + Element::<T>::LEN > self.capacity {
            self.flush()?;
        }
        self.buffer
            .extend_from_slice(bytemuck::bytes_of(&element.row));
        self.buffer
            .extend_from_slice(bytemuck::bytes_of(&element.column));
        self.buffer
            .extend_from_slice(bytemuck::bytes_of(&element.value));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Another block begins there: the file changed.
        if self.at + self.buffer.len() as u64 > self.end {
            return Err(io::Error::other("the file changed while it was read"));
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_divide_no_row() {
        let starts = [0, 1, 1, 5, 1_000_000_000, 1_000_000_001];
        let blocks = Blocks::new(&starts, 16);
        assert_eq!(blocks.rows, [0..3, 3..4, 4..5]);
        assert_eq!(blocks.of_row, [0, 0, 0, 1, 2]);
        assert!(Blocks::new(&[0], 16).rows.is_empty());
    }
}
