//! Vectors and slices of elements of one type.

use super::cast::{Bool, Element, Wide};
use super::{DType, f16};
use crate::with_dtype;

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

    #[test]
    fn values_grow_and_convert() {
        let mut values = Values::new(DType::I16);
        values.extend_zeroed(2).copy_from_slice(&[1, 0, 255, 255]);
        assert_eq!(values, Values::I16(vec![1, -1]));
        assert_eq!(values.clone().cast(DType::U8), Values::U8(vec![1, 255]));
        assert_eq!(values.as_slice().range(1, 2).get(0), Wide::Signed(-1));
    }
}
