//! The calls of the HDF5 C library, each behind a safe function.
//!
//! All of them hold the library's global lock. The library does not survive a fork, where another
//! thread may hold that lock or have half changed what it guards: a process that did not start it
//! gets an error instead of a call.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use hdf5_sys::h5::{H5_INDEX_NAME, H5_ITER_NATIVE, haddr_t, herr_t, hsize_t};
use hdf5_sys::h5a::{
    H5A_info_t, H5Aexists, H5Aget_space, H5Aget_type, H5Aiterate2, H5Aopen, H5Aread,
};
use hdf5_sys::h5d::{
    H5D_layout_t, H5Dchunk_iter, H5Dget_create_plist, H5Dget_space, H5Dget_storage_size,
    H5Dget_type, H5Dopen2, H5Dread,
};
use hdf5_sys::h5e::{H5E_DEFAULT, H5E_WALK_DOWNWARD, H5E_error2_t, H5Eclear2, H5Ewalk2};
use hdf5_sys::h5f::{H5F_ACC_RDONLY, H5Fget_name, H5Fopen};
use hdf5_sys::h5i::{H5I_type_t, H5Idec_ref, H5Iget_name, H5Iget_type, hid_t};
use hdf5_sys::h5l::{H5L_info2_t, H5Lexists, H5Literate2};
use hdf5_sys::h5o::H5Oopen;
use hdf5_sys::h5p::{
    H5P_CLS_DATASET_ACCESS, H5P_CLS_FILE_ACCESS, H5P_DEFAULT, H5Pcreate, H5Pget_chunk,
    H5Pget_external, H5Pget_external_count, H5Pget_fill_value, H5Pget_filter2, H5Pget_layout,
    H5Pget_nfilters, H5Pget_virtual_count, H5Pget_virtual_filename, H5Pset_chunk_cache,
    H5Pset_efile_prefix, H5Pset_file_locking,
};
use hdf5_sys::h5r::{H5R_type_t, H5Rdereference2};
use hdf5_sys::h5s::{
    H5S_SELECT_SET, H5S_class_t, H5Screate_simple, H5Sget_simple_extent_dims,
    H5Sget_simple_extent_ndims, H5Sget_simple_extent_npoints, H5Sget_simple_extent_type,
    H5Sselect_hyperslab,
};
use hdf5_sys::h5t::{
    H5T_C_S1, H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I8LE, H5T_STD_I16LE, H5T_STD_I32LE,
    H5T_STD_I64LE, H5T_STD_REF_OBJ, H5T_STD_U8LE, H5T_STD_U16LE, H5T_STD_U32LE, H5T_STD_U64LE,
    H5T_VARIABLE, H5T_class_t, H5T_cset_t, H5T_norm_t, H5T_order_t, H5T_sign_t, H5T_str_t,
    H5Tarray_create2, H5Tcopy, H5Tcreate, H5Tequal, H5Tget_array_dims2, H5Tget_array_ndims,
    H5Tget_class, H5Tget_cset, H5Tget_ebias, H5Tget_fields, H5Tget_member_name, H5Tget_member_type,
    H5Tget_member_value, H5Tget_nmembers, H5Tget_norm, H5Tget_order, H5Tget_sign, H5Tget_size,
    H5Tget_strpad, H5Tget_super, H5Tinsert, H5Tis_variable_str, H5Treclaim, H5Tset_cset,
    H5Tset_order, H5Tset_size, H5Tset_strpad,
};
use hdf5_sys::h5z::H5Zfilter_avail;

use crate::array::float::FloatLayout;
use crate::dtype::DType;

/// Why a call gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum CallError {
    /// The process was forked from the one that started the library.
    #[error("the HDF5 C library does not survive a fork")]
    Forked,
    /// What the library says, outermost call first.
    #[error("{0}")]
    Library(String),
}

pub(super) type Result<T> = std::result::Result<T, CallError>;

/// Runs `calls` under the library's lock.
fn locked<T>(calls: impl FnOnce() -> Result<T>) -> Result<T> {
    if !is_own_process() {
        return Err(CallError::Forked);
    }
    hdf5::sync::sync(calls)
}

/// Whether this process is the one that started the library, or may start it now.
fn is_own_process() -> bool {
    static OWNER: AtomicU32 = AtomicU32::new(0);
    let me = std::process::id();
    match OWNER.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => true,
        Err(owner) => owner == me,
    }
}

