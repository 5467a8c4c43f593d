//! Reads of ranges of 1-D arrays, and of whole ones.

use std::ops::Range;

use super::chunk_reader::ChunkReader;
use super::{Array, READ_BYTES};
use crate::dtype::Values;
use crate::error::{Error, ErrorKind};
use crate::io::buffers::AlignedBytes;

impl Array {
    /// Fills `out` with the elements of a range of a 1-D array.
    pub(crate) fn read_range_bytes(
        &self,
        range: Range<u64>,
        out: &mut [u8],
        reader: &mut ChunkReader,
    ) -> Result<(), Error> {
        let grid = &self.inner.grid;
        let item = self.inner.item.size();
        if grid.shape.len() != 1 {
            return Err(self.invalid("a 1-D array", format!("{} dimensions", grid.shape.len())));
        }
        if range.end > grid.shape[0] {
            let (what, index, len) = ("element", range.end.saturating_sub(1), grid.shape[0]);
            return Err(self.error(ErrorKind::OutOfBounds { what, index, len }));
        }
        let (extent, mut at, mut rest) = (grid.chunk[0], range.start, out);
        if range.end
            > (range.start / extent)
                .saturating_add(1)
                .saturating_mul(extent)
        {
            self.stage([range.clone()]);
        }
        while at < range.end {
            let (chunk, within) = (at / extent, at % extent);
            let count = (extent - within).min(range.end - at);
            let (part, tail) = rest.split_at_mut(count as usize * item);
            if self.is_direct() {
                match self.locate(chunk)? {
                    Some(location) => reader.read_direct(self, &location, within, part)?,
                    None => self.fill(part),
                }
            } else {
                match reader.chunk(self, chunk)? {
                    Some(bytes) => {
                        let start = within as usize * item;
                        part.copy_from_slice(&bytes.as_slice()[start..start + part.len()]);
                    }
                    None => self.fill(part),
                }
            }
            (at, rest) = (at + count, tail);
        }
        Ok(())
    }

