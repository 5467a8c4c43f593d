//! Reads chunks of arrays: the last one again, one from the cache, or one from the file, decoded.
//!
//! ```text
//! stored bytes ─▶ codecs ─▶ field of a record ─▶ byte order ─▶ conversion ─▶ order of axes
//! ```

use std::ops::Range;
use std::sync::Arc;

use super::Array;
use super::chunks::{BlockReader, ChunkLocation, Chunks};
use super::convert::Conversion;
use super::decode;
use super::reorder::{fields, swap_bytes, transposed};
use crate::error::{Error, ErrorKind};
use crate::io::buffers::AlignedBytes;
use crate::io::chunk_cache::{Cached, ChunkKey};
use crate::limits::FREE_CHUNK_BYTES;

/// The chunks that a [`ChunkReader`] shares with others through the cache of the context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum CachePolicy {
    /// All of them.
    #[default]
    All,
    /// In a scan, the chunks that an adjacent scan needs too.
    Only([Range<u64>; 2]),
    /// No chunks: each is needed only once.
    Nothing,
}

impl CachePolicy {
    fn shares(&self, chunk: u64) -> bool {
        match self {
            CachePolicy::All => true,
            CachePolicy::Only(shared) => shared.iter().any(|chunks| chunks.contains(&chunk)),
            CachePolicy::Nothing => false,
        }
    }
}

/// The last decoded chunk, so that ascending reads decode each chunk once with any cache budget,
/// and the buffers that decoding needs. One per thread.
#[derive(Debug, Default)]
pub(crate) struct ChunkReader {
    /// Array and number of the chunk, and its bytes; `None` for the bytes of a chunk that was never
    /// written.
    last: Option<(ChunkKey, Option<Arc<AlignedBytes>>)>,
    policy: CachePolicy,
    /// Whether the file was just found unchanged, so that its memory map may be read.
    mapped: bool,
    /// A buffer that no chunk uses.
    spare: Option<Arc<AlignedBytes>>,
    decode: decode::Scratch,
    raw: Vec<u8>,
}

impl ChunkReader {
    /// Makes a reader that reads files, but not through memory maps.
    pub(crate) fn new(policy: CachePolicy) -> ChunkReader {
        ChunkReader {
            policy,
            ..ChunkReader::default()
        }
    }

    /// Begins a bulk of reads of one array. Until the next bulk, elements that are stored as they
    /// are in memory may be read through a memory map.
    ///
    /// # Errors
    /// When elements may be mapped, but the file is no longer the one that was opened.
    pub(crate) fn begin(&mut self, array: &Array, policy: CachePolicy) -> Result<(), Error> {
        self.policy = policy;
        self.mapped = array.check_unchanged()?;
        Ok(())
    }

