//! The elements of a dataset or of a field of a table, and their grid: takes parsed messages,
//! returns plain data.

use hdf5_reader::messages::dataspace::{DataspaceMessage, DataspaceType};
use hdf5_reader::messages::layout::DataLayout;

use super::chunk_table::chunk_extents;
use super::datatype::{Class, Datatype, Field};
use super::item::Item;
use crate::array::Record;
use crate::array::chunks::Chunks;
use crate::array::convert::{BLOCK_BYTES, table_of};
use crate::array::grid::Grid;
use crate::array::text::TextEncoding;
use crate::error::{ErrorKind, LIBRARY_OR_REWRITE};
use crate::io::bytes::ByteSource;
use crate::limits::MAX_RECORD_BYTES;

/// The elements of a dataset, or of one field if it is a table.
#[derive(Debug)]
pub(super) struct Elements {
    pub(super) item: Item,
    /// Bytes of one stored element.
    size: usize,
    /// The axes of a field that is an array itself.
    field_shape: Vec<u64>,
    /// The place of the field.
    pub(super) record: Option<Record>,
}

impl Elements {
    /// Describes the elements of a dataset of this type and shape; `heap` is the place of
    /// variable-length texts.
    pub(super) fn new(
        of_dataset: &Datatype,
        field: Option<&Field>,
        shape: &[u64],
        heap: impl FnOnce() -> TextEncoding,
    ) -> Result<Elements, ErrorKind> {
        let datatype = field.map_or(of_dataset, |field| &field.datatype);
        // A field may itself be an array.
        let (datatype, field_shape) = match &datatype.class {
            Class::Array { base, shape } if field.is_some() => (&**base, &shape[..]),
            _ => (datatype, &[][..]),
        };
        let item = datatype.item(heap);
        let item = item.map_err(|(what, way_out)| ErrorKind::unsupported(what, way_out))?;
        let size = match item.conversion {
            Some(conversion) => conversion.stored_size(),
            None => item.item.size(),
        };
        let record = match field {
            Some(field) => {
                let field = (field.offset, size, field_shape);
                Some(record(of_dataset.size as u64, shape, field)?)
            }
            None => None,
        };
        if size == 0 {
            return Err(ErrorKind::invalid(
                "elements of at least one byte",
                "a size of 0",
            ));
        }
        Ok(Elements {
            item,
            size,
            field_shape: field_shape.to_vec(),
            record,
        })
    }

    /// Bytes stored per element: for a field, those of its record.
    pub(super) fn stored_len(&self) -> usize {
        self.record.map_or(self.size, |record| record.len)
    }

    /// Returns the fill value of one element, native-endian, from that of the dataset; empty for
    /// zeros.
    pub(super) fn fill(&self, mut of_dataset: Vec<u8>) -> Vec<u8> {
        if of_dataset.len() == self.stored_len()
            && let Some(record) = self.record
        {
            of_dataset = of_dataset[record.offset..][..self.size].to_vec();
        }
        if of_dataset.len() != self.size {
            of_dataset.clear();
        } else if self.item.big_endian {
            of_dataset.reverse();
        }
        of_dataset
    }

    /// Returns the grid of the dataset, without the axes of a field.
    pub(super) fn grid(
        &self,
        space: &DataspaceMessage,
        layout: &DataLayout,
    ) -> Result<Grid, ErrorKind> {
        let shape = match space.dataspace_type {
            DataspaceType::Null => vec![0],
            _ => space.dims.clone(),
        };
        let grid = match layout {
            DataLayout::Chunked { dims, .. } => {
                let extents = chunk_extents(dims, &shape).iter().map(|&n| n.into());
                Grid::new(shape.clone(), extents.collect())
            }
            // A table is cut into blocks, so that a field is read without reading all rows.
            _ if self.record.is_some() && shape.len() == 1 => {
                let rows = (BLOCK_BYTES / self.stored_len() as u64).max(1);
                Grid::new(shape.clone(), vec![rows])
            }
            _ => Grid::single(shape.clone()),
        };
        grid.ok_or_else(|| ErrorKind::invalid("a shape that can be stored", format!("{shape:?}")))
    }

    /// Appends the axes of a field that is an array to the grid of the table.
    pub(super) fn with_field_axes(&self, grid: Grid) -> Result<Grid, ErrorKind> {
        let found = format!("{:?} of {:?}", grid.shape, self.field_shape);
        let with_field = |of_table: Vec<u64>| [of_table, self.field_shape.clone()].concat();
        Grid::new(with_field(grid.shape), with_field(grid.chunk))
            .ok_or_else(|| ErrorKind::invalid("a shape that can be stored", found))
    }
}

/// Returns the place of a field of this offset, element size and shape in the records of its table.
fn record(
    record_len: u64,
    table_shape: &[u64],
    (offset, size, field_shape): (u64, usize, &[u64]),
) -> Result<Record, ErrorKind> {
    let n_items = field_shape
        .iter()
        .try_fold(1u64, |n, &extent| n.checked_mul(extent));
    let end = n_items
        .and_then(|n| n.checked_mul(size as u64))
        .and_then(|n| n.checked_add(offset));
    if table_shape.len() != 1 {
        let what = format!("a table of shape {table_shape:?}");
        return Err(ErrorKind::unsupported(what, LIBRARY_OR_REWRITE));
    }
    let is_within = |end| offset < end && end <= record_len;
    if !end.is_some_and(is_within) || record_len > MAX_RECORD_BYTES as u64 {
        let expected = format!("a list of records of {record_len} bytes, the field within them");
        let found = format!("shape {table_shape:?}, the field at {offset}");
        return Err(ErrorKind::invalid(expected, found));
    }
    Ok(Record {
        len: record_len as usize,
        offset: offset as usize,
    })
}

