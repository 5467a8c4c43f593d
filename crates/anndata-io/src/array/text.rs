//! Text elements: fixed-length, in HDF5's global heap, or in zarr's variable-length chunks.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::chunks::Chunks;
use super::{Array, Cursor, FREE_BYTES, ItemType};
use crate::context::ByteSource;
use crate::error::{Error, ErrorKind};

/// How text elements are stored.
#[derive(Debug, Clone)]
pub(crate) enum TextEncoding {
    /// UTF-8 (or ASCII) of a fixed number of bytes.
    Fixed { size: usize, padding: Padding },
    /// UTF-32 of a fixed number of code points, as numpy's `<U` type has it.
    Utf32 { chars: usize },
    /// References into the global heap of an HDF5 file.
    Heap {
        source: ByteSource,
        base: u64,
        offset_size: usize,
        length_size: usize,
    },
    /// Zarr's `vlen-utf8` chunks: a count, then for each element a length and its bytes.
    Vlen,
    /// Zarr's `json2` chunks: a JSON list of the elements, numpy's type and the shape.
    Json,
    /// Texts of variable length that a [`BlockReader`] gives.
    #[cfg_attr(
        not(any(feature = "libhdf5", feature = "zarrs")),
        expect(dead_code, reason = "its only sources")
    )]
    Library,
}

impl PartialEq for TextEncoding {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.item_size() == other.item_size()
    }
}

/// What follows the text in a fixed-length element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Anything, after a zero byte.
    NullTerminated,
    /// Zero bytes.
    Nulls,
    /// Spaces.
    Spaces,
}

impl Padding {
    /// The element without what follows its text.
    pub(crate) fn strip(self, element: &[u8]) -> &[u8] {
        let end = match self {
            Padding::NullTerminated => element.iter().position(|&b| b == 0),
            Padding::Nulls => Some(element.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1)),
            Padding::Spaces => Some(
                element
                    .iter()
                    .rposition(|&b| b != b' ')
                    .map_or(0, |at| at + 1),
            ),
        };
        &element[..end.unwrap_or(element.len())]
    }
}

impl TextEncoding {
    /// Bytes of one element where it is stored; 0 when they differ.
    pub(crate) fn item_size(&self) -> usize {
        match self {
            TextEncoding::Fixed { size, .. } => *size,
            TextEncoding::Utf32 { chars } => chars * 4,
            TextEncoding::Heap { offset_size, .. } => 8 + offset_size,
            TextEncoding::Vlen | TextEncoding::Json | TextEncoding::Library => 0,
        }
    }
}

/// A list of texts in one buffer: 8 bytes each beyond the text itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    ends: Vec<usize>,
}

impl Strings {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Text number `index`; `None` when out of bounds.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.text[start..end])
    }

    /// All texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i).expect("within the length"))
    }

    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }
}

impl<'a> FromIterator<&'a str> for Strings {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut strings = Strings::default();
        texts.into_iter().for_each(|text| strings.push(text));
        strings
    }
}

/// Bytes of elements read at a time.
const STEP_BYTES: u64 = 1 << 20;
/// Texts that another library reads at a time.
const STEP_TEXTS: u64 = 4096;
/// Bytes of global heaps kept while a list is read.
const HEAP_BYTES: usize = 16 << 20;

impl Array {
    /// All texts of a 1-D (or scalar) array of text.
    pub fn read_strings(&self) -> Result<Strings, Error> {
        self.read_string_ranges(std::iter::once(0..self.len()))
    }

