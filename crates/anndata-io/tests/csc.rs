//! Matrices stored by column return the same rows as those stored by row.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};

use anndata_io::{
    AnnDataFile, AnnDataSource, IoContext, IoOptions, LayerKey, MatrixSource, MemoryStore,
    ReadScratch, RowSink, Values, ValuesRef,
};
use proptest::prelude::*;

/// Rows as columns and values.
#[derive(Debug, Default, PartialEq)]
struct Rows(Vec<(Vec<u32>, Vec<f64>)>);

impl RowSink for Rows {
    fn dense(&mut self, _: usize, _: usize, _: ValuesRef<'_>) {
        panic!("the rows are sparse");
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.0
            .resize_with(self.0.len().max(row + 1), Default::default);
        self.0[row] = (columns.to_vec(), values.to_vec());
    }
}

fn read(matrix: &MatrixSource, rows: &[u64]) -> Rows {
    let mut found = Rows::default();
    let read = matrix.read_rows(rows, &mut ReadScratch::default(), &mut found);
    read.expect("rows that exist");
    found
}

/// Elements as row, column, value.
type Triplets = Vec<(u32, u32, i16)>;

/// Pointers, indices and values, grouped by the first number of each element; the order within a
/// group is kept.
fn compressed(n_major: usize, elements: &[(u32, u32, i16)]) -> (Vec<i64>, Vec<i32>, Vec<i16>) {
    let mut sorted = elements.to_vec();
    sorted.sort_by_key(|&(major, ..)| major);
    let before = |major| sorted.partition_point(|element| (element.0 as usize) < major) as i64;
    let indptr = (0..=n_major).map(before).collect();
    let parts = sorted
        .iter()
        .map(|&(_, minor, value)| (minor as i32, value));
    let (indices, values) = parts.unzip();
    (indptr, indices, values)
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}

/// One store with the matrix as X by column, and by row as a layer.
fn store(n_rows: usize, n_columns: usize, elements: &Triplets) -> MemoryStore {
    let (obs, var) = (names(n_rows), names(n_columns));
    let refs = |names: &[String]| -> Vec<&'static str> {
        names
            .iter()
            .map(|name| &*Box::leak(name.clone().into_boxed_str()))
            .collect()
    };
    let shape = [n_rows as u64, n_columns as u64];
    let (indptr, indices, values) = compressed(n_rows, elements);
    let turned: Triplets = elements
        .iter()
        .map(|&(row, column, value)| (column, row, value))
        .collect();
    let (by_column, rows, column_values) = compressed(n_columns, &turned);
    MemoryStore::new("cells")
        .dataframe("obs", &refs(&obs))
        .dataframe("var", &refs(&var))
        .csr("layers/rows", shape, indptr, indices, Values::I16(values))
        .csc("X", shape, by_column, rows, Values::I16(column_values))
}

fn open(store: &MemoryStore, pack_bytes: usize) -> (AnnDataFile, IoContext) {
    let context = IoContext::new(IoOptions::new().pack_bytes(pack_bytes));
    let file = AnnDataSource::from(store.clone()).open(&context);
    (file.expect("a valid store"), context)
}

fn matrix(file: &AnnDataFile, key: LayerKey) -> MatrixSource {
    file.layer(&key).expect("readable").expect("there is one")
}

proptest! {
    #[test]
    fn csc_columns_turn_into_the_rows(
        (n_rows, n_columns, elements) in (0usize..40, 0usize..20).prop_flat_map(|(n_rows, n_columns)| {
            let row = 0..n_rows.max(1) as u32;
            let column = 0..n_columns.max(1) as u32;
            // Includes explicit zeros and repeated elements.
            let element = (row, column, -3i16..4);
            let most = if n_rows == 0 || n_columns == 0 { 0 } else { 300 };
            (Just(n_rows), Just(n_columns), prop::collection::vec(element, 0..=most))
        }),
        chunked in any::<bool>(),
    ) {
        let mut store = store(n_rows, n_columns, &elements);
        if chunked {
            store = store.chunked(NonZeroU64::new(7).expect("not 0"));
        }
        let all: Vec<u64> = (0..n_rows as u64).collect();
        for pack_bytes in [1 << 20, 0] {
            let (file, _context) = open(&store, pack_bytes);
            let by_column = matrix(&file, LayerKey::X);
            let by_row = matrix(&file, LayerKey::Layer("rows".into()));
            prop_assert!(!by_column.is_prepared() && by_row.is_prepared());
            prop_assert_eq!(by_column.shape(), by_row.shape());
            prop_assert_eq!(read(&by_column, &all), read(&by_row, &all));
            prop_assert!(by_column.is_prepared());
            for row in 0..n_rows as u64 {
                prop_assert_eq!(by_column.stored_len(row), by_row.stored_len(row));
            }
        }
    }
}

fn elements(n: u64, n_rows: u64, n_columns: u64) -> Triplets {
    let element = |i| {
        (
            (i * 7919 % n_rows) as u32,
            (i * 104_729 % n_columns) as u32,
            i as i16,
        )
    };
    (0..n).map(element).collect()
}

#[test]
fn csc_blocks_through_a_file_are_the_rows() {
    // More elements than fit one block of rows.
    let store = store(3000, 40, &elements(2_500_000, 3000, 40));
    let (file, _context) = open(&store, 0);
    let by_column = matrix(&file, LayerKey::X);
    let mut steps = Vec::new();
    by_column
        .prepare(&mut |done, total| steps.push((done, total)))
        .expect("a valid matrix");
    assert!(
        steps
            .windows(2)
            .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 == pair[1].1)
    );
    assert_eq!(steps.last(), Some(&(7_500_000, 7_500_000)));
    let rows: Vec<u64> = (0..3000).step_by(7).collect();
    let by_row = matrix(&file, LayerKey::Layer("rows".into()));
    assert_eq!(read(&by_column, &rows), read(&by_row, &rows));
}

#[test]
fn csc_is_turned_once_by_many_threads() {
    let store =
        store(500, 40, &elements(20_000, 500, 40)).chunked(NonZeroU64::new(100).expect("not 0"));
    let (file, context) = open(&store, 1 << 20);
    let source = matrix(&file, LayerKey::X);
    let turned = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut first = true;
                let mut count = |_, _| {
                    if std::mem::take(&mut first) {
                        turned.fetch_add(1, Ordering::Relaxed);
                    }
                };
                source.clone().prepare(&mut count).expect("a valid matrix");
            });
        }
    });
    assert_eq!(turned.into_inner(), 1);
    // Row numbers are read twice, values once; row pointers were read at opening.
    let n_pointers = 41u64.div_ceil(100) + 501u64.div_ceil(100);
    assert!(
        context.decoded_chunks() <= 200 * 3 + n_pointers,
        "{}",
        context.decoded_chunks()
    );
}

#[test]
fn csc_error_names_a_missing_row() {
    let store = MemoryStore::new("cells")
        .dataframe("obs", &["a", "b"])
        .dataframe("var", &["x"])
        .csc(
            "X",
            [2, 1],
            vec![0, 2],
            vec![0, 2],
            Values::F32(vec![1.0, 2.0]),
        );
    let (file, _context) = open(&store, 0);
    let read = matrix(&file, LayerKey::X).prepare(&mut |_, _| {});
    let error = read.expect_err("there are two rows").to_string();
    assert_eq!(
        error,
        "cells: X/indices: expected rows from 0 to below 2, found row 2"
    );
}
