//! Values as keys, which sort as whole numbers.

use anndata_io::{NumericValue, Scalar};

/// Values in descending order, as ascending whole numbers; NaN comes last. A type of at most 32 bits
/// has keys below 2^32.
#[inline]
pub(super) fn key<T: Scalar>(value: T) -> u64 {
    const SIGN: u64 = 1 << 63;
    match value.to_number() {
        NumericValue::Bool(value) => u64::from(!value),
        NumericValue::Signed(value) if size_of::<T>() <= 4 => u64::from(!(value as u32 ^ 1 << 31)),
        NumericValue::Unsigned(value) if size_of::<T>() <= 4 => u64::from(!(value as u32)),
        NumericValue::Signed(value) => !(value as u64 ^ SIGN),
        NumericValue::Unsigned(value) => !value,
        NumericValue::F32(value) if value.is_nan() => u32::MAX.into(),
        NumericValue::F64(value) if value.is_nan() => u64::MAX,
        // The bits of floats have the order of the floats, but for the sign.
        NumericValue::F32(value) => {
            let bits = value.to_bits();
            u64::from(!(bits ^ ((bits as i32 >> 31) as u32 | 1 << 31)))
        }
        NumericValue::F64(value) => {
            let bits = value.to_bits();
            !(bits ^ ((bits as i64 >> 63) as u64 | SIGN))
        }
    }
}
