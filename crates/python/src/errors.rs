//! Converts errors to the exceptions that a Python user expects.

use std::fmt::Display;
use std::io;

use mapped_anndata::io::{ErrorKind, chain};
use mapped_anndata::{Error, LabelsError, OpenError, ReadError};
use pyo3::exceptions::{
    PyFileNotFoundError, PyIndexError, PyMemoryError, PyOSError, PyPermissionError, PyRuntimeError,
    PyTimeoutError, PyValueError,
};
use pyo3::prelude::*;

/// The errno of a file that does not exist: the same on all supported systems.
const ENOENT: i32 = 2;

/// Returns the exception for an error. The failed operation and the cause decide its class; its
/// message is that of lamindb or numpy if they have one for it.
pub(crate) fn to_python(error: Error) -> PyErr {
    // A file's error names the file and the element; the number of its store adds nothing.
    if let Some(source) = error.file() {
        let row = match &error {
            Error::Read(ReadError::File { row: Some(row), .. }) => format!(" (row {row})"),
            _ => String::new(),
        };
        return file_error(source, format!("{}{row}", chain(source)));
    }
    match &error {
        Error::Open(OpenError::Disjoint { mismatch }) => {
            let reason = mismatch.as_ref().map(|found| format!("\n{found}"));
            PyValueError::new_err(format!("{DISJOINT}{}", reason.unwrap_or_default()))
        }
        Error::Option(option) => PyValueError::new_err(match option.option() {
            "encode_labels" => ENCODE_LABELS.to_owned(),
            "unknown_label" => UNKNOWN_LABEL.to_owned(),
            _ => option.to_string(),
        }),
        Error::Labels(LabelsError::Encoding { key, source }) => {
            PyValueError::new_err(format!("obs/{key}: {source}"))
        }
        Error::Read(ReadError::OutOfBounds { index, n_obs }) => {
            PyIndexError::new_err(out_of_bounds(*index, *n_obs))
        }
        Error::Read(ReadError::TooLarge { .. }) => PyMemoryError::new_err(error.to_string()),
        Error::Read(ReadError::Worker) => PyRuntimeError::new_err(error.to_string()),
        _ => PyValueError::new_err(chain(&error).to_string()),
    }
}

const DISJOINT: &str =
    "The provided AnnData objects don't have shared variables.\nUse join='outer'.";
const ENCODE_LABELS: &str = "All elements of `encode_labels` should be in `obs_keys`.";
const UNKNOWN_LABEL: &str =
    "All keys of `unknown_label` should be in `encode_labels` and `obs_keys`.";

/// numpy's message for an index that is out of bounds.
pub(crate) fn out_of_bounds(index: impl Display, n_obs: usize) -> String {
    format!("index {index} is out of bounds for axis 0 with size {n_obs}")
}

/// An `OSError` if the file system or a damaged file is the cause, as in h5py; a `ValueError` if
/// the file is readable but wrong or not supported.
fn file_error(error: &mapped_anndata::io::Error, text: String) -> PyErr {
    match error.kind() {
        ErrorKind::NotFound if error.element().is_empty() => {
            let file = error.file().display().to_string();
            PyFileNotFoundError::new_err((ENOENT, error.kind().to_string(), file))
        }
        ErrorKind::NotFound => PyFileNotFoundError::new_err((ENOENT, text)),
        // Python selects the subclass, such as `PermissionError`, by this number.
        ErrorKind::Io(cause) => match cause.raw_os_error() {
            Some(number) => PyOSError::new_err((number, text)),
            // A server has no such numbers.
            None => match cause.kind() {
                io::ErrorKind::PermissionDenied => PyPermissionError::new_err(text),
                io::ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
                io::ErrorKind::TimedOut => PyTimeoutError::new_err(text),
                _ => PyOSError::new_err(text),
            },
        },
        ErrorKind::NotAnnData { .. }
        | ErrorKind::Gzipped
        | ErrorKind::CutShort { .. }
        | ErrorKind::Hdf5(_)
        | ErrorKind::Decode { .. }
        | ErrorKind::Changed => PyOSError::new_err(text),
        ErrorKind::OutOfBounds { .. } => PyIndexError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}
