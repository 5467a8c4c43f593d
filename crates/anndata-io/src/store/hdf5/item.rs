//! What the elements of a datatype are read as: the types that numpy has, some of them converted.

use super::datatype::{Class, Datatype, Integer};
use crate::array::ItemType;
use crate::array::convert::Conversion;
use crate::array::float::FloatLayout;
use crate::array::text::TextEncoding;
use crate::dtype::DType;
use crate::error::{AS_NUMBERS, LIBRARY_OR_REWRITE};

/// What the elements of an array are read as.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) item: ItemType,
    pub(super) big_endian: bool,
    pub(super) conversion: Option<Conversion>,
    pub(super) missing: Option<u64>,
}

/// Why a type is not read, and what to do.
pub(super) type Refusal = (String, &'static str);

/// The way out of floats that nothing here reads: writing them again with anndata would not change
/// their type.
const CONVERT: &str =
    "convert the elements to float64 (x.astype(\"float64\")) and write them again";

impl Datatype {
    /// What elements of this type are read as; `heap` is where texts of variable length lie.
    pub(super) fn item(&self, heap: impl FnOnce() -> TextEncoding) -> Result<Item, Refusal> {
        let plain = |item, big_endian| Item {
            item,
            big_endian,
            conversion: None,
            missing: None,
        };
        let converted = |conversion: Conversion, big_endian| Item {
            item: ItemType::Number(conversion.dtype()),
            big_endian,
            conversion: Some(conversion),
            missing: None,
        };
        let refuse = |what: String| Err((what, AS_NUMBERS));
        Ok(match &self.class {
            Class::Integer(integer) => {
                plain(ItemType::Number(integer.dtype()?), integer.big_endian)
            }
            Class::Float {
                layout: Some(layout),
                big_endian,
            } if layout.is_readable() => match FloatLayout::ieee(self.size) == Some(*layout) {
                true => plain(ItemType::Number(layout.dtype()), *big_endian),
                false => converted(Conversion::Float(*layout), *big_endian),
            },
            Class::Float { .. } => {
                let what = format!(
                    "floats of {} bytes that are laid out in an uncommon way",
                    self.size
                );
                return Err((what, CONVERT));
            }
            Class::Enumeration { base, members } => {
                let integers = plain(ItemType::Number(base.dtype()?), base.big_endian);
                match Truth::of(members.iter().map(|(name, value)| {
                    let value = match base.big_endian {
                        true => value.iter().rev().copied().collect(),
                        false => value.clone(),
                    };
                    (name.as_slice(), value)
                })) {
                    None => integers,
                    Some(Truth { missing: None }) if self.size == 1 => {
                        plain(ItemType::Number(DType::Bool), false)
                    }
                    Some(Truth { missing: None }) => {
                        converted(Conversion::Truth(self.size), base.big_endian)
                    }
                    Some(Truth { missing }) => Item {
                        missing,
                        ..integers
                    },
                }
            }
            Class::FixedText(padding) => {
                let (size, padding) = (self.size, *padding);
                plain(ItemType::Text(TextEncoding::Fixed { size, padding }), false)
            }
            Class::VariableText => plain(ItemType::Text(heap()), false),
            Class::Records(fields) => {
                let names = fields.iter().map(|field| field.name.escape_ascii());
                let names: Vec<String> = names.map(|name| name.to_string()).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                return refuse(match names[..] {
                    ["r", "i"] => "a matrix of complex numbers".to_owned(),
                    _ => format!("a matrix of records of {}", names.join(", ")),
                });
            }
            Class::Array { .. } => return refuse("an array in each element".to_owned()),
            Class::Reference => return refuse("a matrix of references".to_owned()),
            Class::Other(what) => return refuse(format!("a matrix of {what}")),
        })
    }

    /// The numbers of an attribute, when they are whole; `Err` describes anything else.
    pub(super) fn integers(&self, bytes: &[u8]) -> Result<Vec<i64>, String> {
        let elements = bytes.chunks_exact(self.size.max(1));
        match &self.class {
            Class::Integer(integer) | Class::Enumeration { base: integer, .. } => {
                match integer.dtype() {
                    Ok(_) => Ok(integers(
                        bytes,
                        integer.size,
                        integer.signed,
                        integer.big_endian,
                    )),
                    Err((what, _)) => Err(what),
                }
            }
            Class::Float {
                layout: Some(layout),
                big_endian,
            } if layout.is_readable() => {
                let values = elements.map(|element| {
                    let mut element = element.to_vec();
                    if *big_endian {
                        element.reverse();
                    }
                    layout.read(&element)
                });
                whole_numbers(&values.collect::<Vec<f64>>())
            }
            Class::Float { .. } => Err("floats that are laid out in an uncommon way".to_owned()),
            Class::FixedText(_) | Class::VariableText => Err("a text".to_owned()),
            Class::Records(_) => Err("records".to_owned()),
            Class::Array { .. } => Err("an array in each element".to_owned()),
            Class::Reference => Err("references".to_owned()),
            Class::Other(what) => Err((*what).to_owned()),
        }
    }
}

/// Floats as the integers that they are; `Err` describes them when one is none.
pub(in crate::store) fn whole_numbers(values: &[f64]) -> Result<Vec<i64>, String> {
    let whole = values
        .iter()
        .map(|&value| crate::array::convert::whole(value));
    whole
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{values:?}"))
}

impl Integer {
    fn dtype(&self) -> Result<DType, Refusal> {
        let (size, precision) = (self.size, self.precision);
        let dtype = integer_type(size, self.signed)
            .ok_or_else(|| (format!("an integer of {size} bytes"), AS_NUMBERS))?;
        if self.offset != 0 || usize::from(precision) != size * 8 {
            let what = format!("integers of {precision} bits in {size} bytes");
            return Err((what, LIBRARY_OR_REWRITE));
        }
        Ok(dtype)
    }
}

/// The type of integers of so many bytes.
pub(in crate::store) fn integer_type(size: usize, signed: bool) -> Option<DType> {
    Some(match (size, signed) {
        (1, true) => DType::I8,
        (1, false) => DType::U8,
        (2, true) => DType::I16,
        (2, false) => DType::U16,
        (4, true) => DType::I32,
        (4, false) => DType::U32,
        (8, true) => DType::I64,
        (8, false) => DType::U64,
        _ => return None,
    })
}

/// An enumeration of truth values: h5py's booleans are FALSE and TRUE, R's logicals have NA, too.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Truth {
    /// What NA is, when there is one: its bits.
    pub(in crate::store) missing: Option<u64>,
}

