//! The rows of a store that are transformed after they are joined.

use std::collections::HashMap;
use std::ops::Range;

use anndata_io::{MatrixSource, Scalar, Values, ValuesRef, with_dtype};
use feature_join::{JointColumn, VarMap};

use crate::batch::nonzeros::nonzero_columns;
use crate::batch::row_writer::{JoinScratch, RowFault};
use crate::plan::Plan;
use crate::plan::matrices::MatrixKey;
use crate::transform::Totals;
use crate::transform::function::Function;
use crate::transform::pipeline::{Pipeline, RowFacts};
use crate::transform::total::Total;

/// The transforms of a matrix, and what they need to know of the rows of a store.
#[derive(Debug)]
pub(crate) struct Transformed<'a> {
    pub(super) pipeline: &'a Pipeline,
    store: u32,
    epoch: u64,
    /// The totals of the rows of the file, if those in obs are used.
    obs_totals: Option<&'a [f64]>,
    /// The number of columns of the file.
    n_file: usize,
    /// The joint columns that the store lacks, if zeros do not stay zeros.
    absent: Vec<u32>,
}

/// What has arrived of the dense rows of a read, by their numbers in it: the elements, and their
/// total. A row is transformed when it is whole.
#[derive(Debug, Default)]
pub(super) struct Arrivals(HashMap<usize, (usize, Total)>);

impl<'a> Transformed<'a> {
    /// The transforms of a matrix of a store; `None` if it has none.
    pub(crate) fn new(
        plan: &'a Plan,
        (store, key): (usize, &'a MatrixKey),
        source: &MatrixSource,
        epoch: u64,
    ) -> Option<Transformed<'a>> {
        let pipeline = key.pipeline.as_ref()?;
        let obs_totals = match pipeline.totals() {
            Some(Totals::ObsKey(key)) => plan.stores[store].obs_totals_of(key),
            _ => None,
        };
        let absent = match (plan.var_map(store, key), pipeline.changes_zeros()) {
            (Some(map), true) => {
                let columns = (0..).zip(map.presence());
                columns
                    .filter_map(|(column, has)| (!has).then_some(column))
                    .collect()
            }
            _ => Vec::new(),
        };
        Some(Transformed {
            pipeline,
            store: store as u32,
            epoch,
            obs_totals,
            n_file: source.row_len(),
            absent,
        })
    }

    /// The total of a row of the file, if it is needed.
    pub(super) fn total(&self, total: impl FnOnce() -> Total) -> Total {
        match self.pipeline.needs_total() {
            true => total(),
            false => Total::default(),
        }
    }

