//! Codecs of numcodecs that change elements instead of bytes: `delta`, `fixedscaleoffset`, `astype`
//! and `quantize` (which lose different information but decode alike), `packbits`. They calculate
//! as numpy does, including wrap-around and rounding.

use super::{DecodeError, head_of};
use crate::array::reorder::swap_bytes;
use crate::dtype::{DType, Scalar, Values, ValuesRef, f16};
use crate::with_dtype;

/// How elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredType {
    pub(crate) dtype: DType,
    pub(crate) big_endian: bool,
}

/// The operation that decodes elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Elements {
    /// The type of the encoded elements.
    pub(crate) from: StoredType,
    /// The type of the decoded elements.
    pub(crate) to: StoredType,
    pub(crate) step: Step,
}

/// The operation on each element besides the conversion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// Nothing.
    Cast,
    /// Each is the difference from the one before.
    Sum,
    /// Divided by the scale, then added to the offset.
    Scale { scale: f64, offset: f64 },
}

/// The number of elements that are decoded at a time.
const BLOCK: usize = 4096;

impl Elements {
    pub(super) fn name(self) -> &'static str {
        match self.step {
            Step::Cast => "astype",
            Step::Sum => "delta",
            Step::Scale { .. } => "fixedscaleoffset",
        }
    }

    /// The encoded length of this many decoded bytes.
    pub(super) fn encoded_len(self, decoded: usize) -> Option<usize> {
        (decoded / self.to.dtype.size()).checked_mul(self.from.dtype.size())
    }

    /// The decoded length of this many encoded bytes.
    pub(super) fn decoded_len(self, encoded: usize) -> Option<usize> {
        (encoded / self.from.dtype.size()).checked_mul(self.to.dtype.size())
    }

    pub(super) fn undo(self, source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
        let (name, from) = (self.name(), self.from.dtype.size());
        if !source.len().is_multiple_of(from) {
            let detail = format!(
                "{} bytes are no whole number of elements of {from}",
                source.len()
            );
            return Err(DecodeError::corrupt(name, detail));
        }
        let len = self.decoded_len(source.len()).unwrap_or(usize::MAX);
        let out = head_of(name, out, len)?;
        with_dtype!(self.to.dtype, T => self.decode::<T>(source, out));
        Ok(len)
    }

    /// Decodes block by block, so that it needs little extra memory.
    fn decode<T: Scalar>(self, source: &[u8], out: &mut [u8]) {
        let (from, to) = (self.from.dtype.size(), self.to.dtype.size());
        let blocks = source.chunks(BLOCK * from);
        let mut sum: Option<T> = None;
        for (source, out) in blocks.zip(out.chunks_mut(BLOCK * to)) {
            let mut encoded = Values::new(self.from.dtype);
            let bytes = encoded.extend_zeroed(source.len() / from);
            bytes.copy_from_slice(source);
            if self.from.big_endian {
                swap_bytes(bytes, from);
            }
            let mut decoded: Vec<T> = match self.step {
                Step::Cast | Step::Sum => encoded.as_slice().to_vec(),
                Step::Scale { scale, offset } => scaled(encoded.as_slice(), scale, offset),
            };
            if self.step == Step::Sum {
                for value in &mut decoded {
                    *value = sum.map_or(*value, |sum| sum.add(*value));
                    sum = Some(*value);
                }
            }
            out.copy_from_slice(bytemuck::cast_slice(&decoded));
            if self.to.big_endian {
                swap_bytes(out, to);
            }
        }
    }
}

/// Returns `values / scale + offset`: floats of up to 4 bytes in their own type, all others as
/// float64.
fn scaled<T: Scalar>(values: ValuesRef<'_>, scale: f64, offset: f64) -> Vec<T> {
    match values {
        ValuesRef::F16(values) => {
            let (scale, offset) = (
                f16::from_f64(scale).to_f32(),
                f16::from_f64(offset).to_f32(),
            );
            let value = |&value: &f16| {
                let quotient = f16::from_f32(value.to_f32() / scale).to_f32();
                T::cast_from(f16::from_f32(quotient + offset))
            };
            values.iter().map(value).collect()
        }
        ValuesRef::F32(values) => {
            let (scale, offset) = (scale as f32, offset as f32);
            let value = |&value: &f32| T::cast_from(value / scale + offset);
            values.iter().map(value).collect()
        }
        values => {
            let values = values.to_vec::<f64>().into_iter();
            values
                .map(|value| T::cast_from(value / scale + offset))
                .collect()
        }
    }
}

/// The number of booleans in packed bits: the first byte holds the number of padding bits at the
/// end.
pub(super) fn packed_len(source: &[u8]) -> Option<usize> {
    let (&padding, bits) = source.split_first()?;
    let padding = usize::from(padding);
    bits.len()
        .checked_mul(8)?
        .checked_sub(padding)
        .filter(|_| padding < 8)
}

