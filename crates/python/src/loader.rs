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

/// Where an epoch stands, as `(epoch, rows, seed, fingerprint)`.
type State = (u64, u64, u64, u64);

fn to_tuple(state: &LoaderState) -> State {
    (state.epoch, state.rows, state.seed, state.fingerprint)
}

fn from_tuple((epoch, rows, seed, fingerprint): State) -> LoaderState {
    LoaderState {
        epoch,
        rows,
        seed,
        fingerprint,
    }
}

/// Options of epochs, checked against the collection.
#[pyclass(frozen, module = "mapped_anndata._core")]
#[derive(Debug)]
pub(crate) struct Loader {
    batches: Batches,
}

#[pymethods]
impl Loader {
    /// `block` is 0 for an exact shuffle and `None` for none. `rows` and `weights` exclude each
    /// other.
    #[new]
    #[expect(clippy::too_many_arguments, reason = "an argument an option")]
    fn new(
        py: Python<'_>,
        collection: &Collection,
        batch_size: usize,
        block: Option<usize>,
        rows: Option<PyReadonlyArray1<'_, u32>>,
        weights: Option<PyArrayLike1<'_, f64>>,
        n_samples: Option<usize>,
        replacement: bool,
        seed: u64,
        drop_last: bool,
        output: &str,
        dtype: Option<&str>,
        missing_code: i64,
        workers: usize,
        memory: usize,
        rank: usize,
        world_size: usize,
    ) -> PyResult<Loader> {
        let sampler = match (rows, weights) {
            (Some(rows), _) => Sampler::Rows(rows.as_array().iter().copied().collect()),
            (None, Some(weights)) => Sampler::Weighted {
                weights: weights.as_array().iter().copied().collect(),
                n_samples,
                replacement,
            },
            (None, None) => Sampler::All,
        };
        let options = BatchOptions::new(batch_size)
            .shuffle(match block {
                None => Shuffle::None,
                Some(0) => Shuffle::Exact,
                Some(rows) => Shuffle::Blocks { rows },
            })
            .sampler(sampler)
            .seed(seed)
            .drop_last(drop_last)
            .output(arguments::output(output)?)
            .dtype(arguments::dtype(dtype)?)
            .missing_code(missing_code)
            .workers(workers)
            .memory(memory)
            .rank(rank, world_size);
        let batches = py.detach(|| collection.cells().batches(options));
        Ok(Loader {
            batches: batches.map_err(to_python)?,
        })
    }

    /// Batches of a whole epoch.
    #[getter]
    fn n_batches(&self) -> usize {
        self.batches.n_batches()
    }

    /// The state of an epoch before its first batch.
    fn start_of(&self, epoch: u64) -> State {
        to_tuple(&self.batches.start_of(epoch))
    }

    /// The rest of the epoch of a state.
    fn resume(&self, py: Python<'_>, state: State) -> PyResult<Epoch> {
        let state = from_tuple(state);
        let epoch = py
            .detach(|| self.batches.resume(&state))
            .map_err(to_python)?;
        Ok(Epoch(Mutex::new(epoch)))
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

    /// Where the epoch stands after the batches delivered so far.
    fn state(&self) -> PyResult<State> {
        Ok(to_tuple(&self.lock()?.state()))
    }
}
