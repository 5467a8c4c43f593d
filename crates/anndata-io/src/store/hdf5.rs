//! HDF5 files. The structure is read by code of ours over the parsers of the `hdf5-reader` crate; the
//! bytes of arrays are located here once and read by [`Array`](crate::Array).
//!
//! An [`Hdf5Store`] holds locks, so none outlives the opening of a file: what remains are chunk
//! tables.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hdf5_reader::chunk_index::{self, ChunkEntry};
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::messages;
use hdf5_reader::messages::dataspace::{DataspaceMessage, DataspaceType};
use hdf5_reader::messages::filter_pipeline::FilterPipelineMessage;
use hdf5_reader::messages::layout::{ChunkIndexing, DataLayout};
use hdf5_reader::{Hdf5File, OpenOptions, Storage};

use super::{Attribute, Backend, Node};
use crate::array::chunks::{Chunks, TableEntry};
use crate::array::convert::table_of;
use crate::array::decode::{Codec, Pipeline};
use crate::array::grid::Grid;
use crate::array::text::TextEncoding;
use crate::array::{Array, ArrayParts, Record};
use crate::context::{ByteSource, FileSource, IoContext, Memory};
use crate::error::{Error, ErrorKind, LIBRARY_OR_REWRITE, LINK_ELSEWHERE};

mod attributes;
pub(super) mod datatype;
mod end;
mod groups;
mod headers;
mod metered;

use datatype::{Class, Datatype, Field, Item};
use groups::Members;
use headers::{Header, Headers, ObjectKind};
use metered::Metered;

/// An open HDF5 file.
pub(crate) struct Hdf5Store {
    context: IoContext,
    path: PathBuf,
    source: FileSource,
    storage: Arc<Metered>,
    file: Hdf5File,
    headers: Mutex<Headers>,
    /// The members of groups, by address.
    members: Mutex<HashMap<u64, Arc<Members>>>,
}

impl std::fmt::Debug for Hdf5Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hdf5Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The number that the format gives to links into other files.
const EXTERNAL_LINK: u8 = 64;

/// The way out of such a link, whether or not the other file is there.
const LINK_WAY_OUT: &str = "put the other file where the link leads, then open this one with the \
     HDF5 C library (feature libhdf5, Hdf5Backend::PureThenLibHdf5), or rewrite it with a current \
     anndata (read it, then write it again)";

impl Hdf5Store {
    pub(crate) fn open(path: &Path, context: &IoContext) -> Result<Self, Error> {
        let source = FileSource::open(context, path).map_err(|error| Error::io(path, "", error))?;
        let storage = Arc::new(Metered::new(source.clone()));
        let file = Hdf5File::from_storage_with_options(storage.clone(), OpenOptions::default())
            .map_err(|error| failure(path, "", error))?;
        end::check(path, &source, file.superblock())?;
        let length_size = file.superblock().length_size;
        if length_size != 8 {
            // Variable-length attributes are found wrongly in them, and nobody writes them.
            let what = format!("an HDF5 file of {length_size}-byte lengths");
            return Err(Error::unsupported(path, "", what, LIBRARY_OR_REWRITE));
        }
        Ok(Hdf5Store {
            context: context.clone(),
            path: path.to_owned(),
            source,
            storage,
            file,
            headers: Mutex::default(),
            members: Mutex::default(),
        })
    }

    /// What structures are parsed from: the storage, and bytes of its offsets and lengths.
    fn structure(&self) -> (&dyn Storage, u8, u8) {
        let superblock = self.file.superblock();
        let (offset_size, length_size) = (superblock.offset_size, superblock.length_size);
        (self.file.storage(), offset_size, length_size)
    }

    fn missing(&self, element: &str) -> Error {
        let kind = ErrorKind::MissingElement { nearest: None };
        Error::new(&self.path, element, kind)
    }

    /// The dataset of an array; of a field of a table, that of the table, and the field.
    fn located(&self, element: &str) -> Result<(Arc<Header>, Option<Field>), Error> {
        let fail = |error| failure(&self.path, element, error);
        match self.address(element).map_err(fail)? {
            Some(address) => {
                let header = self.header(address).map_err(fail)?;
                match header.kind() {
                    ObjectKind::Dataset => Ok((header, None)),
                    _ => Err(self.missing(element)),
                }
            }
            None => {
                let (header, field) = self.field(element)?;
                Ok((header, Some(field)))
            }
        }
    }

