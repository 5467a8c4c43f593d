//! Floats of any layout, converted to float64: x86's 80 bits, IEEE 754's 128, bfloat16, and others
//! that have a sign, an exponent and a mantissa.

use crate::dtype::DType;

/// Where the parts of a float lie, counted from its lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FloatLayout {
    /// Bytes of one number.
    pub(crate) size: usize,
    /// The position of the sign bit.
    pub(crate) sign: u32,
    /// First bit and number of bits of the exponent.
    pub(crate) exponent: (u32, u32),
    /// First bit and number of bits of the mantissa.
    pub(crate) mantissa: (u32, u32),
    /// The amount by which the stored exponent is too large.
    pub(crate) bias: u32,
    /// Whether the leading bit of a number, which IEEE 754 leaves out, is stored.
    pub(crate) leading_bit: bool,
}

/// More bits of an exponent than any float has.
const MOST_EXPONENT: u32 = 20;
/// More bits of a mantissa than any float of 16 bytes has.
const MOST_MANTISSA: u32 = 120;

impl FloatLayout {
    /// The layout of IEEE 754 for 2, 4 and 8 bytes.
    pub(crate) fn ieee(size: usize) -> Option<FloatLayout> {
        let (exponent_len, mantissa_len, bias) = match size {
            2 => (5, 10, 15),
            4 => (8, 23, 127),
            8 => (11, 52, 1023),
            _ => return None,
        };
        Some(FloatLayout {
            size,
            sign: size as u32 * 8 - 1,
            exponent: (mantissa_len, exponent_len),
            mantissa: (0, mantissa_len),
            bias,
            leading_bit: false,
        })
    }

    /// Whether the parts lie within the number and do not overlap, and the number is not too wide
    /// to be read. Numbers below 16 bits are refused: some use the largest exponent for ordinary
    /// numbers.
    pub(crate) fn is_readable(&self) -> bool {
        let bits = (8 * self.size) as u64;
        let apart = |(a, a_len): (u32, u32), (b, b_len): (u32, u32)| {
            let (a, b) = (u64::from(a), u64::from(b));
            a + u64::from(a_len) <= b || b + u64::from(b_len) <= a
        };
        let parts = [(self.sign, 1), self.exponent, self.mantissa];
        let within = |&(at, len): &(u32, u32)| u64::from(at) + u64::from(len) <= bits;
        (2..=16).contains(&self.size)
            && parts.iter().all(within)
            && apart(parts[0], parts[1])
            && apart(parts[0], parts[2])
            && apart(parts[1], parts[2])
            && 1 + self.exponent.1 + self.mantissa.1 >= 16
            && (2..=MOST_EXPONENT).contains(&self.exponent.1)
            && (1..=MOST_MANTISSA).contains(&self.mantissa.1)
    }

    /// The type that numbers are read as: float32 if it holds every one of them exactly, otherwise
    /// float64.
    pub(crate) fn dtype(&self) -> DType {
        let ieee = FloatLayout::ieee(self.size);
        let bias = i64::from(self.bias);
        let digits = i64::from(self.mantissa.1) - i64::from(self.leading_bit);
        let largest = (1i64 << self.exponent.1) - 2 - bias;
        let smallest = 1 - bias - digits;
        match self.size {
            2 if ieee == Some(*self) => DType::F16,
            ..=8 if digits <= 23 && largest <= 127 && smallest >= -149 => DType::F32,
            _ => DType::F64,
        }
    }

    /// Returns the number that little-endian bytes hold, rounded to the nearest float64; a tie goes
    /// to the even one.
    pub(crate) fn read(&self, bytes: &[u8]) -> f64 {
        let mut word = [0; 16];
        word[..self.size].copy_from_slice(&bytes[..self.size]);
        let word = u128::from_le_bytes(word);
        let part = |(at, len): (u32, u32)| word >> at & ((1 << len) - 1);
        let (exponent, mantissa) = (part(self.exponent), part(self.mantissa));
        let digits = self.mantissa.1 - u32::from(self.leading_bit);
        let leading = 1u128 << digits;
        // The bits behind the leading bit.
        let fraction = mantissa & (leading - 1);
        let has_leading = !self.leading_bit || mantissa & leading != 0;
        let magnitude = if exponent == (1 << self.exponent.1) - 1 {
            match fraction {
                0 if has_leading => f64::INFINITY,
                _ => f64::NAN,
            }
        } else {
            // The smallest numbers have no leading bit, and share the exponent of the next larger
            // ones.
            let scale = exponent.max(1) as i64 - i64::from(self.bias) - i64::from(digits);
            match exponent {
                0 => rounded(mantissa, scale),
                // x86 treats a number without its leading bit as invalid.
                _ if !has_leading => f64::NAN,
                _ => rounded(fraction | leading, scale),
            }
        };
        match part((self.sign, 1)) {
            0 => magnitude,
            _ => -magnitude,
        }
    }
}

