//! The state that a loader goes on from.
#![no_main]

#[path = "../../crates/mapped-collection/tests/hostile/read.rs"]
#[allow(dead_code)]
mod read;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let (batches, _) = read::loader();
    let _ = read::resume(&batches, text);
});
