//! From matrices in files to rows of items and batches: gene join, conversion and placement in
//! one pass.

use anndata_io::{MatrixSource, RowSink, Slice, Stored, Values, with_dtype};
use feature_join::VarMap;

use crate::error::Error;

/// Rows to read of one store, and where each goes in the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsOf<'a> {
    /// Rows in the file, ascending.
    pub(crate) rows: &'a [u64],
    /// The output row of each.
    pub(crate) targets: &'a [usize],
}

/// Reads rows densely into `out`, which holds zeros, `width` elements a row.
pub(crate) fn read_dense<D: Stored>(
    source: &MatrixSource,
    map: Option<&VarMap>,
    rows: RowsOf<'_>,
    width: usize,
    out: &mut [D],
) -> Result<(), Error> {
    let mut sink = DenseSink { map, targets: rows.targets, width, out };
    Ok(source.read_rows(rows.rows, &mut sink)?)
}

struct DenseSink<'a, D> {
    map: Option<&'a VarMap>,
    targets: &'a [usize],
    width: usize,
    out: &'a mut [D],
}

impl<D> DenseSink<'_, D> {
    fn row(&mut self, row: usize) -> &mut [D] {
        let start = self.targets[row] * self.width;
        &mut self.out[start..start + self.width]
    }
}

const COLUMNS_ARE_CHECKED: &str = "a matrix has as many columns as its store has variables";

impl<D: Stored> RowSink for DenseSink<'_, D> {
    fn dense(&mut self, row: usize, start: usize, values: Slice<'_>) {
        let map = self.map;
        let out = self.row(row);
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            match map {
                Some(map) => map
                    .scatter_dense(start, source, out, |value| D::cast_from(value))
                    .expect(COLUMNS_ARE_CHECKED),
                None => values.write_to(&mut out[start..start + source.len()]),
            }
        });
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: Slice<'_>) {
        let map = self.map;
        let out = self.row(row);
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            match map {
                Some(map) => map
                    .scatter_sparse(columns, source, out, |value| D::cast_from(value))
                    .expect(COLUMNS_ARE_CHECKED),
                None => {
                    for (&column, &value) in columns.iter().zip(source) {
                        out[column as usize] = D::cast_from(value);
                    }
                }
            }
        });
    }
}

/// Sparse rows in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct SparseRows<D> {
    columns: Vec<u32>,
    values: Vec<D>,
    /// For each output row, where its elements lie.
    spans: Vec<(usize, usize)>,
    pairs: Vec<(u32, u32)>,
}

/// Row pointers and columns of a CSR matrix, 32-bit where that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indices {
    /// Below 2^31 nonzeros.
    I32(Vec<i32>),
    /// Any more.
    I64(Vec<i64>),
}

impl Indices {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Indices::I32(v) => v.len(),
            Indices::I64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`.
    ///
    /// # Panics
    /// When `index` is out of bounds.
    pub fn get(&self, index: usize) -> usize {
        match self {
            Indices::I32(v) => v[index] as usize,
            Indices::I64(v) => v[index] as usize,
        }
    }
}

/// `indptr`, `indices` and `data` of a CSR matrix.
pub(crate) type CsrParts = (Indices, Indices, Values);

impl<D: Stored> SparseRows<D> {
    pub(crate) fn new(n_rows: usize) -> Self {
        SparseRows { spans: vec![(0, 0); n_rows], ..Default::default() }
    }

    /// Reads rows of one store.
    pub(crate) fn read(
        &mut self,
        source: &MatrixSource,
        map: Option<&VarMap>,
        rows: RowsOf<'_>,
        width: usize,
    ) -> Result<(), Error> {
        if source.is_sparse() {
            let mut sink = SparseSink { map, targets: rows.targets, rows: self };
            return Ok(source.read_rows(rows.rows, &mut sink)?);
        }
        // Dense rows come in pieces: put them together, then drop the zeros.
        let positions: Vec<usize> = (0..rows.rows.len()).collect();
        let step = ((16 << 20) / (width.max(1) * size_of::<D>())).max(1);
        let mut dense = Vec::new();
        for first in (0..rows.rows.len()).step_by(step) {
            let part = first..rows.rows.len().min(first + step);
            dense.clear();
            dense.resize(part.len() * width, D::default());
            let part_rows = RowsOf { rows: &rows.rows[part.clone()], targets: &positions[..part.len()] };
            read_dense(source, map, part_rows, width, &mut dense)?;
            for (row, &target) in dense.chunks_exact(width.max(1)).zip(&rows.targets[part]) {
                let start = self.columns.len();
                for (column, &value) in row.iter().enumerate().filter(|(_, value)| !value.is_zero()) {
                    self.columns.push(column as u32);
                    self.values.push(value);
                }
                self.spans[target] = (start, self.columns.len());
            }
        }
        Ok(())
    }

    /// The rows in output order.
    pub(crate) fn into_csr(self) -> CsrParts {
        let total = self.columns.len();
        let in_order = self.spans.iter().try_fold(0, |at, &(start, end)| (start == at).then_some(end));
        let (columns, values) = if in_order == Some(total) {
            (self.columns, self.values)
        } else {
            let (mut columns, mut values) = (Vec::with_capacity(total), Vec::with_capacity(total));
            for &(start, end) in &self.spans {
                columns.extend_from_slice(&self.columns[start..end]);
                values.extend_from_slice(&self.values[start..end]);
            }
            (columns, values)
        };
        let mut at = 0;
        let ends = self.spans.iter().map(|(start, end)| {
            at += end - start;
            at
        });
        let indptr = std::iter::once(0).chain(ends);
        let (indptr, indices) = if total < 1 << 31 {
            let indptr = indptr.map(|n| n as i32).collect();
            (Indices::I32(indptr), Indices::I32(columns.into_iter().map(|n| n as i32).collect()))
        } else {
            let indptr = indptr.map(|n| n as i64).collect();
            (Indices::I64(indptr), Indices::I64(columns.into_iter().map(i64::from).collect()))
        };
        (indptr, indices, D::into_values(values))
    }
}

struct SparseSink<'a, D> {
    map: Option<&'a VarMap>,
    targets: &'a [usize],
    rows: &'a mut SparseRows<D>,
}

impl<D: Stored> RowSink for SparseSink<'_, D> {
    fn dense(&mut self, _row: usize, _start: usize, _values: Slice<'_>) {
        unreachable!("only sparse sources are read into this sink");
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: Slice<'_>) {
        let rows = &mut *self.rows;
        let start = rows.columns.len();
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            match self.map {
                None => {
                    rows.columns.extend_from_slice(columns);
                    rows.values.extend(source.iter().map(|&value| D::cast_from(value)));
                }
                Some(map) => {
                    map.remap_sorted(columns, &mut rows.pairs).expect(COLUMNS_ARE_CHECKED);
                    rows.columns.extend(rows.pairs.iter().map(|&(column, _)| column));
                    let values = rows.pairs.iter().map(|&(_, from)| D::cast_from(source[from as usize]));
                    rows.values.extend(values);
                }
            }
        });
        self.rows.spans[self.targets[row]] = (start, self.rows.columns.len());
    }
}
