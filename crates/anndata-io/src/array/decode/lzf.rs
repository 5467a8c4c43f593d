//! LibLZF's format, which h5py calls `lzf`.
//!
//! A control byte below 32 precedes literal bytes: one more than its value. Any other control byte
//! is a copy of earlier output: three bits of length, five upper bits of distance, then one more
//! byte of length if all three bits are set, then the lower eight bits of distance.

use super::DecodeError;

/// Literals and most copies are moved this many bytes at once if there is room.
const WIDE: usize = 32;

/// Decompresses all of `source` into the front of `out`. Returns the decoded length.
pub(super) fn decompress(source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let truncated = || DecodeError::corrupt("lzf", "it ends within an instruction");
    let room = out.len();
    let outgrown =
        || DecodeError::corrupt("lzf", format_args!("it decodes to more than {room} bytes"));
    let (mut from, mut to) = (0, 0);
    while let Some(&control) = source.get(from) {
        from += 1;
        if control < 32 {
            let len = usize::from(control) + 1;
            if let (Some(wide), Some(place)) =
                (source.get(from..from + WIDE), out.get_mut(to..to + WIDE))
            {
                place.copy_from_slice(wide);
            } else {
                let literals = source.get(from..from + len).ok_or_else(truncated)?;
                let place = out.get_mut(to..to + len).ok_or_else(outgrown)?;
                place.copy_from_slice(literals);
            }
            from += len;
            to += len;
        } else {
            let mut next = || {
                let byte = source.get(from).copied().ok_or_else(truncated)?;
                from += 1;
                Ok::<_, DecodeError>(usize::from(byte))
            };
            let mut len = usize::from(control >> 5) + 2;
            if len == 7 + 2 {
                len += next()?;
            }
            let distance = (usize::from(control & 31) << 8 | next()?) + 1;
            if to + len > room {
                return Err(outgrown());
            }
            let start = to.checked_sub(distance).ok_or_else(|| {
                DecodeError::corrupt("lzf", "it copies from before its first byte")
            })?;
            repeat(out, start, to, len);
            to += len;
        }
    }
    Ok(to)
}

/// Copies `len` bytes from `start` to the later position `to`, which may lie less than `len` after
/// it. May overwrite up to `WIDE` bytes beyond the copy: they are still to be decoded.
#[inline]
fn repeat(out: &mut [u8], start: usize, to: usize, len: usize) {
    let distance = to - start;
    if to + len + WIDE > out.len() {
        for at in 0..len {
            out[to + at] = out[start + at];
        }
    } else if distance == 1 {
        let byte = out[start];
        out[to..to + len].fill(byte);
    } else if distance >= 16 {
        for at in (0..len).step_by(16) {
            out.copy_within(start + at..start + at + 16, to + at);
        }
    } else if distance >= 8 {
        for at in (0..len).step_by(8) {
            out.copy_within(start + at..start + at + 8, to + at);
        }
    } else {
        // Bytes at such a short distance repeat as often as they fit a word, and so does the word:
        // this is a run of equal elements.
        let (word, _) = out[start..]
            .split_first_chunk()
            .expect("there is room for `WIDE` bytes");
        let once = u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * distance));
        let (times, step) = REPEATS[distance];
        let word = once.wrapping_mul(times).to_le_bytes();
        for at in (0..len).step_by(step) {
            out[to + at..to + at + 8].copy_from_slice(&word);
        }
    }
}

/// For each distance below 8: the factor that repeats that many bytes through a word, and the
/// number of the word's bytes that are then whole repeats.
const REPEATS: [(u64, usize); 8] = [
    (0, 8),
    (0x0101_0101_0101_0101, 8),
    (0x0001_0001_0001_0001, 8),
    (0x0001_0000_0100_0001, 6),
    (0x0000_0001_0000_0001, 8),
    (0x0000_0100_0000_0001, 5),
    (0x0001_0000_0000_0001, 6),
    (0x0100_0000_0000_0001, 7),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(source: &[u8], len: usize) -> Vec<u8> {
        let mut out = vec![0xee; len];
        let n = decompress(source, &mut out).expect("well formed");
        out.truncate(n);
        out
    }

    #[test]
    fn lzf_decodes_literals_and_copies_of_each_kind() {
        assert_eq!(decoded(b"", 0), b"");
        assert_eq!(decoded(b"\x02abc", 3), b"abc");
        // Three bytes from 1 back: a run.
        assert_eq!(decoded(b"\x00a\x20\x00", 4), b"aaaa");
        // Eight bytes from 3 back: the copy overlaps itself.
        assert_eq!(decoded(b"\x02abc\xc0\x02", 11), b"abcabcabcab");
        // The long form: 7 + 2 + 255 bytes, from 2 back.
        let long = decoded(b"\x01ab\xe0\xff\x01", 266);
        assert_eq!(long, b"ab".repeat(133));
        // A distance above 255, of bytes that do not overlap.
        let mut source = Vec::new();
        for i in 0..10_u8 {
            source.push(31);
            source.extend((0..32).map(|j| i * 24 + j));
        }
        source.extend([0x21, 0x2b]);
        let out = decoded(&source, 323);
        assert_eq!(out[320..], out[20..23]);
    }

    #[test]
    fn lzf_decoder_refuses_damage_of_every_kind() {
        let mut out = [0; 8];
        for (source, says) in [
            (&b"\x02ab"[..], "ends within"),
            (b"\x00a\x20", "ends within"),
            (b"\x00a\xe0\x00", "ends within"),
            (b"\x00a\x20\x01", "before its first"),
            (b"\x08abcdefghi", "more than 8"),
            (b"\x00a\xe0\x00\x00", "more than 8"),
        ] {
            let error = decompress(source, &mut out).expect_err("damaged");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
