//! Joins, converts and places one row in a single pass.

use std::ops::Range;

use anndata_io::{DType, NumericValue, RowSink, Scalar, Values, ValuesRef, with_dtype};
use feature_join::{JointColumn, RemappedEntry, SortScratch, VarMap};

use crate::batch::sums::{PartialSums, for_each_sum};
use crate::batch::transformed::{Arrivals, Transformed};
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::counts::{COUNTS, first_non_count, shown};
use crate::plan::matrices::MatrixKey;
use crate::transform::function::Remembered;
use crate::transform::memo::Memo;
use crate::transform::pipeline::TransformFault;
use crate::transform::total::Total;

const COLUMNS_ARE_CHECKED: &str = "a matrix has as many columns as its store has variables";

/// Why a row cannot be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RowFault {
    /// The sum of variables of one name does not fit.
    Sum {
        column: JointColumn,
        dtype: DType,
        sum: i128,
    },
    /// A value of a matrix of counts is not a count.
    NotCount { value: NumericValue },
    /// The row cannot be transformed.
    Transform(TransformFault),
}

impl RowFault {
    /// The error of a row of a matrix of a store.
    pub(crate) fn of(self, plan: &Plan, store: usize, key: &MatrixKey) -> ReadError {
        let (expected, found) = match self {
            RowFault::Sum { column, dtype, sum } => {
                let names = plan.vars_of(key);
                let name = names.and_then(|names| names.get(column.0 as usize));
                let name = name.unwrap_or_default();
                (
                    format!("a sum of the variables {name:?} that {dtype} can hold"),
                    format!("{sum}: choose a wider dtype"),
                )
            }
            RowFault::NotCount { value } => (COUNTS.to_owned(), shown(value)),
            RowFault::Transform(fault) => fault.texts(),
        };
        plan.value_error(store, key, expected, found)
    }
}

/// Writes rows of one matrix of one store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowWriter<'a> {
    /// Maps columns of the file to joint columns; `None` when they stay where they are.
    pub(crate) map: Option<&'a VarMap>,
    /// Whether all values must be counts.
    pub(crate) counts: bool,
    /// What happens to the joined values.
    pub(crate) transformed: Option<&'a Transformed<'a>>,
    /// The row in the file.
    row: u32,
}

/// How a value of a file becomes one of a batch.
trait Convert {
    fn convert<S: Scalar, T: Scalar>(&mut self, value: S) -> T;
}

/// As numpy casts it.
struct Cast;

impl Convert for Cast {
    #[inline]
    fn convert<S: Scalar, T: Scalar>(&mut self, value: S) -> T {
        T::cast_from(value)
    }
}

impl Convert for Remembered<'_> {
    #[inline]
    fn convert<S: Scalar, T: Scalar>(&mut self, value: S) -> T {
        Remembered::convert(self, value)
    }
}

/// A single dense row. It is all zeros before it is read.
#[derive(Debug)]
pub(crate) struct DenseRow<'a> {
    writer: RowWriter<'a>,
    /// Float64 if they are transformed.
    pub(crate) values: Values,
    pub(crate) fault: Option<RowFault>,
    scratch: JoinScratch,
}

impl<'a> DenseRow<'a> {
    /// A row of zeros.
    pub(crate) fn new(writer: RowWriter<'a>, dtype: DType, width: usize) -> DenseRow<'a> {
        let dtype = writer.transformed.map_or(dtype, |_| DType::F64);
        DenseRow {
            writer,
            values: Values::zeros(dtype, width),
            fault: None,
            scratch: JoinScratch::default(),
        }
    }
}

impl RowSink for DenseRow<'_> {
    fn dense(&mut self, _row: usize, start: usize, values: ValuesRef<'_>) {
        let checked = self.writer.check(values);
        let width = self.values.len();
        let place = (&mut self.values, 0..width, 0);
        let (run, scratch) = ((start, values), &mut self.scratch);
        let written = checked.and_then(|()| self.writer.dense(place, run, scratch));
        self.fault = self.fault.or(written.err());
    }

