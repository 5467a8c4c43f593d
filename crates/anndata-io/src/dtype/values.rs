//! Vectors and slices of elements of one type.

use super::cast::{Bool8, NumericValue, Scalar};
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
        pub enum ValuesRef<'a> { $($variant(&'a [$T])),* }

        /// Matches a [`Values`] or a [`ValuesRef`] by type, binding its elements.
        macro_rules! each {
            ($enum:ident, $value:expr, $v:ident => $body:expr) => {
                match $value { $($enum::$variant($v) => $body),* }
            };
        }

        impl Values {
            /// Makes an empty vector of a type.
            pub fn new(dtype: DType) -> Self {
                match dtype { $(DType::$variant => Values::$variant(Vec::new())),* }
            }
            /// Makes `len` zeros of a type.
            pub fn zeros(dtype: DType, len: usize) -> Self {
                match dtype { $(DType::$variant => Values::$variant(vec![<$T>::default(); len])),* }
            }
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self { $(Values::$variant(_) => DType::$variant),* }
            }
            /// All elements.
            pub fn as_slice(&self) -> ValuesRef<'_> {
                match self { $(Values::$variant(v) => ValuesRef::$variant(v)),* }
            }
        }

        impl<'a> ValuesRef<'a> {
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self { $(ValuesRef::$variant(_) => DType::$variant),* }
            }
            /// Reads native-endian bytes as elements. `bytes` must be aligned to the element and
            /// hold a whole number of them.
            pub(crate) fn from_bytes(dtype: DType, bytes: &'a [u8]) -> Self {
                match dtype { $(DType::$variant => ValuesRef::$variant(bytemuck::cast_slice(bytes))),* }
            }
            /// Returns the elements `start..end`.
            ///
            /// # Panics
            /// When the range is out of bounds.
            pub fn range(&self, start: usize, end: usize) -> ValuesRef<'a> {
                match self { $(ValuesRef::$variant(v) => ValuesRef::$variant(&v[start..end])),* }
            }
        }
    };
}

typed!(
    Bool(Bool8),
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
    /// The number of elements.
    pub fn len(&self) -> usize {
        each!(Values, self, v => v.len())
    }

    /// The number of elements that the allocated memory holds.
    pub fn capacity(&self) -> usize {
        each!(Values, self, v => v.capacity())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops all elements, but keeps the memory.
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

    /// Appends `count` zeros and returns their bytes, to be filled.
    pub(crate) fn extend_zeroed(&mut self, count: usize) -> &mut [u8] {
        each!(Values, self, v => {
            let start = v.len();
            v.resize(start + count, Default::default());
            bytemuck::cast_slice_mut(&mut v[start..])
        })
    }

    /// Converts all elements as [`Scalar::cast_from`] does; returns the same vector if it already
    /// has that type.
    pub fn cast(self, dtype: DType) -> Values {
        if self.dtype() == dtype {
            return self;
        }
        with_dtype!(dtype, T => Scalar::into_values(self.as_slice().to_vec::<T>()))
    }
}

impl ValuesRef<'_> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        each!(ValuesRef, self, v => v.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The native-endian bytes of the elements.
    pub fn as_bytes(&self) -> &[u8] {
        each!(ValuesRef, self, v => bytemuck::cast_slice(v))
    }

    /// Returns element `index` in its widest form.
    ///
    /// # Panics
    /// When `index` is out of bounds.
    pub fn get(&self, index: usize) -> NumericValue {
        each!(ValuesRef, self, v => v[index].to_number())
    }

    /// Returns all elements, converted as [`Scalar::cast_from`] does.
    pub fn to_vec<T: Scalar>(&self) -> Vec<T> {
        each!(ValuesRef, self, v => v.iter().map(|&x| T::cast_from(x)).collect())
    }

    /// Writes all elements into `out`, converted.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn write_to<T: Scalar>(&self, out: &mut [T]) {
        assert_eq!(self.len(), out.len(), "lengths of source and target");
        each!(ValuesRef, self, v => for (o, &x) in out.iter_mut().zip(*v) { *o = T::cast_from(x) });
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
        assert_eq!(
            values.as_slice().range(1, 2).get(0),
            NumericValue::Signed(-1)
        );
    }
}
