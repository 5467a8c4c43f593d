//! A chunk, and the codecs that it is to be decoded with.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, u32, u16, &[u8])| {
    let (mut codecs, skip_mask, len, raw) = input;
    codecs.truncate(4);
    anndata_io::testing::decode(&codecs, skip_mask, raw, len.into());
});
