//! Conversions of single elements, as numpy's `astype` makes them.

use std::fmt;

use bytemuck::Pod;

use super::values::{Values, ValuesRef};
use super::{DType, f16};

/// A stored boolean: one byte, true if it is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bool8(pub u8);

/// A Rust type that stores elements of one [`DType`] and converts them to every other type as
/// numpy's `astype` does.
///
/// Integers wrap. Floats are truncated towards zero; those that the target cannot hold become the
/// values of numpy on x86-64 (0 in 8 and 16 bits, the smallest integer in signed 32 and 64 bits).
/// Anything but zero becomes `true`.
pub trait Scalar: Pod + Default + PartialEq + fmt::Debug + Send + Sync {
    /// The numpy type.
    const DTYPE: DType;

    /// The type with the same bits that `row-pack` knows.
    type Packed: row_pack::Value;

    /// Converts from any other element type.
    fn cast_from<S: Scalar>(value: S) -> Self;

    /// Returns the value as a wide number that holds every value of this type.
    fn to_number(self) -> NumericValue;

    /// Adds, with wrap-around for integers and "or" for booleans, as scipy sums duplicates.
    fn add(self, other: Self) -> Self;

    /// Returns the vector if it has this type.
    fn from_values(values: Values) -> Option<Vec<Self>>;

