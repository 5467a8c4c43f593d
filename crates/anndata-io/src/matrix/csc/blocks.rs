//! Conversion through a temporary file: sorts entries by blocks of rows, then each block by rows.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use memmap2::Mmap;

use super::{CscMatrix, Entry, Progress, Word};
use crate::error::Error;
use crate::limits::{CSC_SORT_BYTES, MIN_CSC_BLOCK_BYTES};

impl CscMatrix {
    /// Writes all columns, then all values, to an unlinked file, and maps it.
    pub(super) fn in_file<T: Word>(
        &self,
        starts: &[u64],
        progress: Progress<'_>,
    ) -> Result<Mmap, Error> {
        let n_entries = self.n_entries();
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
        // First pass: sort by blocks of rows.
        let mut writers = blocks.writers::<T>(&parts, starts);
        let report = &mut |done| progress(n_entries + done, 3 * n_entries);
        self.for_each(report, |entry: Entry<T>| {
            let block = blocks
                .of_row
                .get(entry.row as usize)
                .ok_or_else(|| self.changed())?;
            let writer = &mut writers[*block as usize];
            writer.push(&entry).map_err(temporary)
        })?;
        for writer in &mut writers {
            writer.flush().map_err(temporary)?;
            if writer.at != writer.end {
                return Err(self.changed());
            }
        }
        drop(writers);
        // Second pass: sort each block by rows.
        let (mut bytes, mut columns, mut values) = (Vec::new(), Vec::new(), Vec::<T>::new());
        for rows in &blocks.rows {
            let first = starts[rows.start];
            let n_in_block = (starts[rows.end] - first) as usize;
            bytes.resize(n_in_block * Entry::<T>::LEN, 0);
            let offset = first * Entry::<T>::LEN as u64;
            parts.read_exact_at(&mut bytes, offset).map_err(temporary)?;
            columns.resize(n_in_block, 0u32);
            values.resize(n_in_block, T::default());
            let mut next = starts[rows.clone()].to_vec();
            for entry in bytes
                .chunks_exact(Entry::<T>::LEN)
                .map(Entry::<T>::from_bytes)
            {
                let place = &mut next[entry.row as usize - rows.start];
                let at = (*place - first) as usize;
                // If a row has more entries than were counted, it would reach beyond its block.
                if at >= n_in_block {
                    return Err(self.changed());
                }
                (columns[at], values[at]) = (entry.column, entry.value);
                *place += 1;
            }
            let write =
                |bytes: &[u8], offset| sorted.write_all_at(bytes, offset).map_err(temporary);
            write(bytemuck::cast_slice(&columns), first * 4)?;
            let offset = n_entries * 4 + first * size_of::<T>() as u64;
            write(bytemuck::cast_slice(&values), offset)?;
            progress(2 * n_entries + starts[rows.end], 3 * n_entries);
        }
        // SAFETY: the map is read-only, and its bytes are only ever copied out. The file has no
        // name, so nobody else can change it.
        unsafe { Mmap::map(&sorted) }.map_err(temporary)
    }
}

impl<T: Word> Entry<T> {
    const LEN: usize = 8 + size_of::<T>();

    fn from_bytes(bytes: &[u8]) -> Entry<T> {
        Entry {
            row: bytemuck::pod_read_unaligned(&bytes[..4]),
            column: bytemuck::pod_read_unaligned(&bytes[4..8]),
            value: bytemuck::pod_read_unaligned(&bytes[8..]),
        }
    }
}

/// The rows, divided into blocks that fit into memory.
struct Blocks {
    rows: Vec<Range<usize>>,
    of_row: Vec<u32>,
}

impl Blocks {
    /// Divides rows into blocks of `entry_bytes` bytes per entry; no row is divided.
    fn new(starts: &[u64], entry_bytes: u64) -> Blocks {
        let most = CSC_SORT_BYTES / entry_bytes;
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
        let at = |row: usize| starts[row] * Entry::<T>::LEN as u64;
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

/// Writes the entries of a block.
struct Writer<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    capacity: usize,
}

impl Writer<'_> {
    fn push<T: Word>(&mut self, entry: &Entry<T>) -> io::Result<()> {
        if self.buffer.len() + Entry::<T>::LEN > self.capacity {
            self.flush()?;
        }
        self.buffer
            .extend_from_slice(bytemuck::bytes_of(&entry.row));
        self.buffer
            .extend_from_slice(bytemuck::bytes_of(&entry.column));
        self.buffer
            .extend_from_slice(bytemuck::bytes_of(&entry.value));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Another block begins there, so the file changed.
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
