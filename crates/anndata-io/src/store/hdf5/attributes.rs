//! Attributes of HDF5 objects. Each is read by itself, so that a damaged one hides no other. Texts
//! are read like those of any array.

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::{self, DataspaceMessage, DataspaceType};
use hdf5_reader::messages::{
    HdfMessage, MSG_ATTRIBUTE, MSG_ATTRIBUTE_INFO, MSG_DATASPACE, MSG_DATATYPE,
};
use hdf5_reader::reference::resolve_object_reference;

use super::Hdf5Store;
use super::datatype::{Class, Datatype};
use super::errors::failure;
use crate::array::chunks::Chunks;
use crate::array::grid::Grid;
use crate::array::{Array, ArrayParts, ItemType};
use crate::error::Error;
use crate::io::bytes::{ByteSource, Memory};
use crate::store::Attribute;

/// An attribute message, parsed up to its name.
pub(super) struct StoredAttribute {
    pub(super) name: Vec<u8>,
    message: Vec<u8>,
}

/// The attributes of an object.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) stored: Vec<StoredAttribute>,
    /// The reason why other names are not known: any name may be among them.
    nameless: Option<Hdf5Error>,
}

/// An attribute and its value, as bytes.
struct Value {
    datatype: Datatype,
    space: DataspaceMessage,
    bytes: Vec<u8>,
}

/// The part of an attribute message before the name.
struct Head {
    version: u8,
    flags: u8,
    name_len: usize,
    datatype_len: usize,
    space_len: usize,
}

impl Head {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Head, Hdf5Error> {
        let (version, flags) = (cursor.read_u8()?, cursor.read_u8()?);
        let mut len = || cursor.read_u16_le().map(usize::from);
        let head = Head {
            version,
            // The first version has no flags.
            flags: if version == 1 { 0 } else { flags },
            name_len: len()?,
            datatype_len: len()?,
            space_len: len()?,
        };
        match version {
            1 | 2 => Ok(head),
            3 => cursor.skip(1).map(|()| head), // the character encoding of the name
            version => Err(Hdf5Error::UnsupportedAttributeVersion(version)),
        }
    }

    /// Returns a part of the message; the first version pads parts.
    fn part<'a>(&self, cursor: &mut Cursor<'a>, len: usize) -> Result<&'a [u8], Hdf5Error> {
        let part = cursor.read_bytes(len)?;
        if self.version == 1 {
            cursor.skip(len.next_multiple_of(8) - len)?;
        }
        Ok(part)
    }
}

impl StoredAttribute {
    fn parse(message: Vec<u8>) -> Result<StoredAttribute, Hdf5Error> {
        let mut cursor = Cursor::new(&message);
        let head = Head::parse(&mut cursor)?;
        // A name that does not end where it should is damaged: its attribute would seem absent
        // under its right name.
        let name = match head.part(&mut cursor, head.name_len)? {
            [name @ .., 0] if !name.contains(&0) => name.to_vec(),
            name => {
                let name = name.escape_ascii();
                let what = format!(
                    "an attribute's name \"{name}\", which does not end with its one zero byte"
                );
                return Err(Hdf5Error::InvalidData(what));
            }
        };
        Ok(StoredAttribute { name, message })
    }
}

impl Hdf5Store {
    /// Returns the attributes of a group or dataset; a field of a table has no attributes.
    pub(super) fn attributes(&self, element: &str) -> Result<Attributes, Error> {
        self.storage.begin();
        let fail = |error| failure(&self.path, element, error);
        let Some(address) = self.address(element).map_err(fail)? else {
            return self.field(element).map(|_| Attributes::default());
        };
        self.attributes_at(address).map_err(fail)
    }

    fn attributes_at(&self, address: u64) -> Result<Attributes, Hdf5Error> {
        let header = self.header(address)?;
        let mut found = Vec::new();
        for message in &header.messages {
            match message.kind {
                MSG_ATTRIBUTE => {
                    let contents = self.contents(message);
                    found.push(
                        contents.and_then(|bytes| StoredAttribute::parse(bytes.into_owned())),
                    );
                }
                // Attributes outside of the object's header: more than eight, or long ones.
                MSG_ATTRIBUTE_INFO => {
                    if let HdfMessage::AttributeInfo(info) = self.parsed(message)? {
                        let heap = info.fractal_heap_address;
                        let tree = info.btree_name_index_address;
                        self.objects_of_heap(heap, tree, |is_shared, bytes| {
                            let message = match is_shared {
                                true => self.shared_object(MSG_ATTRIBUTE, bytes),
                                false => Ok(bytes.to_vec()),
                            };
                            found.push(message.and_then(StoredAttribute::parse));
                        })?;
                    }
                }
                _ => {}
            }
        }
        let mut attributes = Attributes::default();
        for stored in found {
            match stored {
                Ok(stored) => attributes.stored.push(stored),
                Err(error) => attributes.nameless = Some(error),
            }
        }
        Ok(attributes)
    }

    /// Returns an attribute of an element; `None` if there is no such attribute.
    pub(super) fn attribute_of(
        &self,
        element: &str,
        name: &str,
    ) -> Result<Option<Attribute>, Error> {
        let attributes = self.attributes(element)?;
        let mut stored = attributes.stored.iter();
        match stored.find(|stored| stored.name == name.as_bytes()) {
            Some(stored) => {
                let value = self.value(stored);
                let value = value.map_err(|error| failure(&self.path, element, error))?;
                self.attribute_value(element, name, value).map(Some)
            }
            None => match attributes.nameless {
                Some(error) => Err(failure(&self.path, element, error)),
                None => Ok(None),
            },
        }
    }

