//! Labels that are in memory: no file is opened, or read, for them, and they are those of the files.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anndata_io::{Attribute, Bool8};
use mapped_collection::{
    Error, FilterValue, IoOptions, Join, LabelMatch, MappedCollection, MappedCollectionBuilder,
    MemoryStore, ReadError, SplitBy, SplitOptions, Values,
};

use crate::store;

/// Everything that labels of a key are asked for, as text.
fn answers(cells: &MappedCollection, key: &str) -> Vec<String> {
    let merged = cells.merged_labels(key);
    let labels = merged.map(|merged| {
        let label = |label: Option<&mapped_collection::Label>| format!("{label:?}");
        merged.iter().map(label).collect::<Vec<_>>()
    });
    let weights = cells.label_weights([key]).map(|weights| {
        let by_class = weights.by_class(Some(2.0));
        (weights.weights(None), by_class)
    });
    let parts = |split: SplitBy| cells.split(&SplitOptions::new([0.5, 0.3]).by(split).seed(3));
    vec![
        format!("{labels:?}"),
        format!("{weights:?}"),
        format!("{:?}", cells.merged_categories(key)),
        format!("{:?}", cells.balanced_sampler(key)),
        format!("{:?}", parts(SplitBy::Stratified(key.to_owned()))),
        format!("{:?}", parts(SplitBy::Grouped(key.to_owned()))),
    ]
}

