//! The byte shuffle of HDF5 and numcodecs, undone.
//!
//! `n` elements of `size` bytes are stored as `size` planes of `n` bytes: byte 0 of every element,
//! then byte 1 of every element, and so on. Bytes that make no whole element follow as they are.

use super::{DecodeError, head_of};

/// Writes the elements whose planes `source` holds to the front of `out`.
pub(super) fn undo(
    source: &[u8],
    element_size: usize,
    out: &mut [u8],
) -> Result<usize, DecodeError> {
    let out = head_of("shuffle", out, source.len())?;
    match element_size {
        0 | 1 => out.copy_from_slice(source),
        2 => interleave::<2>(source, out),
        4 => interleave::<4>(source, out),
        8 => interleave::<8>(source, out),
        _ => interleave_any(source, element_size, out),
    }
    Ok(source.len())
}

fn interleave<const SIZE: usize>(source: &[u8], out: &mut [u8]) {
    let n = source.len() / SIZE;
    let (planes, rest) = source.split_at(n * SIZE);
    let (elements, out_rest) = out.split_at_mut(n * SIZE);
    let planes: [&[u8]; SIZE] = std::array::from_fn(|k| &planes[k * n..][..n]);
    let (elements, _) = elements.as_chunks_mut::<SIZE>();
    for (i, element) in elements.iter_mut().enumerate() {
        for k in 0..SIZE {
            element[k] = planes[k][i];
        }
    }
    out_rest.copy_from_slice(rest);
}

/// As [`interleave`], plane by plane over as many elements as stay in the first cache.
fn interleave_any(source: &[u8], size: usize, out: &mut [u8]) {
    let n = source.len() / size;
    let (planes, rest) = source.split_at(n * size);
    let (elements, out_rest) = out.split_at_mut(n * size);
    let block = (16_384 / size).max(1);
    for (b, elements) in elements.chunks_mut(block * size).enumerate() {
        for k in 0..size {
            let bytes = &planes[k * n + b * block..];
            for (element, byte) in elements.chunks_exact_mut(size).zip(bytes) {
                element[k] = *byte;
            }
        }
    }
    out_rest.copy_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::super::Codec;
    use super::super::encode::encode;
    use super::*;

    #[test]
    fn planes_become_elements_and_the_rest_stays() {
        let mut out = [0; 8];
        assert_eq!(undo(b"adbecfXY", 3, &mut out).expect("fits"), 8);
        assert_eq!(&out, b"abcdefXY");
    }

    #[test]
    fn every_element_size_and_length_comes_back() {
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
    fn more_than_fits_is_an_error() {
        assert!(undo(&[0; 9], 4, &mut [0; 8]).is_err());
    }
}
