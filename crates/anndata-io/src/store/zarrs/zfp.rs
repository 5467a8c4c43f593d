//! A test: the feature `zarrs-zfp` brings the codec zfp, which Python's numcodecs cannot write here.

use std::sync::Arc;

use serde_json::json;
use zarrs::array::{Array, ArrayMetadata};
use zarrs::storage::ListableStorageTraits;
use zarrs::storage::ReadableStorageTraits;
use zarrs::storage::store::MemoryStore;

use crate::dtype::Values;
use crate::io::context::IoContext;
use crate::io::options::{IoOptions, ZarrBackend};
use crate::store::Store;

#[test]
fn zfp_without_loss_decodes_to_the_written_values() {
    let metadata = json!({
        "zarr_format": 3, "node_type": "array", "shape": [7, 5], "data_type": "float32", "fill_value": 0.0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 5]}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "zfp", "configuration": {"mode": "reversible"}}]
    });
    let metadata: ArrayMetadata = serde_json::from_value(metadata).expect("valid metadata");
    let memory = Arc::new(MemoryStore::new());
    let array = Array::new_with_metadata(memory.clone(), "/x", metadata).expect("zfp is there");
    let values: Vec<f32> = (0..35u8).map(|i| f32::from(i) * 0.37).collect();
    array.store_metadata().expect("room");
    let all = array.subset_all();
    array
        .store_array_subset(&all, values.clone())
        .expect("room");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("room");
        std::fs::write(path, bytes).expect("room");
    };
    write("zarr.json", br#"{"zarr_format": 3, "node_type": "group"}"#);
    for key in memory.list().expect("in memory") {
        let bytes = memory.get(&key).expect("in memory").expect("listed");
        write(key.as_str(), &bytes);
    }
    let zarr = ZarrBackend::PureThenZarrs;
    let context = IoContext::new(IoOptions::new().zarr(zarr));
    let store = Store::open(dir.path(), &context).expect("a group");
    let found = store
        .array("x")
        .and_then(|array| array.read_row_range(0..7));
    assert_eq!(found.expect("readable"), Values::F32(values));
}
