//! Sizes beyond 32 bits and rows of a million genes, in files whose holes take no space.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use mapped_collection::{
    BatchFormat, CsrIndex, Error, LoaderOptions, MappedCollection, Matrix, MatrixFormat, Shuffle,
};
use serde_json::{Value, json};

const N_ROWS: u64 = 2_200;
const N_GENES: u64 = 1_000_000;
/// Elements of a chunk; the last one of an array is stored whole.
const CHUNK: u64 = 1 << 26;

fn write(path: &Path, document: &Value) {
    std::fs::create_dir_all(path.parent().expect("within a store")).expect("a new folder");
    std::fs::write(path, document.to_string()).expect("a small file");
}

/// An uncompressed array of a zarr store, zeros so far: one sparse file a chunk.
fn array(folder: &Path, dtype: &str, len: u64, chunk: u64) {
    let document = json!({
        "zarr_format": 2, "shape": [len], "chunks": [chunk], "dtype": dtype, "order": "C",
        "compressor": null, "filters": null, "fill_value": 0,
    });
    write(&folder.join(".zarray"), &document);
    let item = dtype[2..].parse::<u64>().expect("a size");
    for number in 0..len.div_ceil(chunk) {
        let file = File::create(folder.join(number.to_string())).expect("a new file");
        file.set_len(chunk * item).expect("a sparse file");
    }
}

/// Bytes from an element on, which lie in one chunk.
fn put(folder: &Path, at: u64, item: u64, bytes: &[u8]) {
    let file = File::options()
        .write(true)
        .open(folder.join((at / CHUNK).to_string()));
    let file = file.expect("the chunk is there");
    file.write_all_at(bytes, at % CHUNK * item)
        .expect("within the chunk");
}

fn group(folder: &Path, attributes: &Value) {
    write(&folder.join(".zgroup"), &json!({ "zarr_format": 2 }));
    write(&folder.join(".zattrs"), attributes);
}

fn frame(folder: &Path, n: u64) {
    let attributes =
        json!({ "encoding-type": "dataframe", "_index": "_index", "column-order": [] });
    group(folder, &attributes);
    array(&folder.join("_index"), "<i8", n, n);
    let names: Vec<u8> = (0..n as i64).flat_map(i64::to_le_bytes).collect();
    std::fs::write(folder.join("_index/0"), names).expect("a file of megabytes");
}

/// 2.2 billion nonzeros: a million in every row, all of column 0 and zero but for the last row's.
fn huge(root: &Path, column_type: &str) {
    group(root, &json!({ "encoding-type": "anndata" }));
    frame(&root.join("obs"), N_ROWS);
    frame(&root.join("var"), N_GENES);
    let x = root.join("X");
    group(
        &x,
        &json!({ "encoding-type": "csr_matrix", "shape": [N_ROWS, N_GENES] }),
    );
    let n_elements = N_ROWS * N_GENES;
    array(&x.join("indptr"), "<i8", N_ROWS + 1, N_ROWS + 1);
    let pointers: Vec<u8> = (0..=N_ROWS)
        .flat_map(|row| (row * N_GENES).to_le_bytes())
        .collect();
    std::fs::write(x.join("indptr/0"), pointers).expect("a small file");
    array(&x.join("indices"), column_type, n_elements, CHUNK);
    array(&x.join("data"), "<f4", n_elements, CHUNK);
    let last = (N_ROWS - 1) * N_GENES;
    let item = column_type[2..].parse::<u64>().expect("a size");
    let column = |gene: u64| gene.to_le_bytes()[..item as usize].to_vec();
    let columns: Vec<u8> = (0..N_GENES).flat_map(column).collect();
    put(&x.join("indices"), last, item, &columns);
    let values: Vec<u8> = (0..N_GENES)
        .flat_map(|gene| (gene as f32).to_le_bytes())
        .collect();
    put(&x.join("data"), last, 4, &values);
}

#[test]
fn batch_may_have_more_than_two_billion_nonzeros() {
    for column_type in ["<i4", "<i8"] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("huge.zarr");
        huge(&path, column_type);
        let cells = MappedCollection::builder([&path]).open().expect("it opens");
        assert_eq!(cells.shape(), (N_ROWS as usize, Some(N_GENES as usize)));
        let item = cells.get(-1).expect("the last row");
        let row: &[f32] = item.row("X").expect("X").dense().expect("X is float32");
        assert!(
            row.iter()
                .enumerate()
                .all(|(gene, &value)| value == gene as f32)
        );
        let format = BatchFormat::new().output(MatrixFormat::Csr);
        let batch = cells
            .get_batch_with(&[-1, 0, -1], &format)
            .expect("three rows");
        let Some(Matrix::Csr {
            indptr: CsrIndex::I32(indptr),
            values,
            ..
        }) = batch.matrix("X")
        else {
            panic!("few enough for 32 bits");
        };
        // Repeated columns are one element.
        assert_eq!(indptr[..], [0, 1_000_000, 1_000_001, 2_000_001]);
        assert_eq!(values.len(), 2_000_001);
        // A budget that holds no batch of such rows says so at once.
        let options = LoaderOptions::new(512)
            .shuffle(Shuffle::Exact)
            .memory(64 << 20);
        let error = cells.loader(options).expect_err("a row takes 4 MB");
        assert!(
            matches!(&error, Error::Option(error) if error.option() == "memory"),
            "{error}"
        );
        let options = LoaderOptions::new(8)
            .shuffle(Shuffle::None)
            .workers(2)
            .output(MatrixFormat::Csr);
        let batches = cells
            .loader(options.rank(1, 2))
            .expect("half of each batch");
        let first = batches.epoch(0).next().expect("a batch").expect("readable");
        assert_eq!(first.n_obs(), 8);
    }
}