/// Returns the chunks of a dataset in one piece; a table is cut into blocks of records.
pub(super) fn one_piece(
    source: ByteSource,
    offset: u64,
    grid: &Grid,
    record: Option<Record>,
) -> Chunks {
    match record {
        None => Chunks::Contiguous { source, offset },
        Some(record) => {
            let (n_records, rows) = (grid.shape[0], grid.chunk[0]);
            let entries = table_of(offset, n_records, rows, record.len as u64);
            Chunks::Table { source, entries }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::ItemType;
    use crate::dtype::DType;

    /// A signed integer of this many bytes.
    fn integer(size: u8, big_endian: bool) -> Datatype {
        let flags = 8 | u8::from(big_endian);
        let message = [0x10, flags, 0, 0, size, 0, 0, 0, 0, 0, size * 8, 0];
        Datatype::parse(&message).expect("a whole message")
    }

    /// A field of a table of records of 12 bytes.
    fn of_field(offset: u64, datatype: Datatype, shape: &[u64]) -> Result<Elements, ErrorKind> {
        let table = Datatype {
            size: 12,
            class: Class::Other("a table"),
        };
        let name = b"a".to_vec();
        let field = Field {
            name,
            offset,
            datatype,
        };
        Elements::new(&table, Some(&field), shape, || TextEncoding::Vlen)
    }

    fn space(dims: &[u64]) -> DataspaceMessage {
        DataspaceMessage {
            rank: dims.len() as u8,
            dims: dims.to_vec(),
            max_dims: None,
            dataspace_type: DataspaceType::Simple,
        }
    }

    const CONTIGUOUS: DataLayout = DataLayout::Contiguous {
        address: 0,
        size: 0,
    };

    #[test]
    fn elements_of_a_dataset_are_those_of_its_type() {
        let datatype = integer(4, true);
        let elements = Elements::new(&datatype, None, &[5, 3], || TextEncoding::Vlen);
        let elements = elements.expect("read");
        assert_eq!(elements.item.item, ItemType::Number(DType::I32));
        assert_eq!((elements.stored_len(), elements.record), (4, None));
        assert_eq!(
            elements.fill(vec![0, 0, 0, 7]),
            [7, 0, 0, 0],
            "native-endian"
        );
        assert!(elements.fill(vec![1, 2]).is_empty(), "of another length");
        let grid = elements.grid(&space(&[5, 3]), &CONTIGUOUS).expect("small");
        assert_eq!(grid.chunk, [5, 3], "one piece");
    }

    #[test]
    fn elements_of_a_field_lie_in_records() {
        let elements = of_field(4, integer(2, false), &[100_000]).expect("within the record");
        let record = Record { len: 12, offset: 4 };
        assert_eq!((elements.stored_len(), elements.record), (12, Some(record)));
        let of_record = (0..12).collect();
        assert_eq!(elements.fill(of_record), [4, 5]);
        let grid = elements
            .grid(&space(&[100_000]), &CONTIGUOUS)
            .expect("small");
        assert_eq!(grid.chunk, [BLOCK_BYTES / 12], "blocks of records");
        let source = ByteSource::Memory(crate::io::bytes::Memory::new(Vec::new()));
        let Chunks::Table { entries, .. } = one_piece(source, 8, &grid, elements.record) else {
            panic!("a table in blocks");
        };
        let bytes: u64 = entries.iter().map(|entry| u64::from(entry.len)).sum();
        assert_eq!((entries[0].offset, bytes), (8, 1_200_000));
    }

    #[test]
    fn elements_of_a_field_that_is_an_array_have_its_axes() {
        let base = Box::new(integer(2, false));
        let array = Datatype {
            size: 6,
            class: Class::Array {
                base,
                shape: vec![3],
            },
        };
        let elements = of_field(4, array, &[7]).expect("within the record");
        let grid = elements.grid(&space(&[7]), &CONTIGUOUS).expect("small");
        let grid = elements.with_field_axes(grid).expect("small");
        assert_eq!(grid.shape, [7, 3]);
        assert_eq!(grid.chunk[1], 3);
    }

    #[test]
    fn record_refuses_fields_outside_it() {
        assert!(record(12, &[7], (8, 4, &[])).is_ok());
        for (len, shape, field) in [
            (12, &[7][..], (9, 4, &[][..])),
            (12, &[7], (12, 4, &[])),
            (12, &[7], (0, 4, &[4])),
            (12, &[7], (0, 4, &[u64::MAX, 2])),
            (12, &[7], (u64::MAX, 4, &[])),
            (MAX_RECORD_BYTES as u64 + 1, &[7], (0, 4, &[])),
            (12, &[7, 2], (0, 4, &[])),
            (12, &[], (0, 4, &[])),
        ] {
            assert!(
                record(len, shape, field).is_err(),
                "{len} {shape:?} {field:?}"
            );
        }
    }
}
