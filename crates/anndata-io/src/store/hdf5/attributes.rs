//! Attributes of HDF5 objects. `hdf5-reader` parses the messages that hold them; their values are
//! read here, texts as those of any array: it would copy a text for every reference to it, and
//! take the references for text where it cannot follow them.

use hdf5_reader::Datatype;
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::attribute::{self, AttributeMessage};
use hdf5_reader::messages::attribute_info::AttributeInfoMessage;
use hdf5_reader::messages::dataspace::DataspaceType;
use hdf5_reader::messages::datatype::ReferenceType;
use hdf5_reader::reference::resolve_object_reference;

use super::{Hdf5Store, failure, integers, is_undefined};
use crate::array::chunks::Chunks;
use crate::array::decode::Pipeline;
use crate::array::grid::Grid;
use crate::array::{Array, ArrayParts, ItemType};
use crate::context::{ByteSource, Memory};
use crate::error::Error;
use crate::store::{Attribute, Backend, Node};

impl Hdf5Store {
    /// The attributes of a group or dataset; a field of a table has none of its own.
    pub(super) fn attributes(&self, element: &str) -> Result<Vec<AttributeMessage>, Error> {
        let fail = |error| failure(&self.path, element, error);
        let address = match self.node(element)? {
            Some(Node::Group) => self.group(element).map_err(fail)?.address(),
            _ => match self.located(element)? {
                (dataset, None) => dataset.address(),
                (_, Some(_)) => return Ok(Vec::new()),
            },
        };
        let header = self.file.get_or_parse_header(address).map_err(fail)?;
        let mut attributes = Vec::new();
        for message in &header.messages {
            match message {
                HdfMessage::Attribute(attribute) => attributes.push(attribute.clone()),
                HdfMessage::AttributeInfo(info) => {
                    attributes.extend(self.attributes_of_heap(info).map_err(fail)?);
                }
                _ => {}
            }
        }
        Ok(attributes)
    }

    /// Attributes that do not stand in the object's header: more than eight, or long ones.
    fn attributes_of_heap(
        &self,
        info: &AttributeInfoMessage,
    ) -> Result<Vec<AttributeMessage>, Hdf5Error> {
        let (_, offset_size, length_size) = self.structure();
        // In the order of their creation, where that is known.
        let by_creation = info.btree_creation_order_address;
        let by_creation = by_creation.filter(|&tree| !is_undefined(tree, offset_size));
        let tree = by_creation.unwrap_or(info.btree_name_index_address);
        let mut attributes = Vec::new();
        self.objects_of_heap(info.fractal_heap_address, tree, |bytes| {
            let (mut cursor, len) = (Cursor::new(bytes), bytes.len());
            attributes.push(attribute::parse(
                &mut cursor,
                offset_size,
                length_size,
                len,
            )?);
            Ok(())
        })?;
        Ok(attributes)
    }

    /// What an attribute of an element holds.
    pub(super) fn attribute_value(
        &self,
        element: &str,
        attribute: &AttributeMessage,
    ) -> Result<Attribute, Error> {
        let space = &attribute.dataspace;
        let n = match space.dataspace_type {
            DataspaceType::Null => 0,
            DataspaceType::Scalar => 1,
            DataspaceType::Simple => space.dims.iter().fold(1, |n: u64, &d| n.saturating_mul(d)),
        };
        if n == 0 {
            // An empty list is stored as one of numbers.
            return Ok(Attribute::Texts(Vec::new()));
        }
        let is_scalar = space.dataspace_type == DataspaceType::Scalar;
        let bytes = &attribute.raw_data;
        Ok(match &attribute.datatype {
            Datatype::String { .. }
            | Datatype::VarLen {
                kind: hdf5_reader::VarLenKind::String,
                ..
            } => {
                let mut texts = self.texts(element, attribute, n)?;
                match texts.pop() {
                    Some(text) if is_scalar => Attribute::Text(text),
                    last => Attribute::Texts(texts.into_iter().chain(last).collect()),
                }
            }
            Datatype::FixedPoint {
                size,
                signed,
                byte_order,
            } => Attribute::Integers(integers(bytes, *size, *signed, *byte_order)),
            Datatype::Reference {
                ref_type: ReferenceType::Object,
                ..
            } if is_scalar => {
                let address = resolve_object_reference(bytes, self.file.superblock().offset_size);
                let group = element.rsplit_once('/').map_or("", |(group, _)| group);
                let likely = format!("{group}/__categories");
                let path = address.and_then(|address| self.path_of(address, &likely));
                match path.map_err(|error| failure(&self.path, element, error))? {
                    Some(path) => Attribute::Reference(path),
                    None => Attribute::Other("a reference to nothing in the file".to_owned()),
                }
            }
            Datatype::Enum { base, .. } => match &**base {
                Datatype::FixedPoint {
                    size,
                    signed,
                    byte_order,
                } => Attribute::Integers(integers(bytes, *size, *signed, *byte_order)),
                other => Attribute::Other(format!("{other:?}")),
            },
            other => Attribute::Other(format!("{other:?}")),
        })
    }

    /// The `n` texts of an attribute.
    fn texts(
        &self,
        element: &str,
        attribute: &AttributeMessage,
        n: u64,
    ) -> Result<Vec<String>, Error> {
        let element = format!("{element} attribute {}", attribute.name);
        let (item, _) = self.item_type(&element, &attribute.datatype)?;
        let (size, found) = (item.size() as u64, attribute.raw_data.len());
        let grid = Grid::single(vec![n]).filter(|_| n.checked_mul(size) <= Some(found as u64));
        let (Some(grid), ItemType::Text(_), 1..) = (grid, &item, size) else {
            let expected = format!("{n} texts of {size} bytes");
            let found = format!("{found} bytes");
            return Err(Error::invalid(&self.path, &element, expected, found));
        };
        let array = Array::new(ArrayParts {
            context: self.context.clone(),
            file: self.path.clone(),
            element,
            grid,
            item,
            big_endian: false,
            pipeline: Pipeline::default(),
            stored_axes: None,
            chunks: Chunks::Contiguous {
                source: ByteSource::Memory(Memory::new(attribute.raw_data.clone())),
                offset: 0,
            },
            fill: Vec::new(),
            record: None,
            id: 0,
        });
        Ok(array.read_strings()?.iter().map(str::to_owned).collect())
    }
}
