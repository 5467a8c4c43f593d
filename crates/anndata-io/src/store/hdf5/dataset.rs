//! Datasets: what their headers say of their elements, and arrays of them.

use std::collections::HashSet;

use hdf5_reader::messages;
use hdf5_reader::messages::dataspace::{DataspaceMessage, DataspaceType};
use hdf5_reader::messages::filter_pipeline::FilterPipelineMessage;
use hdf5_reader::messages::layout::DataLayout;

use super::chunk_table::chunk_extents;
use super::datatype::{Class, Datatype, Field};
use super::headers::Header;
use super::item::Item;
use super::{Hdf5Store, failure, filter_name, is_undefined};
use crate::array::chunks::Chunks;
use crate::array::convert::{BLOCK_BYTES, table_of};
use crate::array::decode::{Codec, CodecPipeline};
use crate::array::grid::Grid;
use crate::array::text::TextEncoding;
use crate::array::{Array, ArrayParts, Record};
use crate::error::{Error, LIBRARY_OR_REWRITE};
use crate::io::bytes::{ByteSource, Memory};
use crate::limits::MAX_RECORD_BYTES;

/// What a dataset's header says of its elements and where they are.
struct Described {
    datatype: Datatype,
    space: DataspaceMessage,
    layout: DataLayout,
    filters: Option<FilterPipelineMessage>,
    fill: Vec<u8>,
}

impl Hdf5Store {
    fn describe(&self, element: &str, header: &Header) -> Result<Described, Error> {
        use messages::*;
        let fail = |error| failure(&self.path, element, error);
        let (mut datatype, mut space, mut layout, mut filters) = (None, None, None, None);
        let mut fill = Vec::new();
        let mut kinds = HashSet::new();
        for message in &header.messages {
            let is_once = [
                MSG_DATASPACE,
                MSG_DATATYPE,
                MSG_DATA_LAYOUT,
                MSG_FILTER_PIPELINE,
            ];
            if is_once.contains(&message.kind) && !kinds.insert(message.kind) {
                let expected = "one shape, type, layout and list of filters";
                return Err(Error::invalid(
                    &self.path,
                    element,
                    expected,
                    "two of a kind",
                ));
            }
            match message.kind {
                MSG_DATATYPE => datatype = Some(self.datatype(header).map_err(fail)?),
                MSG_DATASPACE | MSG_DATA_LAYOUT | MSG_FILTER_PIPELINE | MSG_FILL_VALUE
                | MSG_FILL_VALUE_OLD => match self.parsed(message).map_err(fail)? {
                    HdfMessage::Dataspace(message) => space = Some(message),
                    HdfMessage::DataLayout(message) => layout = Some(message.layout),
                    HdfMessage::FilterPipeline(message) => filters = Some(message),
                    HdfMessage::FillValue(message) => {
                        let value = message.value.unwrap_or_default();
                        // Old files have it twice, in two forms.
                        if !fill.is_empty() && !value.is_empty() && fill != value {
                            let found = format!("{fill:02x?} and {value:02x?}");
                            let expected = "one fill value";
                            return Err(Error::invalid(&self.path, element, expected, found));
                        }
                        if !value.is_empty() {
                            fill = value;
                        }
                    }
                    _ => {}
                },
                MSG_EXTERNAL_FILES => {
                    let what = "data in external files";
                    let way_out = LIBRARY_OR_REWRITE;
                    return Err(Error::unsupported(&self.path, element, what, way_out));
                }
                _ => {}
            }
        }
        let without = |what: &str| {
            let found = format!("an object header without {what}");
            Error::invalid(&self.path, element, "a whole dataset", found)
        };
        Ok(Described {
            datatype: datatype.ok_or_else(|| without("a type"))?,
            space: space.ok_or_else(|| without("a shape"))?,
            layout: layout.ok_or_else(|| without("a data layout"))?,
            filters,
            fill,
        })
    }

