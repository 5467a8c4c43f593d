//! Checksums stored beside their bytes, in 4 bytes, little-endian: after them in HDF5 and zarr,
//! after or before them in numcodecs.

use hdf5_reader::checksum::jenkins_lookup3;

use super::DecodeError;

/// Bytes that a checksum adds to a chunk.
pub(super) const CHECKSUM_LEN: usize = 4;

/// Verifies an HDF5 Fletcher-32 checksum. Returns the bytes before it.
///
/// The HDF5 library before 1.6.3 swapped the two bytes of each half on little-endian machines.
/// Every later version accepts that order too, and so does this function.
pub(super) fn fletcher32(source: &[u8]) -> Result<&[u8], DecodeError> {
    let (data, stored) = split("fletcher32", source)?;
    let computed = fletcher32_of(data);
    let halves_swapped = ((computed & 0x00ff_00ff) << 8) | ((computed >> 8) & 0x00ff_00ff);
    if stored == computed || stored == halves_swapped {
        return Ok(data);
    }
    Err(DecodeError::Checksum {
        codec: "fletcher32",
        stored,
        computed,
    })
}

/// Verifies a CRC-32C. Returns the bytes before it.
pub(super) fn crc32c(source: &[u8]) -> Result<&[u8], DecodeError> {
    Sum::Crc32c.verified(source, false)
}

/// The checksums of numcodecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    Crc32,
    Crc32c,
    Adler32,
    /// Jenkins' lookup3, from 0.
    Lookup3,
}

impl Sum {
    #[cfg(test)]
    pub(super) const ALL: [Sum; 4] = [Sum::Crc32, Sum::Crc32c, Sum::Adler32, Sum::Lookup3];

    pub(super) fn name(self) -> &'static str {
        match self {
            Sum::Crc32 => "crc32",
            Sum::Crc32c => "crc32c",
            Sum::Adler32 => "adler32",
            Sum::Lookup3 => "jenkins_lookup3",
        }
    }

    pub(super) fn of(self, data: &[u8]) -> u32 {
        match self {
            Sum::Crc32 => libdeflater::crc32(data),
            Sum::Crc32c => crc32c::crc32c(data),
            Sum::Adler32 => libdeflater::adler32(data),
            Sum::Lookup3 => jenkins_lookup3(data),
        }
    }

    /// Verifies the checksum. Returns the bytes beside it.
    pub(super) fn verified(self, source: &[u8], at_start: bool) -> Result<&[u8], DecodeError> {
        let (data, stored) = if at_start {
            let (stored, data) = source
                .split_first_chunk::<CHECKSUM_LEN>()
                .ok_or(too_short(self.name(), source))?;
            (data, u32::from_le_bytes(*stored))
        } else {
            split(self.name(), source)?
        };
        let computed = self.of(data);
        if stored == computed {
            return Ok(data);
        }
        Err(DecodeError::Checksum {
            codec: self.name(),
            stored,
            computed,
        })
    }
}

fn too_short(codec: &'static str, source: &[u8]) -> DecodeError {
    DecodeError::Length {
        codec,
        expected: CHECKSUM_LEN,
        found: source.len(),
    }
}

fn split<'a>(codec: &'static str, source: &'a [u8]) -> Result<(&'a [u8], u32), DecodeError> {
    let (data, stored) = source
        .split_last_chunk::<CHECKSUM_LEN>()
        .ok_or(too_short(codec, source))?;
    Ok((data, u32::from_le_bytes(*stored)))
}

/// The number of words that are summed before the sums are reduced: weights up to this fit 16 bits,
/// and `BLOCK * BLOCK / 2 * 0xffff` fits 32.
const BLOCK: usize = 256;

