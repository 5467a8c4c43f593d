//! A file: HDF5 where it begins like that.
#![no_main]

#[path = "../../crates/mapped-collection/tests/hostile/read.rs"]
#[allow(dead_code)]
mod read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("room for a file");
    read::everything(file.path(), bytes.len() as u64);
});
