//! Arrays of any store: shape, type, the place of each chunk's bytes, and reads of sets of rows.
//!
//! Takes the [`ArrayParts`] that a backend found when it opened an array. Returns elements in the
//! type of the file, native-endian and row-major. Knows no file format.
//!
//! ```text
//! ranges, rows, text ─▶ ChunkReader ─▶ Chunks: where a chunk lies ─▶ ByteSource: its bytes
//!  which elements        last chunk,         │
//!                        cache, buffers      └─▶ decode ─▶ reorder, convert ─▶ elements
//! ```
//!
//! An array whose file holds the elements as they are in memory ([`is_direct`](Array::is_direct))
//! is read in place, without a chunk in between. `bounds` refuses arrays that claim more than their
//! stored bytes can hold.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dtype::DType;
use crate::error::{Error, ErrorKind};
use crate::io::bytes::ByteSource;
use crate::io::chunk_cache::{ChunkKey, next_array_id};
use crate::io::context::IoContext;
use crate::limits::PROMISED_BYTES;

mod bounds;
pub(crate) mod chunk_reader;
pub(crate) mod chunks;
pub(crate) mod convert;
pub(crate) mod decode;
pub(crate) mod float;
pub(crate) mod grid;
mod identity;
pub(crate) mod memory;
mod ranges;
pub(crate) mod reorder;
pub(crate) mod rows;
pub(crate) mod text;

use chunks::{ChunkLocation, Chunks};
use convert::Conversion;
use decode::CodecPipeline;
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

/// The description of an array that a backend returns when it opens one.
#[derive(Debug)]
pub(crate) struct ArrayParts {
    pub(crate) context: IoContext,
    pub(crate) file: PathBuf,
    pub(crate) element: String,
    pub(crate) grid: Grid,
    pub(crate) item: ItemType,
    pub(crate) big_endian: bool,
    pub(crate) pipeline: CodecPipeline,
    /// For chunks that are not stored row-major: the axis of the array for each stored axis.
    pub(crate) stored_axes: Option<Vec<usize>>,
    pub(crate) chunks: Chunks,
    /// The value of an element that was never written, native-endian. Empty: zero bytes.
    pub(crate) fill: Vec<u8>,
    /// For a field of a table: its place in the stored records.
    pub(crate) record: Option<Record>,
    /// For elements whose stored bytes differ from their type in memory.
    pub(crate) conversion: Option<Conversion>,
    /// For R's logicals, which are integers here: the integer that means missing.
    pub(crate) missing: Option<u64>,
    pub(crate) id: u64,
}

impl ArrayParts {
    /// An array whose chunks hold its elements as they are in memory, row-major, and all of which
    /// were written.
    pub(crate) fn plain(
        context: IoContext,
        file: PathBuf,
        element: String,
        grid: Grid,
        item: ItemType,
        chunks: Chunks,
    ) -> ArrayParts {
        ArrayParts {
            context,
            file,
            element,
            grid,
            item,
            big_endian: false,
            pipeline: CodecPipeline::default(),
            stored_axes: None,
            chunks,
            fill: Vec::new(),
            record: None,
            conversion: None,
            missing: None,
            id: 0,
        }
    }
}

/// The records of a table; an array is one of their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes of a record.
    pub(crate) len: usize,
    /// The offset of the field in the record.
    pub(crate) offset: usize,
}

/// The longest single read of adjacent rows or elements, in bytes.
const READ_BYTES: usize = 1 << 20;

/// Elements of 1-D arrays that are read together if each read is a system call.
pub(crate) const STEP_ELEMENTS: u64 = 64 << 10;

/// The kind of an array's elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ItemType {
    Number(DType),
    Text(TextEncoding),
}

impl ItemType {
    /// Bytes of one stored element; 0 if the lengths differ.
    pub(crate) fn size(&self) -> usize {
        match self {
            ItemType::Number(dtype) => dtype.size(),
            ItemType::Text(encoding) => encoding.item_size(),
        }
    }
}

