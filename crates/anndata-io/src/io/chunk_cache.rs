//! Decoded chunks that threads share, within a budget of bytes. The first thread that asks for a
//! missing chunk decodes it; the others wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use lru::LruCache;

use super::buffers::AlignedBytes;
use super::claims::{Claim, Claims};

use crate::io::lock::lock;

/// The key of a chunk: an array of this process, and the number of the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChunkKey {
    pub(crate) array: u64,
    pub(crate) chunk: u64,
}

/// Returns a new number for an array, so that arrays can share a cache.
pub(crate) fn next_array_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The decoded chunks of one process. The least recently used chunk is evicted first.
pub(super) struct ChunkCache {
    state: Mutex<State>,
    /// Chunks that one thread is decoding for all.
    claims: Claims<ChunkKey>,
}

struct State {
    chunks: LruCache<ChunkKey, Arc<AlignedBytes>>,
    bytes: usize,
}

/// A chunk in the cache, or the right to decode it.
pub(crate) enum Cached<'a> {
    Chunk(Arc<AlignedBytes>),
    /// No other thread decodes the chunk while this is held.
    Claimed(#[allow(dead_code, reason = "its drop is what counts")] Claim<'a, ChunkKey>),
}

impl ChunkCache {
    pub(super) fn new() -> ChunkCache {
        ChunkCache {
            state: Mutex::new(State {
                chunks: LruCache::unbounded(),
                bytes: 0,
            }),
            claims: Claims::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid even if a holder panicked.
        lock(&self.state)
    }

    /// Returns the chunk if it is in the cache or another thread is decoding it right now;
    /// otherwise returns the right to decode it.
    pub(super) fn get_or_claim(&self, key: ChunkKey) -> Cached<'_> {
        let get = || self.lock().chunks.get(&key).cloned();
        if let Some(chunk) = get() {
            return Cached::Chunk(chunk);
        }
        match self.claims.get_or_claim(key, get) {
            Ok(chunk) => Cached::Chunk(chunk),
            Err(claim) => Cached::Claimed(claim),
        }
    }

    pub(super) fn has(&self, key: ChunkKey) -> bool {
        self.lock().chunks.contains(&key)
    }

    /// Keeps a chunk within `budget` bytes. Returns an evicted chunk, so that its memory can be
    /// used again.
    pub(super) fn put(
        &self,
        key: ChunkKey,
        chunk: &Arc<AlignedBytes>,
        budget: usize,
    ) -> Option<Arc<AlignedBytes>> {
        let mut state = self.lock();
        state.bytes += chunk.len();
        if let Some(old) = state.chunks.put(key, chunk.clone()) {
            state.bytes -= old.len();
        }
        let mut gone = None;
        while state.bytes > budget {
            let Some((_, old)) = state.chunks.pop_lru() else {
                break;
            };
            state.bytes -= old.len();
            gone = Some(old);
        }
        gone
    }

    /// Forgets all chunks. Claims stay.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.chunks.clear();
        state.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(chunk: u64) -> ChunkKey {
        ChunkKey { array: 0, chunk }
    }

    fn bytes(len: usize) -> Arc<AlignedBytes> {
        Arc::new(AlignedBytes::zeroed(len))
    }

    fn is_kept(cache: &ChunkCache, chunk: u64) -> bool {
        matches!(cache.get_or_claim(key(chunk)), Cached::Chunk(_))
    }

    #[test]
    fn chunk_cache_drops_the_least_recently_used_chunk_first() {
        let cache = ChunkCache::new();
        assert!(cache.put(key(0), &bytes(40), 100).is_none());
        assert!(cache.put(key(1), &bytes(40), 100).is_none());
        assert!(is_kept(&cache, 0), "chunk 0 is now the more recent one");
        let gone = cache.put(key(2), &bytes(40), 100);
        assert_eq!(gone.expect("120 bytes are too many").len(), 40);
        assert!(!is_kept(&cache, 1) && is_kept(&cache, 0) && is_kept(&cache, 2));
    }

    #[test]
    fn chunk_cache_counts_a_chunk_that_is_put_twice_once() {
        let cache = ChunkCache::new();
        for _ in 0..10 {
            assert!(cache.put(key(0), &bytes(60), 100).is_none());
        }
        assert!(cache.put(key(1), &bytes(40), 100).is_none());
        assert!(is_kept(&cache, 0) && is_kept(&cache, 1));
    }

    #[test]
    fn chunk_cache_is_empty_after_clear() {
        let cache = ChunkCache::new();
        cache.put(key(0), &bytes(100), 100);
        cache.clear();
        assert!(!is_kept(&cache, 0));
        assert!(cache.put(key(1), &bytes(100), 100).is_none(), "all is free");
    }
}
