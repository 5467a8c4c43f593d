//! Reads elements of datasets and attributes into memory that the caller has measured.

use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

use hdf5::{Attribute, Dataset, Dataspace, Datatype};
use hdf5_sys::h5a::H5Aread;
use hdf5_sys::h5d::H5Dread;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5t::H5Treclaim;

use super::super::call::{CallError, Result, locked};
use super::{call, is_variable_text};

/// Selected elements, in memory and in the file.
pub(crate) struct Spaces {
    pub(crate) memory: Dataspace,
    pub(crate) file: Dataspace,
}

/// Reads elements into `out`, which holds the whole space in memory.
pub(crate) fn read(
    dataset: &Dataset,
    memory_type: &Datatype,
    spaces: &Spaces,
    out: &mut [u8],
) -> Result<()> {
    if spaces.memory.size().checked_mul(memory_type.size()) != Some(out.len()) {
        let text = format!("a buffer of {} bytes for {:?}", out.len(), spaces.memory);
        return Err(CallError::Library(text));
    }
    // SAFETY: the selection lies within `out`, whose length was just compared.
    unsafe { read_into(dataset, memory_type, spaces, out.as_mut_ptr()) }
}

/// Reads variable-length texts, and hands each on.
pub(crate) fn read_texts(
    dataset: &Dataset,
    memory_type: &Datatype,
    spaces: &Spaces,
    visit: impl FnMut(&[u8]),
) -> Result<()> {
    let mut texts = Texts::new(&spaces.memory, memory_type)?;
    // SAFETY: there is one pointer per element, as the type requires.
    unsafe { read_into(dataset, memory_type, spaces, texts.pointers.as_mut_ptr())? };
    texts.visit(visit);
    Ok(())
}

/// # Safety
/// All elements of the space in memory fit at `out`.
unsafe fn read_into<T>(
    dataset: &Dataset,
    memory_type: &Datatype,
    Spaces { memory, file }: &Spaces,
    out: *mut T,
) -> Result<()> {
    let (dataset, item) = (dataset.id(), memory_type.id());
    let (memory, file) = (memory.id(), file.id());
    // SAFETY: the ids are open; the library refuses selections outside of their spaces, and the
    // caller promises the rest.
    call(|| unsafe { H5Dread(dataset, item, memory, file, H5P_DEFAULT, out.cast()) })?;
    Ok(())
}

/// Reads the elements of an attribute, if they take at most `most` bytes.
pub(crate) fn read_attribute(
    attribute: &Attribute,
    memory_type: &Datatype,
    most: u64,
) -> Result<Vec<u8>> {
    let space = measured(attribute, memory_type.size(), most)?;
    let mut out = vec![0u8; space.size() * memory_type.size()];
    if !out.is_empty() {
        let bytes = out.as_mut_ptr().cast();
        // SAFETY: `out` has room for every element.
        call(|| unsafe { H5Aread(attribute.id(), memory_type.id(), bytes) })?;
    }
    Ok(out)
}

/// Reads the variable-length texts of an attribute, if the references to them take at most `most`
/// bytes.
pub(crate) fn read_attribute_texts(
    attribute: &Attribute,
    memory_type: &Datatype,
    most: u64,
) -> Result<Vec<Vec<u8>>> {
    let space = measured(attribute, size_of::<*mut c_char>(), most)?;
    let mut texts = Texts::new(&space, memory_type)?;
    if space.size() > 0 {
        let pointers = texts.pointers.as_mut_ptr().cast();
        // SAFETY: there is one pointer per element, as the type requires.
        call(|| unsafe { H5Aread(attribute.id(), memory_type.id(), pointers) })?;
    }
    let mut all = Vec::with_capacity(space.size());
    texts.visit(|text| all.push(text.to_vec()));
    Ok(all)
}

/// Returns the space of an attribute, if its elements of `size` bytes take at most `most` bytes.
fn measured(attribute: &Attribute, size: usize, most: u64) -> Result<Dataspace> {
    let space = attribute.space()?;
    match space.size().checked_mul(size) {
        Some(bytes) if bytes as u64 <= most => Ok(space),
        _ => {
            let count = space.size();
            let text = format!("{count} elements of {size} bytes in an attribute");
            Err(CallError::Library(text))
        }
    }
}

/// Pointers to texts that the library allocated; dropping this frees them.
struct Texts<'a> {
    /// One per element of the space, null or the library's.
    pointers: Vec<*mut c_char>,
    memory_type: &'a Datatype,
    space: Dataspace,
}

impl<'a> Texts<'a> {
    /// Makes room for all elements of a space, in a type with variable-length texts.
    fn new(space: &Dataspace, memory_type: &'a Datatype) -> Result<Self> {
        if !is_variable_text(memory_type)? {
            return Err(CallError::Library("no texts of variable length".to_owned()));
        }
        let count = space.size();
        Ok(Texts {
            pointers: vec![null_mut(); count],
            memory_type,
            space: Dataspace::try_new(count)?,
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
        let (item, space) = (self.memory_type.id(), self.space.id());
        let pointers = self.pointers.as_mut_ptr().cast();
        // SAFETY: the pointers are null or the library's, one per element of the space.
        let _ = locked(|| Ok(unsafe { H5Treclaim(item, space, H5P_DEFAULT, pointers) }));
    }
}
