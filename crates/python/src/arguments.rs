//! Arguments in the one form in which the package's Python half passes them.

use std::path::Path;

use mapped_anndata::io::{ByteSize, Location};
use mapped_anndata::{DType, FilterValue, LabelMatch, MappedCollectionBuilder};
use numpy::PyArray1;
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PyTuple};

use crate::errors::out_of_bounds;
use crate::labels;

/// `encode_labels`: a flag, or the keys.
#[derive(FromPyObject)]
pub(crate) enum Encode {
    All(bool),
    Keys(Vec<String>),
}

/// `unknown_label`: one per key, or one for all.
#[derive(FromPyObject)]
pub(crate) enum Unknown<'py> {
    Keys(Vec<(String, Bound<'py, PyAny>)>),
    All(Bound<'py, PyAny>),
}

/// `obs_filter`: columns and the values that they may have.
pub(crate) type Filter<'py> = Vec<(String, Vec<Bound<'py, PyAny>>)>;

/// Returns the element type of a name; otherwise raises `TypeError`, as numpy does.
pub(crate) fn dtype(name: Option<&str>) -> PyResult<Option<DType>> {
    let parse = |name: &str| {
        name.parse()
            .map_err(|error| PyTypeError::new_err(format!("dtype: {error}")))
    };
    name.map(parse).transpose()
}

/// Converts an index from a Python object; an index beyond 64 bits is out of bounds like any other.
pub(crate) fn index_of(index: &Bound<'_, PyAny>, n_obs: usize) -> PyResult<i64> {
    index.extract::<i64>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(index.py()) {
            PyIndexError::new_err(out_of_bounds(index, n_obs))
        } else {
            error
        }
    })
}

/// Returns the number of bytes that a text such as `1 GiB` means; `None` if it is not a size.
#[pyfunction]
pub(crate) fn byte_size(text: &str) -> Option<u64> {
    text.parse().ok().map(|ByteSize(bytes)| bytes)
}

/// Returns a path or URL without its user and the parts of its query that sign it.
#[pyfunction]
pub(crate) fn without_secrets(path: &str) -> String {
    let location = Location::resolve(Path::new(path));
    let public = location.map(|location| location.without_secrets());
    // Only a URL of an unknown kind cannot be resolved.
    public.map_or_else(|_| String::new(), |path| path.display().to_string())
}

/// Returns the non-negative row numbers of a list or tuple of plain integers that are all in
/// bounds: the most common request. `None` for everything else, which the Python half converts or
/// refuses.
#[pyfunction]
pub(crate) fn row_numbers<'py>(
    value: &Bound<'py, PyAny>,
    n_obs: usize,
) -> Option<Bound<'py, PyArray1<i64>>> {
    let n_obs = i64::try_from(n_obs).ok()?;
    let number = |item: Bound<'py, PyAny>| {
        // A boolean is an instance of a subclass of int.
        let row = item.cast_exact::<PyInt>().ok()?.extract::<i64>().ok()?;
        let row = if row < 0 { row + n_obs } else { row };
        (0..n_obs).contains(&row).then_some(row)
    };
    let rows: Option<Vec<i64>> = if let Ok(list) = value.cast_exact::<PyList>() {
        list.iter().map(number).collect()
    } else {
        let tuple = value.cast_exact::<PyTuple>().ok()?;
        tuple.iter().map(number).collect()
    };
    Some(PyArray1::from_vec(value.py(), rows?))
}

/// Returns the value of a filter; `None` is a missing label.
pub(crate) fn filter_value(value: &Bound<'_, PyAny>) -> PyResult<FilterValue> {
    Ok(match labels::from_python(value)? {
        None => FilterValue::Missing,
        Some(label) => FilterValue::Label(LabelMatch::Exact(label)),
    })
}

/// Returns the values of a filter.
pub(crate) fn filter_values(values: &[Bound<'_, PyAny>]) -> PyResult<Vec<FilterValue>> {
    values.iter().map(filter_value).collect()
}

/// Adds a filter.
pub(crate) fn with_filter(
    mut builder: MappedCollectionBuilder,
    filter: Filter<'_>,
) -> PyResult<MappedCollectionBuilder> {
    for (key, values) in filter {
        builder = builder.filter(key, filter_values(&values)?);
    }
    Ok(builder)
}

/// Adds the unknown label.
pub(crate) fn with_unknown(
    builder: MappedCollectionBuilder,
    unknown: Option<Unknown<'_>>,
) -> PyResult<MappedCollectionBuilder> {
    match unknown {
        None => Ok(builder),
        Some(Unknown::All(label)) => Ok(builder.unknown_label_for_all(labels::present(&label)?)),
        Some(Unknown::Keys(keys)) => keys.iter().try_fold(builder, |builder, (key, label)| {
            Ok(builder.unknown_label(key, labels::present(label)?))
        }),
    }
}
