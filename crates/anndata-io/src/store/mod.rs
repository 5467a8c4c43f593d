//! Stores: groups, arrays and attributes, whatever the file format.
//!
//! Takes a path and the context. Returns a [`Store`], which opens arrays and attributes by their
//! paths. There is one backend per format; all make the same [`Array`]s:
//!
//! ```text
//! location ─▶ content.rs: what it is ─┬─ hdf5/    (libhdf5, fallback: the C library)
//!                                     ├─ zarr/    directories and zip archives
//!                                     └─ memory.rs
//! subgroup.rs: a group of a store as a store · container.rs: MuData, SpatialData, loom
//! ```

use std::path::{Path, PathBuf};

use crate::array::Array;
use crate::error::{Error, ErrorKind};
use crate::io::bytes::ByteSource;
use crate::io::context::IoContext;
use crate::io::file::FileSource;
use crate::io::location::{self, Existing, Location};
use crate::io::options::{Hdf5Backend, ZarrBackend};
use crate::path::member;

mod backend;
pub(crate) mod container;
mod content;
#[cfg(feature = "libhdf5")]
mod fallback;
pub(crate) mod hdf5;
#[cfg(feature = "libhdf5")]
mod libhdf5;
pub(crate) mod memory;
mod remote;
mod subgroup;
pub(crate) mod zarr;
#[cfg(feature = "zarrs")]
mod zarrs;

pub(crate) use backend::Backend;
pub use backend::{Attribute, Node};
use content::Content;
pub use memory::MemoryStore;
use subgroup::Subgroup;

/// An opened store: an HDF5 file, a zarr directory or a zip archive of one, or memory.
///
/// It is meant to be short-lived: take the [`Array`]s that you need, which stay valid, and drop it.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    backend: Box<dyn Backend>,
}

impl Store {
    /// Opens a file or directory by its content: the extension does not matter. A group inside a
    /// file is a store as well, named by a path below the file: `cells.h5mu/mod/rna`.
    ///
    /// # Errors
    /// When the path is a URL or does not exist, or holds neither HDF5 nor zarr.
    pub fn open(path: &Path, context: &IoContext) -> Result<Store, Error> {
        Store::open_at(&Location::resolve(path)?, context)
    }

