//! Tables inside files, and stores inside zip archives: named by a path below the file.

mod archive;
mod files;

use std::fs;
use std::path::{Path, PathBuf};

use anndata_io::{
    AnnDataFile, Attribute, ErrorKind, IoContext, IoOptions, LayerKey, ReadScratch, RowSink, Store,
    ValuesRef,
};
use archive::Form;
use files::Entries;

fn stores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores")
}

fn tables() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tables.h5mu")
}

struct Dense(Vec<Vec<f64>>);

impl RowSink for Dense {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        values.write_to(&mut self.0[row][start..start + values.len()]);
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        for (&column, value) in columns.iter().zip(values.to_vec::<f64>()) {
            self.0[row][column as usize] = value;
        }
    }
}

/// All rows of a layer, read `by` rows at a time.
fn rows(file: &AnnDataFile, key: &LayerKey, by: usize) -> Vec<Vec<f64>> {
    let matrix = file.layer(key).expect("readable").expect("it is there");
    let all: Vec<u64> = (0..file.n_obs()).collect();
    let mut scratch = ReadScratch::default();
    let read = all.chunks(by).flat_map(|some| {
        let mut out = Dense(vec![vec![0.0; matrix.row_len()]; some.len()]);
        matrix
            .read_rows(some, &mut scratch, &mut out)
            .expect("readable");
        out.0
    });
    read.collect()
}

fn x(file: &AnnDataFile) -> Vec<Vec<f64>> {
    rows(file, &LayerKey::X, 2)
}

fn kinds(file: &AnnDataFile) -> Vec<String> {
    let column = file
        .obs_column("kind")
        .expect("readable")
        .expect("a column");
    let names = column.read_names(&[0, 1, 2]).expect("readable");
    names.iter().map(str::to_owned).collect()
}

fn counting(start: u64, n_genes: u64) -> Vec<Vec<f64>> {
    let row = |row| {
        (0..n_genes)
            .map(|gene| (start + row * n_genes + gene) as f64)
            .collect()
    };
    (0..3).map(row).collect()
}

#[test]
fn table_inside_an_hdf5_file_is_opened() {
    for (inner, start, n_genes) in [
        ("mod/rna", 0, 4),
        ("mod/atac", 100, 2),
        ("rna", 0, 4),
        ("atac", 100, 2),
        ("archive/of/old", 50, 2),
        ("archive/of/old/", 50, 2),
    ] {
        let file = AnnDataFile::open(tables().join(inner)).expect("a table");
        assert_eq!(x(&file), counting(start, n_genes), "{inner}");
        assert_eq!(kinds(&file), ["b", "nan", "a"], "{inner}");
        assert_eq!(file.obs_keys().expect("readable"), ["kind"], "{inner}");
        assert_eq!(file.path(), tables().join(inner.trim_end_matches('/')));
    }
}

#[test]
fn tables_of_one_file_share_a_context() {
    let context = IoContext::new(IoOptions::new().max_open_files(1).cache_bytes(1 << 20));
    let open = |inner: &str| AnnDataFile::open_in(tables().join(inner), &context).expect("a table");
    let (rna, atac) = (open("rna"), open("atac"));
    for _ in 0..2 {
        assert_eq!(x(&rna), counting(0, 4));
        assert_eq!(x(&atac), counting(100, 2));
    }
    assert_eq!(context.open_files(), 1);
}

#[test]
fn reference_within_a_table_leads_below_it() {
    let context = IoContext::default();
    let store = Store::open(&tables().join("archive/of/old"), &context).expect("a group");
    let found = store.attribute("obs/kind", "categories").expect("readable");
    assert_eq!(
        found,
        Some(Attribute::Reference("obs/__categories/kind".to_owned()))
    );
    // A group that does not contain the target of a reference opens too.
    let store = Store::open(&tables().join("archive/of/old/obs/__categories"), &context);
    assert_eq!(
        store.expect("a group").children("").expect("readable"),
        ["kind"]
    );
}

#[test]
fn error_names_the_path_of_the_table() {
    let file = AnnDataFile::open(tables().join("rna")).expect("a table");
    let error = file
        .layer(&LayerKey::Layer("none".into()))
        .map(|layer| layer.is_none());
    assert!(error.expect("absent is no error"));
    let store = Store::open(&tables().join("mod/rna"), &IoContext::default()).expect("a group");
    let error = store.array("obs").expect_err("a group");
    assert_eq!(error.file(), tables().join("mod/rna"));
    assert_eq!(error.element(), "obs");
    let array = store.array("X").expect("an array");
    assert_eq!(
        (array.file(), array.element()),
        (&*tables().join("mod/rna"), "X")
    );
}

#[test]
fn missing_table_is_named() {
    let kind = |path: &Path| {
        let error = AnnDataFile::open(path).expect_err("no table");
        (error.to_string(), error.kind().clone())
    };
    let (text, _) = kind(&tables());
    for part in ["a MuData file", "mod/atac, mod/rna", "tables.h5mu/mod/atac"] {
        assert!(text.contains(part), "{text}");
    }
    for inner in ["mod/rn", "zzz", "mod/rna/../rna"] {
        let (text, _) = kind(&tables().join(inner));
        assert!(
            text.contains(inner) && text.contains("mod/atac, mod/rna"),
            "{text}"
        );
    }
    let (text, _) = kind(&tables().join("mod/rna/X"));
    assert!(
        text.contains("a group") && text.contains("an array"),
        "{text}"
    );
    for gone in [
        stores().join("absent.h5mu/mod/rna"),
        stores().join("base_a_csr.h5ad/mod/rna"),
        stores().join("base_a_csr_v3.zarr/rna"),
        stores().join("rna"),
    ] {
        let (text, kind) = kind(&gone);
        assert!(matches!(kind, ErrorKind::NotFound), "{text}");
        assert!(text.starts_with(&*gone.display().to_string()), "{text}");
    }
}

