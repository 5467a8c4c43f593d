//! HDF5 files through the C library, for what `hdf5.rs` refuses: virtual datasets, external links,
//! raw data in files of their own, and the filters nbit and scaleoffset.
//!
//! Only the bytes come from the library: its arrays have the same grid, cache and errors as all
//! others. Its global lock lets one thread read at a time, each array holds its dataset (and with
//! it a file descriptor) open as long as it lives, and none of it survives a fork: a forked child
//! gets an error.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use hdf5_sys::h5t::H5T_str_t;

use super::hdf5::filter_name;
use super::hdf5::item::{Truth, integer_type, integers, whole_numbers};
use super::{Attribute, Backend, Node};
use crate::array::chunks::{BlockReader, Chunks};
use crate::array::convert::Conversion;
use crate::array::decode::Pipeline;
use crate::array::float::FloatLayout;
use crate::array::grid::Grid;
use crate::array::text::{Padding, TextEncoding};
use crate::array::{Array, ArrayParts, ItemType};
use crate::context::{FileSource, IoContext};
use crate::dtype::DType;
use crate::error::{AS_NUMBERS, Error, ErrorKind};

mod ffi;

use ffi::{CallError, Extent, Id, Kind, Layout, Selection, Type};

/// Bytes of the blocks in which a dataset without chunks is read.
const BLOCK_BYTES: u64 = 1 << 20;
/// More than any filter expands: all of a chunk of equal values can vanish in scaleoffset.
const BEST_RATIO: u64 = 1 << 20;
/// More than gzip expands.
const BEST_RATIO_OF_GZIP: u64 = 1032;

/// An HDF5 file, open in the C library.
#[derive(Debug)]
pub(crate) struct LibHdf5Store {
    context: IoContext,
    path: PathBuf,
    source: FileSource,
    root: Id,
}

impl LibHdf5Store {
    pub(crate) fn open(path: &Path, context: &IoContext) -> Result<Self, Error> {
        let source = FileSource::open(context, path).map_err(|error| Error::io(path, "", error))?;
        let root = ffi::open_file(path).and_then(|file| ffi::open_here(&file));
        Ok(LibHdf5Store {
            context: context.clone(),
            path: path.to_owned(),
            source,
            root: root.map_err(|error| failure(path, "", error))?,
        })
    }

    fn fail(&self, element: &str) -> impl Fn(CallError) -> Error + Copy {
        move |error| failure(&self.path, element, error)
    }

    /// What stands at a path; `None` when nothing does.
    fn object(&self, element: &str) -> Result<Option<Id>, Error> {
        ffi::open(&self.root, element).map_err(self.fail(element))
    }

    fn existing(&self, element: &str) -> Result<Id, Error> {
        self.object(element)?.ok_or_else(|| self.missing(element))
    }

    /// The table that an element is a field of, and the number of the field; `None` when it is no
    /// such thing.
    fn field(&self, element: &str) -> Result<Option<(Id, Id, usize)>, Error> {
        let fail = self.fail(element);
        let Some((table, name)) = element.rsplit_once('/') else {
            return Ok(None);
        };
        let Some(table) = self.object(table)? else {
            return Ok(None);
        };
        if ffi::kind(&table).map_err(fail)? != Kind::Dataset {
            return Ok(None);
        }
        let datatype = ffi::dataset_type(&table).map_err(fail)?;
        let described = ffi::describe(&datatype).map_err(fail)?;
        let fields = table_fields(&described).unwrap_or_default();
        let field = fields.iter().position(|field| field == name.as_bytes());
        Ok(field.map(|field| (table, datatype, field)))
    }

    /// A value for a field of a table; an error when the element is none.
    fn of_field<T>(&self, element: &str, value: T) -> Result<T, Error> {
        match self.field(element)? {
            Some(_) => Ok(value),
            None => Err(self.missing(element)),
        }
    }

    fn missing(&self, element: &str) -> Error {
        let kind = ErrorKind::MissingElement { nearest: None };
        Error::new(&self.path, element, kind)
    }

