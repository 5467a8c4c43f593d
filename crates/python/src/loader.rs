//! Epochs of batches.

use std::sync::{Arc, Mutex};

use mapped_anndata::{BatchOptions, Batches, LoaderState, Sampler, Shuffle};
use numpy::{PyArrayLike1, PyReadonlyArray1};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments;
use crate::batch::to_dict;
use crate::collection::Collection;
use crate::errors::to_python;
use crate::waiter::{Next, Waiter};

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
    workers: usize,
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
            workers,
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
        let n_batches = epoch.n_batches();
        let progress = Progress {
            state,
            n_left: n_batches,
            source: Source::Here(Box::new(epoch)),
        };
        Ok(Epoch {
            batches: self.batches.clone(),
            workers: self.workers,
            progress: Arc::new(Mutex::new(progress)),
        })
    }
}

/// An iterator of the batches of an epoch, as dicts.
#[pyclass(frozen, module = "mapped_anndata._core")]
pub(crate) struct Epoch {
    batches: Batches,
    workers: usize,
    progress: Arc<Mutex<Progress>>,
}

struct Progress {
    state: LoaderState,
    n_left: usize,
    source: Source,
}

enum Source {
    /// Not yet begun, or without threads: the caller does the work.
    Here(Box<mapped_anndata::Epoch>),
    There(Waiter),
    /// All batches were delivered.
    Done,
}

impl Progress {
    fn next(&mut self, py: Python<'_>, batches: &Batches, workers: usize) -> PyResult<Next> {
        if matches!(&self.source, Source::There(waiter) if !waiter.is_mine()) {
            // Forked: the threads stayed with the parent. Go on from where the epoch stood.
            let epoch = batches.resume(&self.state).map_err(to_python)?;
            self.source = Source::Here(Box::new(epoch));
        }
        if workers > 0 && matches!(self.source, Source::Here(_)) {
            let Source::Here(epoch) = std::mem::replace(&mut self.source, Source::Done) else {
                unreachable!("that was looked at");
            };
            self.source = match Waiter::start(*epoch) {
                Ok(waiter) => Source::There(waiter),
                // No thread is to be had: then there is no interrupt before the batch is here.
                Err(_) => {
                    let epoch = batches.resume(&self.state).map_err(to_python)?;
                    Source::Here(Box::new(epoch))
                }
            };
        }
        match &mut self.source {
            Source::Done => Ok((None, self.state.clone())),
            Source::There(waiter) => waiter.next(py),
            Source::Here(epoch) => {
                let batch = py.detach(|| epoch.next());
                Ok((batch, epoch.state()))
            }
        }
    }
}

#[pymethods]
impl Epoch {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        // Never waited for: whoever holds it may wait for the interpreter's lock, which is here.
        let Ok(mut progress) = self.progress.try_lock() else {
            let text = "another thread is waiting for the next batch of this epoch";
            return Err(PyRuntimeError::new_err(text));
        };
        let (batch, state) = progress.next(py, &self.batches, self.workers)?;
        progress.state = state;
        progress.n_left = progress.n_left.saturating_sub(1);
        let Some(batch) = batch else {
            progress.source = Source::Done;
            return Ok(None);
        };
        drop(progress);
        to_dict(py, batch.map_err(to_python)?).map(Some)
    }

    /// Batches to come.
    fn __len__(&self) -> usize {
        self.progress
            .try_lock()
            .map_or(0, |progress| progress.n_left)
    }

    /// Where the epoch stands after the batches delivered so far.
    fn state(&self) -> PyResult<State> {
        match self.progress.try_lock() {
            Ok(progress) => Ok(to_tuple(&progress.state)),
            Err(_) => Err(PyRuntimeError::new_err(
                "another thread is waiting for the next batch of this epoch",
            )),
        }
    }
}
