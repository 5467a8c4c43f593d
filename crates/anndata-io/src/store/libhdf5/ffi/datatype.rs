//! The parts of datatypes, and the types to read elements as.

use std::ffi::{CStr, c_uint};

use hdf5::Datatype;
use hdf5_sys::h5::H5free_memory;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5t::*;

use super::super::call::{Result, locked};
use super::{c_text, call, last_error};
use crate::array::float::FloatLayout;
use crate::array::text::Padding;

/// Takes over the id of a datatype that `create` opens.
fn owned(create: impl FnOnce() -> hid_t) -> Result<Datatype> {
    // SAFETY: the call has just made the id, so nothing else owns it.
    locked(|| Ok(unsafe { hdf5::from_id(call(create)?) }?))
}

pub(crate) fn class(datatype: &Datatype) -> Result<H5T_class_t> {
    // SAFETY: the id is open and of a datatype.
    locked(|| Ok(unsafe { H5Tget_class(datatype.id()) }))
}

/// Whether an integer has a sign.
pub(crate) fn is_signed(datatype: &Datatype) -> Result<bool> {
    // SAFETY: the id is open; a class other than integers causes an error, not a sign.
    locked(|| Ok(unsafe { H5Tget_sign(datatype.id()) } == H5T_sign_t::H5T_SGN_2))
}

/// Returns the layout of a float; `None` if it is not supported.
pub(crate) fn float(datatype: &Datatype) -> Result<Option<FloatLayout>> {
    let id = datatype.id();
    let [mut sign, mut exponent, mut exponent_bits] = [0; 3];
    let [mut mantissa, mut mantissa_bits] = [0; 2];
    // SAFETY: the id is open; a class other than floats is an error.
    call(|| unsafe {
        let (sign, exponent) = (&mut sign, &mut exponent);
        H5Tget_fields(
            id,
            sign,
            exponent,
            &mut exponent_bits,
            &mut mantissa,
            &mut mantissa_bits,
        )
    })?;
    // SAFETY: the id is that of a float, or the call above would have failed.
    let (bias, norm, order) =
        locked(|| Ok(unsafe { (H5Tget_ebias(id), H5Tget_norm(id), H5Tget_order(id)) }))?;
    let layout = FloatLayout {
        size: datatype.size(),
        sign: sign as u32,
        exponent: (exponent as u32, exponent_bits as u32),
        mantissa: (mantissa as u32, mantissa_bits as u32),
        bias: bias as u32,
        leading_bit: norm == H5T_norm_t::H5T_NORM_NONE,
    };
    let is_known = norm != H5T_norm_t::H5T_NORM_MSBSET && order != H5T_order_t::H5T_ORDER_VAX;
    Ok(Some(layout).filter(|layout| is_known && layout.is_readable()))
}

/// Returns the names of the fields of a record or the members of an enumeration.
pub(crate) fn member_names(datatype: &Datatype) -> Result<Vec<Vec<u8>>> {
    // SAFETY: the id is open; any other class is an error.
    let count = call(|| unsafe { H5Tget_nmembers(datatype.id()) })?;
    let name = |member| {
        // SAFETY: the member exists; the name is a copy for the caller, which frees it.
        locked(|| unsafe {
            let name = H5Tget_member_name(datatype.id(), member);
            if name.is_null() {
                return Err(last_error());
            }
            let bytes = CStr::from_ptr(name).to_bytes().to_vec();
            H5free_memory(name.cast());
            Ok(bytes)
        })
    };
    (0..count as c_uint).map(name).collect()
}

/// Returns the bytes of the value of an enumeration's member, in the byte order of the file.
pub(crate) fn member_value(datatype: &Datatype, member: usize) -> Result<Vec<u8>> {
    let mut value = vec![0u8; datatype.size()];
    let bytes = value.as_mut_ptr().cast();
    // SAFETY: the id is open, and a value has as many bytes as its type; a missing member is an
    // error.
    call(|| unsafe { H5Tget_member_value(datatype.id(), member as c_uint, bytes) })?;
    Ok(value)
}

/// Returns the type of a field of a record.
pub(crate) fn field_type(record: &Datatype, field: usize) -> Result<Datatype> {
    // SAFETY: the id is open; a missing field is an error.
    owned(|| unsafe { H5Tget_member_type(record.id(), field as c_uint) })
}

/// Returns the type of the elements of an array type, or of the values of an enumeration.
pub(crate) fn base_type(datatype: &Datatype) -> Result<Datatype> {
    // SAFETY: the id is open; a type without a base is an error.
    owned(|| unsafe { H5Tget_super(datatype.id()) })
}

/// Returns the shape of an array type.
pub(crate) fn array_shape(array: &Datatype) -> Result<Vec<u64>> {
    // SAFETY: the id is open; any other class is an error.
    let rank = call(|| unsafe { H5Tget_array_ndims(array.id()) })?;
    let mut shape = vec![0; rank as usize];
    // SAFETY: `shape` has room for every axis.
    call(|| unsafe { H5Tget_array_dims2(array.id(), shape.as_mut_ptr()) })?;
    Ok(shape)
}

/// Returns the padding after a fixed-length text.
pub(crate) fn padding(text: &Datatype) -> Result<Padding> {
    // SAFETY: the id is open and of a datatype.
    let padding = locked(|| Ok(unsafe { H5Tget_strpad(text.id()) }))?;
    Ok(match padding {
        H5T_str_t::H5T_STR_NULLTERM => Padding::NullTerminated,
        H5T_str_t::H5T_STR_SPACEPAD => Padding::Spaces,
        _ => Padding::Nulls,
    })
}

/// Whether elements are texts of variable length, one pointer each: the texts themselves, or
/// records with one such field.
pub(crate) fn is_variable_text(datatype: &Datatype) -> Result<bool> {
    let is_text = |datatype: &Datatype| {
        // SAFETY: the id is open and of a datatype.
        call(|| unsafe { H5Tis_variable_str(datatype.id()) }).map(|is| is > 0)
    };
    if class(datatype)? != H5T_class_t::H5T_COMPOUND {
        return is_text(datatype);
    }
    let fields = member_names(datatype)?;
    Ok(fields.len() == 1 && is_text(&field_type(datatype, 0)?)?)
}

/// Returns the same type in little-endian order.
pub(crate) fn little_endian(datatype: &Datatype) -> Result<Datatype> {
    // SAFETY: the id is open.
    let copy = owned(|| unsafe { H5Tcopy(datatype.id()) })?;
    // SAFETY: the id is open; a type without an order is an error.
    call(|| unsafe { H5Tset_order(copy.id(), H5T_order_t::H5T_ORDER_LE) })?;
    Ok(copy)
}

/// Makes a record type with a single field: `item`, or an array of `shape` of it unless the shape
/// is empty. Reading as this type extracts the field from every record.
pub(crate) fn record_of(name: &str, item: &Datatype, shape: &[u64]) -> Result<Datatype> {
    let name = c_text(name)?;
    let field = match shape {
        [] => item.clone(),
        shape => {
            let (rank, shape) = (shape.len() as c_uint, shape.as_ptr());
            // SAFETY: the id is open, and `shape` has the stated number of axes.
            owned(|| unsafe { H5Tarray_create2(item.id(), rank, shape) })?
        }
    };
    // SAFETY: the arguments are only a class and a size.
    let record = owned(|| unsafe { H5Tcreate(H5T_class_t::H5T_COMPOUND, field.size()) })?;
    // SAFETY: the ids are open, the name ends in a zero byte.
    call(|| unsafe { H5Tinsert(record.id(), name.as_ptr(), 0, field.id()) })?;
    Ok(record)
}