/// What a failed call left on the error stack. To be called under the lock.
fn last_error() -> CallError {
    unsafe extern "C" fn note(_: c_uint, error: *const H5E_error2_t, lines: *mut c_void) -> herr_t {
        // SAFETY: the library hands over a valid error, and the list that was given to the walk.
        let (error, lines) = unsafe { (&*error, &mut *lines.cast::<Vec<String>>()) };
        if !error.desc.is_null() {
            // SAFETY: the description is a text that ends in a zero byte.
            let text = unsafe { CStr::from_ptr(error.desc) };
            lines.push(text.to_string_lossy().into_owned());
        }
        0
    }
    let mut lines: Vec<String> = Vec::new();
    // SAFETY: `note` has the form that the walk calls, and `lines` outlives it.
    unsafe {
        H5Ewalk2(
            H5E_DEFAULT,
            H5E_WALK_DOWNWARD,
            Some(note),
            (&raw mut lines).cast(),
        );
        H5Eclear2(H5E_DEFAULT);
    }
    lines.dedup();
    if lines.is_empty() {
        lines.push("the call failed".to_owned());
    }
    CallError::Library(lines.join(": "))
}

/// A result that is negative when the call failed.
fn check<T: Copy + Into<i64>>(result: T) -> Result<T> {
    if result.into() < 0 {
        return Err(last_error());
    }
    Ok(result)
}

fn c_text(text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|_| CallError::Library("a name with a zero byte".to_owned()))
}

/// An open object of the library, closed when dropped.
#[derive(Debug)]
pub(super) struct Id(hid_t);

impl Id {
    /// Takes over what a call has opened. To be called under the lock.
    fn new(id: hid_t) -> Result<Id> {
        check(id).map(Id)
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // In a forked child it stays open: only the memory of the copy is lost.
        let _ = locked(|| {
            // SAFETY: the id is open and this was its only owner.
            unsafe { H5Idec_ref(self.0) };
            Ok(())
        });
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Group,
    Dataset,
    /// A named type.
    Other,
}

/// Extent along each axis; an empty list is a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extent {
    /// No element at all, and no shape.
    Null,
    Shape(Vec<u64>),
}

/// A datatype, as far as arrays and attributes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Integer {
        size: usize,
        signed: bool,
    },
    /// Bits, which are unsigned integers.
    Bits {
        size: usize,
    },
    /// `None`: laid out in a way that is not read.
    Float(Option<FloatLayout>),
    /// An enumeration over integers: names and the little-endian bytes of their values.
    Enum {
        size: usize,
        signed: bool,
        members: Vec<(Vec<u8>, Vec<u8>)>,
    },
    FixedText {
        size: usize,
        padding: H5T_str_t,
    },
    VariableText,
    /// Records, by the names of their fields.
    Record(Vec<Vec<u8>>),
    /// An array of a shape in each element.
    Array(Vec<u64>),
    /// Anything else, described.
    Other(&'static str),
}

/// How a dataset is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    Compact,
    Contiguous,
    Chunked(Vec<u64>),
    Virtual,
}

/// Opens a file to read it. No lock is put on it: nothing is written, and read-only file systems
/// often refuse locks.
pub(super) fn open_file(path: &std::path::Path) -> Result<Id> {
    use std::os::unix::ffi::OsStrExt;
    let path = c_text(path.as_os_str().as_bytes())?;
    refuse_plugins()?;
    locked(|| {
        // SAFETY: the class exists once the library is started, which `locked` sees to.
        let access = Id::new(unsafe { H5Pcreate(*H5P_CLS_FILE_ACCESS) })?;
        // SAFETY: the list is open, the path ends in a zero byte.
        unsafe {
            check(H5Pset_file_locking(access.0, 0, 1))?;
            Id::new(H5Fopen(path.as_ptr(), H5F_ACC_RDONLY, access.0))
        }
    })
}

/// Keeps the library from loading code that a file's filters or the environment name. To be called
/// before anything else: two variables are followed as soon as the library starts.
fn refuse_plugins() -> Result<()> {
    unsafe extern "C" {
        /// `hdf5_sys` has it with a pointer for its number.
        fn H5PLset_loading_state(mask: c_uint) -> herr_t;
    }
    for name in ["HDF5_VOL_CONNECTOR", "HDF5_DRIVER"] {
        if std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
            let what = format!("{name} is set, which has the library load other code: unset it");
            return Err(CallError::Library(what));
        }
    }
    locked(|| {
        // SAFETY: it takes a set of bits, of which none is set.
        check(unsafe { H5PLset_loading_state(0) })?;
        Ok(())
    })
}

/// Path of the file that holds an object: another one than was opened, behind an external link.
pub(super) fn file_of(object: &Id) -> Result<Vec<u8>> {
    locked(|| {
        // SAFETY: the id is open, and the call writes no more than the length that it is given.
        text(|buffer, len| unsafe { H5Fget_name(object.0, buffer, len) })
    })
}

