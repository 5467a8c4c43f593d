//! Element types of numeric arrays, typed storage for them, and numpy's conversions between them.

use std::fmt;
use std::str::FromStr;

use bytemuck::Pod;
pub use half::f16;

/// The element type of a numeric array, named as numpy names it.
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
                type $T = $crate::Bool;
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
    /// Size of one element in bytes.
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

    /// The type that numpy's promotion gives two arrays of these types (`numpy.result_type`).
    pub fn promote(self, other: DType) -> DType {
        use DType::*;
        let (a, b) = (self.min(other), self.max(other));
        if a == b || a == Bool {
            return b;
        }
        if b.is_float() {
            // A float holds an integer type when its mantissa does: 8 bits in float16,
            // 16 in float32, everything else in float64.
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

/// A text that names no [`DType`].
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

/// A boolean as it is stored: one byte, true when it is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bool(pub u8);

/// A Rust type that stores elements of one [`DType`], convertible to every other as
/// numpy's `astype` does it.
///
/// Integers wrap. Floats are truncated towards zero; those that the target cannot hold
/// give what numpy gives on x86-64 (0 in 8 and 16 bits, the smallest integer in signed 32
/// and 64 bits). Anything but zero becomes `true`.
pub trait Element: Pod + Default + PartialEq + fmt::Debug + Send + Sync {
    /// The numpy type.
    const DTYPE: DType;

    /// Converts from any other element type.
    fn cast_from<S: Element>(value: S) -> Self;

    /// The value as a wide number that holds every value of this type.
    fn wide(self) -> Wide;

    /// Adds, with wrap-around for integers and "or" for booleans, as scipy sums duplicates.
    fn add(self, other: Self) -> Self;

    /// Whether this is a zero (positive or negative).
    #[inline]
    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// The widest form of each kind of element: the common ground of all conversions, which
/// the compiler folds away.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Wide {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    F32(f32),
    F64(f64),
}

/// A float to a 32-bit integer as the x86 instruction does it.
#[inline]
fn float_to_i32(value: f64) -> i32 {
    if value > -2_147_483_649.0 && value < 2_147_483_648.0 {
        value as i32
    } else {
        i32::MIN
    }
}

/// A float to a 64-bit integer as the x86 instruction does it.
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

macro_rules! integer {
    ($T:ty, $dtype:ident, $wide:ident as $W:ty, $from_float:expr) => {
        impl Element for $T {
            const DTYPE: DType = DType::$dtype;
            #[inline(always)]
            fn cast_from<S: Element>(value: S) -> Self {
                match value.wide() {
                    Wide::Bool(v) => v as $T,
                    Wide::Signed(v) => v as $T,
                    Wide::Unsigned(v) => v as $T,
                    Wide::F32(v) => $from_float(f64::from(v)) as $T,
                    Wide::F64(v) => $from_float(v) as $T,
                }
            }
            #[inline(always)]
            fn wide(self) -> Wide {
                Wide::$wide(self as $W)
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

impl Element for Bool {
    const DTYPE: DType = DType::Bool;
    #[inline(always)]
    fn cast_from<S: Element>(value: S) -> Self {
        Bool(u8::from(match value.wide() {
            Wide::Bool(v) => v,
            _ => !value.is_zero(),
        }))
    }
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::Bool(self.0 != 0)
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Bool(u8::from(self.0 != 0 || other.0 != 0))
    }
}

impl Element for f16 {
    const DTYPE: DType = DType::F16;
    #[inline(always)]
    fn cast_from<S: Element>(value: S) -> Self {
        match value.wide() {
            Wide::Bool(v) => f16::from_f32(f32::from(v)),
            Wide::Signed(v) => f16::from_f64(v as f64),
            Wide::Unsigned(v) => f16::from_f64(v as f64),
            Wide::F32(v) => f16::from_f32(v),
            Wide::F64(v) => f16::from_f64(v),
        }
    }
    #[inline(always)]
    fn wide(self) -> Wide {
        Wide::F32(self.to_f32())
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        f16::from_f32(self.to_f32() + other.to_f32())
    }
}

macro_rules! float {
    ($T:ty, $dtype:ident, $wide:ident) => {
        impl Element for $T {
            const DTYPE: DType = DType::$dtype;
            #[inline(always)]
            fn cast_from<S: Element>(value: S) -> Self {
                match value.wide() {
                    Wide::Bool(v) => <$T>::from(v),
                    Wide::Signed(v) => v as $T,
                    Wide::Unsigned(v) => v as $T,
                    Wide::F32(v) => v as $T,
                    Wide::F64(v) => v as $T,
                }
            }
            #[inline(always)]
            fn wide(self) -> Wide {
                Wide::$wide(self)
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

macro_rules! typed {
    ($($variant:ident($T:ty)),*) => {
        /// A vector of elements of one [`DType`].
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "one variant a DType")]
        pub enum Values { $($variant(Vec<$T>)),* }

        /// A borrowed run of elements of one [`DType`].
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[allow(missing_docs, reason = "one variant a DType")]
        pub enum Slice<'a> { $($variant(&'a [$T])),* }

        /// A Rust type that a [`Values`] may hold: lets generic code take the vector out.
        pub trait Stored: Element {
            /// The vector, when its type is this one.
            fn from_values(values: Values) -> Option<Vec<Self>>;
            /// The elements, when their type is this one.
            fn from_slice(slice: Slice<'_>) -> Option<&[Self]>;
            /// The vector itself, when its type is this one.
            fn as_mut_vec(values: &mut Values) -> Option<&mut Vec<Self>>;
            /// Wraps a vector.
            fn into_values(values: Vec<Self>) -> Values;
        }
        $(impl Stored for $T {
            fn from_values(values: Values) -> Option<Vec<Self>> {
                match values { Values::$variant(v) => Some(v), _ => None }
            }
            fn from_slice(slice: Slice<'_>) -> Option<&[Self]> {
                match slice { Slice::$variant(v) => Some(v), _ => None }
            }
            fn as_mut_vec(values: &mut Values) -> Option<&mut Vec<Self>> {
                match values { Values::$variant(v) => Some(v), _ => None }
            }
            fn into_values(values: Vec<Self>) -> Values { Values::$variant(values) }
        })*

        /// Matches a [`Values`] or a [`Slice`] by type, binding its elements.
        macro_rules! each {
            ($enum:ident, $value:expr, $v:ident => $body:expr) => {
                match $value { $($enum::$variant($v) => $body),* }
            };
        }

        impl Values {
            /// An empty vector of a type.
            pub fn new(dtype: DType) -> Self {
                match dtype { $(DType::$variant => Values::$variant(Vec::new())),* }
            }
            /// `len` zeros of a type.
            pub fn zeros(dtype: DType, len: usize) -> Self {
                match dtype { $(DType::$variant => Values::$variant(vec![<$T>::default(); len])),* }
            }
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self { $(Values::$variant(_) => DType::$variant),* }
            }
            /// All elements.
            pub fn as_slice(&self) -> Slice<'_> {
                match self { $(Values::$variant(v) => Slice::$variant(v)),* }
            }
        }

        impl<'a> Slice<'a> {
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self { $(Slice::$variant(_) => DType::$variant),* }
            }
            /// Reads native-endian bytes as elements. `bytes` must be aligned to the
            /// element and a whole number of them.
            pub(crate) fn from_bytes(dtype: DType, bytes: &'a [u8]) -> Self {
                match dtype { $(DType::$variant => Slice::$variant(bytemuck::cast_slice(bytes))),* }
            }
            /// The elements `start..end`.
            ///
            /// # Panics
            /// When the range is out of bounds.
            pub fn range(&self, start: usize, end: usize) -> Slice<'a> {
                match self { $(Slice::$variant(v) => Slice::$variant(&v[start..end])),* }
            }
        }
    };
}

typed!(
    Bool(Bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F16(f16),
    F32(f32),
    F64(f64)
);

impl Values {
    /// Number of elements.
    pub fn len(&self) -> usize {
        each!(Values, self, v => v.len())
    }

    /// Elements that there is memory for.
    pub fn capacity(&self) -> usize {
        each!(Values, self, v => v.capacity())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops all elements, keeping the memory.
    pub fn clear(&mut self) {
        each!(Values, self, v => v.clear());
    }

    /// Sets the length; new elements are zeros.
    pub fn resize(&mut self, len: usize) {
        each!(Values, self, v => v.resize(len, Default::default()));
    }

    /// Sets all elements to zero.
    pub fn fill_zero(&mut self) {
        each!(Values, self, v => v.fill(Default::default()));
    }

    /// Appends `count` zeros and gives their bytes, to be filled.
    pub(crate) fn extend_zeroed(&mut self, count: usize) -> &mut [u8] {
        each!(Values, self, v => {
            let start = v.len();
            v.resize(start + count, Default::default());
            bytemuck::cast_slice_mut(&mut v[start..])
        })
    }

    /// All elements converted as [`Element::cast_from`] does it; the same vector when it is
    /// of that type already.
    pub fn cast(self, dtype: DType) -> Values {
        if self.dtype() == dtype {
            return self;
        }
        with_dtype!(dtype, T => Stored::into_values(self.as_slice().to_vec::<T>()))
    }
}

impl Slice<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        each!(Slice, self, v => v.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements' native-endian bytes.
    pub fn as_bytes(&self) -> &[u8] {
        each!(Slice, self, v => bytemuck::cast_slice(v))
    }

    /// Element `index` in its widest form.
    ///
    /// # Panics
    /// When `index` is out of bounds.
    pub fn get(&self, index: usize) -> Wide {
        each!(Slice, self, v => v[index].wide())
    }

    /// All elements, converted as [`Element::cast_from`] does it.
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        each!(Slice, self, v => v.iter().map(|&x| T::cast_from(x)).collect())
    }

    /// Writes all elements into `out`, converted.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn write_to<T: Element>(&self, out: &mut [T]) {
        assert_eq!(self.len(), out.len(), "lengths of source and target");
        each!(Slice, self, v => for (o, &x) in out.iter_mut().zip(*v) { *o = T::cast_from(x) });
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
    fn names_and_sizes_stand_in_the_order_of_the_variants() {
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
    fn promotion_is_numpys() {
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

    /// What numpy 2.4 gives on x86-64 for `np.array([v]).astype(t)`.
    #[test]
    fn casts_are_numpys() {
        let source = Slice::F64(&[300.0, -1.0, 3e9, 70000.5, 5e10, 1e19, f64::INFINITY]);
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
            Slice::F32(&[f32::NAN, 0.0, -0.0]).to_vec::<Bool>(),
            [Bool(1), Bool(0), Bool(0)]
        );
        assert_eq!(Slice::I64(&[-1, 1 << 40]).to_vec::<u16>(), [65535, 0]);
        assert_eq!(Slice::Bool(&[Bool(7), Bool(0)]).to_vec::<f32>(), [1.0, 0.0]);
        assert_eq!(Slice::U64(&[u64::MAX]).to_vec::<i64>(), [-1]);
    }

    #[test]
    fn values_grow_and_convert() {
        let mut values = Values::new(DType::I16);
        values.extend_zeroed(2).copy_from_slice(&[1, 0, 255, 255]);
        assert_eq!(values, Values::I16(vec![1, -1]));
        assert_eq!(values.clone().cast(DType::U8), Values::U8(vec![1, 255]));
        assert_eq!(values.as_slice().range(1, 2).get(0), Wide::Signed(-1));
    }
}
