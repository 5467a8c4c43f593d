//! An encoder per codec, for the tests. They favour clarity over speed.

use crate::array::decode::{Codec, checksum};
use libdeflater::{CompressionLvl, Compressor};
use std::ffi::CStr;
use std::io::Read;

/// Encodes `data` with `codecs`, except those that `skip_mask` names.
pub(in crate::array::decode) fn encode_all(
    codecs: &[Codec],
    skip_mask: u32,
    data: &[u8],
) -> Vec<u8> {
    codecs
        .iter()
        .enumerate()
        .filter(|(i, _)| skip_mask >> i & 1 == 0)
        .fold(data.to_vec(), |data, (_, &codec)| encode(codec, &data))
}

/// Encodes `data` with `codec`.
pub(in crate::array::decode) fn encode(codec: Codec, data: &[u8]) -> Vec<u8> {
    match codec {
        Codec::Deflate => {
            let mut compressor = Compressor::new(CompressionLvl::default());
            let mut out = vec![0; compressor.zlib_compress_bound(data.len())];
            let len = compressor.zlib_compress(data, &mut out);
            out.truncate(len.expect("the bound suffices"));
            out
        }
        Codec::Gzip => {
            let mut compressor = Compressor::new(CompressionLvl::default());
            let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
            let len = compressor.gzip_compress(data, &mut out);
            out.truncate(len.expect("the bound suffices"));
            out
        }
        Codec::Shuffle { element_size } => shuffle(data, element_size),
        Codec::Fletcher32 => {
            let sum = checksum::word_by_word(data);
            [data, &sum.to_le_bytes()].concat()
        }
        Codec::Crc32c => [data, &crc32c::crc32c(data).to_le_bytes()].concat(),
        Codec::Lzf => lzf(data),
        Codec::Zstd => zstd::bulk::compress(data, 1).expect("compresses"),
        Codec::Lz4Hdf5 => lz4_hdf5(data, 300),
        Codec::Lz4Numcodecs => lz4_flex::block::compress_prepend_size(data),
        Codec::Blosc => blosc(data, c"blosclz", 5, blosc_src::BLOSC_SHUFFLE, 4),
        Codec::Bz2 => bz2(data),
        Codec::Checksum { sum, at_start } => {
            let stored = sum.of(data).to_le_bytes();
            if at_start {
                [&stored, data].concat()
            } else {
                [data, &stored].concat()
            }
        }
        Codec::Xz | Codec::Elements(_) | Codec::PackBits => {
            unreachable!("written by numcodecs only, see `golden`")
        }
    }
}

fn bz2(data: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::read::BzEncoder::new(data, bzip2::Compression::fast());
    let mut out = Vec::new();
    encoder.read_to_end(&mut out).expect("memory does not fail");
    out
}

/// Byte by byte, from the definition.
fn shuffle(data: &[u8], element_size: usize) -> Vec<u8> {
    if element_size < 2 || element_size > data.len() {
        return data.to_vec();
    }
    let (elements, rest) = data.split_at(data.len() / element_size * element_size);
    let planes = (0..element_size).flat_map(|k| elements.iter().skip(k).step_by(element_size));
    planes.chain(rest).copied().collect()
}

/// Takes the nearest earlier occurrence of the next three bytes, wherever there is one.
fn lzf(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut literals = Vec::new();
    let flush = |literals: &mut Vec<u8>, out: &mut Vec<u8>| {
        for run in literals.chunks(32) {
            out.push(run.len() as u8 - 1);
            out.extend(run);
        }
        literals.clear();
    };
    let mut at = 0;
    while at < data.len() {
        let next = &data[at..data.len().min(at + 264)];
        let found = (1..=at.min(8192))
            .find(|distance| data[at - distance..].starts_with(&next[..next.len().min(3)]));
        if let (Some(distance), true) = (found, next.len() >= 3) {
            flush(&mut literals, &mut out);
            let same = next
                .iter()
                .zip(&data[at - distance..])
                .take_while(|(a, b)| a == b);
            let len = same.count();
            let (far, near) = (((distance - 1) >> 8) as u8, (distance - 1) as u8);
            match len - 2 {
                short @ ..7 => out.extend([(short as u8) << 5 | far, near]),
                long => out.extend([7 << 5 | far, (long - 7) as u8, near]),
            }
            at += len;
        } else {
            literals.push(data[at]);
            at += 1;
        }
    }
    flush(&mut literals, &mut out);
    out
}

/// The framing of HDF5's filter 32004; blocks that do not shrink are stored unencoded.
pub(in crate::array::decode) fn lz4_hdf5(data: &[u8], block_len: u32) -> Vec<u8> {
    let mut out = (data.len() as u64).to_be_bytes().to_vec();
    out.extend(block_len.to_be_bytes());
    for block in data.chunks(block_len as usize) {
        let packed = lz4_flex::block::compress(block);
        let bytes = if packed.len() < block.len() {
            &packed
        } else {
            block
        };
        out.extend((bytes.len() as u32).to_be_bytes());
        out.extend(bytes);
    }
    out
}

/// Encodes `data` with the Blosc library.
pub(in crate::array::decode) fn blosc(
    data: &[u8],
    compressor: &CStr,
    level: i32,
    shuffle: u32,
    element_size: usize,
) -> Vec<u8> {
    let mut out = vec![0; data.len() + blosc_src::BLOSC_MAX_OVERHEAD as usize];
    // SAFETY: both slices have the stated lengths, and `compressor` ends in a zero byte.
    let len = unsafe {
        blosc_src::blosc_compress_ctx(
            level,
            shuffle as i32,
            element_size,
            data.len(),
            data.as_ptr().cast(),
            out.as_mut_ptr().cast(),
            out.len(),
            compressor.as_ptr(),
            0,
            1,
        )
    };
    out.truncate(usize::try_from(len).expect("that much room always suffices"));
    out
}