    /// Opens an array: finds where all of its chunks lie.
    pub(super) fn open_array(&self, element: &str) -> Result<Array, Error> {
        let fail = |error| failure(&self.path, element, error);
        let (header, field) = self.located(element)?;
        let Described {
            datatype: of_dataset,
            space,
            layout,
            filters,
            mut fill,
        } = self.describe(element, &header)?;
        let datatype = field.as_ref().map_or(&of_dataset, |field| &field.datatype);
        // Fields may be arrays themselves.
        let (datatype, field_shape) = match &datatype.class {
            Class::Array { base, shape } if field.is_some() => (&**base, &shape[..]),
            _ => (datatype, &[][..]),
        };
        let item = self.item(element, datatype)?;
        let item_size = match item.conversion {
            Some(conversion) => conversion.stored_size(),
            None => item.item.size(),
        };
        let record = self.record(
            element,
            of_dataset.size,
            &space.dims,
            field.as_ref(),
            item_size,
            field_shape,
        )?;
        let size = record.map_or(item_size, |record| record.len);
        if item_size == 0 {
            return Err(Error::invalid(
                &self.path,
                element,
                "elements of some bytes",
                "a size of 0",
            ));
        }
        if fill.len() == size
            && let Some(record) = record
        {
            fill = fill[record.offset..][..item_size].to_vec();
        }
        if fill.len() != item_size {
            fill.clear();
        } else if item.big_endian {
            fill.reverse();
        }
        let shape = match space.dataspace_type {
            DataspaceType::Null => vec![0],
            _ => space.dims.clone(),
        };
        let grid = match &layout {
            DataLayout::Chunked { dims, .. } => {
                let extents = chunk_extents(dims, &shape).iter().map(|&n| n.into());
                Grid::new(shape.clone(), extents.collect())
            }
            // Of a table, blocks: a field is wanted without all others.
            _ if record.is_some() && shape.len() == 1 => {
                let rows = (BLOCK_BYTES / size as u64).max(1);
                Grid::new(shape.clone(), vec![rows])
            }
            _ => Grid::single(shape.clone()),
        };
        let grid = grid.ok_or_else(|| {
            Error::invalid(
                &self.path,
                element,
                "a shape that can be stored",
                format!("{shape:?}"),
            )
        })?;
        let bytes = grid.len().saturating_mul(size as u64);
        let superblock = self.file.superblock();
        let in_one_piece = |source, offset| match record {
            None => Chunks::Contiguous { source, offset },
            Some(record) => {
                let (n_records, rows) = (grid.shape[0], grid.chunk[0]);
                let entries = table_of(offset, n_records, rows, record.len as u64);
                Chunks::Table { source, entries }
            }
        };
        let chunks = match &layout {
            DataLayout::Compact { data } => {
                if (data.len() as u64) < bytes {
                    let expected = format!("{bytes} bytes for shape {shape:?}");
                    return Err(Error::invalid(
                        &self.path,
                        element,
                        expected,
                        data.len().to_string(),
                    ));
                }
                in_one_piece(ByteSource::Memory(Memory::new(data.clone())), 0)
            }
            DataLayout::Contiguous { address, .. }
                if is_undefined(*address, superblock.offset_size) =>
            {
                Chunks::Unallocated
            }
            DataLayout::Contiguous { address, .. } => {
                let offset = superblock.base_address.saturating_add(*address);
                let end = offset.checked_add(bytes);
                // The file's own head stands at its base.
                if *address == 0 || end.is_none_or(|end| end > self.source.len()) {
                    let expected = format!("{bytes} bytes for shape {shape:?}");
                    let found = format!("a file of {} bytes, data at {offset}", self.source.len());
                    return Err(Error::invalid(&self.path, element, expected, found));
                }
                in_one_piece(ByteSource::File(self.source.clone()), offset)
            }
            DataLayout::Chunked { .. } => {
                let entries = self.chunk_entries(&space, &layout, size).map_err(fail)?;
                self.table(element, &grid, size, entries)?
            }
        };
        let pipeline = match &filters {
            Some(filters) if matches!(layout, DataLayout::Chunked { .. }) => {
                self.pipeline(element, filters, size)?
            }
            _ => CodecPipeline::default(),
        };
        // A field that is an array has its axes after those of the table.
        let with_field = |of_table: Vec<u64>| [of_table, field_shape.to_vec()].concat();
        let grid = Grid::new(with_field(grid.shape), with_field(grid.chunk)).ok_or_else(|| {
            let found = format!("{shape:?} of {field_shape:?}");
            Error::invalid(&self.path, element, "a shape that can be stored", found)
        })?;
        let parts = ArrayParts {
            context: self.context.clone(),
            file: self.path.clone(),
            element: element.to_owned(),
            grid,
            item: item.item,
            big_endian: item.big_endian,
            pipeline,
            stored_axes: None,
            chunks,
            fill,
            record,
            conversion: None,
            missing: item.missing,
            id: 0,
        };
        Ok(Array::new(match item.conversion {
            Some(conversion) => parts.converted(conversion)?,
            None => parts,
        }))
    }

