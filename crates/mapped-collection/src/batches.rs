//! Epochs of batches.

use crate::batch::{Batch, BatchFormat, Output};
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::shuffle::permutation;

/// The order of an epoch's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shuffle {
    /// As they stand in the files.
    #[default]
    None,
    /// Every permutation of all rows equally likely: the order that [`permutation`] gives for the
    /// seed and the epoch.
    Exact,
}

/// What epochs of batches are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOptions {
    batch_size: usize,
    drop_last: bool,
    shuffle: Shuffle,
    seed: u64,
    format: BatchFormat,
}

impl BatchOptions {
    /// Batches of `batch_size` rows in file order, dense; the last may be smaller.
    pub fn new(batch_size: usize) -> Self {
        let (shuffle, format) = (Shuffle::None, BatchFormat::default());
        BatchOptions { batch_size, drop_last: false, shuffle, seed: 0, format }
    }

    /// Leaves out a last batch that is not full.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// The order of rows.
    pub fn shuffle(mut self, shuffle: Shuffle) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Fixes the order of a shuffle. By default, 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The layout of matrices. By default, dense.
    pub fn output(mut self, output: Output) -> Self {
        self.format.output = output;
        self
    }

    /// The code of a missing label. By default, -100.
    pub fn missing_code(mut self, code: i64) -> Self {
        self.format.missing_code = code;
        self
    }
}

/// Epochs of batches of one collection.
#[derive(Debug, Clone)]
pub struct Batches {
    collection: MappedCollection,
    options: BatchOptions,
}

impl MappedCollection {
    /// Prepares epochs of batches.
    ///
    /// # Errors
    /// When the batch size is 0, the collection has 2^32 rows or more, or its stores differ in
    /// matrix keys or widths, so that not all of its rows can share a batch.
    pub fn batches(&self, options: BatchOptions) -> Result<Batches, Error> {
        self.check_open()?;
        if options.batch_size == 0 {
            let expected = "at least 1".to_owned();
            return Err(Error::Option { option: "batch_size", expected, found: "0".into() });
        }
        if u32::try_from(self.n_obs()).is_err() {
            let (option, expected) = ("batches", "less than 2^32 rows".to_owned());
            return Err(Error::Option { option, expected, found: self.n_obs().to_string() });
        }
        let with_rows: Vec<usize> =
            (0..self.n_stores()).filter(|&store| self.plan().stores[store].rows.len() > 0).collect();
        for number in 0..self.plan().matrices.len() {
            self.plan().common_row_shape(number, &with_rows)?;
        }
        Ok(Batches { collection: self.clone(), options })
    }
}

impl Batches {
    /// Batches in an epoch.
    pub fn n_batches(&self) -> usize {
        let (n_obs, size) = (self.collection.n_obs(), self.options.batch_size);
        if self.options.drop_last { n_obs / size } else { n_obs.div_ceil(size) }
    }

    /// An epoch from its first batch on. The order of its rows is a function of the collection,
    /// the seed and the epoch's number alone.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        let n_obs = self.collection.n_obs() as u32;
        let order = match self.options.shuffle {
            Shuffle::None => None,
            Shuffle::Exact => Some(permutation(n_obs, self.options.seed, epoch)),
        };
        Epoch { batches: self.clone(), order, next: 0 }
    }
}

/// An epoch: an iterator of batches. After an error it goes on with the next batch.
#[derive(Debug)]
pub struct Epoch {
    batches: Batches,
    order: Option<Vec<u32>>,
    next: usize,
}

impl Iterator for Epoch {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.batches.n_batches() {
            return None;
        }
        let Batches { collection, options } = &self.batches;
        let start = self.next * options.batch_size;
        let end = collection.n_obs().min(start + options.batch_size);
        self.next += 1;
        let located = (start..end).map(|position| {
            let row = self.order.as_ref().map_or(position, |order| order[position] as usize);
            collection.plan().locate(row)
        });
        Some(collection.read_batch(located.collect(), &options.format))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = self.batches.n_batches() - self.next;
        (rest, Some(rest))
    }
}

impl ExactSizeIterator for Epoch {}
