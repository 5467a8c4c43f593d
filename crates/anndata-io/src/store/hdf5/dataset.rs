//! Datasets: their headers, and arrays of them.
//!
//! An array is opened in stages; each takes the result of the one before it:
//!
//! ```text
//! header ─▶ Described ─▶ Elements ─▶ grid, fill value ─▶ chunks ─▶ codecs ─▶ Array
//!  describe              elements.rs                      here      filters.rs
//! ```

use std::collections::HashSet;

use hdf5_reader::messages;
use hdf5_reader::messages::dataspace::DataspaceMessage;
use hdf5_reader::messages::filter_pipeline::FilterPipelineMessage;
use hdf5_reader::messages::layout::DataLayout;

use super::Hdf5Store;
use super::datatype::Datatype;
use super::elements::{Elements, one_piece};
use super::errors::{failure, is_undefined};
use super::filters;
use super::headers::Header;
use super::item::Item;
use crate::array::chunks::Chunks;
use crate::array::decode::CodecPipeline;
use crate::array::grid::Grid;
use crate::array::text::TextEncoding;
use crate::array::{Array, ArrayParts};
use crate::error::{Error, LIBRARY_OR_REWRITE};
use crate::io::bytes::{ByteSource, Memory};

/// The header of a dataset: its elements and their place.
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
                        // Old files contain the value twice, in two forms.
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

    /// Opens an array: locates all of its chunks.
    pub(super) fn open_array(&self, element: &str) -> Result<Array, Error> {
        let fail = |kind| Error::new(&self.path, element, kind);
        let (header, field) = self.located(element)?;
        let described = self.describe(element, &header)?;
        let Described { space, layout, .. } = &described;
        let elements = Elements::new(&described.datatype, field.as_ref(), &space.dims, || {
            self.heap()
        });
        let elements = elements.map_err(fail)?;
        let fill = elements.fill(described.fill.clone());
        let grid = elements.grid(space, layout).map_err(fail)?;
        let chunks = self.chunks(element, &described, &elements, &grid)?;
        let pipeline = match &described.filters {
            Some(filters) if matches!(layout, DataLayout::Chunked { .. }) => {
                filters::pipeline(filters, elements.stored_len()).map_err(fail)?
            }
            _ => CodecPipeline::default(),
        };
        let grid = elements.with_field_axes(grid).map_err(fail)?;
        let Elements { item, record, .. } = elements;
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

    /// Locates the chunks of a dataset.
    fn chunks(
        &self,
        element: &str,
        described: &Described,
        elements: &Elements,
        grid: &Grid,
    ) -> Result<Chunks, Error> {
        let invalid = |expected: String, found: String| {
            Err(Error::invalid(&self.path, element, expected, found))
        };
        let superblock = self.file.superblock();
        let size = elements.stored_len();
        let bytes = grid.len().saturating_mul(size as u64);
        let expected = || format!("{bytes} bytes for shape {:?}", grid.shape);
        Ok(match &described.layout {
            DataLayout::Compact { data } => {
                if (data.len() as u64) < bytes {
                    return invalid(expected(), data.len().to_string());
                }
                let source = ByteSource::Memory(Memory::new(data.clone()));
                one_piece(source, 0, grid, elements.record)
            }
            DataLayout::Contiguous { address, .. }
                if is_undefined(*address, superblock.offset_size) =>
            {
                Chunks::Unallocated
            }
            DataLayout::Contiguous { address, .. } => {
                let offset = superblock.base_address.saturating_add(*address);
                let end = offset.checked_add(bytes);
                // The file's own header stands at its base.
                if *address == 0 || end.is_none_or(|end| end > self.source.len()) {
                    let len = self.source.len();
                    let found = format!("a file of {len} bytes, data at {offset}");
                    return invalid(expected(), found);
                }
                let source = self.source.clone();
                one_piece(source, offset, grid, elements.record)
            }
            DataLayout::Chunked { .. } => {
                let entries = self.chunk_entries(&described.space, &described.layout, size);
                let entries = entries.map_err(|error| failure(&self.path, element, error))?;
                self.table(element, grid, size, entries)?
            }
        })
    }

    /// Returns the type as which elements of a datatype are read.
    pub(super) fn item(&self, element: &str, datatype: &Datatype) -> Result<Item, Error> {
        let item = datatype.item(|| self.heap());
        item.map_err(|(what, way_out)| Error::unsupported(&self.path, element, what, way_out))
    }

    /// The place of variable-length texts.
    fn heap(&self) -> TextEncoding {
        let superblock = self.file.superblock();
        TextEncoding::Heap {
            source: self.source.clone(),
            base: superblock.base_address,
            offset_size: superblock.offset_size.into(),
            length_size: superblock.length_size.into(),
        }
    }
}
