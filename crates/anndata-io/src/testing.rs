//! Helpers for tests of hostile files. Not part of the public interface.

use std::ops::Range;
use std::path::PathBuf;

use crate::array::Array;
use crate::array::chunk_reader::{CachePolicy, ChunkReader};
use crate::array::decode::{Codec, CodecPipeline, Elements, Scratch, Step, StoredType, Sum};
use crate::dtype::{DType, ValuesRef};
use crate::error::Error;
use crate::io::bytes::ByteSource;

/// Every codec; [`decode`] names them by their position.
pub const N_CODECS: u8 = 15;

fn codec(number: u8) -> Codec {
    match number % N_CODECS {
        0 => Codec::Deflate,
        1 => Codec::Gzip,
        2 => Codec::Shuffle {
            element_size: (number / N_CODECS).into(),
        },
        3 => Codec::Fletcher32,
        4 => Codec::Crc32c,
        5 => Codec::Lzf,
        6 => Codec::Zstd,
        7 => Codec::Lz4Hdf5,
        8 => Codec::Lz4Numcodecs,
        9 => Codec::Blosc,
        10 => Codec::Bz2,
        11 => Codec::Xz,
        12 => Codec::Checksum {
            sum: Sum::Adler32,
            at_start: true,
        },
        13 => Codec::PackBits,
        _ => Codec::Elements(Elements {
            from: StoredType {
                dtype: DType::I16,
                big_endian: true,
            },
            to: StoredType {
                dtype: DType::F64,
                big_endian: false,
            },
            step: Step::Sum,
        }),
    }
}

/// Decodes a chunk to `len` bytes, and once more as a chunk of unknown length; `None` if the first
/// fails.
pub fn decode(codecs: &[u8], skip_mask: u32, raw: &[u8], len: usize) -> Option<Vec<u8>> {
    let pipeline = CodecPipeline::new(codecs.iter().copied().map(codec).collect());
    let mut scratch = Scratch::default();
    let _ = pipeline.decode_unsized(raw, &mut scratch);
    let mut out = vec![0; len];
    let result = pipeline.decode(raw, skip_mask, &mut out, &mut scratch);
    result.is_ok().then_some(out)
}

/// Reads rows of an array of numbers of any rank.
///
/// # Errors
/// As [`MatrixSource::read_rows`](crate::MatrixSource::read_rows).
pub fn read_rows(
    array: &Array,
    rows: &[u64],
    visit: impl FnMut(usize, usize, ValuesRef<'_>),
) -> Result<(), Error> {
    array.read_rows(
        rows,
        0..u64::MAX,
        CachePolicy::All,
        &mut ChunkReader::default(),
        visit,
    )
}

/// Returns the places of the chunks that a checksum covers: file, range in it.
///
/// # Errors
/// When the index of a shard cannot be read.
pub fn checked_chunks(array: &Array) -> Result<Vec<(PathBuf, Range<u64>)>, Error> {
    let parts = array.parts();
    let n_chunks: u64 = parts.grid.counts().iter().product();
    let mut places = Vec::new();
    for chunk in 0..n_chunks {
        let item = parts.stored_size() as u64;
        if let Some(location) = parts.chunks.locate(chunk, &parts.grid, item)?
            && parts.pipeline.ends_in_checksum(location.skip_mask)
            && let ByteSource::File(file) = &*location.source
        {
            let range = location.offset..location.offset + location.len;
            places.push((file.path().to_owned(), range));
        }
    }
    Ok(places)
}

/// Bytes of a decoded chunk; 0 if unknown.
pub fn chunk_bytes(array: &Array) -> u64 {
    let parts = array.parts();
    let item = match parts.record {
        Some(record) => record.len,
        None => parts.stored_size(),
    };
    parts.grid.chunk_len().saturating_mul(item as u64)
}
