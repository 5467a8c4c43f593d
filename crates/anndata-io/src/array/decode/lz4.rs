//! LZ4 blocks in the two framings that arrays use.

use super::{DecodeError, head_of};

const NAME: &str = "lz4";

/// Decodes the framing of HDF5's registered filter 32004 into the front of `out`.
///
/// The framing, big-endian: the decoded length as u64, the block length as u32, then for each block
/// its stored length as u32 and its bytes. The last block may be shorter; a block whose stored
/// length equals its decoded length is not compressed.
pub(super) fn hdf5(source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let truncated = || DecodeError::corrupt(NAME, "it ends within a block");
    let (total, source) = source.split_first_chunk().ok_or_else(truncated)?;
    let (block_len, mut source) = source.split_first_chunk().ok_or_else(truncated)?;
    let total = usize::try_from(u64::from_be_bytes(*total)).unwrap_or(usize::MAX);
    let block_len = u32::from_be_bytes(*block_len) as usize;
    let out = head_of(NAME, out, total)?;
    if block_len == 0 && total > 0 {
        return Err(DecodeError::corrupt(NAME, "its blocks are of 0 bytes"));
    }
    for block in out.chunks_mut(block_len.max(1)) {
        let (len, rest) = source.split_first_chunk().ok_or_else(truncated)?;
        let len = u32::from_be_bytes(*len) as usize;
        let (data, rest) = rest.split_at_checked(len).ok_or_else(truncated)?;
        if len == block.len() {
            block.copy_from_slice(data);
        } else {
            block_into(data, block)?;
        }
        source = rest;
    }
    Ok(total)
}

/// Decodes the format of numcodecs, the decoded length as little-endian u32 and one block, into the
/// front of `out`.
pub(super) fn numcodecs(source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let (total, block) = source
        .split_first_chunk()
        .ok_or_else(|| DecodeError::corrupt(NAME, "it ends within its length"))?;
    let total = u32::from_le_bytes(*total) as usize;
    block_into(block, head_of(NAME, out, total)?)?;
    Ok(total)
}

/// Decodes one raw block, which must fill `out`.
fn block_into(block: &[u8], out: &mut [u8]) -> Result<(), DecodeError> {
    if has_endless_length(block) {
        return Err(DecodeError::corrupt(NAME, "a length in it is beyond 2 GiB"));
    }
    let found = lz4_flex::block::decompress_into(block, out)
        .map_err(|error| DecodeError::corrupt(NAME, error))?;
    super::check_len(NAME, out.len(), found)
}

/// Whether `data` has a run of 0xff bytes so long that its sum, as LZ formats add up a length,
/// could pass 2^31. No writer makes one, and not all decoders that this crate uses check that their
/// sums fit: BloscLZ's sum would turn negative and then serve as a length to copy.
///
/// A run of twice `PIECE` covers at least one whole piece, and 255 times as much still fits. Each
/// check of a piece ends at its first other byte, so that the whole costs almost nothing.
pub(super) fn has_endless_length(data: &[u8]) -> bool {
    const PIECE: usize = 4_000_000;
    data.chunks_exact(PIECE)
        .any(|piece| piece.iter().all(|&byte| byte == 0xff))
}

#[cfg(test)]
mod tests {
    use super::super::tests::encode::lz4_hdf5;
    use super::*;
    use lz4_flex::block::compress;

    #[test]
    fn lz4_blocks_decode_compressed_or_stored() {
        // Every third block of 100 holds bytes that do not compress.
        let data: Vec<u8> = (0..1000_u32)
            .map(|i| if i / 100 % 3 == 0 { i * i % 251 } else { i / 9 % 5 } as u8)
            .collect();
        for block_len in [1, 100, 300, 1000, 4000] {
            let mut out = vec![0; 1000];
            let frame = lz4_hdf5(&data, block_len);
            assert_eq!(hdf5(&frame, &mut out).expect("well formed"), 1000);
            assert_eq!(out, data);
        }
    }

    #[test]
    fn lz4_lengths_that_are_wrong_are_errors() {
        let frame = lz4_hdf5(&[3; 100], 100);
        assert!(matches!(
            hdf5(&frame, &mut [0; 99]),
            Err(DecodeError::Length {
                expected: 99,
                found: 100,
                ..
            })
        ));
        let mut endless = frame.clone();
        endless[..8].fill(0xff);
        assert!(hdf5(&endless, &mut [0; 100]).is_err());
        let mut zero_blocks = frame.clone();
        zero_blocks[8..12].fill(0);
        assert!(hdf5(&zero_blocks, &mut [0; 100]).is_err());
        let one_more = [&101_u32.to_le_bytes()[..], &compress(&[3; 100])].concat();
        assert!(numcodecs(&one_more, &mut [0; 101]).is_err());
        assert!(numcodecs(&[0; 3], &mut [0; 1]).is_err());
    }

    #[test]
    fn lz4_length_beyond_the_output_is_an_error() {
        let mut block = vec![0xff; 20_000_000];
        block[0] = 0x1f;
        let block = [&20_000_000_u32.to_le_bytes()[..], &block].concat();
        let error = numcodecs(&block, &mut vec![0; 20_000_000]).expect_err("5 GB in one copy");
        assert!(error.to_string().contains("2 GiB"), "{error}");
    }

    #[test]
    fn lz4_chunk_may_be_empty() {
        assert_eq!(hdf5(&lz4_hdf5(&[], 10), &mut []).expect("empty"), 0);
        let empty = [&[0; 4][..], &compress(&[])].concat();
        assert_eq!(numcodecs(&empty, &mut []).expect("empty"), 0);
    }
}
