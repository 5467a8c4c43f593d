//! The bands of a matrix in a cache on disk.

use std::ops::Range;
use std::sync::Arc;

use super::super::compressed::Compressed;
use row_pack::{Pack, PackLayout};

use crate::array::Array;
use crate::io::byte_size::ByteSize;
use crate::io::pack_cache::{BandRecord, MatrixName, PackCache, PackKey, SegmentSlice};
use crate::limits::MOST_PACKED_BANDS;
use crate::matrix::{MatrixLayout, MatrixSource};

/// The format of packs. The version of the crate is part of it, because a corrected decoder may read
/// other values from the same file.
const VERSION: &str = concat!("packs 1, anndata-io ", env!("CARGO_PKG_VERSION"));

/// The bytes of packs for each byte of compressed chunks, as measured for gzip.
const PACKED_PART: f64 = 0.6;

/// One matrix of a cache.
#[derive(Debug)]
pub(in crate::matrix) struct CachedMatrix {
    cache: PackCache,
    name: MatrixName,
    /// The arrays that bands are made of.
    arrays: Vec<Array>,
    /// Whether every band of rows is made of all columns.
    is_csc: bool,
}

impl CachedMatrix {
    /// `None` without a cache, or if the matrix does not lie in files that can be identified.
    fn new(source: &MatrixSource) -> Option<CachedMatrix> {
        let array = source.pack_array()?;
        let context = &array.parts().context;
        let cache = context.cache()?;
        if context.keeps_only_remote() && !array.is_remote() {
            return None;
        }
        let is_csc = matches!(source.layout, MatrixLayout::Csc(_));
        if !(source.is_packable() || is_csc && source.n_bands() <= MOST_PACKED_BANDS) {
            return None;
        }
        let mut depends = VERSION.as_bytes().to_vec();
        let compressed = match &source.layout {
            MatrixLayout::Csr(matrix) => Some(matrix.parts()),
            MatrixLayout::Csc(matrix) => Some(matrix.parts()),
            _ => None,
        };
        let (arrays, element) = match compressed {
            Some(Compressed {
                shape,
                major,
                indptr,
                indices,
                data,
            }) => {
                depends.extend((*major as u64).to_le_bytes());
                depends.extend(shape.map(u64::to_le_bytes).as_flattened());
                let pointers = blake3::hash(bytemuck::cast_slice(indptr));
                depends.extend(pointers.as_bytes());
                let element = data.element().trim_end_matches("/data");
                (vec![indices.clone(), data.clone()], element)
            }
            None => (vec![array.clone()], array.element()),
        };
        for array in &arrays {
            array.identify(&mut depends)?;
        }
        let file = array.canonical_file()?;
        Some(CachedMatrix {
            cache: cache.clone(),
            name: MatrixName {
                key: PackKey(hash(&depends)),
                file: file.to_string_lossy().into_owned(),
                element: element.to_owned(),
            },
            arrays,
            is_csc,
        })
    }

    /// Visits what the cache holds of it: records of bands, and the bytes of their packs.
    pub(super) fn known(&self, visit: impl FnMut(BandRecord, u64)) {
        self.cache.known(self.name.key, visit);
    }

    pub(super) fn is_full(&self) -> bool {
        self.cache.is_full()
    }

    /// Claims bands of files on servers, as [`PackCache::claim`] does.
    pub(super) fn claim(&self, bands: Vec<u64>) -> Vec<u64> {
        match self.is_remote() {
            true => self.cache.claim(self.name.key, bands),
            false => bands,
        }
    }

    pub(super) fn release(&self, band: u64) {
        self.cache.release(self.name.key, band);
    }

    /// Claims a band of a file on a server, as [`PackCache::claim_or_wait`] does. Returns false for
    /// other files.
    pub(super) fn claim_or_wait(&self, band: u64, is_done: impl FnMut() -> bool) -> bool {
        self.is_remote() && self.cache.claim_or_wait(self.name.key, band, is_done)
    }

