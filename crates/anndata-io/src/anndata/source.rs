//! Where an AnnData object is.

use std::path::{Path, PathBuf};

use super::AnnDataFile;
use crate::error::Error;
use crate::io::context::IoContext;
use crate::io::location::Location;
use crate::store::{MemoryStore, Store};

/// Where an AnnData object is: a path, or memory.
#[derive(Debug, Clone, PartialEq)]
pub enum AnnDataSource {
    /// A `.h5ad` file, a `.zarr` directory or a `.zarr.zip` archive; the content decides. A table
    /// inside a file is named by a path below it: `cells.h5mu/mod/rna`. A `file:` URL is a path.
    Path(PathBuf),
    /// A path that was resolved: another current folder does not change what it leads to.
    At(Location),
    /// A store in memory.
    Memory(MemoryStore),
}

impl AnnDataSource {
    /// Opens it.
    ///
    /// # Errors
    /// As [`AnnDataFile::open`].
    pub fn open(&self, context: &IoContext) -> Result<AnnDataFile, Error> {
        match self {
            AnnDataSource::Path(path) => AnnDataFile::open_in(path, context),
            AnnDataSource::At(location) => {
                AnnDataFile::from_store(Store::open_at(location, context)?)
            }
            AnnDataSource::Memory(store) => {
                AnnDataFile::from_store(store.clone().in_context(context).into())
            }
        }
    }

    /// The same source with its path resolved against the current folder.
    ///
    /// # Errors
    /// When the path is a URL of something remote, or is empty.
    pub fn resolved(self) -> Result<AnnDataSource, Error> {
        match self {
            AnnDataSource::Path(path) => Location::resolve(&path).map(AnnDataSource::At),
            resolved => Ok(resolved),
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for AnnDataSource {
    fn from(path: &P) -> Self {
        AnnDataSource::Path(path.as_ref().to_owned())
    }
}

impl From<PathBuf> for AnnDataSource {
    fn from(path: PathBuf) -> Self {
        AnnDataSource::Path(path)
    }
}

impl From<String> for AnnDataSource {
    fn from(path: String) -> Self {
        AnnDataSource::Path(path.into())
    }
}

impl From<MemoryStore> for AnnDataSource {
    fn from(store: MemoryStore) -> Self {
        AnnDataSource::Memory(store)
    }
}