    /// Whether reads of unencoded elements cost no system call.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped
    }

    /// Releases the chunk that was read last.
    pub(crate) fn forget(&mut self) {
        if let Some((_, Some(bytes))) = self.last.take() {
            self.spare = Some(bytes);
        }
    }

    /// Returns a buffer of `len` bytes with unspecified contents. Takes the spare one unless
    /// another holder remains: its pages are already mapped.
    fn take_spare(&mut self, len: usize) -> AlignedBytes {
        let spare = self.spare.take().and_then(Arc::into_inner);
        let mut out = spare.unwrap_or_default();
        out.resize(len);
        out
    }

    /// Returns a decoded chunk, native-endian and row-major; `None` if it was never written.
    pub(super) fn chunk(
        &mut self,
        array: &Array,
        chunk: u64,
    ) -> Result<Option<&AlignedBytes>, Error> {
        let context = &array.inner.context;
        let key = ChunkKey {
            array: array.inner.id,
            chunk,
        };
        if self.last.as_ref().is_none_or(|(last, _)| *last != key) {
            let shared = self.policy.shares(chunk) && context.can_keep(array.chunk_bytes());
            self.forget();
            let cached = shared.then(|| context.cached_chunk(key));
            let bytes = match cached {
                Some(Cached::Chunk(bytes)) => Some(bytes),
                // The claim lasts until the chunk is kept.
                claim @ (None | Some(Cached::Claimed(_))) => match self.read(array, chunk)? {
                    None => None,
                    Some((decoded, stored)) => {
                        let decoded = Arc::new(decoded);
                        if claim.is_some()
                            && let Some(gone) = context.keep_chunk(key, &decoded)
                        {
                            self.spare = Some(gone);
                        }
                        context.count_decoded(stored);
                        Some(decoded)
                    }
                },
            };
            self.last = Some((key, bytes));
        }
        Ok(self.last.as_ref().and_then(|(_, bytes)| bytes.as_deref()))
    }

    /// Reads a chunk from its file; returns it with its stored length. `None` if it was never
    /// written.
    fn read(&mut self, array: &Array, chunk: u64) -> Result<Option<(AlignedBytes, u64)>, Error> {
        if let Chunks::Library(library) = &array.inner.chunks {
            return self.read_by_library(array, chunk, library.as_ref());
        }
        let Some(location) = array.locate(chunk)? else {
            return Ok(None);
        };
        let decoded = self.decode(array, chunk, &location)?;
        Ok(Some((decoded, location.len)))
    }

    /// As [`read`](Self::read), for elements that another library decodes.
    fn read_by_library(
        &mut self,
        array: &Array,
        chunk: u64,
        library: &dyn BlockReader,
    ) -> Result<Option<(AlignedBytes, u64)>, Error> {
        let grid = &array.inner.grid;
        let Some(stored) = array.check_block(chunk, library, array.chunk_bytes())? else {
            return Ok(None);
        };
        let start = grid.start(chunk);
        let count: Vec<u64> = (0..start.len())
            .map(|axis| grid.chunk[axis].min(grid.shape[axis] - start[axis]))
            .collect();
        let size = array.inner.stored_size() as u64;
        let mut out = self.take_spare(grid.chunk_len().saturating_mul(size) as usize);
        library
            .read(&start, &count, &grid.chunk, out.as_mut_slice())
            .map_err(|error| array.at(error))?;
        if let Some(conversion) = array.inner.conversion {
            out = converted(array, chunk, conversion, &out)?;
        }
        Ok(Some((out, stored)))
    }

    fn decode(
        &mut self,
        array: &Array,
        chunk: u64,
        location: &ChunkLocation<'_>,
    ) -> Result<AlignedBytes, Error> {
        let parts = &*array.inner;
        let len = decoded_len(array, chunk, location)?;
        array.read_raw(location, &mut self.raw)?;
        if parts.record.is_some() && parts.pipeline.is_empty() {
            // The last block of a table cut from one piece may be shorter.
            self.raw.resize(len as usize, 0);
        }
        if parts.conversion.is_some() && parts.pipeline.is_empty() {
            // So may the last block of an array in one piece that was cut for conversion.
            let rows = parts.grid.rows_within(chunk) * (len / parts.grid.chunk_rows());
            if location.len >= rows {
                self.raw.resize(len as usize, 0);
            }
        }
        let mut out = self.take_spare(len as usize);
        let decoded = parts.pipeline.decode(
            &self.raw,
            location.skip_mask,
            out.as_mut_slice(),
            &mut self.decode,
        );
        decoded.map_err(|source| decode_error(array, chunk, source))?;
        if let Some(record) = parts.record {
            let field: u64 = parts.grid.chunk[1..].iter().product();
            out = fields(&out, record, field as usize * parts.stored_size());
        }
        if parts.big_endian {
            swap_bytes(out.as_mut_slice(), array.swap_unit());
        }
        if let Some(conversion) = parts.conversion {
            out = converted(array, chunk, conversion, &out)?;
        }
        if let Some(axes) = &parts.stored_axes {
            out = transposed(&out, &parts.grid.chunk, axes, parts.item.size());
        }
        Ok(out)
    }

    /// Decodes a chunk whose decoded length is not known beforehand.
    pub(super) fn decode_unsized(
        &mut self,
        array: &Array,
        chunk: u64,
        location: &ChunkLocation<'_>,
    ) -> Result<Vec<u8>, Error> {
        array.read_raw(location, &mut self.raw)?;
        let pipeline = &array.inner.pipeline;
        let decoded = pipeline.decode_unsized(&self.raw, &mut self.decode);
        decoded.map_err(|source| decode_error(array, chunk, source))
    }

    /// Fills `out` with elements of an unencoded chunk, from element `within` on.
    pub(super) fn read_direct(
        &self,
        array: &Array,
        location: &ChunkLocation<'_>,
        within: u64,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let item = array.inner.item.size() as u64;
        let (start, len) = (within * item, out.len() as u64);
        if start + len > location.len {
            let expected = format!("a chunk of at least {} bytes", start + len);
            return Err(array.invalid(expected, format!("{} bytes", location.len)));
        }
        let offset = location.offset.saturating_add(start);
        let read = if self.mapped {
            location.source.read_in_place(offset, out)
        } else {
            location.source.read_exact_at(offset, out)
        };
        read.map_err(|error| array.at(error))?;
        array.inner.context.count_read(len);
        if array.inner.big_endian {
            swap_bytes(out, array.swap_unit());
        }
        Ok(())
    }
}

/// Returns the decoded length of a chunk in bytes. Refuses more than its stored bytes can hold.
fn decoded_len(array: &Array, chunk: u64, location: &ChunkLocation<'_>) -> Result<u64, Error> {
    let parts = &*array.inner;
    let limit = location
        .len
        .saturating_mul(parts.pipeline.best_ratio())
        .saturating_add(FREE_CHUNK_BYTES);
    let len = match parts.record {
        Some(record) => parts.grid.chunk[0].checked_mul(record.len as u64),
        None => parts
            .grid
            .chunk_len()
            .checked_mul(parts.stored_size() as u64),
    };
    len.filter(|&len| len <= limit).ok_or_else(|| {
        let expected = format!("no more in chunk {chunk} than its stored bytes can hold");
        let found = format!("shape {:?} in {} bytes", parts.grid.chunk, location.len);
        array.invalid(expected, found)
    })
}

