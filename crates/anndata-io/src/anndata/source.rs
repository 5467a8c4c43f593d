//! The place of an AnnData object.

use std::path::{Path, PathBuf};

use super::AnnDataFile;
use crate::error::Error;
use crate::io::context::IoContext;
use crate::io::location::Location;
#[cfg(feature = "remote")]
use crate::io::remote::StorageOptions;
use crate::store::{MemoryStore, Store};

/// The place of an AnnData object: a path, or memory.
#[derive(Debug, Clone, PartialEq)]
pub enum AnnDataSource {
    /// A `.h5ad` file, a `.zarr` directory or a `.zarr.zip` archive; the content decides. A path
    /// below a file names a table inside it: `cells.h5mu/mod/rna`. A `file:` URL is a path.
    Path(PathBuf),
    /// A resolved path: its target stays the same when the current folder changes.
    At(Location),
    /// A store in memory.
    Memory(MemoryStore),
}

impl AnnDataSource {
    /// Opens the AnnData object.
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

    /// Returns the same source, reached by these options if it is in a bucket.
    ///
    /// # Errors
    /// As [`resolved`](Self::resolved).
    #[cfg(feature = "remote")]
    pub fn with_storage(self, storage: &StorageOptions) -> Result<AnnDataSource, Error> {
        Ok(match self.resolved()? {
            AnnDataSource::At(location) => AnnDataSource::At(location.with_storage(storage)),
            other => other,
        })
    }

    /// The path as it was given, of a URL without what may be secret; of a store in memory, its name.
    pub fn name(&self) -> &Path {
        match self {
            AnnDataSource::Path(path) => path,
            AnnDataSource::At(location) => location.name(),
            AnnDataSource::Memory(store) => store.name(),
        }
    }

    /// Whether the store lies on a server, so that reads wait for it.
    pub fn is_remote(&self) -> bool {
        match self {
            AnnDataSource::At(location) => location.url().is_some(),
            _ => false,
        }
    }

    /// Returns the same source with its path resolved against the current folder.
    ///
    /// # Errors
    /// When the path is a remote URL, or is empty.
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
