//! HDF5 files. The `hdf5-reader` crate reads the structure; the bytes of arrays are located here
//! once and read by [`Array`](crate::Array).
//!
//! An [`Hdf5File`] holds locks, so none outlives the opening of a file: what remains are chunk
//! tables.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hdf5_reader::chunk_index::{self, ChunkEntry};
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::dataspace::DataspaceType;
use hdf5_reader::messages::datatype::CompoundField;
use hdf5_reader::messages::filter_pipeline::FilterPipelineMessage;
use hdf5_reader::messages::layout::{ChunkIndexing, DataLayout};
use hdf5_reader::{
    ByteOrder, Dataset, Datatype, ExternalLinkResolver, Hdf5File, OpenOptions, Storage,
    StringPadding, StringSize,
};

use super::{Attribute, Backend, Node};
use crate::array::chunks::{Chunks, TableEntry};
use crate::array::decode::{Codec, Pipeline};
use crate::array::grid::Grid;
use crate::array::text::{Padding, TextEncoding};
use crate::array::{Array, ArrayParts, ItemType, Record};
use crate::context::{ByteSource, FileSource, IoContext, Memory};
use crate::dtype::DType;
use crate::error::{AS_NUMBERS, Error, ErrorKind, IF_READABLE, LIBRARY_OR_REWRITE, LINK_ELSEWHERE};

mod attributes;
mod end;
mod groups;
mod metered;
mod numbers;

use groups::Members;
use metered::Metered;
use numbers::unusual_number;

/// An open HDF5 file.
pub(crate) struct Hdf5Store {
    context: IoContext,
    path: PathBuf,
    source: FileSource,
    storage: Arc<Metered>,
    file: Hdf5File,
    /// The members of groups, by path.
    members: Mutex<HashMap<String, Arc<Members>>>,
}

impl std::fmt::Debug for Hdf5Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hdf5Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Refuses links into other files, which would else be taken for absent.
struct NoOtherFiles;

impl ExternalLinkResolver for NoOtherFiles {
    fn resolve_external_link(&self, _: &str) -> Result<Option<Hdf5File>, Hdf5Error> {
        Err(Hdf5Error::UnsupportedLinkType(EXTERNAL_LINK))
    }
}

/// The number that the format gives to links into other files.
const EXTERNAL_LINK: u8 = 64;

/// The way out of such a link, whether or not the other file is there.
const LINK_WAY_OUT: &str = "put the other file where the link leads, then open this one with the \
     HDF5 C library (feature libhdf5, Hdf5Backend::PureThenLibHdf5), or rewrite it with a current \
     anndata (read it, then write it again)";

/// Links to paths that are followed one after the other: as many as the C library does.
const MOST_LINKS: usize = 16;

