//! Reads of texts, however they are stored.

use std::ops::Range;

use super::heap::Heaps;
use super::vlen::VlenChunk;
use super::{Strings, TextEncoding};
use crate::array::chunk_reader::ChunkReader;
use crate::array::chunks::Chunks;
use crate::array::{Array, ItemType};
use crate::error::{Error, ErrorKind};
use crate::limits::FREE_ARRAY_BYTES;

/// Bytes of elements that one step reads.
const STEP_BYTES: u64 = 1 << 20;
/// Texts that another library reads in one step.
const STEP_TEXTS: u64 = 4096;
impl Array {
    /// Returns all texts of a 1-D (or scalar) array of text.
    ///
    /// # Errors
    /// When the array holds numbers, or its texts cannot be read.
    pub fn read_strings(&self) -> Result<Strings, Error> {
        self.read_string_ranges(std::iter::once(0..self.len()))
    }

    /// Returns the texts of the given rows of a 1-D array of text, in the order of `rows`.
    ///
    /// # Errors
    /// As [`read_strings`](Self::read_strings), and when a row is out of bounds.
    pub fn read_string_rows(&self, rows: &[u64]) -> Result<Strings, Error> {
        // Consecutive rows are read as one range.
        let adjacent = rows.chunk_by(|&a, &b| a.checked_add(1) == Some(b));
        self.read_string_ranges(adjacent.map(|run| run[0]..run[run.len() - 1].saturating_add(1)))
    }

    fn read_string_ranges(
        &self,
        ranges: impl Iterator<Item = Range<u64>>,
    ) -> Result<Strings, Error> {
        let ItemType::Text(encoding) = &self.inner.item else {
            return Err(self.invalid("an array of text", "numbers"));
        };
        self.check_written()?;
        let mut out = Strings::default();
        let mut reader = TextReader {
            array: self,
            encoding,
            reader: ChunkReader::default(),
            heaps: Heaps::default(),
            filled: 0,
            vlen: None,
        };
        for range in ranges {
            if range.end > self.len() {
                let (what, index, len) = ("row", range.start, self.len());
                return Err(self.error(ErrorKind::OutOfBounds { what, index, len }));
            }
            reader.read(range, &mut out)?;
        }
        Ok(out)
    }
}

struct TextReader<'a> {
    array: &'a Array,
    encoding: &'a TextEncoding,
    reader: ChunkReader,
    heaps: Heaps,
    /// Bytes of texts that were never written.
    filled: u64,
    /// The last chunk of variable-length text.
    vlen: Option<VlenChunk>,
}