impl Array {
    pub(crate) fn new(mut parts: ArrayParts) -> Array {
        parts.id = next_array_id();
        Array {
            inner: Arc::new(parts),
        }
    }

    /// The extent along each axis.
    pub fn shape(&self) -> &[u64] {
        &self.inner.grid.shape
    }

    /// The number of elements.
    pub fn len(&self) -> u64 {
        self.inner.grid.len()
    }

    /// Whether the array has no elements.
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

    /// The path of the file or directory.
    pub fn file(&self) -> &Path {
        &self.inner.file
    }

    /// The path of the array within the file, such as `X/data`.
    pub fn element(&self) -> &str {
        &self.inner.element
    }

    /// Returns the array under another name, which its errors then use. Only for its sole owner.
    pub(crate) fn named(mut self, file: PathBuf, element: &str) -> Array {
        if let Some(parts) = Arc::get_mut(&mut self.inner) {
            parts.file = file;
            parts.element = element.to_owned();
        }
        self
    }

    /// The file under a name that it has in every process: without symbolic links, or the URL. `None`
    /// if it is gone.
    pub(crate) fn canonical_file(&self) -> Option<PathBuf> {
        match self.is_remote() {
            true => Some(self.inner.file.clone()),
            false => self.inner.file.canonicalize().ok(),
        }
    }

    /// A number that no other opened array of this process has.
    pub(crate) fn id(&self) -> u64 {
        self.inner.id
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

    /// Returns the number type, or an error for text.
    pub(crate) fn number_type(&self) -> Result<DType, Error> {
        self.dtype()
            .ok_or_else(|| self.invalid("an array of numbers or booleans", "text"))
    }

    /// Whether the elements lie in one file as they are in memory, so that its memory map may be
    /// read for the next bulk of rows. A change of mapped bytes raises no error, so the file is
    /// compared with the one that was opened before each bulk.
    fn check_unchanged(&self) -> Result<bool, Error> {
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

    /// Whether elements can be read in place, without decoding a whole chunk.
    pub(crate) fn is_direct(&self) -> bool {
        let inner = &*self.inner;
        let by_chunk = matches!(inner.chunks, Chunks::Library(_)) || inner.chunks.is_remote_files();
        inner.pipeline.is_empty()
            && inner.stored_axes.is_none()
            && inner.record.is_none()
            && inner.conversion.is_none()
            && !by_chunk
    }

    /// Whether rows are read as if the array were compressed, so that they are packed.
    pub(crate) fn packs_uncompressed(&self) -> bool {
        let in_memory = matches!(
            self.inner.chunks,
            Chunks::Contiguous {
                source: ByteSource::Memory(_),
                ..
            }
        );
        let is_wanted = self.inner.context.options().get_pack_uncompressed();
        !in_memory && (is_wanted || self.is_remote())
    }

    /// Whether each read is a request to a server.
    pub(crate) fn is_remote(&self) -> bool {
        self.inner.chunks.is_remote()
    }

    /// The bytes of its chunks in the file, as far as they are known.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let item = self.inner.stored_size() as u64;
        self.inner.chunks.stored_bytes(&self.inner.grid, item)
    }

    /// Asks a server for the chunks of ascending ranges along the first axis, which will be read soon.
    /// Does nothing for arrays on a disk.
    pub(crate) fn stage(&self, spans: impl IntoIterator<Item = Range<u64>>) {
        self.stage_wanted(spans, |_| true);
    }

    /// As [`stage`](Self::stage), for those chunks whose range along the first axis `is_wanted`. That
    /// is found out while no other thread takes a chunk that was asked for.
    pub(crate) fn stage_wanted(
        &self,
        spans: impl IntoIterator<Item = Range<u64>>,
        is_wanted: impl Fn(Range<u64>) -> bool,
    ) {
        if !self.is_remote() {
            return;
        }
        let ArrayParts {
            grid,
            chunks,
            context,
            id,
            ..
        } = &*self.inner;
        let spans = spans.into_iter().filter(|span| !span.is_empty());
        if let Chunks::Contiguous { source, offset } = chunks {
            let row = grid.shape[1..].iter().product::<u64>() * self.inner.stored_size() as u64;
            let ranges = spans.map(|span| {
                let (start, len) = (offset + span.start * row, (span.end - span.start) * row);
                (start..start + len, len)
            });
            return source.stage(&mut { ranges });
        }
        let (extent, beside) = (grid.chunk[0], self.chunks_beside());
        let is_wanted = |chunk: u64| {
            let start = chunk / beside * extent;
            let span = start..start.saturating_add(extent).min(grid.shape[0]);
            !context.has_chunk(ChunkKey { array: *id, chunk }) && is_wanted(span)
        };
        let ranges = spans.map(|span| self.chunks_of(&span));
        chunks.stage(ranges, is_wanted, grid, self.inner.stored_size() as u64);
    }

    /// Gives up what was asked for of a range along the first axis, which nobody reads any more.
    pub(crate) fn give_up(&self, span: Range<u64>) {
        self.inner.chunks.give_up(self.chunks_of(&span));
    }

    /// The chunks of a range along the first axis.
    fn chunks_of(&self, span: &Range<u64>) -> Range<u64> {
        let (extent, beside) = (self.inner.grid.chunk[0], self.chunks_beside());
        span.start / extent * beside..span.end.div_ceil(extent) * beside
    }

    /// The number of chunks in one band.
    pub(crate) fn chunks_beside(&self) -> u64 {
        let grid = &self.inner.grid;
        (1..grid.shape.len()).map(|axis| grid.count(axis)).product()
    }

    /// Returns the place of a chunk; `None` if it was never written.
    fn locate(&self, chunk: u64) -> Result<Option<ChunkLocation<'_>>, Error> {
        if self.inner.context.is_closed() {
            return Err(self.error(ErrorKind::Closed));
        }
        let item = self.inner.stored_size() as u64;
        let location = self.inner.chunks.locate(chunk, &self.inner.grid, item)?;
        if location.is_none() {
            self.check_absent(chunk)?;
        }
        Ok(location)
    }

