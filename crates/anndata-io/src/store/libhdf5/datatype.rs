//! A datatype, and the type as which its elements are read.

use hdf5::Datatype;
use hdf5::datatype::ByteOrder;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5_sys::h5t::H5T_class_t;

use super::super::hdf5::item::Truth;
use super::call::Result;
use super::ffi;
use crate::array::float::FloatLayout;
use crate::array::text::Padding;
use crate::dtype::DType;

/// A datatype, as far as arrays and attributes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Integer {
        size: usize,
        signed: bool,
    },
    /// Bit fields, which are unsigned integers.
    Bits {
        size: usize,
    },
    /// `None`: a layout that is not supported.
    Float(Option<FloatLayout>),
    /// An enumeration over integers: names and the little-endian bytes of their values.
    Enum {
        size: usize,
        signed: bool,
        members: Vec<(Vec<u8>, Vec<u8>)>,
    },
    FixedText {
        size: usize,
        padding: Padding,
    },
    VariableText,
    /// Records, by the names of their fields.
    Record(Vec<Vec<u8>>),
    /// An array of this shape in each element.
    Array(Vec<u64>),
    /// Any other type, described in words.
    Other(&'static str),
}

impl Type {
    pub(super) fn of(datatype: &Datatype) -> Result<Type> {
        let size = datatype.size();
        Ok(match ffi::class(datatype)? {
            H5T_class_t::H5T_INTEGER => Type::Integer {
                size,
                signed: ffi::is_signed(datatype)?,
            },
            H5T_class_t::H5T_FLOAT => Type::Float(ffi::float(datatype)?),
            H5T_class_t::H5T_ENUM => {
                let base = ffi::base_type(datatype)?;
                Type::Enum {
                    size,
                    signed: ffi::is_signed(&base)?,
                    members: members(datatype, base.byte_order())?,
                }
            }
            H5T_class_t::H5T_STRING if ffi::is_variable_text(datatype)? => Type::VariableText,
            H5T_class_t::H5T_STRING => Type::FixedText {
                size,
                padding: ffi::padding(datatype)?,
            },
            H5T_class_t::H5T_TIME => Type::Other("a time"),
            H5T_class_t::H5T_BITFIELD => Type::Bits { size },
            H5T_class_t::H5T_OPAQUE => Type::Other("opaque bytes"),
            H5T_class_t::H5T_COMPOUND => Type::Record(ffi::member_names(datatype)?),
            H5T_class_t::H5T_REFERENCE => Type::Other("a reference"),
            H5T_class_t::H5T_VLEN => Type::Other("a list of variable length"),
            H5T_class_t::H5T_ARRAY => Type::Array(ffi::array_shape(datatype)?),
            H5T_class_t::H5T_COMPLEX => Type::Other("complex numbers"),
            _ => Type::Other("an unknown type"),
        })
    }

    /// Returns the type to read elements as: little-endian, whatever the file's byte order; `None`
    /// if there is no such type. `stored` is the type that this describes.
    pub(super) fn memory_type(&self, stored: &Datatype) -> Result<Option<Datatype>> {
        let standard = match self {
            // The values of an enumeration are read as integers.
            Type::Integer { size, signed } | Type::Enum { size, signed, .. } => {
                let Some(size) = IntSize::from_int(*size) else {
                    return Ok(None);
                };
                match signed {
                    true => TypeDescriptor::Integer(size),
                    false => TypeDescriptor::Unsigned(size),
                }
            }
            // The library converts floats of other layouts.
            Type::Float(Some(layout)) => match layout.dtype() {
                DType::F16 => return ffi::little_endian(stored).map(Some),
                DType::F32 => TypeDescriptor::Float(FloatSize::U4),
                _ => TypeDescriptor::Float(FloatSize::U8),
            },
            // Bytes and texts have no byte order.
            Type::FixedText { .. } | Type::Bits { size: 1 } => return Ok(Some(stored.clone())),
            Type::Bits { .. } => return ffi::little_endian(stored).map(Some),
            Type::VariableText => stored.to_descriptor()?,
            Type::Float(None) | Type::Record(_) | Type::Array(_) | Type::Other(_) => {
                return Ok(None);
            }
        };
        Ok(Some(Datatype::from_descriptor(&standard)?))
    }

    /// Returns the fields of a table; `None` for any other type, including complex numbers.
    pub(super) fn table_fields(&self) -> Option<&[Vec<u8>]> {
        match self {
            Type::Record(fields) if !fields.is_empty() && fields[..] != [b"r", b"i"] => {
                Some(fields)
            }
            _ => None,
        }
    }

    /// Returns the truth values of an enumeration; `None` for any other type.
    pub(super) fn truth(&self) -> Option<Truth> {
        let Type::Enum { members, .. } = self else {
            return None;
        };
        let members = members.iter();
        Truth::of(members.map(|(name, value)| (name.as_slice(), value.clone())))
    }
}

/// Returns the names and values of an enumeration over integers in the given byte order.
fn members(datatype: &Datatype, order: ByteOrder) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = ffi::member_names(datatype)?.into_iter().enumerate();
    names
        .map(|(member, name)| {
            let mut value = ffi::member_value(datatype, member)?;
            if order == ByteOrder::BigEndian {
                value.reverse();
            }
            Ok((name, value))
        })
        .collect()
}
