//! HDF5 files. This module reads the structure with the parsers of the `hdf5-reader` crate; it
//! locates the bytes of arrays once, and [`Array`] reads them.
//!
//! ```text
//! path ─▶ groups, links ─▶ headers ─▶ messages ─┬─ attributes
//!                                               └─ dataset: datatype, elements, chunk_table,
//! metered: limits what one call reads                       filters ─▶ Array
//! ```
//!
//! An [`Hdf5Store`] holds locks, so it does not outlive the opening of a file: only chunk tables
//! remain.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::messages;
use hdf5_reader::{Hdf5File, OpenOptions, Storage};

use super::{Attribute, Backend, Node};
use crate::array::Array;
use crate::error::{Error, ErrorKind, LIBRARY_OR_REWRITE};
use crate::io::bytes::ByteSource;
use crate::io::context::IoContext;
use crate::io::file::FileSource;
use crate::path::member;

mod ahead;
mod attributes;
mod chunk_table;
mod dataset;
mod datatype;
mod elements;
mod end;
mod errors;
mod filters;
mod headers;
mod integers;
pub(super) mod item;
mod links;
mod members;
mod metered;
mod paths;

use datatype::{Datatype, Field};
use errors::failure;
#[cfg(feature = "libhdf5")]
pub(super) use filters::filter_name;
use headers::{Header, Headers, ObjectKind};
use members::Members;
use metered::Metered;

/// An open HDF5 file.
pub(crate) struct Hdf5Store {
    context: IoContext,
    path: PathBuf,
    source: ByteSource,
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

impl Drop for Hdf5Store {
    fn drop(&mut self) {
        self.source.forget_structure();
    }
}

impl Hdf5Store {
    pub(crate) fn open(path: &Path, context: &IoContext) -> Result<Self, Error> {
        let source =
            FileSource::open_settled(context, path).map_err(|error| Error::io(path, "", error))?;
        Hdf5Store::open_source(path, ByteSource::File(source), context)
    }

    /// Opens an HDF5 file in any source; `path` is its name for users.
    pub(crate) fn open_source(
        path: &Path,
        source: ByteSource,
        context: &IoContext,
    ) -> Result<Self, Error> {
        let storage = Arc::new(Metered::new(source.clone()));
        let file = Hdf5File::from_storage_with_options(storage.clone(), OpenOptions::default())
            .map_err(|error| failure(path, "", error))?;
        end::check(path, &source, file.superblock())?;
        let length_size = file.superblock().length_size;
        if length_size != 8 {
            // `hdf5-reader` misplaces variable-length attributes in such files, and nobody writes
            // them.
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

    /// Returns the arguments for parsing structures: the storage, and the byte widths of its
    /// offsets and lengths.
    fn structure(&self) -> (&dyn Storage, u8, u8) {
        let superblock = self.file.superblock();
        let (offset_size, length_size) = (superblock.offset_size, superblock.length_size);
        (self.file.storage(), offset_size, length_size)
    }

    fn missing(&self, element: &str) -> Error {
        let kind = ErrorKind::MissingElement { nearest: None };
        Error::new(&self.path, element, kind)
    }

    /// Returns the dataset of an array; for a field of a table, the dataset of the table, and the
    /// field.
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

    /// Returns the table of which an element is a field, and the field.
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

    /// Returns the type of a dataset.
    fn datatype(&self, header: &Header) -> Result<Datatype, Hdf5Error> {
        let mut found = header.messages.iter();
        let message = found.find(|message| message.kind == messages::MSG_DATATYPE);
        let message =
            message.ok_or_else(|| Hdf5Error::InvalidData("a dataset without a type".to_owned()))?;
        Datatype::parse(&self.contents(message)?)
    }

    /// Returns the kind of the object at a path, within the limits of the current call.
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
                // It exists, even if it is damaged.
                _ => Some(Node::Array),
            },
        })
    }

    /// Returns the members of a group.
    fn group(&self, element: &str) -> Result<Option<Arc<Members>>, Error> {
        let fail = |error| failure(&self.path, element, error);
        match self.address(element).map_err(fail)? {
            Some(address) => self.members(address).map_err(fail),
            None => Ok(None),
        }
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
        let links = members.names.iter().filter_map(|name| {
            // A link that cannot be followed is not a link to nothing.
            let path = members.linked_path(name)?;
            let is_nowhere = matches!(self.node_at(&member(group, name)), Ok(None));
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
        // Unreadable members exist, so keep them. Drop names that lead nowhere or to a type.
        names.retain(|name| !matches!(self.node_at(&member(group, name)), Ok(None)));
        Ok(names)
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        self.storage.begin();
        let Some(members) = self.group(group)? else {
            return Ok(Vec::new());
        };
        let members = members.unreadable.iter().map(|(name, found)| {
            let expected = "a member that can be asked for";
            Error::invalid(&self.path, member(group, name), expected, *found)
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
        self.open_array(element)
    }
}