    /// Returns the elements of a range of a 1-D array: borrowed from a decoded chunk, if one holds
    /// them all; otherwise copied to `buffer`.
    pub(crate) fn read_or_view<'a>(
        &self,
        range: Range<u64>,
        reader: &'a mut ChunkReader,
        buffer: &'a mut AlignedBytes,
    ) -> Result<&'a [u8], Error> {
        let item = self.inner.item.size();
        let extent = self.inner.grid.chunk[0];
        let (chunk, within) = (range.start / extent, range.start % extent);
        let len = range.end.saturating_sub(range.start);
        let in_bounds = range.end <= self.len() && self.shape().len() == 1;
        if self.is_direct() || !in_bounds || within + len > extent {
            buffer.resize(len as usize * item);
            self.read_range_bytes(range, buffer.as_mut_slice(), reader)?;
            return Ok(buffer.as_slice());
        }
        let (start, len) = (within as usize * item, len as usize * item);
        if len == 0 {
            buffer.resize(0);
            return Ok(buffer.as_slice());
        }
        Ok(match reader.chunk(self, chunk)? {
            Some(bytes) => &bytes.as_slice()[start..start + len],
            None => {
                buffer.resize(len);
                self.fill(buffer.as_mut_slice());
                buffer.as_slice()
            }
        })
    }

    /// Appends the elements of ascending ranges of a 1-D array of numbers to `out`, which must have
    /// the type of this array. Ranges that touch are read as one.
    pub(crate) fn read_ranges(
        &self,
        ranges: impl IntoIterator<Item = Range<u64>>,
        out: &mut Values,
        reader: &mut ChunkReader,
    ) -> Result<(), Error> {
        let mut pending: Option<Range<u64>> = None;
        let mut read = |range: Range<u64>| {
            let count = (range.end - range.start) as usize;
            self.read_range_bytes(range, out.extend_zeroed(count), reader)
        };
        for range in ranges {
            pending = match pending {
                Some(last) if last.end == range.start => Some(last.start..range.end),
                Some(last) => {
                    read(last)?;
                    Some(range)
                }
                None => Some(range),
            };
        }
        pending.map_or(Ok(()), read)
    }

    /// Returns all elements of a 1-D (or scalar) array of numbers.
    ///
    /// Memory grows with the bytes that decode, not with the claims of the file.
    ///
    /// # Errors
    /// When the array holds texts, has several dimensions, claims more elements than its stored
    /// bytes can hold, or cannot be read.
    pub fn read_all(&self) -> Result<Values, Error> {
        self.check_written()?;
        self.read_all_of_known_length()
    }

    /// As [`read_all`](Self::read_all), for an array whose length is confirmed by other, written
    /// data: zarr leaves out chunks that hold only the fill value, so few bytes may stand for many
    /// elements.
    pub(crate) fn read_all_of_known_length(&self) -> Result<Values, Error> {
        let dtype = self.number_type()?;
        let mut out = Values::new(dtype);
        let mut reader = ChunkReader::default();
        if self.shape().is_empty() {
            let bytes = out.extend_zeroed(1);
            match reader.chunk(self, 0)? {
                Some(chunk) => bytes.copy_from_slice(chunk.as_slice()),
                None => self.fill(bytes),
            }
            return Ok(out);
        }
        let mut at = 0;
        while at < self.len() {
            let end = (at + READ_BYTES as u64).min(self.len());
            let part = out.extend_zeroed((end - at) as usize);
            self.read_range_bytes(at..end, part, &mut reader)?;
            at = end;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::ItemType;
    use crate::array::grid::Grid;
    use crate::array::memory::{chunked_parts, memory_parts};
    use crate::dtype::DType;
    use proptest::prelude::*;

    /// Arrays in which each element equals its index, in chunks and in one piece.
    fn arrays(len: u64, chunk: u64) -> [Array; 2] {
        let bytes: Vec<u8> = (0..len as u32).flat_map(u32::to_ne_bytes).collect();
        let item = ItemType::Number(DType::U32);
        let grid = Grid::new(vec![len], vec![chunk]).expect("small");
        let chunked = chunked_parts("a", grid, item.clone(), &bytes);
        let single = Grid::single(vec![len]).expect("small");
        let direct = memory_parts("a", single, item, bytes);
        [Array::new(chunked), Array::new(direct)]
    }

    fn numbers(bytes: &[u8]) -> Vec<u32> {
        bytemuck::cast_slice(bytes).to_vec()
    }

    proptest! {
        #[test]
        fn ranges_match_the_stored_elements(
            len in 0..40_u64,
            chunk in 1..12_u64,
            mut ends in prop::collection::vec(0..40_u64, 0..8),
        ) {
            ends.iter_mut().for_each(|end| *end = (*end).min(len));
            ends.sort_unstable();
            let ranges: Vec<Range<u64>> = ends.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
            for array in arrays(len, chunk) {
                let mut reader = ChunkReader::default();
                let mut buffer = AlignedBytes::default();
                for range in &ranges {
                    let expected: Vec<u32> = (range.start as u32..range.end as u32).collect();
                    let viewed = array.read_or_view(range.clone(), &mut reader, &mut buffer);
                    prop_assert_eq!(numbers(viewed.expect("within")), &expected[..]);
                    let mut out = AlignedBytes::zeroed(expected.len() * 4);
                    let read = array.read_range_bytes(range.clone(), out.as_mut_slice(), &mut reader);
                    read.expect("within");
                    prop_assert_eq!(numbers(out.as_slice()), &expected[..]);
                }
                let mut out = Values::new(DType::U32);
                array.read_ranges(ranges.iter().cloned(), &mut out, &mut reader).expect("within");
                let expected = ranges.iter().flat_map(|range| range.start as u32..range.end as u32);
                prop_assert_eq!(out, Values::U32(expected.collect()));
                prop_assert_eq!(array.read_all().expect("all").len() as u64, len);
            }
        }
    }

    #[test]
    fn range_beyond_the_end_is_an_error() {
        for array in arrays(10, 4) {
            let (mut reader, mut buffer) = (ChunkReader::default(), AlignedBytes::default());
            let error = array.read_or_view(8..11, &mut reader, &mut buffer);
            let error = error.expect_err("10 elements").to_string();
            assert!(
                error.contains("element 10 is out of bounds for 10"),
                "{error}"
            );
        }
    }
}
