//! The collection, as the package's Python half uses it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mapped_anndata::labels::MISSING;
use mapped_anndata::{
    DType, EncodeLabels, IoOptions, Join, MappedCollection, SplitBy, SplitOptions, StorageOptions,
    Values,
};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::arguments::{self, Encode, Filter, Unknown, index_of, with_filter, with_unknown};
use crate::arrays::{from_values, scalar};
use crate::cache::{self, Cache};
use crate::choices::{self, Choices, MissingKey};
use crate::errors::to_python;
use crate::format::Format;
use crate::genes::{Overlap, Variables, overlap};
use crate::labels;
use crate::{batch, item};

/// An opened collection.
#[pyclass(frozen, module = "mapped_anndata._core")]
#[derive(Debug)]
pub(crate) struct Collection {
    cells: MappedCollection,
    /// The number of each store, as the numpy scalar in items.
    store_numbers: Vec<Py<PyAny>>,
    uniform: bool,
    /// The code of a missing encoded label in items; `nan` without one.
    missing_code: Option<i64>,
    /// The process that last took its share of the memory of packed rows.
    process: AtomicU32,
}

/// Distinct labels, the position of each row's label, and the numpy type of an array of the labels.
type Merged<'py> = (Bound<'py, PyList>, Bound<'py, PyArray1<i64>>, &'static str);

/// An obs key and its encoder's labels and codes.
type Encoding<'a, 'py> = (&'a str, Vec<(Bound<'py, PyAny>, i64)>);

/// Option, obs key, label and the nearest one.
type Unmatched<'a, 'py> = (
    &'static str,
    Option<&'a str>,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
);

impl Collection {
    /// Takes this process's share of the memory of packed rows: each worker of a `DataLoader` packs
    /// rows of its own.
    fn share_packs(&self, py: Python<'_>) -> PyResult<()> {
        let process = std::process::id();
        if self.process.swap(process, Ordering::Relaxed) == process {
            return Ok(());
        }
        let ranks = py.import("mapped_anndata._ranks")?;
        let (_, n_workers): (usize, usize) = ranks.call_method0("worker")?.extract()?;
        self.cells.io().share_packs(n_workers);
        Ok(())
    }
}

