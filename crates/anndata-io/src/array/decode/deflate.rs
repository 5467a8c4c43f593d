//! Deflated data in its two wrappings, zlib and gzip. Both carry a checksum, which is verified.

use super::DecodeError;
use libdeflater::{DecompressionError, Decompressor};

/// Inflates one zlib stream into the front of `out`.
pub(super) fn zlib(
    source: &[u8],
    out: &mut [u8],
    inflater: &mut Decompressor,
) -> Result<usize, DecodeError> {
    let room = out.len();
    inflater
        .zlib_decompress(source, out)
        .map_err(|error| describe("deflate", error, room))
}

/// Inflates one gzip member into the front of `out`.
pub(super) fn gzip(
    source: &[u8],
    out: &mut [u8],
    inflater: &mut Decompressor,
) -> Result<usize, DecodeError> {
    let room = out.len();
    inflater
        .gzip_decompress(source, out)
        .map_err(|error| describe("gzip", error, room))
}

fn describe(codec: &'static str, error: DecompressionError, room: usize) -> DecodeError {
    match error {
        DecompressionError::BadData => {
            DecodeError::corrupt(codec, "the stream is cut short, or its checksum is wrong")
        }
        DecompressionError::InsufficientSpace => {
            DecodeError::corrupt(codec, format_args!("it inflates to more than {room} bytes"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libdeflater::{CompressionLvl, Compressor};

    #[test]
    fn deflate_output_that_does_not_fit_is_an_error() {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut stream = vec![0; compressor.zlib_compress_bound(100)];
        let len = compressor
            .zlib_compress(&[1; 100], &mut stream)
            .expect("fits the bound");
        let mut out = [0; 99];
        let error = zlib(&stream[..len], &mut out, &mut Decompressor::new()).expect_err("99 < 100");
        assert_eq!(
            error.to_string(),
            "the deflate data is corrupt: it inflates to more than 99 bytes"
        );
    }

    #[test]
    fn gzip_with_a_damaged_checksum_is_an_error() {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut member = vec![0; compressor.gzip_compress_bound(100)];
        let len = compressor
            .gzip_compress(&[1; 100], &mut member)
            .expect("fits the bound");
        member[len - 8] ^= 1;
        let mut out = [0; 100];
        assert!(gzip(&member[..len], &mut out, &mut Decompressor::new()).is_err());
    }
}
