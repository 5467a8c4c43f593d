//! Batches as dicts of arrays, and as lists of items that view one block.

use mapped_anndata::io::Values;
use mapped_anndata::{Batch, BatchColumn, CsrIndex, DType, MISSING_CODE, Matrix};
use numpy::{PyArray1, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::arrays::{Owner, View, data, scalar};
use crate::item::{STORE, nan};

/// The key of a batch for each row's number in its store's file.
const ROW: &str = "_row_idx";
/// The key of the controls of a batch's rows.
const CONTROL: &str = "control";
/// The suffix of the key of a column of numbers, for the array that marks which numbers are there.
const VALID: &str = "_valid";

/// The place of a part of a batch.
enum Part {
    Dense(View),
    Csr {
        shape: [usize; 2],
        indptr: View,
        indices: View,
        values: View,
    },
    Codes(View, Vec<i64>),
    Numbers {
        view: View,
        valid: View,
        values: Values,
        is_valid: Vec<bool>,
    },
    Texts(Vec<Option<String>>),
}

fn of_indices(indices: &mut CsrIndex) -> View {
    match indices {
        CsrIndex::I32(indices) => View::of_vec(DType::I32, indices),
        CsrIndex::I64(indices) => View::of_vec(DType::I64, indices),
    }
}

/// Returns the place of every part, by key: matrices, then obs. `copy` also keeps the small columns
/// at hand, for reads of single values.
fn parts(batch: &mut Batch, copy: bool) -> Vec<(String, Part)> {
    let mut parts = Vec::with_capacity(batch.matrices.len() + batch.obs.len());
    for (key, matrix) in &mut batch.matrices {
        let part = match matrix {
            Matrix::Dense { shape, values } => Part::Dense(View::of_values(values, shape.clone())),
            Matrix::Csr {
                shape,
                indptr,
                indices,
                values,
            } => {
                let n_stored = values.len();
                Part::Csr {
                    shape: *shape,
                    indptr: of_indices(indptr),
                    indices: of_indices(indices),
                    values: View::of_values(values, vec![n_stored]),
                }
            }
        };
        parts.push((key.clone(), part));
    }
    for (key, column) in &mut batch.obs {
        let part = match column {
            BatchColumn::Codes(codes) => {
                let copied = if copy { codes.clone() } else { Vec::new() };
                Part::Codes(View::of_vec(DType::I64, codes), copied)
            }
            BatchColumn::Numbers { values, valid } => {
                let n_rows = valid.len();
                let copied = if copy {
                    (values.clone(), valid.clone())
                } else {
                    (Values::new(values.dtype()), Vec::new())
                };
                Part::Numbers {
                    view: View::of_values(values, vec![n_rows]),
                    valid: View::of_vec(DType::Bool, valid),
                    values: copied.0,
                    is_valid: copied.1,
                }
            }
            BatchColumn::Texts(texts) => Part::Texts(std::mem::take(texts)),
        };
        parts.push((key.clone(), part));
    }
    parts
}

/// Returns a batch as a dict. Arrays view the batch's own memory, which returns to its pool when
/// the last of them is gone. A sparse matrix is a tuple `(data, indices, indptr, shape)`; texts are
/// a list. `store_idx` and `row_idx` come first, as int64; controls are a dict of the same form.
pub(crate) fn to_dict(py: Python<'_>, mut batch: Batch) -> PyResult<Bound<'_, PyDict>> {
    let dict = located(py, &batch)?;
    let control = batch.control.take();
    let parts = parts(&mut batch, false);
    let owner = Owner::new(py, batch)?;
    for (key, part) in &parts {
        set(&dict, key, part, &owner)?;
    }
    if let Some(control) = control {
        dict.set_item(CONTROL, to_dict(py, *control)?)?;
    }
    Ok(dict)
}

fn located<'py>(py: Python<'py>, batch: &Batch) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let int64 = |numbers: &[u32]| {
        PyArray1::from_vec(
            py,
            numbers.iter().map(|&n| i64::from(n)).collect::<Vec<_>>(),
        )
    };
    dict.set_item(STORE, int64(&batch.store_idx))?;
    dict.set_item(ROW, int64(&batch.row_idx))?;
    Ok(dict)
}

