//! Calls of the C library that the safe interface of the crate `hdf5` lacks, or that it does not
//! make safely for an untrusted file. Each takes the lock, and is safe to call.
//!
//! This crate avoids these parts of the crate `hdf5`:
//!
//! * Names. The crate assumes that the names of fields and files are UTF-8 without a check, and
//!   opens only paths that are UTF-8. To list members and attributes, it reads the kind of a link
//!   and the character set of a name as Rust enumerations, though a file may hold other values.
//! * Datatypes. Its descriptors have no layout of floats, no padding of texts and no arrays of
//!   several dimensions, and it writes the value of an enumeration's member into 8 bytes, however
//!   long the value is.
//! * Filters. Its list panics at a filter with more than 32 parameters.
//! * Reading. Its readers allocate the size that a file claims, and know only types of Rust.
//! * Opening. It opens no dataset with an access list, and does not turn plugins off.

use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use hdf5::plist::{DatasetAccess, FileAccess};
use hdf5::{Dataset, File, Group, Location, Object};
use hdf5_sys::h5::{H5_INDEX_NAME, H5_ITER_NATIVE, herr_t};
use hdf5_sys::h5a::{H5Aexists, H5Aiterate2};
use hdf5_sys::h5d::H5Dopen2;
use hdf5_sys::h5e::{H5E_DEFAULT, H5E_WALK_DOWNWARD, H5E_error2_t, H5Eclear2, H5Ewalk2};
use hdf5_sys::h5f::{H5F_ACC_RDONLY, H5Fget_name, H5Fopen};
use hdf5_sys::h5i::{H5Iget_name, hid_t};
use hdf5_sys::h5l::H5Literate2;

use super::call::{CallError, Result, locked};

mod datatype;
mod properties;
mod read;

pub(super) use datatype::*;
pub(super) use properties::*;
pub(super) use read::*;

/// Makes a call whose result is negative when it fails.
fn call<T: Copy + Into<i64>>(call: impl FnOnce() -> T) -> Result<T> {
    locked(|| match call() {
        result if result.into() < 0 => Err(last_error()),
        result => Ok(result),
    })
}

/// Returns the errors that a failed call left on the error stack. Call it under the lock.
fn last_error() -> CallError {
    unsafe extern "C" fn note(_: c_uint, error: *const H5E_error2_t, lines: *mut c_void) -> herr_t {
        // SAFETY: the library passes a valid error, and the list that the walk received.
        let (error, lines) = unsafe { (&*error, &mut *lines.cast::<Vec<String>>()) };
        if !error.desc.is_null() {
            // SAFETY: the description is a text that ends in a zero byte.
            let text = unsafe { CStr::from_ptr(error.desc) };
            lines.push(text.to_string_lossy().into_owned());
        }
        0
    }
    let mut lines: Vec<String> = Vec::new();
    let list = (&raw mut lines).cast();
    // SAFETY: `note` has the signature that the walk calls, and `lines` outlives it.
    unsafe {
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, Some(note), list);
        H5Eclear2(H5E_DEFAULT);
    }
    CallError::of_calls(lines)
}

fn c_text(text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|_| CallError::Library("a name with a zero byte".to_owned()))
}