    fn is_remote(&self) -> bool {
        self.arrays.iter().any(Array::is_remote)
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

    /// Where the rows of a converted matrix begin and end, if that is kept.
    pub(super) fn row_starts(&self, n_rows: u64, n_stored: u64) -> Option<Vec<u64>> {
        let is_valid = |starts: &[u64]| {
            let ends = [starts.first(), starts.last()];
            ends == [Some(&0), Some(&n_stored)] && starts.is_sorted()
        };
        self.words(BandRecord::ROW_STARTS, n_rows.checked_add(1)?, is_valid)
    }

    /// Keeps where the rows of a converted matrix begin and end.
    pub(super) fn put_row_starts(&self, starts: &[u64]) {
        self.put_words(BandRecord::ROW_STARTS, starts);
    }

    /// A record of `n` words that are valid.
    fn words(&self, record: u64, n: u64, is_valid: impl Fn(&[u64]) -> bool) -> Option<Vec<u64>> {
        let n_bytes = n.checked_mul(8)?;
        let parse = |bytes: &[u8]| {
            let (words, []) = bytes.as_chunks::<8>() else {
                return None;
            };
            let words: Vec<u64> = words.iter().map(|&word| u64::from_le_bytes(word)).collect();
            (bytes.len() as u64 == n_bytes && is_valid(&words)).then_some(words)
        };
        let found = self.cache.find(self.name.key, record, n_bytes, parse)?;
        Some(found.2)
    }

    /// Keeps a record of words. Other processes then see it, and all that this one has packed.
    fn put_words(&self, record: u64, words: &[u64]) {
        let mut bytes = Vec::with_capacity(size_of_val(words));
        words
            .iter()
            .for_each(|word| bytes.extend(word.to_le_bytes()));
        let record = BandRecord {
            band: record,
            first_row: 0,
            n_elements: 0,
        };
        self.cache.put(&self.name, record, &bytes);
        self.cache.complete_current();
    }

    /// The bytes that can be written.
    pub(super) fn room(&self) -> u64 {
        self.cache.available(u64::MAX)
    }

    /// Whether the files of a band are those that were opened. Those of CSC are compared as a whole,
    /// by [`are_all_unchanged`](Self::are_all_unchanged).
    fn is_unchanged(&self, span: Range<u64>) -> bool {
        self.is_csc || self.are_unchanged(span)
    }

    pub(super) fn are_all_unchanged(&self) -> bool {
        self.are_unchanged(0..u64::MAX)
    }

    fn are_unchanged(&self, span: Range<u64>) -> bool {
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

    /// Warns, by the [cache](crate::IoContext::with_cache) of these matrices, if those on servers will
    /// probably not fit: then each epoch fetches rows again.
    pub fn warn_of_small_cache<'a>(sources: impl IntoIterator<Item = &'a MatrixSource>) {
        let cached = sources.into_iter().filter_map(MatrixSource::cached);
        let remote = cached.filter(|cached| cached.is_remote());
        let mut stored = 0u64;
        let mut cache = None;
        for matrix in remote {
            let arrays = matrix.arrays.iter().map(Array::stored_bytes);
            stored = arrays.fold(stored, u64::saturating_add);
            cache = Some(&matrix.cache);
        }
        if let Some(cache) = cache
            && (stored as f64 * PACKED_PART) as u64 > cache.options().get_size()
        {
            let size = ByteSize(cache.options().get_size());
            cache.warn(format!(
                "{}: the matrices take {} on their servers, and this cache at most {size}: each \
                 epoch in random order may fetch all of it again; choose a larger cache_size, \
                 or shuffle in blocks",
                cache.path().display(),
                ByteSize(stored),
            ));
        }
    }

    /// Whether a [cache](crate::IoContext::with_cache) keeps packs of this matrix: there is one, the
    /// matrix is [packable](Self::is_packable) or CSC, and it lies in files that can be told from
    /// changed ones.
    pub fn is_cacheable(&self) -> bool {
        self.cached().is_some()
    }

    /// The totals of all rows, if the [cache](crate::IoContext::with_cache) has them and the file is
    /// still the same.
    pub fn cached_totals(&self) -> Option<Vec<f64>> {
        let cached = self.cached()?;
        let words = cached.words(BandRecord::ROW_TOTALS, self.n_rows(), |_| true)?;
        let is_same = cached.are_all_unchanged();
        is_same.then(|| words.into_iter().map(f64::from_bits).collect())
    }

    /// Keeps the totals of all rows in the [cache](crate::IoContext::with_cache), if there is one.
    pub fn cache_totals(&self, totals: &[f64]) {
        if let Some(cached) = self.cached().filter(|cached| cached.are_all_unchanged()) {
            let words: Vec<u64> = totals.iter().map(|total| total.to_bits()).collect();
            cached.put_words(BandRecord::ROW_TOTALS, &words);
        }
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