/// A text of the library, asked for twice: for its length, and for itself.
fn text(mut get: impl FnMut(*mut c_char, usize) -> isize) -> Result<Vec<u8>> {
    let Ok(len) = usize::try_from(get(null_mut(), 0)) else {
        return Err(last_error());
    };
    let mut bytes = vec![0u8; len + 1];
    if get(bytes.as_mut_ptr().cast(), bytes.len()) < 0 {
        return Err(last_error());
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Opens what stands at a path below `root`, through links of every kind; `None` when nothing
/// does, also where a link leads nowhere. An empty path is `root` itself.
pub(super) fn open(root: &Id, path: &str) -> Result<Option<Id>> {
    if path.is_empty() {
        return open_here(root).map(Some);
    }
    locked(|| {
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let link = c_text(&path[..at])?;
            // SAFETY: the id is open, the path ends in a zero byte. All but the last link are
            // known to be there.
            let exists = unsafe { H5Lexists(root.0, link.as_ptr(), H5P_DEFAULT) };
            if exists <= 0 {
                // An error: what the path goes through is no group.
                last_error();
                return Ok(None);
            }
        }
        let path = c_text(path)?;
        // SAFETY: as above.
        let object = unsafe { H5Oopen(root.0, path.as_ptr(), H5P_DEFAULT) };
        if object < 0 {
            last_error();
            return Ok(None);
        }
        Id::new(object).map(Some)
    })
}

/// Opens a group once more, or the root group of a file.
pub(super) fn open_here(group: &Id) -> Result<Id> {
    // SAFETY: the id is open, the path ends in a zero byte.
    locked(|| Id::new(unsafe { H5Oopen(group.0, c".".as_ptr(), H5P_DEFAULT) }))
}

pub(super) fn kind(object: &Id) -> Result<Kind> {
    locked(|| {
        // SAFETY: the id is open.
        Ok(match unsafe { H5Iget_type(object.0) } {
            H5I_type_t::H5I_GROUP => Kind::Group,
            H5I_type_t::H5I_DATASET => Kind::Dataset,
            _ => Kind::Other,
        })
    })
}

/// Appends a name to the list that an iteration was given.
///
/// # Safety
/// `name` ends in a zero byte; `names` is a `Vec<Vec<u8>>` that nothing else uses.
unsafe fn push_name(name: *const c_char, names: *mut c_void) {
    // SAFETY: as the caller promises.
    let (name, names) = unsafe { (CStr::from_ptr(name), &mut *names.cast::<Vec<Vec<u8>>>()) };
    names.push(name.to_bytes().to_vec());
}

/// The names of the links of a group, whatever they lead to.
pub(super) fn link_names(group: &Id) -> Result<Vec<Vec<u8>>> {
    unsafe extern "C" fn note(
        _: hid_t,
        name: *const c_char,
        _: *const H5L_info2_t,
        names: *mut c_void,
    ) -> herr_t {
        // SAFETY: the library hands over a name, and the list below.
        unsafe { push_name(name, names) };
        0
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    locked(|| {
        // SAFETY: the id is open; `note` has the form that is called, `names` outlives the call.
        check(unsafe {
            H5Literate2(
                group.0,
                H5_INDEX_NAME,
                H5_ITER_NATIVE,
                null_mut(),
                Some(note),
                (&raw mut names).cast(),
            )
        })
    })?;
    Ok(names)
}

/// The names of the attributes of an object.
pub(super) fn attribute_names(object: &Id) -> Result<Vec<Vec<u8>>> {
    unsafe extern "C" fn note(
        _: hid_t,
        name: *const c_char,
        _: *const H5A_info_t,
        names: *mut c_void,
    ) -> herr_t {
        // SAFETY: the library hands over a name, and the list below.
        unsafe { push_name(name, names) };
        0
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    locked(|| {
        // SAFETY: the id is open; `note` has the form that is called, `names` outlives the call.
        check(unsafe {
            H5Aiterate2(
                object.0,
                H5_INDEX_NAME,
                H5_ITER_NATIVE,
                null_mut(),
                Some(note),
                (&raw mut names).cast(),
            )
        })
    })?;
    Ok(names)
}

/// An attribute of an object; `None` when it has none of that name.
pub(super) fn open_attribute(object: &Id, name: &str) -> Result<Option<Id>> {
    let name = c_text(name)?;
    locked(|| {
        // SAFETY: the id is open, the name ends in a zero byte.
        unsafe {
            if check(H5Aexists(object.0, name.as_ptr()))? == 0 {
                return Ok(None);
            }
            Id::new(H5Aopen(object.0, name.as_ptr(), H5P_DEFAULT)).map(Some)
        }
    })
}

/// Opens a dataset for reading its elements. Decoded chunks are kept by the library only where
/// texts are read, which come in smaller pieces than chunks. Names of files with raw data are
/// relative to `prefix`, if there is one.
pub(super) fn open_dataset(
    root: &Id,
    path: &str,
    keep_chunks: bool,
    prefix: Option<&str>,
) -> Result<Id> {
    let path = c_text(path)?;
    let prefix = prefix.map(c_text).transpose()?;
    locked(|| {
        // SAFETY: the class exists, the list and the root are open, texts end in a zero byte.
        unsafe {
            let access = Id::new(H5Pcreate(*H5P_CLS_DATASET_ACCESS))?;
            if !keep_chunks {
                check(H5Pset_chunk_cache(access.0, 1, 0, 1.0))?;
            }
            if let Some(prefix) = &prefix {
                check(H5Pset_efile_prefix(access.0, prefix.as_ptr()))?;
            }
            Id::new(H5Dopen2(root.0, path.as_ptr(), access.0))
        }
    })
}

/// The properties that a dataset was created with.
pub(super) fn creation(dataset: &Id) -> Result<Id> {
    // SAFETY: the id is open.
    locked(|| Id::new(unsafe { H5Dget_create_plist(dataset.0) }))
}

pub(super) fn dataset_extent(dataset: &Id) -> Result<Extent> {
    // SAFETY: the id is open.
    locked(|| extent(&Id::new(unsafe { H5Dget_space(dataset.0) })?))
}

pub(super) fn attribute_extent(attribute: &Id) -> Result<Extent> {
    // SAFETY: the id is open.
    locked(|| extent(&Id::new(unsafe { H5Aget_space(attribute.0) })?))
}

fn extent(space: &Id) -> Result<Extent> {
    // SAFETY: the id is open, and `dims` has room for every axis.
    unsafe {
        if H5Sget_simple_extent_type(space.0) == H5S_class_t::H5S_NULL {
            return Ok(Extent::Null);
        }
        let rank = check(H5Sget_simple_extent_ndims(space.0))?;
        let mut dims = vec![0; rank as usize];
        check(H5Sget_simple_extent_dims(
            space.0,
            dims.as_mut_ptr(),
            null_mut(),
        ))?;
        Ok(Extent::Shape(dims))
    }
}

pub(super) fn dataset_type(dataset: &Id) -> Result<Id> {
    // SAFETY: the id is open.
    locked(|| Id::new(unsafe { H5Dget_type(dataset.0) }))
}

pub(super) fn attribute_type(attribute: &Id) -> Result<Id> {
    // SAFETY: the id is open.
    locked(|| Id::new(unsafe { H5Aget_type(attribute.0) }))
}

/// What a datatype is.
pub(super) fn describe(datatype: &Id) -> Result<Type> {
    locked(|| {
        let id = datatype.0;
        // SAFETY: the id is open and of a datatype.
        let (class, size) = unsafe { (H5Tget_class(id), H5Tget_size(id)) };
        Ok(match class {
            H5T_class_t::H5T_INTEGER => Type::Integer {
                size,
                signed: is_signed(id),
            },
            H5T_class_t::H5T_FLOAT => Type::Float(float(id, size)?),
            H5T_class_t::H5T_ENUM => {
                // SAFETY: the id is one of an enumeration.
                let base = Id::new(unsafe { H5Tget_super(id) })?;
                Type::Enum {
                    size,
                    signed: is_signed(base.0),
                    members: members(id, base.0, size)?,
                }
            }
            H5T_class_t::H5T_STRING => {
                // SAFETY: the id is one of a text.
                unsafe {
                    if check(H5Tis_variable_str(id))? > 0 {
                        Type::VariableText
                    } else {
                        Type::FixedText {
                            size,
                            padding: H5Tget_strpad(id),
                        }
                    }
                }
            }
            H5T_class_t::H5T_TIME => Type::Other("a time"),
            H5T_class_t::H5T_BITFIELD => Type::Bits { size },
            H5T_class_t::H5T_OPAQUE => Type::Other("opaque bytes"),
            H5T_class_t::H5T_COMPOUND => Type::Record(field_names(id)?),
            H5T_class_t::H5T_REFERENCE => Type::Other("a reference"),
            H5T_class_t::H5T_VLEN => Type::Other("a list of variable length"),
            H5T_class_t::H5T_ARRAY => {
                // SAFETY: the id is one of an array, and `shape` has room for every axis.
                unsafe {
                    let mut shape = vec![0; check(H5Tget_array_ndims(id))? as usize];
                    check(H5Tget_array_dims2(id, shape.as_mut_ptr()))?;
                    Type::Array(shape)
                }
            }
            H5T_class_t::H5T_COMPLEX => Type::Other("complex numbers"),
            _ => Type::Other("an unknown type"),
        })
    })
}

fn field_names(id: hid_t) -> Result<Vec<Vec<u8>>> {
    // SAFETY: the id is open and one of records.
    let count = check(unsafe { H5Tget_nmembers(id) })?;
    (0..count as c_uint)
        .map(|field| member_name(id, field))
        .collect()
}

/// The name of a field of a record, or of a member of an enumeration.
fn member_name(id: hid_t, member: c_uint) -> Result<Vec<u8>> {
    // SAFETY: the id is open; the name is the library's own copy, which is given back.
    unsafe {
        let name = H5Tget_member_name(id, member);
        if name.is_null() {
            return Err(last_error());
        }
        let owned = CStr::from_ptr(name).to_bytes().to_vec();
        hdf5_sys::h5::H5free_memory(name.cast());
        Ok(owned)
    }
}

/// The type of a field of a record.
pub(super) fn field_type(record: &Id, field: usize) -> Result<Id> {
    // SAFETY: the id is open; a field that does not exist is an error.
    locked(|| Id::new(unsafe { H5Tget_member_type(record.0, field as c_uint) }))
}

/// The type of the elements of an array type.
pub(super) fn element_type(array: &Id) -> Result<Id> {
    // SAFETY: the id is open; another class is an error.
    locked(|| Id::new(unsafe { H5Tget_super(array.0) }))
}

/// Records of a single field, which is an array of `shape` of these items unless the shape is
/// empty. Reading as this type takes the field out of every record.
pub(super) fn record_of(name: &[u8], item: Id, shape: &[u64]) -> Result<Id> {
    let name = c_text(name)?;
    locked(|| {
        // SAFETY: the ids are open, and `shape` has as many numbers as it says.
        unsafe {
            let field = match shape {
                [] => item,
                shape => Id::new(H5Tarray_create2(
                    item.0,
                    shape.len() as c_uint,
                    shape.as_ptr(),
                ))?,
            };
            let record = Id::new(H5Tcreate(H5T_class_t::H5T_COMPOUND, H5Tget_size(field.0)))?;
            check(H5Tinsert(record.0, name.as_ptr(), 0, field.0))?;
            Ok(record)
        }
    })
}

/// The path of what an attribute refers to, when it is one object reference; `None` when it is
/// anything else, or refers to nothing.
pub(super) fn referred(attribute: &Id, datatype: &Id) -> Result<Option<Vec<u8>>> {
    locked(|| {
        // SAFETY: the ids are open, and a reference of this type is one address.
        unsafe {
            if check(H5Tequal(datatype.0, *H5T_STD_REF_OBJ))? == 0 {
                return Ok(None);
            }
            let space = Id::new(H5Aget_space(attribute.0))?;
            if check(H5Sget_simple_extent_npoints(space.0))? != 1 {
                return Ok(None);
            }
            let mut address = 0u64;
            check(H5Aread(attribute.0, datatype.0, (&raw mut address).cast()))?;
            let object = H5Rdereference2(
                attribute.0,
                H5P_DEFAULT,
                H5R_type_t::H5R_OBJECT1,
                (&raw const address).cast(),
            );
            if object < 0 {
                last_error();
                return Ok(None);
            }
            let object = Id::new(object)?;
            text(|buffer, len| H5Iget_name(object.0, buffer, len)).map(Some)
        }
    })
}

fn is_signed(id: hid_t) -> bool {
    // SAFETY: the id is open and one of an integer; others give an error, not a sign.
    unsafe { H5Tget_sign(id) == H5T_sign_t::H5T_SGN_2 }
}

/// The layout of a float; `None` where it is none that is read.
fn float(id: hid_t, size: usize) -> Result<Option<FloatLayout>> {
    let [mut sign, mut exponent, mut exponent_bits] = [0; 3];
    let [mut mantissa, mut mantissa_bits] = [0; 2];
    // SAFETY: the id is open and one of a float.
    let (bias, norm, order) = unsafe {
        check(H5Tget_fields(
            id,
            &mut sign,
            &mut exponent,
            &mut exponent_bits,
            &mut mantissa,
            &mut mantissa_bits,
        ))?;
        (H5Tget_ebias(id), H5Tget_norm(id), H5Tget_order(id))
    };
    let layout = FloatLayout {
        size,
        sign: sign as u32,
        exponent: (exponent as u32, exponent_bits as u32),
        mantissa: (mantissa as u32, mantissa_bits as u32),
        bias: bias as u32,
        leading_bit: norm == H5T_norm_t::H5T_NORM_NONE,
    };
    let is_known = norm != H5T_norm_t::H5T_NORM_MSBSET && order != H5T_order_t::H5T_ORDER_VAX;
    Ok(Some(layout).filter(|layout| is_known && layout.is_readable()))
}

/// Names and values of an enumeration over integers of the type `base`.
fn members(id: hid_t, base: hid_t, size: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // SAFETY: the id is open and one of an enumeration.
    let (count, order) = unsafe { (check(H5Tget_nmembers(id))?, H5Tget_order(base)) };
    (0..count as c_uint)
        .map(|member| {
            let mut value = vec![0u8; size];
            // SAFETY: the member exists, and a value has `size` bytes.
            check(unsafe { H5Tget_member_value(id, member, value.as_mut_ptr().cast()) })?;
            if order == H5T_order_t::H5T_ORDER_BE {
                value.reverse();
            }
            Ok((member_name(id, member)?, value))
        })
        .collect()
}

/// The type to read elements as: little-endian, whatever the file has; `None` where there is no
/// such type of the same size.
pub(super) fn memory_type(file_type: &Id, described: &Type) -> Result<Option<Id>> {
    locked(|| {
        let standard = match described {
            // The values of an enumeration are read as the integers that they are.
            Type::Integer { size, signed } | Type::Enum { size, signed, .. } => {
                match (size, signed) {
                    (1, true) => *H5T_STD_I8LE,
                    (1, false) => *H5T_STD_U8LE,
                    (2, true) => *H5T_STD_I16LE,
                    (2, false) => *H5T_STD_U16LE,
                    (4, true) => *H5T_STD_I32LE,
                    (4, false) => *H5T_STD_U32LE,
                    (8, true) => *H5T_STD_I64LE,
                    (8, false) => *H5T_STD_U64LE,
                    _ => return Ok(None),
                }
            }
            // The library converts floats of other layouts.
            Type::Float(Some(layout)) => match layout.dtype() {
                DType::F16 => file_type.0,
                DType::F32 => *H5T_IEEE_F32LE,
                _ => *H5T_IEEE_F64LE,
            },
            Type::Bits { .. } | Type::FixedText { .. } => file_type.0,
            Type::VariableText => *H5T_C_S1,
            Type::Float(None) | Type::Record(_) | Type::Array(_) | Type::Other(_) => {
                return Ok(None);
            }
        };
        // SAFETY: all ids are open, and each setting belongs to the class of the type.
        unsafe {
            let copy = Id::new(H5Tcopy(standard))?;
            match described {
                Type::VariableText => {
                    check(H5Tset_size(copy.0, H5T_VARIABLE))?;
                    let charset: H5T_cset_t = H5Tget_cset(file_type.0);
                    check(H5Tset_cset(copy.0, charset))?;
                    check(H5Tset_strpad(copy.0, H5Tget_strpad(file_type.0)))?;
                }
                // A byte has no order, and the library does not change it.
                Type::FixedText { .. } | Type::Bits { size: 1 } => {}
                _ => {
                    check(H5Tset_order(copy.0, H5T_order_t::H5T_ORDER_LE))?;
                }
            }
            Ok(Some(copy))
        }
    })
}

pub(super) fn layout(creation: &Id, rank: usize) -> Result<Layout> {
    locked(|| {
        // SAFETY: the id is open, and `extents` has room for every axis.
        unsafe {
            Ok(match H5Pget_layout(creation.0) {
                H5D_layout_t::H5D_COMPACT => Layout::Compact,
                H5D_layout_t::H5D_CONTIGUOUS => Layout::Contiguous,
                H5D_layout_t::H5D_VIRTUAL => Layout::Virtual,
                H5D_layout_t::H5D_CHUNKED => {
                    let mut extents = vec![0; rank];
                    check(H5Pget_chunk(
                        creation.0,
                        rank as c_int,
                        extents.as_mut_ptr(),
                    ))?;
                    Layout::Chunked(extents)
                }
                _ => return Err(last_error()),
            })
        }
    })
}

/// The numbers of the filters of a dataset, and whether this build of the library has each.
pub(super) fn filters(creation: &Id) -> Result<Vec<(c_int, bool)>> {
    locked(|| {
        // SAFETY: the id is open; no values and no name are asked for.
        unsafe {
            let count = check(H5Pget_nfilters(creation.0))?;
            (0..count as c_uint)
                .map(|filter| {
                    let mut values = 0;
                    let id = check(H5Pget_filter2(
                        creation.0,
                        filter,
                        null_mut(),
                        &mut values,
                        null_mut(),
                        0,
                        null_mut(),
                        null_mut(),
                    ))?;
                    Ok((id, check(H5Zfilter_avail(id))? > 0))
                })
                .collect()
        }
    })
}

/// One element of what was never written, `size` bytes of the type that is read; `None` when
/// there is no such value.
pub(super) fn fill(creation: &Id, memory_type: &Id, size: usize) -> Option<Vec<u8>> {
    let mut value = vec![0u8; size];
    let filled = locked(|| {
        // SAFETY: the ids are open, and the type has no more than `size` bytes.
        unsafe {
            if H5Tget_size(memory_type.0) != size {
                return Ok(false);
            }
            check(H5Pget_fill_value(
                creation.0,
                memory_type.0,
                value.as_mut_ptr().cast(),
            ))?;
        }
        Ok(true)
    });
    matches!(filled, Ok(true)).then_some(value)
}

/// Bytes that the elements of a dataset take where they are stored, as far as the file says.
pub(super) fn storage_size(dataset: &Id) -> Result<u64> {
    // SAFETY: the id is open.
    locked(|| Ok(unsafe { H5Dget_storage_size(dataset.0) }))
}

/// Bytes stored of every chunk that was written, by its first element.
pub(super) fn chunk_sizes(dataset: &Id, rank: usize) -> Result<HashMap<Vec<u64>, u64>> {
    struct Found {
        rank: usize,
        sizes: HashMap<Vec<u64>, u64>,
    }

    unsafe extern "C" fn note(
        start: *const hsize_t,
        _mask: c_uint,
        _address: haddr_t,
        size: hsize_t,
        found: *mut c_void,
    ) -> c_int {
        // SAFETY: `found` is what is passed below, which nothing else refers to during the call; the
        // library gives a number for each axis.
        unsafe {
            let found = &mut *found.cast::<Found>();
            let start = std::slice::from_raw_parts(start, found.rank).to_vec();
            found.sizes.insert(start, size);
        }
        0
    }

    let sizes = HashMap::new();
    let mut found = Found { rank, sizes };
    locked(|| {
        let found = (&raw mut found).cast();
        // SAFETY: the id is open, and `found` outlives the call.
        check(unsafe { H5Dchunk_iter(dataset.0, H5P_DEFAULT, Some(note), found) })
    })?;
    Ok(found.sizes)
}

/// The names of the files with the raw data of a dataset; none when it has its own.
pub(super) fn external_files(creation: &Id) -> Result<Vec<Vec<u8>>> {
    const LONGEST: usize = 4096;
    locked(|| {
        // SAFETY: the id is open.
        let count = check(unsafe { H5Pget_external_count(creation.0) })?;
        (0..count as c_uint)
            .map(|file| {
                let mut name = vec![0u8; LONGEST + 1];
                let (mut offset, mut size) = (0, 0);
                // SAFETY: no more than the length given is written; the last byte stays zero.
                check(unsafe {
                    H5Pget_external(
                        creation.0,
                        file,
                        LONGEST,
                        name.as_mut_ptr().cast(),
                        &mut offset,
                        &mut size,
                    )
                })?;
                let len = name.iter().position(|&byte| byte == 0).unwrap_or(LONGEST);
                name.truncate(len);
                Ok(name)
            })
            .collect()
    })
}

/// The names of the files that a virtual dataset is put together from, as they stand there.
pub(super) fn virtual_files(creation: &Id) -> Result<Vec<Vec<u8>>> {
    locked(|| {
        let mut count = 0;
        // SAFETY: the id is open.
        check(unsafe { H5Pget_virtual_count(creation.0, &mut count) })?;
        (0..count)
            .map(|part| {
                // SAFETY: the part exists; no more than the length given is written.
                text(|buffer, len| unsafe {
                    H5Pget_virtual_filename(creation.0, part, buffer, len)
                })
            })
            .collect()
    })
}

/// Elements of a dataset: the block of shape `count` at `start`, at the first corner of a block
/// of shape `within`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'a> {
    pub(super) start: &'a [u64],
    pub(super) count: &'a [u64],
    pub(super) within: &'a [u64],
}

impl Selection<'_> {
    /// The selection in memory and in the file.
    fn spaces(&self, dataset: &Id) -> Result<(Id, Id)> {
        let rank = self.within.len();
        let matches = self.start.len() == rank
            && self.count.len() == rank
            && self.count.iter().zip(self.within).all(|(n, of)| n <= of);
        // SAFETY: the ids are open, and every list has as many numbers as the dataset has axes.
        unsafe {
            let file = Id::new(H5Dget_space(dataset.0))?;
            if !matches || check(H5Sget_simple_extent_ndims(file.0))? as usize != rank {
                return Err(CallError::Library("a selection of another rank".to_owned()));
            }
            let memory = Id::new(H5Screate_simple(
                rank as c_int,
                self.within.as_ptr(),
                null(),
            ))?;
            if rank > 0 {
                let zeros: Vec<hsize_t> = vec![0; rank];
                let select = |space: &Id, start: &[u64]| {
                    check(H5Sselect_hyperslab(
                        space.0,
                        H5S_SELECT_SET,
                        start.as_ptr(),
                        null(),
                        self.count.as_ptr(),
                        null(),
                    ))
                };
                select(&memory, &zeros)?;
                select(&file, self.start)?;
            }
            Ok((memory, file))
        }
    }

    fn elements(&self) -> Option<usize> {
        let count = self
            .within
            .iter()
            .try_fold(1u64, |n, &extent| n.checked_mul(extent));
        usize::try_from(count?).ok()
    }
}

/// Reads elements into `out`, which holds `selection.within` of them.
pub(super) fn read(
    dataset: &Id,
    memory_type: &Id,
    selection: Selection<'_>,
    out: &mut [u8],
) -> Result<()> {
    locked(|| {
        // SAFETY: the id is open.
        let size = unsafe { H5Tget_size(memory_type.0) };
        let bytes = selection.elements().and_then(|n| n.checked_mul(size));
        if bytes != Some(out.len()) {
            let text = format!("a buffer of {} bytes for {selection:?}", out.len());
            return Err(CallError::Library(text));
        }
        let (memory, file) = selection.spaces(dataset)?;
        // SAFETY: the selection lies within `out`, whose length was just compared.
        check(unsafe {
            H5Dread(
                dataset.0,
                memory_type.0,
                memory.0,
                file.0,
                H5P_DEFAULT,
                out.as_mut_ptr().cast(),
            )
        })?;
        Ok(())
    })
}

/// Pointers to texts that the library made, given back when dropped.
struct Texts<'a> {
    pointers: Vec<*mut c_char>,
    memory_type: &'a Id,
    space: Id,
}

