//! The byte shuffle of HDF5 and numcodecs, undone.
//!
//! `n` elements of `size` bytes are stored as `size` planes of `n` bytes: byte 0 of every element,
//! then byte 1 of every element, and so on. Trailing bytes that fill no whole element follow
//! unchanged.

use super::{DecodeError, head_of};

/// Writes the elements whose planes are in `source` to the front of `out`.
pub(super) fn undo(
    source: &[u8],
    element_size: usize,
    out: &mut [u8],
) -> Result<usize, DecodeError> {
    let out = head_of("shuffle", out, source.len())?;
    if element_size < 2 {
        out.copy_from_slice(source);
        return Ok(source.len());
    }
    let n_bytes = source.len() / element_size * element_size;
    let (planes, rest) = source.split_at(n_bytes);
    let (elements, out_rest) = out.split_at_mut(n_bytes);
    out_rest.copy_from_slice(rest);
    match element_size {
        2 => interleave::<2>(planes, elements),
        4 => interleave::<4>(planes, elements),
        8 => interleave::<8>(planes, elements),
        16 => interleave::<16>(planes, elements),
        _ => interleave_from(0, planes, element_size, elements),
    }
    Ok(source.len())
}

/// The number of bytes of a plane that are moved at once.
const LANES: usize = 16;

/// Interleaves planes with `SIZE` bytes per element, a power of two.
///
/// Sixteen bytes of each plane form one row. Interleaving row `k` with row `k + SIZE / 2`, for
/// every `k` of the first half, is one step of a perfect shuffle. After log2(`SIZE`) steps, the
/// rows lie end to end as elements.
fn interleave<const SIZE: usize>(planes: &[u8], elements: &mut [u8]) {
    const { assert!(SIZE.is_power_of_two()) };
    let n = elements.len() / SIZE;
    let rows: [&[[u8; LANES]]; SIZE] = std::array::from_fn(|k| planes[k * n..][..n].as_chunks().0);
    let blocks = elements
        .as_chunks_mut::<SIZE>()
        .0
        .as_chunks_mut::<LANES>()
        .0;
    for (i, block) in blocks.iter_mut().enumerate() {
        let mut now: [[u8; LANES]; SIZE] = std::array::from_fn(|k| rows[k][i]);
        for _ in 0..SIZE.ilog2() {
            let mut next = now;
            for k in 0..SIZE / 2 {
                [next[2 * k], next[2 * k + 1]] = zip(now[k], now[k + SIZE / 2]);
            }
            now = next;
        }
        let bytes = block.as_flattened_mut();
        bytes.copy_from_slice(now.as_flattened());
    }
    interleave_from(n / LANES * LANES, planes, SIZE, elements);
}

/// Returns the bytes of `a` and `b` in turns: those of the first halves, then those of the second.
///
/// The compiler takes plain Rust code for this apart into single bytes: 6 GB/s instead of 40 for
/// elements of four bytes.
#[cfg(target_arch = "x86_64")]
#[inline]
fn zip(a: [u8; LANES], b: [u8; LANES]) -> [[u8; LANES]; 2] {
    use bytemuck::cast;
    use std::arch::x86_64::{_mm_unpackhi_epi8, _mm_unpacklo_epi8};
    let (a, b) = (cast(a), cast(b));
    // SAFETY: both need SSE2 and nothing else, and every x86_64 has it.
    unsafe { [cast(_mm_unpacklo_epi8(a, b)), cast(_mm_unpackhi_epi8(a, b))] }
}

/// Returns the bytes of `a` and `b` in turns: those of the first halves, then those of the second.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn zip(a: [u8; LANES], b: [u8; LANES]) -> [[u8; LANES]; 2] {
    let byte = |i: usize| if i % 2 == 0 { a[i / 2] } else { b[i / 2] };
    [
        std::array::from_fn(byte),
        std::array::from_fn(|i| byte(LANES + i)),
    ]
}

/// Interleaves the elements from `first` on, of any size: plane by plane, over as many elements as
/// stay in the nearest cache.
fn interleave_from(first: usize, planes: &[u8], size: usize, elements: &mut [u8]) {
    let n = elements.len() / size;
    let block = (16_384 / size).max(1);
    for start in (first..n).step_by(block) {
        let end = n.min(start + block);
        let elements = &mut elements[start * size..end * size];
        for k in 0..size {
            let bytes = &planes[k * n..][start..end];
            for (element, byte) in elements.chunks_exact_mut(size).zip(bytes) {
                element[k] = *byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Codec;
    use super::super::tests::encode::encode;
    use super::*;

    #[test]
    fn shuffle_turns_planes_into_elements_and_keeps_the_rest() {
        let mut out = [0; 8];
        assert_eq!(undo(b"adbecfXY", 3, &mut out).expect("fits"), 8);
        assert_eq!(&out, b"abcdefXY");
    }

    #[test]
    fn shuffle_undoes_every_element_size_and_length() {
        let data: Vec<u8> = (0..70_000_u32).map(|i| (i % 997 * i % 251) as u8).collect();
        for element_size in (0..20).chain([255, 4096, 50_000, usize::MAX]) {
            for len in (0..70).chain([4096, 69_999, 70_000]) {
                let planes = encode(Codec::Shuffle { element_size }, &data[..len]);
                let mut out = vec![0; len];
                undo(&planes, element_size, &mut out).expect("fits");
                assert!(out == data[..len], "{len} bytes by {element_size}");
            }
        }
    }

    #[test]
    fn shuffle_of_more_than_fits_is_an_error() {
        assert!(undo(&[0; 9], 4, &mut [0; 8]).is_err());
    }
}
