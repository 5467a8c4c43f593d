//! Epochs of batches.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use mapped_anndata::{BatchOptions, Batches, LoaderState, Sampler, Shuffle};
use numpy::{PyArrayLike1, PyReadonlyArray1};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments;
use crate::batch::to_dict;
use crate::collection::Collection;
use crate::errors::to_python;

/// Who reads: `(rank, world_size, reader, readers)`.
type Division = (usize, usize, usize, usize);

fn divided(options: BatchOptions, (rank, world_size, reader, readers): Division) -> BatchOptions {
    options.rank(rank, world_size).reader(reader, readers)
}

/// Options of epochs, checked against the collection.
#[pyclass(frozen, module = "mapped_anndata._core")]
#[derive(Debug)]
pub(crate) struct Loader {
    batches: Batches,
}

#[pymethods]
impl Loader {
    /// `block` is 0 for an exact shuffle and `None` without one. Of `rows`, `weights`, `balanced`
    /// (an obs key) and `drawn`, at most one is set; with `drawn`, each epoch is given its rows.
    #[new]
    #[expect(clippy::too_many_arguments, reason = "an argument an option")]
    fn new(
        py: Python<'_>,
        collection: &Collection,
        batch_size: usize,
        block: Option<usize>,
        rows: Option<PyReadonlyArray1<'_, u32>>,
        weights: Option<PyArrayLike1<'_, f64>>,
        balanced: Option<&str>,
        n_samples: Option<usize>,
        replacement: bool,
        drawn: bool,
        seed: u64,
        drop_last: bool,
        pad: bool,
        output: &str,
        dtype: Option<&str>,
        missing_code: i64,
        workers: usize,
        memory: usize,
        division: Division,
    ) -> PyResult<Loader> {
        let mut sampler = if let Some(rows) = rows {
            Sampler::Rows(rows.as_array().iter().copied().collect())
        } else if let Some(weights) = weights {
            Sampler::Weighted {
                weights: weights.as_array().iter().copied().collect(),
                n_samples: None,
                replacement,
            }
        } else if let Some(key) = balanced {
            py.detach(|| collection.cells().balanced_sampler(key))
                .map_err(to_python)?
        } else if drawn {
            Sampler::Drawn([].into())
        } else {
            Sampler::All
        };
        if let Sampler::Weighted { n_samples: n, .. } = &mut sampler {
            *n = n_samples;
        }
        let options = BatchOptions::new(batch_size)
            .shuffle(match block {
                None => Shuffle::None,
                Some(0) => Shuffle::Exact,
                Some(rows) => Shuffle::Blocks { rows },
            })
            .sampler(sampler)
            .seed(seed)
            .drop_last(drop_last)
            .pad(pad)
            .output(arguments::output(output)?)
            .dtype(arguments::dtype(dtype)?)
            .missing_code(missing_code)
            .workers(workers)
            .memory(memory);
        let options = divided(options, division);
        let batches = py.detach(|| collection.cells().batches(options));
        Ok(Loader {
            batches: batches.map_err(to_python)?,
        })
    }

    /// Rows of a whole epoch of all ranks.
    #[getter]
    fn n_rows(&self) -> usize {
        self.batches.n_rows()
    }

    /// Batches of an epoch of `n_rows` rows after the first `had` of them.
    fn n_batches(&self, division: Division, n_rows: usize, had: usize) -> usize {
        divided(self.batches.options().clone(), division).n_batches(n_rows, had)
    }

    /// What a state says of the data and the options.
    fn fingerprint(&self, py: Python<'_>) -> PyResult<u64> {
        let state = py.detach(|| self.batches.start_of(0)).map_err(to_python)?;
        Ok(state.fingerprint)
    }

    /// An error when a state with this seed and fingerprint belongs to something else.
    fn check_state(&self, py: Python<'_>, seed: u64, fingerprint: u64) -> PyResult<()> {
        let state = LoaderState {
            epoch: 0,
            rows: 0,
            seed,
            fingerprint,
            drawn: None,
        };
        py.detach(|| self.batches.check_state(&state))
            .map_err(to_python)
    }

    /// The same options with another seed.
    fn with_seed(&self, py: Python<'_>, seed: u64) -> PyResult<Loader> {
        let batches = py.detach(|| self.batches.with(|options| options.seed(seed)));
        Ok(Loader {
            batches: batches.map_err(to_python)?,
        })
    }

    /// An epoch after the first `had` rows of its order. `rows` are those that a sampler drew,
    /// and `drawn` is the hash of those it had drawn when the state was taken.
    #[pyo3(signature = (epoch, had, division, rows, drawn))]
    fn begin(
        &self,
        py: Python<'_>,
        epoch: u64,
        had: usize,
        division: Division,
        rows: Option<PyReadonlyArray1<'_, u32>>,
        drawn: Option<u64>,
    ) -> PyResult<Epoch> {
        let rows = rows.map(|rows| Sampler::Drawn(rows.as_array().iter().copied().collect()));
        let begun = py.detach(|| {
            let batches = self.batches.with(|options| {
                let options = divided(options, division);
                match rows {
                    Some(rows) => options.sampler(rows),
                    None => options,
                }
            })?;
            if had > 0 {
                batches.check_drawn(epoch, drawn)?;
            }
            Ok(batches.begin(epoch, had))
        });
        Ok(Epoch(Mutex::new(begun.map_err(to_python)?)))
    }
}

/// How long a signal (Ctrl-C) may wait: Python looks at signals only while its main thread runs
/// Python, and a batch may take seconds.
const SLICE: Duration = Duration::from_millis(50);

/// An iterator of the batches of an epoch, as dicts.
#[pyclass(frozen, module = "mapped_anndata._core")]
pub(crate) struct Epoch(Mutex<mapped_anndata::Epoch>);

impl Epoch {
    /// Never waited for: whoever holds it may wait for the interpreter's lock, which is here.
    fn lock(&self) -> PyResult<MutexGuard<'_, mapped_anndata::Epoch>> {
        match self.0.try_lock() {
            Ok(epoch) => Ok(epoch),
            Err(TryLockError::Poisoned(epoch)) => Ok(epoch.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "another thread is waiting for the next batch of this epoch",
            )),
        }
    }
}

#[pymethods]
impl Epoch {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut epoch = self.lock()?;
        let next = &mut *epoch;
        while !py.detach(|| next.wait(SLICE)) {
            py.check_signals()?;
        }
        let batch = py.detach(|| next.next());
        drop(epoch);
        let batch = batch.transpose().map_err(to_python)?;
        batch.map(|batch| to_dict(py, batch)).transpose()
    }

    /// Batches to come.
    fn __len__(&self) -> PyResult<usize> {
        Ok(self.lock()?.len())
    }

    /// The number of the epoch and the rows of its order that were had; after the last batch, the
    /// next epoch and 0.
    fn position(&self) -> PyResult<(u64, usize)> {
        Ok(self.lock()?.position())
    }

    /// A hash of the rows that a sampler drew.
    #[getter]
    fn drawn(&self) -> PyResult<Option<u64>> {
        Ok(self.lock()?.drawn())
    }
}
