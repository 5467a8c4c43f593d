//! The types of values, by their bits.

use std::fmt::Debug;

use bytemuck::{AnyBitPattern, NoUninit};

use crate::error::PackError;

/// Whole numbers are packed as such below 2 to this power: they fit in a float32 with room to spare.
pub(crate) const WHOLE_BITS: u32 = 22;

/// A type of values that rows may have.
///
/// Values are kept bit for bit: a NaN keeps its payload, and -0.0 its sign. Types without an
/// implementation are packed as the unsigned integer of their size: float16 as `u16`, booleans as
/// `u8`.
pub trait Value: AnyBitPattern + NoUninit + Debug + Default + sealed::Sealed {
    /// The name of the type, as numpy has it.
    const NAME: &'static str;

    /// The number of the type in packed rows.
    #[doc(hidden)]
    const TAG: u8;

    /// Returns `(n, 0)` if the value is a whole number `n` below 2^22. Otherwise the second number
    /// is not 0. There is no branch, so that loops vectorise.
    #[doc(hidden)]
    fn to_whole(self) -> (u32, u32);

    /// A whole number below 2^22 as a value.
    #[doc(hidden)]
    fn from_whole(whole: u32) -> Self;

    /// The bits, in the lower bits of a word.
    #[doc(hidden)]
    fn to_word(self) -> u64;

    /// Reads one value per `size_of::<Self>()` bytes, little-endian.
    #[doc(hidden)]
    fn read(bytes: &[u8], out: &mut [Self]);

    /// Appends values, little-endian.
    #[doc(hidden)]
    fn write(values: &[Self], out: &mut Vec<u8>);
}

mod sealed {
    pub trait Sealed {}
}

/// The names of the types, by their numbers.
pub(crate) const NAMES: [&str; 10] = [
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
];

/// The bytes of a value of the type with this number.
pub(crate) fn value_size(tag: u8) -> Result<usize, PackError> {
    match tag {
        0..8 => Ok(1 << (tag / 2)),
        8 => Ok(4),
        9 => Ok(8),
        _ => Err(PackError::damaged("a type of values", tag)),
    }
}

macro_rules! value {
    ($T:ident, $Bits:ident, $tag:expr, $to_bits:expr, $to_whole:expr, $from_whole:expr) => {
        impl sealed::Sealed for $T {}

        impl Value for $T {
            const NAME: &'static str = NAMES[$tag as usize];
            const TAG: u8 = $tag;

            #[inline(always)]
            fn to_whole(self) -> (u32, u32) {
                $to_whole(self)
            }

            #[inline(always)]
            fn from_whole(whole: u32) -> Self {
                $from_whole(whole)
            }

            #[inline(always)]
            fn to_word(self) -> u64 {
                let bits: $Bits = $to_bits(self);
                bits.into()
            }

            #[inline]
            fn read(bytes: &[u8], out: &mut [Self]) {
                let (chunks, _) = bytes.as_chunks::<{ size_of::<$T>() }>();
                for (out, chunk) in out.iter_mut().zip(chunks) {
                    *out = $T::from_le_bytes(*chunk);
                }
            }

            #[inline]
            fn write(values: &[Self], out: &mut Vec<u8>) {
                let start = out.len();
                out.resize(start + size_of_val(values), 0);
                let (places, _) = out[start..].as_chunks_mut();
                for (place, value) in places.iter_mut().zip(values) {
                    *place = value.to_le_bytes();
                }
            }
        }
    };
}

macro_rules! integer {
    ($T:ident, $Bits:ident, $tag:expr) => {
        value!(
            $T,
            $Bits,
            $tag,
            |value| value as $Bits,
            |value: $T| {
                let whole = value as u32 & ((1 << WHOLE_BITS) - 1);
                (whole, u32::from(i64::from(whole) != value as i64))
            },
            |whole| whole as $T
        );
    };
}

integer!(u8, u8, 0);
integer!(i8, u8, 1);
integer!(u16, u16, 2);
integer!(i16, u16, 3);
integer!(u32, u32, 4);
integer!(i32, u32, 5);
integer!(u64, u64, 6);
integer!(i64, u64, 7);

macro_rules! float {
    ($T:ident, $Bits:ident, $tag:expr, $shift:expr) => {
        value!(
            $T,
            $Bits,
            $tag,
            |value: $T| value.to_bits(),
            |value: $T| {
                // From 2^23 (2^52) on, the last bit of a float counts ones. A fraction comes back
                // rounded; a negative or large number changes the bits above.
                let shifted = value + $shift;
                let whole = shifted.to_bits() ^ ($shift as $T).to_bits();
                let back = (shifted - $shift).to_bits() ^ value.to_bits();
                let rest = u64::from((whole >> WHOLE_BITS) | back);
                let whole = whole as u32 & ((1 << WHOLE_BITS) - 1);
                (whole, rest as u32 | (rest >> 32) as u32)
            },
            // A signed integer: the conversion of an unsigned one has no instruction before AVX-512.
            |whole: u32| whole as i32 as $T
        );
    };
}

float!(f32, u32, 8, 8_388_608.0);
float!(f64, u64, 9, 4_503_599_627_370_496.0);

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole<T: Value>(value: T) -> Option<u32> {
        match value.to_whole() {
            (whole, 0) => Some(whole),
            _ => None,
        }
    }

    #[test]
    fn whole_numbers_are_found_in_floats() {
        for n in [0u32, 1, 255, 65_536, (1 << 22) - 1] {
            assert_eq!(is_whole(n as f32), Some(n));
            assert_eq!(is_whole(f64::from(n)), Some(n));
            assert_eq!(f32::from_whole(n), n as f32);
            assert_eq!(f64::from_whole(n), f64::from(n));
        }
        for value in [-0.0, -1.0, 0.5, 1e-40, 4_194_304.0, 8_388_608.0, 1e30] {
            assert_eq!(is_whole(value), None, "{value}");
            assert_eq!(is_whole(value as f32), None, "{value}");
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -8_388_608.0] {
            assert_eq!(is_whole(value), None, "{value}");
            assert_eq!(is_whole(f64::from(value)), None, "{value}");
        }
        assert_eq!(is_whole(-4_503_599_627_370_496.0f64), None);
    }

    #[test]
    fn whole_numbers_are_found_in_integers() {
        assert_eq!(is_whole(255u8), Some(255));
        assert_eq!(is_whole(-1i8), None);
        assert_eq!(is_whole(-1i64), None);
        assert_eq!(is_whole(1i64 << 40), None);
        assert_eq!(is_whole((1i64 << 32) + 5), None);
        assert_eq!(is_whole((1u32 << 22) - 1), Some((1 << 22) - 1));
        assert_eq!(is_whole(1u32 << 22), None);
        assert_eq!(
            (i8::from_whole(127), u16::from_whole(65_535)),
            (127, 65_535)
        );
    }
}