/// Puts a part into the dict of its batch. `owner` has the batch, and nothing else touches its
/// vectors any more: this makes the views below sound.
fn set(dict: &Bound<'_, PyDict>, key: &str, part: &Part, owner: &Bound<'_, Owner>) -> PyResult<()> {
    let py = dict.py();
    // SAFETY: all views are of vectors of the batch that the owner has.
    let array = |view: &View| unsafe { view.array(owner) };
    let name = PyString::intern(py, key);
    match part {
        Part::Dense(view) | Part::Codes(view, _) => dict.set_item(name, array(view)?),
        Part::Csr {
            shape,
            indptr,
            indices,
            values,
        } => {
            let arrays = (array(indptr)?, array(indices)?, array(values)?);
            let sparse = (arrays.2, arrays.1, arrays.0, (shape[0], shape[1]));
            dict.set_item(name, sparse.into_bound_py_any(py)?)
        }
        Part::Numbers { view, valid, .. } => {
            dict.set_item(name, array(view)?)?;
            dict.set_item(
                PyString::intern(py, &format!("{key}{VALID}")),
                array(valid)?,
            )
        }
        Part::Texts(texts) => dict.set_item(name, PyList::new(py, texts)?),
    }
}

/// Returns the rows of a dense batch as items whose arrays view it, and the batch as a dict.
///
/// Only for a collection that [is uniform](mapped_anndata::MappedCollection::is_uniform): there the
/// items equal those that would be read one by one.
pub(crate) fn to_items<'py>(
    py: Python<'py>,
    mut batch: Batch,
    store_numbers: &[Py<PyAny>],
    missing_code: Option<i64>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
    let block = located(py, &batch)?;
    let n_obs = batch.n_obs();
    let stores: Vec<usize> = batch
        .store_idx
        .iter()
        .map(|&store| store as usize)
        .collect();
    let parts = parts(&mut batch, true);
    let owner = Owner::new(py, batch)?;
    for (key, part) in &parts {
        set(&block, key, part, &owner)?;
    }
    let store_key = PyString::intern(py, STORE);
    let keys: Vec<_> = parts
        .iter()
        .map(|(key, _)| PyString::intern(py, key))
        .collect();
    let mut items = Vec::with_capacity(n_obs);
    for (row, store) in stores.into_iter().enumerate() {
        let item = PyDict::new(py);
        item.set_item(&store_key, &store_numbers[store])?;
        for (key, (_, part)) in keys.iter().zip(&parts) {
            let value = match part {
                // SAFETY: as above, and a row of a view lies within it.
                Part::Dense(view) => unsafe { view.row(row).array(&owner)? },
                Part::Codes(_, codes) if codes[row] == MISSING_CODE => match missing_code {
                    Some(code) => code.into_bound_py_any(py)?,
                    None => nan(py)?.clone(),
                },
                Part::Codes(_, codes) => codes[row].into_bound_py_any(py)?,
                Part::Numbers {
                    values, is_valid, ..
                } => match is_valid[row] {
                    true => scalar(py, values.dtype(), values.as_slice().get(row))?,
                    false => nan(py)?.clone(),
                },
                Part::Texts(texts) => match &texts[row] {
                    Some(text) => PyString::new(py, text).into_any(),
                    None => nan(py)?.clone(),
                },
                Part::Csr { .. } => unreachable!("the batch was asked for dense"),
            };
            item.set_item(key, value)?;
        }
        items.push(item);
    }
    Ok((PyList::new(py, items)?, block))
}

/// Whether the rows of an array are, in order, the values of the items under a key: the same places
/// in memory, so that the array may replace them.
#[pyfunction]
pub(crate) fn rows_of(
    block: &Bound<'_, PyUntypedArray>,
    items: &Bound<'_, PyList>,
    key: &Bound<'_, PyString>,
) -> PyResult<bool> {
    let (ndim, n_rows) = (block.ndim(), items.len());
    if ndim == 0 || block.shape()[0] != n_rows || !block.is_c_contiguous() {
        return Ok(false);
    }
    let step = block.strides()[0];
    for (number, item) in items.iter().enumerate() {
        let Ok(Some(value)) = item.cast::<PyDict>().map_err(PyErr::from)?.get_item(key) else {
            return Ok(false);
        };
        let Ok(row) = value.cast::<PyUntypedArray>() else {
            return Ok(false);
        };
        let expected = data(block).wrapping_offset(number as isize * step);
        if data(row) != expected
            || row.shape() != &block.shape()[1..]
            || !row.is_c_contiguous()
            || !row.dtype().is(block.dtype())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns a tuple of one int64 array per store.
pub(crate) fn per_store<'py>(
    py: Python<'py>,
    arrays: Vec<Vec<i64>>,
) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(
        py,
        arrays
            .into_iter()
            .map(|array| PyArray1::from_vec(py, array)),
    )
}