impl<'a> Texts<'a> {
    fn new(count: usize, memory_type: &'a Id) -> Result<Self> {
        let dims = [count as hsize_t];
        // SAFETY: one axis, one number.
        let space = Id::new(unsafe { H5Screate_simple(1, dims.as_ptr(), null()) })?;
        Ok(Texts {
            pointers: vec![null_mut(); count],
            memory_type,
            space,
        })
    }

    fn visit(&self, mut visit: impl FnMut(&[u8])) {
        for &pointer in &self.pointers {
            if pointer.is_null() {
                visit(b"");
            } else {
                // SAFETY: the library wrote a text there that ends in a zero byte.
                visit(unsafe { CStr::from_ptr(pointer) }.to_bytes());
            }
        }
    }
}

impl Drop for Texts<'_> {
    fn drop(&mut self) {
        // SAFETY: the pointers are null or the library's, one for each element of the space.
        unsafe {
            H5Treclaim(
                self.memory_type.0,
                self.space.0,
                H5P_DEFAULT,
                self.pointers.as_mut_ptr().cast(),
            )
        };
    }
}

/// Reads texts of variable length, `selection.within` of them, and hands each on.
pub(super) fn read_texts(
    dataset: &Id,
    memory_type: &Id,
    selection: Selection<'_>,
    visit: impl FnMut(&[u8]),
) -> Result<()> {
    locked(|| {
        let count = selection
            .elements()
            .filter(|_| is_variable_text(memory_type));
        let Some(count) = count else {
            return Err(CallError::Library("no texts of variable length".to_owned()));
        };
        let (memory, file) = selection.spaces(dataset)?;
        let mut texts = Texts::new(count, memory_type)?;
        // SAFETY: one pointer for each element, as the type has it.
        check(unsafe {
            H5Dread(
                dataset.0,
                memory_type.0,
                memory.0,
                file.0,
                H5P_DEFAULT,
                texts.pointers.as_mut_ptr().cast(),
            )
        })?;
        texts.visit(visit);
        Ok(())
    })
}

