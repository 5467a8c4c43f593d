//! Sums of variables of one name: exact, and converted once.

use std::collections::HashMap;

use anndata_io::{NumericValue, Scalar};
use feature_join::{JointColumn, RemappedEntry, VarMap};

use crate::batch::row_writer::RowFault;

/// A sum in a type that is wide enough for any row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sum {
    Integer(i128),
    Float(f64),
}

impl Sum {
    fn of(value: NumericValue) -> Sum {
        match value {
            NumericValue::Bool(value) => Sum::Integer(value.into()),
            NumericValue::Signed(value) => Sum::Integer(value.into()),
            NumericValue::Unsigned(value) => Sum::Integer(value.into()),
            NumericValue::F32(value) => Sum::Float(value.into()),
            NumericValue::F64(value) => Sum::Float(value),
        }
    }

    fn add(self, other: Sum) -> Sum {
        match (self, other) {
            (Sum::Integer(a), Sum::Integer(b)) => Sum::Integer(a + b),
            (a, b) => Sum::Float(a.as_float() + b.as_float()),
        }
    }

    fn as_float(self) -> f64 {
        match self {
            Sum::Integer(value) => value as f64,
            Sum::Float(value) => value,
        }
    }

    /// Converts the sum.
    ///
    /// # Errors
    /// When it is an integer that the type cannot hold.
    fn convert<D: Scalar>(self, column: JointColumn) -> Result<D, RowFault> {
        let sum = match self {
            Sum::Float(value) => return Ok(D::cast_from(value)),
            Sum::Integer(sum) => sum,
        };
        let value = match (i64::try_from(sum), u64::try_from(sum)) {
            (Ok(sum), _) => D::cast_from(sum),
            (_, Ok(sum)) => D::cast_from(sum),
            _ => D::cast_from(sum as f64),
        };
        let fits = match value.to_number() {
            NumericValue::F32(_) | NumericValue::F64(_) => true,
            exact => Sum::of(exact) == self,
        };
        match fits {
            true => Ok(value),
            false => Err(RowFault::Sum {
                column,
                dtype: D::DTYPE,
                sum,
            }),
        }
    }
}

/// Calls `put` with each joint column of a sparse row and its value. `entries` are sorted by column;
/// those of one column are summed.
pub(super) fn for_each_sum<S: Scalar, D: Scalar>(
    entries: &[RemappedEntry],
    values: &[S],
    mut put: impl FnMut(JointColumn, D),
) -> Result<(), RowFault> {
    let value = |entry: &RemappedEntry| values[entry.position as usize];
    for entries in entries.chunk_by(|a, b| a.column == b.column) {
        let column = entries[0].column;
        put(
            column,
            match entries {
                [only] => D::cast_from(value(only)),
                several => {
                    let values = several
                        .iter()
                        .map(|entry| Sum::of(value(entry).to_number()));
                    let sum = values.reduce(Sum::add).expect("not empty");
                    sum.convert(column)?
                }
            },
        );
    }
    Ok(())
}

/// The sums of dense rows, whose runs arrive one by one: a sum is complete after the last of its
/// columns.
#[derive(Debug, Default)]
pub(super) struct PartialSums(HashMap<(usize, JointColumn), (Sum, u32)>);

impl PartialSums {
    /// Forgets the rows of an earlier read.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes a run of a row, from column `start` of the file on.
    pub(super) fn dense<S: Scalar, D: Scalar>(
        &mut self,
        map: &VarMap,
        row: usize,
        start: usize,
        values: &[S],
        out: &mut [D],
    ) -> Result<(), RowFault> {
        let to_joint = map.file_to_joint().expect("not the identity");
        for (&column, &value) in to_joint[start..start + values.len()].iter().zip(values) {
            let Some(slot) = out.get_mut(column.0 as usize) else {
                continue;
            };
            let n_columns = map.n_file_columns(column).unwrap_or(1);
            if n_columns < 2 {
                *slot = D::cast_from(value);
                continue;
            }
            let value = Sum::of(value.to_number());
            let known = self.0.remove(&(row, column));
            let (sum, n) = known.map_or((value, 1), |(sum, n)| (sum.add(value), n + 1));
            if n == n_columns {
                *slot = sum.convert(column)?;
            } else {
                self.0.insert((row, column), (sum, n));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anndata_io::DType;

    use super::*;

    #[test]
    fn sums_are_converted_once() {
        let column = JointColumn(3);
        let sum = |values: &[NumericValue]| {
            let sums = values.iter().map(|&value| Sum::of(value));
            sums.reduce(Sum::add).unwrap()
        };
        let signed = |values: &[i64]| {
            let values: Vec<_> = values
                .iter()
                .map(|&value| NumericValue::Signed(value))
                .collect();
            sum(&values)
        };
        assert_eq!(signed(&[100, 100, -100]).convert::<i8>(column), Ok(100));
        assert_eq!(signed(&[-1, 1]).convert::<u8>(column), Ok(0));
        let (dtype, too_large) = (DType::I8, 200);
        let fault = RowFault::Sum {
            column,
            dtype,
            sum: too_large,
        };
        assert_eq!(signed(&[100, 100]).convert::<i8>(column), Err(fault));
        let floats = [0.5, 0.5, 1.75].map(NumericValue::F64);
        assert_eq!(sum(&floats).convert::<i64>(column), Ok(2));
        let largest = NumericValue::Unsigned(u64::MAX);
        assert_eq!(sum(&[largest]).convert::<u64>(column), Ok(u64::MAX));
        assert!(sum(&[largest, largest]).convert::<u64>(column).is_err());
        assert_eq!(
            sum(&[largest, largest]).convert::<f32>(column),
            Ok(36893488147419103232.0)
        );
        let flags = [true, true].map(NumericValue::Bool);
        assert_eq!(sum(&flags).convert::<u8>(column), Ok(2));
    }
}