impl Truth {
    /// Of an enumeration's names and little-endian values; `None` when it is another one.
    pub(in crate::store) fn of<'a>(
        members: impl Iterator<Item = (&'a [u8], Vec<u8>)>,
    ) -> Option<Truth> {
        let (mut is_false, mut is_true, mut missing) = (false, false, None);
        for (name, value) in members {
            let value = value
                .iter()
                .rev()
                .fold(0u64, |n, &byte| n << 8 | u64::from(byte));
            match (name, value) {
                (b"FALSE", 0) if !is_false => is_false = true,
                (b"TRUE", 1) if !is_true => is_true = true,
                (b"NA", 2..) if missing.is_none() => missing = Some(value),
                _ => return None,
            }
        }
        (is_false && is_true).then_some(Truth { missing })
    }
}

/// The integers of an attribute; those past 64 bits signed wrap.
pub(in crate::store) fn integers(
    bytes: &[u8],
    size: usize,
    signed: bool,
    big_endian: bool,
) -> Vec<i64> {
    let one = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        if big_endian {
            word[..bytes.len()].reverse();
        }
        let unused = 64 - 8 * bytes.len() as u32;
        let value = u64::from_le_bytes(word) << unused;
        if signed {
            (value as i64) >> unused
        } else {
            (value >> unused) as i64
        }
    };
    match size {
        1 | 2 | 4 | 8 => bytes.chunks_exact(size).map(one).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(message: &[u8]) -> Result<Item, Refusal> {
        let datatype = Datatype::parse(message).expect("a whole message");
        datatype.item(|| TextEncoding::Vlen)
    }

    fn dtype(message: &[u8]) -> Option<DType> {
        match item(message).ok()?.item {
            ItemType::Number(dtype) => Some(dtype),
            ItemType::Text(_) => None,
        }
    }

    /// An integer of so many bytes.
    fn integer(size: u8, flags: u8) -> Vec<u8> {
        vec![0x10, flags, 0, 0, size, 0, 0, 0, 0, 0, size * 8, 0]
    }

    /// An enumeration over such an integer.
    fn enumeration(base: &[u8], members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut message = vec![0x38, members.len() as u8, 0, 0, base[4], 0, 0, 0];
        message.extend(base);
        for (name, _) in members {
            message.extend(name.as_bytes());
            message.push(0);
        }
        members.iter().for_each(|(_, value)| message.extend(*value));
        message
    }

    fn float(size: u8, flags: [u8; 2], parts: [u8; 4], bias: u32) -> Vec<u8> {
        let mut message = vec![0x11, flags[0], flags[1], 0, size, 0, 0, 0, 0, 0, 0, 0];
        message.extend(parts);
        message.extend(bias.to_le_bytes());
        message
    }

    #[test]
    fn integers_of_every_width_and_order() {
        assert_eq!(dtype(&integer(2, 8)), Some(DType::I16));
        assert_eq!(dtype(&integer(4, 0)), Some(DType::U32));
        assert!(item(&integer(8, 1)).is_ok_and(|item| item.big_endian));
        // A bit field has a sign for no bit.
        let bits = [0x14, 8, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0];
        assert_eq!(dtype(&bits), Some(DType::U16));
        let error = item(&integer(3, 0)).expect_err("numpy has none");
        assert!(error.0.contains("3 bytes"), "{error:?}");
        let ten_bits = [0x10, 8, 0, 0, 2, 0, 0, 0, 0, 0, 10, 0];
        let error = item(&ten_bits).expect_err("not read");
        assert_eq!(error.0, "integers of 10 bits in 2 bytes");
    }

    #[test]
    fn booleans_have_two_names_and_any_width() {
        for size in [1, 2, 4, 8] {
            for big_endian in [0, 1] {
                let mut one = vec![0; usize::from(size)];
                one[if big_endian == 1 {
                    usize::from(size) - 1
                } else {
                    0
                }] = 1;
                let zero = vec![0; usize::from(size)];
                let base = integer(size, 8 | big_endian);
                let members: [(&str, &[u8]); 2] = [("TRUE", &one), ("FALSE", &zero)];
                let found = item(&enumeration(&base, &members)).expect("read");
                assert_eq!(found.item, ItemType::Number(DType::Bool));
                let wide = Conversion::Truth(usize::from(size));
                assert_eq!(found.conversion, (size > 1).then_some(wide));
            }
        }
    }

    #[test]
    fn other_enumerations_are_their_integers() {
        let base = integer(1, 0);
        for members in [
            &[("FALSE", &[1][..]), ("TRUE", &[0])][..],
            &[("FALSE", &[0]), ("TRUE", &[2])],
            &[("FALSE", &[0])],
            &[("no", &[0]), ("yes", &[1])],
            &[("FALSE", &[0]), ("TRUE", &[1]), ("maybe", &[2])],
            &[("FALSE", &[0]), ("TRUE", &[1]), ("NA", &[1])],
        ] {
            let found = item(&enumeration(&base, members)).expect("read");
            assert_eq!(found.item, ItemType::Number(DType::U8), "{members:?}");
            assert_eq!(found.missing, None, "{members:?}");
        }
    }

    #[test]
    fn logicals_tell_what_is_missing() {
        let members: [(&str, &[u8]); 3] = [("FALSE", &[0]), ("TRUE", &[1]), ("NA", &[2])];
        let found = item(&enumeration(&integer(1, 0), &members)).expect("read");
        assert_eq!(found.item, ItemType::Number(DType::U8));
        assert_eq!(found.missing, Some(2));
        // R's own is the smallest integer, here most significant byte first.
        let members: [(&str, &[u8]); 3] = [
            ("NA", &[128, 0, 0, 0]),
            ("FALSE", &[0; 4]),
            ("TRUE", &[0, 0, 0, 1]),
        ];
        let found = item(&enumeration(&integer(4, 9), &members)).expect("read");
        assert_eq!(found.item, ItemType::Number(DType::I32));
        assert_eq!(found.missing, Some(1 << 31));
    }

    #[test]
    fn floats_are_what_their_layout_says() {
        let ieee = float(4, [0x20, 31], [23, 8, 0, 23], 127);
        assert_eq!(dtype(&ieee), Some(DType::F32));
        assert!(item(&ieee).is_ok_and(|item| item.conversion.is_none()));
        let bfloat16 = float(2, [0x20, 15], [7, 8, 0, 7], 127);
        assert_eq!(dtype(&bfloat16), Some(DType::F32));
        let x87 = float(16, [0, 79], [64, 15, 0, 64], 16383);
        assert_eq!(dtype(&x87), Some(DType::F64));
        assert!(item(&x87).is_ok_and(|item| item.conversion.is_some()));
        // VAX's order, a leading bit that is always one, a sign within the mantissa, eight bits.
        for refused in [
            float(8, [0x61, 63], [52, 11, 0, 52], 1023),
            float(8, [0x10, 63], [52, 11, 0, 52], 1023),
            float(8, [0x20, 3], [52, 11, 0, 52], 1023),
            float(1, [0x20, 7], [3, 4, 0, 3], 7),
        ] {
            let (what, way_out) = item(&refused).expect_err("not read");
            assert!(what.starts_with("floats of"), "{what}");
            assert!(way_out.contains("astype"), "{way_out}");
        }
    }

    #[test]
    fn attribute_integers_of_every_width() {
        assert_eq!(integers(&[255, 1], 1, true, false), [-1, 1]);
        assert_eq!(integers(&[255, 255], 2, false, false), [65535]);
        assert_eq!(integers(&[0, 0, 1, 0], 4, true, true), [256]);
        assert_eq!(integers(&(-5i64).to_le_bytes(), 8, true, false), [-5]);
        let double = float(8, [0x20, 63], [52, 11, 0, 52], 1023);
        let double = Datatype::parse(&double).expect("whole");
        let bytes = |values: [f64; 2]| values.map(f64::to_le_bytes).concat();
        assert_eq!(double.integers(&bytes([12.0, 7.0])), Ok(vec![12, 7]));
        let error = double.integers(&bytes([12.5, 7.0]));
        assert_eq!(error, Err("[12.5, 7.0]".to_owned()));
    }
}
