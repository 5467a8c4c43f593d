//! The options of a loader, and their check.

mod get;

use anndata_io::DType;

use crate::batch::{BatchFormat, MatrixFormat};
use crate::error::Error;
use crate::order::matched::{Controls, Matched};
use crate::order::sampler::Sampler;
use crate::order::schedule::{Part, Schedule};
use crate::order::{Order, Shuffle};
use crate::tokens::Tokens;

/// The options of a loader: the form and the order of its batches.
///
/// Methods that begin with `get_` return what was set.
///
/// ```
/// use mapped_collection::{LoaderOptions, Shuffle};
///
/// let options = LoaderOptions::new(512).shuffle(Shuffle::Exact).seed(42).workers(4).memory(4 << 30);
/// assert_eq!((options.get_batch_size(), options.get_seed()), (512, 42));
/// assert_eq!((options.get_shuffle(), options.get_workers()), (Shuffle::Exact, 4));
/// assert_eq!((options.get_rank(), options.get_pad()), ((0, 1), true)); // the defaults
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(default = "without_batch_size", deny_unknown_fields)
)]
pub struct LoaderOptions {
    pub(crate) batch_size: usize,
    pub(crate) drop_last: bool,
    pub(crate) pad: bool,
    pub(crate) shuffle: Shuffle,
    pub(crate) sampler: Sampler,
    pub(crate) matched: Option<Matched>,
    pub(crate) seed: u64,
    pub(crate) format: BatchFormat,
    pub(crate) workers: usize,
    pub(crate) memory: usize,
    pub(crate) rank: Part,
    pub(crate) reader: Part,
}

impl LoaderOptions {
    /// Dense batches of `batch_size` rows, each row once in file order. The last batch may be
    /// smaller. Two threads read ahead within 1 GiB.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(3))?;
    /// assert_eq!((loader.n_rows(), loader.n_batches()), (5, 2)); // 3 rows, then 2
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(batch_size: usize) -> Self {
        LoaderOptions {
            batch_size,
            drop_last: false,
            pad: true,
            shuffle: Shuffle::None,
            sampler: Sampler::All,
            matched: None,
            seed: 0,
            format: BatchFormat::default(),
            workers: 2,
            memory: 1 << 30,
            rank: Part::WHOLE,
            reader: Part::WHOLE,
        }
    }

