//! Items as dicts.

use mapped_anndata::{Item, ItemValue};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::arrays::{from_values, scalar};

/// The key of an item for the number of its store.
pub(crate) const STORE: &str = "_store_idx";

/// Returns the object `numpy.nan` itself, which stands for a missing label.
pub(crate) fn nan(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static NAN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let nan = NAN.get_or_try_init(py, || {
        PyResult::Ok(py.import("numpy")?.getattr("nan")?.unbind())
    })?;
    Ok(nan.bind(py))
}

/// Returns an item as a dict in lamindb's form. `store` is the number of its store, as a numpy
/// scalar; `missing` is the code of a missing label of a key, if it has one.
pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    item: Item,
    store: &Py<PyAny>,
    missing: impl Fn(&str) -> Option<i64>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(PyString::intern(py, STORE), store)?;
    for (key, value) in item.into_entries() {
        let value = match value {
            ItemValue::Row(row) => {
                let shape = row.shape().to_vec();
                from_values(py, row.into_values(), shape)?
            }
            ItemValue::Code(code) => code.into_bound_py_any(py)?,
            ItemValue::Text(text) => PyString::new(py, &text).into_any(),
            ItemValue::Number(dtype, value) => scalar(py, dtype, value)?,
            ItemValue::Missing => match missing(&key) {
                Some(code) => code.into_bound_py_any(py)?,
                None => nan(py)?.clone(),
            },
        };
        dict.set_item(PyString::intern(py, &key), value)?;
    }
    Ok(dict)
}