    /// What becomes of each value of a row with this total, if that is all that matters.
    pub(super) fn function(&self, total: Total) -> Result<Option<Function<'a>>, RowFault> {
        let function = self.pipeline.function_of_total(total.value());
        function.map_err(RowFault::Transform)
    }

    /// Transforms the entries of a row, and moves those that are left to the front. Returns their
    /// number.
    pub(super) fn run(
        &self,
        (row, total): (u32, Total),
        columns: &mut [u32],
        values: &mut [f64],
        scratch: &mut JoinScratch,
    ) -> Result<usize, RowFault> {
        let facts = RowFacts {
            store: self.store,
            row,
            epoch: self.epoch,
            total: total.value(),
            obs_total: self.obs_totals.map(|totals| totals[row as usize]),
        };
        let ran = self.pipeline.run(
            &facts,
            columns,
            values,
            scratch.memo.get_or_insert_default(),
        );
        ran.map_err(RowFault::Transform)
    }

    /// Writes transformed entries into a dense row whose other elements are zeros that were not yet
    /// transformed.
    pub(super) fn put<T: Scalar>(&self, columns: &[u32], values: &[f64], out: &mut [T]) {
        if let Some(zero_of) = self.pipeline.zero_of() {
            for (column, slot) in out.iter_mut().enumerate() {
                *slot = T::cast_from(zero_of(column));
            }
            for &column in &self.absent {
                out[column as usize] = T::default();
            }
        }
        for (&column, &value) in columns.iter().zip(values) {
            out[column as usize] = T::cast_from(value);
        }
    }

    /// Transforms a whole dense row of the file, and writes it into its place. Returns false if it
    /// must be joined first.
    pub(super) fn whole_row(
        &self,
        row: u32,
        values: ValuesRef<'_>,
        (map, out): (Option<&VarMap>, &mut Values),
        place: Range<usize>,
        scratch: &mut JoinScratch,
    ) -> Result<bool, RowFault> {
        let is_ordered = map.is_none_or(VarMap::is_monotonic) || !self.pipeline.downsamples();
        if values.len() != self.n_file || map.is_some_and(VarMap::merges_columns) || !is_ordered {
            return Ok(false);
        }
        let (mut columns, mut floats) = scratch.take_entries(values.len());
        let mut n = with_dtype!(values.dtype(), S => {
            let values = S::from_slice(values).expect("its own type");
            entries(values, &mut columns, &mut floats)
        });
        let total = self.total(|| Total::of_floats(&floats[..n], values.dtype()));
        if let Some(to_joint) = map.and_then(VarMap::file_to_joint) {
            let all = n;
            n = 0;
            for i in 0..all {
                let joint = to_joint[columns[i] as usize];
                (columns[n], floats[n]) = (joint.0, floats[i]);
                n += usize::from(joint != JointColumn::ABSENT);
            }
        }
        let row = (row, total);
        let ran = self.run(row, &mut columns[..n], &mut floats[..n], scratch);
        let put = ran.map(|n| {
            with_dtype!(out.dtype(), T => {
                let out = &mut T::as_mut_vec(out).expect("its own type")[place];
                out.fill(T::default());
                self.put(&columns[..n], &floats[..n], out);
            })
        });
        scratch.put_back(columns, floats);
        put.map(|()| true)
    }

    /// Transforms a dense row that lies in its place in joint columns.
    pub(super) fn joined_row(
        &self,
        (row, total): (u32, Total),
        out: &mut Values,
        place: Range<usize>,
        scratch: &mut JoinScratch,
    ) -> Result<(), RowFault> {
        let (mut columns, mut floats) = scratch.take_entries(place.len());
        let result = with_dtype!(out.dtype(), T => {
            let out = &mut T::as_mut_vec(out).expect("its own type")[place];
            let n = entries(out, &mut columns, &mut floats);
            let ran = self.run((row, total), &mut columns[..n], &mut floats[..n], scratch);
            ran.map(|n| {
                if self.pipeline.downsamples() {
                    out.fill(T::default());
                }
                self.put(&columns[..n], &floats[..n], out);
            })
        });
        scratch.put_back(columns, floats);
        result
    }
}

/// Writes the columns and values of a dense row that are not 0. Returns their number.
fn entries<T: Scalar>(row: &[T], columns: &mut [u32], floats: &mut [f64]) -> usize {
    let n = nonzero_columns(row, columns);
    for (float, &column) in floats.iter_mut().zip(&columns[..n]) {
        *float = f64::cast_from(row[column as usize]);
    }
    n
}

impl Arrivals {
    /// Forgets the rows of an earlier read.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a run of a row, whose runs all come in one read. Returns the total of the row if it is
    /// whole now.
    pub(super) fn add(
        &mut self,
        read_row: usize,
        values: ValuesRef<'_>,
        transformed: &Transformed<'_>,
    ) -> Option<Total> {
        let (n, total) = self.0.remove(&read_row).unwrap_or_default();
        let (n, total) = (
            n + values.len(),
            total.plus(transformed.total(|| Total::of(values))),
        );
        if n == transformed.n_file {
            return Some(total);
        }
        self.0.insert(read_row, (n, total));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_the_elements_that_are_not_zero() {
        let row: Vec<f32> = (0..1000)
            .map(|i| [0.0, -0.0, 1.5, 0.0, f32::NAN][i % 5 * (i % 7 % 2)])
            .collect();
        let (mut columns, mut floats) = (vec![0; 1000], vec![0.0; 1000]);
        for len in [0, 1, 63, 64, 65, 127, 1000] {
            let n = entries(&row[..len], &mut columns, &mut floats);
            let expected: Vec<usize> = (0..len).filter(|&i| row[i] != 0.0).collect();
            assert!(
                columns[..n]
                    .iter()
                    .map(|&c| c as usize)
                    .eq(expected.iter().copied())
            );
            assert!(
                floats[..n]
                    .iter()
                    .zip(expected)
                    .all(|(f, i)| (*f as f32).to_bits() == row[i].to_bits())
            );
        }
    }
}
