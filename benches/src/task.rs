//! What is read, and how: the names that the command line has for options of the library.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mapped_collection::{
    CacheOptions, DType, IoOptions, Join, MappedCollection, MappedCollectionBuilder, MatrixFormat,
};

use crate::Failure;
use crate::checksum::{LABEL, MATRIX, mix};

/// The collection to open: X, joined, and encoded labels.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Files, in the order of their rows.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How genes are joined.
    #[arg(long, value_enum, default_value_t = JoinName::Inner)]
    join: JoinName,
    /// Columns of obs to read; the first must be the label for a checksum.
    #[arg(long, value_delimiter = ',', default_value = LABEL)]
    obs: Vec<String>,
    /// MiB of decoded chunks to keep.
    #[arg(long, default_value_t = 64)]
    cache_mib: usize,
    /// A folder for packs.
    #[arg(long)]
    cache: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum JoinName {
    Inner,
    Outer,
}

/// The layout of a batch.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OutputName {
    Dense,
    Csr,
}

impl From<OutputName> for MatrixFormat {
    fn from(name: OutputName) -> MatrixFormat {
        match name {
            OutputName::Dense => MatrixFormat::Dense,
            OutputName::Csr => MatrixFormat::Csr,
        }
    }
}

impl Source {
    /// The options to open with.
    pub(crate) fn builder(&self) -> MappedCollectionBuilder {
        let join = match self.join {
            JoinName::Inner => Join::Inner,
            JoinName::Outer => Join::Outer,
        };
        MappedCollection::builder(self.paths.iter().map(PathBuf::as_path))
            .layers([MATRIX])
            .obs(self.obs.iter().filter(|key| !key.is_empty()))
            .join(join)
            .dtype(DType::F32)
            .io(IoOptions::new().cache_bytes(self.cache_mib << 20))
            .cache(self.cache.clone().map(CacheOptions::new))
    }

    /// The opened collection.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub(crate) fn open(&self) -> Result<MappedCollection, Failure> {
        Ok(self.builder().open()?)
    }
}

/// The `number`-th row to draw at random, with replacement, from `n_obs` rows (fewer than 2^32);
/// `checksum.py` draws the same.
pub(crate) fn random_row(seed: u64, number: u64, n_obs: usize) -> i64 {
    let word = mix((seed << 32).wrapping_add(number)) >> 32;
    ((word * n_obs as u64) >> 32) as i64
}
