//! What was set in the options of a loader.

use crate::batch::BatchFormat;
use crate::loader::options::LoaderOptions;
use crate::order::Shuffle;
use crate::order::matched::Matched;
use crate::order::sampler::Sampler;

impl LoaderOptions {
    /// The number of rows per batch.
    pub fn get_batch_size(&self) -> usize {
        self.batch_size
    }

    /// [`drop_last`](Self::drop_last) as set.
    pub fn get_drop_last(&self) -> bool {
        self.drop_last
    }

    /// [`shuffle`](Self::shuffle) as set.
    pub fn get_shuffle(&self) -> Shuffle {
        self.shuffle
    }

    /// [`sampler`](Self::sampler) as set.
    pub fn get_sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// [`matched`](Self::matched) as set.
    pub fn get_matched(&self) -> Option<&Matched> {
        self.matched.as_ref()
    }

    /// [`seed`](Self::seed) as set.
    pub fn get_seed(&self) -> u64 {
        self.seed
    }

    /// The format that [`output`](Self::output), [`tokens`](Self::tokens),
    /// [`missing_code`](Self::missing_code) and [`dtype`](Self::dtype) set.
    pub fn get_format(&self) -> &BatchFormat {
        &self.format
    }

    /// [`workers`](Self::workers) as set.
    pub fn get_workers(&self) -> usize {
        self.workers
    }

    /// [`memory`](Self::memory) as set, in bytes.
    pub fn get_memory(&self) -> usize {
        self.memory
    }

    /// [`rank`](Self::rank) as set: the rank and the world size.
    pub fn get_rank(&self) -> (usize, usize) {
        (self.rank.number, self.rank.of)
    }

    /// [`pad`](Self::pad) as set.
    pub fn get_pad(&self) -> bool {
        self.pad
    }

    /// [`reader`](Self::reader) as set: its number, and the number of readers.
    pub fn get_reader(&self) -> (usize, usize) {
        (self.reader.number, self.reader.of)
    }
}
