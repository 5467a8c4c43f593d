//! Errors as the exceptions that a Python user expects.

use std::error::Error as _;

use mapped_anndata::Error;
use mapped_anndata::io::ErrorKind;
use pyo3::exceptions::{
    PyFileNotFoundError, PyIndexError, PyMemoryError, PyOSError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;

/// The errno of a file that does not exist: the same on all systems that are built for.
const ENOENT: i32 = 2;

/// The exception for an error: the class goes by its kind, the message is its own.
pub(crate) fn to_python(error: Error) -> PyErr {
    let text = with_causes(&error);
    match &error {
        Error::File(error) => file_error(error, text),
        Error::OutOfBounds { .. } => PyIndexError::new_err(text),
        Error::TooLarge { .. } => PyMemoryError::new_err(text),
        Error::Worker => PyRuntimeError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// What the file system or a damaged file is to blame for is an `OSError`, as with h5py; what is
/// readable and yet not right or not supported is a `ValueError`.
fn file_error(error: &mapped_anndata::io::Error, text: String) -> PyErr {
    match error.kind() {
        ErrorKind::NotFound if error.element().is_empty() => {
            let file = error.file().display().to_string();
            PyFileNotFoundError::new_err((ENOENT, error.kind().to_string(), file))
        }
        ErrorKind::NotFound => PyFileNotFoundError::new_err((ENOENT, text)),
        // Python picks the subclass, such as `PermissionError`, by the number.
        ErrorKind::Io(cause) => match cause.raw_os_error() {
            Some(number) => PyOSError::new_err((number, text)),
            None => PyOSError::new_err(text),
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

/// The message and those of its causes.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
