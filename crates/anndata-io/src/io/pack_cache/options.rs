//! Where packs are kept on disk, and how many bytes they may take.

use std::path::{Path, PathBuf};

/// A folder for packed rows, and its size.
///
/// ```
/// use anndata_io::CacheOptions;
///
/// let options = CacheOptions::new("/scratch/packs").size(20 << 30);
/// assert_eq!(options.get_size(), 20 << 30);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CacheOptions {
    folder: PathBuf,
    #[cfg_attr(feature = "serde", serde(default = "default_size"))]
    size: u64,
}

/// The default size.
const DEFAULT_SIZE: u64 = 100 << 30;

#[cfg(feature = "serde")]
fn default_size() -> u64 {
    DEFAULT_SIZE
}

impl CacheOptions {
    /// A folder of at most 100 GiB. It is created if it does not exist.
    pub fn new(folder: impl Into<PathBuf>) -> CacheOptions {
        CacheOptions {
            folder: folder.into(),
            size: DEFAULT_SIZE,
        }
    }

    /// The most bytes that all files of the folder may take together: packs are written only while it
    /// stays within them. Default: 100 GiB.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = bytes;
        self
    }

    /// Returns the folder.
    pub fn get_folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the value of [`size`](Self::size).
    pub fn get_size(&self) -> u64 {
        self.size
    }
}
