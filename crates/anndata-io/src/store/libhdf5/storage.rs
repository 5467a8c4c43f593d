//! The storage of a dataset, and the most that its blocks may hold in good faith.

use std::collections::HashMap;
use std::ffi::{OsString, c_int};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use hdf5::Datatype;
use hdf5::dataset::Layout;
use hdf5::filters::Filter;
use hdf5::plist::{DatasetAccess, DatasetCreate};

use super::super::hdf5::filter_name;
use super::blocks::Blocks;
use super::call::{Held, Result};
use super::{LibHdf5Store, ffi};
use crate::error::Error;
use crate::io::file::FileSource;

/// Above the ratio of any filter: scaleoffset can remove all bytes of a chunk of equal values.
const BEST_RATIO: u64 = 1 << 20;
/// Above the ratio of gzip.
const BEST_RATIO_OF_GZIP: u64 = 1032;

/// The storage of a dataset.
#[derive(Debug)]
pub(super) struct Storage {
    layout: Layout,
    /// The shape of its chunks, if it has chunks.
    pub(super) chunk: Option<Vec<u64>>,
    /// The numbers of its filters, and whether this build of the library has each.
    filters: Vec<(c_int, bool)>,
    /// Names of files with its raw data; empty if it has its own.
    external: Vec<Vec<u8>>,
    /// Names of the files that make up a virtual dataset.
    virtual_files: Vec<Vec<u8>>,
}

impl Storage {
    pub(super) fn of(creation: &DatasetCreate) -> Result<Storage> {
        let layout = creation.layout();
        let chunk = creation.chunk();
        let filters = ffi::filters(creation)?.into_iter();
        Ok(Storage {
            layout,
            chunk: chunk.map(|chunk| chunk.into_iter().map(|extent| extent as u64).collect()),
            filters: filters
                .map(|id| (id, Filter::get_info(id).is_available))
                .collect(),
            external: ffi::external_files(creation)?,
            virtual_files: match layout {
                Layout::Virtual => ffi::virtual_files(creation)?,
                _ => Vec::new(),
            },
        })
    }
}

impl LibHdf5Store {
    /// Makes a reader of the blocks of the dataset at `path`, of `block` bytes each. Errors name
    /// `element`: the dataset, or a field of it.
    pub(super) fn blocks(
        &self,
        (element, path): (&str, &str),
        rank: usize,
        storage: Storage,
        memory_type: Held<Datatype>,
        block: u64,
    ) -> std::result::Result<Blocks, Error> {
        let fail = self.fail(element);
        // Names of raw files are relative to the HDF5 file if the named file exists beside it.
        // Otherwise, as by the library's default, they are relative to the working directory.
        let beside = |name: &Vec<u8>| {
            let name = String::from_utf8_lossy(name);
            let folder = self.path.parent();
            folder.is_some_and(|folder| folder.join(&*name).exists())
        };
        let mut access = DatasetAccess::build();
        if storage.external.first().is_some_and(beside) {
            access.efile_prefix("${ORIGIN}");
        }
        let is_text = memory_type.with(ffi::is_variable_text).map_err(fail)?;
        if !is_text {
            // Only texts need the library's cache of decoded chunks: they are read in pieces
            // smaller than chunks.
            access.chunk_cache(1, 0, 1.0);
        }
        let opened = self.root.with(|root| {
            let dataset = ffi::open_dataset(root, path, &access.finish()?)?;
            let mut chunk_sizes = HashMap::new();
            if storage.layout == Layout::Chunked {
                dataset.chunks_visit(|chunk| {
                    chunk_sizes.insert(chunk.offset.to_vec(), chunk.size);
                    0
                })?;
            }
            let file = ffi::file_of(&dataset)?;
            let size = dataset.storage_size();
            Ok((Held::new(dataset), file, size, chunk_sizes))
        });
        let (dataset, file, size, chunk_sizes) = opened.map_err(fail)?;
        // Behind an external link, the dataset lies in another file.
        let file = PathBuf::from(OsString::from_vec(file));
        let source = if file == self.path {
            self.source.clone()
        } else {
            FileSource::open(&self.context, &file)
                .map_err(|error| Error::io(&self.path, element, error))?
        };
        let (stored, ratio) = match storage.layout {
            Layout::Virtual => (bytes_of_files(&source, &storage.virtual_files), BEST_RATIO),
            _ if !storage.external.is_empty() => {
                (size.min(bytes_of_files(&source, &storage.external)), 1)
            }
            _ => (
                size.min(source.len()),
                self.best_ratio(element, &storage.filters)?,
            ),
        };
        Ok(Blocks {
            place: (self.path.clone(), element.to_owned()),
            rank,
            source,
            dataset,
            memory_type,
            layout: storage.layout,
            chunk_sizes,
            block,
            stored,
            ratio,
        })
    }

    /// Returns the most bytes that one stored byte may become; an error names a filter that is
    /// missing.
    fn best_ratio(
        &self,
        element: &str,
        filters: &[(c_int, bool)],
    ) -> std::result::Result<u64, Error> {
        if let Some((id, _)) = filters.iter().find(|(_, available)| !available) {
            let name = u16::try_from(*id).ok().and_then(filter_name);
            let name = name.unwrap_or("unknown");
            let what = format!("the HDF5 filter {name} ({id}) by the C library of this build");
            let way_out = "use the default backend, or rewrite the file with gzip";
            return Err(Error::unsupported(&self.path, element, what, way_out));
        }
        // Deflate, shuffle and fletcher32 are 1 to 3.
        Ok(match filters.len() {
            0 => 1,
            1..=3 if filters.iter().all(|(id, _)| (1..=3).contains(id)) => BEST_RATIO_OF_GZIP,
            _ => BEST_RATIO,
        })
    }
}

/// Returns the total bytes of the files that make up a dataset.
fn bytes_of_files(own: &FileSource, names: &[Vec<u8>]) -> u64 {
    let mut names: Vec<&Vec<u8>> = names.iter().collect();
    names.sort_unstable();
    names.dedup();
    let len = |name: &str| {
        let meta = std::fs::metadata(found(own, name));
        meta.ok().map(|meta| meta.len())
    };
    let lens = names.into_iter().map(|name| {
        let name = String::from_utf8_lossy(name);
        match &*name {
            "." => own.len(),
            // One file per block: count the files that exist.
            name if name.contains("%b") => (0..1 << 16)
                .map_while(|block| len(&name.replace("%b", &format!("{block}"))))
                .fold(0, u64::saturating_add),
            name => len(name).unwrap_or(0),
        }
    });
    lens.fold(0, u64::saturating_add)
}

/// Returns the file to which a name in another file leads: beside that file, otherwise the name
/// itself.
fn found(own: &FileSource, name: &str) -> PathBuf {
    let beside = own.path().parent().map(|folder| folder.join(name));
    beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| name.into())
}