impl Hdf5Store {
    pub(crate) fn open(path: &Path, context: &IoContext) -> Result<Self, Error> {
        let source = FileSource::open(context, path).map_err(|error| Error::io(path, "", error))?;
        let storage = Arc::new(Metered::new(source.clone()));
        let options = OpenOptions {
            external_link_resolver: Some(Arc::new(NoOtherFiles)),
            ..OpenOptions::default()
        };
        let file = Hdf5File::from_storage_with_options(storage.clone(), options)
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
            members: Mutex::default(),
        })
    }

    /// What structures are parsed from: the storage, and bytes of its offsets and lengths.
    fn structure(&self) -> (&dyn Storage, u8, u8) {
        let superblock = self.file.superblock();
        let (offset_size, length_size) = (superblock.offset_size, superblock.length_size);
        (self.file.storage(), offset_size, length_size)
    }

    fn dataset(&self, element: &str) -> Result<Dataset, Error> {
        let (parent, name) = element.rsplit_once('/').unwrap_or(("", element));
        self.group(parent)
            .and_then(|group| group.dataset(name))
            .map_err(|error| failure(&self.path, element, error))
    }

    /// The dataset of an array; of a field of a table, that of the table, and the field.
    fn located(&self, element: &str) -> Result<(Dataset, Option<CompoundField>), Error> {
        let absent = match self.dataset(element) {
            Err(error) if matches!(error.kind(), ErrorKind::MissingElement { .. }) => error,
            dataset => return dataset.map(|dataset| (dataset, None)),
        };
        let Some((table, name)) = element.rsplit_once('/') else {
            return Err(absent);
        };
        let Ok(dataset) = self.dataset(table) else {
            return Err(absent);
        };
        let field = match table_fields(dataset.dtype()) {
            Some(fields) => fields.iter().find(|field| field.name == name).cloned(),
            None => None,
        };
        field.map_or(Err(absent), |field| Ok((dataset, Some(field))))
    }

    /// What stands at a path, at the end of so many links at the most, within the bounds of the
    /// call that asks.
    fn node_at(&self, element: &str, most_links: usize) -> Result<Option<Node>, Error> {
        if element.is_empty() {
            return Ok(Some(Node::Group));
        }
        let fail = |error| failure(&self.path, element, error);
        let (parent, name) = element.rsplit_once('/').unwrap_or(("", element));
        let group = match self.group(parent) {
            Err(Hdf5Error::GroupNotFound(_)) => {
                let is_field = self.located(element).is_ok();
                return Ok(is_field.then_some(Node::Array));
            }
            group => group.map_err(fail)?,
        };
        match group.group(name) {
            Err(Hdf5Error::GroupNotFound(_)) => {}
            found => return found.map(|_| Some(Node::Group)).map_err(fail),
        }
        match group.dataset(name) {
            // A link that leads to what cannot be read counts as one that leads nowhere for
            // `hdf5-reader`.
            Err(Hdf5Error::DatasetNotFound(_)) => {
                let path = self.path_behind(parent, name).map_err(fail)?;
                if let (Some(path), 1..) = (path, most_links) {
                    self.node_at(&path, most_links - 1)?;
                }
                Ok(None)
            }
            Ok(dataset) if table_fields(dataset.dtype()).is_some() => Ok(Some(Node::Table)),
            // It is there, whatever is wrong with it.
            _ => Ok(Some(Node::Array)),
        }
    }

    /// The path of the object at an address: in one group, or else anywhere.
    fn path_of(&self, address: u64, likely: &str) -> Result<Option<String>, Hdf5Error> {
        if let Ok(group) = self.group(likely)
            && let Some(name) = group.child_name_by_address(address)?
        {
            return Ok(Some(format!("{likely}/{name}")));
        }
        let mut seen = HashSet::new();
        let mut groups = vec![(String::new(), self.file.root_group()?)];
        while let Some((path, group)) = groups.pop() {
            if let Some(name) = group.child_name_by_address(address)? {
                return Ok(Some(format!("{path}{name}")));
            }
            for child in group.groups()? {
                if seen.insert(child.address()) {
                    groups.push((format!("{path}{}/", child.name()), child));
                }
            }
        }
        Ok(None)
    }

    /// The table of a dataset that lies in one piece, cut into blocks of records.
    fn blocks(source: ByteSource, offset: u64, grid: &Grid, record: usize) -> Chunks {
        let (n_records, record) = (grid.shape[0], record as u64);
        let rows = grid.chunk[0];
        let block = |chunk: u64| TableEntry {
            chunk,
            offset: offset.saturating_add(chunk * rows * record),
            len: (rows.min(n_records - chunk * rows) * record) as u32,
            skip_mask: 0,
        };
        let entries = (0..n_records.div_ceil(rows)).map(block).collect();
        Chunks::Table { source, entries }
    }

    fn chunk_entries(
        &self,
        dataset: &Dataset,
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
        let shape = dataset.shape();
        let dims = chunk_extents(dims, shape);
        if is_undefined(*address, offset_size) || shape.contains(&0) {
            return Ok(Vec::new());
        }
        // Where an index is an array, chunks are numbered within the shape that there may be.
        let may_be = dataset.max_dims().filter(|dims| dims.len() == shape.len());
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
                    dataset.max_dims(),
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

    fn item_type(&self, element: &str, datatype: &Datatype) -> Result<(ItemType, bool), Error> {
        let number =
            |dtype, order: &ByteOrder| (ItemType::Number(dtype), *order == ByteOrder::BigEndian);
        let unsupported =
            |what: String| Err(Error::unsupported(&self.path, element, what, AS_NUMBERS));
        Ok(match datatype {
            Datatype::FixedPoint {
                size,
                signed,
                byte_order,
            } => match (size, signed) {
                (1, true) => number(DType::I8, byte_order),
                (1, false) => number(DType::U8, byte_order),
                (2, true) => number(DType::I16, byte_order),
                (2, false) => number(DType::U16, byte_order),
                (4, true) => number(DType::I32, byte_order),
                (4, false) => number(DType::U32, byte_order),
                (8, true) => number(DType::I64, byte_order),
                (8, false) => number(DType::U64, byte_order),
                _ => return unsupported(format!("an integer of {size} bytes")),
            },
            Datatype::FloatingPoint { size, byte_order } => match size {
                2 => number(DType::F16, byte_order),
                4 => number(DType::F32, byte_order),
                8 => number(DType::F64, byte_order),
                _ => return unsupported(format!("a float of {size} bytes")),
            },
            Datatype::Enum { base, members } => match &**base {
                Datatype::FixedPoint { size: 1, .. } if is_boolean(members) => {
                    (ItemType::Number(DType::Bool), false)
                }
                _ => return unsupported("an enumeration that is not boolean".to_owned()),
            },
            Datatype::String {
                size: StringSize::Fixed(size),
                padding,
                ..
            } => {
                let padding = match padding {
                    StringPadding::NullTerminate => Padding::NullTerminated,
                    StringPadding::NullPad => Padding::Nulls,
                    StringPadding::SpacePad => Padding::Spaces,
                };
                let encoding = TextEncoding::Fixed {
                    size: *size as usize,
                    padding,
                };
                (ItemType::Text(encoding), false)
            }
            Datatype::String {
                size: StringSize::Variable,
                ..
            } => (ItemType::Text(self.heap()), false),
            Datatype::VarLen {
                base,
                kind: hdf5_reader::VarLenKind::String,
                ..
            } if base.is_vlen_string_base() => (ItemType::Text(self.heap()), false),
            Datatype::Compound { fields, .. } => {
                let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                let what = match names[..] {
                    ["r", "i"] => "a matrix of complex numbers".to_owned(),
                    _ => format!("a matrix of records of {}", names.join(", ")),
                };
                return unsupported(what);
            }
            other => return unsupported(format!("the HDF5 type {other:?}")),
        })
    }

    /// Where a field lies in the records of its table.
    fn record(
        &self,
        element: &str,
        table: &Dataset,
        field: Option<&CompoundField>,
        item: &ItemType,
        field_shape: &[u64],
    ) -> Result<Option<Record>, Error> {
        let (Some(field), Datatype::Compound { size, .. }) = (field, table.dtype()) else {
            return Ok(None);
        };
        let (len, offset) = (u64::from(*size), u64::from(field.byte_offset));
        let n_items = field_shape
            .iter()
            .try_fold(1u64, |n, &extent| n.checked_mul(extent));
        let end = n_items
            .and_then(|n| n.checked_mul(item.size() as u64))
            .and_then(|n| n.checked_add(offset));
        let fits = end.is_some_and(|end| offset < end && end <= len && len <= BLOCK_BYTES);
        if table.shape().len() != 1 {
            let what = format!("a table of shape {:?}", table.shape());
            return Err(Error::unsupported(
                &self.path,
                element,
                what,
                LIBRARY_OR_REWRITE,
            ));
        }
        if !fits {
            let expected = format!("a list of records of {len} bytes, the field within them");
            let found = format!("shape {:?}, the field at {offset}", table.shape());
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

/// The fields of a table; `None` for anything else, complex numbers among it.
fn table_fields(datatype: &Datatype) -> Option<&[CompoundField]> {
    match datatype {
        Datatype::Compound { fields, .. } => {
            let is_complex = matches!(&fields[..], [r, i] if r.name == "r" && i.name == "i");
            (!is_complex && !fields.is_empty()).then_some(fields)
        }
        _ => None,
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

/// Whether an enumeration is how h5py stores booleans.
fn is_boolean(members: &[hdf5_reader::EnumMember]) -> bool {
    let value = |name: &str| {
        members
            .iter()
            .find(|member| member.name == name)
            .map(|member| member.value.as_slice())
    };
    members.len() == 2 && value("FALSE") == Some(&[0]) && value("TRUE") == Some(&[1])
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
        | Hdf5Error::UnsupportedEncoding(_) => {
            // What it is, without saying twice that it is not supported.
            let text = root.to_string();
            let what = text.strip_prefix("unsupported ").unwrap_or(&text);
            let what = what.strip_prefix("encoding: ").unwrap_or(what);
            let what = what.strip_suffix(" is not supported").unwrap_or(what);
            let what = what.split("; at most ").next().unwrap_or(what);
            Error::unsupported(path, element, format!("HDF5's {what}"), IF_READABLE)
        }
        _ => Error::new(path, element, ErrorKind::Hdf5(Arc::new(error))),
    }
}

impl Backend for Hdf5Store {
    fn has_writer(&self) -> bool {
        end::has_writer(self.file.superblock())
    }

    fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error> {
        self.storage.begin();
        let members = self.members(group);
        let members = members.map_err(|error| failure(&self.path, group, error))?;
        let mut dangling = Vec::new();
        for name in &members.names {
            let Some(target) = members.target(name) else {
                continue;
            };
            let prefix = if group.is_empty() { "" } else { "/" };
            // A link that cannot be followed is not one to nothing.
            if let Ok(None) = self.node_at(&format!("{group}{prefix}{name}"), MOST_LINKS) {
                dangling.push((
                    name.clone(),
                    format!("a link to {target}, where nothing is"),
                ));
            }
        }
        Ok(dangling)
    }

    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        self.storage.begin();
        self.node_at(element, MOST_LINKS)
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.storage.begin();
        if self.node_at(group, MOST_LINKS)? == Some(Node::Table) {
            let table = self.dataset(group)?;
            let fields = table_fields(table.dtype()).unwrap_or_default();
            return Ok(fields.iter().map(|field| field.name.clone()).collect());
        }
        let members = self.members(group);
        let members = members.map_err(|error| failure(&self.path, group, error))?;
        let mut names = members.names.clone();
        // What is there and cannot be read is there. A name of nothing, or of a type, is not.
        let prefix = if group.is_empty() {
            String::new()
        } else {
            format!("{group}/")
        };
        names.retain(|name| {
            !matches!(
                self.node_at(&format!("{prefix}{name}"), MOST_LINKS),
                Ok(None)
            )
        });
        Ok(names)
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        let attributes = self.attributes(element)?.into_iter();
        Ok(attributes.map(|attribute| attribute.name).collect())
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        let attributes = self.attributes(element)?;
        let attribute = attributes.iter().find(|attribute| attribute.name == name);
        attribute
            .map(|attribute| self.attribute_value(element, attribute))
            .transpose()
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        self.storage.begin();
        let fail = |error| failure(&self.path, element, error);
        let (dataset, field) = self.located(element)?;
        let header = self
            .file
            .get_or_parse_header(dataset.address())
            .map_err(fail)?;
        let (mut layout, mut filters, mut fill) = (None, None, Vec::new());
        let mut is_null = false;
        let mut kinds = HashSet::new();
        for message in &header.messages {
            if let HdfMessage::DataLayout(_)
            | HdfMessage::FilterPipeline(_)
            | HdfMessage::Dataspace(_)
            | HdfMessage::Datatype(_) = message
                && !kinds.insert(std::mem::discriminant(message))
            {
                let expected = "one shape, type, layout and list of filters";
                return Err(Error::invalid(
                    &self.path,
                    element,
                    expected,
                    "two of a kind",
                ));
            }
            match message {
                HdfMessage::DataLayout(message) => layout = Some(&message.layout),
                HdfMessage::FilterPipeline(message) => filters = Some(message),
                HdfMessage::FillValue(message) => {
                    let value = message.value.as_deref().unwrap_or_default();
                    // Old files have it twice, in two forms.
                    if !fill.is_empty() && !value.is_empty() && fill != value {
                        let found = format!("{fill:02x?} and {value:02x?}");
                        return Err(Error::invalid(&self.path, element, "one fill value", found));
                    }
                    if !value.is_empty() {
                        fill = value.to_vec();
                    }
                }
                HdfMessage::Dataspace(space) => {
                    is_null = space.dataspace_type == DataspaceType::Null;
                }
                HdfMessage::ExternalFiles(_) => {
                    let what = "data in external files";
                    let way_out = LIBRARY_OR_REWRITE;
                    return Err(Error::unsupported(&self.path, element, what, way_out));
                }
                _ => {}
            }
        }
        let layout = layout.ok_or_else(|| {
            Error::invalid(
                &self.path,
                element,
                "a data layout",
                "an object header without one",
            )
        })?;
        let datatype = field
            .as_ref()
            .map_or(dataset.dtype(), |field| &field.datatype);
        // Fields may be arrays themselves.
        let (datatype, field_shape) = match datatype {
            Datatype::Array { base, dims } if field.is_some() => (&**base, &dims[..]),
            datatype => (datatype, &[][..]),
        };
        let (item, big_endian) = self.item_type(element, datatype)?;
        let message = dataset.raw_datatype().map_err(fail)?;
        if let Some(what) = unusual_number(&message) {
            return Err(Error::unsupported(
                &self.path,
                element,
                what,
                LIBRARY_OR_REWRITE,
            ));
        }
        let record = self.record(element, &dataset, field.as_ref(), &item, field_shape)?;
        let size = record.map_or(item.size(), |record| record.len);
        if item.size() == 0 {
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
            fill = fill[record.offset..][..item.size()].to_vec();
        }
        if fill.len() != item.size() {
            fill.clear();
        } else if big_endian {
            fill.reverse();
        }
        let shape = match is_null {
            true => vec![0],
            false => dataset.shape().to_vec(),
        };
        let grid = match layout {
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
        let chunks = match layout {
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
                let source = ByteSource::Memory(Memory::new(data.clone()));
                match record {
                    None => Chunks::Contiguous { source, offset: 0 },
                    Some(record) => Hdf5Store::blocks(source, 0, &grid, record.len),
                }
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
                let source = ByteSource::File(self.source.clone());
                match record {
                    None => Chunks::Contiguous { source, offset },
                    Some(record) => Hdf5Store::blocks(source, offset, &grid, record.len),
                }
            }
            DataLayout::Chunked { .. } => {
                let entries = self.chunk_entries(&dataset, layout, size).map_err(fail)?;
                self.table(element, &grid, size, entries)?
            }
        };
        let pipeline = match filters {
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
        Ok(Array::new(ArrayParts {
            context: self.context.clone(),
            file: self.path.clone(),
            element: element.to_owned(),
            grid,
            item,
            big_endian,
            pipeline,
            stored_axes: None,
            chunks,
            fill,
            record,
            id: 0,
        }))
    }
}

/// The integers of an attribute; those past 64 bits signed wrap.
pub(super) fn integers(bytes: &[u8], size: u8, signed: bool, order: ByteOrder) -> Vec<i64> {
    let one = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        if order == ByteOrder::BigEndian {
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
        1 | 2 | 4 | 8 => bytes.chunks_exact(size.into()).map(one).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_integers_of_every_width() {
        let le = ByteOrder::LittleEndian;
        assert_eq!(integers(&[255, 1], 1, true, le), [-1, 1]);
        assert_eq!(integers(&[255, 255], 2, false, le), [65535]);
        assert_eq!(
            integers(&[0, 0, 1, 0], 4, true, ByteOrder::BigEndian),
            [256]
        );
        assert_eq!(integers(&(-5i64).to_le_bytes(), 8, true, le), [-5]);
    }
}
