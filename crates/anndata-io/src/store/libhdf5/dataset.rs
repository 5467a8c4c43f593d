//! Datasets, and fields of tables, as arrays over the library's blocks.

use hdf5::{Dataset, Datatype};

use super::super::hdf5::item::{Truth, integer_type};
use super::LibHdf5Store;
use super::blocks::block_shape;
use super::call::{Held, Result};
use super::datatype::Type;
use super::ffi;
use super::object::Object;
use super::storage::Storage;
use crate::array::chunks::Chunks;
use crate::array::convert::Conversion;
use crate::array::grid::Grid;
use crate::array::text::TextEncoding;
use crate::array::{Array, ArrayParts, ItemType};
use crate::dtype::DType;
use crate::error::Error;

/// The elements of a dataset, or those of one of its fields.
struct Elements {
    described: Type,
    /// The shape of a field that is an array itself.
    shape: Vec<u64>,
    /// The type to read them as; `None` if there is no such type.
    memory_type: Option<Held<Datatype>>,
}

impl Elements {
    /// `field` is the number and the name of a field.
    fn of(dataset: &Dataset, field: Option<(usize, &str)>) -> Result<Elements> {
        let mut datatype = dataset.dtype()?;
        let mut shape = Vec::new();
        if let Some((field, _)) = field {
            datatype = ffi::field_type(&datatype, field)?;
        }
        let mut described = Type::of(&datatype)?;
        if let (Type::Array(extents), Some(_)) = (&described, field) {
            shape = extents.clone();
            datatype = ffi::base_type(&datatype)?;
            described = Type::of(&datatype)?;
        }
        let mut memory_type = described.memory_type(&datatype)?;
        if let (Some(item), Some((_, name))) = (&memory_type, field) {
            memory_type = Some(ffi::record_of(name, item, &shape)?);
        }
        Ok(Elements {
            described,
            shape,
            memory_type: memory_type.map(Held::new),
        })
    }
}

impl LibHdf5Store {
    pub(super) fn read_array(&self, element: &str) -> std::result::Result<Array, Error> {
        let fail = self.fail(element);
        let (dataset, field, path) = match self.existing(element)? {
            Object::Dataset(dataset) => (dataset, None, element),
            Object::Field(table, field) => {
                let (path, name) = element.rsplit_once('/').unwrap_or_default();
                (table, Some((field, name)), path)
            }
            Object::Group(_) | Object::Type(_) => return Err(self.missing(element)),
        };
        let elements = dataset.with(|dataset| Elements::of(dataset, field));
        let Elements {
            described,
            shape: field_shape,
            memory_type,
        } = elements.map_err(fail)?;
        let item = self.item_type(element, &described)?;
        let truth = described.truth();
        let conversion = match (&truth, &described) {
            (Some(Truth { missing: None }), Type::Enum { size, .. }) if *size > 1 => {
                Some(Conversion::Truth(*size))
            }
            _ => None,
        };
        let Some(memory_type) = memory_type else {
            return Err(self.unsupported(element, format!("the HDF5 type {described:?}")));
        };
        let stored = dataset.with(|dataset| {
            let creation = dataset.create_plist()?;
            let extents = dataset.space()?.extents()?;
            let fill = match &item {
                ItemType::Text(TextEncoding::Library) => None,
                item => memory_type.with(|of| Ok(ffi::fill(&creation, of, item.size())))?,
            };
            let shape = match extents.is_null() {
                true => vec![0],
                false => extents.dims().into_iter().map(|dim| dim as u64).collect(),
            };
            Ok((shape, Storage::of(&creation)?, fill))
        });
        let (mut shape, storage, fill): (Vec<u64>, Storage, _) = stored.map_err(fail)?;
        let rank = shape.len();
        let chunk = storage.chunk.clone();
        let mut chunk = chunk.unwrap_or_else(|| block_shape(&shape, item.size().max(16) as u64));
        shape.extend(&field_shape);
        chunk.extend(&field_shape);
        let grid = Grid::new(shape.clone(), chunk).ok_or_else(|| {
            let expected = "a shape that can be stored";
            Error::invalid(&self.path, element, expected, format!("{shape:?}"))
        })?;
        let chunks = if grid.len() == 0 {
            Chunks::Unallocated
        } else {
            let block = grid.chunk_len().saturating_mul(item.size() as u64);
            let blocks = self.blocks((element, path), rank, storage, memory_type, block)?;
            Chunks::Library(Box::new(blocks))
        };
        let (context, path) = (self.context.clone(), self.path.clone());
        let parts = ArrayParts {
            missing: truth.and_then(|truth| truth.missing),
            fill: fill.unwrap_or_default(),
            ..ArrayParts::plain(context, path, element.to_owned(), grid, item, chunks)
        };
        Ok(Array::new(match conversion {
            Some(conversion) => parts.converted(conversion)?,
            None => parts,
        }))
    }

    /// Returns the type as which elements are read.
    fn item_type(&self, element: &str, described: &Type) -> std::result::Result<ItemType, Error> {
        let integer = |size: usize, signed| {
            let dtype = integer_type(size, signed).map(ItemType::Number);
            dtype.ok_or_else(|| self.unsupported(element, format!("an integer of {size} bytes")))
        };
        match described {
            Type::Integer { size, signed } => integer(*size, *signed),
            Type::Bits { size } => integer(*size, false),
            Type::Float(Some(layout)) => Ok(ItemType::Number(layout.dtype())),
            Type::Float(None) => Err(self.unsupported(element, "floats of an uncommon layout")),
            Type::Enum { size: 1, .. } if described.truth() == Some(Truth { missing: None }) => {
                Ok(ItemType::Number(DType::Bool))
            }
            Type::Enum { size, signed, .. } => integer(*size, *signed),
            Type::FixedText { size: 0, .. } => {
                let expected = "elements of at least one byte";
                Err(Error::invalid(&self.path, element, expected, "a size of 0"))
            }
            Type::FixedText { size, padding } => Ok(ItemType::Text(TextEncoding::Fixed {
                size: *size,
                padding: *padding,
            })),
            Type::VariableText => Ok(ItemType::Text(TextEncoding::Library)),
            Type::Record(_) => Err(self.unsupported(element, "records as elements of a matrix")),
            Type::Array(_) => Err(self.unsupported(element, "an array in each element")),
            Type::Other(what) => Err(self.unsupported(element, *what)),
        }
    }
}
