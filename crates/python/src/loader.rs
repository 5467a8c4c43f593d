//! Epochs of batches.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use mapped_anndata::{Loader, LoaderOptions, LoaderState, Sampler, Shuffle};
use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::to_dict;
use crate::collection::Collection;
use crate::errors::to_python;
use crate::format::Format;
use crate::sampler::{MatchedParameters, SamplerParameters};

/// The part that a process reads: `(rank, world_size, reader, readers)`.
type Division = (usize, usize, usize, usize);

fn divided(options: LoaderOptions, (rank, world_size, reader, readers): Division) -> LoaderOptions {
    options.rank(rank, world_size).reader(reader, readers)
}

/// Options of epochs, checked against the collection.
#[pyclass(frozen, name = "Loader", module = "mapped_anndata._core")]
#[derive(Debug)]
pub(crate) struct PyLoader {
    loader: Loader,
    heap: Arc<TrimmedHeap>,
}

#[pymethods]
impl PyLoader {
    /// `block` is 0 for an exact shuffle and `None` without one.
    #[new]
    #[expect(clippy::too_many_arguments, reason = "an argument an option")]
    fn new(
        py: Python<'_>,
        collection: &Collection,
        batch_size: usize,
        block: Option<usize>,
        sampler: SamplerParameters<'_>,
        matched: Option<MatchedParameters<'_>>,
        seed: u64,
        drop_last: bool,
        pad: bool,
        format: Format,
        workers: usize,
        memory: usize,
        division: Division,
    ) -> PyResult<PyLoader> {
        let cells = collection.cells();
        let sampler = sampler.make(py, cells)?;
        let matched = matched.map(|matched| matched.make(py, cells)).transpose()?;
        let options = LoaderOptions::new(batch_size)
            .shuffle(match block {
                None => Shuffle::None,
                Some(0) => Shuffle::Exact,
                Some(rows) => Shuffle::Blocks { rows },
            })
            .sampler(sampler)
            .matched(matched)
            .seed(seed)
            .drop_last(drop_last)
            .pad(pad)
            .format(format.parse()?)
            .workers(workers)
            .memory(memory);
        let options = divided(options, division);
        let loader = py.detach(|| cells.loader(options));
        Ok(PyLoader {
            loader: loader.map_err(to_python)?,
            heap: Arc::new(TrimmedHeap),
        })
    }

    /// The number of rows of a whole epoch, of all ranks together.
    #[getter]
    fn n_rows(&self) -> usize {
        self.loader.n_rows()
    }

    /// The number of batches left in an epoch of `n_rows` rows after the first `had` of them.
    fn n_batches(&self, division: Division, n_rows: usize, had: usize) -> usize {
        divided(self.loader.options().clone(), division).n_batches(n_rows, had)
    }

    /// A hash by which a state recognises the data and the options.
    fn fingerprint(&self, py: Python<'_>) -> PyResult<u64> {
        let state = py
            .detach(|| self.loader.epoch_start(0))
            .map_err(to_python)?;
        Ok(state.fingerprint)
    }

    /// Raises an error if a state with this seed and fingerprint belongs to other data or options.
    fn check_state(&self, py: Python<'_>, seed: u64, fingerprint: u64) -> PyResult<()> {
        let state = LoaderState {
            epoch: 0,
            rows: 0,
            seed,
            fingerprint,
            drawn: None,
        };
        py.detach(|| self.loader.check_state(&state))
            .map_err(to_python)
    }

    /// Returns the same options with another seed.
    fn with_seed(&self, py: Python<'_>, seed: u64) -> PyResult<PyLoader> {
        let loader = py.detach(|| self.loader.with(|options| options.seed(seed)));
        Ok(PyLoader {
            loader: loader.map_err(to_python)?,
            heap: self.heap.clone(),
        })
    }

    /// Begins an epoch after the first `had` rows of its order. `rows` are those that a sampler
    /// drew, and `drawn` is the hash of the rows that it had drawn when the state was taken.
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
            let loader = self.loader.with(|options| {
                let options = divided(options, division);
                match rows {
                    Some(rows) => options.sampler(rows),
                    None => options,
                }
            })?;
            if had > 0 {
                loader.check_drawn(epoch, drawn)?;
            }
            Ok(loader.begin(epoch, had))
        });
        Ok(Epoch {
            epoch: Mutex::new(begun.map_err(to_python)?),
            _heap: self.heap.clone(),
        })
    }
}

/// The longest that a signal (Ctrl-C) may wait: Python handles signals only while its main thread
/// runs Python code, and a batch may take seconds.
const SLICE: Duration = Duration::from_millis(50);

/// An iterator of the batches of an epoch, as dicts.
#[pyclass(frozen, module = "mapped_anndata._core")]
pub(crate) struct Epoch {
    epoch: Mutex<mapped_anndata::Epoch>,
    _heap: Arc<TrimmedHeap>,
}

/// Returns free memory to the system when the last user of a loader's memory is gone.
///
/// glibc keeps freed memory between blocks that are still in use. Without this, loaders of 1 GiB
/// that were made one after the other left 2 GB with the process.
#[derive(Debug)]
struct TrimmedHeap;

impl Drop for TrimmedHeap {
    fn drop(&mut self) {
        // SAFETY: it takes a number, and touches no memory in use.
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

impl Epoch {
    /// Never waits for the lock: its holder may wait for the interpreter's lock, which this thread
    /// has.
    fn lock(&self) -> PyResult<MutexGuard<'_, mapped_anndata::Epoch>> {
        match self.epoch.try_lock() {
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

    /// The number of batches to come.
    fn __len__(&self) -> PyResult<usize> {
        Ok(self.lock()?.len())
    }

    /// Returns the number of the epoch and how many rows of its order were delivered; after the
    /// last batch, the next epoch and 0.
    fn position(&self) -> PyResult<(u64, usize)> {
        Ok(self.lock()?.position())
    }

    /// A hash of the rows that a sampler drew.
    #[getter]
    fn drawn(&self) -> PyResult<Option<u64>> {
        Ok(self.lock()?.drawn())
    }
}
