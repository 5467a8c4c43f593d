//! Moves rows: the loops that fill a joint row from a row of one store.

use crate::{JoinError, JointColumn, VarMap};

/// An entry of a sparse row, in the joint table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemappedEntry {
    /// The joint column of the entry.
    pub column: JointColumn,
    /// The position of its value among those of the row.
    pub position: u32,
}

/// Scratch memory for [`VarMap::remap_distinct`], kept from row to row: about 5 bytes per joint variable.
#[derive(Debug, Clone, Default)]
pub struct SortScratch {
    /// One bit per joint column.
    marks: Vec<u64>,
    /// The position of each marked column.
    positions: Vec<u32>,
}

impl VarMap {
    /// Writes a run of adjacent file columns of one dense row into its joint row.
    ///
    /// `src` holds the file columns `first_file_col..first_file_col + src.len()`; `dst_row` is `[n_joint]`. Writes only
    /// the columns of the run that the joint table has: fill the row with zeros first. If the map
    /// [merges](Self::merges_columns) columns, the last of them stays.
    ///
    /// # Errors
    ///
    /// [`JoinError::ColumnOutOfRange`] if the run ends after the last file column. Nothing is written in that case.
    ///
    /// # Panics
    ///
    /// If `dst_row` is not `n_joint` long.
    #[inline]
    pub fn scatter_dense<S: Copy, D>(
        &self,
        first_file_col: usize,
        src: &[S],
        dst_row: &mut [D],
        convert: impl Fn(S) -> D,
    ) -> Result<(), JoinError> {
        self.check_row(dst_row);
        let run = first_file_col..first_file_col.saturating_add(src.len());
        let n_file = self.n_file();
        let out_of_range = || JoinError::ColumnOutOfRange {
            column: n_file.max(first_file_col),
            n_file,
        };
        match self.file_to_joint() {
            None => {
                let dst = dst_row.get_mut(run).ok_or_else(out_of_range)?;
                for (slot, &value) in dst.iter_mut().zip(src) {
                    *slot = convert(value);
                }
            }
            Some(to_joint) => {
                let to_joint = to_joint.get(run).ok_or_else(out_of_range)?;
                for (column, &value) in to_joint.iter().zip(src) {
                    // One bounds check covers both: `ABSENT` is never below `n_joint`.
                    if let Some(slot) = dst_row.get_mut(column.index()) {
                        *slot = convert(value);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the stored values of one sparse row into its dense joint row.
    ///
    /// `cols` are file columns in any order, with one of `values` each; `dst_row` is `[n_joint]`. Writes only columns
    /// that are listed and that the joint table has: fill the row with zeros first. If a column is listed twice, the
    /// last value stays, and so if the map [merges](Self::merges_columns) columns; [`scatter_sparse_with`](Self::scatter_sparse_with) can sum them.
    ///
    /// # Errors
    ///
    /// [`JoinError::LengthMismatch`] if the numbers of columns and values differ; [`JoinError::ColumnOutOfRange`] for
    /// the first column that the store does not have. The row may be partly written in that case.
    ///
    /// # Panics
    ///
    /// If `dst_row` is not `n_joint` long.
    #[inline]
    pub fn scatter_sparse<S: Copy, D>(
        &self,
        cols: &[u32],
        values: &[S],
        dst_row: &mut [D],
        convert: impl Fn(S) -> D,
    ) -> Result<(), JoinError> {
        self.scatter_sparse_with(cols, values, dst_row, |slot, value| *slot = convert(value))
    }

    /// As [`scatter_sparse`](Self::scatter_sparse), but `put` combines a slot with a value:
    /// `|slot, value| *slot += value` sums columns that are listed twice.
    ///
    /// # Errors
    ///
    /// Those of [`scatter_sparse`](Self::scatter_sparse).
    ///
    /// # Panics
    ///
    /// If `dst_row` is not `n_joint` long.
    #[inline]
    pub fn scatter_sparse_with<S: Copy, D>(
        &self,
        cols: &[u32],
        values: &[S],
        dst_row: &mut [D],
        mut put: impl FnMut(&mut D, S),
    ) -> Result<(), JoinError> {
        self.check_row(dst_row);
        if cols.len() != values.len() {
            return Err(JoinError::LengthMismatch {
                n_columns: cols.len(),
                n_values: values.len(),
            });
        }
        match self.file_to_joint() {
            None => {
                for (&col, &value) in cols.iter().zip(values) {
                    match dst_row.get_mut(col as usize) {
                        Some(slot) => put(slot, value),
                        None => return Err(self.out_of_range(col)),
                    }
                }
            }
            Some(to_joint) => {
                for (&col, &value) in cols.iter().zip(values) {
                    let Some(column) = to_joint.get(col as usize) else {
                        return Err(self.out_of_range(col));
                    };
                    if let Some(slot) = dst_row.get_mut(column.index()) {
                        put(slot, value);
                    }
                }
            }
        }
        Ok(())
    }

    /// Translates the columns of one sparse row, for a joint row that stays sparse.
    ///
    /// Replaces the contents of `out` by one entry for each column that the joint table has, ascending. `cols` are file
    /// columns in any order. If a column is listed twice, its entries are adjacent, the earlier position first. Sorts
    /// only if the result is not ascending already: ascending columns through a [monotonic](Self::is_monotonic) map are
    /// never sorted. Reuse `out` from row to row.
    ///
    /// # Errors
    ///
    /// [`JoinError::ColumnOutOfRange`] for the first column that the store does not have, and
    /// [`JoinError::TooManyVars`] if `cols` is longer than `u32::MAX`; `out` is useless in that case.
    #[inline]
    pub fn remap_sorted(
        &self,
        cols: &[u32],
        out: &mut Vec<RemappedEntry>,
    ) -> Result<(), JoinError> {
        out.clear();
        let n_cols =
            u32::try_from(cols.len()).map_err(|_| JoinError::TooManyVars { n_vars: cols.len() })?;
        out.reserve(cols.len());
        let to_joint = self.file_to_joint();
        let mut ascending = true;
        let mut previous = JointColumn(0);
        for (&col, position) in cols.iter().zip(0..n_cols) {
            let column = match to_joint {
                None if (col as usize) < self.n_joint() => JointColumn(col),
                None => return Err(self.out_of_range(col)),
                Some(to_joint) => match to_joint.get(col as usize) {
                    Some(&JointColumn::ABSENT) => continue,
                    Some(&column) => column,
                    None => return Err(self.out_of_range(col)),
                },
            };
            ascending &= previous <= column;
            previous = column;
            out.push(RemappedEntry { column, position });
        }
        if !ascending {
            // One integer compares faster than two.
            out.sort_unstable_by_key(|entry| {
                u64::from(entry.column.0) << 32 | u64::from(entry.position)
            });
        }
        Ok(())
    }

    /// As [`remap_sorted`](Self::remap_sorted), for distinct columns. Several times faster if they need sorting: each
    /// column marks its place among the joint columns, and the marks are read in order.
    ///
    /// Falls back to sorting if columns repeat.
    ///
    /// # Errors
    ///
    /// Those of [`remap_sorted`](Self::remap_sorted).
    pub fn remap_distinct(
        &self,
        cols: &[u32],
        scratch: &mut SortScratch,
        out: &mut Vec<RemappedEntry>,
    ) -> Result<(), JoinError> {
        let (Some(to_joint), false) = (self.file_to_joint(), self.is_monotonic()) else {
            return self.remap_sorted(cols, out);
        };
        // Reading the marks visits every joint column, so few elements are sorted faster.
        if cols.len() < self.n_joint() / 256 || u32::try_from(cols.len()).is_err() {
            return self.remap_sorted(cols, out);
        }
        let SortScratch { marks, positions } = scratch;
        marks.clear();
        marks.resize(self.n_joint().div_ceil(64), 0);
        positions.resize(self.n_joint(), 0);
        for (&col, position) in cols.iter().zip(0u32..) {
            let Some(&column) = to_joint.get(col as usize) else {
                return Err(self.out_of_range(col));
            };
            if column == JointColumn::ABSENT {
                continue;
            }
            let (word, bit) = (column.index() / 64, 1u64 << (column.0 % 64));
            if marks[word] & bit != 0 {
                return self.remap_sorted(cols, out);
            }
            marks[word] |= bit;
            positions[column.index()] = position;
        }
        out.clear();
        for (word, &mark) in marks.iter().enumerate() {
            let mut rest = mark;
            while rest != 0 {
                let column = word * 64 + rest.trailing_zeros() as usize;
                out.push(RemappedEntry {
                    column: JointColumn(column as u32),
                    position: positions[column],
                });
                rest &= rest - 1;
            }
        }
        Ok(())
    }

    #[inline]
    #[track_caller]
    fn check_row<D>(&self, dst_row: &[D]) {
        assert_eq!(
            dst_row.len(),
            self.n_joint(),
            "a destination row must have one slot per joint variable"
        );
    }

    #[cold]
    fn out_of_range(&self, column: u32) -> JoinError {
        JoinError::ColumnOutOfRange {
            column: column as usize,
            n_file: self.n_file(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: u32 = JointColumn::ABSENT.0;

    /// Four file columns: the second is dropped, the others swap places in a table of four joint columns.
    fn swapped() -> VarMap {
        let to_joint = [3, ABSENT, 0, 1].map(JointColumn);
        VarMap::from_table(to_joint.into(), 4)
    }

    fn out_of_range<T>(column: usize, n_file: usize) -> Result<T, JoinError> {
        Err(JoinError::ColumnOutOfRange { column, n_file })
    }

    #[test]
    fn dense_runs_are_placed_and_converted() {
        let mut row = [0.0_f64; 4];
        swapped()
            .scatter_dense(0, &[1_u8, 2], &mut row, f64::from)
            .unwrap();
        assert_eq!(row, [0.0, 0.0, 0.0, 1.0]);
        swapped()
            .scatter_dense(2, &[3_u8, 4], &mut row, f64::from)
            .unwrap();
        assert_eq!(row, [3.0, 4.0, 0.0, 1.0]);

        let mut row = [0_i64; 3];
        VarMap::identity(3)
            .scatter_dense(1, &[7_i32, 8], &mut row, i64::from)
            .unwrap();
        assert_eq!(row, [0, 7, 8]);
    }

    #[test]
    fn dense_runs_past_the_end_are_an_error_and_write_nothing() {
        for map in [swapped(), VarMap::identity(4)] {
            let mut row = [0_u8; 4];
            assert_eq!(
                map.scatter_dense(3, &[1, 2], &mut row, |v: u8| v),
                out_of_range(4, 4)
            );
            assert_eq!(
                map.scatter_dense(9, &[1], &mut row, |v: u8| v),
                out_of_range(9, 4)
            );
            let last = usize::MAX;
            assert_eq!(
                map.scatter_dense(last, &[1, 2], &mut row, |v: u8| v),
                out_of_range(last, 4)
            );
            assert_eq!(row, [0; 4]);
            assert_eq!(map.scatter_dense(4, &[], &mut row, |v: u8| v), Ok(()));
        }
    }

    #[test]
    fn sparse_columns_are_placed_in_any_order() {
        let mut row = [0_i32; 4];
        swapped()
            .scatter_sparse(&[3, 1, 0], &[10_i16, 20, 30], &mut row, i32::from)
            .unwrap();
        assert_eq!(row, [0, 10, 0, 30]);
    }

    #[test]
    fn sparse_duplicates_can_be_summed() {
        for (map, expected) in [
            (swapped(), [0, 0, 0, 4]),
            (VarMap::identity(4), [4, 0, 0, 0]),
        ] {
            let mut row = [0_i32; 4];
            map.scatter_sparse_with(&[0, 0], &[1, 3], &mut row, |slot, value| *slot += value)
                .unwrap();
            assert_eq!(row, expected);
        }
    }

    #[test]
    fn sparse_columns_are_checked() {
        for map in [swapped(), VarMap::identity(4)] {
            let mut row = [0_u8; 4];
            let mut out = Vec::new();
            for col in [4, ABSENT] {
                let expected = out_of_range(col as usize, 4);
                assert_eq!(
                    map.scatter_sparse(&[0, col], &[1, 1], &mut row, |v: u8| v),
                    expected
                );
                assert_eq!(map.remap_sorted(&[0, col], &mut out), expected.clone());
            }
            let expected = Err(JoinError::LengthMismatch {
                n_columns: 2,
                n_values: 1,
            });
            assert_eq!(
                map.scatter_sparse(&[0, 1], &[1], &mut row, |v: u8| v),
                expected
            );
        }
    }

    #[test]
    fn remapped_columns_ascend() {
        let entry = |(column, position)| RemappedEntry {
            column: JointColumn(column),
            position,
        };
        let mut out = vec![entry((9, 9))];
        swapped().remap_sorted(&[0, 1, 2, 3], &mut out).unwrap();
        assert_eq!(out, [(0, 2), (1, 3), (3, 0)].map(entry));
        VarMap::identity(4)
            .remap_sorted(&[3, 1, 3], &mut out)
            .unwrap();
        assert_eq!(out, [(1, 1), (3, 0), (3, 2)].map(entry));
        swapped().remap_sorted(&[], &mut out).unwrap();
        assert_eq!(out, []);
    }

    #[test]
    #[should_panic(expected = "one slot per joint variable")]
    fn row_of_another_width_panics() {
        let _ = swapped().scatter_dense(0, &[1_u8], &mut [0_u8; 3], |v| v);
    }
}
