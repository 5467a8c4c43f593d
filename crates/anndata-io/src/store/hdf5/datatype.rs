//! Datatypes: the types of array elements and attributes in an HDF5 file.
//!
//! `hdf5-reader` keeps only the size and byte order of a number; HDF5 also knows integers of ten
//! bits within sixteen, and floats of any layout.

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::io::Cursor;

use crate::array::float::FloatLayout;
use crate::array::text::Padding;
use crate::limits::MAX_DATATYPE_DEPTH;

/// A type and the bytes of its elements.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Datatype {
    pub(super) size: usize,
    pub(super) class: Class,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Class {
    /// Whole numbers, and bit fields, which are unsigned integers.
    Integer(Integer),
    /// `None`: a layout that is not supported.
    Float {
        layout: Option<FloatLayout>,
        big_endian: bool,
    },
    FixedText(Padding),
    VariableText,
    /// Integers with names.
    Enumeration {
        base: Integer,
        members: Vec<(Vec<u8>, Vec<u8>)>,
    },
    Records(Vec<Field>),
    /// An array in each element.
    Array {
        base: Box<Datatype>,
        shape: Vec<u64>,
    },
    /// A reference to an object.
    Reference,
    /// Any other type, described in words.
    Other(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Integer {
    pub(super) size: usize,
    pub(super) signed: bool,
    pub(super) big_endian: bool,
    /// The unused bits below the number, and the bits of the number.
    pub(super) offset: u16,
    pub(super) precision: u16,
}

/// A field of records.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) offset: u64,
    pub(super) datatype: Datatype,
}

impl Datatype {
    /// Reads a datatype message.
    pub(super) fn parse(message: &[u8]) -> Result<Datatype, Hdf5Error> {
        datatype(&mut Cursor::new(message), 0)
    }

    /// Returns the fields of a table; `None` for any other type, including complex numbers.
    pub(super) fn fields(&self) -> Option<&[Field]> {
        match &self.class {
            Class::Records(fields) => {
                let is_complex = matches!(&fields[..], [r, i] if r.name == b"r" && i.name == b"i");
                (!is_complex && !fields.is_empty()).then_some(fields)
            }
            _ => None,
        }
    }
}

fn invalid(what: &str) -> Hdf5Error {
    Hdf5Error::InvalidData(what.to_owned())
}

/// Reads a name and the zero byte after it, which old versions pad.
fn name(cursor: &mut Cursor<'_>, version: u32) -> Result<Vec<u8>, Hdf5Error> {
    let rest = cursor.slice_from(cursor.position())?;
    let len = rest.iter().position(|&byte| byte == 0);
    let len = len.ok_or_else(|| invalid("a name in a datatype has no end"))?;
    let name = cursor.read_bytes(len)?.to_vec();
    let padded = match version {
        3.. => len + 1,
        _ => (len + 1).next_multiple_of(8),
    };
    cursor.skip(padded - len)?;
    Ok(name)
}

fn datatype(cursor: &mut Cursor<'_>, depth: usize) -> Result<Datatype, Hdf5Error> {
    if depth > MAX_DATATYPE_DEPTH {
        return Err(invalid("datatypes are nested too deeply"));
    }
    let head = cursor.read_u32_le()?;
    let (class, version, flags) = (head & 0xf, head >> 4 & 0xf, head >> 8);
    let size = cursor.read_u32_le()? as usize;
    let class = match class {
        // Integers; bit fields.
        0 | 4 => Class::Integer(Integer {
            size,
            signed: class == 0 && flags & 8 != 0,
            big_endian: flags & 1 != 0,
            offset: cursor.read_u16_le()?,
            precision: cursor.read_u16_le()?,
        }),
        1 => Class::Float {
            layout: float(cursor, size, flags)?,
            big_endian: flags & 1 != 0,
        },
        2 => {
            cursor.skip(2)?;
            Class::Other("times")
        }
        3 => Class::FixedText(match flags & 0xf {
            1 => Padding::Nulls,
            2 => Padding::Spaces,
            _ => Padding::NullTerminated,
        }),
        5 => {
            cursor.skip((flags & 0xff).next_multiple_of(8) as usize)?;
            Class::Other("opaque bytes")
        }
        6 => Class::Records(fields(cursor, size, version, flags & 0xffff, depth)?),
        7 if flags & 0xf == 0 => Class::Reference,
        7 => Class::Other("references to parts of arrays"),
        8 => {
            let base = datatype(cursor, depth + 1)?;
            let n_members = flags & 0xffff;
            let names: Result<Vec<_>, _> = (0..n_members).map(|_| name(cursor, version)).collect();
            let value = |name| Ok((name, cursor.read_bytes(base.size)?.to_vec()));
            let members: Result<Vec<_>, Hdf5Error> = names?.into_iter().map(value).collect();
            match base.class {
                Class::Integer(base) if base.size == size => Class::Enumeration {
                    base,
                    members: members?,
                },
                _ => Class::Other("an enumeration over something else than integers"),
            }
        }
        9 => {
            let base = datatype(cursor, depth + 1)?;
            match (flags & 0xf, base.size, base.class) {
                (1, 1, Class::Integer(_) | Class::FixedText(_)) => Class::VariableText,
                _ => Class::Other("lists of variable length"),
            }
        }
        10 => {
            let rank = cursor.read_u8()?;
            if version < 3 {
                cursor.skip(3)?;
            }
            let shape: Result<Vec<u64>, Hdf5Error> = (0..rank)
                .map(|_| Ok(u64::from(cursor.read_u32_le()?)))
                .collect();
            if version < 3 {
                cursor.skip(4 * usize::from(rank))?;
            }
            let (base, shape) = (Box::new(datatype(cursor, depth + 1)?), shape?);
            if shape.contains(&0) {
                return Err(invalid("elements that are empty arrays"));
            }
            Class::Array { base, shape }
        }
        11 => Class::Other("complex numbers"),
        class => return Err(Hdf5Error::UnsupportedDatatypeClass(class as u8)),
    };
    Ok(Datatype { size, class })
}

/// Returns the layout of a float; `None` if it cannot be described.
fn float(
    cursor: &mut Cursor<'_>,
    size: usize,
    flags: u32,
) -> Result<Option<FloatLayout>, Hdf5Error> {
    // The total number of bits is not needed: the parts have their own positions.
    cursor.skip(4)?;
    let mut byte = || cursor.read_u8().map(u32::from);
    let (exponent, mantissa) = ((byte()?, byte()?), (byte()?, byte()?));
    let layout = FloatLayout {
        size,
        sign: flags >> 8 & 0xff,
        exponent,
        mantissa,
        bias: cursor.read_u32_le()?,
        leading_bit: flags >> 4 & 3 == 0,
    };
    // Bit 6 means VAX's byte order. In the next two, 2 means an omitted leading bit, 0 no leading
    // bit.
    let is_known = flags & 0x40 == 0 && matches!(flags >> 4 & 3, 0 | 2);
    Ok(is_known.then_some(layout))
}

fn fields(
    cursor: &mut Cursor<'_>,
    size: usize,
    version: u32,
    n_fields: u32,
    depth: usize,
) -> Result<Vec<Field>, Hdf5Error> {
    let offset_len = match version {
        3.. => (1..4).find(|n| size < 1 << (8 * n)).unwrap_or(4),
        _ => 4,
    };
    let mut fields = Vec::new();
    for _ in 0..n_fields {
        let name = name(cursor, version)?;
        let offset = cursor.read_uvar(offset_len)?;
        // An old form of array fields, which no writer of AnnData uses.
        let mut rank = 0;
        if version == 1 {
            rank = cursor.read_u8()?;
            cursor.skip(27)?;
        }
        let mut datatype = datatype(cursor, depth + 1)?;
        if rank > 0 {
            datatype.class = Class::Other("arrays as HDF5 1.2 has them");
        }
        fields.push(Field {
            name,
            offset,
            datatype,
        });
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datatype_message_that_is_cut_is_an_error() {
        // Records of one field, which is an enumeration of two names over bytes.
        let base = [0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0];
        let enumeration = [
            &[0x38, 2, 0, 0, 1, 0, 0, 0],
            &base[..],
            b"FALSE\0TRUE\0\0\x01",
        ]
        .concat();
        let field = [&b"a\0\0"[..], &enumeration].concat();
        let records = [&[0x36, 1, 0, 0, 1, 0, 0, 0][..], &field].concat();
        assert!(Datatype::parse(&records).is_ok_and(|table| table.fields().is_some()));
        for len in 0..records.len() {
            Datatype::parse(&records[..len]).expect_err("it is cut");
        }
        // Nested arrays.
        let deep = [0x3a, 0, 0, 0, 4, 0, 0, 0, 1, 1, 0, 0, 0].repeat(40);
        Datatype::parse(&deep).expect_err("too deep");
    }
}