/// Three stores with columns of all kinds, whose reads are counted.
fn stores() -> (Arc<AtomicU64>, [MemoryStore; 3]) {
    let reads = Arc::new(AtomicU64::new(0));
    let nullable =
        |store: MemoryStore, name: &str, values: Values, mask: Vec<Bool8>, kind: &str| {
            let n = mask.len() as u64;
            let kind = Attribute::Text(kind.into());
            store
                .group(name)
                .attribute(name, "encoding-type", kind)
                .array(&format!("{name}/values"), &[n], values)
                .array(&format!("{name}/mask"), &[n], Values::Bool(mask))
        };
    let numbers = |store: MemoryStore, name: &str, values: Values, codes: Vec<i8>| {
        let (n, n_categories) = (codes.len() as u64, values.len() as u64);
        let kind = Attribute::Text("categorical".into());
        store
            .group(name)
            .attribute(name, "encoding-type", kind)
            .array(&format!("{name}/codes"), &[n], Values::I8(codes))
            .array(&format!("{name}/categories"), &[n_categories], values)
    };
    let (yes, no) = (Bool8(1), Bool8(0));
    let first = MemoryStore::new("first")
        .dataframe("obs", &["a1", "a2", "a3", "a4"])
        .dataframe("var", &["g"])
        .array("X", &[4, 1], Values::F32(vec![1.0; 4]))
        .categorical("obs/type", vec![2, 0, -1, 2], &["T", "unused", "B"])
        .array("obs/number", &[4], Values::I32(vec![2, 3, 2, -1]))
        .array("obs/flag", &[4], Values::Bool(vec![yes, no, no, yes]))
        .array(
            "obs/score",
            &[4],
            Values::F32(vec![0.5, f32::NAN, 0.1, 2.0]),
        )
        .texts("obs/text", &["x", "nan", "", "x"]);
    let first = nullable(
        first,
        "obs/nullable",
        Values::I64(vec![7, 8, 9, 7]),
        vec![no, yes, no, no],
        "nullable-integer",
    );
    let categories = Values::F64(vec![0.5, f64::NAN, 2.0]);
    let first = numbers(first, "obs/floats", categories, vec![0, 1, 2, -1]);
    let second = MemoryStore::new("second")
        .dataframe("obs", &["b1", "b2", "b3"])
        .dataframe("var", &["g"])
        .array("X", &[3, 1], Values::F32(vec![1.0; 3]))
        .categorical("obs/type", vec![1, 1, 2], &["unknown", "T", "nan"])
        .array("obs/number", &[3], Values::F64(vec![2.0, 2.5, 4.0]))
        .array("obs/score", &[3], Values::F64(vec![0.5, 0.1, 2.0]))
        .texts("obs/text", &["y", "x", "unknown"]);
    let categories = Values::F32(vec![2.0, 0.5]);
    let second = numbers(second, "obs/floats", categories, vec![1, 0, -1]);
    let third = MemoryStore::new("third")
        .dataframe("obs", &["c1"])
        .dataframe("var", &["g"])
        .array("X", &[1, 1], Values::F32(vec![1.0]));
    let counted = [first, second, third].map(|store| {
        let reads = reads.clone();
        store
            .chunked(NonZeroU64::new(2).expect("not 0"))
            .before_read(move |_| {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
    });
    (reads, counted)
}

const KEYS: [&str; 7] = [
    "type", "number", "flag", "score", "text", "nullable", "floats",
];

/// With each of these options.
fn collections(
    options: impl Fn(MappedCollectionBuilder) -> MappedCollectionBuilder,
) -> impl Fn(bool) -> (Arc<AtomicU64>, MappedCollection) {
    move |with_keys| {
        let (reads, stores) = stores();
        let builder =
            options(MappedCollection::builder(stores).io(IoOptions::new().cache_bytes(0)));
        let builder = if with_keys {
            builder.obs(KEYS)
        } else {
            builder
        };
        (reads, builder.open().expect("the stores fit together"))
    }
}

#[test]
fn labels_of_encoded_keys_are_those_of_the_files_and_read_nothing() {
    let plain = |builder: MappedCollectionBuilder| builder;
    let filtered = |builder: MappedCollectionBuilder| {
        let missing = [FilterValue::Missing, FilterValue::from("T")];
        builder.filter("type", missing)
    };
    let options: [fn(MappedCollectionBuilder) -> MappedCollectionBuilder; 2] = [plain, filtered];
    for options in options {
        let from_files = collections(options)(false).1;
        for unknown in [
            None,
            Some(LabelMatch::from("unknown")),
            Some(LabelMatch::Text("2".into())),
        ] {
            let (reads, stores) = stores();
            let builder = options(
                MappedCollection::builder(stores)
                    .obs(KEYS)
                    .encode_labels(KEYS),
            );
            let builder = match unknown {
                Some(label) => KEYS
                    .iter()
                    .fold(builder, |b, key| b.unknown_label(*key, label.clone())),
                None => builder,
            };
            let cells = builder
                .io(IoOptions::new().cache_bytes(0))
                .open()
                .expect("the stores fit together");
            let opened = reads.load(Ordering::Relaxed);
            for key in KEYS {
                let found = answers(&cells, key);
                assert_eq!(reads.load(Ordering::Relaxed), opened, "{key} is in memory");
                assert!(
                    found.iter().all(|answer| answer.starts_with("Ok(")),
                    "{found:?}"
                );
                assert_eq!(found, answers(&from_files, key), "{key}");
            }
        }
    }
}

#[test]
fn plain_columns_are_read_only_if_not_encoded() {
    let (_, from_files) = collections(|builder| builder)(false);
    let (reads, cells) = collections(|builder| builder.encode_labels(false))(true);
    for key in KEYS {
        let before = reads.load(Ordering::Relaxed);
        assert_eq!(answers(&cells, key), answers(&from_files, key), "{key}");
        let is_kept = ["type", "floats"].contains(&key);
        assert_eq!(reads.load(Ordering::Relaxed) == before, is_kept, "{key}");
    }
}

#[test]
fn labels_of_filter_columns_are_in_memory() {
    let filter = |builder: MappedCollectionBuilder| {
        let missing = || [FilterValue::Missing, FilterValue::from("x")];
        builder
            .filter("text", missing())
            .filter("flag", [FilterValue::Missing, true.into()])
    };
    let unfiltered = |key: &str| {
        let (_, cells) = collections(|builder| builder)(false);
        format!("{:?}", cells.merged_categories(key))
    };
    let (reads, cells) = collections(filter)(false);
    let opened = reads.load(Ordering::Relaxed);
    assert_eq!(cells.n_obs(), 4);
    for key in ["text", "flag"] {
        let found = answers(&cells, key);
        assert_eq!(
            found[2],
            unfiltered(key),
            "categories are those of whole files"
        );
    }
    let labels = cells.merged_labels("text").expect("in memory");
    let labels: Vec<_> = labels
        .iter()
        .map(|label| label.map(ToString::to_string))
        .collect();
    assert_eq!(
        labels,
        [Some("x".into()), Some("x".into()), Some("x".into()), None]
    );
    assert_eq!(reads.load(Ordering::Relaxed), opened);
    // Other keys are read, for the rows that are kept.
    assert_eq!(cells.merged_labels("number").expect("readable").len(), 4);
    assert!(reads.load(Ordering::Relaxed) > opened);
}

#[test]
fn kept_labels_outlive_their_files() {
    let names = ["base_a_csr.h5ad", "base_b_csr_v3.zarr", "v07_a_csr.h5ad"];
    let names: Vec<_> = names
        .into_iter()
        .filter(|name| store(name).exists())
        .collect();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let copies: Vec<PathBuf> = names.iter().map(|name| dir.path().join(name)).collect();
    for (name, copy) in names.iter().zip(&copies) {
        crate::storage::copy(&store(name), copy);
    }
    let open = |keys: &[&str]| {
        let builder = MappedCollection::builder(copies.clone()).join(Join::Outer);
        let builder = builder
            .obs(keys.iter().copied())
            .unknown_label_for_all("T cell");
        builder.open().expect("they open")
    };
    let cells = open(&["cell_type"]);
    let from_files = open(&[]);
    let expected = answers(&from_files, "cell_type");
    for copy in &copies {
        let gone = if copy.is_dir() {
            std::fs::remove_dir_all(copy)
        } else {
            std::fs::remove_file(copy)
        };
        gone.expect("our own files");
    }
    assert_eq!(answers(&cells, "cell_type"), expected);
    assert!(from_files.merged_labels("cell_type").is_err());
    cells.close();
    assert!(matches!(
        cells.merged_labels("cell_type"),
        Err(Error::Read(ReadError::Closed))
    ));
    assert!(matches!(
        cells.merged_categories("cell_type"),
        Err(Error::Read(ReadError::Closed))
    ));
    assert!(matches!(
        cells.label_weights(["cell_type"]),
        Err(Error::Read(ReadError::Closed))
    ));
}