    /// Whether to leave out a last step that is not full. By default, it is kept.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(3).drop_last(true))?;
    /// assert_eq!(loader.n_batches(), 1); // the last two rows are left out
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// How rows are shuffled. By default, not at all.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Shuffle};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = LoaderOptions::new(2).shuffle(Shuffle::Exact);
    /// let mut rows = Vec::new();
    /// for batch in cells.loader(options)?.epoch(0) {
    ///     let batch = batch?;
    ///     rows.extend(batch.store_idx.iter().copied().zip(batch.row_idx.iter().copied()));
    /// }
    /// rows.sort();
    /// assert_eq!(rows, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]); // every row once
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shuffle(mut self, shuffle: Shuffle) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// The rows of an epoch. By default, each row once.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Sampler};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = LoaderOptions::new(8).sampler(Sampler::Rows([2, 0, 2].into()));
    /// let batch = cells.loader(options)?.epoch(0).next().expect("one batch")?;
    /// assert_eq!(batch.row_idx, [2, 0, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        self.sampler = sampler;
        self
    }

    /// Draws a control for each row: row `i` of [`Batch::control`](crate::Batch::control) has the
    /// same labels as row `i` of the batch. By default, there are no controls.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// // For each T cell, one of donor d1; the other rows have no control, and are dropped.
    /// let matched = cells.matched(["cell_type"], [("donor", ["d1"])])?.drop_unmatched(true);
    /// let loader = cells.loader(LoaderOptions::new(8).matched(matched))?;
    /// let batch = loader.epoch(0).next().expect("one batch")?;
    /// let control = batch.control.as_ref().expect("controls were asked for");
    /// assert_eq!(control.codes("cell_type"), batch.codes("cell_type"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matched(mut self, matched: impl Into<Option<Matched>>) -> Self {
        self.matched = matched.into();
        self
    }

    /// The seed of the shuffle, of a sampler's draws and of the controls: below 2^63. By default, 0.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Shuffle};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(5).shuffle(Shuffle::Exact).seed(42))?;
    /// let other = loader.with(|options| options.workers(0))?; // does not change the order
    /// let (a, b) = (loader.epoch(1).next().unwrap()?, other.epoch(1).next().unwrap()?);
    /// assert_eq!(a.row_idx, b.row_idx);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The form of batches. It replaces all that [`output`](Self::output), [`tokens`](Self::tokens),
    /// [`missing_code`](Self::missing_code) and [`dtype`](Self::dtype) have set.
    pub fn format(mut self, format: BatchFormat) -> Self {
        self.format = format;
        self
    }

    /// The layout of matrices. By default, dense.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, MatrixFormat};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = LoaderOptions::new(2).output(MatrixFormat::Csr);
    /// let batch = cells.loader(options)?.epoch(0).next().expect("a batch")?;
    /// let x = batch.x().expect("X is read").csr::<f32>()?;
    /// assert_eq!(x.row(1), (&[1][..], &[4.0][..])); // row 1 has one count, of gene 1
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn output(mut self, output: MatrixFormat) -> Self {
        self.format.output = output;
        self
    }

    /// Tokens in place of a matrix: see [`Tokens`]. By default, no matrix becomes tokens.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Tokens};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = LoaderOptions::new(2).tokens(Tokens::new(2).pad(-1));
    /// let batch = cells.loader(options)?.epoch(0).next().expect("a batch")?;
    /// // The genes of the first row by descending count, then the one of the second row.
    /// assert_eq!(batch.matrix("ids").unwrap().dense::<i64>()?, [1, 0, 1, -1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tokens(mut self, tokens: impl Into<Option<Tokens>>) -> Self {
        self.format.tokens = tokens.into();
        self
    }

    /// The code of a missing label. By default, -100.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = LoaderOptions::new(5).missing_code(-7);
    /// let batch = cells.loader(options)?.epoch(0).next().expect("a batch")?;
    /// assert_eq!(batch.codes("cell_type"), Some(&[1, 0, 1, 1, -7][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn missing_code(mut self, code: i64) -> Self {
        self.format.missing_code = code;
        self
    }

    /// The element type of all matrices. By default, that of the collection.
    ///
    /// ```
    /// use mapped_collection::{DType, LoaderOptions};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let options = LoaderOptions::new(5).dtype(DType::F64);
    /// let batch = cells.loader(options)?.epoch(0).next().expect("a batch")?;
    /// assert_eq!(batch.x().expect("X is read").dtype(), DType::F64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dtype(mut self, dtype: impl Into<Option<DType>>) -> Self {
        self.format.dtype = dtype.into();
        self
    }

    /// The number of threads that read and decode while the caller works. With 0, the caller does
    /// it. By default, 2.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// // No thread: batches are read while `next` is called.
    /// let mut epoch = cells.loader(LoaderOptions::new(5).workers(0))?.epoch(0);
    /// assert_eq!(epoch.next().expect("a batch")?.n_obs(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The memory budget in bytes: for rows that wait for their batches, finished batches, packed
    /// rows, and the collection's cache of chunks. If all rows of compressed files fit packed, they
    /// stay in memory, and later epochs decode nothing. Otherwise, more memory means fewer decodes
    /// of an exact shuffle. It never changes the order. By default, 1 GiB.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let loader = cells.loader(LoaderOptions::new(5).memory(256 << 20))?; // 256 MiB
    /// assert_eq!(loader.options().get_memory(), 256 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// The rank of this process when `world_size` processes train together. Step `s` is rows
    /// `[s * world_size * batch_size, (s + 1) * world_size * batch_size)` of the order, and rank
    /// `r` takes the r-th `batch_size` of them. The ranks divide a last step that is not full
    /// evenly, unless it is [dropped](Self::drop_last).
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// // Two processes, batches of 2: each step is 4 rows, and this process takes the second two.
    /// let loader = cells.loader(LoaderOptions::new(2).rank(1, 2))?;
    /// let batch = loader.epoch(0).next().expect("a batch")?;
    /// assert_eq!((&batch.store_idx[..], &batch.row_idx[..]), (&[0, 1][..], &[2, 0][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rank(mut self, rank: usize, world_size: usize) -> Self {
        self.rank = Part {
            number: rank,
            of: world_size,
        };
        self
    }

    /// Whether the ranks repeat rows from the start of the order in the last step, so that all
    /// ranks have the same number of rows and batches. They repeat fewer than `world_size` rows. If
    /// not, no row is repeated, and some ranks have one row, or one batch, less. By default, they
    /// do.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// // Five rows: one is left for the second step, and rank 1 has nothing to read in it.
    /// let padded = cells.loader(LoaderOptions::new(2).rank(1, 2))?;
    /// let loader = padded.with(|options| options.pad(false))?;
    /// assert_eq!((padded.n_batches(), loader.n_batches()), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pad(mut self, pad: bool) -> Self {
        self.pad = pad;
        self
    }

    /// The number of this reader when `of` readers divide the batches of one rank, as the workers
    /// of torch's `DataLoader` do. Reader `n` delivers batches `n`, `n + of`, … of its rank. By
    /// default, there is one reader.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// // Batches 1 and 3 of five.
    /// let loader = cells.loader(LoaderOptions::new(1).reader(1, 2))?;
    /// assert_eq!(loader.n_batches(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reader(mut self, number: usize, of: usize) -> Self {
        self.reader = Part { number, of };
        self
    }
}