/// Converts the elements of a chunk, except those beyond the end of a 1-D array.
fn converted(
    array: &Array,
    chunk: u64,
    conversion: Conversion,
    stored: &AlignedBytes,
) -> Result<AlignedBytes, Error> {
    let grid = &array.inner.grid;
    let count = match grid.shape.len() {
        1 => grid.rows_within(chunk),
        _ => grid.chunk_len(),
    };
    let converted = conversion.chunk(stored, count as usize);
    converted.map_err(|found| array.invalid("whole numbers", found))
}

fn decode_error(array: &Array, chunk: u64, source: decode::DecodeError) -> Error {
    array.error(ErrorKind::Decode {
        chunk,
        source: Arc::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::ItemType;
    use crate::array::grid::Grid;
    use crate::array::memory::chunked_parts;
    use crate::dtype::DType;
    use crate::io::context::IoContext;
    use crate::io::options::IoOptions;

    /// Ten bytes in chunks of two, and the context that counts how they are read.
    fn array(cache_bytes: usize) -> (Array, IoContext) {
        let grid = Grid::new(vec![10], vec![2]).expect("small");
        let bytes: Vec<u8> = (0..10).collect();
        let mut parts = chunked_parts("a", grid, ItemType::Number(DType::U8), &bytes);
        let context = IoContext::new(IoOptions::new().cache_bytes(cache_bytes));
        parts.context = context.clone();
        (Array::new(parts), context)
    }

    fn read(reader: &mut ChunkReader, array: &Array, chunk: u64) {
        let bytes = reader.chunk(array, chunk).expect("it decodes");
        let first = 2 * chunk as u8;
        let expected = [first, first + 1];
        assert_eq!(bytes.expect("it was written").as_slice(), expected);
    }

    #[test]
    fn chunk_reader_decodes_its_last_chunk_once_without_a_cache() {
        let (array, context) = array(0);
        let mut reader = ChunkReader::default();
        for chunk in [1, 1, 1, 2, 2, 1] {
            read(&mut reader, &array, chunk);
        }
        assert_eq!((context.decoded_chunks(), context.cache_hits()), (3, 0));
        reader.forget();
        read(&mut reader, &array, 1);
        assert_eq!(
            context.decoded_chunks(),
            4,
            "a forgotten chunk is read again"
        );
    }

    #[test]
    fn cache_policy_decides_what_readers_share() {
        let only = CachePolicy::Only([0..1, 4..5]);
        for (policy, shared) in [
            (CachePolicy::All, vec![0, 1, 2, 3, 4]),
            (only, vec![0, 4]),
            (CachePolicy::Nothing, vec![]),
        ] {
            let (array, context) = array(100);
            for _ in 0..2 {
                let mut reader = ChunkReader::new(policy.clone());
                (0..5).for_each(|chunk| read(&mut reader, &array, chunk));
            }
            let n_shared = shared.len() as u64;
            let counts = (context.decoded_chunks(), context.cache_hits());
            assert_eq!(counts, (10 - n_shared, n_shared), "{policy:?}");
            // Shared chunks are in the cache.
            let mut reader = ChunkReader::default();
            for chunk in shared {
                let before = context.cache_hits();
                read(&mut reader, &array, chunk);
                assert_eq!(context.cache_hits(), before + 1, "{policy:?}: {chunk}");
            }
        }
    }

    #[test]
    fn chunk_reader_uses_the_buffer_of_a_forgotten_chunk_again() {
        let (array, _) = array(0);
        let mut reader = ChunkReader::new(CachePolicy::Nothing);
        read(&mut reader, &array, 3);
        reader.forget();
        assert_eq!(reader.take_spare(2).as_slice(), [6, 7], "the same memory");
        // A buffer that another holder still uses is left alone.
        read(&mut reader, &array, 3);
        let held = reader.last.as_ref().and_then(|(_, bytes)| bytes.clone());
        reader.forget();
        assert_eq!(reader.take_spare(2).as_slice(), [0, 0]);
        assert_eq!(held.expect("it was written").as_slice(), [6, 7]);
    }

    #[test]
    fn decoded_len_refuses_more_than_stored_bytes_can_hold() {
        // A checksum expands nothing, and 1 MiB may come without stored bytes.
        let grid = Grid::single(vec![(1 << 20) + 100]).expect("small");
        let mut parts = chunked_parts("a", grid, ItemType::Number(DType::U8), &vec![0; 1 << 21]);
        let Chunks::Table { entries, .. } = &mut parts.chunks else {
            panic!("it is cut into chunks");
        };
        entries[0].len = 50;
        let array = Array::new(parts);
        let error = ChunkReader::default().chunk(&array, 0).map(|_| ());
        let error = error.expect_err("50 bytes hold no more").to_string();
        assert!(error.contains("than its stored bytes can hold"), "{error}");
    }
}
