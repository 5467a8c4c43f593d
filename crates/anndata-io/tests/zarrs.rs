//! zarrs reads arrays that the default backend refuses, and refuses where it must not go on.
#![cfg(feature = "zarrs")]

use std::path::{Path, PathBuf};

use anndata_io::{
    AnnDataFile, ErrorKind, IoContext, IoOptions, MatrixSource, ReadScratch, RowSink, Store,
    ValuesRef, ZarrBackend,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/zarr")
}

fn context(zarr: ZarrBackend) -> IoContext {
    IoContext::new(IoOptions::new().zarr(zarr))
}

fn open(name: &str, backend: ZarrBackend) -> Store {
    Store::open(&fixtures().join(name), &context(backend)).expect("a zarr store")
}

/// Everything in an array, as text: NaN equals itself as text.
fn all(store: &Store, element: &str) -> Result<String, anndata_io::Error> {
    let array = store.array(element)?;
    Ok(match array.dtype() {
        Some(_) => {
            let n_rows = array.shape().first().copied().unwrap_or(1);
            let values = array.read_row_range(0..n_rows)?;
            format!("{:?} {values:?}", array.shape())
        }
        None => format!("{:?}", array.read_strings()?.iter().collect::<Vec<_>>()),
    })
}

#[test]
fn zarrs_reads_refused_arrays_as_their_plain_twins() {
    let mut n_read = 0;
    for name in ["refused_v2.zarr", "refused_v3.zarr"] {
        let pure = open(name, ZarrBackend::Pure);
        for plain in pure.children("").expect("a group") {
            let Some(element) = plain.strip_suffix("__plain") else {
                continue;
            };
            let expected = all(&pure, &plain).expect("the default backend reads it");
            let error = pure
                .array(element)
                .expect_err("refused by the default backend");
            assert!(
                matches!(error.kind(), ErrorKind::Unsupported { .. }),
                "{error}"
            );
            assert!(error.to_string().contains("feature zarrs"), "{error}");
            for backend in [ZarrBackend::Zarrs, ZarrBackend::PureThenZarrs] {
                let found = all(&open(name, backend), element);
                let found = found.unwrap_or_else(|error| panic!("{error}: {:?}", error.kind()));
                assert_eq!(found, expected, "{name} {element} {backend:?}");
            }
            n_read += 1;
        }
    }
    assert!(n_read > 25, "only {n_read} arrays");
}

/// All rows, in the form and order in which they arrive.
#[derive(Default, PartialEq, Debug)]
struct Rows(Vec<(usize, usize, Vec<u32>, Vec<f64>)>);

impl RowSink for Rows {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        self.0.push((row, start, Vec::new(), values.to_vec()));
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.0.push((row, 0, columns.to_vec(), values.to_vec()));
    }
}

fn dense_rows(matrix: &MatrixSource) -> Vec<Vec<f64>> {
    let rows: Vec<u64> = (0..matrix.n_rows()).collect();
    let mut found = Rows::default();
    let read = matrix.read_rows(&rows, &mut ReadScratch::default(), &mut found);
    read.expect("readable");
    let mut out = vec![vec![0.0; matrix.shape()[1] as usize]; rows.len()];
    for (row, start, columns, values) in found.0 {
        for (at, value) in values.into_iter().enumerate() {
            let column = columns
                .get(at)
                .map_or(start + at, |&column| column as usize);
            out[row][column] = value;
        }
    }
    out
}

#[test]
fn zarrs_reads_refused_matrices_beside_others() {
    for name in ["cells_v3.zarr", "cells_v3.zarr.zip"] {
        let open = |backend| AnnDataFile::open_in(fixtures().join(name), &context(backend));
        let pure = open(ZarrBackend::Pure).expect("obs and var are as usual");
        assert!(pure.layer(&"X".into()).is_err() && pure.layer(&"dense".into()).is_err());
        let expected = dense_rows(
            &pure
                .layer(&"usual".into())
                .expect("readable")
                .expect("there"),
        );
        for backend in [ZarrBackend::Zarrs, ZarrBackend::PureThenZarrs] {
            let file = open(backend).expect("obs and var are as usual");
            for key in ["X", "dense", "usual"] {
                let matrix = file.layer(&key.into()).expect("readable").expect("there");
                assert_eq!(dense_rows(&matrix), expected, "{name} {key} {backend:?}");
            }
            let kinds = file.obs_column("kind").expect("there").expect("there");
            assert_eq!(format!("{:?}", kinds.read_labels()), {
                let kinds = pure.obs_column("kind").expect("there").expect("there");
                format!("{:?}", kinds.read_labels())
            });
        }
    }
}

