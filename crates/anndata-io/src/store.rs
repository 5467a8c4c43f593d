//! Stores: groups, arrays and attributes, whatever the file format.

use std::fmt::{self, Debug};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::array::Array;
use crate::context::{Hdf5Backend, IoContext};
use crate::error::{Error, ErrorKind};

#[cfg(feature = "libhdf5")]
mod fallback;
pub(crate) mod hdf5;
#[cfg(feature = "libhdf5")]
mod libhdf5;
pub(crate) mod memory;
pub(crate) mod zarr;

pub use memory::MemoryStore;

/// What stands at a path in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A group of named elements.
    Group,
    /// An array of records: its fields are arrays below it, as a group's members are.
    Table,
    /// An array.
    Array,
}

/// The value of an attribute, as far as AnnData uses it.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// One text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// One or more integers; booleans are 0 and 1.
    Integers(Vec<i64>),
    /// An HDF5 object reference: the path of what it refers to.
    Reference(String),
    /// Anything else, described.
    Other(String),
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Text(text) => write!(f, "{text:?}"),
            Attribute::Texts(texts) => write!(f, "{texts:?}"),
            Attribute::Integers(numbers) => write!(f, "{numbers:?}"),
            Attribute::Reference(path) => write!(f, "a reference to {path}"),
            Attribute::Other(what) => f.write_str(what),
        }
    }
}

/// What a file format has to offer. `Ok(None)` means that there is no such thing, `Err` that it
/// could not be read. Paths are relative to the root, joined by `/`.
pub(crate) trait Backend: Debug + Send + Sync {
    fn node(&self, element: &str) -> Result<Option<Node>, Error>;
    fn children(&self, group: &str) -> Result<Vec<String>, Error>;
    /// Members of a group that cannot be asked for, by a name that is no text: an error each.
    fn unreadable(&self, _group: &str) -> Result<Vec<Error>, Error> {
        Ok(Vec::new())
    }
    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error>;
    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error>;
    fn array(&self, element: &str) -> Result<Array, Error>;
}

/// An opened store: an HDF5 file, a zarr directory or a zip archive of one, or memory.
///
/// It is meant to be short-lived: take the [`Array`]s that you need, which stay valid, and
/// drop it.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    backend: Box<dyn Backend>,
}

const HDF5_SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

impl Store {
    /// Opens a file or directory, by its content: the extension does not matter.
    ///
    /// # Errors
    /// When the path is a URL or does not exist, or holds neither HDF5 nor zarr.
    pub fn open(path: &Path, context: &IoContext) -> Result<Store, Error> {
        let fail = |kind| Err(Error::new(path, "", kind));
        if is_url(path) {
            return fail(ErrorKind::Remote);
        }
        let meta = std::fs::metadata(path).map_err(|error| Error::io(path, "", error))?;
        let not_anndata = |found: &str| ErrorKind::NotAnnData {
            expected: "an HDF5 file, a zarr directory or a zip archive of one".to_owned(),
            found: found.to_owned(),
        };
        let backend: Box<dyn Backend> = if meta.is_dir() {
            match zarr::ZarrStore::open(path, context)? {
                Some(store) => Box::new(store),
                None => return fail(not_anndata("a directory without zarr.json or .zgroup")),
            }
        } else {
            match sniff(path)? {
                Content::Hdf5 => open_hdf5(path, context)?,
                Content::Gzip => return fail(ErrorKind::Gzipped),
                Content::Zip => match zarr::ZarrStore::open_zip(path, context)? {
                    Some(store) => Box::new(store),
                    None => return fail(not_anndata("a zip archive without zarr.json or .zgroup")),
                },
                Content::Other(found) => return fail(not_anndata(found)),
            }
        };
        Ok(Store {
            path: path.to_owned(),
            backend,
        })
    }

    pub(crate) fn from_backend(path: PathBuf, backend: Box<dyn Backend>) -> Store {
        Store { path, backend }
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands at a path; `None` when nothing does.
    pub fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        self.backend.node(element)
    }