/// Returns `digits` times two to the power of `scale`.
fn rounded(digits: u128, scale: i64) -> f64 {
    if digits == 0 {
        return 0.0;
    }
    let exponent = i64::from(127 - digits.leading_zeros()) + scale;
    if exponent > 1023 {
        return f64::INFINITY;
    }
    // The exponent of the last bit of the float64.
    let last = (exponent - 52).max(-1074);
    let kept = match last - scale {
        // At most as many bits as float64 has.
        shift @ ..=0 => digits << -shift,
        // Less than half of the smallest number.
        shift if shift > i64::from(MOST_MANTISSA) + 2 => 0,
        shift => {
            let (kept, half) = (digits >> shift, 1u128 << (shift - 1));
            let rest = digits & ((half << 1) - 1);
            kept + u128::from(rest > half || rest == half && kept % 2 == 1)
        }
    };
    // If rounding carries out of the mantissa, it adds one to the exponent, as it should.
    let stored = (last + 1074) as u64;
    f64::from_bits((stored << 52) + kept as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy.longdouble on x86.
    const X87: FloatLayout = FloatLayout {
        size: 16,
        sign: 79,
        exponent: (64, 15),
        mantissa: (0, 64),
        bias: 16383,
        leading_bit: true,
    };
    const QUAD: FloatLayout = FloatLayout {
        size: 16,
        sign: 127,
        exponent: (112, 15),
        mantissa: (0, 112),
        bias: 16383,
        leading_bit: false,
    };
    const BFLOAT16: FloatLayout = FloatLayout {
        size: 2,
        sign: 15,
        exponent: (7, 8),
        mantissa: (0, 7),
        bias: 127,
        leading_bit: false,
    };

    fn x87(sign_and_exponent: u128, mantissa: u64) -> f64 {
        X87.read(&(sign_and_exponent << 64 | u128::from(mantissa)).to_le_bytes())
    }

    fn quad(sign_and_exponent: u128, fraction: u128) -> f64 {
        QUAD.read(&(sign_and_exponent << 112 | fraction).to_le_bytes())
    }

    #[test]
    fn float_layout_of_ieee_reads_every_float_as_itself() {
        let [half, single, double] = [2, 4, 8].map(|size| FloatLayout::ieee(size).expect("known"));
        assert_eq!(half.dtype(), DType::F16);
        assert_eq!(single.dtype(), DType::F32);
        assert_eq!(double.dtype(), DType::F64);
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        for bits in 0..=u16::MAX {
            let value = f64::from(half::f16::from_bits(bits));
            assert!(same(half.read(&bits.to_le_bytes()), value), "{bits:#x}");
            let value = f64::from(half::bf16::from_bits(bits));
            assert!(same(BFLOAT16.read(&bits.to_le_bytes()), value), "{bits:#x}");
        }
        for step in 0..100_000u64 {
            let bits = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (value, short) = (f64::from_bits(bits), f32::from_bits(bits as u32));
            assert!(same(double.read(&bits.to_le_bytes()), value), "{bits:#x}");
            let read = single.read(&(bits as u32).to_le_bytes());
            assert!(same(read, f64::from(short)), "{bits:#x}");
        }
    }

    #[test]
    fn float_layout_of_80_bits_reads_longdouble() {
        assert_eq!(x87(16383, 1 << 63), 1.0);
        assert_eq!(x87(0x8000 | 16383, 3 << 62), -1.5);
        assert_eq!(x87(0, 0).to_bits(), 0);
        assert_eq!(x87(0x8000, 0).to_bits(), (-0.0f64).to_bits());
        assert_eq!(x87(0x7fff, 1 << 63), f64::INFINITY);
        assert_eq!(x87(0xffff, 1 << 63), f64::NEG_INFINITY);
        assert!(x87(0x7fff, 3 << 62).is_nan());
        // Below and above the range of float64.
        assert_eq!(x87(0, 1), 0.0);
        assert_eq!(x87(1, 1 << 63), 0.0);
        assert_eq!(x87(0x7ffe, u64::MAX), f64::INFINITY);
        // The last number that does not round to infinity, and the first that does.
        assert_eq!(x87(16383 + 1023, !0 << 11), f64::MAX);
        assert_eq!(x87(16383 + 1023, (!0 << 11) | 0x3ff), f64::MAX);
        assert_eq!(x87(16383 + 1023, (!0 << 11) | 0x400), f64::INFINITY);
        // Invalid numbers.
        assert!(x87(16383, 1).is_nan());
        assert!(x87(0x7fff, 0).is_nan());
        // Padding bits, which belong to no number, are ignored.
        let padded = u128::from(1u64 << 63) | 16383 << 64 | 0xabcd << 80;
        assert_eq!(X87.read(&padded.to_le_bytes()), 1.0);
    }

    #[test]
    fn float_layout_rounds_halves_to_even() {
        let one = 1u64 << 63;
        let last = f64::EPSILON;
        for (behind, expected) in [
            (0x3ff, 1.0),
            (0x400, 1.0),
            (0x401, 1.0 + last),
            (0x800, 1.0 + last),
            (0xbff, 1.0 + last),
            (0xc00, 1.0 + 2.0 * last),
        ] {
            assert_eq!(x87(16383, one | behind), expected, "{behind:#x}");
        }
        // Around the smallest number: half of it, a bit more, one and a half times it.
        let tiny = f64::from_bits(1);
        let exponent = 16383 - 1075;
        assert_eq!(x87(exponent, one), 0.0);
        assert_eq!(x87(exponent, one | 1), tiny);
        assert_eq!(x87(exponent + 1, one | one >> 1), f64::from_bits(2));
        // The largest number without a leading bit rounds to the first number that has one.
        assert_eq!(x87(16383 - 1023, !0), f64::MIN_POSITIVE);
    }

    #[test]
    fn float_layout_of_128_bits_reads_quadruple() {
        assert_eq!(quad(16383, 0), 1.0);
        assert_eq!(quad(0x8000 | 16384, 1 << 111), -3.0);
        assert_eq!(quad(16383, 1 << 60), 1.0 + f64::EPSILON);
        assert_eq!(quad(16383, 1 << 59), 1.0);
        assert_eq!(quad(16383, 1 << 59 | 1), 1.0 + f64::EPSILON);
        assert_eq!(quad(0, 1), 0.0);
        assert_eq!(quad(0x7fff, 0), f64::INFINITY);
        assert!(quad(0x7fff, 1).is_nan());
        assert_eq!(quad(16383 - 1074, 0), f64::from_bits(1));
        assert_eq!(quad(16383 - 1075, 0), 0.0);
        assert_eq!(quad(16383 - 1075, 1), f64::from_bits(1));
    }

    #[test]
    fn float_layout_that_is_impossible_is_refused() {
        assert!(X87.is_readable() && QUAD.is_readable() && BFLOAT16.is_readable());
        assert_eq!((X87.dtype(), QUAD.dtype()), (DType::F64, DType::F64));
        assert_eq!(BFLOAT16.dtype(), DType::F32);
        for layout in [
            FloatLayout { sign: 128, ..QUAD },
            FloatLayout { sign: 112, ..QUAD },
            FloatLayout {
                exponent: (100, 15),
                ..QUAD
            },
            FloatLayout {
                mantissa: (0, 128),
                ..QUAD
            },
            FloatLayout { size: 17, ..QUAD },
            // Eight bits, where every exponent may be that of an ordinary number.
            FloatLayout {
                size: 1,
                sign: 7,
                exponent: (3, 4),
                mantissa: (0, 3),
                bias: 7,
                leading_bit: false,
            },
        ] {
            assert!(!layout.is_readable(), "{layout:?}");
        }
        // A number of 4 bytes whose exponent float32 lacks.
        let wide = FloatLayout {
            size: 4,
            sign: 31,
            exponent: (20, 11),
            mantissa: (0, 20),
            bias: 1023,
            leading_bit: false,
        };
        assert_eq!(wide.dtype(), DType::F64);
    }
}
