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

fn writer(map: Option<&VarMap>) -> RowWriter<'_> {
    RowWriter {
        map,
        counts: false,
        transformed: None,
        row: 0,
    }
}

/// A sparse row in joint columns, in order or not.
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

fn dense(writer: RowWriter<'_>, out: &mut Values, place: Range<usize>, start: usize, run: Values) {
    let (run, scratch) = ((start, run.as_slice()), &mut JoinScratch::default());
    let written = writer.dense((out, place, 0), run, scratch);
    written.expect("sums fit");
}

fn scatter(
    writer: RowWriter<'_>,
    out: &mut Values,
    place: Range<usize>,
    columns: &[u32],
    values: Values,
) -> Result<(), RowFault> {
    let row = (columns, values.as_slice());
    writer.scatter(out, place, row, &mut JoinScratch::default())
}

#[test]
fn row_writer_without_a_join_keeps_columns() {
    let writer = writer(None);
    let mut out = Values::F32(vec![7.0; 6]);
    dense(writer, &mut out, 2..6, 1, Values::U8(vec![5, 6]));
    assert_eq!(out, Values::F32(vec![7.0, 7.0, 7.0, 5.0, 6.0, 7.0]));
    scatter(writer, &mut out, 2..6, &[0, 3], Values::I64(vec![1, 2])).expect("sums fit");
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
    let writer = writer(Some(&joint.maps()[1]));
    let mut out = Values::F64(vec![0.0; 3]);
    dense(
        writer,
        &mut out,
        0..3,
        0,
        Values::F32(vec![1.0, 2.0, 3.0, 4.0]),
    );
    assert_eq!(out, Values::F64(vec![3.0, 2.0, 1.0]));
    let mut out = Values::F64(vec![0.0; 3]);
    scatter(writer, &mut out, 0..3, &[0, 3], Values::F32(vec![1.0, 4.0])).expect("sums fit");
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
    let writer = writer(Some(&joint.maps()[0]));
    let mut out = Values::F32(vec![0.0; 2]);
    let mut scratch = JoinScratch::default();
    for (start, values) in [(0, vec![3, 2]), (2, vec![9, 1])] {
        let values = Values::U8(values);
        let run = (start, values.as_slice());
        let written = writer.dense((&mut out, 0..2, 0), run, &mut scratch);
        written.expect("sums fit");
    }
    assert_eq!(out, Values::F32(vec![12.0, 2.0]));
    assert_eq!(sparse(writer, true), (vec![0, 1], vec![12.0, 2.0]));
    assert_eq!(sparse(writer, false), (vec![0, 1], vec![12.0, 2.0]));
    let row = |last| {
        let mut out = Values::I8(vec![0; 2]);
        let values = Values::I8(vec![100, 1, last]);
        let written = scatter(writer, &mut out, 0..2, &[0, 1, 2], values);
        (written, out)
    };
    assert_eq!(row(27), (Ok(()), Values::I8(vec![127, 1])));
    let (column, dtype, sum) = (JointColumn(0), DType::I8, 128);
    assert_eq!(row(28).0, Err(RowFault::Sum { column, dtype, sum }));
}

#[test]
fn row_writer_leaves_absent_variables_of_an_outer_join() {
    let joint = joint(Join::Outer);
    let mut out = Values::I32(vec![-1; 5]);
    let row = Values::I8(vec![3, 2, 9, 1]);
    dense(writer(Some(&joint.maps()[0])), &mut out, 0..5, 0, row);
    // a, b, c, d, x
    assert_eq!(out, Values::I32(vec![1, 2, 3, -1, 9]));
}