    /// The table that an element is a field of, and the field.
    fn field(&self, element: &str) -> Result<(Arc<Header>, Field), Error> {
        let fail = |error| failure(&self.path, element, error);
        let absent = || self.missing(element);
        let (table, name) = element.rsplit_once('/').ok_or_else(absent)?;
        let table = self.address(table).map_err(fail)?.ok_or_else(absent)?;
        let header = self.header(table).map_err(fail)?;
        if header.kind() != ObjectKind::Dataset {
            return Err(absent());
        }
        let datatype = self.datatype(&header).map_err(fail)?;
        let mut fields = datatype.fields().unwrap_or_default().iter();
        let field = fields.find(|field| field.name == name.as_bytes()).cloned();
        Ok((header, field.ok_or_else(absent)?))
    }

    /// The type of a dataset.
    fn datatype(&self, header: &Header) -> Result<Datatype, Hdf5Error> {
        let mut found = header.messages.iter();
        let message = found.find(|message| message.kind == messages::MSG_DATATYPE);
        let message =
            message.ok_or_else(|| Hdf5Error::InvalidData("a dataset without a type".to_owned()))?;
        Datatype::parse(&self.contents(message)?)
    }

    /// What stands at a path, within the bounds of the call that asks.
    fn node_at(&self, element: &str) -> Result<Option<Node>, Error> {
        let fail = |error| failure(&self.path, element, error);
        let Some(address) = self.address(element).map_err(fail)? else {
            return match self.field(element) {
                Ok(_) => Ok(Some(Node::Array)),
                Err(error) if matches!(error.kind(), ErrorKind::MissingElement { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        };
        let header = self.header(address).map_err(fail)?;
        Ok(match header.kind() {
            ObjectKind::Group => Some(Node::Group),
            ObjectKind::Other => None,
            ObjectKind::Dataset => match self.datatype(&header) {
                Ok(datatype) if datatype.fields().is_some() => Some(Node::Table),
                // It is there, whatever is wrong with it.
                _ => Some(Node::Array),
            },
        })
    }

    /// The members of a group.
    fn group(&self, element: &str) -> Result<Option<Arc<Members>>, Error> {
        let fail = |error| failure(&self.path, element, error);
        match self.address(element).map_err(fail)? {
            Some(address) => self.members(address).map_err(fail),
            None => Ok(None),
        }
    }

    fn chunk_entries(
        &self,
        space: &DataspaceMessage,
        layout: &DataLayout,
        item: usize,
    ) -> Result<Vec<ChunkEntry>, Hdf5Error> {
        let DataLayout::Chunked {
            address,
            dims,
            chunk_indexing,
            ..
        } = layout
        else {
            return Ok(Vec::new());
        };
        self.storage.begin_index();
        let (storage, offset_size, length_size) = self.structure();
        let shape = &space.dims[..];
        let dims = chunk_extents(dims, shape);
        if is_undefined(*address, offset_size) || shape.contains(&0) {
            return Ok(Vec::new());
        }
        // Where an index is an array, chunks are numbered within the shape that there may be.
        let may_be = space
            .max_dims
            .as_deref()
            .filter(|dims| dims.len() == shape.len());
        let numbered = may_be
            .filter(|dims| !dims.contains(&u64::MAX))
            .unwrap_or(shape);
        let entries = match chunk_indexing {
            None => {
                let leaves = hdf5_reader::btree_v1::collect_btree_v1_leaves_storage(
                    storage,
                    *address,
                    offset_size,
                    length_size,
                    Some(shape.len() as u32),
                    dims,
                    None,
                )?;
                let entry = |(key, address)| match key {
                    hdf5_reader::btree_v1::BTreeV1Key::RawData {
                        chunk_size,
                        filter_mask,
                        offsets,
                    } => Some(ChunkEntry {
                        address,
                        size: chunk_size.into(),
                        filter_mask,
                        offsets,
                    }),
                    hdf5_reader::btree_v1::BTreeV1Key::Group { .. } => None,
                };
                Ok(leaves.into_iter().filter_map(entry).collect::<Vec<_>>())
            }
            Some(ChunkIndexing::SingleChunk {
                filtered_size,
                filters,
            }) => {
                let (size, mask) = (*filtered_size, *filters);
                Ok(vec![chunk_index::single_chunk_entry(
                    *address,
                    size,
                    mask,
                    shape.len(),
                )])
            }
            Some(ChunkIndexing::BTreeV2) => chunk_index::collect_v2_chunk_entries_storage(
                storage,
                *address,
                offset_size,
                length_size,
                shape.len() as u32,
                dims,
                None,
            ),
            Some(ChunkIndexing::Implicit) => {
                // Of the chunks that there may be once it has grown, those that are there now.
                let grid = Grid::new(shape.to_vec(), dims.iter().map(|&n| n.into()).collect());
                let counts = grid.map(|grid| grid.counts()).unwrap_or_default();
                let last: Vec<u64> = counts.iter().map(|n| n.saturating_sub(1)).collect();
                chunk_index::collect_implicit_chunk_entries(
                    *address,
                    numbered,
                    dims,
                    item,
                    (!shape.contains(&0)).then_some((&vec![0; last.len()], &last)),
                    storage.len(),
                )
            }
            Some(ChunkIndexing::FixedArray { .. }) => {
                hdf5_reader::fixed_array::collect_fixed_array_chunk_entries_storage(
                    storage,
                    *address,
                    offset_size,
                    length_size,
                    numbered,
                    dims,
                    None,
                )
            }
            Some(ChunkIndexing::ExtensibleArray { .. }) => {
                hdf5_reader::extensible_array::collect_extensible_array_chunk_entries_storage(
                    storage,
                    *address,
                    offset_size,
                    length_size,
                    shape,
                    space.max_dims.as_deref(),
                    dims,
                    None,
                )
            }
        }?;
        if let None | Some(ChunkIndexing::BTreeV2) = chunk_indexing
            && !entries.is_sorted_by(|a, b| a.offsets < b.offsets)
        {
            let what = "the tree of chunks is out of order".to_owned();
            return Err(Hdf5Error::InvalidData(what));
        }
        Ok(entries)
    }

    /// Where the chunks lie, absolutely, by their number in the grid.
    fn table(
        &self,
        element: &str,
        grid: &Grid,
        item: usize,
        entries: Vec<ChunkEntry>,
    ) -> Result<Chunks, Error> {
        let base = self.file.superblock().base_address;
        let whole = grid.chunk_len().saturating_mul(item as u64);
        let mut table = Vec::with_capacity(entries.len());
        for entry in entries {
            let coords: Option<Vec<u64>> = grid
                .chunk
                .iter()
                .zip(&entry.offsets)
                .map(|(extent, offset)| (offset % extent == 0).then_some(offset / extent))
                .collect();
            // A tree's offsets end with one within the element.
            let rest = entry.offsets.get(grid.chunk.len()..);
            let fits = rest.is_some_and(|rest| rest.iter().all(|&offset| offset == 0));
            let Some(coords) = coords.filter(|_| fits) else {
                let found = format!("a chunk at {:?}", entry.offsets);
                return Err(Error::invalid(
                    &self.path,
                    element,
                    "chunks on the grid",
                    found,
                ));
            };
            // A chunk outside the shape is left over from before the array was shrunk.
            let Some(chunk) = grid.number(&coords) else {
                continue;
            };
            let len = if entry.size == 0 { whole } else { entry.size };
            let offset = base.saturating_add(entry.address);
            let end = offset.checked_add(len);
            match (u32::try_from(len), end) {
                (Ok(len), Some(end)) if offset > base && end <= self.source.len() => {
                    table.push(TableEntry {
                        chunk,
                        offset,
                        len,
                        skip_mask: entry.filter_mask,
                    });
                }
                _ => {
                    let expected = format!(
                        "chunk {chunk} within the file of {} bytes",
                        self.source.len()
                    );
                    let found = format!("{len} bytes at {offset}");
                    return Err(Error::invalid(&self.path, element, expected, found));
                }
            }
        }
        table.sort_unstable();
        if let Some(twice) = table.windows(2).find(|two| two[0].chunk == two[1].chunk) {
            let found = format!("chunk {} twice", twice[0].chunk);
            return Err(Error::invalid(&self.path, element, "chunks once", found));
        }
        Ok(Chunks::Table {
            source: ByteSource::File(self.source.clone()),
            entries: table,
        })
    }

    /// What elements of a type are read as.
    fn item(&self, element: &str, datatype: &Datatype) -> Result<Item, Error> {
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
        let fits = end.is_some_and(|end| offset < end && end <= len && len <= BLOCK_BYTES);
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
    ) -> Result<Pipeline, Error> {
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
        Ok(Pipeline::new(codecs?))
    }
}

/// Bytes of a block of records where a table lies in one piece.
const BLOCK_BYTES: u64 = 1 << 20;

/// What a filter is called, by its number.
pub(super) fn filter_name(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "deflate",
        2 => "shuffle",
        3 => "fletcher32",
        4 => "szip",
        5 => "nbit",
        6 => "scaleoffset",
        307 => "bzip2",
        32000 => "lzf",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32015 => "zstd",
        32026 => "blosc2",
        _ => return None,
    })
}

/// A chunk's extents; newer layouts list the element's size after them.
fn chunk_extents<'a>(dims: &'a [u32], shape: &[u64]) -> &'a [u32] {
    if dims.len() == shape.len() + 1 {
        &dims[..shape.len()]
    } else {
        dims
    }
}

