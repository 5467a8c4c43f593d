//! numpy arrays over memory that Rust owns, and numpy's scalars.

use std::any::Any;
use std::ffi::c_int;

use mapped_anndata::io::{Bool8, DType, NumericValue, Scalar, Values, f16, with_dtype};
use numpy::npyffi::{self, PY_ARRAY_API, npy_intp};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// The owner of the memory that arrays view, kept until the last of them is gone. No Rust code
/// reads that memory again, so numpy may write to it.
#[pyclass(frozen)]
pub(crate) struct Owner {
    _kept: Box<dyn Any + Send + Sync>,
}

impl Owner {
    pub(crate) fn new<'py, T: Send + Sync + 'static>(
        py: Python<'py>,
        kept: T,
    ) -> PyResult<Bound<'py, Owner>> {
        let _kept = Box::new(kept);
        Bound::new(py, Owner { _kept })
    }
}

/// A place in memory, with the type and shape of its elements, row-major.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    data: *mut u8,
}

impl View {
    /// Views the elements of a vector, which stays in place when its owner moves.
    pub(crate) fn of_values(values: &mut Values, shape: Vec<usize>) -> View {
        let dtype = values.dtype();
        let data = with_dtype!(dtype, T => {
            let elements = <T as Scalar>::as_mut_vec(values).expect("the type is its own");
            elements.as_mut_ptr().cast()
        });
        debug_assert_eq!(values.len(), shape.iter().product::<usize>());
        View { dtype, shape, data }
    }

    /// Views the elements of a vector in one dimension.
    pub(crate) fn of_vec<T>(dtype: DType, elements: &mut Vec<T>) -> View {
        debug_assert_eq!(dtype.size(), size_of::<T>());
        View {
            dtype,
            shape: vec![elements.len()],
            data: elements.as_mut_ptr().cast(),
        }
    }

    /// Returns row `row` of this view, which has at least `row + 1` rows.
    pub(crate) fn row(&self, row: usize) -> View {
        assert!(row < self.shape[0], "row {row} of {}", self.shape[0]);
        let shape = self.shape[1..].to_vec();
        let n_bytes = shape.iter().product::<usize>() * self.dtype.size();
        View {
            dtype: self.dtype,
            shape,
            // Inside of the vector, or just past it for rows of no bytes.
            data: self.data.wrapping_add(row * n_bytes),
        }
    }

    /// Returns a numpy array that views this place and keeps the owner alive.
    ///
    /// # Safety
    /// The place must lie in vectors that `owner` keeps, and that nothing else reads, writes, grows
    /// or takes while it does.
    pub(crate) unsafe fn array<'py>(
        &self,
        owner: &Bound<'py, Owner>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = owner.py();
        let mut dims: Vec<npy_intp> = self.shape.iter().map(|&n| n as npy_intp).collect();
        // SAFETY: `descr` is a new reference that the call takes, `dims` has `nd` entries, and
        // without strides numpy assumes the row-major order that the place has. The caller promises
        // that the place stays valid; the owner becomes the base of the array.
        unsafe {
            let array = PY_ARRAY_API.PyArray_NewFromDescr(
                py,
                npyffi::get_type_object(py, npyffi::NpyTypes::PyArray_Type),
                descr(py, self.dtype).into_dtype_ptr(),
                dims.len() as c_int,
                dims.as_mut_ptr(),
                std::ptr::null_mut(),
                self.data.cast(),
                npyffi::NPY_ARRAY_CARRAY,
                std::ptr::null_mut(),
            );
            let array = Bound::from_owned_ptr_or_err(py, array)?;
            let base = owner.clone().into_ptr();
            match PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base) {
                0 => Ok(array),
                _ => Err(PyErr::fetch(py)),
            }
        }
    }
}

/// Returns an array that owns its memory: the elements of a vector, not copied.
pub(crate) fn from_values<'py>(
    py: Python<'py>,
    mut values: Values,
    shape: Vec<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let view = View::of_values(&mut values, shape);
    let owner = Owner::new(py, values)?;
    // SAFETY: the owner has the vector, and never reads it again.
    unsafe { view.array(&owner) }
}

/// Returns the address of the elements of an array.
pub(crate) fn data(array: &Bound<'_, PyUntypedArray>) -> *const u8 {
    // SAFETY: the pointer is that of a live array object, and only one of its fields is read.
    unsafe { (*array.as_array_ptr()).fields.data.cast_const().cast() }
}

/// Returns numpy's description of a type.
fn descr(py: Python<'_>, dtype: DType) -> Bound<'_, PyArrayDescr> {
    match dtype {
        DType::Bool => numpy::dtype::<bool>(py),
        DType::I8 => numpy::dtype::<i8>(py),
        DType::U8 => numpy::dtype::<u8>(py),
        DType::I16 => numpy::dtype::<i16>(py),
        DType::U16 => numpy::dtype::<u16>(py),
        DType::I32 => numpy::dtype::<i32>(py),
        DType::U32 => numpy::dtype::<u32>(py),
        DType::I64 => numpy::dtype::<i64>(py),
        DType::U64 => numpy::dtype::<u64>(py),
        DType::F16 => numpy::dtype::<f16>(py),
        DType::F32 => numpy::dtype::<f32>(py),
        DType::F64 => numpy::dtype::<f64>(py),
    }
}

/// Returns a numpy scalar of a type.
pub(crate) fn scalar(
    py: Python<'_>,
    dtype: DType,
    value: NumericValue,
) -> PyResult<Bound<'_, PyAny>> {
    let scalar = descr(py, dtype).typeobj();
    match value {
        NumericValue::Bool(value) => scalar.call1((value,)),
        NumericValue::Signed(value) => scalar.call1((value,)),
        NumericValue::Unsigned(value) => scalar.call1((value,)),
        NumericValue::F32(value) => scalar.call1((value,)),
        NumericValue::F64(value) => scalar.call1((value,)),
    }
}

const _: () = assert!(size_of::<Bool8>() == size_of::<bool>());
