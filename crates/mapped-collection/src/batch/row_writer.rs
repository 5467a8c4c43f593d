//! Joins, converts and places one row in a single pass.

use anndata_io::{DType, ErrorKind, NumericValue, RowSink, Scalar, Values, ValuesRef, with_dtype};
use feature_join::{JointColumn, RemappedEntry, SortScratch, VarMap};

use crate::batch::sums::{PartialSums, for_each_sum};
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::counts::{COUNTS, first_non_count, shown};
use crate::plan::matrices::MatrixKey;

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
        };
        let kind = ErrorKind::Invalid { expected, found };
        let file = &plan.stores[store].file;
        let element = plan.element_of(store, key);
        ReadError::file(store, anndata_io::Error::new(file, element, kind))
    }
}

/// Writes rows of one matrix of one store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowWriter<'a> {
    /// Maps columns of the file to joint columns; `None` when they stay where they are.
    pub(crate) map: Option<&'a VarMap>,
    /// Whether all values must be counts.
    pub(crate) counts: bool,
}

/// A single dense row. It is all zeros before it is read.
#[derive(Debug)]
pub(crate) struct DenseRow<'a> {
    pub(crate) writer: RowWriter<'a>,
    pub(crate) values: Values,
    pub(crate) fault: Option<RowFault>,
    pub(crate) scratch: JoinScratch,
}

impl RowSink for DenseRow<'_> {
    fn dense(&mut self, _row: usize, start: usize, values: ValuesRef<'_>) {
        let checked = self.writer.check(values);
        let place = (&mut self.values, 0, 0);
        let scratch = &mut self.scratch;
        let written = checked.and_then(|()| self.writer.dense(place, start, values, scratch));
        self.fault = self.fault.or(written.err());
    }

    fn sparse(&mut self, _row: usize, columns: &[u32], values: ValuesRef<'_>) {
        let checked = self.writer.check(values);
        let (out, scratch) = (&mut self.values, &mut self.scratch);
        let written = checked.and_then(|()| self.writer.scatter(out, 0, columns, values, scratch));
        self.fault = self.fault.or(written.err());
    }
}

/// Scratch memory for sorting the columns of a sparse row, kept from row to row.
#[derive(Debug, Default)]
pub(crate) struct JoinScratch {
    sort: SortScratch,
    entries: Vec<RemappedEntry>,
    sums: PartialSums,
}

impl JoinScratch {
    /// Forgets the rows of an earlier read.
    pub(crate) fn clear(&mut self) {
        self.sums.clear();
    }
}

impl<'a> RowWriter<'a> {
    /// The writer of a matrix of a store.
    pub(crate) fn new(plan: &'a Plan, store: usize, key: &MatrixKey) -> Self {
        RowWriter {
            map: plan.var_map(store, key),
            counts: key.counts,
        }
    }

    /// # Errors
    /// When the values must be counts, and one is not.
    pub(crate) fn check(self, values: ValuesRef<'_>) -> Result<(), RowFault> {
        let value = self.counts.then(|| first_non_count(values)).flatten();
        value.map_or(Ok(()), |value| Err(RowFault::NotCount { value }))
    }

    /// Writes a run of a dense row, from its column `start` on, into the row of `out` that begins at
    /// an element. Leaves joint columns that the store lacks as they are. `row` is the row's number in
    /// this read.
    ///
    /// # Errors
    /// When a sum of variables does not fit.
    pub(crate) fn dense(
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

    /// Writes the elements of a sparse row into the row of `out` that begins at element `at`.
    /// Leaves the others as they are.
    pub(crate) fn scatter(
        self,
        out: &mut Values,
        at: usize,
        columns: &[u32],
        values: ValuesRef<'_>,
        scratch: &mut JoinScratch,
    ) -> Result<(), RowFault> {
        with_dtype!(out.dtype(), D => {
            let out = &mut D::as_mut_vec(out).expect("its own type")[at..];
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
                        .scatter_sparse(columns, source, &mut out[..map.n_joint()], D::cast_from)
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
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            Ok(match self.map {
                None => {
                    out_columns[..columns.len()].copy_from_slice(columns);
                    out.iter_mut().zip(source).for_each(|(o, &v)| *o = T::cast_from(v));
                    columns.len()
                }
                Some(map) => {
                    let JoinScratch { sort, entries, .. } = scratch;
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
                        out[i] = T::cast_from(source[entry.position as usize]);
                    }
                    entries.len()
                }
            })
        })
    }

