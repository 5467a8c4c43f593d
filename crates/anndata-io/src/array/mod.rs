//! Arrays of any store: shape, type, where each chunk's bytes lie, and reads of sets of rows.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dtype::{DType, Slice, Values};
use crate::error::{Error, ErrorKind};
use crate::io::bytes::{ByteSource, Memory};
use crate::io::chunk_cache::{Cached, ChunkKey, next_array_id};
use crate::io::context::IoContext;

pub(crate) mod chunks;
pub(crate) mod convert;
pub(crate) mod decode;
pub(crate) mod float;
pub(crate) mod grid;
pub(crate) mod shards;
pub(crate) mod text;

use crate::io::buffers::AlignedBytes;
use chunks::{BlockReader, Chunks, Place};
use convert::Conversion;
use decode::Pipeline;
use grid::Grid;
use text::TextEncoding;

/// An n-dimensional array in a file, opened: its elements are read on demand, in bulk.
///
/// Cheap to clone. It holds no open file and no lock of its own; any number of threads may
/// read at once, also in a forked child.
#[derive(Debug, Clone)]
pub struct Array {
    inner: Arc<ArrayParts>,
}

/// What a backend knows of an array when it has opened it.
#[derive(Debug)]
pub(crate) struct ArrayParts {
    pub(crate) context: IoContext,
    pub(crate) file: PathBuf,
    pub(crate) element: String,
    pub(crate) grid: Grid,
    pub(crate) item: ItemType,
    pub(crate) big_endian: bool,
    pub(crate) pipeline: Pipeline,
    /// For chunks that are not stored row-major: which axis of the array each stored axis is.
    pub(crate) stored_axes: Option<Vec<usize>>,
    pub(crate) chunks: Chunks,
    /// One element, native-endian, of what was never written. Empty: zero bytes.
    pub(crate) fill: Vec<u8>,
    /// For a field of a table: where it lies in the records that are stored.
    pub(crate) record: Option<Record>,
    /// For elements that are stored as other bytes than those of their type.
    pub(crate) conversion: Option<Conversion>,
    /// For R's logicals, which are integers here: the one that stands for a missing value.
    pub(crate) missing: Option<u64>,
    pub(crate) id: u64,
}

/// Records of a table, of which an array is one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes of a record.
    pub(crate) len: usize,
    /// Where the field begins.
    pub(crate) offset: usize,
}

/// What an array's elements are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ItemType {
    Number(DType),
    Text(TextEncoding),
}

impl ItemType {
    /// Bytes of one stored element; 0 when they differ in length.
    pub(crate) fn size(&self) -> usize {
        match self {
            ItemType::Number(dtype) => dtype.size(),
            ItemType::Text(encoding) => encoding.item_size(),
        }
    }
}

/// What may be made of next to nothing, such as chunks that were never written.
const FREE_BYTES: u64 = 64 << 20;
/// What an index may be made of next to nothing.
const FREE_BYTES_OF_INDEX: u64 = 1 << 20;
/// What a single chunk may be made of next to nothing.
const FREE_BYTES_OF_CHUNK: u64 = 1 << 20;
/// Longest single read of adjacent rows.
const READ_BYTES: usize = 1 << 20;

/// A scan that shares no chunk with another.
pub(crate) const NONE_SHARED: [Range<u64>; 2] = [0..0, 0..0];

/// The last chunk decoded, so that ascending reads decode each chunk once whatever the
/// cache's budget, and the buffers that decoding needs.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Array and number of the chunk.
    chunk: Option<(ChunkKey, Option<Arc<AlignedBytes>>)>,
    /// In a scan, the chunks that another scan may need too: only they go into the cache.
    pub(crate) shared: Option<[Range<u64>; 2]>,
    /// Whether the file was just found unchanged, so that its memory map may be read.
    pub(crate) mapped: bool,
    /// A buffer that no chunk uses.
    spare: Option<Arc<AlignedBytes>>,
    decode: decode::Scratch,
    raw: Vec<u8>,
}

impl Cursor {
    /// Lets go of the chunk.
    pub(crate) fn forget(&mut self) {
        if let Some((_, Some(bytes))) = self.chunk.take() {
            self.spare = Some(bytes);
        }
    }

