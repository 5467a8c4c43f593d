//! The document of one zarr array, of format 2 or 3, and a chunk of it.
#![no_main]

use anndata_io::{IoContext, Store};

#[path = "../../crates/mapped-collection/tests/hostile/read.rs"]
#[allow(dead_code)]
mod read;

libfuzzer_sys::fuzz_target!(|input: (bool, &[u8], &[u8])| {
    let (is_v3, document, chunk) = input;
    let root = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("room");
        std::fs::write(path, bytes).expect("room for a file");
    };
    if is_v3 {
        write("zarr.json", br#"{"zarr_format": 3, "node_type": "group"}"#);
        write("a/zarr.json", document);
        write("a/c/0", chunk);
    } else {
        write(".zgroup", br#"{"zarr_format": 2}"#);
        write("a/.zarray", document);
        write("a/0", chunk);
    }
    let store = Store::open(root.path(), &IoContext::default());
    if let Ok(array) = store.and_then(|store| store.array("a")) {
        read::read_array(&array, &mut read::Found::default());
    }
});