/// Unpacks booleans from bits, the highest bit of a byte first.
pub(super) fn unpack_bits(source: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let len = packed_len(source)
        .ok_or_else(|| DecodeError::corrupt("packbits", "more padding than bits"))?;
    let out = head_of("packbits", out, len)?;
    for (out, byte) in out.chunks_mut(8).zip(&source[1..]) {
        for (bit, out) in out.iter_mut().enumerate() {
            *out = byte >> (7 - bit) & 1;
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(dtype: DType) -> StoredType {
        StoredType {
            dtype,
            big_endian: false,
        }
    }

    fn decode(elements: Elements, source: &[u8]) -> Vec<u8> {
        let mut out = vec![0; elements.decoded_len(source.len()).expect("short")];
        elements.undo(source, &mut out).expect("whole elements");
        out
    }

    fn f32s(bytes: &[u8]) -> Vec<f32> {
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect()
    }

    #[test]
    fn delta_sums_wrap_around_and_go_on_across_blocks() {
        let sum = |from, to| Elements {
            from: stored(from),
            to: stored(to),
            step: Step::Sum,
        };
        let bytes = [200, 100, 5];
        assert_eq!(decode(sum(DType::U8, DType::U8), &bytes), [200, 44, 49]);
        let wide = decode(sum(DType::U8, DType::U16), &bytes);
        assert_eq!(wide, [200, 0, 44, 1, 49, 1]);
        let long = decode(sum(DType::U8, DType::F32), &vec![1; 3 * BLOCK + 7]);
        let expected: Vec<f32> = (1..=3 * BLOCK + 7).map(|n| n as f32).collect();
        assert_eq!(f32s(&long), expected);
    }

    #[test]
    fn fixedscaleoffset_rounds_as_numpy_does() {
        let scale = |from, to, scale, offset| Elements {
            from: stored(from),
            to: stored(to),
            step: Step::Scale { scale, offset },
        };
        // The results of numpy 2.4 for `enc / scale + offset`.
        let ten = scale(DType::U8, DType::F32, 10.0, 1000.0);
        assert_eq!(
            f32s(&decode(ten, &[0, 1, 7, 100])),
            [1000.0, 1000.1, 1000.7, 1010.0]
        );
        let third = scale(DType::F32, DType::F32, 3.0, 0.1);
        let bytes: Vec<u8> = [0f32, 1.0, 7.0, 100.0]
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        let expected = [0.1, 0.433_333_34, 2.433_333_2, 33.433_33];
        assert_eq!(f32s(&decode(third, &bytes)), expected);
        let half = scale(DType::F16, DType::F32, 3.0, 0.1);
        let bytes: Vec<u8> = [0f32, 1.0, 7.0, 100.0]
            .iter()
            .flat_map(|&n| f16::from_f32(n).to_le_bytes())
            .collect();
        let expected = [0.099_975_586, 0.433_105_47, 2.433_593_8, 33.4375];
        assert_eq!(f32s(&decode(half, &bytes)), expected);
        let wrapping = scale(DType::I16, DType::U8, 2.0, -300.0);
        let bytes: Vec<u8> = [0i16, 1, 7, 100]
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect();
        assert_eq!(decode(wrapping, &bytes), [212, 213, 216, 6]);
    }

    #[test]
    fn elements_may_be_big_endian_on_either_side() {
        let big = |dtype| StoredType {
            dtype,
            big_endian: true,
        };
        let elements = Elements {
            from: big(DType::I16),
            to: big(DType::I32),
            step: Step::Sum,
        };
        assert_eq!(decode(elements, &[0, 1, 0, 2]), [0, 0, 0, 1, 0, 0, 0, 3]);
    }

    #[test]
    fn elements_that_are_cut_or_do_not_fit_are_errors() {
        let elements = Elements {
            from: stored(DType::I16),
            to: stored(DType::I64),
            step: Step::Cast,
        };
        assert!(elements.undo(&[0; 3], &mut [0; 8]).is_err());
        assert!(elements.undo(&[0; 4], &mut [0; 15]).is_err());
        assert!(unpack_bits(&[], &mut [0; 8]).is_err());
        assert!(unpack_bits(&[1], &mut [0; 8]).is_err());
        assert!(unpack_bits(&[8, 0, 0], &mut [0; 8]).is_err());
        assert!(unpack_bits(&[0, 0, 0], &mut [0; 15]).is_err());
        let mut out = [7; 6];
        assert_eq!(
            unpack_bits(&[4, 0b1001_0000], &mut out).expect("four bits"),
            4
        );
        assert_eq!(out, [1, 0, 0, 1, 7, 7]);
    }
}
