//! From matrices in files to dense rows: gene join, conversion and placement in one pass.

use anndata_io::{DType, Element, MatrixSource, RowSink, Slice, Stored, Values, with_dtype};
use feature_join::VarMap;

use crate::batch::FillScratch;
use crate::error::Error;

pub(crate) const COLUMNS_ARE_CHECKED: &str =
    "a matrix has as many columns as its store has variables";

/// Reads one row densely: `[width]`, converted.
pub(crate) fn read_row(
    source: &MatrixSource,
    map: Option<&VarMap>,
    row: u32,
    width: usize,
    dtype: DType,
) -> Result<Values, Error> {
    let mut sink = RowInto {
        map,
        out: Values::zeros(dtype, width),
    };
    FillScratch::of_thread(|scratch| {
        source.read_rows(&[row.into()], &mut scratch.read, &mut sink)
    })?;
    Ok(sink.out)
}

struct RowInto<'a> {
    map: Option<&'a VarMap>,
    out: Values,
}

impl RowSink for RowInto<'_> {
    fn dense(&mut self, _row: usize, start: usize, values: Slice<'_>) {
        put_dense(&mut self.out, 0, self.map, start, values);
    }

    fn sparse(&mut self, _row: usize, columns: &[u32], values: Slice<'_>) {
        put_sparse(&mut self.out, 0, self.map, columns, values);
    }
}

/// Writes a run of a dense row into a row of `out` that begins at element `at`.
pub(crate) fn put_dense(
    out: &mut Values,
    at: usize,
    map: Option<&VarMap>,
    start: usize,
    values: Slice<'_>,
) {
    with_dtype!(out.dtype(), D => {
        let out = D::as_mut_vec(out).expect("its own type");
        match map {
            None => values.write_to(&mut out[at + start..at + start + values.len()]),
            Some(map) => {
                let row = &mut out[at..at + map.n_joint()];
                with_dtype!(values.dtype(), S => {
                    let source = S::from_slice(values).expect("its own type");
                    map.scatter_dense(start, source, row, D::cast_from)
                        .expect(COLUMNS_ARE_CHECKED);
                });
            }
        }
    });
}

/// Writes a sparse row into a row of `out`, all zeros, that begins at element `at`.
pub(crate) fn put_sparse(
    out: &mut Values,
    at: usize,
    map: Option<&VarMap>,
    columns: &[u32],
    values: Slice<'_>,
) {
    with_dtype!(out.dtype(), D => {
        let out = &mut D::as_mut_vec(out).expect("its own type")[at..];
        with_dtype!(values.dtype(), S => {
            let source = S::from_slice(values).expect("its own type");
            match map {
                None => scatter(columns, source, out),
                Some(map) => map
                    .scatter_sparse(columns, source, &mut out[..map.n_joint()], D::cast_from)
                    .expect(COLUMNS_ARE_CHECKED),
            }
        });
    });
}

fn scatter<S: Element, D: Element>(columns: &[u32], values: &[S], out: &mut [D]) {
    for (&column, &value) in columns.iter().zip(values) {
        out[column as usize] = D::cast_from(value);
    }
}
