//! The bands of a matrix in a cache on disk.

use std::ops::Range;
use std::sync::Arc;

use super::super::compressed::Compressed;
use row_pack::{Pack, PackLayout};

use crate::array::Array;
use crate::io::pack_cache::{BandRecord, MatrixName, PackCache, PackKey, SegmentSlice};
use crate::matrix::{MatrixLayout, MatrixSource};

/// The format of packs. The version of the crate is part of it, because a corrected decoder may read
/// other values from the same file.
const VERSION: &str = concat!("packs 1, anndata-io ", env!("CARGO_PKG_VERSION"));

/// One matrix of a cache.
#[derive(Debug)]
pub(in crate::matrix) struct CachedMatrix {
    cache: PackCache,
    name: MatrixName,
    /// The arrays that bands are made of.
    arrays: Vec<Array>,
}

impl CachedMatrix {
    /// `None` without a cache, or if the matrix does not lie in files that can be identified.
    fn new(source: &MatrixSource) -> Option<CachedMatrix> {
        let array = source.pack_array()?;
        let cache = array.parts().context.cache()?;
        if !source.is_packable() {
            return None;
        }
        let mut depends = VERSION.as_bytes().to_vec();
        let (arrays, element) = match &source.layout {
            MatrixLayout::Csr(matrix) => {
                let Compressed {
                    shape,
                    indptr,
                    indices,
                    data,
                    ..
                } = matrix.parts();
                depends.extend(shape.map(u64::to_le_bytes).as_flattened());
                let pointers = blake3::hash(bytemuck::cast_slice(indptr));
                depends.extend(pointers.as_bytes());
                let element = data.element().trim_end_matches("/data");
                (vec![indices.clone(), data.clone()], element)
            }
            _ => (vec![array.clone()], array.element()),
        };
        for array in &arrays {
            array.identify(&mut depends)?;
        }
        let file = array.file().canonicalize().ok()?;
        Some(CachedMatrix {
            cache: cache.clone(),
            name: MatrixName {
                key: PackKey(hash(&depends)),
                file: file.to_string_lossy().into_owned(),
                element: element.to_owned(),
            },
            arrays,
        })
    }

    /// Visits what the cache holds of it: records of bands, and the bytes of their packs.
    pub(super) fn known(&self, visit: impl FnMut(BandRecord, u64)) {
        self.cache.known(self.name.key, visit);
    }

    pub(super) fn is_full(&self) -> bool {
        self.cache.is_full()
    }

    /// A band that was decoded from this range of the arrays, in a pack of at most `most` bytes.
    /// `None` if the cache does not have it, or its files changed since they were opened.
    pub(super) fn find(
        &self,
        band: u64,
        span: Range<u64>,
        most: u64,
    ) -> Option<(BandRecord, SegmentSlice, PackLayout)> {
        let layout = |bytes: &[u8]| Some(Pack::parse(bytes).ok()?.layout());
        let found = self.cache.find(self.name.key, band, most, layout)?;
        self.is_unchanged(span).then_some(found)
    }

    /// Keeps a band that was decoded from this range of the arrays.
    pub(super) fn put(
        &self,
        record: BandRecord,
        span: Range<u64>,
        bytes: &[u8],
    ) -> Option<SegmentSlice> {
        let is_unchanged = self.is_unchanged(span);
        is_unchanged
            .then(|| self.cache.put(&self.name, record, bytes))
            .flatten()
    }

    fn is_unchanged(&self, span: Range<u64>) -> bool {
        let within = |array: &Array| span.start..span.end.min(array.shape()[0]);
        self.arrays
            .iter()
            .all(|array| array.is_unchanged(within(array)))
    }
}

impl MatrixSource {
    /// Says that these matrices are in use, so that the [cache](crate::IoContext::with_cache) keeps
    /// their packs. A matrix that is read without this call registers itself at its first read, and
    /// each such registration searches the whole cache again.
    pub fn use_cache<'a>(sources: impl IntoIterator<Item = &'a MatrixSource>) {
        let mut caches: Vec<(PackCache, Vec<PackKey>)> = Vec::new();
        for source in sources
            .into_iter()
            .filter(|source| source.cached.get().is_none())
        {
            let cached = source
                .cached
                .get_or_init(|| Box::new(CachedMatrix::new(source).map(Arc::new)));
            let Some(cached) = cached else { continue };
            let key = cached.name.key;
            match caches
                .iter_mut()
                .find(|(cache, _)| cache.is_same(&cached.cache))
            {
                Some((_, keys)) => keys.push(key),
                None => caches.push((cached.cache.clone(), vec![key])),
            }
        }
        for (cache, keys) in caches {
            cache.add_matrices(keys);
        }
    }

    /// Whether a [cache](crate::IoContext::with_cache) keeps packs of this matrix: there is one, and
    /// the matrix is [packable](Self::is_packable) and lies in files that can be told from changed
    /// ones.
    pub fn is_cacheable(&self) -> bool {
        self.cached().is_some()
    }

    /// Its bands on disk, if there is a cache.
    pub(super) fn cached(&self) -> Option<&Arc<CachedMatrix>> {
        if self.cached.get().is_none() {
            MatrixSource::use_cache([self]);
        }
        self.cached.get()?.as_ref()
    }
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    let hash = blake3::hash(bytes);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}
