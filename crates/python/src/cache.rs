//! Where packed rows are kept.

use std::path::PathBuf;

use mapped_anndata::{CacheOptions, MappedCollectionBuilder};
use pyo3::prelude::*;

/// `cache` of a collection.
#[derive(FromPyObject)]
pub(crate) enum Cache {
    /// Nowhere, or where the collection chooses.
    Flag(bool),
    Folder(PathBuf),
}

pub(crate) fn with_cache(
    builder: MappedCollectionBuilder,
    cache: Option<Cache>,
    size: Option<u64>,
) -> MappedCollectionBuilder {
    let builder = match cache {
        None | Some(Cache::Flag(true)) => builder,
        Some(Cache::Flag(false)) => builder.cache(None),
        Some(Cache::Folder(folder)) => builder.cache(match size {
            Some(size) => CacheOptions::new(folder).size(size),
            None => CacheOptions::new(folder),
        }),
    };
    match size {
        Some(size) => builder.user_cache_size(size),
        None => builder,
    }
}