/// The options of an empty document. A loader refuses them: `batch_size` has no default.
#[cfg(feature = "serde")]
fn without_batch_size() -> LoaderOptions {
    LoaderOptions::new(0)
}

/// The most threads that may read ahead for one epoch.
const MOST_WORKERS: usize = 1024;
/// The most rows per step: their numbers fit in 32 bits.
const MOST_STEP_ROWS: usize = u32::MAX as usize;

impl LoaderOptions {
    pub(crate) fn schedule(
        &self,
        order: Order,
        start: usize,
        controls: Option<Controls>,
    ) -> Schedule {
        Schedule {
            order,
            start,
            batch_size: self.batch_size,
            drop_last: self.drop_last,
            pad: self.pad,
            rank: self.rank,
            reader: self.reader,
            controls,
        }
    }

    /// The number of rows of a step of all ranks and readers.
    pub(crate) fn step_rows(&self) -> usize {
        self.schedule(Order::InOrder(0), 0, None).step_rows()
    }

    /// The number of batches of an epoch of `n_rows` rows after the first `had` rows. For rows that
    /// a sampler [draws](Sampler::Drawn) later, and for epochs that are resumed.
    ///
    /// # Panics
    /// When the batch size, the number of ranks or the number of readers is 0, or a step has too
    /// many rows to count.
    ///
    /// ```
    /// use mapped_collection::LoaderOptions;
    ///
    /// let options = LoaderOptions::new(2);
    /// assert_eq!((options.n_batches(5, 0), options.n_batches(5, 2)), (3, 2));
    /// ```
    pub fn n_batches(&self, n_rows: usize, had: usize) -> usize {
        self.schedule(Order::InOrder(n_rows), had, None).n_batches()
    }

    /// # Errors
    /// When an option makes no sense for a collection of `n_obs` rows.
    pub(crate) fn check(&self, n_obs: usize) -> Result<(), Error> {
        let is_count = |rows: usize| u32::try_from(rows).is_ok();
        let (rank, reader) = (self.rank, self.reader);
        if self.batch_size == 0 {
            return Err(Error::option("batch_size", "at least 1", 0));
        }
        if rank.number >= rank.of {
            let expected = format!("less than the world size, {}", rank.of);
            return Err(Error::option("rank", expected, rank.number));
        }
        if reader.number >= reader.of {
            let expected = format!("less than the number of readers, {}", reader.of);
            return Err(Error::option("reader", expected, reader.number));
        }
        if matches!(self.shuffle, Shuffle::Blocks { rows: 0 }) {
            return Err(Error::option("shuffle", "blocks of at least 1 row", 0));
        }
        if i64::try_from(self.seed).is_err() {
            return Err(Error::option("seed", "less than 2^63", self.seed));
        }
        if !is_count(n_obs) {
            return Err(Error::option("loader", "fewer than 2^32 rows", n_obs));
        }
        let step = self.batch_size.checked_mul(rank.of);
        let step = step.and_then(|rows| rows.checked_mul(reader.of));
        if step.is_none_or(|rows| rows > MOST_STEP_ROWS) {
            let expected = "fewer than 2^32 rows per step of all ranks and readers";
            return Err(Error::option("batch_size", expected, self.batch_size));
        }
        if self.workers > MOST_WORKERS {
            let expected = format!("at most {MOST_WORKERS}");
            return Err(Error::option("workers", expected, self.workers));
        }
        self.sampler.check(n_obs)
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use std::sync::Arc;

    use serde_json::{from_str, json, to_value};

    use super::*;

    #[test]
    fn options_survive_serde() {
        let options = LoaderOptions::new(512)
            .shuffle(Shuffle::Blocks { rows: 8 })
            .sampler(Sampler::Rows(Arc::new([3, 1])))
            .dtype(DType::F32)
            .output(MatrixFormat::Csr)
            .rank(1, 4);
        let value = to_value(&options).expect("every option has a form");
        assert_eq!(value["shuffle"], json!({"blocks": {"rows": 8}}));
        assert_eq!(value["format"]["dtype"], json!("float32"));
        assert_eq!(
            from_str::<LoaderOptions>(&value.to_string()).ok(),
            Some(options)
        );
    }

    #[test]
    fn options_left_out_have_their_defaults() {
        let options = from_str::<LoaderOptions>(r#"{"batch_size": 64, "shuffle": "exact"}"#);
        let expected = LoaderOptions::new(64).shuffle(Shuffle::Exact);
        assert_eq!(options.ok(), Some(expected));
        let error = from_str::<LoaderOptions>(r#"{"batchsize": 64}"#).expect_err("a misspelling");
        assert!(error.to_string().contains("batch_size"), "{error}");
        let empty = from_str::<LoaderOptions>("{}").expect("no option is misspelt");
        assert!(empty.check(1).is_err(), "it has no batch size");
    }
}