    /// A buffer of so many bytes of any value: one that no cache holds where there is one, as its
    /// pages are there already.
    fn take_spare(&mut self, len: usize) -> AlignedBytes {
        let spare = self.spare.take().and_then(Arc::into_inner);
        let mut out = spare.unwrap_or_default();
        out.resize(len);
        out
    }
}

impl Array {
    pub(crate) fn new(mut parts: ArrayParts) -> Array {
        parts.id = next_array_id();
        Array {
            inner: Arc::new(parts),
        }
    }

    /// Extent along each axis.
    pub fn shape(&self) -> &[u64] {
        &self.inner.grid.shape
    }

    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.inner.grid.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type; `None` for text.
    pub fn dtype(&self) -> Option<DType> {
        match self.inner.item {
            ItemType::Number(dtype) => Some(dtype),
            ItemType::Text(_) => None,
        }
    }

    /// The shape of the chunks that the array is stored in. A contiguous array is one chunk.
    pub fn chunk_shape(&self) -> &[u64] {
        &self.inner.grid.chunk
    }

    /// Path of the file or directory.
    pub fn file(&self) -> &Path {
        &self.inner.file
    }

    /// Path of the array within the file, such as `X/data`.
    pub fn element(&self) -> &str {
        &self.inner.element
    }

    /// The array under another name, which its errors have; for its only owner.
    pub(crate) fn named(mut self, file: PathBuf, element: &str) -> Array {
        if let Some(parts) = Arc::get_mut(&mut self.inner) {
            parts.file = file;
            parts.element = element.to_owned();
        }
        self
    }

    pub(crate) fn parts(&self) -> &ArrayParts {
        &self.inner
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(&self.inner.file, &self.inner.element, kind)
    }

    pub(crate) fn invalid(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::invalid(&self.inner.file, &self.inner.element, expected, found)
    }

    /// The number type, or an error for text.
    pub(crate) fn number_type(&self) -> Result<DType, Error> {
        self.dtype()
            .ok_or_else(|| self.invalid("an array of numbers or booleans", "text"))
    }

