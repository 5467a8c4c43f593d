//! Labels, converted from and to Python.

use mapped_anndata::labels::{FloatWidth, Label};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

/// Converts a label from the package's Python half: a plain text, number or boolean, or `None` for
/// a missing label.
pub(crate) fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Option<Label>> {
    if value.is_none() {
        Ok(None)
    } else if let Ok(text) = value.cast::<PyString>() {
        Ok(Some(Label::from(text.to_str()?)))
    } else if let Ok(flag) = value.cast::<PyBool>() {
        Ok(Some(Label::from(flag.is_true())))
    } else if value.is_instance_of::<PyInt>() {
        Ok(Some(Label::Int(value.extract()?)))
    } else if value.is_instance_of::<PyFloat>() {
        Ok(Label::float(value.extract()?, FloatWidth::F64))
    } else {
        let found = value.get_type().name()?;
        Err(PyTypeError::new_err(format!(
            "labels are texts, numbers or booleans, found {found}"
        )))
    }
}

/// As [`from_python`], but refuses a missing label.
pub(crate) fn present(value: &Bound<'_, PyAny>) -> PyResult<Label> {
    from_python(value)?.ok_or_else(|| PyValueError::new_err("a missing label is no label"))
}

/// Returns a label as a plain Python value.
pub(crate) fn to_python<'py>(py: Python<'py>, label: &Label) -> PyResult<Bound<'py, PyAny>> {
    match label {
        Label::Bool(value) => value.into_bound_py_any(py),
        Label::Int(value) => value.into_bound_py_any(py),
        Label::Float(value) => value.value().into_bound_py_any(py),
        Label::Str(text) => Ok(PyString::intern(py, text).into_any()),
    }
}

/// Returns the numpy type of an array that holds all of these labels, none of which is missing.
pub(crate) fn array_type(labels: &[Label]) -> &'static str {
    let all = |is: fn(&Label) -> bool| !labels.is_empty() && labels.iter().all(is);
    let widest = |width: FloatWidth| {
        labels
            .iter()
            .any(|label| matches!(label, Label::Float(value) if value.width() == width))
    };
    if all(|label| matches!(label, Label::Bool(_))) {
        "bool"
    } else if all(|label| matches!(label, Label::Int(value) if i64::try_from(*value).is_ok())) {
        "int64"
    } else if all(|label| matches!(label, Label::Int(value) if u64::try_from(*value).is_ok())) {
        "uint64"
    } else if !all(|label| matches!(label, Label::Float(_))) {
        "object"
    } else if widest(FloatWidth::F64) {
        "float64"
    } else if widest(FloatWidth::F32) {
        "float32"
    } else {
        "float16"
    }
}
