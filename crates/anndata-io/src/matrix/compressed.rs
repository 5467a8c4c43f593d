//! The common part of CSR and CSC matrices.

use std::sync::Arc;

use crate::array::{Array, STEP_ELEMENTS};
use crate::dtype::{DType, Values};
use crate::error::Error;
use crate::limits::MAX_UNVOUCHED_ROW_ELEMENTS;
use crate::path::member;
use crate::store::{Attribute, Store};

/// The parts of a CSR or CSC matrix: pointers in memory, the rest in the file.
#[derive(Debug, Clone)]
pub(crate) struct Compressed {
    pub(crate) shape: [u64; 2],
    /// The axis of the pointers: 0 for rows, 1 for columns.
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
        // A row or column may be as long as these arrays, so they must hold as many elements as
        // they claim.
        for array in [&indices, &data] {
            array.check_written()?;
        }
        // On a server that does not list files, the number of columns has to vouch for them.
        if indices.parts().chunks.unlisted().is_some() {
            let most = shape[1 - major].max(MAX_UNVOUCHED_ROW_ELEMENTS as u64);
            let longest = indptr.windows(2).map(|pair| pair[1] - pair[0]).max();
            if let Some(longest) = longest.filter(|&longest| longest > most) {
                let expected = format!("at most {most} entries in a {name}");
                return Err(indices.invalid(expected, longest.to_string()));
            }
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

    /// Whether rows are read in place. Matrices that were converted always are.
    pub(super) fn is_direct(&self) -> bool {
        self.is_uncompressed() && !self.data.packs_uncompressed()
    }

    fn is_uncompressed(&self) -> bool {
        self.indices.is_direct() && self.data.is_direct()
    }

    /// The number of elements in a band: chunks of indices and of data may differ.
    pub(super) fn band_len(&self) -> u64 {
        match self.is_uncompressed() {
            true => STEP_ELEMENTS,
            false => self.data.chunk_shape()[0].max(self.indices.chunk_shape()[0]),
        }
    }

    /// The bytes of the chunks of a band.
    pub(super) fn band_bytes(&self) -> u64 {
        let len = |array: &Array| match self.is_uncompressed() {
            true => STEP_ELEMENTS * array.dtype().map_or(0, DType::size) as u64,
            false => array.chunk_bytes(),
        };
        len(&self.indices) + len(&self.data)
    }

    pub(crate) fn minor_type(&self) -> DType {
        self.indices.dtype().expect("checked when it was opened")
    }

    /// Returns the columns of a row (the rows of a column) as 32-bit integers. A negative or wider
    /// integer becomes one that no matrix has. Only integers of other widths are copied.
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

    /// Refuses a row whose largest column the matrix does not have.
    pub(super) fn check_minor(&self, largest: Option<&u32>) -> Result<(), Error> {
        match largest {
            Some(&minor) if u64::from(minor) >= self.n_minor() => {
                Err(self.no_such_minor(minor.into()))
            }
            _ => Ok(()),
        }
    }

    /// `minor` is as [`minors`](Self::minors) returns it: a negative number of 32 bits or less
    /// appears as one of at least 2^31.
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

/// Reads the pointers, which must start at 0, not decrease, and stay within the entries.
fn pointers(array: &Array, n_entries: u64, name: &str) -> Result<Vec<u64>, Error> {
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
        Some(&last) if last > n_entries => {
            let expected = format!("{name} pointers up to the {n_entries} nonzeros stored");
            Err(array.invalid(expected, last.to_string()))
        }
        _ => Ok(indptr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    /// A matrix of 2 rows and 3 columns with some of its parts replaced.
    fn opened(replace: impl FnOnce(MemoryStore) -> MemoryStore) -> Result<Compressed, Error> {
        let data = Values::F32(vec![5., 1., 2.]);
        let store = MemoryStore::new("cells").csr("X", [2, 3], vec![0, 1, 3], vec![1, 0, 2], data);
        Compressed::open(&replace(store).into(), "X", 0)
    }

    fn pointers_of(indptr: Values) -> Result<Vec<u64>, Error> {
        let len = indptr.len() as u64;
        let matrix = opened(|store| store.array("X/indptr", &[len], indptr))?;
        Ok(matrix.indptr.to_vec())
    }

    #[test]
    fn compressed_opens_pointers_of_any_integers() {
        for indptr in [
            Values::I64(vec![0, 1, 3]),
            Values::U64(vec![0, 1, 3]),
            Values::I32(vec![0, 1, 3]),
            Values::U8(vec![0, 1, 3]),
            Values::F64(vec![0., 1., 3.]),
        ] {
            assert_eq!(pointers_of(indptr).expect("valid"), [0, 1, 3]);
        }
        let fewer = pointers_of(Values::I32(vec![0, 1, 2]));
        assert_eq!(fewer.expect("entries may be left over"), [0, 1, 2]);
    }

    #[test]
    fn compressed_refuses_invalid_pointers() {
        for (indptr, says) in [
            (vec![1, 1, 3], "row pointers that start at 0, found 1"),
            (vec![0, 3, 1], "do not decrease, found 1 after 3 at row 1"),
            (vec![0, -1, 3], "do not decrease, found 3 after -1 at row 1"),
            (vec![0, 1, 4], "up to the 3 nonzeros stored, found 4"),
            (vec![0, 3], "3 row pointers for 2 rows, found 2"),
        ] {
            let error = pointers_of(Values::I64(indptr))
                .expect_err(says)
                .to_string();
            assert!(error.starts_with("cells: X/indptr: "), "{error}");
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn compressed_refuses_parts_that_contradict_each_other() {
        for (element, values, says) in [
            (
                "X/indices",
                Values::I32(vec![1, 0]),
                "as many indices as data (3), found 2",
            ),
            ("X/indices", Values::F32(vec![1.; 3]), ""),
            (
                "X/indices",
                Values::Bool(vec![Default::default(); 3]),
                "integers, found bool",
            ),
        ] {
            let len = values.len() as u64;
            let opened = opened(|store| store.array(element, &[len], values));
            match says {
                "" => assert!(opened.is_ok(), "whole numbers"),
                says => {
                    let error = opened.expect_err(says).to_string();
                    assert!(error.contains(says), "{error}");
                }
            }
        }
        for shape in [vec![2], vec![-2, 3], vec![2, 3, 1]] {
            let shape = Attribute::Integers(shape);
            let error = opened(|store| store.attribute("X", "shape", shape)).map(|_| ());
            let error = error.expect_err("no shape of a matrix").to_string();
            assert!(error.contains("attribute shape of two lengths"), "{error}");
        }
    }

    #[test]
    fn minors_are_32_bits_wide_whatever_is_stored() {
        for indices in [
            Values::I8(vec![1, 0, 2]),
            Values::U8(vec![1, 0, 2]),
            Values::I16(vec![1, 0, 2]),
            Values::U16(vec![1, 0, 2]),
            Values::I32(vec![1, 0, 2]),
            Values::U32(vec![1, 0, 2]),
            Values::I64(vec![1, 0, 2]),
            Values::U64(vec![1, 0, 2]),
        ] {
            let raw = indices.as_slice().as_bytes().to_vec();
            let dtype = indices.dtype();
            let matrix = opened(|store| store.array("X/indices", &[3], indices)).expect("valid");
            let mut aligned = crate::io::buffers::AlignedBytes::zeroed(raw.len());
            aligned.as_mut_slice().copy_from_slice(&raw);
            let mut wide = Vec::new();
            let minors = matrix.minors(aligned.as_slice(), &mut wide).expect("small");
            assert_eq!(minors, [1, 0, 2], "{dtype}");
            assert!(matrix.check_minor(minors.iter().max()).is_ok(), "{dtype}");
        }
    }

    #[test]
    fn minors_that_do_not_exist_are_named_as_they_are_stored() {
        for (indices, says) in [
            (Values::I8(vec![-1, 0, 2]), "column -1"),
            (Values::I32(vec![-7, 0, 2]), "column -7"),
            (Values::U32(vec![u32::MAX, 0, 2]), "column 4294967295"),
            (Values::I64(vec![-1, 0, 2]), "column -1"),
            (Values::I64(vec![1 << 40, 0, 2]), "column 1099511627776"),
            (
                Values::U64(vec![u64::MAX, 0, 2]),
                "column 18446744073709551615",
            ),
            (Values::U8(vec![3, 0, 2]), "column 3"),
        ] {
            let raw = indices.as_slice().as_bytes().to_vec();
            let matrix = opened(|store| store.array("X/indices", &[3], indices)).expect("valid");
            let mut aligned = crate::io::buffers::AlignedBytes::zeroed(raw.len());
            aligned.as_mut_slice().copy_from_slice(&raw);
            let mut wide = Vec::new();
            let minors = matrix.minors(aligned.as_slice(), &mut wide);
            let error = minors.and_then(|minors| matrix.check_minor(minors.iter().max()));
            let error = error.expect_err(says).to_string();
            assert!(error.ends_with(says), "{error}");
        }
    }
}
