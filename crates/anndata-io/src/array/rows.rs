//! Reads of rows of arrays of any rank, chunk by chunk.

use std::ops::Range;

use super::chunk_reader::{CachePolicy, ChunkReader};
use super::grid::Grid;
use super::{Array, READ_BYTES};
use crate::dtype::{DType, Values, ValuesRef};
use crate::error::{Error, ErrorKind};
use crate::io::buffers::AlignedBytes;
use crate::limits::MAX_ROW_RANGE_BYTES;

/// The buffers that reads of rows need; the caller keeps them.
pub(crate) struct Buffers<'a> {
    pub(crate) reader: &'a mut ChunkReader,
    pub(crate) bytes: &'a mut AlignedBytes,
}

impl Array {
    /// Checks that rows ascend (repeats are fine) and exist.
    pub(crate) fn check_rows(&self, rows: &[u64], n_rows: u64) -> Result<(), Error> {
        if let Some(pair) = rows.windows(2).find(|pair| pair[0] > pair[1]) {
            let found = format!("row {} before row {}", pair[0], pair[1]);
            return Err(self.invalid("rows in ascending order", found));
        }
        match rows.last() {
            Some(&index) if index >= n_rows => Err(self.error(ErrorKind::OutOfBounds {
                what: "row",
                index,
                len: n_rows,
            })),
            _ => Ok(()),
        }
    }