/// Whether elements of a datatype are texts of variable length, one pointer each: the texts
/// themselves, or records of one such field.
pub(super) fn is_variable_text(datatype: &Id) -> bool {
    let is_text = |datatype: &Id| {
        // SAFETY: the id is open and of a datatype.
        unsafe { H5Tis_variable_str(datatype.0) > 0 }
    };
    let found = locked(|| {
        // SAFETY: as above.
        let (class, fields) = unsafe { (H5Tget_class(datatype.0), H5Tget_nmembers(datatype.0)) };
        if class != H5T_class_t::H5T_COMPOUND || fields != 1 {
            return Ok(is_text(datatype));
        }
        Ok(is_text(&field_type(datatype, 0)?))
    });
    found.unwrap_or(false)
}

/// The number of elements of an attribute, when their `size` bytes each are no more than `most`.
fn attribute_count(attribute: &Id, size: usize, most: u64) -> Result<usize> {
    // SAFETY: the id is open.
    let space = Id::new(unsafe { H5Aget_space(attribute.0) })?;
    // SAFETY: the id is open. A null space has no points.
    let count = check(unsafe { H5Sget_simple_extent_npoints(space.0) })? as u64;
    match count.checked_mul(size as u64) {
        Some(bytes) if bytes <= most => Ok(count as usize),
        _ => {
            let text = format!("{count} elements of {size} bytes in an attribute");
            Err(CallError::Library(text))
        }
    }
}

