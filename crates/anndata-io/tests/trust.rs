//! Zarr metadata is untrusted: a reader refuses members that it does not know.

mod files;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anndata_io::{AnnDataFile, Error, ErrorKind, LayerKey};
use serde_json::{Value, json};

/// A copy of a store of the fixtures.
struct Copy {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Copy {
    fn of(name: &str) -> Copy {
        let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join(name);
        files::write_folder(&path, &files::files_of(&stores.join(name)));
        Copy { path, _dir: dir }
    }

    /// Changes one of its documents.
    fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path.join(file);
        let text = fs::read(&path).expect("a document");
        let mut document = serde_json::from_slice(&text).expect("JSON");
        change(&mut document);
        fs::write(&path, document.to_string()).expect("writable");
    }

    /// Opens X, and returns its number of rows.
    fn x(&self) -> Result<u64, Error> {
        let x = AnnDataFile::open(&self.path)?.layer(&LayerKey::X)?;
        Ok(x.expect("it has an X").n_rows())
    }
}

#[test]
fn unknown_members_of_a_group_or_array_are_refused_unless_ignorable() {
    for (file, element) in [
        ("zarr.json", ""),
        ("X/zarr.json", "X"),
        ("obs/zarr.json", "obs"),
    ] {
        for (extra, fine) in [
            (json!([3, 0]), false),
            (json!(null), false),
            (json!({"must_understand": true}), false),
            (json!({"must_understand": false, "at": 1}), true),
        ] {
            let copy = Copy::of("base_a_dense_v3.zarr");
            copy.edit(file, |document| document["origin"] = extra.clone());
            match copy.x() {
                Ok(_) => assert!(fine, "{file} {extra}"),
                Err(error) => {
                    assert!(!fine, "{error}");
                    assert_eq!(error.element(), element);
                    assert!(error.to_string().contains("origin"), "{error}");
                    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }));
                }
            }
        }
    }
}

#[test]
fn unknown_members_in_consolidated_metadata_are_refused_unless_ignorable() {
    let with = |extra: Value| {
        let copy = Copy::of("base_a_dense_v3.zarr");
        let array = fs::read(copy.path.join("X/zarr.json")).expect("a document");
        let mut array: Value = serde_json::from_slice(&array).expect("JSON");
        array["origin"] = extra;
        copy.edit("zarr.json", |document| {
            document["consolidated_metadata"] = json!({
                "kind": "inline", "must_understand": false, "metadata": {"X": array}
            });
        });
        copy.x()
    };
    assert!(with(json!({"must_understand": false})).is_ok());
    let error = with(json!(1)).expect_err("not known");
    assert_eq!(error.element(), "X");
    assert!(error.to_string().contains("origin"), "{error}");
}

#[test]
fn fill_value_of_another_type_is_an_error() {
    for name in ["base_a_dense_v2.zarr", "base_a_dense_v3.zarr"] {
        let file = if name.contains("v2") {
            "X/.zarray"
        } else {
            "X/zarr.json"
        };
        for (fill, fine) in [
            (json!(1.5), true),
            (json!("NaN"), true),
            (json!("1.5"), false),
            (json!(true), false),
            (json!([0]), false),
            (json!(null), name.contains("v2")),
        ] {
            let copy = Copy::of(name);
            copy.edit(file, |document| document["fill_value"] = fill.clone());
            match copy.x() {
                Ok(_) => assert!(fine, "{name} {fill}"),
                Err(error) => {
                    assert!(!fine, "{error}");
                    assert_eq!(error.element(), "X");
                    let found = format!("found {fill}");
                    assert!(error.to_string().contains(&found), "{error}");
                }
            }
        }
    }
}

#[test]
fn fill_value_fills_chunks_that_were_never_written() {
    let copy = Copy::of("base_a_dense_v3.zarr");
    copy.edit("X/zarr.json", |document| {
        document["fill_value"] = json!("0x7fc00001")
    });
    fs::remove_dir_all(copy.path.join("X/c")).expect("chunks");
    let file = AnnDataFile::open(&copy.path).expect("a store");
    let x = file
        .layer(&LayerKey::X)
        .expect("readable")
        .expect("it has an X");
    struct Bits(Vec<u32>);
    impl anndata_io::RowSink for Bits {
        fn dense(&mut self, _: usize, _: usize, values: anndata_io::ValuesRef<'_>) {
            self.0
                .extend(values.to_vec::<f32>().iter().map(|value| value.to_bits()));
        }
        fn sparse(&mut self, _: usize, _: &[u32], _: anndata_io::ValuesRef<'_>) {}
    }
    let mut bits = Bits(Vec::new());
    x.read_rows(&[0], &mut Default::default(), &mut bits)
        .expect("readable");
    assert!(!bits.0.is_empty() && bits.0.iter().all(|&bits| bits == 0x7fc0_0001));
}

#[test]
fn path_of_neither_file_nor_folder_is_not_opened() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let pipe = dir.path().join("pipe.h5ad");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe");
    let socket = dir.path().join("socket.h5ad");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    for (path, what) in [
        (pipe, "a pipe"),
        (socket, "a socket"),
        ("/dev/null".into(), "a device"),
    ] {
        let error = AnnDataFile::open(&path).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    }
}
