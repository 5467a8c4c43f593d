//! The texts of errors, as people read them: each that a bad file gives, each of the options. They
//! are recorded in `errors.txt`, so that a change of one is seen.

use std::path::Path;

use anndata_io::chain;
use mapped_collection::{
    Error, Join, LoaderOptions, MappedCollection, MappedCollectionBuilder, MemoryStore, OpenError,
    ReadError, Sampler, Shuffle, SplitOptions, Values,
};

use crate::{faults, fixtures};

/// An error and its causes, on one line.
fn text(error: &Error) -> String {
    let text = chain(error).messages().collect::<Vec<_>>().join(" <- ");
    let fixtures = format!("{}/", fixtures().display());
    text.replace(&fixtures, "").replace('\n', " / ")
}

fn cells() -> MemoryStore {
    MemoryStore::new("a.h5ad")
        .dataframe("obs", &["c1", "c2"])
        .dataframe("var", &["x", "y"])
        .categorical("obs/cell_type", vec![0, -1], &["T"])
        .array("obs/score", &[2], Values::F32(vec![0.5, 1.0]))
        .array("X", &[2, 2], Values::F32(vec![1.0, 2.0, 3.0, 4.0]))
}

fn other(vars: &[&str]) -> MemoryStore {
    let zeros = Values::F32(vec![0.0; vars.len()]);
    MemoryStore::new("b.h5ad")
        .dataframe("obs", &["d1"])
        .dataframe("var", vars)
        .array("obs/cell_type", &[1], Values::I64(vec![7]))
        .array("X", &[1, vars.len() as u64], zeros)
}

fn open(builder: MappedCollectionBuilder) -> MappedCollection {
    builder.obs(["cell_type"]).open().expect("valid")
}

/// What goes wrong with options, requests and files that do not fit together.
fn requests() -> Vec<(&'static str, Error)> {
    let one = || MappedCollection::builder([cells()]);
    let two = |vars: &[&str]| MappedCollection::builder([cells(), other(vars)]);
    let opening = |builder: MappedCollectionBuilder| builder.open().expect_err("it must not open");
    let loader =
        |options: LoaderOptions| open(one()).loader(options).expect_err("it must be refused");
    let split =
        |options: SplitOptions| open(one()).split(&options).expect_err("it must be refused");
    let fractions = |fractions: &[f64]| SplitOptions::new(fractions.iter().copied());
    let weights = |weights: Vec<f64>| {
        let sampler = Sampler::Weighted {
            weights: weights.into(),
            n_samples: None,
            replacement: true,
        };
        loader(LoaderOptions::new(1).sampler(sampler))
    };
    let resumed = |seed: u64| {
        let start = open(one())
            .loader(LoaderOptions::new(1).seed(seed))
            .expect("valid")
            .epoch_start(0)
            .expect("names can be read");
        let batches = open(one())
            .loader(LoaderOptions::new(1).seed(8))
            .expect("valid");
        batches.resume(&start).err()
    };
    let closed = open(one());
    closed.close();
    let ones = Values::F32(vec![1.0; 4]);
    let with_layer = cells().array("layers/cell_type", &[2, 2], ones);
    vec![
        (
            "no paths",
            opening(MappedCollection::builder(Vec::<MemoryStore>::new())),
        ),
        (
            "labels to encode",
            opening(one().obs(["a"]).encode_labels(["b"])),
        ),
        (
            "unknown label",
            opening(one().obs(["a"]).unknown_label("b", "u")),
        ),
        (
            "names twice",
            opening(two(&["x", "z", "z"]).join(Join::Inner)),
        ),
        ("nothing shared", opening(two(&["z"]).join(Join::Inner))),
        (
            "two kinds of labels",
            opening(two(&["x"]).obs(["cell_type"])),
        ),
        (
            "a column that no store has",
            open(one()).label_weights(["celltype"]).expect_err("none"),
        ),
        ("an index", open(one()).get(2).expect_err("none")),
        (
            "widths",
            two(&["x"])
                .join(None)
                .open()
                .expect("valid")
                .get_batch(&[0, 2])
                .expect_err("ragged"),
        ),
        (
            "names",
            open(MappedCollection::builder([with_layer]).layers(["cell_type"]))
                .get_batch(&[0])
                .expect_err("one name for two"),
        ),
        ("batch size", loader(LoaderOptions::new(0))),
        ("memory", loader(LoaderOptions::new(2).memory(10))),
        ("rank", loader(LoaderOptions::new(2).rank(2, 2))),
        ("ranks", loader(LoaderOptions::new(2).rank(0, 0))),
        (
            "block",
            loader(LoaderOptions::new(2).shuffle(Shuffle::Blocks { rows: 0 })),
        ),
        (
            "rows",
            loader(LoaderOptions::new(2).sampler(Sampler::Rows([9].into()))),
        ),
        ("too few weights", weights(vec![1.0])),
        ("negative weight", weights(vec![1.0, -1.0])),
        ("no weight", weights(vec![0.0, 0.0])),
        ("fractions", split(fractions(&[0.9, 0.2]))),
        ("a fraction", split(fractions(&[-0.5]))),
        ("state", resumed(7).expect("another seed")),
        ("closed", closed.get(0).expect_err("closed")),
        (
            "rows of a store",
            Error::from(OpenError::TooManyRows {
                file: "a.h5ad".into(),
                n_obs: 1 << 33,
            }),
        ),
        (
            "a batch",
            Error::from(ReadError::TooLarge {
                n_rows: 1 << 40,
                row_len: 1 << 30,
            }),
        ),
        ("a panic", ReadError::Worker.into()),
    ]
}

#[test]
fn texts_are_as_recorded() {
    let mut lines = Vec::new();
    for (what, error) in faults::bad_files() {
        lines.push(format!("{what}: {}", text(&error)));
    }
    for (what, error) in requests() {
        lines.push(format!("{what}: {}", text(&error)));
    }
    let found = lines.join("\n") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/errors.txt");
    if std::env::var_os("UPDATE_ERRORS").is_some() {
        std::fs::write(&path, found).expect("writable");
        return;
    }
    let recorded = std::fs::read_to_string(&path).expect("it is committed");
    for (found, recorded) in found.lines().zip(recorded.lines()) {
        // Builds without the feature say how to get it.
        if !cfg!(feature = "remote") && found.contains("built without") {
            continue;
        }
        assert_eq!(
            found, recorded,
            "set UPDATE_ERRORS to record the texts again"
        );
    }
    assert_eq!(found.lines().count(), recorded.lines().count());
}