    /// Returns the elements if they have this type.
    fn from_slice(values: ValuesRef<'_>) -> Option<&[Self]>;

    /// Returns the vector itself if it has this type.
    fn as_mut_vec(values: &mut Values) -> Option<&mut Vec<Self>>;

    /// Wraps a vector.
    fn into_values(values: Vec<Self>) -> Values;

    /// Whether this is a zero (positive or negative).
    #[inline]
    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// The widest form of each kind of element: the common form of all conversions, which the compiler
/// optimises away.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum NumericValue {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    F32(f32),
    F64(f64),
}

/// Converts a float to a 32-bit integer as the x86 instruction does.
#[inline]
fn float_to_i32(value: f64) -> i32 {
    if value > -2_147_483_649.0 && value < 2_147_483_648.0 {
        value as i32
    } else {
        i32::MIN
    }
}

/// Converts a float to a 64-bit integer as the x86 instruction does.
#[inline]
fn float_to_i64(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

#[inline]
fn float_to_u64(value: f64) -> u64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if value < LIMIT || value.is_nan() {
        float_to_i64(value) as u64
    } else {
        float_to_i64(value - LIMIT) as u64 ^ (1 << 63)
    }
}

/// The members of [`Scalar`] that take a vector out of [`Values`], and put it in.
macro_rules! in_values {
    ($variant:ident) => {
        fn from_values(values: Values) -> Option<Vec<Self>> {
            match values {
                Values::$variant(values) => Some(values),
                _ => None,
            }
        }

        fn from_slice(values: ValuesRef<'_>) -> Option<&[Self]> {
            match values {
                ValuesRef::$variant(values) => Some(values),
                _ => None,
            }
        }

        fn as_mut_vec(values: &mut Values) -> Option<&mut Vec<Self>> {
            match values {
                Values::$variant(values) => Some(values),
                _ => None,
            }
        }

        fn into_values(values: Vec<Self>) -> Values {
            Values::$variant(values)
        }
    };
}

macro_rules! integer {
    ($T:ty, $dtype:ident, $wide:ident as $W:ty, $from_float:expr) => {
        impl Scalar for $T {
            const DTYPE: DType = DType::$dtype;
            type Packed = $T;
            in_values!($dtype);
            #[inline(always)]
            fn cast_from<S: Scalar>(value: S) -> Self {
                match value.to_number() {
                    NumericValue::Bool(v) => v as $T,
                    NumericValue::Signed(v) => v as $T,
                    NumericValue::Unsigned(v) => v as $T,
                    NumericValue::F32(v) => $from_float(f64::from(v)) as $T,
                    NumericValue::F64(v) => $from_float(v) as $T,
                }
            }
            #[inline(always)]
            fn to_number(self) -> NumericValue {
                NumericValue::$wide(self as $W)
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
        }
    };
}

integer!(i8, I8, Signed as i64, float_to_i32);
integer!(u8, U8, Unsigned as u64, float_to_i32);
integer!(i16, I16, Signed as i64, float_to_i32);
integer!(u16, U16, Unsigned as u64, float_to_i32);
integer!(i32, I32, Signed as i64, float_to_i32);
integer!(u32, U32, Unsigned as u64, float_to_i64);
integer!(i64, I64, Signed as i64, float_to_i64);
integer!(u64, U64, Unsigned as u64, float_to_u64);

impl Scalar for Bool8 {
    const DTYPE: DType = DType::Bool;
    type Packed = u8;
    in_values!(Bool);
    #[inline(always)]
    fn cast_from<S: Scalar>(value: S) -> Self {
        Bool8(u8::from(match value.to_number() {
            NumericValue::Bool(v) => v,
            _ => !value.is_zero(),
        }))
    }
    #[inline(always)]
    fn to_number(self) -> NumericValue {
        NumericValue::Bool(self.0 != 0)
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Bool8(u8::from(self.0 != 0 || other.0 != 0))
    }
}

impl Scalar for f16 {
    const DTYPE: DType = DType::F16;
    type Packed = u16;
    in_values!(F16);
    #[inline(always)]
    fn cast_from<S: Scalar>(value: S) -> Self {
        if S::DTYPE == DType::F16 {
            // Through a float32, a signalling NaN would lose its bit.
            return bytemuck::pod_read_unaligned(bytemuck::bytes_of(&value));
        }
        match value.to_number() {
            NumericValue::Bool(v) => f16::from_f32(f32::from(v)),
            NumericValue::Signed(v) => f16::from_f64(v as f64),
            NumericValue::Unsigned(v) => f16::from_f64(v as f64),
            NumericValue::F32(v) => f16::from_f32(v),
            NumericValue::F64(v) => f16::from_f64(v),
        }
    }
    #[inline(always)]
    fn to_number(self) -> NumericValue {
        NumericValue::F32(self.to_f32())
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        f16::from_f32(self.to_f32() + other.to_f32())
    }
}

macro_rules! float {
    ($T:ty, $dtype:ident, $wide:ident) => {
        impl Scalar for $T {
            const DTYPE: DType = DType::$dtype;
            type Packed = $T;
            in_values!($dtype);
            #[inline(always)]
            fn cast_from<S: Scalar>(value: S) -> Self {
                match value.to_number() {
                    NumericValue::Bool(v) => <$T>::from(v),
                    NumericValue::Signed(v) => v as $T,
                    NumericValue::Unsigned(v) => v as $T,
                    NumericValue::F32(v) => v as $T,
                    NumericValue::F64(v) => v as $T,
                }
            }
            #[inline(always)]
            fn to_number(self) -> NumericValue {
                NumericValue::$wide(self)
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }
        }
    };
}

float!(f32, F32, F32);
float!(f64, F64, F64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::ValuesRef;

    /// The results of numpy 2.4 on x86-64 for `np.array([v]).astype(t)`.
    #[test]
    fn cast_from_is_numpys_astype() {
        let source = ValuesRef::F64(&[300.0, -1.0, 3e9, 70000.5, 5e10, 1e19, f64::INFINITY]);
        assert_eq!(source.to_vec::<u8>(), [44, 255, 0, 112, 0, 0, 0]);
        assert_eq!(source.to_vec::<i16>(), [300, -1, 0, 4464, 0, 0, 0]);
        let min = i32::MIN;
        assert_eq!(source.to_vec::<i32>(), [300, -1, min, 70000, min, min, min]);
        assert_eq!(
            source.to_vec::<u32>()[..4],
            [300, u32::MAX, 3_000_000_000, 70000]
        );
        assert_eq!(source.to_vec::<u64>()[5..], [10_000_000_000_000_000_000, 0]);
        assert_eq!(
            ValuesRef::F32(&[f32::NAN, 0.0, -0.0]).to_vec::<Bool8>(),
            [Bool8(1), Bool8(0), Bool8(0)]
        );
        assert_eq!(ValuesRef::I64(&[-1, 1 << 40]).to_vec::<u16>(), [65535, 0]);
        assert_eq!(
            ValuesRef::Bool(&[Bool8(7), Bool8(0)]).to_vec::<f32>(),
            [1.0, 0.0]
        );
        assert_eq!(ValuesRef::U64(&[u64::MAX]).to_vec::<i64>(), [-1]);
    }

    #[test]
    fn scalar_cast_to_its_own_type_keeps_every_bit() {
        for bits in [0xfdfc, 0x7c01, 0x8000, 0x3c00] {
            let value = <f16 as Scalar>::cast_from(f16::from_bits(bits));
            assert_eq!(value.to_bits(), bits);
        }
        for bits in [0x7fa0_0001_u32, 0x8000_0000] {
            let value = <f32 as Scalar>::cast_from(f32::from_bits(bits));
            assert_eq!(value.to_bits(), bits);
        }
    }
}