    /// What elements of a type are read as.
    pub(super) fn item(&self, element: &str, datatype: &Datatype) -> Result<Item, Error> {
        datatype
            .item(|| self.heap())
            .map_err(|(what, way_out)| Error::unsupported(&self.path, element, what, way_out))
    }

    /// Where a field lies in the records of its table.
    fn record(
        &self,
        element: &str,
        record_len: usize,
        shape: &[u64],
        field: Option<&Field>,
        size: usize,
        field_shape: &[u64],
    ) -> Result<Option<Record>, Error> {
        let Some(field) = field else {
            return Ok(None);
        };
        let (len, offset) = (record_len as u64, field.offset);
        let n_items = field_shape
            .iter()
            .try_fold(1u64, |n, &extent| n.checked_mul(extent));
        let end = n_items
            .and_then(|n| n.checked_mul(size as u64))
            .and_then(|n| n.checked_add(offset));
        let fits =
            end.is_some_and(|end| offset < end && end <= len && len <= MAX_RECORD_BYTES as u64);
        if shape.len() != 1 {
            let what = format!("a table of shape {shape:?}");
            return Err(Error::unsupported(
                &self.path,
                element,
                what,
                LIBRARY_OR_REWRITE,
            ));
        }
        if !fits {
            let expected = format!("a list of records of {len} bytes, the field within them");
            let found = format!("shape {shape:?}, the field at {offset}");
            return Err(Error::invalid(&self.path, element, expected, found));
        }
        let (len, offset) = (len as usize, offset as usize);
        Ok(Some(Record { len, offset }))
    }

    fn heap(&self) -> TextEncoding {
        let superblock = self.file.superblock();
        TextEncoding::Heap {
            source: ByteSource::File(self.source.clone()),
            base: superblock.base_address,
            offset_size: superblock.offset_size.into(),
            length_size: superblock.length_size.into(),
        }
    }

    fn pipeline(
        &self,
        element: &str,
        filters: &FilterPipelineMessage,
        item: usize,
    ) -> Result<CodecPipeline, Error> {
        let codec = |id: u16, name: &Option<String>, client: &[u32]| {
            Ok(match id {
                1 => Codec::Deflate,
                2 => Codec::Shuffle {
                    element_size: client.first().map_or(item, |&size| size as usize),
                },
                3 => Codec::Fletcher32,
                32000 => Codec::Lzf,
                32001 => Codec::Blosc,
                32004 => Codec::Lz4Hdf5,
                32015 => Codec::Zstd,
                _ => {
                    let known = filter_name(id).or(name.as_deref()).unwrap_or("unknown");
                    let what = format!("the HDF5 filter {known} ({id})");
                    let way_out = match id {
                        5 | 6 => LIBRARY_OR_REWRITE,
                        _ => "rewrite the file with gzip, lzf, zstd, lz4 or blosc",
                    };
                    return Err(Error::unsupported(&self.path, element, what, way_out));
                }
            })
        };
        let codecs: Result<Vec<_>, Error> = filters
            .filters
            .iter()
            .map(|filter| codec(filter.id, &filter.name, &filter.client_data))
            .collect();
        Ok(CodecPipeline::new(codecs?))
    }
}
