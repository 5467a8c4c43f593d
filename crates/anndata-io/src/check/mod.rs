//! Reads a file from end to end: finds every fault, and describes the elements.
//!
//! Takes an open file. Returns a [`CheckReport`].
//!
//! ```text
//! elements.rs opens all ─▶ entries, and sources cut into pieces (scan.rs)
//!                                        │
//!          ┌─────────────────────────────┴───────────┐
//!       worker 1   …   worker n: each takes the next piece, of any element
//!          └──────────────────┬──────────────────────┘
//!                   a queue of findings ─▶ elements.rs ─▶ report.rs
//! ```
//!
//! `dangling.rs` looks for names that lead nowhere, `repeats.rs` for names and categories that repeat.

use crate::anndata::{AnnDataFile, AnnDataSource};
use crate::io::context::IoContext;
use crate::key::LayerKey;

mod dangling;
mod elements;
mod entry;
mod pieces;
mod repeats;
mod report;
mod scan;
mod sparse;

use elements::Run;
pub use report::{CheckReport, ElementCounts, ElementLayout, ElementReport};

/// Reads everything in a file that a model could use, and reports every fault.
///
/// Every chunk is decoded, which tests checksums and codecs; every code, column index and text is
/// checked. One fault does not hide the others: reading continues after it. Memory stays within one
/// chunk of each array per thread, the row pointers, and the names.
///
/// ```
/// use anndata_io::{AnnDataFile, Check, MemoryStore, Values};
///
/// let store = MemoryStore::new("cells")
///     .dataframe("obs", &["c1", "c2"])
///     .categorical("obs/kind", vec![0, 7], &["B", "T"])
///     .dataframe("var", &["g1", "g2"])
///     .csr("X", [2, 2], vec![0, 1, 2], vec![0, 9], Values::F32(vec![5., f32::NAN]));
/// let cells = AnnDataFile::from_store(store.into())?;
///
/// let report = Check::new().check_file(&cells, &mut |_done, _of| {});
/// let faults: Vec<&str> = report.faults.iter().map(|fault| fault.element()).collect();
/// assert_eq!(faults, ["obs/kind/codes", "X/indices"]); // a code and a column that do not exist
/// let x = report.elements.iter().find(|element| element.element == "X").expect("it has an X");
/// assert_eq!((x.stored, x.counts.nan), (2, 1)); // a NaN is no fault, but told
/// # Ok::<(), anndata_io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Check {
    layers: Option<Vec<LayerKey>>,
    obs: Option<Vec<String>>,
    obsm: Option<Vec<String>>,
    workers: usize,
}

impl Default for Check {
    fn default() -> Self {
        Check::new()
    }
}

impl Check {
    /// Makes a check of everything, by two threads.
    pub fn new() -> Check {
        Check {
            layers: None,
            obs: None,
            obsm: None,
            workers: 2,
        }
    }

    /// Checks only these of `X`, `raw.X` and the layers. The list may be empty.
    pub fn layers<K: Into<LayerKey>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.layers = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Checks only these columns of obs, and the index.
    pub fn obs<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.obs = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// Checks only these elements of obsm.
    pub fn obsm<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.obsm = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// The number of threads that read; at least one does.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Opens a file and checks it. `progress` receives pieces done and pieces to do.
    pub fn check_source(
        &self,
        source: &AnnDataSource,
        context: &IoContext,
        progress: &mut dyn FnMut(u64, u64),
    ) -> CheckReport {
        match source.open(context) {
            Ok(file) => self.check_file(&file, progress),
            Err(error) => CheckReport {
                path: error.file().to_owned(),
                shape: None,
                elements: Vec::new(),
                faults: vec![error],
                unsupported: Vec::new(),
                notices: Vec::new(),
            },
        }
    }

    /// Checks an open file. `progress` receives pieces done and pieces to do.
    pub fn check_file(
        &self,
        file: &AnnDataFile,
        progress: &mut dyn FnMut(u64, u64),
    ) -> CheckReport {
        let mut run = Run::default();
        run.open(self, file);
        run.read(self.workers.max(1), progress);
        run.report(file)
    }
}

#[cfg(test)]
mod tests;