    /// Whether a chunk was ever written.
    pub(crate) fn is_written(&self, chunk: u64) -> Result<bool, Error> {
        self.locate(chunk).map(|location| location.is_some())
    }

    /// Reads the stored bytes of a chunk, still encoded.
    pub(crate) fn read_raw(
        &self,
        location: &ChunkLocation<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if location
            .offset
            .checked_add(location.len)
            .is_none_or(|end| end > location.source.len())
        {
            let expected = format!("a chunk of {} bytes at {}", location.len, location.offset);
            return Err(self.invalid(
                expected,
                format!("a file of {} bytes", location.source.len()),
            ));
        }
        // A server may claim any length.
        let step = match location.source.is_remote() {
            true => PROMISED_BYTES,
            false => location.len,
        };
        let mut at = 0;
        while at < location.len {
            let end = location.len.min(at.saturating_add(step));
            // What was there is overwritten, so only growth is filled.
            out.resize(end as usize, 0);
            let part = &mut out[at as usize..];
            let read = location.source.read_exact_at(location.offset + at, part);
            read.map_err(|error| self.at(error))?;
            at = end;
        }
        out.truncate(location.len as usize);
        Ok(())
    }

    /// Adds this array's name to an error of the file layer.
    fn at(&self, error: Error) -> Error {
        self.error(error.kind().clone())
    }

    /// Bytes of a decoded chunk.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        let item = self.inner.item.size() as u64;
        self.inner.grid.chunk_len().saturating_mul(item)
    }

    /// Bytes of the units whose byte order a big-endian array reverses.
    fn swap_unit(&self) -> usize {
        match &self.inner.item {
            ItemType::Text(TextEncoding::Utf32 { .. }) => 4,
            _ => self.inner.stored_size(),
        }
    }

    /// Fills `out` with the value of elements that were never written.
    fn fill(&self, out: &mut [u8]) {
        if self.inner.fill.is_empty() {
            out.fill(0);
        } else {
            out.chunks_exact_mut(self.inner.fill.len())
                .for_each(|element| element.copy_from_slice(&self.inner.fill));
        }
    }
}