    /// As [`sparse`](Self::sparse), but in the file's order, for rows that become dense.
    pub(crate) fn sparse_unordered<T: Scalar>(
        self,
        columns: &[u32],
        values: ValuesRef<'_>,
        (out_columns, out): (&mut [u32], &mut [T]),
        scratch: &mut JoinScratch,
    ) -> Result<usize, RowFault> {
        let Some(map) = self.map.filter(|map| !map.merges_columns()) else {
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
mod tests {
    use std::sync::Arc;

    use feature_join::{Duplicates, Join, JoinRule, JointVars, VarNames};

    use super::*;

    /// Joins the variables `c b x a` of a store with those of another one, `a b c d`.
    fn joint(join: Join) -> JointVars {
        let names = [&["c", "b", "x", "a"][..], &["a", "b", "c", "d"]];
        let names: Vec<Arc<VarNames>> = names
            .iter()
            .map(|names| Arc::new(names.iter().collect()))
            .collect();
        JointVars::new(Some(join), &names).expect("distinct names")
    }

    fn sparse(writer: RowWriter<'_>, ordered: bool) -> (Vec<u32>, Vec<f64>) {
        let (columns, values) = ([0, 1, 2, 3], Values::I16(vec![3, 2, 9, 1]));
        let (mut out_columns, mut out) = (vec![0; 4], vec![0.0; 4]);
        let (places, scratch) = (
            (&mut out_columns[..], &mut out[..]),
            &mut JoinScratch::default(),
        );
        let n = if ordered {
            writer.sparse(&columns, values.as_slice(), places, scratch)
        } else {
            writer.sparse_unordered(&columns, values.as_slice(), places, scratch)
        };
        let n = n.expect("sums fit");
        out_columns.truncate(n);
        out.truncate(n);
        (out_columns, out)
    }

    #[test]
    fn row_writer_without_a_join_keeps_columns() {
        let writer = RowWriter {
            map: None,
            counts: false,
        };
        let mut out = Values::F32(vec![7.0; 6]);
        writer
            .dense(
                (&mut out, 2, 0),
                1,
                Values::U8(vec![5, 6]).as_slice(),
                &mut JoinScratch::default(),
            )
            .expect("sums fit");
        assert_eq!(out, Values::F32(vec![7.0, 7.0, 7.0, 5.0, 6.0, 7.0]));
        writer
            .scatter(
                &mut out,
                2,
                &[0, 3],
                Values::I64(vec![1, 2]).as_slice(),
                &mut JoinScratch::default(),
            )
            .expect("sums fit");
        assert_eq!(out, Values::F32(vec![7.0, 7.0, 1.0, 5.0, 6.0, 2.0]));
        for ordered in [true, false] {
            let expected = (vec![0, 1, 2, 3], vec![3.0, 2.0, 9.0, 1.0]);
            assert_eq!(sparse(writer, ordered), expected);
        }
    }

    #[test]
    fn row_writer_moves_columns_of_an_inner_join() {
        // Joint variables in the order of the first store: c, b, a.
        let joint = joint(Join::Inner);
        let writer = RowWriter {
            map: Some(&*joint.maps()[1]),
            counts: false,
        };
        let row = Values::F32(vec![1.0, 2.0, 3.0, 4.0]);
        let mut out = Values::F64(vec![0.0; 3]);
        writer
            .dense(
                (&mut out, 0, 0),
                0,
                row.as_slice(),
                &mut JoinScratch::default(),
            )
            .expect("sums fit");
        assert_eq!(out, Values::F64(vec![3.0, 2.0, 1.0]));
        let mut out = Values::F64(vec![0.0; 3]);
        writer
            .scatter(
                &mut out,
                0,
                &[0, 3],
                Values::F32(vec![1.0, 4.0]).as_slice(),
                &mut JoinScratch::default(),
            )
            .expect("sums fit");
        assert_eq!(out, Values::F64(vec![0.0, 0.0, 1.0]));
        // The values of a, b, c and d are 3, 2, 9 and 1.
        assert_eq!(sparse(writer, true), (vec![0, 1, 2], vec![9.0, 2.0, 3.0]));
        assert_eq!(sparse(writer, false), (vec![2, 1, 0], vec![3.0, 2.0, 9.0]));
    }

    #[test]
    fn row_writer_sums_variables_of_one_name() {
        let names = |names: [&str; 4]| Arc::new(names.iter().collect::<VarNames>());
        let rule = JoinRule::from(Join::Inner).duplicates(Duplicates::Sum);
        let stores = [names(["b", "a", "b", "x"]), names(["b", "a", "c", "d"])];
        let joint = JointVars::new(rule, &stores).expect("names are shared");
        let writer = RowWriter {
            map: Some(&*joint.maps()[0]),
            counts: false,
        };
        let mut out = Values::F32(vec![0.0; 2]);
        let mut scratch = JoinScratch::default();
        for (start, values) in [(0, vec![3, 2]), (2, vec![9, 1])] {
            let values = Values::U8(values);
            let written = writer.dense((&mut out, 0, 0), start, values.as_slice(), &mut scratch);
            written.expect("sums fit");
        }
        assert_eq!(out, Values::F32(vec![12.0, 2.0]));
        assert_eq!(sparse(writer, true), (vec![0, 1], vec![12.0, 2.0]));
        assert_eq!(sparse(writer, false), (vec![0, 1], vec![12.0, 2.0]));
        let mut out = Values::I8(vec![0; 2]);
        let row = |last| Values::I8(vec![100, 1, last]);
        let columns = [0, 1, 2];
        let written = writer.scatter(
            &mut out,
            0,
            &columns,
            row(27).as_slice(),
            &mut JoinScratch::default(),
        );
        assert_eq!((written, out), (Ok(()), Values::I8(vec![127, 1])));
        let mut out = Values::I8(vec![0; 2]);
        let (column, dtype, sum) = (JointColumn(0), DType::I8, 128);
        let written = writer.scatter(
            &mut out,
            0,
            &columns,
            row(28).as_slice(),
            &mut JoinScratch::default(),
        );
        assert_eq!(written, Err(RowFault::Sum { column, dtype, sum }));
    }

    #[test]
    fn row_writer_leaves_absent_variables_of_an_outer_join() {
        let joint = joint(Join::Outer);
        let writer = RowWriter {
            map: Some(&*joint.maps()[0]),
            counts: false,
        };
        let mut out = Values::I32(vec![-1; 5]);
        writer
            .dense(
                (&mut out, 0, 0),
                0,
                Values::I8(vec![3, 2, 9, 1]).as_slice(),
                &mut JoinScratch::default(),
            )
            .expect("sums fit");
        // a, b, c, d, x
        assert_eq!(out, Values::I32(vec![1, 2, 3, -1, 9]));
    }
}
