//! Where packs are kept on disk, and how many bytes they may take.

use std::path::{Path, PathBuf};

use crate::io::location::home_folder;

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

/// The most bytes of the cache of a user.
const MOST_OF_USER: u64 = 20 << 30;

/// The bytes of a disk that are free, or taken by segments in a folder of it.
fn room(folder: &Path) -> u64 {
    let on_disk = folder.ancestors().find(|folder| folder.exists());
    let disk = on_disk.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let free = disk.map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let segments = std::fs::read_dir(folder.join("packs"))
        .into_iter()
        .flatten();
    let lens = segments.filter_map(|segment| Some(segment.ok()?.metadata().ok()?.len()));
    lens.fold(free, u64::saturating_add)
}

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

    /// The folder `mapped-anndata` in the cache folder of the user (`XDG_CACHE_HOME`, or
    /// `~/.cache`; on macOS, `~/Library/Caches`): 20 GiB, or a tenth of the disk that is free or
    /// already taken by this folder, whichever is less. `None` if the user has no home.
    pub fn of_user() -> Option<CacheOptions> {
        let below = match cfg!(target_os = "macos") {
            true => "Library/Caches",
            false => ".cache",
        };
        let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = caches.filter(|caches| caches.is_absolute());
        let caches = caches.or_else(|| Some(home_folder()?.join(below)));
        let folder = caches?.join("mapped-anndata");
        let size = (room(&folder) / 10).min(MOST_OF_USER);
        Some(CacheOptions::new(folder).size(size))
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