/// The files of a store of the fixtures.
fn entries(name: &str) -> Entries {
    files::files_of(&stores().join(name))
}

#[test]
fn zarr_stores_of_several_tables_are_opened() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (version, root) in [
        ("v2", (".zgroup", r#"{"zarr_format": 2}"#)),
        (
            "v3",
            ("zarr.json", r#"{"zarr_format": 3, "node_type": "group"}"#),
        ),
    ] {
        let folder = dir.path().join(format!("both_{version}.zarr"));
        let mut all = Entries::new();
        for group in ["", "mod/", "tables/"] {
            all.insert(format!("{group}{}", root.0), root.1.into());
        }
        for (table, store) in [("mod/rna", "base_a_csr"), ("tables/of", "base_b_dense")] {
            for (name, bytes) in entries(&format!("{store}_{version}.zarr")) {
                all.insert(format!("{table}/{name}"), bytes);
            }
        }
        files::write_folder(&folder, &all);
        let whole = |name: &str| {
            x(&AnnDataFile::open(stores().join(format!("{name}_{version}.zarr"))).expect("whole"))
        };
        let (rna, table) = (whole("base_a_csr"), whole("base_b_dense"));
        let mut places = vec![folder.clone()];
        for form in [Form::Stored, Form::Deflated, Form::Descriptors, Form::Zip64] {
            for top in ["", "top.zarr/", "data/top.zarr/"] {
                let name = format!("{version}_{form:?}_{}.zip", top.replace('/', "_"));
                let path = dir.path().join(name);
                let mut below: Entries = all
                    .iter()
                    .map(|(name, bytes)| (format!("{top}{name}"), bytes.clone()))
                    .collect();
                // macOS adds such an entry.
                below.insert(format!("__MACOSX/{top}._{}", root.0), vec![0; 8]);
                fs::write(&path, archive::zip(&below, form)).expect("a small file");
                places.push(path);
            }
        }
        for place in places {
            let open = |inner: &str| {
                let path = place.join(inner);
                AnnDataFile::open(&path).unwrap_or_else(|error| panic!("{error}"))
            };
            assert_eq!(x(&open("mod/rna")), rna, "{}", place.display());
            assert_eq!(x(&open("rna")), rna, "{}", place.display());
            assert_eq!(x(&open("tables/of")), table, "{}", place.display());
            let error = AnnDataFile::open(&place)
                .expect_err("two tables")
                .to_string();
            assert!(error.contains("mod/rna, tables/of"), "{error}");
            let error = AnnDataFile::open(place.join("zzz"))
                .expect_err("no table")
                .to_string();
            assert!(error.contains("zzz"), "{error}");
        }
    }
}

#[test]
fn shards_in_deflated_entries_are_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in ["now_a_v3.zarr", "now_b_v3.zarr"] {
        let whole = AnnDataFile::open(stores().join(name)).expect("the folder");
        let path = dir.path().join(name).with_extension("zip");
        for form in [Form::Deflated, Form::Descriptors, Form::Zip64] {
            fs::write(&path, archive::zip(&entries(name), form)).expect("a small file");
            // The cache of decoded chunks keeps it; with an empty cache, readers hold one at a
            // time.
            for cache_bytes in [64 << 20, 0] {
                let context = IoContext::new(IoOptions::new().cache_bytes(cache_bytes));
                let zipped = AnnDataFile::open_in(&path, &context).expect("the archive");
                for key in whole.layers_keys().expect("readable") {
                    let expected = rows(&whole, &key, 1);
                    assert_eq!(rows(&zipped, &key, 1), expected, "{name} {key} {form:?}");
                    assert_eq!(rows(&zipped, &key, 100), expected, "{name} {key} {form:?}");
                }
            }
        }
    }
}

#[test]
fn zip_entry_with_false_claims_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.zip");
    for form in [Form::Bomb, Form::WrongSum, Form::WrongLength] {
        fs::write(&path, archive::zip(&entries("now_a_v3.zarr"), form)).expect("a small file");
        let error = AnnDataFile::open(&path).expect_err("damaged").to_string();
        assert!(error.contains("found"), "{form:?}: {error}");
    }
}

#[test]
fn archives_of_other_content_are_described() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.zip");
    let of = |names: &[&str]| {
        let entries = names.iter().map(|name| (name.to_string(), vec![1; 9]));
        fs::write(&path, archive::zip(&entries.collect(), Form::Stored)).expect("a small file");
        AnnDataFile::open(&path).expect_err("no zarr").to_string()
    };
    assert!(of(&["data/cells.h5ad"]).contains("data/cells.h5ad: unzip it first"));
    assert!(of(&["data.npy", "indptr.npy"]).contains("(.npz)"));
    assert!(of(&["readme.txt"]).contains("without zarr.json"));
    assert!(of(&[]).contains("without zarr.json"));
    let several = of(&["a.zarr/zarr.json", "b.zarr/zarr.json"]);
    assert!(several.contains("several zarr stores") && several.contains("a.zip/a.zarr"));
}
