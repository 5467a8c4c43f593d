//! Access to the C library: who may call it, and its errors.
//!
//! Every call holds the library's global lock. The library does not survive a fork: another thread
//! may have held that lock, or have half changed the data behind it. So a process that did not
//! start the library gets an error instead of a call.

use std::fmt::{self, Debug};

use crate::io::fork::Owner;

/// The process that started the library.
static OWNER: Owner = Owner::new();

/// The reason why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum CallError {
    /// The process was forked from the one that started the library.
    #[error("the HDF5 C library does not survive a fork")]
    Forked,
    /// The library's error texts, outermost call first.
    #[error("{0}")]
    Library(String),
}

pub(super) type Result<T> = std::result::Result<T, CallError>;

impl CallError {
    /// Makes an error from the texts of the nested calls.
    pub(super) fn of_calls(mut lines: Vec<String>) -> CallError {
        lines.dedup();
        if lines.is_empty() {
            lines.push("the call failed".to_owned());
        }
        CallError::Library(lines.join(": "))
    }
}

impl From<hdf5::Error> for CallError {
    fn from(error: hdf5::Error) -> CallError {
        let Some(stack) = error.stack() else {
            return CallError::Library(error.to_string());
        };
        // The crate does not check that descriptions are UTF-8.
        let lines = stack.iter().map(|frame| frame.desc().as_bytes());
        CallError::of_calls(
            lines
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect(),
        )
    }
}

/// Runs `calls` under the library's lock.
pub(super) fn locked<T>(calls: impl FnOnce() -> Result<T>) -> Result<T> {
    if !OWNER.is_current() {
        return Err(CallError::Forked);
    }
    hdf5::sync::sync(calls)
}

/// A handle that outlives a call. A forked child can neither use nor close it.
pub(super) struct Held<T>(Option<T>);

impl<T> Held<T> {
    pub(super) fn new(handle: T) -> Held<T> {
        Held(Some(handle))
    }

    /// Calls the library with the handle, under the lock.
    pub(super) fn with<R>(&self, calls: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        let handle = self.0.as_ref().ok_or(CallError::Forked)?;
        locked(|| calls(handle))
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if !OWNER.is_current() {
            // Closing it would take the lock. Only the memory of the copy is lost.
            std::mem::forget(self.0.take());
        }
    }
}

impl<T> Debug for Held<T> {
    // The crate's own implementation calls the library.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<T>())
    }
}