    fn value(&self, stored: &StoredAttribute) -> Result<Value, Hdf5Error> {
        let (_, offset_size, length_size) = self.structure();
        let mut cursor = Cursor::new(&stored.message);
        let head = Head::parse(&mut cursor)?;
        head.part(&mut cursor, head.name_len)?;
        // Each of them may be stored elsewhere.
        let part = |cursor: &mut Cursor<'_>, len, flag, kind| {
            let bytes = head.part(cursor, len)?;
            match head.flags & flag != 0 {
                true => self.shared(kind, bytes),
                false => Ok(bytes.to_vec()),
            }
        };
        let datatype = part(&mut cursor, head.datatype_len, 1, MSG_DATATYPE)?;
        let space = part(&mut cursor, head.space_len, 2, MSG_DATASPACE)?;
        let datatype = Datatype::parse(&datatype)?;
        let (mut of_space, len) = (Cursor::new(&space), space.len());
        let space = dataspace::parse(&mut of_space, offset_size, length_size, len)?;
        let n = space.num_elements()?;
        let len = n.checked_mul(datatype.size as u64);
        let len = len.filter(|&len| len <= cursor.remaining());
        let len = len.ok_or_else(|| {
            let what = format!("an attribute of {n} elements of {} bytes", datatype.size);
            Hdf5Error::InvalidData(format!("{what} in {} bytes", cursor.remaining()))
        })?;
        Ok(Value {
            datatype,
            space,
            bytes: cursor.read_bytes(len as usize)?.to_vec(),
        })
    }

    fn attribute_value(&self, element: &str, name: &str, value: Value) -> Result<Attribute, Error> {
        let space = &value.space;
        let n = match space.dataspace_type {
            DataspaceType::Null => 0,
            DataspaceType::Scalar => 1,
            DataspaceType::Simple => space.dims.iter().fold(1, |n: u64, &d| n.saturating_mul(d)),
        };
        if n == 0 {
            // An empty list is stored as a list of numbers.
            return Ok(Attribute::Texts(Vec::new()));
        }
        let is_scalar = space.dataspace_type == DataspaceType::Scalar;
        match &value.datatype.class {
            Class::FixedText(_) | Class::VariableText => {
                let mut texts = self.texts(element, name, n, value)?;
                Ok(match texts.pop() {
                    Some(text) if is_scalar => Attribute::Text(text),
                    last => Attribute::Texts(texts.into_iter().chain(last).collect()),
                })
            }
            Class::Reference if is_scalar => {
                let offset_size = self.file.superblock().offset_size;
                let address = resolve_object_reference(&value.bytes, offset_size);
                let group = element.rsplit_once('/').map_or("", |(group, _)| group);
                let likely = format!("{group}/__categories");
                let path = address.and_then(|address| self.path_of(address, &likely));
                Ok(
                    match path.map_err(|error| failure(&self.path, element, error))? {
                        Some(path) => Attribute::Reference(path),
                        None => Attribute::Other("a reference to nothing in the file".to_owned()),
                    },
                )
            }
            _ => {
                let numbers = value.datatype.integers(&value.bytes);
                Ok(numbers.map_or_else(Attribute::Other, Attribute::Integers))
            }
        }
    }

    /// Returns the `n` texts of an attribute.
    fn texts(&self, element: &str, name: &str, n: u64, value: Value) -> Result<Vec<String>, Error> {
        let element = format!("{element} attribute {name}");
        let item = self.item(&element, &value.datatype)?.item;
        let (size, found) = (item.size() as u64, value.bytes.len());
        let grid = Grid::single(vec![n]).filter(|_| n.checked_mul(size) <= Some(found as u64));
        let (Some(grid), ItemType::Text(_), 1..) = (grid, &item, size) else {
            let expected = format!("{n} texts of {size} bytes");
            let found = format!("{found} bytes");
            return Err(Error::invalid(&self.path, &element, expected, found));
        };
        let chunks = Chunks::Contiguous {
            source: ByteSource::Memory(Memory::new(value.bytes)),
            offset: 0,
        };
        let (context, path) = (self.context.clone(), self.path.clone());
        let array = Array::new(ArrayParts::plain(
            context, path, element, grid, item, chunks,
        ));
        Ok(array.read_strings()?.iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a message of the second version with only a name.
    fn parse(name: &[u8]) -> Result<Vec<u8>, Hdf5Error> {
        let mut message = vec![2, 0, name.len() as u8, 0, 0, 0, 0, 0];
        message.extend(name);
        StoredAttribute::parse(message).map(|stored| stored.name)
    }

    #[test]
    fn attribute_name_ends_at_its_only_zero_byte() {
        assert_eq!(parse(b"kind\0").expect("a name"), b"kind");
        assert_eq!(parse(b"\0").expect("an empty name"), b"");
        for damaged in [&b"kindH"[..], b"ki\0d\0", b"kind\0\0", b""] {
            let error = parse(damaged).expect_err("damaged").to_string();
            assert!(error.contains("attribute's name"), "{error}");
        }
    }
}