    /// Reads rows of an array of any rank and hands them out in runs of adjacent elements.
    /// `rows` ascend (repeats are fine). `visit(i, start, run)` gets the elements of row `rows[i]`
    /// from flattened position `start` within the row; the runs of one row cover it once. A call
    /// decodes each chunk once. Of each band of chunks, only the chunks numbered `part` are read.
    pub(crate) fn read_rows(
        &self,
        rows: &[u64],
        part: Range<u64>,
        policy: CachePolicy,
        reader: &mut ChunkReader,
        mut visit: impl FnMut(usize, usize, ValuesRef<'_>),
    ) -> Result<(), Error> {
        let dtype = self.number_type()?;
        let grid = &self.inner.grid;
        if grid.shape.is_empty() {
            return Err(self.invalid("an array with rows", "a scalar"));
        }
        self.check_rows(rows, grid.shape[0])?;
        reader.begin(self, policy)?;
        self.stage(rows.iter().map(|&row| row..row.saturating_add(1)));
        let mut buffer = AlignedBytes::default();
        let blocks = self.chunks_beside();
        let mut first = 0;
        while first < rows.len() {
            let band = rows[first] / grid.chunk[0];
            let in_band = rows[first..].partition_point(|&row| row / grid.chunk[0] == band);
            for block in part.start..part.end.min(blocks) {
                let block = Block::new(grid, band * blocks + block);
                self.read_block(
                    &block,
                    &rows[first..first + in_band],
                    dtype,
                    Buffers {
                        reader: &mut *reader,
                        bytes: &mut buffer,
                    },
                    &mut |i, start, run| visit(first + i, start, run),
                )?;
            }
            first += in_band;
        }
        Ok(())
    }

    /// Hands out the elements of one chunk for rows within its band, in runs of adjacent elements.
    /// `rows` are row numbers of the array.
    pub(crate) fn read_chunk_rows(
        &self,
        chunk: u64,
        rows: Range<u64>,
        buffers: Buffers<'_>,
        visit: &mut dyn FnMut(ValuesRef<'_>),
    ) -> Result<(), Error> {
        let dtype = self.number_type()?;
        let block = Block::new(&self.inner.grid, chunk);
        let rows: Vec<u64> = rows.collect();
        self.read_block(&block, &rows, dtype, buffers, &mut |_, _, run| {
            visit(run);
        })
    }

    /// Reads the part of `rows`, all in one band of chunks, that lies in one chunk.
    fn read_block(
        &self,
        block: &Block,
        rows: &[u64],
        dtype: DType,
        Buffers {
            reader,
            bytes: buffer,
        }: Buffers<'_>,
        visit: &mut dyn FnMut(usize, usize, ValuesRef<'_>),
    ) -> Result<(), Error> {
        let (item, grid) = (dtype.size(), &self.inner.grid);
        let row_len: u64 = grid.chunk[1..].iter().product();
        let whole = grid.chunk_len().checked_mul(item as u64);
        let location = if self.is_direct() {
            self.locate(block.chunk)?
        } else {
            None
        };
        if let Some(location) = &location
            && whole.is_none_or(|whole| whole > location.len)
        {
            let expected = format!("chunks of shape {:?}", grid.chunk);
            return Err(self.invalid(expected, format!("{} bytes stored", location.len)));
        }
        let wanted = (rows.len() as u64).saturating_mul(row_len * item as u64);
        if let Some(location) = location
            .filter(|location| wanted < location.len / 4 || location.len > READ_BYTES as u64)
        {
            // Read only the requested rows, adjacent ones together.
            let most = (READ_BYTES / (row_len as usize * item)).max(1);
            let mut i = 0;
            while i < rows.len() {
                let adjacent = (i + 1..rows.len().min(i + most))
                    .take_while(|&j| rows[j] == rows[j - 1] + 1)
                    .count();
                let count = adjacent + 1;
                buffer.resize(count * row_len as usize * item);
                let within = (rows[i] - block.first_row) * row_len;
                reader.read_direct(self, &location, within, buffer.as_mut_slice())?;
                let run = ValuesRef::from_bytes(dtype, buffer.as_slice());
                for j in 0..count {
                    block.runs(grid, j as u64, |start, at, len| {
                        visit(i + j, start, run.range(at, at + len));
                    });
                }
                i += count;
            }
            return Ok(());
        }
        match reader.chunk(self, block.chunk)? {
            Some(bytes) => {
                let run = ValuesRef::from_bytes(dtype, bytes.as_slice());
                for (i, &row) in rows.iter().enumerate() {
                    block.runs(grid, row - block.first_row, |start, at, len| {
                        visit(i, start, run.range(at, at + len));
                    });
                }
            }
            None => {
                let longest = block.extents.last().map_or(1, |&extent| extent as usize);
                buffer.resize(longest * item);
                self.fill(buffer.as_mut_slice());
                let run = ValuesRef::from_bytes(dtype, buffer.as_slice());
                for i in 0..rows.len() {
                    block.runs(grid, 0, |start, _, len| visit(i, start, run.range(0, len)));
                }
            }
        }
        Ok(())
    }

    /// Returns all elements of a range of rows, row-major, as bytes of any type: for tools that
    /// compare stores. A scalar has one element, in row 0.
    ///
    /// # Errors
    /// When the array holds texts, a row is out of bounds, the rows take more than 64 MiB, or they
    /// cannot be read.
    #[doc(hidden)]
    pub fn read_row_range(&self, rows: Range<u64>) -> Result<Values, Error> {
        let dtype = self.number_type()?;
        if self.shape().is_empty() {
            return self.read_all();
        }
        let row_len: u64 = self.shape()[1..].iter().product();
        let count = rows.end.saturating_sub(rows.start).saturating_mul(row_len);
        if count.saturating_mul(dtype.size() as u64) > MAX_ROW_RANGE_BYTES {
            let found = format!("{count} elements at once");
            return Err(self.invalid("rows of at most 64 MiB", found));
        }
        let (size, row_len) = (dtype.size(), row_len as usize);
        let mut out = Values::new(dtype);
        let bytes = out.extend_zeroed(count as usize);
        let rows: Vec<u64> = rows.collect();
        self.read_rows(
            &rows,
            0..u64::MAX,
            CachePolicy::All,
            &mut ChunkReader::default(),
            |row, start, run| {
                let at = (row * row_len + start) * size;
                bytes[at..at + run.as_bytes().len()].copy_from_slice(run.as_bytes());
            },
        )?;
        Ok(out)
    }
}

/// One chunk of an n-D array, and the part of it within the array's shape.
struct Block {
    chunk: u64,
    first_row: u64,
    /// Per axis after the first: start in the array, extent within the shape.
    starts: Vec<u64>,
    extents: Vec<u64>,
}

impl Block {
    fn new(grid: &Grid, chunk: u64) -> Block {
        let coords = grid.coords(chunk);
        let start = grid.start(chunk);
        let extents =
            (1..coords.len()).map(|axis| grid.chunk[axis].min(grid.shape[axis] - start[axis]));
        Block {
            chunk,
            first_row: start[0],
            extents: extents.collect(),
            starts: start[1..].to_vec(),
        }
    }

    /// Visits the runs of adjacent elements of row `row` of the chunk: position in the flattened
    /// row of the array, position in the chunk, length.
    fn runs(&self, grid: &Grid, row: u64, mut visit: impl FnMut(usize, usize, usize)) {
        let (shape, chunk) = (&grid.shape[1..], &grid.chunk[1..]);
        let row_len: u64 = chunk.iter().product();
        let Some((&last, outer)) = self.extents.split_last() else {
            visit(0, row as usize, 1);
            return;
        };
        let mut index = vec![0u64; outer.len()];
        loop {
            let (mut in_array, mut in_chunk) = (0, 0);
            for axis in 0..shape.len() {
                let i = index.get(axis).copied().unwrap_or(0);
                in_array = in_array * shape[axis] + self.starts[axis] + i;
                in_chunk = in_chunk * chunk[axis] + i;
            }
            visit(
                in_array as usize,
                (row * row_len + in_chunk) as usize,
                last as usize,
            );
            let Some(axis) = (0..outer.len())
                .rev()
                .find(|&axis| index[axis] + 1 < outer[axis])
            else {
                return;
            };
            index[axis] += 1;
            index[axis + 1..].fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::ItemType;
    use crate::array::memory::{chunked_parts, memory_parts};
    use proptest::prelude::*;

    /// A shape, chunks of it, and rows that ascend.
    fn grids() -> impl Strategy<Value = (Grid, Vec<u64>)> {
        let axes = prop::collection::vec((1..7_u64, 1..5_u64), 1..4);
        axes.prop_flat_map(|axes| {
            let (shape, chunk): (Vec<u64>, Vec<u64>) = axes.into_iter().unzip();
            let rows = prop::collection::vec(0..shape[0], 0..9);
            (Just(Grid::new(shape, chunk).expect("small")), rows)
        })
        .prop_map(|(grid, mut rows)| {
            rows.sort_unstable();
            (grid, rows)
        })
    }

    /// Arrays in which each element equals its index, in chunks and in one piece.
    fn arrays(grid: &Grid) -> [Array; 2] {
        let bytes: Vec<u8> = (0..grid.len() as u16).flat_map(u16::to_ne_bytes).collect();
        let item = ItemType::Number(DType::U16);
        let chunked = chunked_parts("X", grid.clone(), item.clone(), &bytes);
        let single = Grid::single(grid.shape.clone()).expect("small");
        let direct = memory_parts("X", single, item, bytes);
        [Array::new(chunked), Array::new(direct)]
    }

    proptest! {
        #[test]
        fn block_runs_cover_its_part_of_a_row_once((grid, _) in grids()) {
            let row_len = grid.shape[1..].iter().product::<u64>() as usize;
            let mut seen = vec![0; grid.len() as usize];
            for chunk in 0..grid.counts().iter().product() {
                let block = Block::new(&grid, chunk);
                for row in 0..grid.rows_within(chunk) {
                    block.runs(&grid, row, |start, at, len| {
                        assert!(at + len <= grid.chunk_len() as usize);
                        let first = (block.first_row + row) as usize * row_len + start;
                        seen[first..first + len].iter_mut().for_each(|n| *n += 1);
                    });
                }
            }
            prop_assert!(seen.iter().all(|&n| n == 1), "{:?}", seen);
        }

        #[test]
        fn read_rows_hands_out_every_element_of_a_row_once((grid, rows) in grids(), n_parts in 1..4_u64) {
            let row_len = grid.shape[1..].iter().product::<u64>() as usize;
            for array in arrays(&grid) {
                let blocks: u64 = array.parts().grid.counts()[1..].iter().product();
                let mut out = vec![None; rows.len() * row_len];
                let mut reader = ChunkReader::default();
                for part in 0..n_parts {
                    let part = part * blocks / n_parts..(part + 1) * blocks / n_parts;
                    array.read_rows(&rows, part, CachePolicy::All, &mut reader, |row, start, run| {
                        for (i, value) in run.to_vec::<u16>().into_iter().enumerate() {
                            let place = &mut out[row * row_len + start + i];
                            assert_eq!(place.replace(value), None, "handed out twice");
                        }
                    }).expect("rows that exist");
                }
                let expected = rows.iter().flat_map(|&row| {
                    (0..row_len).map(move |at| Some((row as usize * row_len + at) as u16))
                });
                prop_assert_eq!(out, expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn check_rows_refuses_rows_that_descend_or_do_not_exist() {
        let [array, _] = arrays(&Grid::new(vec![3, 2], vec![2, 2]).expect("small"));
        assert!(array.check_rows(&[], 0).is_ok());
        assert!(array.check_rows(&[0, 2, 2], 3).is_ok());
        let error = array.check_rows(&[1, 0], 3).expect_err("they descend");
        assert!(error.to_string().contains("row 1 before row 0"), "{error}");
        let error = array.check_rows(&[0, 3], 3).expect_err("no row 3");
        assert!(
            error.to_string().contains("row 3 is out of bounds for 3"),
            "{error}"
        );
    }

    #[test]
    fn read_row_range_is_row_major() {
        for array in arrays(&Grid::new(vec![5, 3], vec![2, 2]).expect("small")) {
            let rows = array.read_row_range(1..3).expect("rows that exist");
            assert_eq!(rows, Values::U16((3..9).collect()));
        }
    }
}
