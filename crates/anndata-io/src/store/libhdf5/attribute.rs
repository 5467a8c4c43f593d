//! Attributes, as far as AnnData uses them.

use hdf5::{Location, ObjectReference1, ReferencedObject};

use super::super::Attribute;
use super::super::hdf5::item::{integers, whole_numbers};
use super::LibHdf5Store;
use super::call::Result;
use super::datatype::Type;
use super::ffi;
use crate::array::float::FloatLayout;
use crate::error::Error;

/// The value of an attribute, from the library.
enum Value {
    /// No elements.
    Empty,
    /// The path of an object in the file.
    Reference(Vec<u8>),
    /// Elements of fixed length.
    Fixed(Type, Vec<u8>),
    Texts(Vec<Vec<u8>>),
    /// Any other value, described in words.
    Other(String),
}

/// Reads an attribute, and whether it is one element without a shape. Reads no more elements than
/// fit in `most` bytes. `None` if the object has no such attribute.
fn read(object: &Location, name: &str, most: u64) -> Result<Option<(Value, bool)>> {
    if !ffi::has_attribute(object, name)? {
        return Ok(None);
    }
    let attribute = object.attr(name)?;
    let extents = attribute.space()?.extents()?;
    // An empty list is stored as a list of numbers.
    if extents.is_null() || extents.dims().contains(&0) {
        return Ok(Some((Value::Empty, false)));
    }
    let scalar = extents.ndim() == 0;
    let datatype = attribute.dtype()?;
    let described = Type::of(&datatype)?;
    if scalar && datatype.is::<ObjectReference1>() {
        let reference = attribute.read_scalar::<ObjectReference1>()?;
        if let Ok(object) = attribute.dereference(&reference) {
            let path = match &object {
                ReferencedObject::Group(group) => ffi::path_of(group),
                ReferencedObject::Dataset(dataset) => ffi::path_of(dataset),
                ReferencedObject::Datatype(datatype) => ffi::path_of(datatype),
            };
            return Ok(Some((Value::Reference(path?), true)));
        }
    }
    let Some(memory_type) = described.memory_type(&datatype)? else {
        return Ok(Some((Value::Other(format!("{described:?}")), scalar)));
    };
    let value = match described {
        Type::VariableText => {
            Value::Texts(ffi::read_attribute_texts(&attribute, &memory_type, most)?)
        }
        described => {
            let bytes = ffi::read_attribute(&attribute, &memory_type, most)?;
            Value::Fixed(described, bytes)
        }
    };
    Ok(Some((value, scalar)))
}

impl LibHdf5Store {
    pub(super) fn read_attribute(
        &self,
        element: &str,
        name: &str,
    ) -> std::result::Result<Option<Attribute>, Error> {
        let fail = self.fail(element);
        let object = self.existing(element)?;
        let most = self.source.len();
        let found = object
            .with(|object| read(object, name, most))
            .map_err(fail)?;
        // A field has no attributes of its own.
        let Some((value, scalar)) = found.flatten() else {
            return Ok(None);
        };
        let text = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|error| {
                let expected = format!("attribute {name} in UTF-8");
                Error::invalid(&self.path, element, expected, error.to_string())
            })
        };
        let texts: std::result::Result<Vec<String>, Error> = match value {
            Value::Empty => return Ok(Some(Attribute::Texts(Vec::new()))),
            Value::Reference(path) => {
                let path = String::from_utf8_lossy(&path);
                return Ok(Some(match path.trim_start_matches('/') {
                    "" => Attribute::Other("a reference to nothing in the file".to_owned()),
                    path => Attribute::Reference(path.to_owned()),
                }));
            }
            Value::Texts(texts) => texts.iter().map(|bytes| text(bytes)).collect(),
            Value::Fixed(Type::FixedText { size, padding }, bytes) if size > 0 => bytes
                .chunks_exact(size)
                .map(|bytes| text(padding.strip(bytes)))
                .collect(),
            Value::Fixed(described, bytes) => return Ok(Some(numbers(&described, &bytes))),
            Value::Other(described) => return Ok(Some(Attribute::Other(described))),
        };
        let mut texts = texts?;
        Ok(Some(match texts.pop() {
            Some(text) if scalar => Attribute::Text(text),
            last => {
                texts.extend(last);
                Attribute::Texts(texts)
            }
        }))
    }
}

/// Returns the numbers of an attribute, if they are whole.
fn numbers(described: &Type, bytes: &[u8]) -> Attribute {
    match described {
        Type::Integer { size, signed } | Type::Enum { size, signed, .. } => {
            Attribute::Integers(integers(bytes, *size, *signed, false))
        }
        Type::Bits { size } => Attribute::Integers(integers(bytes, *size, false, false)),
        Type::Float(Some(layout)) => match FloatLayout::ieee(layout.dtype().size()) {
            Some(read) => {
                let values = bytes.chunks_exact(read.size).map(|bytes| read.read(bytes));
                let values = whole_numbers(&values.collect::<Vec<f64>>());
                values.map_or_else(Attribute::Other, Attribute::Integers)
            }
            None => Attribute::Other(format!("{described:?}")),
        },
        _ => Attribute::Other(format!("{described:?}")),
    }
}
