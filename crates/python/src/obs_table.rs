//! Tables of cells, as the package's Python half makes and pickles them.
//!
//! All texts and numbers come and go as bytes: those of many cells are too many for a Python object
//! each.

use std::path::PathBuf;

use mapped_anndata::io::{DType, Scalar, Strings, with_dtype};
use mapped_anndata::{
    Codes, ColumnRows, ColumnValues, EncodedColumn, MappedCollectionBuilder, ObsTable, TableColumn,
    Values,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::collection::Collection;
use crate::errors::to_python;

/// A table of cells, in which nothing changes.
#[pyclass(frozen, module = "mapped_anndata._core")]
#[derive(Debug)]
pub(crate) struct Table {
    table: ObsTable,
    /// The column that names stores.
    store: Option<String>,
    /// The paths of the stores as they were given.
    paths: Vec<PathBuf>,
}

/// Texts in UTF-8 behind each other, and the end of each as uint64.
type Texts = (PyBackedBytes, PyBackedBytes);

/// Texts, or numbers of a type.
#[derive(FromPyObject)]
enum ValuesOf {
    Texts(Texts),
    Numbers(String, PyBackedBytes),
}

/// A column: a dict of these.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Column {
    name: String,
    /// Distinct values if there are codes, otherwise one for each row; `None` if they cannot be labels.
    values: Option<ValuesOf>,
    /// The position of each row's label as int64, -1 where it is missing.
    codes: Option<PyBackedBytes>,
    categorical: bool,
    /// One byte per row: whether it has a value.
    valid: Option<PyBackedBytes>,
    /// The type of values that cannot be labels.
    unsupported: Option<String>,
}

#[pymethods]
impl Table {
    #[new]
    fn new(
        names: Texts,
        columns: Vec<Column>,
        store: Option<String>,
        paths: Vec<PathBuf>,
    ) -> PyResult<Table> {
        let names = texts(&names)?;
        let mut table = ObsTable::new(names.iter());
        for column in columns {
            let labels = column.labels(names.len())?;
            table = table.column(column.name, labels);
        }
        Ok(Table {
            table,
            store,
            paths,
        })
    }