    fn unsupported(&self, element: &str, what: impl Into<String>) -> Error {
        Error::unsupported(&self.path, element, what, AS_NUMBERS)
    }

    fn item_type(&self, element: &str, described: &Type) -> Result<ItemType, Error> {
        let integer = |size: usize, signed| {
            let dtype = integer_type(size, signed).map(ItemType::Number);
            dtype.ok_or_else(|| self.unsupported(element, format!("an integer of {size} bytes")))
        };
        match described {
            Type::Integer { size, signed } => integer(*size, *signed),
            Type::Bits { size } => integer(*size, false),
            Type::Float(Some(layout)) => Ok(ItemType::Number(layout.dtype())),
            Type::Float(None) => {
                Err(self.unsupported(element, "floats that are laid out in an uncommon way"))
            }
            Type::Enum { size: 1, .. } if truth(described) == Some(Truth { missing: None }) => {
                Ok(ItemType::Number(DType::Bool))
            }
            Type::Enum { size, signed, .. } => integer(*size, *signed),
            Type::FixedText { size: 0, .. } => Err(Error::invalid(
                &self.path,
                element,
                "elements of some bytes",
                "a size of 0",
            )),
            Type::FixedText { size, padding } => Ok(ItemType::Text(TextEncoding::Fixed {
                size: *size,
                padding: padding_of(*padding),
            })),
            Type::VariableText => Ok(ItemType::Text(TextEncoding::Library)),
            Type::Record(_) => Err(self.unsupported(element, "records as elements of a matrix")),
            Type::Array(_) => Err(self.unsupported(element, "an array in each element")),
            Type::Other(what) => Err(self.unsupported(element, *what)),
        }
    }

    /// How many bytes one stored byte may become; an error names a filter that is missing.
    fn best_ratio(&self, element: &str, creation: &Id) -> Result<u64, Error> {
        let filters = ffi::filters(creation).map_err(self.fail(element))?;
        if let Some((id, _)) = filters.iter().find(|(_, available)| !available) {
            let name = u16::try_from(*id).ok().and_then(filter_name);
            let name = name.unwrap_or("unknown");
            let what = format!("the HDF5 filter {name} ({id}) by the C library of this build");
            let way_out = "use the default backend, or rewrite the file with gzip";
            return Err(Error::unsupported(&self.path, element, what, way_out));
        }
        // Deflate, shuffle and fletcher32 are 1 to 3.
        Ok(match filters.len() {
            0 => 1,
            1..=3 if filters.iter().all(|(id, _)| (1..=3).contains(id)) => BEST_RATIO_OF_GZIP,
            _ => BEST_RATIO,
        })
    }

    /// A reader of the blocks of a dataset, of `block` bytes each.
    fn reader(
        &self,
        element: &str,
        creation: &Id,
        layout: Layout,
        memory_type: Id,
        block: u64,
    ) -> Result<Blocks, Error> {
        let fail = self.fail(element);
        let external = ffi::external_files(creation).map_err(fail)?;
        // Names of raw files are relative to the HDF5 file when there is such a file beside it,
        // and else, as the library has it by default, to the working directory.
        let beside = |name: &Vec<u8>| {
            let name = String::from_utf8_lossy(name);
            let folder = self.path.parent();
            folder.is_some_and(|folder| folder.join(&*name).exists())
        };
        let prefix = external.first().is_some_and(beside).then_some("${ORIGIN}");
        let keep_chunks = ffi::is_variable_text(&memory_type);
        let dataset = ffi::open_dataset(&self.root, element, keep_chunks, prefix).map_err(fail)?;
        // Behind an external link, the dataset lies in another file.
        let file = ffi::file_of(&dataset).map_err(fail)?;
        let file = PathBuf::from(OsString::from_vec(file));
        let source = if file == self.path {
            self.source.clone()
        } else {
            FileSource::open(&self.context, &file)
                .map_err(|error| Error::io(&self.path, element, error))?
        };
        let size = ffi::storage_size(&dataset).map_err(fail)?;
        let (stored, ratio) = match &layout {
            Layout::Virtual => {
                let files = ffi::virtual_files(creation).map_err(fail)?;
                (bytes_of_files(&source, &files), BEST_RATIO)
            }
            _ if !external.is_empty() => (size.min(bytes_of_files(&source, &external)), 1),
            _ => (size.min(source.len()), self.best_ratio(element, creation)?),
        };
        let chunk_sizes = match &layout {
            Layout::Chunked(chunk) => ffi::chunk_sizes(&dataset, chunk.len()).map_err(fail)?,
            _ => HashMap::new(),
        };
        Ok(Blocks {
            place: (self.path.clone(), element.to_owned()),
            rank: 0,
            source,
            dataset,
            memory_type,
            layout,
            chunk_sizes,
            block,
            stored,
            ratio,
        })
    }
}