impl TextReader<'_> {
    fn read(&mut self, range: Range<u64>, out: &mut Strings) -> Result<(), Error> {
        match self.encoding {
            TextEncoding::Vlen | TextEncoding::Json => return self.read_vlen(range, out),
            TextEncoding::Library => return self.read_library(range, out),
            _ => {}
        }
        let item = self.encoding.item_size();
        let mut at = range.start;
        let mut bytes = Vec::new();
        while at < range.end {
            let end = (at + (STEP_BYTES / item.max(1) as u64).max(1)).min(range.end);
            bytes.resize((end - at) as usize * item, 0);
            if self.array.shape().is_empty() {
                match self.reader.chunk(self.array, 0)? {
                    Some(chunk) => bytes.copy_from_slice(chunk.as_slice()),
                    None => self.array.fill(&mut bytes),
                }
            } else {
                self.array
                    .read_range_bytes(at..end, &mut bytes, &mut self.reader)?;
            }
            for element in bytes.chunks_exact(item.max(1)) {
                self.push(element, out)?;
            }
            at = end;
        }
        Ok(())
    }

    fn push(&mut self, element: &[u8], out: &mut Strings) -> Result<(), Error> {
        match self.encoding {
            TextEncoding::Fixed { padding, .. } => {
                out.push(utf8(self.array, padding.strip(element))?);
            }
            TextEncoding::Utf32 { .. } => {
                let mut text = String::new();
                let codes = element
                    .chunks_exact(4)
                    .map(|c| u32::from_le_bytes(c.try_into().expect("4 bytes")));
                for code in codes {
                    let char = char::from_u32(code).ok_or_else(|| {
                        self.array
                            .invalid("UTF-32 text", format!("code point {code:#x}"))
                    })?;
                    text.push(char);
                }
                out.push(text.trim_end_matches('\0'));
            }
            TextEncoding::Heap { .. } => {
                let bytes = self.heaps.text(self.array, self.encoding, element)?;
                out.push(utf8(self.array, bytes)?);
            }
            TextEncoding::Vlen | TextEncoding::Json | TextEncoding::Library => {
                unreachable!("read by chunk")
            }
        }
        Ok(())
    }

    fn read_vlen(&mut self, range: Range<u64>, out: &mut Strings) -> Result<(), Error> {
        let array = self.array;
        if array.shape().len() > 1 {
            return Err(array.invalid(
                "a 1-D array of text",
                format!("{} dimensions", array.shape().len()),
            ));
        }
        let extent = array.chunk_shape().first().copied().unwrap_or(1);
        let mut at = range.start;
        while at < range.end {
            let (chunk, within) = (at / extent, at % extent);
            let count = (extent - within).min(range.end - at);
            match self.vlen_chunk(chunk)? {
                Some(chunk) => {
                    let wanted = within as usize..(within + count) as usize;
                    for text in chunk.texts(array, wanted)? {
                        out.push(utf8(array, text)?);
                    }
                }
                None => {
                    let fill = utf8(self.array, &array.parts().fill)?;
                    let bytes = count.saturating_mul(fill.len().max(8) as u64);
                    self.filled = self.filled.saturating_add(bytes);
                    if self.filled > FREE_ARRAY_BYTES {
                        let found = format!("{count} elements never written");
                        return Err(array.invalid("written text", found));
                    }
                    (0..count).for_each(|_| out.push(fill));
                }
            }
            at += count;
        }
        Ok(())
    }

    fn read_library(&self, range: Range<u64>, out: &mut Strings) -> Result<(), Error> {
        let array = self.array;
        let Chunks::Library(reader) = &array.parts().chunks else {
            return Ok(()); // an array without elements
        };
        if array.shape().len() > 1 {
            let found = format!("{} dimensions", array.shape().len());
            return Err(array.invalid("a 1-D array of text", found));
        }
        let extent = array.chunk_shape().first().copied().unwrap_or(1);
        let mut at = range.start;
        while at < range.end {
            let (chunk, within) = (at / extent, at % extent);
            let count = (extent - within).min(range.end - at).min(STEP_TEXTS);
            // The library decodes whole chunks, whose elements take 16 bytes.
            if within == 0 || at == range.start {
                array.check_block(chunk, reader.as_ref(), extent.saturating_mul(16))?;
            }
            let mut not_utf8 = None;
            let (start, counts) = ([at], [count]);
            let rank = array.shape().len();
            reader.read_texts(&start[..rank], &counts[..rank], &mut |bytes| match utf8(
                array, bytes,
            ) {
                Ok(text) => out.push(text),
                Err(error) => not_utf8 = Some(error),
            })?;
            if let Some(error) = not_utf8 {
                return Err(error);
            }
            at += count;
        }
        Ok(())
    }

    /// Reads a chunk of variable-length text; `None` if it was never written.
    fn vlen_chunk(&mut self, number: u64) -> Result<Option<&VlenChunk>, Error> {
        if self
            .vlen
            .as_ref()
            .is_none_or(|chunk| chunk.number() != number)
        {
            self.vlen = None;
            let Some(location) = self.array.locate(number)? else {
                return Ok(None);
            };
            let bytes = self.reader.decode_unsized(self.array, number, &location)?;
            let chunk = VlenChunk::parse(self.array, self.encoding, number, bytes)?;
            self.vlen = Some(chunk);
        }
        Ok(self.vlen.as_ref())
    }
}

fn utf8<'t>(array: &Array, bytes: &'t [u8]) -> Result<&'t str, Error> {
    std::str::from_utf8(bytes).map_err(|error| array.invalid("UTF-8 text", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::grid::Grid;
    use crate::array::memory::memory_parts;
    use crate::array::text::Padding;

    fn fixed(padding: Padding, bytes: &[u8], size: usize) -> Strings {
        let grid = Grid::single(vec![(bytes.len() / size) as u64]).expect("a small grid");
        let item = ItemType::Text(TextEncoding::Fixed { size, padding });
        let array = Array::new(memory_parts("obs/a", grid, item, bytes.to_vec()));
        array.read_strings().expect("valid text")
    }

    #[test]
    fn fixed_texts_lose_their_padding() {
        let texts = |strings: Strings| strings.iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            texts(fixed(Padding::Nulls, b"ab\0\0c\0d\0", 4)),
            ["ab", "c\0d"]
        );
        assert_eq!(
            texts(fixed(Padding::NullTerminated, b"ab\0xc\0d\0", 4)),
            ["ab", "c"]
        );
        assert_eq!(texts(fixed(Padding::Spaces, b"ab  c d ", 4)), ["ab", "c d"]);
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error() {
        let grid = Grid::single(vec![1]).expect("a small grid");
        let item = ItemType::Text(TextEncoding::Fixed {
            size: 2,
            padding: Padding::Nulls,
        });
        let array = Array::new(memory_parts("obs/a", grid, item, vec![0xff, 0xfe]));
        let error = array.read_strings().expect_err("not UTF-8");
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}