    /// Reads a file.
    #[staticmethod]
    fn from_file(
        py: Python<'_>,
        path: PathBuf,
        column: Option<String>,
        store: Option<String>,
        paths: Vec<PathBuf>,
    ) -> PyResult<Table> {
        let read = || ObsTable::from_file(path, column.as_deref());
        Ok(Table {
            table: py.detach(read).map_err(to_python)?,
            store,
            paths,
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Reduced<'py>)> {
        let (py, own) = (slf.py(), slf.get());
        let columns = own.table.columns();
        let columns = columns.map(|(name, column)| column_to_python(py, name, column));
        let parts = (
            texts_to_python(py, own.table.cell_names()),
            columns.collect::<PyResult<Vec<_>>>()?,
            own.store.clone(),
            own.paths.clone(),
        );
        Ok((slf.get_type().into_any(), parts))
    }
}

type Reduced<'py> = (
    (Bound<'py, PyBytes>, Bound<'py, PyBytes>),
    Vec<Bound<'py, PyDict>>,
    Option<String>,
    Vec<PathBuf>,
);

impl Table {
    pub(crate) fn apply(&self, builder: MappedCollectionBuilder) -> MappedCollectionBuilder {
        let table = self.table.clone().store_paths(self.paths.clone());
        builder.obs_table(match &self.store {
            Some(store) => table.store_column(store),
            None => table,
        })
    }
}

/// For each store, the number of its cells without a row in the table; `None` without a table.
#[pyfunction]
pub(crate) fn not_in_table(collection: &Bound<'_, Collection>) -> Option<Vec<usize>> {
    collection.get().cells().not_in_table()
}

impl Column {
    fn labels(&self, n_rows: usize) -> PyResult<TableColumn> {
        let Some(values) = &self.values else {
            let what = self.unsupported.clone().unwrap_or_default();
            return Ok(TableColumn::unsupported(what, n_rows));
        };
        let values = match values {
            ValuesOf::Texts(given) => ColumnValues::Texts(texts(given)?),
            ValuesOf::Numbers(dtype, bytes) => ColumnValues::Numbers(numbers(dtype, bytes)?),
        };
        let Some(codes) = &self.codes else {
            let valid = self.valid.as_ref();
            let valid = valid.map(|valid| valid.iter().map(|&byte| byte != 0).collect());
            return Ok(ColumnRows { values, valid }.into());
        };
        let codes = of_bytes::<i64>(codes)?;
        let codes = codes.into_iter().map(|code| u32::try_from(code).ok());
        Ok(match values {
            ColumnValues::Texts(texts) if !self.categorical => codes
                .map(|code| code.and_then(|code| texts.get(code as usize)))
                .collect(),
            categories => EncodedColumn {
                codes: Codes::new(categories.len(), codes),
                categories,
            }
            .into(),
        })
    }
}

fn column_to_python<'py>(
    py: Python<'py>,
    name: &str,
    column: &TableColumn,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", name)?;
    dict.set_item("categorical", column.is_categorical())?;
    dict.set_item("unsupported", column.as_unsupported())?;
    let none = py.None().into_bound(py);
    for key in ["values", "codes", "valid"] {
        dict.set_item(key, &none)?;
    }
    let numbers = |values: &Values| {
        let bytes = PyBytes::new(py, values.as_slice().as_bytes());
        (values.dtype().name(), bytes)
    };
    if let Some(labels) = column.as_labels() {
        match &labels.categories {
            ColumnValues::Texts(texts) => dict.set_item("values", texts_to_python(py, texts))?,
            ColumnValues::Numbers(values) => dict.set_item("values", numbers(values))?,
        }
        let codes = (0..labels.codes.len()).map(|row| labels.codes.get(row).map_or(-1, i64::from));
        let codes: Vec<i64> = codes.collect();
        dict.set_item("codes", PyBytes::new(py, bytemuck::cast_slice(&codes)))?;
    } else if let Some((values, valid)) = column.as_numbers() {
        dict.set_item("values", numbers(values))?;
        if let Some(valid) = valid {
            let valid: Vec<u8> = valid.iter().map(|&valid| valid.into()).collect();
            dict.set_item("valid", PyBytes::new(py, &valid))?;
        }
    }
    Ok(dict)
}

fn texts((data, ends): &Texts) -> PyResult<Strings> {
    let invalid = || PyValueError::new_err("obs_table: expected texts, found other bytes");
    let data = std::str::from_utf8(data).map_err(|_| invalid())?;
    let mut found = Strings::default();
    let mut start = 0;
    for end in of_bytes::<u64>(ends)? {
        let end = usize::try_from(end).map_err(|_| invalid())?;
        found.push(data.get(start..end).ok_or_else(invalid)?);
        start = end;
    }
    Ok(found)
}

fn texts_to_python<'py>(
    py: Python<'py>,
    texts: &Strings,
) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>) {
    let (mut data, mut ends) = (String::new(), Vec::with_capacity(texts.len()));
    for text in texts.iter() {
        data.push_str(text);
        ends.push(data.len() as u64);
    }
    let ends = PyBytes::new(py, bytemuck::cast_slice(&ends));
    (PyBytes::new(py, data.as_bytes()), ends)
}

fn numbers(dtype: &str, bytes: &[u8]) -> PyResult<Values> {
    let dtype: DType = dtype
        .parse()
        .map_err(|error| PyValueError::new_err(format!("obs_table: {error}")))?;
    with_dtype!(dtype, T => Ok(<T as Scalar>::into_values(of_bytes::<T>(bytes)?)))
}

/// The elements of an array, native-endian.
fn of_bytes<T: bytemuck::Pod>(bytes: &[u8]) -> PyResult<Vec<T>> {
    if !bytes.len().is_multiple_of(size_of::<T>()) {
        let text = "obs_table: expected whole numbers of elements, found other bytes";
        return Err(PyValueError::new_err(text));
    }
    Ok(bytemuck::pod_collect_to_vec(bytes))
}