/// Bytes of the files that a dataset is put together from.
fn bytes_of_files(own: &FileSource, names: &[Vec<u8>]) -> u64 {
    let mut names: Vec<&Vec<u8>> = names.iter().collect();
    names.sort_unstable();
    names.dedup();
    let len = |name: &str| {
        let meta = std::fs::metadata(found(own, name));
        meta.ok().map(|meta| meta.len())
    };
    let lens = names.into_iter().map(|name| {
        let name = String::from_utf8_lossy(name);
        match &*name {
            "." => own.len(),
            // One file a block: as many as there are.
            name if name.contains("%b") => (0..1 << 16)
                .map_while(|block| len(&name.replace("%b", &format!("{block}"))))
                .fold(0, u64::saturating_add),
            name => len(name).unwrap_or(0),
        }
    });
    lens.fold(0, u64::saturating_add)
}

/// The file that a name in another one leads to: beside that file, or else as the name says.
fn found(own: &FileSource, name: &str) -> PathBuf {
    let beside = own.path().parent().map(|folder| folder.join(name));
    beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| name.into())
}

fn failure(path: &Path, element: &str, error: CallError) -> Error {
    match error {
        CallError::Forked => Error::unsupported(
            path,
            element,
            "the HDF5 C library in a forked process",
            "start the process without a fork (spawn), or use the default backend",
        ),
        error => Error::new(path, element, ErrorKind::Hdf5(std::sync::Arc::new(error))),
    }
}

/// The fields of a table; `None` for anything else, complex numbers among it.
fn table_fields(described: &Type) -> Option<&[Vec<u8>]> {
    match described {
        Type::Record(fields) if !fields.is_empty() && fields[..] != [b"r", b"i"] => Some(fields),
        _ => None,
    }
}

/// What truth values an enumeration has; `None` for anything else.
fn truth(described: &Type) -> Option<Truth> {
    let Type::Enum { members, .. } = described else {
        return None;
    };
    let members = members.iter();
    Truth::of(members.map(|(name, value)| (name.as_slice(), value.clone())))
}

/// The names that are text.
fn texts(names: Vec<Vec<u8>>) -> Vec<String> {
    let names = names.into_iter();
    names
        .filter_map(|name| String::from_utf8(name).ok())
        .collect()
}

fn padding_of(padding: H5T_str_t) -> Padding {
    match padding {
        H5T_str_t::H5T_STR_NULLTERM => Padding::NullTerminated,
        H5T_str_t::H5T_STR_SPACEPAD => Padding::Spaces,
        _ => Padding::Nulls,
    }
}

/// Blocks of whole rows of about [`BLOCK_BYTES`], or of parts of a row where one is longer.
fn blocks(shape: &[u64], item: u64) -> Vec<u64> {
    let mut room = (BLOCK_BYTES / item.max(1)).max(1);
    let mut chunk = vec![1; shape.len()];
    for axis in (0..shape.len()).rev() {
        chunk[axis] = shape[axis].clamp(1, room);
        room /= chunk[axis];
        if chunk[axis] < shape[axis] {
            break;
        }
    }
    chunk
}

