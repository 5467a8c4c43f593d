//! What the cache on disk holds of a collection, and how it is filled beforehand.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anndata_io::{MatrixSource, PackCache, PackRoom, Packs, ReadScratch};
use row_pack::Level;

use crate::plan::Plan;

/// The bands that a thread packs before it reports progress.
const BANDS_TOGETHER: u64 = 8;

/// The most bytes of what they are packing that all threads hold together.
const MOST_BYTES: u64 = 1 << 30;

/// The part of a collection that its [cache](crate::MappedCollectionBuilder::cache) holds. Only
/// matrices count that it can hold: compressed ones, and those stored by column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cached {
    /// The number of bands of chunks.
    pub n_bands: usize,
    /// The number of those in the cache.
    pub n_cached: usize,
    /// The bytes of these in the cache.
    pub bytes: u64,
}

impl Cached {
    /// The fraction of all bands that is in the cache; 1 without bands.
    pub fn fraction(&self) -> f64 {
        match self.n_bands {
            0 => 1.0,
            n_bands => self.n_cached as f64 / n_bands as f64,
        }
    }
}

/// The piece of work with which this process begins, of `n` that processes share through a cache.
/// Each begins elsewhere, so that it finds what the others did and does not do it again.
pub(crate) fn first_of_process(n: usize) -> usize {
    // The fractional parts of the multiples of the golden ratio are far from each other.
    let fraction = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((u128::from(fraction) * n as u128) >> 64) as usize
}

impl Plan {
    /// The matrices of the stores that have rows.
    fn sources(&self) -> impl Iterator<Item = &MatrixSource> {
        let stores = self.stores.iter().filter(|store| store.rows.len() > 0);
        stores.flat_map(|store| store.matrices.iter().flatten())
    }

    /// The matrices that packs can hold.
    pub(crate) fn packable(&self) -> impl Iterator<Item = &MatrixSource> {
        self.sources().filter(|source| source.is_packable())
    }

    /// The matrices that the cache can hold.
    fn cacheable(&self) -> impl Iterator<Item = &MatrixSource> {
        self.sources().filter(|source| source.is_cacheable())
    }

    /// Packs that are only on disk.
    pub(crate) fn packs_on_disk(&self) -> Packs {
        Packs::new(self.cacheable(), Level::Bits, &Arc::new(PackRoom::new(0)))
    }

    /// What the cache holds; `None` without a cache.
    pub(crate) fn cached(&self) -> Option<Cached> {
        self.io.cache()?;
        let packs = self.packs_on_disk();
        let (n_bands, n_cached) = packs.n_bands();
        Some(Cached {
            n_bands,
            n_cached,
            bytes: packs.cached_bytes(),
        })
    }

    /// Packs everything that fits into the cache, with all processors. Calls `progress` with the
    /// fraction that is done; if that returns false, stops soon and keeps what is packed.
    pub(crate) fn fill_cache(&self, mut progress: impl FnMut(f64) -> bool) {
        let Some(cache) = self.io.cache() else { return };
        cache.available(u64::MAX);
        // Bands that were read before their segment was found damaged are not in the folder any
        // more: another pass packs them.
        loop {
            let before = cache.n_discarded();
            let is_wanted = self.fill_once(cache, &mut progress);
            cache.flush();
            if !is_wanted || cache.n_discarded() == before {
                return;
            }
        }
    }

    /// Returns false if `progress` did.
    fn fill_once(&self, cache: &PackCache, progress: &mut impl FnMut(f64) -> bool) -> bool {
        let packs = self.packs_on_disk();
        // CSC is packed when it is converted.
        let mut pieces: Vec<(&MatrixSource, Range<u64>)> = self
            .cacheable()
            .filter(|source| source.is_packable())
            .flat_map(|source| {
                let starts = (0..source.n_bands()).step_by(BANDS_TOGETHER as usize);
                starts.map(move |start| (source, start..start + BANDS_TOGETHER))
            })
            .collect();
        let first = first_of_process(pieces.len());
        pieces.rotate_left(first);
        if pieces.is_empty() {
            return progress(1.0);
        }
        let (next, stop) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        // Without room for messages, threads are at most one piece ahead of `progress`.
        let (done, finished) = std::sync::mpsc::sync_channel(0);
        std::thread::scope(|scope| {
            for _ in 0..self.filling_threads() {
                let (packs, pieces, next, stop) = (&packs, &pieces, &next, &stop);
                let done = done.clone();
                scope.spawn(move || {
                    let mut scratch = ReadScratch::for_scan();
                    scratch.set_packs(Some(packs.clone()));
                    scratch.set_stop(stop.clone());
                    // The source that failed last: the pieces of each follow one another.
                    let mut failed: Option<&MatrixSource> = None;
                    while let Some((source, bands)) =
                        pieces.get(next.fetch_add(1, Ordering::Relaxed))
                        && !cache.is_full()
                        && !stop.load(Ordering::Relaxed)
                    {
                        let has_failed = failed.is_some_and(|failed| std::ptr::eq(failed, *source));
                        if !has_failed && !source.pack_bands(bands.clone(), &mut scratch) {
                            failed = Some(*source);
                        }
                        if done.send(()).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(done);
            // Taken here, so that it is dropped, and no thread waits, if `progress` panics.
            for (n_done, ()) in finished.into_iter().enumerate() {
                if !progress((n_done + 1) as f64 / pieces.len() as f64) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        });
        !stop.load(Ordering::Relaxed)
    }

    /// As many threads as there are processors and room for their decoded bands.
    fn filling_threads(&self) -> usize {
        let largest = self.cacheable().map(MatrixSource::packing_bytes).max();
        let most = (MOST_BYTES / largest.unwrap_or_default().max(1)).max(1);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        threads.min(usize::try_from(most).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_process_is_one_of_all() {
        assert_eq!(first_of_process(0), 0);
        assert_eq!(first_of_process(1), 0);
        assert!((2..1000).all(|n| first_of_process(n) < n));
    }
}