    /// The names in a group, in no particular order; the fields of a table, in theirs.
    pub fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.backend.children(group)
    }

    /// What is wrong with the members of a group that cannot be read at all: names that are no
    /// text, damaged headers. [`children`](Self::children) lists the others.
    pub fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        let mut errors = self.backend.unreadable(group)?;
        for name in self.children(group)? {
            let element = match group {
                "" => name,
                group => format!("{group}/{name}"),
            };
            errors.extend(self.node(&element).err());
        }
        Ok(errors)
    }

    /// The names of the attributes of a group or array, in no particular order.
    pub fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        self.backend.attribute_names(element)
    }

    /// An attribute of a group or array; `None` when it has none of that name.
    pub fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        self.backend.attribute(element, name)
    }

    /// Opens an array: finds where all of its chunks lie.
    pub fn array(&self, element: &str) -> Result<Array, Error> {
        self.backend.array(element)
    }

    /// The text of an attribute; `None` when there is no such attribute.
    pub(crate) fn text_attribute(
        &self,
        element: &str,
        name: &str,
    ) -> Result<Option<String>, Error> {
        match self.attribute(element, name)? {
            None => Ok(None),
            Some(Attribute::Text(text)) => Ok(Some(text)),
            Some(other) => {
                let expected = format!("attribute {name} to be a text");
                Err(self.invalid(element, expected, other.to_string()))
            }
        }
    }

    pub(crate) fn invalid(
        &self,
        element: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::invalid(&self.path, element, expected, found)
    }
}

/// The backend that the context's options ask for.
fn open_hdf5(path: &Path, context: &IoContext) -> Result<Box<dyn Backend>, Error> {
    match context.options().hdf5 {
        Hdf5Backend::Pure => Ok(Box::new(hdf5::Hdf5Store::open(path, context)?)),
        #[cfg(feature = "libhdf5")]
        Hdf5Backend::LibHdf5 => Ok(Box::new(libhdf5::LibHdf5Store::open(path, context)?)),
        #[cfg(feature = "libhdf5")]
        Hdf5Backend::PureThenLibHdf5 => fallback::open(path, context),
        #[cfg(not(feature = "libhdf5"))]
        Hdf5Backend::LibHdf5 | Hdf5Backend::PureThenLibHdf5 => Err(Error::unsupported(
            path,
            "",
            "the HDF5 C library in a build without the feature libhdf5",
            "build with it (cargo build --features libhdf5; needs cmake and a C compiler), or keep \
             the default backend",
        )),
    }
}

/// Whether a path is a URL such as `s3://bucket/key`.
fn is_url(path: &Path) -> bool {
    path.to_str()
        .and_then(|path| path.split_once("://"))
        .is_some_and(|(scheme, _)| {
            scheme.len() > 1
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
}

enum Content {
    Hdf5,
    Gzip,
    Zip,
    Other(&'static str),
}

fn sniff(path: &Path) -> Result<Content, Error> {
    let io_error = |error| Error::io(path, "", error);
    let mut head = Vec::new();
    let file = File::open(path).map_err(io_error)?;
    file.take(1 << 20)
        .read_to_end(&mut head)
        .map_err(io_error)?;
    // The signature may stand behind a user block of 512, 1024, 2048, ... bytes.
    let user_blocks = std::iter::successors(Some(512usize), |n| n.checked_mul(2));
    let offsets = std::iter::once(0)
        .chain(user_blocks)
        .take_while(|&n| n < head.len());
    if offsets
        .into_iter()
        .any(|at| head[at..].starts_with(&HDF5_SIGNATURE))
    {
        return Ok(Content::Hdf5);
    }
    Ok(match &head[..] {
        [] => Content::Other("an empty file"),
        [0x1f, 0x8b, ..] => Content::Gzip,
        [b'P', b'K', 3, 4, ..] => Content::Zip,
        _ => Content::Other("a file without the HDF5 signature"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        assert!(is_url(Path::new("s3://bucket/a.h5ad")));
        assert!(is_url(Path::new("https://host/a.h5ad")));
        assert!(!is_url(Path::new("/data/a.h5ad")));
        assert!(!is_url(Path::new("a://b")), "a drive letter is no scheme");
    }

    #[test]
    fn content_decides_not_the_extension() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let open = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).expect("a small file");
            Store::open(&path, &IoContext::default())
                .expect_err("not AnnData")
                .to_string()
        };
        assert!(open("a.h5ad", b"").contains("an empty file"));
        assert!(open("b.h5ad", b"\x1f\x8b\x08\x00").contains("gunzip"));
        assert!(open("c.zarr", b"PK\x03\x04").contains("a zip archive that can be read"));
        assert!(open("d.h5ad", b"hello").contains("without the HDF5 signature"));
        let error = Store::open(dir.path(), &IoContext::default()).expect_err("no zarr");
        assert!(error.to_string().contains("without zarr.json"));
        let error = Store::open(&dir.path().join("absent"), &IoContext::default());
        assert!(matches!(
            error.expect_err("absent").kind(),
            ErrorKind::NotFound
        ));
    }
}