fn is_undefined(address: u64, offset_size: u8) -> bool {
    hdf5_reader::io::Cursor::is_undefined_offset(address, offset_size)
}

fn failure(path: &Path, element: &str, error: Hdf5Error) -> Error {
    let mut root = &error;
    while let Hdf5Error::Context { source, .. } = root {
        root = source;
    }
    let unsupported = |what: &str| Error::unsupported(path, element, what, LIBRARY_OR_REWRITE);
    match root {
        Hdf5Error::DatasetNotFound(_) | Hdf5Error::GroupNotFound(_) => {
            Error::new(path, element, ErrorKind::MissingElement { nearest: None })
        }
        Hdf5Error::UnsupportedLayoutClass(3) => unsupported("a virtual dataset"),
        Hdf5Error::UnsupportedLinkType(EXTERNAL_LINK) => {
            Error::unsupported(path, element, LINK_ELSEWHERE, LINK_WAY_OUT)
        }
        Hdf5Error::UnsupportedSuperblockVersion(_)
        | Hdf5Error::UnsupportedLayoutClass(_)
        | Hdf5Error::UnsupportedLayoutVersion(_)
        | Hdf5Error::UnsupportedDatatypeClass(_)
        | Hdf5Error::UnsupportedLinkType(_)
        | Hdf5Error::UnsupportedChunkIndexType(_)
        | Hdf5Error::UnsupportedEncoding(_) => unsupported(&root.to_string()),
        _ => Error::new(path, element, ErrorKind::Hdf5(Arc::new(error))),
    }
}

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
}

