//! What rows and columns, compressed, have in common.

use std::sync::Arc;

use crate::array::Array;
use crate::dtype::{DType, Values};
use crate::error::Error;
use crate::path::member;
use crate::store::{Attribute, Store};

/// The parts of a CSR or CSC matrix: pointers in memory, the rest in the file.
#[derive(Debug, Clone)]
pub(crate) struct Compressed {
    pub(crate) shape: [u64; 2],
    /// The axis that the pointers are of: 0 for rows, 1 for columns.
    pub(crate) major: usize,
    pub(crate) indptr: Arc<Vec<u64>>,
    pub(crate) indices: Array,
    pub(crate) data: Array,
}

pub(crate) const AXES: [&str; 2] = ["row", "column"];

impl Compressed {
    /// Opens the parts of a matrix; `major` is 0 for rows, 1 for columns.
    pub(super) fn open(store: &Store, element: &str, major: usize) -> Result<Compressed, Error> {
        let part = |name: &str| store.array(&member(element, name));
        let (indptr, indices, data) = (
            part("indptr")?.into_integers()?,
            part("indices")?.into_integers()?,
            part("data")?,
        );
        let shape = match store.attribute(element, "shape")? {
            None => store.attribute(element, "h5sparse_shape")?,
            shape => shape,
        };
        let shape = match shape {
            Some(Attribute::Integers(shape))
                if shape.len() == 2 && shape.iter().all(|&n| n >= 0) =>
            {
                [shape[0] as u64, shape[1] as u64]
            }
            found => {
                let found = found.map_or("none".to_owned(), |found| found.to_string());
                return Err(store.invalid(element, "attribute shape of two lengths", found));
            }
        };
        data.number_type()?;
        for array in [&indptr, &indices, &data] {
            if array.shape().len() != 1 {
                return Err(array.invalid("a 1-D array", format!("shape {:?}", array.shape())));
            }
        }
        if indices.len() != data.len() {
            let expected = format!("as many indices as data ({})", data.len());
            return Err(indices.invalid(expected, indices.len().to_string()));
        }
        let (name, n_major) = (AXES[major], shape[major]);
        if Some(indptr.len()) != n_major.checked_add(1) {
            let n_pointers = n_major.saturating_add(1);
            let expected = format!("{n_pointers} {name} pointers for {n_major} {name}s");
            return Err(indptr.invalid(expected, indptr.len().to_string()));
        }
        let indptr = pointers(&indptr, data.len(), name)?;
        // A row or column may be as long as these: they must be able to hold what they claim.
        for array in [&indices, &data] {
            array.check_written()?;
        }
        Ok(Compressed {
            shape,
            major,
            indptr: Arc::new(indptr),
            indices,
            data,
        })
    }

    pub(crate) fn n_minor(&self) -> u64 {
        self.shape[1 - self.major]
    }

    pub(crate) fn dtype(&self) -> DType {
        self.data.dtype().expect("checked when it was opened")
    }

    pub(super) fn is_direct(&self) -> bool {
        self.indices.is_direct() && self.data.is_direct()
    }

    pub(crate) fn minor_type(&self) -> DType {
        self.indices.dtype().expect("checked when it was opened")
    }

    /// The columns of a row (the rows of a column) as 32-bit integers; one that is negative or
    /// wider becomes one that no matrix has. Only integers of other widths are copied.
    pub(super) fn minors<'a>(
        &self,
        raw: &'a [u8],
        wide: &'a mut Vec<u32>,
    ) -> Result<&'a [u32], Error> {
        macro_rules! widen {
            ($T:ty) => {{
                wide.clear();
                wide.extend(
                    bytemuck::cast_slice(raw)
                        .iter()
                        .map(|&minor: &$T| minor as u32),
                );
                wide
            }};
        }
        macro_rules! narrow {
            ($T:ty) => {{
                let minors: &[$T] = bytemuck::cast_slice(raw);
                let largest = minors.iter().map(|&minor| minor as u64).max();
                if largest.is_some_and(|minor| minor > u32::MAX.into()) {
                    return Err(self.no_such_minor(largest.unwrap_or_default()));
                }
                widen!($T)
            }};
        }
        Ok(match self.minor_type() {
            DType::I32 | DType::U32 => bytemuck::cast_slice(raw),
            DType::I8 => widen!(i8),
            DType::U8 => widen!(u8),
            DType::I16 => widen!(i16),
            DType::U16 => widen!(u16),
            DType::I64 => narrow!(i64),
            DType::U64 => narrow!(u64),
            DType::Bool | DType::F16 | DType::F32 | DType::F64 => {
                unreachable!("checked when it was opened")
            }
        })
    }

    /// Refuses the largest column of a row when the matrix does not have it.
    pub(super) fn check_minor(&self, largest: Option<&u32>) -> Result<(), Error> {
        match largest {
            Some(&minor) if u64::from(minor) >= self.n_minor() => {
                Err(self.no_such_minor(minor.into()))
            }
            _ => Ok(()),
        }
    }

    /// `minor` is as [`minors`](Self::minors) gives it: a negative number of 32 bits or less stands
    /// beyond 2^31.
    pub(super) fn no_such_minor(&self, minor: u64) -> Error {
        let name = AXES[1 - self.major];
        let number = match self.minor_type() {
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => minor.to_string(),
            DType::I64 => (minor as i64).to_string(),
            _ => (minor as i32).to_string(),
        };
        let expected = format!("{name}s from 0 to below {}", self.n_minor());
        self.indices.invalid(expected, format!("{name} {number}"))
    }
}

/// The pointers, which must start at 0, not decrease, and stay within the nonzeros.
fn pointers(array: &Array, nonzeros: u64, name: &str) -> Result<Vec<u64>, Error> {
    let indptr = match array.read_all()? {
        Values::U64(values) => values,
        // A negative number becomes a very large one.
        Values::I64(values) => bytemuck::allocation::cast_vec(values),
        values => bytemuck::allocation::cast_vec(values.as_slice().to_vec::<i64>()),
    };
    if let Some(&first) = indptr.first().filter(|&&first| first != 0) {
        return Err(array.invalid(
            format!("{name} pointers that start at 0"),
            (first as i64).to_string(),
        ));
    }
    if let Some(row) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        let found = format!(
            "{} after {} at {name} {row}",
            indptr[row + 1] as i64,
            indptr[row] as i64
        );
        return Err(array.invalid(format!("{name} pointers that do not decrease"), found));
    }
    match indptr.last() {
        Some(&last) if last > nonzeros => {
            let expected = format!("{name} pointers up to the {nonzeros} nonzeros stored");
            Err(array.invalid(expected, last.to_string()))
        }
        _ => Ok(indptr),
    }
}