/// The elements of an attribute, of a type of fixed length, when they are no more than `most`
/// bytes.
pub(super) fn read_attribute(attribute: &Id, memory_type: &Id, most: u64) -> Result<Vec<u8>> {
    locked(|| {
        // SAFETY: the id is open.
        let size = unsafe { H5Tget_size(memory_type.0) };
        let count = attribute_count(attribute, size, most)?;
        let mut out = vec![0u8; count * size];
        if count > 0 {
            // SAFETY: `out` has room for every element.
            check(unsafe { H5Aread(attribute.0, memory_type.0, out.as_mut_ptr().cast()) })?;
        }
        Ok(out)
    })
}

/// Hands on the texts of variable length of an attribute, when those that the file has for them
/// are no more than `most` bytes.
pub(super) fn read_attribute_texts(
    attribute: &Id,
    memory_type: &Id,
    most: u64,
    visit: impl FnMut(&[u8]),
) -> Result<()> {
    locked(|| {
        if !is_variable_text(memory_type) {
            return Err(CallError::Library("no texts of variable length".to_owned()));
        }
        let count = attribute_count(attribute, size_of::<*mut c_char>(), most)?;
        let mut texts = Texts::new(count, memory_type)?;
        if count > 0 {
            // SAFETY: one pointer for each element, as the type has it.
            check(unsafe {
                H5Aread(
                    attribute.0,
                    memory_type.0,
                    texts.pointers.as_mut_ptr().cast(),
                )
            })?;
        }
        texts.visit(visit);
        Ok(())
    })
}