    /// Whether the elements lie in one file as they are, so that a memory map of it may be read
    /// for the next bulk of rows. Mapped bytes give no error when they change: the file is
    /// compared with the one that was opened before each bulk.
    pub(crate) fn check_unchanged(&self) -> Result<bool, Error> {
        match &self.inner.chunks {
            Chunks::Contiguous { source, .. } | Chunks::Table { source, .. }
                if self.is_direct() =>
            {
                source.check_unchanged().map_err(|error| self.at(error))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether elements can be read where they lie, without decoding a whole chunk.
    pub(crate) fn is_direct(&self) -> bool {
        let inner = &*self.inner;
        let by_library = matches!(inner.chunks, Chunks::Library(_));
        inner.pipeline.is_empty()
            && inner.stored_axes.is_none()
            && inner.record.is_none()
            && inner.conversion.is_none()
            && !by_library
    }

    /// Refuses an array that claims more elements than its stored bytes can hold.
    pub(crate) fn check_written(&self) -> Result<(), Error> {
        self.check_written_but(FREE_BYTES)
    }

    /// The same for an index, by which everything else is judged: names differ, so that hardly any
    /// are made of nothing.
    pub(crate) fn check_index_written(&self) -> Result<(), Error> {
        self.check_written_but(FREE_BYTES_OF_INDEX)
    }

    fn check_written_but(&self, free: u64) -> Result<(), Error> {
        let item = match (&self.inner.record, self.inner.stored_size()) {
            (Some(record), _) => record.len as u64,
            // A text of variable length is stored with its length, in four bytes.
            (None, 0) => 4,
            (None, size) => size as u64,
        };
        let stored = self.inner.chunks.stored_bytes(&self.inner.grid, item);
        let ratio = match &self.inner.chunks {
            Chunks::Library(reader) => reader.best_ratio(),
            _ => self.inner.pipeline.best_ratio(),
        };
        let limit = stored.saturating_mul(ratio).saturating_add(free);
        let len = match self.inner.record {
            Some(_) => self.inner.grid.shape[0],
            None => self.len(),
        };
        if len.saturating_mul(item) > limit {
            let found = format!("{stored} bytes stored for {} elements", self.len());
            return Err(self.invalid("no more elements than the stored bytes can hold", found));
        }
        Ok(())
    }

    fn place(&self, chunk: u64) -> Result<Option<Place<'_>>, Error> {
        if self.inner.context.is_closed() {
            return Err(self.error(ErrorKind::Closed));
        }
        self.inner
            .chunks
            .place(chunk, &self.inner.grid, self.inner.stored_size() as u64)
    }

    /// Whether a chunk was ever written.
    pub(crate) fn is_written(&self, chunk: u64) -> Result<bool, Error> {
        self.place(chunk).map(|place| place.is_some())
    }

    /// The stored bytes of a chunk, as they are.
    pub(crate) fn read_raw(&self, place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if place
            .offset
            .checked_add(place.len)
            .is_none_or(|end| end > place.source.len())
        {
            let expected = format!("a chunk of {} bytes at {}", place.len, place.offset);
            return Err(self.invalid(expected, format!("a file of {} bytes", place.source.len())));
        }
        out.resize(place.len as usize, 0);
        place
            .source
            .read_exact_at(place.offset, out)
            .map_err(|error| self.at(error))
    }

    /// Puts this array's name into an error of the file layer.
    fn at(&self, error: Error) -> Error {
        self.error(error.kind().clone())
    }

    /// A decoded chunk, native-endian and row-major; `None` when it was never written.
    fn chunk<'c>(
        &self,
        chunk: u64,
        cursor: &'c mut Cursor,
    ) -> Result<Option<&'c AlignedBytes>, Error> {
        let inner = &*self.inner;
        let key = ChunkKey {
            array: inner.id,
            chunk,
        };
        if cursor.chunk.as_ref().is_none_or(|(last, _)| *last != key) {
            let is_shared =
                |shared: &[Range<u64>; 2]| shared.iter().any(|chunks| chunks.contains(&chunk));
            let shared = cursor.shared.as_ref().is_none_or(is_shared)
                && inner.context.can_keep(self.chunk_bytes());
            cursor.forget();
            let cached = shared.then(|| inner.context.cached_chunk(key));
            let bytes = match cached {
                Some(Cached::Chunk(bytes)) => Some(bytes),
                // A claim is held until the chunk is kept.
                claim @ (None | Some(Cached::Claimed(_))) => {
                    match self.read_chunk(chunk, cursor)? {
                        None => None,
                        Some((decoded, stored)) => {
                            let decoded = Arc::new(decoded);
                            if claim.is_some()
                                && let Some(gone) = inner.context.keep_chunk(key, &decoded)
                            {
                                cursor.spare = Some(gone);
                            }
                            inner.context.count_decoded(stored);
                            Some(decoded)
                        }
                    }
                }
            };
            cursor.chunk = Some((key, bytes));
        }
        Ok(cursor
            .chunk
            .as_ref()
            .and_then(|(_, bytes)| bytes.as_deref()))
    }

    /// A chunk from its file and the bytes that it takes there; `None` when it was never written.
    fn read_chunk(
        &self,
        chunk: u64,
        cursor: &mut Cursor,
    ) -> Result<Option<(AlignedBytes, u64)>, Error> {
        if let Chunks::Library(reader) = &self.inner.chunks {
            return self.read_by_library(chunk, reader.as_ref(), cursor);
        }
        let Some(place) = self.place(chunk)? else {
            return Ok(None);
        };
        Ok(Some((self.decode(chunk, &place, cursor)?, place.len)))
    }

    /// As [`read_chunk`](Self::read_chunk), of elements that another library decodes.
    fn read_by_library(
        &self,
        chunk: u64,
        reader: &dyn BlockReader,
        cursor: &mut Cursor,
    ) -> Result<Option<(AlignedBytes, u64)>, Error> {
        let grid = &self.inner.grid;
        let Some(stored) = self.check_block(chunk, reader, self.chunk_bytes())? else {
            return Ok(None);
        };
        let start = grid.start(chunk);
        let count: Vec<u64> = (0..start.len())
            .map(|axis| grid.chunk[axis].min(grid.shape[axis] - start[axis]))
            .collect();
        let size = self.inner.stored_size() as u64;
        let mut out = cursor.take_spare(grid.chunk_len().saturating_mul(size) as usize);
        reader
            .read(&start, &count, &grid.chunk, out.as_mut_slice())
            .map_err(|error| self.at(error))?;
        if let Some(conversion) = self.inner.conversion {
            out = self.convert(chunk, conversion, &out)?;
        }
        Ok(Some((out, stored)))
    }