/// Fletcher's checksum over big-endian 16-bit words; an odd last byte is the upper half of a word.
///
/// The textbook keeps a sum of words and a sum of those sums, one word after the other. Over a
/// block of `n` words the second is also `n * first + sum((n - i) * word[i])`. The order of these
/// two sums does not matter, so the compiler turns them into vector code. Sums are kept modulo
/// 0xffff, as the original does by adding the carry back: 0 only if every word is 0, otherwise 1 to
/// 0xffff.
fn fletcher32_of(data: &[u8]) -> u32 {
    let mut sums = (0_u64, 0_u64);
    let (blocks, rest) = data.as_chunks::<{ 2 * BLOCK }>();
    for block in blocks {
        let (words, _) = block.as_chunks();
        let (mut plain, mut weighted) = (0_u32, 0_u32);
        for (i, &word) in words.iter().enumerate() {
            let word = u32::from(u16::from_be_bytes(word));
            plain += word;
            weighted += word * (BLOCK - i) as u32;
        }
        add(&mut sums, BLOCK as u64, plain.into(), weighted.into());
    }
    for word in rest.chunks(2) {
        let low = word.get(1).copied().unwrap_or(0);
        let word = u64::from(u16::from_be_bytes([word[0], low]));
        add(&mut sums, 1, word, word);
    }
    let (first, second) = (fold(sums.0) as u32, fold(sums.1) as u32);
    (second << 16) | first
}

fn add(sums: &mut (u64, u64), words: u64, plain: u64, weighted: u64) {
    sums.1 = fold(sums.1 + words * sums.0 + weighted);
    sums.0 = fold(sums.0 + plain);
}

/// Returns `sum` modulo 0xffff, but 0 only for 0.
fn fold(sum: u64) -> u64 {
    match sum % 0xffff {
        0 if sum != 0 => 0xffff,
        rest => rest,
    }
}

/// The sum by HDF5's own documentation: word by word, with carries added back.
#[cfg(test)]
pub(super) fn word_by_word(data: &[u8]) -> u32 {
    let (mut first, mut second) = (0_u32, 0_u32);
    for word in data.chunks(2) {
        first += u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u32::from(low));
        first = (first & 0xffff) + (first >> 16);
        second += first;
        second = (second & 0xffff) + (second >> 16);
    }
    second << 16 | first
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(checksum: u32, data: &[u8]) -> Vec<u8> {
        [data, &checksum.to_le_bytes()].concat()
    }

    #[test]
    fn fletcher32_of_full_and_empty_words_is_the_original_sum() {
        for len in [0, 1, 2, 3, 511, 512, 513, 5000, 100_001] {
            for byte in [0, 1, 0xff] {
                let data = vec![byte; len];
                assert_eq!(fletcher32_of(&data), word_by_word(&data), "{len} x {byte}");
            }
        }
    }

    #[test]
    fn fletcher32_accepts_the_old_byte_order_and_no_wrong_sum() {
        let data = b"counts of cells";
        let sum = fletcher32_of(data);
        let [a, b, c, d] = sum.to_le_bytes();
        assert_eq!(fletcher32(&with(sum, data)).expect("holds"), data);
        let old = u32::from_le_bytes([b, a, d, c]);
        assert_ne!(old, sum);
        assert_eq!(fletcher32(&with(old, data)).expect("holds"), data);
        let error = fletcher32(&with(sum ^ 0x100, data)).expect_err("does not hold");
        assert!(matches!(error, DecodeError::Checksum { computed, .. } if computed == sum));
    }

    #[test]
    fn crc32c_has_its_check_value() {
        assert_eq!(
            crc32c(&with(0xe306_9283, b"123456789")).expect("holds"),
            b"123456789"
        );
        assert!(crc32c(&with(0xe306_9282, b"123456789")).is_err());
    }

    #[test]
    fn checksum_of_data_shorter_than_itself_is_an_error() {
        for len in 0..CHECKSUM_LEN {
            assert!(fletcher32(&vec![0; len]).is_err());
            assert!(crc32c(&vec![0; len]).is_err());
        }
        assert_eq!(fletcher32(&[0; 4]).expect("no words, no sum"), b"");
    }

    proptest! {
        #[test]
        fn fletcher32_sums_word_by_word(data in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(fletcher32_of(&data), word_by_word(&data));
        }
    }
}
