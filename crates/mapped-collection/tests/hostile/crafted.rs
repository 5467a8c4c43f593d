//! Files made by hand to take memory that they do not have: what mutants do not come upon.

use std::path::{Path, PathBuf};

use anndata_io::{AnnDataFile, IoContext, LayerKey, Store};

use crate::{read, root};

/// A store in which some documents are other ones: whether it is refused where it should be, and
/// what else it reads within the memory that is promised.
fn refused(documents: &[(&str, &str)], expected: &str, open: impl Fn(&Path) -> Option<String>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store: PathBuf = folder.path().join("cells.zarr");
    let fixture = root().join("fixtures/stores/base_a_csr_v2.zarr");
    for (path, bytes) in crate::files(&fixture) {
        // Its raw is none of those made here.
        if path.starts_with("raw") {
            continue;
        }
        let path = store.join(path);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("room");
        std::fs::write(path, bytes).expect("room");
    }
    for (path, text) in documents {
        let path = store.join(path);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("room");
        std::fs::write(path, text).expect("room");
    }
    let error = open(&store).expect("it must be refused");
    assert!(error.contains(expected), "{error}");
    // In every other way too, it gives an error or data.
    read::everything(&store, 0);
}

fn array(shape: &str, chunks: &str, dtype: &str, rest: &str) -> String {
    format!(
        r#"{{"zarr_format": 2, "shape": {shape}, "chunks": {chunks}, "dtype": "{dtype}",
        "order": "C", "compressor": null, {rest}}}"#
    )
}

fn index_error(path: &Path) -> Option<String> {
    let file = match AnnDataFile::open(path) {
        Ok(file) => file,
        Err(error) => return Some(error.to_string()),
    };
    Some(file.var_names().err()?.to_string())
}

