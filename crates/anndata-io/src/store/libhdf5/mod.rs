//! HDF5 files through the C library, for features that `hdf5` refuses: virtual datasets, external
//! links, raw data in separate files, and the filters nbit and scaleoffset.
//!
//! The library supplies only the bytes: its arrays have the same grid, cache and errors as all
//! others. Its global lock lets one thread read at a time. Each array holds its dataset (and with
//! it a file descriptor) open as long as the array lives. None of this survives a fork: a forked
//! child gets an error.
//!
//! ```text
//! path ─▶ object.rs ─▶ dataset.rs ─▶ storage.rs ─▶ blocks.rs ─▶ elements
//!                      datatype.rs: what elements are, and are read as
//!                  └─▶ attribute.rs
//! call.rs: the lock, forks, errors      ffi/: calls that the crate hdf5 lacks
//! ```

use std::path::{Path, PathBuf};

use hdf5::Group;

use super::{Attribute, Backend, Node};
use crate::array::Array;
use crate::error::{AS_NUMBERS, Error, ErrorKind};
use crate::io::context::IoContext;
use crate::io::file::FileSource;

mod attribute;
mod blocks;
mod call;
mod dataset;
mod datatype;
mod ffi;
mod object;
mod storage;

use call::{CallError, Held};
use object::{Object, fields, members, texts};

/// An HDF5 file, open in the C library.
#[derive(Debug)]
pub(crate) struct LibHdf5Store {
    context: IoContext,
    path: PathBuf,
    source: FileSource,
    /// Keeps the file open.
    root: Held<Group>,
}

impl LibHdf5Store {
    pub(crate) fn open(path: &Path, context: &IoContext) -> Result<Self, Error> {
        let source = FileSource::open(context, path).map_err(|error| Error::io(path, "", error))?;
        let root = ffi::open_root(path).map(Held::new);
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

    /// Returns the object at a path; `None` if nothing is there.
    fn object(&self, element: &str) -> Result<Option<Object>, Error> {
        Object::open(&self.root, element).map_err(self.fail(element))
    }

    fn existing(&self, element: &str) -> Result<Object, Error> {
        self.object(element)?.ok_or_else(|| self.missing(element))
    }

    fn missing(&self, element: &str) -> Error {
        let kind = ErrorKind::MissingElement { nearest: None };
        Error::new(&self.path, element, kind)
    }

    fn unsupported(&self, element: &str, what: impl Into<String>) -> Error {
        Error::unsupported(&self.path, element, what, AS_NUMBERS)
    }
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

impl Backend for LibHdf5Store {
    /// Only this crate's own reader examines links.
    fn dangling(&self, _: &str) -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    fn has_writer(&self) -> bool {
        false
    }

    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        Ok(match self.object(element)? {
            Some(Object::Group(_)) => Some(Node::Group),
            Some(Object::Dataset(dataset)) => {
                let fields = dataset.with(fields).map_err(self.fail(element))?;
                Some(fields.map_or(Node::Array, |_| Node::Table))
            }
            Some(Object::Field(..)) => Some(Node::Array),
            Some(Object::Type(_)) | None => None,
        })
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        match self.existing(group)? {
            Object::Group(object) => object.with(members),
            Object::Dataset(table) => table
                .with(fields)
                .map(|fields| texts(fields.unwrap_or_default())),
            Object::Type(_) | Object::Field(..) => return Err(self.missing(group)),
        }
        .map_err(self.fail(group))
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        let Object::Group(object) = self.existing(group)? else {
            return Ok(Vec::new());
        };
        let names = object.with(ffi::link_names).map_err(self.fail(group))?;
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
        let names = self.existing(element)?.with(ffi::attribute_names);
        // A field has no attributes of its own.
        let names = names.map_err(self.fail(element))?.unwrap_or_default();
        Ok(texts(names))
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        self.read_attribute(element, name)
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        self.read_array(element)
    }
}
