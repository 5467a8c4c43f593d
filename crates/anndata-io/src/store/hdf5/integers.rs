//! Integers in HDF5 datatypes, enumerations and attributes.

use crate::array::convert::whole;
use crate::dtype::DType;

/// Converts floats that are whole numbers to integers; `Err` describes the first that is not whole.
pub(in crate::store) fn whole_numbers(values: &[f64]) -> Result<Vec<i64>, String> {
    let whole = values.iter().map(|&value| whole(value));
    whole
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{values:?}"))
}

/// Returns the type of integers of this many bytes.
pub(in crate::store) fn integer_type(size: usize, signed: bool) -> Option<DType> {
    Some(match (size, signed) {
        (1, true) => DType::I8,
        (1, false) => DType::U8,
        (2, true) => DType::I16,
        (2, false) => DType::U16,
        (4, true) => DType::I32,
        (4, false) => DType::U32,
        (8, true) => DType::I64,
        (8, false) => DType::U64,
        _ => return None,
    })
}

/// An enumeration of truth values: h5py's booleans have FALSE and TRUE, R's logicals also have NA.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Truth {
    /// The bits of NA, if it exists.
    pub(in crate::store) missing: Option<u64>,
}

impl Truth {
    /// Recognises an enumeration by its names and little-endian values; `None` if it is of another
    /// kind.
    pub(in crate::store) fn of<'a>(
        members: impl Iterator<Item = (&'a [u8], Vec<u8>)>,
    ) -> Option<Truth> {
        let (mut is_false, mut is_true, mut missing) = (false, false, None);
        for (name, value) in members {
            let value = value
                .iter()
                .rev()
                .fold(0u64, |n, &byte| n << 8 | u64::from(byte));
            match (name, value) {
                (b"FALSE", 0) if !is_false => is_false = true,
                (b"TRUE", 1) if !is_true => is_true = true,
                (b"NA", 2..) if missing.is_none() => missing = Some(value),
                _ => return None,
            }
        }
        (is_false && is_true).then_some(Truth { missing })
    }
}

/// Returns the integers of an attribute; those beyond signed 64 bits wrap.
pub(in crate::store) fn integers(
    bytes: &[u8],
    size: usize,
    signed: bool,
    big_endian: bool,
) -> Vec<i64> {
    let one = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        if big_endian {
            word[..bytes.len()].reverse();
        }
        let unused = 64 - 8 * bytes.len() as u32;
        let value = u64::from_le_bytes(word) << unused;
        if signed {
            (value as i64) >> unused
        } else {
            (value >> unused) as i64
        }
    };
    match size {
        1 | 2 | 4 | 8 => bytes.chunks_exact(size).map(one).collect(),
        _ => Vec::new(),
    }
}