    /// Opens a path that was resolved before.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at(location: &Location, context: &IoContext) -> Result<Store, Error> {
        if let Some(url) = location.url() {
            return remote::open(url, context);
        }
        let (name, path) = (location.name(), location.path());
        let store = Store::open_absolute(name, path.to_owned(), context);
        let store = store.map_err(|error| match error.file() == path {
            true => Error::new(name, error.element(), error.kind().clone()),
            false => error,
        })?;
        if name == path {
            return Ok(store);
        }
        let named = Subgroup {
            backend: store.backend,
            group: String::new(),
            path: name.to_owned(),
        };
        Ok(Store {
            path: name.to_owned(),
            backend: Box::new(named),
        })
    }

    fn open_absolute(given: &Path, path: PathBuf, context: &IoContext) -> Result<Store, Error> {
        let fail = |kind| Err(Error::new(&path, "", kind));
        // Errors name a missing path as the user gave it.
        let not_found = || Error::new(given, "", ErrorKind::NotFound);
        let not_anndata = |found: String| {
            let expected = "an HDF5 file, a zarr directory or a zip archive of one".to_owned();
            ErrorKind::NotAnnData { expected, found }
        };
        let Existing {
            path: file,
            meta,
            inner,
        } = location::existing(&path)?.ok_or_else(not_found)?;
        let backend: Box<dyn Backend> = if meta.is_dir() {
            match zarr_directory(&file, &inner, context)? {
                Some(store) => by_zarr(store, context)?,
                None if inner.is_empty() => return fail(not_anndata(content::folder(&file))),
                None => return Err(not_found()),
            }
        } else if !meta.is_file() {
            // Opening a pipe would block.
            let found = content::special(&meta).to_owned();
            return fail(not_anndata(found));
        } else {
            match content::sniff(&file)? {
                Content::Hdf5 => {
                    let backend = open_hdf5(&file, context)?;
                    if !inner.is_empty() {
                        return Store::below(file, backend, path, &inner)?.ok_or_else(not_found);
                    }
                    backend
                }
                Content::Gzip => return fail(ErrorKind::Gzipped),
                Content::Zip => {
                    let source = FileSource::open_settled(context, &file);
                    let source = source.map_err(|error| Error::io(&file, "", error))?;
                    let source = ByteSource::File(source);
                    match zarr::ZarrStore::open_zip(&file, source, &inner, context)? {
                        Ok(store) => by_zarr(store, context)?,
                        Err(found) => return fail(not_anndata(found)),
                    }
                }
                Content::Other(found) => return fail(not_anndata(found)),
            }
        };
        Ok(Store { path, backend })
    }

    /// Opens the group `inner` of an HDF5 file as a store; in a MuData file, also by the name of a
    /// table. `None` if the file has neither.
    fn below(
        file: PathBuf,
        backend: Box<dyn Backend>,
        path: PathBuf,
        inner: &str,
    ) -> Result<Option<Store>, Error> {
        for group in [inner.to_owned(), member("mod", inner)] {
            match backend.node(&group)? {
                Some(Node::Group) => {
                    let below = Subgroup {
                        backend,
                        group,
                        path: path.clone(),
                    };
                    let backend = Box::new(below);
                    return Ok(Some(Store { path, backend }));
                }
                Some(Node::Array | Node::Table) => {
                    return Err(Error::invalid(&file, group, "a group", "an array"));
                }
                None => {}
            }
        }
        let store = Store {
            path: file,
            backend,
        };
        match &*container::tables(&store) {
            [] => Ok(None),
            tables => {
                let found = format!("a file with {}", container::listed(&store, tables));
                Err(store.not_anndata(format!("a group {inner}"), found))
            }
        }
    }

    pub(crate) fn from_backend(path: PathBuf, backend: Box<dyn Backend>) -> Store {
        Store { path, backend }
    }

    /// The file or directory as the user named it; for a table inside a file, with its path in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the kind of object at a path; `None` if nothing is there.
    ///
    /// # Errors
    /// When it cannot be determined: a damaged link, metadata that does not parse.
    pub fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        self.backend.node(element)
    }

    /// Returns the names in a group, in no particular order; for a table, its fields in their
    /// order.
    ///
    /// # Errors
    /// When there is no such group, or its members cannot be listed.
    pub fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.backend.children(group)
    }

    /// Returns an error per member of a group that cannot be read at all: names that are not text,
    /// damaged headers. [`children`](Self::children) lists the others.
    ///
    /// # Errors
    /// When the members of the group cannot be listed.
    pub fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        let mut errors = self.backend.unreadable(group)?;
        for name in self.children(group)? {
            errors.extend(self.node(&member(group, &name)).err());
        }
        Ok(errors)
    }

    /// Returns the names of the attributes of a group or array, in no particular order.
    ///
    /// # Errors
    /// When the attributes cannot be read.
    pub fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        self.backend.attribute_names(element)
    }

    /// Returns an attribute of a group or array; `None` if there is no such attribute.
    ///
    /// # Errors
    /// When the attributes cannot be read.
    pub fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        self.backend.attribute(element, name)
    }

    /// Opens an array: locates all of its chunks.
    ///
    /// # Errors
    /// When there is no such array, or this crate does not support it.
    pub fn array(&self, element: &str) -> Result<Array, Error> {
        self.backend.array(element)
    }

    /// Returns the names of a group's members that lead nowhere, and where they point.
    pub(crate) fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error> {
        self.backend.dangling(group)
    }

    /// Whether the file states that a process is writing it.
    pub(crate) fn has_writer(&self) -> bool {
        self.backend.has_writer()
    }

    /// Returns the text of an attribute; `None` if there is no such attribute.
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

    pub(crate) fn not_anndata(&self, expected: String, found: String) -> Error {
        let kind = ErrorKind::NotAnnData { expected, found };
        Error::new(&self.path, "", kind)
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

/// Opens the HDF5 backend that the context's options select.
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

/// Opens the zarr backend that the context's options select.
fn by_zarr(store: zarr::ZarrStore, context: &IoContext) -> Result<Box<dyn Backend>, Error> {
    match context.options().zarr {
        ZarrBackend::Pure => Ok(Box::new(store)),
        #[cfg(feature = "zarrs")]
        ZarrBackend::Zarrs => Ok(Box::new(zarrs::ZarrsStore::new(store, false))),
        #[cfg(feature = "zarrs")]
        ZarrBackend::PureThenZarrs => Ok(Box::new(zarrs::ZarrsStore::new(store, true))),
        #[cfg(not(feature = "zarrs"))]
        ZarrBackend::Zarrs | ZarrBackend::PureThenZarrs => Err(Error::unsupported(
            store.path(),
            "",
            "zarrs in a build without the feature zarrs",
            "build with it (cargo build --features zarrs), or keep the default backend",
        )),
    }
}

/// Returns the zarr directory to which a path leads; in a MuData directory, also by the name of a
/// table.
fn zarr_directory(
    directory: &Path,
    inner: &str,
    context: &IoContext,
) -> Result<Option<zarr::ZarrStore>, Error> {
    let store = zarr::ZarrStore::open(directory, context)?;
    if inner.is_empty() || store.is_none() {
        return Ok(store.filter(|_| inner.is_empty()));
    }
    zarr::ZarrStore::open(&directory.join("mod").join(inner), context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_open_goes_by_content_not_by_extension() {
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