    /// The bytes stored for a chunk, `None` when it was never written. Refuses a chunk whose
    /// `len` bytes cannot come from them.
    fn check_block(
        &self,
        chunk: u64,
        reader: &dyn BlockReader,
        len: u64,
    ) -> Result<Option<u64>, Error> {
        if self.inner.context.is_closed() {
            return Err(self.error(ErrorKind::Closed));
        }
        let grid = &self.inner.grid;
        let Some(stored) = reader.stored_bytes_at(&grid.start(chunk))? else {
            return Ok(None);
        };
        let limit = stored
            .saturating_mul(reader.best_ratio())
            .saturating_add(FREE_BYTES_OF_CHUNK);
        if len > limit {
            let expected = format!("chunk {chunk} of shape {:?}", grid.chunk);
            return Err(self.invalid(expected, format!("{stored} stored bytes")));
        }
        Ok(Some(stored))
    }

    /// Bytes of a decoded chunk.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        let item = self.inner.item.size() as u64;
        self.inner.grid.chunk_len().saturating_mul(item)
    }

    fn decode(
        &self,
        chunk: u64,
        place: &Place<'_>,
        cursor: &mut Cursor,
    ) -> Result<AlignedBytes, Error> {
        let inner = &*self.inner;
        let item = inner.stored_size();
        let ratio = inner.pipeline.best_ratio();
        let limit = place
            .len
            .saturating_mul(ratio)
            .saturating_add(FREE_BYTES_OF_CHUNK);
        let len = match inner.record {
            Some(record) => inner.grid.chunk[0].checked_mul(record.len as u64),
            None => inner.grid.chunk_len().checked_mul(item as u64),
        };
        let Some(len) = len.filter(|&len| len <= limit) else {
            let expected = format!("no more in chunk {chunk} than its stored bytes can hold");
            let found = format!("shape {:?} in {} bytes", inner.grid.chunk, place.len);
            return Err(self.invalid(expected, found));
        };
        self.read_raw(place, &mut cursor.raw)?;
        if inner.record.is_some() && inner.pipeline.is_empty() {
            // The last block of a table that lies in one piece may be shorter.
            cursor.raw.resize(len as usize, 0);
        }
        if inner.conversion.is_some() && inner.pipeline.is_empty() {
            // So may that of an array which lies in one piece, and was cut to be converted.
            let rows = inner.grid.rows_within(chunk) * (len / inner.grid.chunk_rows());
            if place.len >= rows {
                cursor.raw.resize(len as usize, 0);
            }
        }
        let mut out = cursor.take_spare(len as usize);
        inner
            .pipeline
            .decode(
                &cursor.raw,
                place.skip_mask,
                out.as_mut_slice(),
                &mut cursor.decode,
            )
            .map_err(|source| {
                self.error(ErrorKind::Decode {
                    chunk,
                    source: Arc::new(source),
                })
            })?;
        if let Some(record) = inner.record {
            let field: u64 = inner.grid.chunk[1..].iter().product();
            out = fields(&out, record, field as usize * item);
        }
        if inner.big_endian {
            swap_bytes(out.as_mut_slice(), self.swap_unit());
        }
        if let Some(conversion) = inner.conversion {
            out = self.convert(chunk, conversion, &out)?;
        }
        if let Some(axes) = &inner.stored_axes {
            out = transposed(&out, &inner.grid.chunk, axes, inner.item.size());
        }
        Ok(out)
    }

    /// The elements of a chunk, converted. Of a list, those beyond its end are not.
    fn convert(
        &self,
        chunk: u64,
        conversion: Conversion,
        stored: &AlignedBytes,
    ) -> Result<AlignedBytes, Error> {
        let grid = &self.inner.grid;
        let count = match grid.shape.len() {
            1 => grid.rows_within(chunk),
            _ => grid.chunk_len(),
        };
        let converted = conversion.chunk(stored, count as usize);
        converted.map_err(|found| self.invalid("whole numbers", found))
    }

    /// Bytes of the units that a big-endian array swaps.
    fn swap_unit(&self) -> usize {
        match &self.inner.item {
            ItemType::Text(TextEncoding::Utf32 { .. }) => 4,
            _ => self.inner.stored_size(),
        }
    }

    /// Fills `out` with `count` elements from `within` on of a chunk that is stored as it is.
    fn read_direct(
        &self,
        place: &Place<'_>,
        within: u64,
        out: &mut [u8],
        mapped: bool,
    ) -> Result<(), Error> {
        let item = self.inner.item.size() as u64;
        let (start, len) = (within * item, out.len() as u64);
        if start + len > place.len {
            let expected = format!("a chunk of at least {} bytes", start + len);
            return Err(self.invalid(expected, format!("{} bytes", place.len)));
        }
        let offset = place.offset.saturating_add(start);
        let read = if mapped {
            place.source.read_in_place(offset, out)
        } else {
            place.source.read_exact_at(offset, out)
        };
        read.map_err(|error| self.at(error))?;
        self.inner.context.count_read(len);
        if self.inner.big_endian {
            swap_bytes(out, self.swap_unit());
        }
        Ok(())
    }

    fn fill(&self, out: &mut [u8]) {
        if self.inner.fill.is_empty() {
            out.fill(0);
        } else {
            out.chunks_exact_mut(self.inner.fill.len())
                .for_each(|element| element.copy_from_slice(&self.inner.fill));
        }
    }

    /// Fills `out` with the elements of a range of a 1-D array.
    pub(crate) fn read_range_bytes(
        &self,
        range: Range<u64>,
        out: &mut [u8],
        cursor: &mut Cursor,
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
        while at < range.end {
            let (chunk, within) = (at / extent, at % extent);
            let count = (extent - within).min(range.end - at);
            let (part, tail) = rest.split_at_mut(count as usize * item);
            if self.is_direct() {
                match self.place(chunk)? {
                    Some(place) => self.read_direct(&place, within, part, cursor.mapped)?,
                    None => self.fill(part),
                }
            } else {
                match self.chunk(chunk, cursor)? {
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

    /// The elements of a range of a 1-D array: where they lie in a decoded chunk, when one holds
    /// them all, and else copied to `buffer`.
    pub(crate) fn read_or_view<'a>(
        &self,
        range: Range<u64>,
        cursor: &'a mut Cursor,
        buffer: &'a mut AlignedBytes,
    ) -> Result<&'a [u8], Error> {
        let item = self.inner.item.size();
        let extent = self.inner.grid.chunk[0];
        let (chunk, within) = (range.start / extent, range.start % extent);
        let len = range.end.saturating_sub(range.start);
        let in_bounds = range.end <= self.len() && self.shape().len() == 1;
        if self.is_direct() || !in_bounds || within + len > extent {
            buffer.resize(len as usize * item);
            self.read_range_bytes(range, buffer.as_mut_slice(), cursor)?;
            return Ok(buffer.as_slice());
        }
        let (start, len) = (within as usize * item, len as usize * item);
        if len == 0 {
            buffer.resize(0);
            return Ok(buffer.as_slice());
        }
        Ok(match self.chunk(chunk, cursor)? {
            Some(bytes) => &bytes.as_slice()[start..start + len],
            None => {
                buffer.resize(len);
                self.fill(buffer.as_mut_slice());
                buffer.as_slice()
            }
        })
    }

    /// Appends the elements of ascending ranges of a 1-D array of numbers to `out`, which must
    /// be of this array's type. Ranges that touch are read as one.
    pub(crate) fn read_ranges(
        &self,
        ranges: impl IntoIterator<Item = Range<u64>>,
        out: &mut Values,
        cursor: &mut Cursor,
    ) -> Result<(), Error> {
        let mut pending: Option<Range<u64>> = None;
        let mut read = |range: Range<u64>| {
            let count = (range.end - range.start) as usize;
            self.read_range_bytes(range, out.extend_zeroed(count), cursor)
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

    /// Reads rows of an array of any rank and hands them out in runs of adjacent elements.
    ///
    /// `rows` ascend (repeats are fine). `visit(i, start, run)` gets the elements of row
    /// `rows[i]` from flattened position `start` within the row; the runs of one row cover it
    /// once. Each chunk is decoded once in a call. Of each band of chunks, only those numbered `part`
    /// are read.
    pub(crate) fn read_rows(
        &self,
        rows: &[u64],
        part: Range<u64>,
        cursor: &mut Cursor,
        mut visit: impl FnMut(usize, usize, Slice<'_>),
    ) -> Result<(), Error> {
        let dtype = self.number_type()?;
        let grid = &self.inner.grid;
        if grid.shape.is_empty() {
            return Err(self.invalid("an array with rows", "a scalar"));
        }
        if let Some(pair) = rows.windows(2).find(|pair| pair[0] > pair[1]) {
            let found = format!("row {} before row {}", pair[0], pair[1]);
            return Err(self.invalid("rows in ascending order", found));
        }
        if let Some(&index) = rows.last().filter(|&&row| row >= grid.shape[0]) {
            let (what, len) = ("row", grid.shape[0]);
            return Err(self.error(ErrorKind::OutOfBounds { what, index, len }));
        }
        cursor.mapped = self.check_unchanged()?;
        let mut buffer = AlignedBytes::default();
        let inner_counts = &grid.counts()[1..];
        let blocks: u64 = inner_counts.iter().product();
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
                    (&mut *cursor, &mut buffer),
                    &mut |i, start, run| visit(first + i, start, run),
                )?;
            }
            first += in_band;
        }
        Ok(())
    }

    /// Hands out the elements of a chunk that lie in some rows of its band, in runs of adjacent
    /// ones. `rows` are those of the array.
    pub(crate) fn read_chunk_rows(
        &self,
        chunk: u64,
        rows: Range<u64>,
        (cursor, buffer): (&mut Cursor, &mut AlignedBytes),
        visit: &mut dyn FnMut(Slice<'_>),
    ) -> Result<(), Error> {
        let dtype = self.number_type()?;
        let block = Block::new(&self.inner.grid, chunk);
        let rows: Vec<u64> = rows.collect();
        self.read_block(&block, &rows, dtype, (cursor, buffer), &mut |_, _, run| {
            visit(run);
        })
    }

    /// The part of `rows`, all in one band of chunks, that lies in one chunk.
    fn read_block(
        &self,
        block: &Block,
        rows: &[u64],
        dtype: DType,
        (cursor, buffer): (&mut Cursor, &mut AlignedBytes),
        visit: &mut dyn FnMut(usize, usize, Slice<'_>),
    ) -> Result<(), Error> {
        let (item, grid) = (dtype.size(), &self.inner.grid);
        let row_len: u64 = grid.chunk[1..].iter().product();
        let whole = grid.chunk_len().checked_mul(item as u64);
        let place = if self.is_direct() {
            self.place(block.chunk)?
        } else {
            None
        };
        if let Some(place) = &place
            && whole.is_none_or(|whole| whole > place.len)
        {
            let expected = format!("chunks of shape {:?}", grid.chunk);
            return Err(self.invalid(expected, format!("{} bytes stored", place.len)));
        }
        let wanted = (rows.len() as u64).saturating_mul(row_len * item as u64);
        if let Some(place) =
            place.filter(|place| wanted < place.len / 4 || place.len > READ_BYTES as u64)
        {
            // Read only the rows asked for, adjacent ones together.
            let most = (READ_BYTES / (row_len as usize * item)).max(1);
            let mut i = 0;
            while i < rows.len() {
                let adjacent = (i + 1..rows.len().min(i + most))
                    .take_while(|&j| rows[j] == rows[j - 1] + 1)
                    .count();
                let count = adjacent + 1;
                buffer.resize(count * row_len as usize * item);
                let within = (rows[i] - block.first_row) * row_len;
                self.read_direct(&place, within, buffer.as_mut_slice(), cursor.mapped)?;
                let run = Slice::from_bytes(dtype, buffer.as_slice());
                for j in 0..count {
                    block.runs(grid, j as u64, |start, at, len| {
                        visit(i + j, start, run.range(at, at + len));
                    });
                }
                i += count;
            }
            return Ok(());
        }
        match self.chunk(block.chunk, cursor)? {
            Some(bytes) => {
                let run = Slice::from_bytes(dtype, bytes.as_slice());
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
                let run = Slice::from_bytes(dtype, buffer.as_slice());
                for i in 0..rows.len() {
                    block.runs(grid, 0, |start, _, len| visit(i, start, run.range(0, len)));
                }
            }
        }
        Ok(())
    }

    /// All elements of some rows, row-major, whatever their type: for tools that compare stores. Of
    /// a scalar, row 0 is its element.
    #[doc(hidden)]
    pub fn read_row_range(&self, rows: Range<u64>) -> Result<Values, Error> {
        let dtype = self.number_type()?;
        if self.shape().is_empty() {
            return self.read_all();
        }
        let row_len: u64 = self.shape()[1..].iter().product();
        let count = rows.end.saturating_sub(rows.start).saturating_mul(row_len);
        if count.saturating_mul(dtype.size() as u64) > FREE_BYTES {
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
            &mut Cursor::default(),
            |row, start, run| {
                let at = (row * row_len + start) * size;
                bytes[at..at + run.as_bytes().len()].copy_from_slice(run.as_bytes());
            },
        )?;
        Ok(out)
    }

    /// All elements of a 1-D (or scalar) array of numbers.
    ///
    /// Memory follows what decodes, not what the file claims.
    pub fn read_all(&self) -> Result<Values, Error> {
        self.check_written()?;
        self.read_all_of_known_length()
    }

    /// As [`read_all`](Self::read_all) for an array whose length other, written data vouch for:
    /// zarr does not write chunks that are all fill value, so few bytes may stand for many
    /// elements.
    pub(crate) fn read_all_of_known_length(&self) -> Result<Values, Error> {
        let dtype = self.number_type()?;
        let mut out = Values::new(dtype);
        let mut cursor = Cursor::default();
        if self.shape().is_empty() {
            let bytes = out.extend_zeroed(1);
            match self.chunk(0, &mut cursor)? {
                Some(chunk) => bytes.copy_from_slice(chunk.as_slice()),
                None => self.fill(bytes),
            }
            return Ok(out);
        }
        let mut at = 0;
        while at < self.len() {
            let end = (at + READ_BYTES as u64).min(self.len());
            let part = out.extend_zeroed((end - at) as usize);
            self.read_range_bytes(at..end, part, &mut cursor)?;
            at = end;
        }
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

    /// The runs of adjacent elements of row `row` of the chunk: position in the flattened row
    /// of the array, position in the chunk, length.
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

/// Reverses the bytes of every unit.
pub(crate) fn swap_bytes(bytes: &mut [u8], unit: usize) {
    if unit > 1 {
        bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    }
}

/// One field of every record.
fn fields(records: &AlignedBytes, record: Record, field_len: usize) -> AlignedBytes {
    let records = records.as_slice().chunks_exact(record.len);
    let mut out = AlignedBytes::zeroed(records.len() * field_len);
    for (field, record_bytes) in out.as_mut_slice().chunks_exact_mut(field_len).zip(records) {
        field.copy_from_slice(&record_bytes[record.offset..record.offset + field_len]);
    }
    out
}

/// A chunk whose axes are stored in another order, made row-major.
fn transposed(stored: &AlignedBytes, shape: &[u64], axes: &[usize], item: usize) -> AlignedBytes {
    let rank = shape.len();
    // Distance between neighbours along each axis of the array, in the stored order.
    let mut stride = vec![0usize; rank];
    let mut step = item;
    for &axis in axes.iter().rev() {
        stride[axis] = step;
        step *= shape[axis] as usize;
    }
    let mut out = AlignedBytes::zeroed(stored.len());
    let mut index = vec![0u64; rank];
    for target in out.as_mut_slice().chunks_exact_mut(item) {
        let from: usize = index
            .iter()
            .zip(&stride)
            .map(|(&i, s)| i as usize * s)
            .sum();
        target.copy_from_slice(&stored.as_slice()[from..from + item]);
        for axis in (0..rank).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// An array over bytes in memory, row-major and native-endian, cut into chunks of any shape.
pub(crate) fn memory_parts(
    element: &str,
    grid: Grid,
    item: ItemType,
    bytes: Vec<u8>,
) -> ArrayParts {
    let chunks = Chunks::Contiguous {
        source: ByteSource::Memory(Memory::new(bytes)),
        offset: 0,
    };
    ArrayParts {
        context: IoContext::default(),
        file: "memory".into(),
        element: element.to_owned(),
        grid,
        item,
        big_endian: false,
        pipeline: Pipeline::default(),
        stored_axes: None,
        chunks,
        fill: Vec::new(),
        record: None,
        conversion: None,
        missing: None,
        id: 0,
    }
}
