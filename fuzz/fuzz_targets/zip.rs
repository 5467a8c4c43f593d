//! A zip archive of a zarr store.
#![no_main]

#[path = "../../crates/mapped-collection/tests/hostile/read.rs"]
#[allow(dead_code)]
mod read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let bytes = [b"PK\x03\x04", bytes].concat();
    std::fs::write(file.path(), &bytes).expect("room for a file");
    read::everything(file.path(), bytes.len() as u64);
});