/// A copy of a fixture that a test may change.
fn copy(name: &str) -> tempfile::TempDir {
    fn all(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a new folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("readable").path();
            let target = to.join(entry.file_name().expect("it has a name"));
            match entry.is_dir() {
                true => all(&entry, &target),
                false => _ = std::fs::copy(&entry, &target).expect("room"),
            }
        }
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    all(&fixtures().join(name), dir.path());
    dir
}

/// Changes texts in the metadata of an array.
fn edit(dir: &Path, element: &str, changes: &[(&str, &str)]) {
    let path = dir.join(element).join("zarr.json");
    let text = std::fs::read_to_string(&path).expect("metadata");
    let mut text: String = text.split_whitespace().collect();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} in {text}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(path, text).expect("room");
}

fn read_in(dir: &Path, element: &str) -> Result<String, anndata_io::Error> {
    all(&Store::open(dir, &context(ZarrBackend::Zarrs))?, element)
}

#[test]
fn zarrs_reads_no_more_than_stored_bytes_can_hold() {
    let claims: [(&str, &[(&str, &str)]); 4] = [
        // A chunk of 2^46 elements, in an array of 2^48.
        (
            "pcodec_f8",
            &[
                ("\"shape\":[37]", "\"shape\":[281474976710656]"),
                ("\"chunk_shape\":[10]", "\"chunk_shape\":[70368744177664]"),
            ],
        ),
        // A shard of 2^40 chunks.
        (
            "shards_in_shards_1d",
            &[
                ("\"shape\":[50]", "\"shape\":[13194139533312]"),
                ("\"chunk_shape\":[24]", "\"chunk_shape\":[13194139533312]"),
            ],
        ),
        // A shape whose elements cannot be counted.
        (
            "pcodec_f8",
            &[("\"shape\":[37]", "\"shape\":[18446744073709551615]")],
        ),
        // A chunk of extent 0.
        (
            "pcodec_f8",
            &[("\"chunk_shape\":[10]", "\"chunk_shape\":[0]")],
        ),
    ];
    for (element, changes) in claims {
        let dir = copy("refused_v3.zarr");
        edit(dir.path(), element, changes);
        let store = Store::open(dir.path(), &context(ZarrBackend::Zarrs)).expect("a group");
        let first = |array: anndata_io::Array| array.read_row_range(0..1);
        let error = store
            .array(element)
            .and_then(first)
            .expect_err("it claims too much");
        assert_eq!(error.element(), element, "{error}");
    }
}

#[test]
fn zarrs_reports_damaged_chunks() {
    let dir = copy("refused_v3.zarr");
    for (element, chunk) in [
        ("pcodec_f8", "c/0"),
        ("shards_in_shards", "c/0/0"),
        ("texts_in_shards_in_shards", "c/0"),
        ("transposed_shards", "c/0/0"),
    ] {
        let path = dir.path().join(element).join(chunk);
        let bytes = std::fs::read(&path).expect("a chunk");
        // An index that leads out of the shard, or whose sums overflow; noise; an empty file.
        let mut far = bytes.clone();
        let end = far.len().saturating_sub(4);
        far[end.saturating_sub(16)..end].fill(0xfe);
        for damaged in [
            far,
            vec![0xff; bytes.len()],
            bytes[..bytes.len() / 2].to_vec(),
            vec![],
        ] {
            std::fs::write(&path, &damaged).expect("room");
            let error = read_in(dir.path(), element).expect_err("damaged");
            assert_eq!(error.element(), element, "{error}");
        }
    }
}

#[test]
fn zarrs_reports_a_lost_file_instead_of_its_fill_value() {
    let dir = copy("refused_v3.zarr");
    let store = Store::open(dir.path(), &context(ZarrBackend::Zarrs)).expect("a group");
    let array = store.array("pcodec_f8").expect("metadata");
    std::fs::remove_file(dir.path().join("pcodec_f8/c/1")).expect("it was there");
    array
        .read_row_range(0..10)
        .expect("the other chunks are there");
    array.read_row_range(10..20).expect_err("gone");
}

#[test]
fn zarrs_reads_nothing_in_a_closed_context() {
    let context = context(ZarrBackend::Zarrs);
    let store = Store::open(&fixtures().join("refused_v3.zarr"), &context).expect("a group");
    let array = store.array("pcodec_f8").expect("metadata");
    context.close();
    let error = array.read_row_range(0..1).expect_err("closed");
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
}
