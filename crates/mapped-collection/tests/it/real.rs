//! Real files, named by the variable `MAPPED_ANNDATA_REAL_FILES` (paths joined by `:`). Without
//! it, nothing is tested and the test says so.

use mapped_collection::{Join, MappedCollection, Values};

#[test]
fn real_files_read_the_same_by_item_and_by_batch() {
    let Some(paths) = std::env::var_os("MAPPED_ANNDATA_REAL_FILES") else {
        println!("skipped: MAPPED_ANNDATA_REAL_FILES is not set");
        return;
    };
    let paths: Vec<_> = std::env::split_paths(&paths).collect();
    for join in [Join::Inner, Join::Outer] {
        let cells = MappedCollection::builder(paths.clone())
            .join(join)
            .dtype(anndata_io::DType::F64);
        let cells = cells.open().expect("real files open");
        let n = cells.n_obs() as i64;
        let rows: Vec<i64> = (0..50.min(n)).rev().map(|i| i * n / 50.min(n)).collect();
        let batch = cells.get_batch(&rows).expect("real files are readable");
        let Some(mapped_collection::Matrix::Dense {
            shape,
            values: Values::F64(values),
        }) = batch.matrix("X")
        else {
            panic!("dense float64 was asked for");
        };
        for (row, &index) in values.chunks_exact(shape[1]).zip(&rows) {
            let item = cells.get(index).expect("within bounds");
            assert_eq!(
                item.row("X").map(|row| row.values().clone()),
                Some(Values::F64(row.to_vec()))
            );
        }
    }
}
