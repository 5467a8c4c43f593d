//! Codes and categories that need not fit, and the parts of a CSR and a CSC matrix.
#![no_main]

use anndata_io::Attribute;
use mapped_collection::{MemoryStore, Values};

#[path = "../../crates/mapped-collection/tests/hostile/read.rs"]
#[allow(dead_code)]
mod read;

libfuzzer_sys::fuzz_target!(|input: (Vec<i8>, [Vec<i64>; 2], [i64; 2], bool)| {
    let (codes, [indptr, indices], shape, is_csc) = input;
    let encoding = if is_csc { "csc_matrix" } else { "csr_matrix" };
    let n = |len: usize| [len as u64];
    let values = vec![1.0; indices.len()];
    let store = MemoryStore::new("cells")
        .dataframe("obs", &["a", "b", "c"])
        .dataframe("var", &["x", "y"])
        .categorical("obs/k", codes, &["s", "t"])
        .group("X")
        .attribute("X", "encoding-type", Attribute::Text(encoding.to_owned()))
        .attribute("X", "shape", Attribute::Integers(shape.to_vec()))
        .array("X/indptr", &n(indptr.len()), Values::I64(indptr))
        .array("X/indices", &n(indices.len()), Values::I64(indices))
        .array("X/data", &n(values.len()), Values::F32(values));
    read::anndata(&store.into(), 0, &mut read::Found::default());
});