    /// The texts of the given rows of a 1-D array of text, in the order of `rows`.
    pub fn read_string_rows(&self, rows: &[u64]) -> Result<Strings, Error> {
        // Rows that follow each other are read as one.
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
            cursor: Cursor::default(),
            heaps: HashMap::new(),
            referred: 0,
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
    cursor: Cursor,
    heaps: HashMap<u64, Arc<Heap>>,
    /// Bytes that elements claimed of the heaps.
    referred: u64,
    /// Bytes of texts that were never written.
    filled: u64,
    /// The last chunk of variable-length text.
    vlen: Option<VlenChunk>,
}

/// A decoded chunk of variable-length text, and where its elements lie.
struct VlenChunk {
    number: u64,
    bytes: Vec<u8>,
    elements: Vec<Range<usize>>,
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
                match self.array.chunk(0, &mut self.cursor)? {
                    Some(chunk) => bytes.copy_from_slice(chunk.as_slice()),
                    None => self.array.fill(&mut bytes),
                }
            } else {
                self.array
                    .read_range_bytes(at..end, &mut bytes, &mut self.cursor)?;
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
            TextEncoding::Heap {
                source,
                base,
                offset_size,
                length_size,
            } => {
                let len = le_uint(&element[..4]) as usize;
                let address = le_uint(&element[4..4 + offset_size]);
                let index = le_uint(&element[4 + offset_size..]);
                if len == 0 || address == 0 || index == 0 {
                    out.push("");
                    return Ok(());
                }
                let heap = match self.heaps.get(&address) {
                    Some(heap) => heap.clone(),
                    None => {
                        let heap = Heap::read(self.array, source, *base, address, *length_size)?;
                        let kept: usize = self.heaps.values().map(|heap| heap.bytes.len()).sum();
                        if kept > HEAP_BYTES {
                            self.heaps.clear();
                        }
                        let heap = Arc::new(heap);
                        self.heaps.insert(address, heap.clone());
                        heap
                    }
                };
                // Every text that was written has its place: many that refer to one are none.
                self.referred += len as u64;
                if self.referred > source.len().saturating_add(FREE_BYTES) {
                    let expected = format!("texts that fit in {} bytes", source.len());
                    return Err(self.array.invalid(expected, "texts that repeat"));
                }
                let bytes = heap
                    .object(index)
                    .and_then(|object| object.get(..len))
                    .ok_or_else(|| {
                        let expected = format!(
                            "{len} bytes of text in object {index} of the heap at {address}"
                        );
                        self.array
                            .invalid(expected, "no such object, or a shorter one")
                    })?;
                // The C library stops at a zero byte.
                let end = bytes.iter().position(|&b| b == 0).unwrap_or(len);
                out.push(utf8(self.array, &bytes[..end])?);
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
                    let elements = chunk.elements.get(wanted).ok_or_else(|| {
                        array.invalid("variable-length text", "a length beyond the chunk's end")
                    })?;
                    for element in elements {
                        out.push(utf8(array, &chunk.bytes[element.clone()])?);
                    }
                }
                None => {
                    let fill = utf8(self.array, &array.parts().fill)?;
                    let bytes = count.saturating_mul(fill.len().max(8) as u64);
                    self.filled = self.filled.saturating_add(bytes);
                    if self.filled > FREE_BYTES {
                        let found = format!("{count} elements never written");
                        return Err(array.invalid("text that was written", found));
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

    /// A chunk of variable-length text; `None` when it was never written.
    fn vlen_chunk(&mut self, number: u64) -> Result<Option<&VlenChunk>, Error> {
        if self
            .vlen
            .as_ref()
            .is_none_or(|chunk| chunk.number != number)
        {
            let array = self.array;
            self.vlen = None;
            let Some(place) = array.place(number)? else {
                return Ok(None);
            };
            array.read_raw(&place, &mut self.cursor.raw)?;
            let parts = array.parts();
            let decoded = parts
                .pipeline
                .decode_unsized(&self.cursor.raw, &mut self.cursor.decode);
            let bytes = decoded.map_err(|source| {
                array.error(ErrorKind::Decode {
                    chunk: number,
                    source: Arc::new(source),
                })
            })?;
            let (stored, bytes, elements) = match self.encoding {
                TextEncoding::Json => {
                    let (bytes, elements) = json_elements(&bytes)
                        .ok_or_else(|| array.invalid("a JSON list of texts", "another value"))?;
                    (Some(elements.len() as u64), bytes, elements)
                }
                _ => {
                    let elements = vlen_elements(&bytes);
                    (bytes.get(..4).map(le_uint), bytes, elements)
                }
            };
            let extent = array.chunk_shape().first().copied().unwrap_or(1);
            let rest = array.len().saturating_sub(number * extent);
            if stored != Some(extent) && stored != Some(extent.min(rest)) {
                let found = stored.map_or("no count".to_owned(), |n| n.to_string());
                return Err(array.invalid(format!("{extent} texts in chunk {number}"), found));
            }
            self.vlen = Some(VlenChunk {
                number,
                bytes,
                elements,
            });
        }
        Ok(self.vlen.as_ref())
    }
}

fn utf8<'t>(array: &Array, bytes: &'t [u8]) -> Result<&'t str, Error> {
    std::str::from_utf8(bytes).map_err(|error| array.invalid("UTF-8 text", error.to_string()))
}

/// Where the elements of a `vlen-utf8` chunk lie, up to the first that reaches past the end.
fn vlen_elements(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut elements = Vec::new();
    let mut at = 4;
    while let Some(len) = bytes.get(at..at + 4) {
        let start = at + 4;
        let end = start + le_uint(len) as usize;
        if end > bytes.len() {
            break;
        }
        elements.push(start..end);
        at = end;
    }
    elements
}

/// The elements of a `json2` chunk: their text, and where in it each lies. What follows them are
/// numpy's type and the shape.
fn json_elements(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Range<usize>>)> {
    let values: Vec<serde_json::Value> = serde_json::from_slice(bytes).ok()?;
    let n_elements = values.len().checked_sub(2)?;
    let mut text = Vec::new();
    let mut elements = Vec::with_capacity(n_elements);
    for value in &values[..n_elements] {
        let start = text.len();
        text.extend_from_slice(value.as_str()?.as_bytes());
        elements.push(start..text.len());
    }
    Some((text, elements))
}

fn le_uint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |n, &byte| n << 8 | u64::from(byte))
}

