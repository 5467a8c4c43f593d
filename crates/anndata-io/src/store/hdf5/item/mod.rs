//! The types as which elements of a datatype are read: numpy's types, some of them after a
//! conversion.
//!
//! Takes a parsed [`Datatype`]. Returns an [`Item`], or the reason why the type is not supported,
//! with advice.
//!
//! ```text
//! integers, IEEE floats ─▶ as they are          enumerations ─▶ booleans, or their integers
//! other floats          ─▶ converted            texts        ─▶ fixed, or in the heap
//! ```

use super::datatype::{Class, Datatype, Integer};
pub(in crate::store) use super::integers::{Truth, integer_type, integers, whole_numbers};
use crate::array::ItemType;
use crate::array::convert::Conversion;
use crate::array::float::FloatLayout;
use crate::array::text::TextEncoding;
use crate::dtype::DType;
use crate::error::{AS_NUMBERS, LIBRARY_OR_REWRITE};

/// The type as which the elements of an array are read.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) item: ItemType,
    pub(super) big_endian: bool,
    pub(super) conversion: Option<Conversion>,
    pub(super) missing: Option<u64>,
}

/// The reason why a type is not supported, and advice.
pub(super) type Refusal = (String, &'static str);

/// The advice for floats that cannot be read: writing them again with anndata would not change
/// their type.
const CONVERT: &str =
    "convert the elements to float64 (x.astype(\"float64\")) and write them again";

impl Datatype {
    /// Returns the type as which elements are read; `heap` is the place of variable-length texts.
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

    /// Returns the numbers of an attribute if they are whole; `Err` describes any other content.
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
            Class::Float { .. } => Err("floats of an uncommon layout".to_owned()),
            Class::FixedText(_) | Class::VariableText => Err("a text".to_owned()),
            Class::Records(_) => Err("records".to_owned()),
            Class::Array { .. } => Err("an array in each element".to_owned()),
            Class::Reference => Err("references".to_owned()),
            Class::Other(what) => Err((*what).to_owned()),
        }
    }
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

#[cfg(test)]
mod tests;