/// An open dataset: the chunks that it has, or blocks of a shape of ours.
#[derive(Debug)]
struct Blocks {
    /// File and element, for errors.
    place: (PathBuf, String),
    /// Axes of the dataset: a field of its records may have more.
    rank: usize,
    /// The file that the dataset lies in.
    source: FileSource,
    dataset: Id,
    memory_type: Id,
    layout: Layout,
    /// Bytes stored of each chunk that was written, by its first element.
    chunk_sizes: HashMap<Vec<u64>, u64>,
    /// Bytes of one block.
    block: u64,
    /// Bytes that all elements take where they are stored, at the most.
    stored: u64,
    ratio: u64,
}

impl Blocks {
    fn fail(&self, error: CallError) -> Error {
        failure(&self.place.0, &self.place.1, error)
    }
}

impl BlockReader for Blocks {
    fn stored_bytes(&self) -> u64 {
        self.stored
    }

    fn best_ratio(&self) -> u64 {
        self.ratio
    }

    fn stored_bytes_at(&self, start: &[u64]) -> Result<Option<u64>, Error> {
        match self.layout {
            Layout::Chunked(_) => {
                // The library lists some chunks of arrays that grow along a later axis where they are
                // not: a chunk that is not listed may be any.
                let size = self.chunk_sizes.get(&start[..self.rank]).copied();
                let size = size.or((!self.chunk_sizes.is_empty()).then_some(self.stored));
                Ok(size.map(|size| size.min(self.source.len())))
            }
            // Never more than a block: nothing is made of nothing.
            Layout::Virtual => Ok(Some(self.block)),
            Layout::Compact | Layout::Contiguous if self.stored == 0 => Ok(None),
            Layout::Compact | Layout::Contiguous => Ok(Some(self.block)),
        }
    }

    fn read(
        &self,
        start: &[u64],
        count: &[u64],
        within: &[u64],
        out: &mut [u8],
    ) -> Result<(), Error> {
        self.source.check_unchanged()?;
        let selection = Selection {
            start: &start[..self.rank],
            count: &count[..self.rank],
            within: &within[..self.rank],
        };
        ffi::read(&self.dataset, &self.memory_type, selection, out)
            .map_err(|error| self.fail(error))
    }

    fn read_texts(
        &self,
        start: &[u64],
        count: &[u64],
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        self.source.check_unchanged()?;
        let selection = Selection {
            start,
            count,
            within: count,
        };
        ffi::read_texts(&self.dataset, &self.memory_type, selection, visit)
            .map_err(|error| self.fail(error))
    }
}

