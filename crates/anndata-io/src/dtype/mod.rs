//! Element types of numeric arrays, typed storage for them, and numpy's conversions between them.
//!
//! Takes nothing from the rest of the crate, and touches no file: [`DType`] names a type,
//! `cast.rs` converts single elements as numpy's `astype` does, `values.rs` holds vectors and
//! slices of elements of one type.
//!
//! ```text
//! bytes ─▶ ValuesRef::from_bytes(dtype, ..) ─▶ with_dtype!(dtype, T => code that is generic over T)
//! ```

use std::fmt;
use std::str::FromStr;

pub use half::f16;

mod cast;
mod values;

pub use cast::{Bool8, NumericValue, Scalar};
pub use values::{Values, ValuesRef};

/// The element type of a numeric array, with numpy's name.
///
/// With the feature `serde`, it is written as that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are numpy's own")]
pub enum DType {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
}

/// Runs an expression with `$T` bound to the Rust type that stores elements of a [`DType`]
/// (`u8` for booleans).
#[macro_export]
macro_rules! with_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $T = $crate::Bool8;
                $body
            }
            $crate::DType::I8 => {
                type $T = i8;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::I16 => {
                type $T = i16;
                $body
            }
            $crate::DType::U16 => {
                type $T = u16;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::U32 => {
                type $T = u32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::U64 => {
                type $T = u64;
                $body
            }
            $crate::DType::F16 => {
                type $T = $crate::f16;
                $body
            }
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

const NAMES: [(DType, &str, usize); 12] = [
    (DType::Bool, "bool", 1),
    (DType::I8, "int8", 1),
    (DType::U8, "uint8", 1),
    (DType::I16, "int16", 2),
    (DType::U16, "uint16", 2),
    (DType::I32, "int32", 4),
    (DType::U32, "uint32", 4),
    (DType::I64, "int64", 8),
    (DType::U64, "uint64", 8),
    (DType::F16, "float16", 2),
    (DType::F32, "float32", 4),
    (DType::F64, "float64", 8),
];

impl DType {
    /// The size of one element in bytes.
    pub fn size(self) -> usize {
        NAMES[self as usize].2
    }

    /// The numpy name, such as `float32`.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Whether this is `float16`, `float32` or `float64`.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::F32 | DType::F64)
    }

    /// Whether this is a signed or unsigned integer (not a boolean).
    pub fn is_integer(self) -> bool {
        !self.is_float() && self != DType::Bool
    }

    fn is_signed(self) -> bool {
        matches!(self, DType::I8 | DType::I16 | DType::I32 | DType::I64)
    }

    /// The type to which numpy promotes two arrays of these types (`numpy.result_type`).
    pub fn promote(self, other: DType) -> DType {
        use DType::*;
        let (a, b) = (self.min(other), self.max(other));
        if a == b || a == Bool {
            return b;
        }
        if b.is_float() {
            // A float holds an integer type if its mantissa does: 8 bits in float16, 16 in float32,
            // everything else in float64.
            let need = match a {
                I8 | U8 | F16 => F16,
                I16 | U16 | F32 => F32,
                _ => F64,
            };
            return need.max(b);
        }
        // Integers are ordered I8 < U8 < I16 < ..., so `b` is at least as wide as `a`.
        match (a, b) {
            _ if a.is_signed() == b.is_signed() => b,
            (_, I16 | I32 | I64) if a.size() < b.size() => b,
            (_, U8) => I16,
            (_, U16) => I32,
            (_, U32) => I64,
            _ => F64,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DType {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for DType {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// The error for a text that names no [`DType`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown dtype {0:?}: expected one of bool, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, float32, float64"
)]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    /// Accepts numpy's names (`float32`) and its short codes (`f4`, `<f4`, `float`, `int`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short = match text.strip_prefix(['<', '=', '|']).unwrap_or(text) {
            "?" | "b1" => "bool",
            "i1" => "int8",
            "u1" => "uint8",
            "i2" => "int16",
            "u2" => "uint16",
            "i4" => "int32",
            "u4" => "uint32",
            "i8" | "int" => "int64",
            "u8" => "uint64",
            "f2" | "half" => "float16",
            "f4" | "single" => "float32",
            "f8" | "float" | "double" => "float64",
            name => name,
        };
        NAMES
            .iter()
            .find(|(_, name, _)| *name == short)
            .map(|(dtype, ..)| *dtype)
            .ok_or_else(|| UnknownDType(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [DType; 12] = [
        DType::Bool,
        DType::I8,
        DType::U8,
        DType::I16,
        DType::U16,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::U64,
        DType::F16,
        DType::F32,
        DType::F64,
    ];

    #[test]
    fn dtype_names_and_sizes_stand_in_the_order_of_the_variants() {
        for (i, dtype) in ALL.into_iter().enumerate() {
            assert_eq!(NAMES[i].0, dtype);
            assert_eq!(dtype.name().parse(), Ok(dtype));
            assert_eq!(dtype.size(), with_dtype!(dtype, T => size_of::<T>()));
        }
        assert_eq!("<f4".parse(), Ok(DType::F32));
        assert!("complex64".parse::<DType>().is_err());
    }

    /// `numpy.result_type` of every pair, rows and columns in the order of [`ALL`].
    #[test]
    fn dtype_promotion_is_numpys() {
        let table = "
            bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64
            int8 int8 int16 int16 int32 int32 int64 int64 float64 float16 float32 float64
            uint8 int16 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64
            int16 int16 int16 int16 int32 int32 int64 int64 float64 float32 float32 float64
            uint16 int32 uint16 int32 uint16 int32 uint32 int64 uint64 float32 float32 float64
            int32 int32 int32 int32 int32 int32 int64 int64 float64 float64 float64 float64
            uint32 int64 uint32 int64 uint32 int64 uint32 int64 uint64 float64 float64 float64
            int64 int64 int64 int64 int64 int64 int64 int64 float64 float64 float64 float64
            uint64 float64 uint64 float64 uint64 float64 uint64 float64 uint64 float64 float64 float64
            float16 float16 float16 float32 float32 float64 float64 float64 float64 float16 float32 float64
            float32 float32 float32 float32 float32 float64 float64 float64 float64 float32 float32 float64
            float64 float64 float64 float64 float64 float64 float64 float64 float64 float64 float64 float64";
        let mut names = table.split_whitespace();
        for a in ALL {
            for b in ALL {
                assert_eq!(Some(a.promote(b).name()), names.next(), "{a} with {b}");
            }
        }
    }
}