#[test]
fn long_text_that_fills_a_long_list_is_refused() {
    let fill = format!(
        r#""filters": [{{"id": "vlen-utf8"}}], "fill_value": "{}""#,
        "a".repeat(1 << 20)
    );
    let index = array("[200000]", "[16]", "|O", &fill);
    // No chunk of it is there.
    let documents = [
        ("var/other/.zarray", &index[..]),
        ("var/.zattrs", r#"{"_index": "other"}"#),
    ];
    refused(&documents, "never written", index_error);
}

#[test]
fn claimed_index_is_refused() {
    let rest = r#""filters": null, "fill_value": """#;
    let index = array("[60000000]", "[60000000]", "|S1", rest);
    let documents = [
        ("obs/other/.zarray", &index[..]),
        ("obs/.zattrs", r#"{"_index": "other"}"#),
    ];
    refused(&documents, "stored bytes can hold", index_error);
}

#[test]
fn raw_width_is_not_trusted_without_variables() {
    let rest = r#""filters": null, "fill_value": 0"#;
    let raw = |path: &Path| {
        let file = AnnDataFile::open(path).expect("the rest is fine");
        Some(file.layer(&LayerKey::RawX).err()?.to_string())
    };
    for (n, index) in [
        (0, ""),
        (1, &*array("[3000000000]", "[3000000000]", "<i4", rest)),
    ] {
        let x = array("[ROWS, 3000000000]", "[1, 3000000000]", "<f4", rest);
        let n_obs = AnnDataFile::open(root().join("fixtures/stores/base_a_csr_v2.zarr"));
        let x = x.replace("ROWS", &n_obs.expect("a fixture").n_obs().to_string());
        let mut documents = vec![
            ("raw/.zgroup", r#"{"zarr_format": 2}"#),
            ("raw/X/.zarray", &x),
        ];
        if n == 1 {
            documents.extend([
                ("raw/var/.zgroup", r#"{"zarr_format": 2}"#),
                ("raw/var/.zattrs", r#"{"_index": "other"}"#),
                ("raw/var/other/.zarray", index),
            ]);
        }
        let expected = ["elements a row", "stored bytes can hold"][n];
        refused(&documents, expected, raw);
    }
}

#[test]
fn overlong_document_is_refused() {
    let attributes = format!("{{{}}}", " ".repeat(17 << 20));
    refused(&[("obs/.zattrs", &attributes)], "at most", index_error);
}

/// A fixture in which some bytes are others, open.
fn damaged(fixture: &str, damage: impl Fn(&mut [u8])) -> (tempfile::NamedTempFile, Store) {
    let mut bytes = std::fs::read(root().join(fixture)).expect("a fixture");
    damage(&mut bytes);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("room for a file");
    let store = Store::open(file.path(), &IoContext::default()).expect("its head is fine");
    (file, store)
}

/// The text of an error and of its causes.
fn full(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(full).unwrap_or_default();
    format!("{error}: {cause}")
}

/// Where references to texts of variable length stand: length, address of the heap, number in it.
fn references(bytes: &[u8]) -> Vec<usize> {
    let heap = bytes.windows(4).position(|part| part == b"GCOL");
    let heap = (heap.expect("it has texts of variable length") as u64).to_le_bytes();
    let is_small = |at: usize| bytes[at] > 0 && bytes[at + 1..at + 4] == [0; 3];
    (0..bytes.len() - 16)
        .filter(|&at| bytes[at + 4..at + 12] == heap && is_small(at) && is_small(at + 12))
        .collect()
}

#[test]
fn attributes_longer_than_the_file_are_refused() {
    let (_file, store) = damaged("fixtures/stores/base_a_csr.h5ad", |bytes| {
        for at in references(bytes) {
            bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        }
    });
    let error = store
        .attribute("obs", "column-order")
        .expect_err("texts of 4 GiB");
    assert!(error.to_string().contains("texts that fit"), "{error}");
}

#[test]
fn attributes_without_their_texts_are_errors() {
    let (_file, store) = damaged("fixtures/stores/base_a_csr.h5ad", |bytes| {
        for at in references(bytes) {
            bytes[at + 13] = 0x7f;
        }
    });
    let error = store
        .attribute("obs", "encoding-type")
        .expect_err("no text");
    assert!(error.to_string().contains("no such object"), "{error}");
}

#[test]
fn group_with_a_repeated_name_is_refused() {
    let (_file, store) = damaged("fixtures/stores/base_a_csr.h5ad", |bytes| {
        let table = bytes.windows(4).position(|part| part == b"SNOD");
        // Entries of 40 bytes begin with the place of their name.
        let first = table.expect("an old group") + 8;
        bytes.copy_within(first..first + 8, first + 40);
    });
    let root = store.children("").expect_err("two of a name");
    assert!(full(&root).contains("twice"), "{root}");
    store.array("X/data").expect_err("X may be another element");
}

#[test]
fn chunk_index_out_of_order_is_refused() {
    let (_file, store) = damaged("fixtures/hdf5/chunks_earliest.h5", |bytes| {
        // A leaf of many chunks of a list: size, mask, two offsets and an address each.
        let is_leaf = |part: &[u8]| part[..6] == *b"TREE\x01\0" && part[6] > 40;
        let leaf = bytes
            .windows(8)
            .position(is_leaf)
            .expect("a tree of chunks")
            + 24;
        let (a, b) = (leaf + 8, leaf + 8 + 32);
        bytes.copy_within(b..b + 8, a);
    });
    let errors = ["many", "many_gzip"].map(|list| {
        let array = store.array(list).err();
        array.map(|error| full(&error)).unwrap_or_default()
    });
    let told = errors.iter().any(|error| error.contains("out of order"));
    assert!(told, "{errors:?}");
}

#[test]
fn link_to_an_unreadable_element_is_not_absent() {
    let (_file, store) = damaged("fixtures/hdf5/links_earliest.h5", |bytes| {
        // The table of `data`, which alone has three members, is none.
        let is_table = |part: &[u8]| *part == *b"SNOD\x01\0\x03\0";
        let at = bytes.windows(8).position(is_table).expect("an old group");
        bytes[at] = b'X';
    });
    store.node("soft").expect_err("data/values is damaged");
    let absent = store.node("dangling").expect("it leads nowhere");
    assert_eq!(absent, None);
    let names = store.children("").expect("a group");
    assert!(names.contains(&"soft".to_owned()), "{names:?}");
    assert!(!names.contains(&"dangling".to_owned()), "{names:?}");
}