/// One collection of HDF5's global heap, which holds variable-length elements.
struct Heap {
    bytes: Vec<u8>,
    /// Number, start and end of the objects, ascending; the collection numbers them from 1.
    objects: Vec<(u64, usize, usize)>,
}

impl Heap {
    fn read(
        array: &Array,
        source: &ByteSource,
        base: u64,
        address: u64,
        length_size: usize,
    ) -> Result<Heap, Error> {
        let invalid = |found: String| array.invalid(format!("a global heap at {address}"), found);
        let at = base.saturating_add(address);
        // Headers, like objects, end at multiples of 8.
        let header_len = (8 + length_size).next_multiple_of(8);
        let mut header = vec![0; header_len];
        source
            .read_exact_at(at, &mut header)
            .map_err(|error| array.at(error))?;
        if &header[..4] != b"GCOL" {
            return Err(invalid("another signature".to_owned()));
        }
        let size = le_uint(&header[8..8 + length_size]);
        if size < header_len as u64 || at.checked_add(size).is_none_or(|end| end > source.len()) {
            return Err(invalid(format!("a size of {size} bytes")));
        }
        let mut bytes = vec![0; size as usize];
        source
            .read_exact_at(at, &mut bytes)
            .map_err(|error| array.at(error))?;
        let mut objects = Vec::new();
        let mut at = header_len;
        while let Some(head) = bytes.get(at..at + header_len) {
            let len = le_uint(&head[8..8 + length_size]) as usize;
            let index = le_uint(&head[..2]);
            if index == 0 {
                break; // the free space at the end
            }
            let start = at + header_len;
            let Some(end) = start.checked_add(len).filter(|&end| end <= bytes.len()) else {
                return Err(invalid(format!("an object of {len} bytes")));
            };
            objects.push((index, start, end));
            at = start + len.next_multiple_of(8);
        }
        objects.sort_unstable();
        if let Some(twice) = objects.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(invalid(format!("object {} twice", twice[0].0)));
        }
        Ok(Heap { bytes, objects })
    }

    fn object(&self, index: u64) -> Option<&[u8]> {
        // Seldom is a number left out.
        let likely = usize::try_from(index).ok()?.checked_sub(1)?;
        let at = match self.objects.get(likely) {
            Some(object) if object.0 == index => likely,
            _ => self
                .objects
                .binary_search_by_key(&index, |object| object.0)
                .ok()?,
        };
        let (_, start, end) = self.objects[at];
        Some(&self.bytes[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{grid::Grid, memory_parts};
    use super::*;

    fn fixed(padding: Padding, bytes: &[u8], size: usize) -> Strings {
        let grid = Grid::single(vec![(bytes.len() / size) as u64]).expect("a small grid");
        let item = ItemType::Text(TextEncoding::Fixed { size, padding });
        let array = Array::new(memory_parts("obs/a", grid, item, bytes.to_vec()));
        array.read_strings().expect("valid text")
    }

    #[test]
    fn padding_is_taken_off() {
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
    fn many_that_refer_to_one_long_text_are_refused() {
        const LEN: u32 = 2 << 20;
        let mut heap = b"GCOL\x01\0\0\0".to_vec();
        heap.extend((32 + u64::from(LEN)).to_le_bytes());
        heap.extend([1, 0, 1, 0, 0, 0, 0, 0]);
        heap.extend(u64::from(LEN).to_le_bytes());
        heap.resize(heap.len() + LEN as usize, b'a');
        // A heap at address 0 would be none.
        heap.splice(0..0, [0; 8]);
        let read = |n: usize| {
            let mut element = LEN.to_le_bytes().to_vec();
            element.extend(8u64.to_le_bytes());
            element.extend(1u32.to_le_bytes());
            let encoding = TextEncoding::Heap {
                source: ByteSource::Memory(crate::context::Memory::new(heap.clone())),
                base: 0,
                offset_size: 8,
                length_size: 8,
            };
            let grid = Grid::single(vec![n as u64]).expect("a small grid");
            let parts = memory_parts("obs/a", grid, ItemType::Text(encoding), element.repeat(n));
            Array::new(parts).read_strings()
        };
        assert_eq!(read(2).expect("some are").len(), 2);
        let error = read(40).expect_err("80 MiB of 2").to_string();
        assert!(error.contains("texts that repeat"), "{error}");
    }

    #[test]
    fn variable_length_elements_end_where_the_bytes_do() {
        let bytes = [2, 0, 0, 0, 1, 0, 0, 0, b'a', 9, 0, 0, 0, b'b'];
        assert!(vlen_elements(&bytes).into_iter().eq(std::iter::once(8..9)));
        assert!(vlen_elements(&[]).is_empty());
    }

    #[test]
    fn text_that_is_no_utf8_is_an_error() {
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