impl Backend for Hdf5Store {
    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        self.storage.begin();
        self.node_at(element)
    }

    fn has_writer(&self) -> bool {
        end::has_writer(self.file.superblock())
    }

    fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error> {
        self.storage.begin();
        let Some(members) = self.group(group)? else {
            return Ok(Vec::new());
        };
        let prefix = match group {
            "" => String::new(),
            group => format!("{group}/"),
        };
        let links = members.names.iter().filter_map(|name| {
            // A link that cannot be followed is not one to nothing.
            let path = members.linked_path(name)?;
            let is_nowhere = matches!(self.node_at(&format!("{prefix}{name}")), Ok(None));
            is_nowhere.then(|| (name.clone(), format!("a link to {path}, where nothing is")))
        });
        Ok(links.collect())
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.storage.begin();
        let Some(members) = self.group(group)? else {
            let (header, _) = self.located(group)?;
            let fail = |error| failure(&self.path, group, error);
            let table = self.datatype(&header).map_err(fail)?;
            let fields = table.fields().ok_or_else(|| self.missing(group))?.iter();
            let names = fields.filter_map(|field| String::from_utf8(field.name.clone()).ok());
            return Ok(names.collect());
        };
        let mut names = members.names.clone();
        // What is there and cannot be read is there. A name of nothing, or of a type, is not.
        let prefix = if group.is_empty() {
            String::new()
        } else {
            format!("{group}/")
        };
        names.retain(|name| !matches!(self.node_at(&format!("{prefix}{name}")), Ok(None)));
        Ok(names)
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        self.storage.begin();
        let Some(members) = self.group(group)? else {
            return Ok(Vec::new());
        };
        let members = members.unreadable.iter().map(|(name, found)| {
            let element = match group {
                "" => name.clone(),
                group => format!("{group}/{name}"),
            };
            Error::invalid(
                &self.path,
                element,
                "a member that can be asked for",
                *found,
            )
        });
        Ok(members.collect())
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        let attributes = self.attributes(element)?.stored.into_iter();
        Ok(attributes
            .filter_map(|attribute| String::from_utf8(attribute.name).ok())
            .collect())
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        self.attribute_of(element, name)
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        self.storage.begin();
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
            _ => Pipeline::default(),
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
}
