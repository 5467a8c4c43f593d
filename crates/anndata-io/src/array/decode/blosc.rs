//! Blosc 1 buffers, decoded by the C library.
//!
//! A buffer has a header of 16 bytes: format version, compressor's version, flags, element size,
//! then decoded length, block length and stored length as little-endian u32. This module checks
//! what the library does not check itself, before the library sees the buffer.

use super::lz4::has_endless_length;
use super::{DecodeError, check_len, head_of};
use std::ffi::c_void;

const NAME: &str = "blosc";
const VERSION: u8 = blosc_src::BLOSC_VERSION_FORMAT as u8;
const IS_COPY: u8 = blosc_src::BLOSC_MEMCPYED as u8;
const BLOSCLZ: u8 = blosc_src::BLOSC_BLOSCLZ_FORMAT as u8;
const SNAPPY: u8 = blosc_src::BLOSC_SNAPPY_FORMAT as u8;
const ZSTD: u8 = blosc_src::BLOSC_ZSTD_FORMAT as u8;

/// Decodes one whole buffer into the front of `out`. Returns the decoded length.
///
/// The call needs no initialisation, starts no thread and takes no lock. It shares only a table of
/// functions, which a `pthread_once` of some nanoseconds fills at the first shuffled buffer. A
/// forked child may therefore go on using it.
pub(super) fn decompress(source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    check_header(source)?;
    let mut len = 0;
    // SAFETY: the call reads only the header, and only after it has found `source.len()` to be at
    // least that long; `len` is a place for one `usize`.
    let valid = unsafe {
        blosc_src::blosc_cbuffer_validate(source.as_ptr().cast(), source.len(), &raw mut len)
    };
    if valid != 0 {
        return Err(DecodeError::corrupt(
            NAME,
            format_args!("its header does not describe its {} bytes", source.len()),
        ));
    }
    let out = head_of(NAME, out, len)?;
    let target = out.as_mut_ptr().cast::<c_void>();
    // SAFETY: the header's stored length was just found to be `source.len()`, which bounds every
    // read; `target` is `out.len()` writable bytes, which the call never exceeds, and does not
    // overlap `source`. Sums of lengths stay within `c_int`: see `check_header`. The library's own
    // buffer is some 2 blocks long, and it refuses a block longer than `out`.
    let found =
        unsafe { blosc_src::blosc_decompress_ctx(source.as_ptr().cast(), target, out.len(), 1) };
    let found = usize::try_from(found)
        .map_err(|_| DecodeError::corrupt(NAME, "a block in it does not decode"))?;
    // Blocks that do not decode fully leave holes in `out`: this check finds them.
    check_len(NAME, len, found)?;
    Ok(len)
}

/// Refuses headers that the library would not explain, or not survive.
fn check_header(source: &[u8]) -> Result<(), DecodeError> {
    let &[version, _, flags, ..] = source else {
        return Err(DecodeError::corrupt(NAME, "it ends within its header"));
    };
    if version != VERSION {
        return Err(DecodeError::corrupt(
            NAME,
            format_args!("its format version is {version}, only {VERSION} is known"),
        ));
    }
    if flags & IS_COPY != 0 {
        return Ok(());
    }
    let compressor = flags >> 5;
    // Snappy is the only compressor that would need a C++ compiler.
    if compressor > ZSTD || compressor == SNAPPY {
        let inner = match compressor {
            SNAPPY => "snappy".to_owned(),
            other => format!("compressor number {other}"),
        };
        return Err(DecodeError::UnsupportedInner { codec: NAME, inner });
    }
    if compressor == BLOSCLZ && has_endless_length(source) {
        return Err(DecodeError::corrupt(NAME, "a length in it is beyond 2 GiB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::encode::blosc as compress;
    use super::*;

    fn counts(n: u32) -> Vec<u8> {
        (0..n)
            .flat_map(|i| (i % 997 * i % 7).to_le_bytes())
            .collect()
    }

    #[test]
    fn blosc_decodes_every_compressor_and_shuffle() {
        let data = counts(70_001);
        for compressor in [c"blosclz", c"lz4", c"lz4hc", c"zlib", c"zstd"] {
            for shuffle in 0..3 {
                let buffer = compress(&data, compressor, 5, shuffle, 4);
                let mut out = vec![0; data.len()];
                let len = decompress(&buffer, &mut out).expect("well formed");
                assert!(len == data.len() && out == data, "{compressor:?} {shuffle}");
            }
        }
        let stored = compress(&data, c"lz4", 0, 0, 4);
        let mut out = vec![0; data.len()];
        decompress(&stored, &mut out).expect("level 0 stores");
        assert_eq!(out, data);
        assert_eq!(
            decompress(&compress(&[], c"lz4", 5, 1, 4), &mut []).expect("empty"),
            0
        );
    }

    #[test]
    fn blosc_header_that_is_wrong_is_an_error() {
        let data = counts(1000);
        let good = compress(&data, c"lz4", 5, 1, 4);
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            let mut out = vec![0; data.len()];
            decompress(&bad, &mut out).expect_err("damaged").to_string()
        };
        assert!(with(0, 5).contains("format version is 5"));
        assert!(with(2, 0xa1).contains("compressor number 5"));
        assert!(with(12, good[12] ^ 1).contains("does not describe"));
        assert!(with(7, 0x80).contains("does not describe"));
        with(3, 0);
        assert!(matches!(
            decompress(&good, &mut vec![0; data.len() - 1]),
            Err(DecodeError::Length {
                expected: 3999,
                found: 4000,
                ..
            })
        ));
    }

    #[test]
    fn blosc_error_names_snappy_as_unsupported() {
        let error = decompress(
            include_bytes!("samples/h5-blosc-snappy-shuffle.bin"),
            &mut [0; 4000],
        )
        .expect_err("not built in");
        assert!(error.to_string().contains("snappy"), "{error}");
    }

    #[test]
    fn blosc_length_that_would_turn_negative_is_an_error() {
        const BLOCK: u32 = 8_500_000;
        let mut raw = vec![VERSION, 1, 0x10, 1];
        for number in [BLOCK + 1, BLOCK + 1, 24 + BLOCK, 20, BLOCK] {
            raw.extend(number.to_le_bytes());
        }
        // One literal, then a run of it: 7 bytes, and 255 per 0xff byte that follows.
        raw.extend([0, 7, 0xe0]);
        raw.resize(raw.len() + (1 << 31) / 255 + 1, 0xff);
        raw.resize(24 + BLOCK as usize, 0);
        let error = decompress(&raw, &mut vec![0; BLOCK as usize + 1]).expect_err("corrupt");
        assert!(error.to_string().contains("2 GiB"), "{error}");
    }
}