#[pymethods]
impl Collection {
    /// Opens files. The Python half has already put every argument into one form.
    #[new]
    #[pyo3(signature = (paths, layers, obs, obsm, filter, join, encode, unknown, dtype, variables, choices, *, cache_bytes=None, max_open_files=None, mmap=None, pack_bytes=None, pack_uncompressed=None, revalidate=None, missing_code=None, cache=None, cache_size=None, storage=Vec::new()))]
    #[expect(
        clippy::too_many_arguments,
        reason = "lamindb's eleven, and twelve of ours"
    )]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        layers: Vec<String>,
        obs: Vec<String>,
        obsm: Vec<String>,
        filter: Filter<'_>,
        join: Option<&str>,
        encode: Encode,
        unknown: Option<Unknown<'_>>,
        dtype: Option<&str>,
        variables: Variables,
        choices: Choices<'_>,
        cache_bytes: Option<usize>,
        max_open_files: Option<usize>,
        mmap: Option<bool>,
        pack_bytes: Option<usize>,
        pack_uncompressed: Option<bool>,
        revalidate: Option<bool>,
        missing_code: Option<i64>,
        cache: Option<Cache>,
        cache_size: Option<u64>,
        storage: Vec<(String, String)>,
    ) -> PyResult<Collection> {
        let join = join.map(|join| {
            join.parse::<Join>()
                .map_err(|error| PyValueError::new_err(format!("join: {error}")))
        });
        let mut builder = MappedCollection::builder(paths)
            .layers(layers)
            .obs(obs)
            .obsm(obsm)
            .join(join.transpose()?)
            .encode_labels(match encode {
                Encode::All(all) => EncodeLabels::from(all),
                Encode::Keys(keys) => EncodeLabels::Keys(keys),
            })
            .dtype(arguments::dtype(dtype)?);
        builder = choices.apply(variables.apply(builder)?)?;
        builder = with_filter(builder, filter)?;
        builder = with_unknown(builder, unknown)?;
        let mut io = IoOptions::new();
        if let Some(bytes) = cache_bytes {
            io = io.cache_bytes(bytes);
        }
        if let Some(files) = max_open_files {
            io = io.max_open_files(files);
        }
        if let Some(mmap) = mmap {
            io = io.mmap(mmap);
        }
        if let Some(bytes) = pack_bytes {
            io = io.pack_bytes(bytes);
        }
        if let Some(pack) = pack_uncompressed {
            io = io.pack_uncompressed(pack);
        }
        if let Some(revalidate) = revalidate {
            io = io.revalidate(revalidate);
        }
        builder = builder.io(io);
        if !storage.is_empty() {
            let invalid = |error: mapped_anndata::io::Error| {
                PyValueError::new_err(format!("storage_options: {}", error.kind()))
            };
            let storage = StorageOptions::new(storage).map_err(invalid)?;
            builder = builder.storage_options(&storage).map_err(to_python)?;
        }
        builder = cache::with_cache(builder, cache, cache_size);
        let cells = py.detach(|| builder.open()).map_err(to_python)?;
        let number = |store: usize| {
            let value = mapped_anndata::io::NumericValue::Signed(store as i64);
            Ok(scalar(py, DType::I64, value)?.unbind())
        };
        Ok(Collection {
            store_numbers: (0..cells.n_stores()).map(number).collect::<PyResult<_>>()?,
            uniform: cells.is_uniform(),
            missing_code,
            process: AtomicU32::new(0),
            cells,
        })
    }

    fn close(&self) {
        self.cells.close();
    }

    /// The absolute paths of the files, as texts in the form of `os.fsdecode`.
    #[getter]
    fn paths(&self) -> Vec<&OsStr> {
        self.cells.paths().map(Path::as_os_str).collect()
    }

    /// The bands of the collection, those in the cache, and their bytes there.
    fn cached(&self, py: Python<'_>) -> Option<(usize, usize, u64)> {
        let cached = py.detach(|| self.cells.cached())?;
        Some((cached.n_bands, cached.n_cached, cached.bytes))
    }

    /// What went wrong with the cache since the last call.
    fn cache_warnings(&self) -> Vec<String> {
        let cache = self.cells.io().cache();
        cache.map_or(Vec::new(), |cache| cache.take_warnings())
    }

    /// Turns matrices stored by column into rows, and fills the cache; calls `progress` with the
    /// fraction that is done. If it raises, or a signal arrives whose handler raises, it is not
    /// called again, and the exception is raised soon: when the current matrix is ready.
    fn prepare(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<()> {
        let mut raised: PyResult<()> = Ok(());
        let prepared = py.detach(|| {
            self.cells.prepare_while(|part| {
                if raised.is_ok() {
                    raised = Python::attach(|py| {
                        py.check_signals()?;
                        if let Some(progress) = &progress {
                            progress.call1(py, (part,))?;
                        }
                        Ok(())
                    });
                }
                raised.is_ok()
            })
        });
        raised?;
        prepared.map_err(to_python)
    }

    #[getter]
    fn closed(&self) -> bool {
        self.cells.is_closed()
    }

    #[getter]
    fn n_obs(&self) -> usize {
        self.cells.n_obs()
    }

    #[getter]
    fn n_vars(&self) -> Option<usize> {
        self.cells.n_vars()
    }

    #[getter]
    fn original_shapes(&self) -> Vec<(usize, usize)> {
        self.cells.original_shapes()
    }

    #[getter]
    fn uniform(&self) -> bool {
        self.uniform
    }

    /// The join in effect.
    #[getter]
    fn join_vars(&self) -> Option<&'static str> {
        self.cells.join_vars().map(Join::as_str)
    }

    fn var_joint(&self) -> Option<Vec<&str>> {
        Some(self.cells.var_joint()?.iter().collect())
    }

    fn var_list<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyList>>> {
        let stores = py.detach(|| self.cells.var_list()).map_err(to_python)?;
        stores
            .iter()
            .map(|names| PyList::new(py, names.iter()))
            .collect()
    }

    fn var_indices<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let indices = self.cells.var_indices();
        indices
            .map(|indices| batch::per_store(py, indices))
            .transpose()
    }

    /// The joint variables of a matrix.
    fn vars_of(&self, key: &str) -> Option<Vec<&str>> {
        Some(self.cells.vars_of(key)?.iter().collect())
    }

    /// How many of the given genes each store has.
    fn gene_overlaps(&self) -> Vec<Overlap> {
        self.cells.gene_overlaps().iter().map(overlap).collect()
    }

    /// The stores that have few of the given genes, in words.
    fn low_overlaps(&self) -> Vec<String> {
        let low = self.cells.low_overlaps().iter();
        low.map(ToString::to_string).collect()
    }

    /// Which joint variables a store has: those of a matrix, or of the first one.
    fn presence<'py>(
        &self,
        py: Python<'py>,
        store: usize,
        key: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let presence = match key {
            None => self.cells.presence(store),
            Some(key) => self.cells.presence_of(key, store),
        };
        Ok(presence.map(|presence| PyArray1::from_vec(py, presence).into_any()))
    }

    fn check_vars_sorted(&self, py: Python<'_>, ascending: bool) -> PyResult<bool> {
        py.detach(|| self.cells.check_vars_sorted(ascending))
            .map_err(to_python)
    }

    fn check_vars_non_aligned(&self, py: Python<'_>, vars: Vec<String>) -> PyResult<Vec<usize>> {
        py.detach(|| self.cells.check_vars_non_aligned(vars))
            .map_err(to_python)
    }

    /// Returns the rows of each store that passed the filter, as int64.
    fn kept_rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rows = |store| self.cells.kept_rows(store).map(i64::from).collect();
        batch::per_store(py, (0..self.cells.n_stores()).map(rows).collect())
    }

    /// `[(key, [(label, code)])]`.
    fn encoders<'py>(&self, py: Python<'py>) -> PyResult<Vec<Encoding<'_, 'py>>> {
        let entries = |encoder: &mapped_anndata::Encoder| {
            let entries = encoder.entries();
            entries
                .map(|(label, code)| Ok((labels::to_python(py, label)?, code)))
                .collect::<PyResult<_>>()
        };
        let encoders = self.cells.encoders();
        encoders
            .map(|(key, encoder)| Ok((key, entries(encoder)?)))
            .collect()
    }

    fn median_total(&self, key: &str) -> Option<f64> {
        self.cells.median_total(key)
    }

    /// Returns what each store has for a key: the name of a matrix or column.
    fn source_keys(&self, key: &str) -> Vec<Option<String>> {
        let stores = 0..self.cells.n_stores();
        stores
            .map(|store| self.cells.source_key(store, key))
            .collect()
    }

    /// Returns `[(group, key, nearest, file)]` of the keys that no store or a file lacks.
    fn missing_keys(&self) -> Vec<MissingKey<'_>> {
        choices::missing_keys(&self.cells)
    }

    /// Returns `[(option, key, label, nearest)]` of the labels that no store has.
    fn unmatched_labels<'py>(&self, py: Python<'py>) -> PyResult<Vec<Unmatched<'_, 'py>>> {
        let found = self.cells.unmatched_labels().iter().map(|found| {
            let label = labels::to_python(py, &found.label)?;
            let nearest = found.nearest.as_ref();
            let nearest = nearest.map(|label| labels::to_python(py, label));
            Ok((
                found.group,
                found.key.as_deref(),
                label,
                nearest.transpose()?,
            ))
        });
        found.collect()
    }

    /// Returns the distinct labels of a key, the position of each row's label in them as int64 (one
    /// past the last if it is missing), and the numpy type of an array of them.
    fn merged_labels<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Merged<'py>> {
        let merged = py
            .detach(|| self.cells.merged_labels(key))
            .map_err(to_python)?;
        let values = merged
            .labels()
            .iter()
            .map(|label| labels::to_python(py, label));
        let values = PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?;
        let n_labels = merged.labels().len() as i64;
        let codes = merged.codes().iter().map(|&code| match code {
            MISSING => n_labels,
            code => code.into(),
        });
        let codes = PyArray1::from_vec(py, codes.collect());
        Ok((values, codes, labels::array_type(merged.labels())))
    }

    fn merged_categories<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyList>> {
        let categories = py
            .detach(|| self.cells.merged_categories(key))
            .map_err(to_python)?;
        let values = categories
            .labels()
            .iter()
            .map(|label| labels::to_python(py, label));
        PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)
    }

    /// Returns one weight per row, as float64.
    #[pyo3(signature = (keys, scaler))]
    fn label_weights<'py>(
        &self,
        py: Python<'py>,
        keys: Vec<String>,
        scaler: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let weights = py.detach(|| {
            let weights = self.cells.label_weights(keys)?;
            Ok(weights.weights(scaler))
        });
        let weights = weights.map_err(to_python)?;
        let shape = vec![weights.len()];
        from_values(py, Values::F64(weights), shape)
    }

    /// Returns `[(class, weight)]`, in order of first appearance.
    #[pyo3(signature = (keys, scaler))]
    fn class_weights(
        &self,
        py: Python<'_>,
        keys: Vec<String>,
        scaler: Option<f64>,
    ) -> PyResult<Vec<(String, f64)>> {
        let weights = py
            .detach(|| self.cells.label_weights(keys))
            .map_err(to_python)?;
        Ok(weights.by_class(scaler))
    }

    fn obs_names(&self, py: Python<'_>, rows: PyReadonlyArray1<'_, i64>) -> PyResult<Vec<String>> {
        let indices = rows.as_array().to_vec();
        py.detach(|| self.cells.obs_names(&indices))
            .map_err(to_python)
    }

    fn item<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.share_packs(py)?;
        let index = index_of(index, self.cells.n_obs())?;
        let read = py.detach(|| self.cells.get(index)).map_err(to_python)?;
        let store = &self.store_numbers[read.store_idx];
        let encoded = |key: &str| self.cells.encoders().any(|(encoded, _)| encoded == key);
        item::to_dict(py, read, store, |key| {
            self.missing_code.filter(|_| encoded(key))
        })
    }

    /// Returns the items of many rows of a [uniform](Self::uniform) collection, and the block that
    /// they view.
    fn items<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
        self.share_packs(py)?;
        let indices = rows.as_array().to_vec();
        let read = py
            .detach(|| self.cells.get_batch(&indices))
            .map_err(to_python)?;
        batch::to_items(py, read, &self.store_numbers, self.missing_code)
    }

    fn batch<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        format: Format,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.share_packs(py)?;
        let format = format.parse()?;
        let indices = rows.as_array().to_vec();
        let read = py.detach(|| self.cells.get_batch_with(&indices, &format));
        batch::to_dict(py, read.map_err(to_python)?)
    }

    /// Returns one int64 array of rows per fraction.
    fn split<'py>(
        &self,
        py: Python<'py>,
        fractions: Vec<f64>,
        stratify: Option<String>,
        group: Option<String>,
        seed: u64,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let by = match (stratify, group) {
            (None, None) => SplitBy::Rows,
            (Some(key), None) => SplitBy::Stratified(key),
            (None, Some(key)) => SplitBy::Grouped(key),
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err(
                    "expected either stratify or group, found both",
                ));
            }
        };
        let options = SplitOptions::new(fractions).by(by).seed(seed);
        let parts = py
            .detach(|| self.cells.split(&options))
            .map_err(to_python)?;
        let parts = parts
            .into_iter()
            .map(|part| part.into_iter().map(i64::from).collect());
        batch::per_store(py, parts.collect())
    }
}

impl Collection {
    pub(crate) fn cells(&self) -> &MappedCollection {
        &self.cells
    }
}