    fn sparse(&mut self, _row: usize, columns: &[u32], values: ValuesRef<'_>) {
        let checked = self.writer.check(values);
        let (out, scratch) = (&mut self.values, &mut self.scratch);
        let place = 0..out.len();
        let row = (columns, values);
        let written = checked.and_then(|()| self.writer.scatter(out, place, row, scratch));
        self.fault = self.fault.or(written.err());
    }
}

/// Scratch memory for joining and transforming rows, kept from row to row.
#[derive(Debug, Default)]
pub(crate) struct JoinScratch {
    sort: SortScratch,
    entries: Vec<RemappedEntry>,
    sums: PartialSums,
    columns: Vec<u32>,
    floats: Vec<f64>,
    arrivals: Arrivals,
    /// Made by the first row that is transformed.
    pub(super) memo: Option<Memo>,
}

impl JoinScratch {
    /// Forgets the rows of an earlier read.
    pub(crate) fn clear(&mut self) {
        self.sums.clear();
        self.arrivals.clear();
        self.memo.iter_mut().for_each(Memo::forget);
    }

    /// Room for the columns and values of a row, to be [put back](Self::put_back). It is written
    /// before it is read.
    pub(super) fn take_entries(&mut self, n: usize) -> (Vec<u32>, Vec<f64>) {
        let (mut columns, mut floats) = (
            std::mem::take(&mut self.columns),
            std::mem::take(&mut self.floats),
        );
        if floats.len() < n {
            columns.resize(n, 0);
            floats.resize(n, 0.0);
        }
        (columns, floats)
    }

    pub(super) fn put_back(&mut self, columns: Vec<u32>, floats: Vec<f64>) {
        (self.columns, self.floats) = (columns, floats);
    }
}

impl<'a> RowWriter<'a> {
    /// The writer of a matrix of a store.
    pub(crate) fn new(
        plan: &'a Plan,
        (store, key): (usize, &MatrixKey),
        transformed: Option<&'a Transformed<'a>>,
    ) -> Self {
        RowWriter {
            map: plan.var_map(store, key),
            counts: key.counts || transformed.is_some_and(|rows| rows.pipeline.downsamples()),
            transformed,
            row: 0,
        }
    }

    /// The writer of one row of the file.
    pub(crate) fn of_row(self, row: u32) -> Self {
        RowWriter { row, ..self }
    }

    /// Whether rows of one type stay as they are.
    pub(crate) fn keeps_rows(self) -> bool {
        self.map.is_none() && self.transformed.is_none()
    }

    /// The writer that joins, and leaves the rest to [`Transformed`].
    fn untransformed(self) -> Self {
        RowWriter {
            transformed: None,
            ..self
        }
    }

    /// # Errors
    /// When the values must be counts, and one is not.
    pub(crate) fn check(self, values: ValuesRef<'_>) -> Result<(), RowFault> {
        let value = self.counts.then(|| first_non_count(values)).flatten();
        value.map_or(Ok(()), |value| Err(RowFault::NotCount { value }))
    }