/// Returns a text of the library, which is requested twice: for its length, then for its bytes.
/// Call it under the lock.
fn text(mut get: impl FnMut(*mut c_char, usize) -> isize) -> Result<Vec<u8>> {
    let len = usize::try_from(get(null_mut(), 0)).map_err(|_| last_error())?;
    let mut bytes = vec![0u8; len + 1];
    if get(bytes.as_mut_ptr().cast(), bytes.len()) < 0 {
        return Err(last_error());
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Opens a file for reading, and its root, which keeps it open. Puts no lock on the file: nothing
/// is written, and read-only file systems often refuse locks.
pub(crate) fn open_root(path: &Path) -> Result<Group> {
    let path = c_text(path.as_os_str().as_bytes())?;
    refuse_plugins()?;
    locked(|| {
        let access = FileAccess::build().file_locking(false).finish()?;
        // SAFETY: the list is open, the path ends in a zero byte, and nothing else owns the id.
        let file: File = unsafe {
            let file = call(|| H5Fopen(path.as_ptr(), H5F_ACC_RDONLY, access.id()))?;
            hdf5::from_id(file)?
        };
        Ok(file.group("/")?)
    })
}

/// Prevents the library from loading code that a file's filters or the environment name. Call it
/// before anything else: the library follows two variables as soon as it starts.
fn refuse_plugins() -> Result<()> {
    unsafe extern "C" {
        /// `hdf5_sys` declares it with a pointer in place of the number.
        fn H5PLset_loading_state(mask: c_uint) -> herr_t;
    }
    for name in ["HDF5_VOL_CONNECTOR", "HDF5_DRIVER"] {
        if std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
            let what = format!("{name} is set, which has the library load other code: unset it");
            return Err(CallError::Library(what));
        }
    }
    // SAFETY: it takes a set of bits, all of them zero here.
    call(|| unsafe { H5PLset_loading_state(0) })?;
    Ok(())
}

/// Opens a dataset with an access list.
pub(crate) fn open_dataset(root: &Group, path: &str, access: &DatasetAccess) -> Result<Dataset> {
    let path = c_text(path)?;
    // SAFETY: the ids are open, the path ends in a zero byte, and nothing else owns the dataset's id.
    unsafe {
        let dataset = call(|| H5Dopen2(root.id(), path.as_ptr(), access.id()))?;
        Ok(hdf5::from_id(dataset)?)
    }
}

/// Returns the path of the file that holds an object: behind an external link, this is not the
/// opened file.
pub(crate) fn file_of(object: &Object) -> Result<Vec<u8>> {
    // SAFETY: the id is open, and the call writes at most the given length.
    locked(|| text(|buffer, len| unsafe { H5Fget_name(object.id(), buffer, len) }))
}

/// Returns the path of an object in its file.
pub(crate) fn path_of(object: &Object) -> Result<Vec<u8>> {
    // SAFETY: the id is open, and the call writes at most the given length.
    locked(|| text(|buffer, len| unsafe { H5Iget_name(object.id(), buffer, len) }))
}

/// Whether an object has an attribute of this name.
pub(crate) fn has_attribute(object: &Location, name: &str) -> Result<bool> {
    let name = c_text(name)?;
    // SAFETY: the id is open, the name ends in a zero byte.
    call(|| unsafe { H5Aexists(object.id(), name.as_ptr()) }).map(|found| found > 0)
}

/// Appends a name to the list that an iteration received. `I` describes the named object; it is not
/// read.
unsafe extern "C" fn note_name<I>(
    _: hid_t,
    name: *const c_char,
    _: *const I,
    names: *mut c_void,
) -> herr_t {
    // SAFETY: the library passes a text that ends in a zero byte, and the list of names below.
    let (name, names) = unsafe { (CStr::from_ptr(name), &mut *names.cast::<Vec<Vec<u8>>>()) };
    names.push(name.to_bytes().to_vec());
    0
}

/// Returns the names of the links of a group, whatever their targets.
pub(crate) fn link_names(group: &Group) -> Result<Vec<Vec<u8>>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let (list, (index, order)) = ((&raw mut names).cast(), (H5_INDEX_NAME, H5_ITER_NATIVE));
    // SAFETY: the id is open, `note_name` has the expected signature, and `names` outlives the
    // call.
    call(|| unsafe { H5Literate2(group.id(), index, order, null_mut(), Some(note_name), list) })?;
    Ok(names)
}

/// Returns the names of the attributes of an object.
pub(crate) fn attribute_names(object: &Location) -> Result<Vec<Vec<u8>>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let (list, (index, order)) = ((&raw mut names).cast(), (H5_INDEX_NAME, H5_ITER_NATIVE));
    // SAFETY: as above.
    call(|| unsafe { H5Aiterate2(object.id(), index, order, null_mut(), Some(note_name), list) })?;
    Ok(names)
}