impl Backend for LibHdf5Store {
    /// Its links are looked through by our own reader alone.
    fn dangling(&self, _: &str) -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    fn has_writer(&self) -> bool {
        false
    }

    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        let fail = self.fail(element);
        let Some(object) = self.object(element)? else {
            return Ok(self.field(element)?.map(|_| Node::Array));
        };
        Ok(match ffi::kind(&object).map_err(fail)? {
            Kind::Group => Some(Node::Group),
            Kind::Dataset => {
                let datatype = ffi::dataset_type(&object).map_err(fail)?;
                let described = ffi::describe(&datatype).map_err(fail)?;
                let is_table = table_fields(&described).is_some();
                Some(if is_table { Node::Table } else { Node::Array })
            }
            Kind::Other => None,
        })
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        let object = self.existing(group)?;
        if ffi::kind(&object).map_err(self.fail(group))? == Kind::Dataset {
            let datatype = ffi::dataset_type(&object).map_err(self.fail(group))?;
            let described = ffi::describe(&datatype).map_err(self.fail(group))?;
            let fields = table_fields(&described).unwrap_or_default();
            return Ok(texts(fields.to_vec()));
        }
        let names = ffi::link_names(&object).map_err(self.fail(group))?;
        let mut children = Vec::new();
        for name in texts(names) {
            let child = ffi::open(&object, &name).map_err(self.fail(group))?;
            let kind = child.as_ref().map(ffi::kind).transpose();
            if matches!(
                kind.map_err(self.fail(group))?,
                Some(Kind::Group | Kind::Dataset)
            ) {
                children.push(name);
            }
        }
        Ok(children)
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        let object = self.existing(group)?;
        if ffi::kind(&object).map_err(self.fail(group))? != Kind::Group {
            return Ok(Vec::new());
        }
        let names = ffi::link_names(&object).map_err(self.fail(group))?;
        let names = names
            .iter()
            .filter(|name| std::str::from_utf8(name).is_err());
        let error = |name: &Vec<u8>| {
            let name = name.escape_ascii();
            let element = match group {
                "" => name.to_string(),
                group => format!("{group}/{name}"),
            };
            let expected = "a member that can be asked for";
            Error::invalid(&self.path, element, expected, "a name that is not UTF-8")
        };
        Ok(names.map(error).collect())
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        let Some(object) = self.object(element)? else {
            return self.of_field(element, Vec::new()); // a field has none of its own
        };
        let names = ffi::attribute_names(&object).map_err(self.fail(element))?;
        Ok(texts(names))
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        let fail = self.fail(element);
        let Some(object) = self.object(element)? else {
            return self.of_field(element, None); // a field has none of its own
        };
        let Some(attribute) = ffi::open_attribute(&object, name).map_err(fail)? else {
            return Ok(None);
        };
        let scalar = match ffi::attribute_extent(&attribute).map_err(fail)? {
            Extent::Null => return Ok(Some(Attribute::Texts(Vec::new()))),
            // An empty list is stored as one of numbers.
            Extent::Shape(shape) if shape.contains(&0) => {
                return Ok(Some(Attribute::Texts(Vec::new())));
            }
            Extent::Shape(shape) => shape.is_empty(),
        };
        let datatype = ffi::attribute_type(&attribute).map_err(fail)?;
        let described = ffi::describe(&datatype).map_err(fail)?;
        if scalar && let Some(path) = ffi::referred(&attribute, &datatype).map_err(fail)? {
            let path = String::from_utf8_lossy(&path);
            return Ok(Some(match path.trim_start_matches('/') {
                "" => Attribute::Other("a reference to nothing in the file".to_owned()),
                path => Attribute::Reference(path.to_owned()),
            }));
        }
        let Some(memory_type) = ffi::memory_type(&datatype, &described).map_err(fail)? else {
            return Ok(Some(Attribute::Other(format!("{described:?}"))));
        };
        let most = self.source.len();
        let bytes = || ffi::read_attribute(&attribute, &memory_type, most).map_err(fail);
        let utf8 = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|error| {
                let expected = format!("attribute {name} in UTF-8");
                Error::invalid(&self.path, element, expected, error.to_string())
            })
        };
        let texts: Result<Vec<String>, Error> = match described {
            Type::Integer { size, signed } | Type::Enum { size, signed, .. } => {
                let values = integers(&bytes()?, size, signed, false);
                return Ok(Some(Attribute::Integers(values)));
            }
            Type::Bits { size } => {
                let values = integers(&bytes()?, size, false, false);
                return Ok(Some(Attribute::Integers(values)));
            }
            Type::Float(Some(layout)) => {
                let size = layout.dtype().size();
                let read = FloatLayout::ieee(size).ok_or_else(|| self.missing(element))?;
                let bytes = bytes()?;
                let values: Vec<f64> = bytes.chunks_exact(size).map(|x| read.read(x)).collect();
                let values = whole_numbers(&values);
                return Ok(Some(
                    values.map_or_else(Attribute::Other, Attribute::Integers),
                ));
            }
            Type::FixedText { size, padding } if size > 0 => bytes()?
                .chunks_exact(size)
                .map(|element| utf8(padding_of(padding).strip(element)))
                .collect(),
            Type::VariableText => {
                let mut texts = Vec::new();
                ffi::read_attribute_texts(&attribute, &memory_type, most, |text| {
                    texts.push(utf8(text));
                })
                .map_err(fail)?;
                texts.into_iter().collect()
            }
            _ => return Ok(Some(Attribute::Other(format!("{described:?}")))),
        };
        let mut texts = texts?;
        Ok(Some(match texts.pop() {
            Some(text) if scalar => Attribute::Text(text),
            Some(text) => {
                texts.push(text);
                Attribute::Texts(texts)
            }
            None => Attribute::Texts(texts),
        }))
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        let fail = self.fail(element);
        let field = match self.object(element)? {
            Some(object) if ffi::kind(&object).map_err(fail)? == Kind::Dataset => None,
            Some(_) => return Err(self.missing(element)),
            None => Some(self.field(element)?.ok_or_else(|| self.missing(element))?),
        };
        let (object, mut datatype, path) = match &field {
            None => {
                let object = self.existing(element)?;
                let datatype = ffi::dataset_type(&object).map_err(fail)?;
                (object, datatype, element)
            }
            Some((_, records, field)) => {
                let (table, _) = element.rsplit_once('/').unwrap_or_default();
                let datatype = ffi::field_type(records, *field).map_err(fail)?;
                (self.existing(table)?, datatype, table)
            }
        };
        let mut described = ffi::describe(&datatype).map_err(fail)?;
        // Fields may be arrays themselves.
        let mut field_shape = Vec::new();
        if let (Type::Array(shape), Some(_)) = (&described, &field) {
            field_shape = shape.clone();
            datatype = ffi::element_type(&datatype).map_err(fail)?;
            described = ffi::describe(&datatype).map_err(fail)?;
        }
        let item = self.item_type(element, &described)?;
        let truth = truth(&described);
        let conversion = match (&truth, &described) {
            (Some(Truth { missing: None }), Type::Enum { size, .. }) if *size > 1 => {
                Some(Conversion::Truth(*size))
            }
            _ => None,
        };
        let Some(mut memory_type) = ffi::memory_type(&datatype, &described).map_err(fail)? else {
            return Err(self.unsupported(element, format!("the HDF5 type {described:?}")));
        };
        if field.is_some() {
            let (_, name) = element.rsplit_once('/').unwrap_or_default();
            memory_type =
                ffi::record_of(name.as_bytes(), memory_type, &field_shape).map_err(fail)?;
        }
        let creation = ffi::creation(&object).map_err(fail)?;
        let mut shape = match ffi::dataset_extent(&object).map_err(fail)? {
            Extent::Null => vec![0],
            Extent::Shape(shape) => shape,
        };
        let rank = shape.len();
        let layout = ffi::layout(&creation, rank).map_err(fail)?;
        let mut chunk = match &layout {
            Layout::Chunked(chunk) => chunk.clone(),
            _ => blocks(&shape, item.size().max(16) as u64),
        };
        shape.extend(&field_shape);
        chunk.extend(&field_shape);
        let grid = Grid::new(shape.clone(), chunk).ok_or_else(|| {
            let expected = "a shape that can be stored";
            Error::invalid(&self.path, element, expected, format!("{shape:?}"))
        })?;
        let fill = match &item {
            ItemType::Text(TextEncoding::Library) => None,
            item => ffi::fill(&creation, &memory_type, item.size()),
        };
        let chunks = if grid.len() == 0 {
            Chunks::Unallocated
        } else {
            let block = grid.chunk_len().saturating_mul(item.size() as u64);
            let mut reader = self.reader(path, &creation, layout, memory_type, block)?;
            (reader.rank, reader.place.1) = (rank, element.to_owned());
            Chunks::Library(Box::new(reader))
        };
        let parts = ArrayParts {
            context: self.context.clone(),
            file: self.path.clone(),
            element: element.to_owned(),
            grid,
            item,
            big_endian: false,
            pipeline: Pipeline::default(),
            stored_axes: None,
            record: None,
            conversion: None,
            missing: truth.and_then(|truth| truth.missing),
            chunks,
            fill: fill.unwrap_or_default(),
            id: 0,
        };
        Ok(Array::new(match conversion {
            Some(conversion) => parts.converted(conversion)?,
            None => parts,
        }))
    }
}
