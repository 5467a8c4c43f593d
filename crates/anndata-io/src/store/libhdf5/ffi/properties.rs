//! The creation properties of a dataset: filters, fill value, and other files.

use std::ffi::{c_int, c_uint};
use std::ptr::null_mut;

use hdf5::Datatype;
use hdf5::plist::DatasetCreate;
use hdf5_sys::h5p::*;

use super::super::call::{Result, locked};
use super::{call, text};

/// Returns the numbers of the filters of a dataset.
pub(crate) fn filters(creation: &DatasetCreate) -> Result<Vec<c_int>> {
    // SAFETY: the id is open.
    let count = call(|| unsafe { H5Pget_nfilters(creation.id()) })?;
    (0..count as c_uint)
        .map(|filter| {
            let mut values = 0;
            // SAFETY: the id is open; the call requests no parameters and no name.
            call(|| unsafe {
                H5Pget_filter2(
                    creation.id(),
                    filter,
                    null_mut(),
                    &mut values,
                    null_mut(),
                    0,
                    null_mut(),
                    null_mut(),
                )
            })
        })
        .collect()
}

/// Returns the value of an element that was never written, `size` bytes in the type that is read;
/// `None` if there is no such value.
pub(crate) fn fill(
    creation: &DatasetCreate,
    memory_type: &Datatype,
    size: usize,
) -> Option<Vec<u8>> {
    if memory_type.size() != size {
        return None;
    }
    let mut value = vec![0u8; size];
    let bytes = value.as_mut_ptr().cast();
    // SAFETY: the ids are open, and a value of the type has `size` bytes.
    let filled = call(|| unsafe { H5Pget_fill_value(creation.id(), memory_type.id(), bytes) });
    filled.ok().map(|_| value)
}

/// Returns the names of the files with the raw data of a dataset; empty if it has its own.
pub(crate) fn external_files(creation: &DatasetCreate) -> Result<Vec<Vec<u8>>> {
    const LONGEST: usize = 4096;
    // SAFETY: the id is open.
    let count = call(|| unsafe { H5Pget_external_count(creation.id()) })?;
    (0..count as c_uint)
        .map(|file| {
            let mut name = vec![0u8; LONGEST + 1];
            let (mut offset, mut size) = (0, 0);
            let buffer = name.as_mut_ptr().cast();
            // SAFETY: the call writes at most the given length; the last byte stays zero.
            call(|| unsafe {
                H5Pget_external(creation.id(), file, LONGEST, buffer, &mut offset, &mut size)
            })?;
            let len = name.iter().position(|&byte| byte == 0).unwrap_or(LONGEST);
            name.truncate(len);
            Ok(name)
        })
        .collect()
}

/// Returns the names of the files that make up a virtual dataset, as the dataset lists them.
pub(crate) fn virtual_files(creation: &DatasetCreate) -> Result<Vec<Vec<u8>>> {
    let mut count = 0;
    // SAFETY: the id is open.
    call(|| unsafe { H5Pget_virtual_count(creation.id(), &mut count) })?;
    locked(|| {
        (0..count)
            .map(|part| {
                // SAFETY: the part exists; the call writes at most the given length.
                text(|buffer, len| unsafe {
                    H5Pget_virtual_filename(creation.id(), part, buffer, len)
                })
            })
            .collect()
    })
}