    /// Writes a run of a dense row, from its column `start` on, into its place in `out`. Leaves joint
    /// columns that the store lacks as they are. `row` is the row's number in this read. When the
    /// row is whole, it is transformed.
    ///
    /// # Errors
    /// When a sum of variables does not fit, or the row cannot be transformed.
    pub(crate) fn dense(
        self,
        (out, place, row): (&mut Values, Range<usize>, usize),
        (start, values): (usize, ValuesRef<'_>),
        scratch: &mut JoinScratch,
    ) -> Result<(), RowFault> {
        if let Some(transformed) = self.transformed {
            let to = (self.map, &mut *out);
            if transformed.whole_row(self.row, values, to, place.clone(), scratch)? {
                return Ok(());
            }
        }
        self.join_dense((out, place.start, row), start, values, scratch)?;
        if let Some(transformed) = self.transformed
            && let Some(total) = scratch.arrivals.add(row, values, transformed)
        {
            transformed.joined_row((self.row, total), out, place, scratch)?;
        }
        Ok(())
    }

    fn join_dense(
        self,
        (out, at, row): (&mut Values, usize, usize),
        start: usize,
        values: ValuesRef<'_>,
        scratch: &mut JoinScratch,
    ) -> Result<(), RowFault> {
        with_dtype!(out.dtype(), D => {
            let out = D::as_mut_vec(out).expect("its own type");
            match self.map {
                None => values.write_to(&mut out[at + start..at + start + values.len()]),
                Some(map) => {
                    let out = &mut out[at..at + map.n_joint()];
                    with_dtype!(values.dtype(), S => {
                        let source = S::from_slice(values).expect("its own type");
                        if map.merges_columns() {
                            return scratch.sums.dense(map, row, start, source, out);
                        }
                        map.scatter_dense(start, source, out, D::cast_from)
                            .expect(COLUMNS_ARE_CHECKED);
                    });
                }
            }
        });
        Ok(())
    }

    /// Writes the elements of a sparse row into its place in `out`, which is all zeros.
    pub(crate) fn scatter(
        self,
        out: &mut Values,
        place: Range<usize>,
        (columns, values): (&[u32], ValuesRef<'_>),
        scratch: &mut JoinScratch,
    ) -> Result<(), RowFault> {
        if let Some(transformed) = self.transformed {
            let (mut out_columns, mut floats) = scratch.take_entries(columns.len());
            let entries = (&mut out_columns[..], &mut floats[..]);
            let row = (columns, values, transformed.total(|| Total::of(values)));
            let n = self.transform(transformed, row, entries, scratch);
            let put = n.map(|n| {
                with_dtype!(out.dtype(), D => {
                    let out = &mut D::as_mut_vec(out).expect("its own type")[place];
                    transformed.put(&out_columns[..n], &floats[..n], out);
                })
            });
            scratch.put_back(out_columns, floats);
            return put;
        }
        with_dtype!(out.dtype(), D => {
            let out = &mut D::as_mut_vec(out).expect("its own type")[place];
            with_dtype!(values.dtype(), S => {
                let source = S::from_slice(values).expect("its own type");
                match self.map {
                    None => scatter(columns, source, out),
                    Some(map) if map.merges_columns() => {
                        let JoinScratch { sort, entries, .. } = scratch;
                        map.remap_distinct(columns, sort, entries).expect(COLUMNS_ARE_CHECKED);
                        for_each_sum(entries, source, |column, value| {
                            out[column.0 as usize] = value;
                        })?;
                    }
                    Some(map) => map
                        .scatter_sparse(columns, source, out, D::cast_from)
                        .expect(COLUMNS_ARE_CHECKED),
                }
            });
        });
        Ok(())
    }

    /// Writes the joint columns, ascending, and the converted values of a sparse row. Returns their
    /// number.
    pub(crate) fn sparse<T: Scalar>(
        self,
        columns: &[u32],
        values: ValuesRef<'_>,
        (out_columns, out): (&mut [u32], &mut [T]),
        scratch: &mut JoinScratch,
    ) -> Result<usize, RowFault> {
        if let Some(transformed) = self.transformed {
            let total = transformed.total(|| Total::of(values));
            let merges = self.map.is_some_and(VarMap::merges_columns);
            if !merges && let Some(function) = transformed.function(total)? {
                let JoinScratch {
                    sort,
                    entries,
                    memo,
                    ..
                } = scratch;
                let mut function = Remembered::new(function, memo.get_or_insert_default());
                let (places, scratch) = ((out_columns, out), (sort, entries));
                let n = self.join_sparse(columns, values, places, scratch, &mut function)?;
                function.end().map_err(RowFault::Transform)?;
                return Ok(n);
            }
            let (unused, mut floats) = scratch.take_entries(columns.len());
            let entries = (out_columns, &mut floats[..]);
            let row = (columns, values, total);
            let n = self.transform(transformed, row, entries, scratch);
            if let Ok(n) = n {
                let floats = floats[..n].iter();
                out.iter_mut()
                    .zip(floats)
                    .for_each(|(o, &v)| *o = T::cast_from(v));
            }
            scratch.put_back(unused, floats);
            return n;
        }
        let JoinScratch { sort, entries, .. } = scratch;
        let places = (out_columns, out);
        self.join_sparse(columns, values, places, (sort, entries), &mut Cast)
    }

    fn join_sparse<T: Scalar>(
        self,
        columns: &[u32],
        values: ValuesRef<'_>,
        (out_columns, out): (&mut [u32], &mut [T]),
        (sort, entries): (&mut SortScratch, &mut Vec<RemappedEntry>),
        convert: &mut impl Convert,
    ) -> Result<usize, RowFault> {
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            Ok(match self.map {
                None => {
                    out_columns[..columns.len()].copy_from_slice(columns);
                    out.iter_mut().zip(source).for_each(|(o, &v)| *o = convert.convert(v));
                    columns.len()
                }
                Some(map) => {
                    map.remap_distinct(columns, sort, entries).expect(COLUMNS_ARE_CHECKED);
                    if map.merges_columns() {
                        let mut n = 0;
                        for_each_sum(entries, source, |column, value| {
                            (out_columns[n], out[n]) = (column.0, value);
                            n += 1;
                        })?;
                        return Ok(n);
                    }
                    for (i, entry) in entries.iter().enumerate() {
                        out_columns[i] = entry.column.0;
                        out[i] = convert.convert(source[entry.position as usize]);
                    }
                    entries.len()
                }
            })
        })
    }

    /// Transforms a sparse row where it lies, which needs no join. Returns the number of its
    /// entries.
    pub(super) fn in_place<T: Scalar>(
        self,
        columns: &mut [u32],
        values: &mut [T],
        scratch: &mut JoinScratch,
    ) -> Result<usize, RowFault> {
        let Some(transformed) = self.transformed else {
            return Ok(columns.len());
        };
        let total = transformed.total(|| Total::of_slice(values));
        if let Some(function) = transformed.function(total)? {
            let mut function = Remembered::new(function, scratch.memo.get_or_insert_default());
            values
                .iter_mut()
                .for_each(|value| *value = function.convert(*value));
            function.end().map_err(RowFault::Transform)?;
            return Ok(columns.len());
        }
        let (unused, mut floats) = scratch.take_entries(columns.len());
        let of_row = floats.iter_mut().zip(values.iter());
        of_row.for_each(|(float, &value)| *float = f64::cast_from(value));
        let row = (self.row, total);
        let n = transformed.run(row, columns, &mut floats[..columns.len()], scratch);
        let back = values.iter_mut().zip(&floats);
        back.for_each(|(value, &float)| *value = T::cast_from(float));
        scratch.put_back(unused, floats);
        n
    }

    /// Joins a sparse row in float64 and transforms it. Returns the number of its entries.
    fn transform(
        self,
        transformed: &Transformed<'_>,
        (columns, values, total): (&[u32], ValuesRef<'_>, Total),
        (out_columns, floats): (&mut [u32], &mut [f64]),
        scratch: &mut JoinScratch,
    ) -> Result<usize, RowFault> {
        let joined = (&mut *out_columns, &mut *floats);
        let n = self
            .untransformed()
            .sparse(columns, values, joined, scratch)?;
        let row = (self.row, total);
        transformed.run(row, &mut out_columns[..n], &mut floats[..n], scratch)
    }

    /// As [`sparse`](Self::sparse), but in the file's order, for rows that become dense.
    pub(crate) fn sparse_unordered<T: Scalar>(
        self,
        columns: &[u32],
        values: ValuesRef<'_>,
        (out_columns, out): (&mut [u32], &mut [T]),
        scratch: &mut JoinScratch,
    ) -> Result<usize, RowFault> {
        let may_stay = |map: &&VarMap| !map.merges_columns() && self.transformed.is_none();
        let Some(map) = self.map.filter(may_stay) else {
            return self.sparse(columns, values, (out_columns, out), scratch);
        };
        let to_joint = map.file_to_joint().expect("not the identity");
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            let mut n = 0;
            for (&column, &value) in columns.iter().zip(source) {
                let joint = to_joint[column as usize];
                out_columns[n] = joint.0;
                out[n] = T::cast_from(value);
                n += usize::from(joint != JointColumn::ABSENT);
            }
            Ok(n)
        })
    }
}

fn scatter<S: Scalar, D: Scalar>(columns: &[u32], values: &[S], out: &mut [D]) {
    for (&column, &value) in columns.iter().zip(values) {
        out[column as usize] = D::cast_from(value);
    }
}

#[cfg(test)]
mod tests;
