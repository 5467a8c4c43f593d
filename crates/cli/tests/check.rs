//! `check`, as its users run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mapped-anndata"))
        .arg("check")
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_BACKTRACE")
        .output()
        .expect("the command starts")
}

/// The exit code and standard output; nothing else is printed.
fn check(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = run(folder, args);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(stderr, "", "{args:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().expect("an exit code"), text)
}

/// The objects that `--json` prints: one a file, and that of all.
fn objects(folder: &Path, args: &[&str]) -> (i32, Vec<Value>, Value) {
    let (code, text) = check(folder, &[args, &["--json"]].concat());
    let lines = text.lines().map(serde_json::from_str);
    let mut objects: Vec<Value> = lines.collect::<Result<_, _>>().expect(&text);
    let whole = objects.pop().expect("one for all");
    (code, objects, whole)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().expect(name)
}

fn messages(value: &Value, name: &str) -> Vec<String> {
    let texts = list(value, name).iter();
    texts
        .map(|entry| entry["message"].as_str().expect("a text").to_owned())
        .collect()
}

fn demo() -> PathBuf {
    root().join("crates/cli/demo")
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("a file");
    }
}

/// Changes the bytes in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    let end = (middle + 16).min(bytes.len());
    bytes[middle..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(path, bytes).expect("it can be written");
}

#[test]
fn demo_has_no_faults() {
    let paths = ["a.h5ad", "b.h5ad", "c.zarr", "d.zarr"];
    let (code, files, whole) = objects(&demo(), &paths);
    assert_eq!(code, 0);
    let expected = json!({"files": 4, "faults": 0, "join_faults": [], "notices": []});
    assert_eq!(whole, expected);
    for (file, path) in files.iter().zip(paths) {
        let keys = [
            "path",
            "shape",
            "elements",
            "n_faults",
            "faults",
            "unsupported",
            "notices",
        ];
        assert!(file.as_object().expect("an object").keys().eq(keys));
        assert_eq!(file["path"], path);
        let names = list(file, "elements").iter();
        let names: Vec<&str> = names
            .filter_map(|element| element["element"].as_str())
            .collect();
        let expected = [
            "obs/_index",
            "var/_index",
            "obs/cell_type",
            "obs/donor",
            "obs/n_counts",
            "X",
            "layers/counts",
            "obsm/X_pca",
        ];
        assert_eq!(names, expected);
    }
    let expected = json!({
        "element": "X", "shape": [1100, 550], "dtype": "float32", "layout": "csr", "stored": 143379,
        "nan": 0, "infinite": 0, "negative": 0, "explicit_zeros": 0, "unordered": 0, "unused": 0,
        "missing": 0, "unwritten": 0, "more_faults": 0,
    });
    // Compared as text, for the order of keys.
    assert_eq!(
        list(&files[0], "elements")[5].to_string(),
        expected.to_string()
    );

    let (code, text) = check(&demo(), &paths);
    assert_eq!(code, 0);
    assert!(
        text.starts_with("a.h5ad: 1,100 cells x 550 genes\n\n element "),
        "{text}"
    );
    assert!(text.ends_with("\n\nno faults\n"), "{text}");
    let row = [
        "layers/counts",
        "900",
        "x",
        "500",
        "int32",
        "csr",
        "109,355",
    ];
    assert!(
        text.lines().any(|line| line.split_whitespace().eq(row)),
        "{text}"
    );
}

#[test]
fn fixtures_have_no_faults() {
    // Names that repeat cannot be joined, which is worth a word.
    let mut repeated = BTreeMap::from([
        ("constant.h5ad", "found \"B\" 2 times"),
        ("duplicates_1.h5ad", "found \"HLA-A\" 2 times"),
        ("duplicates_2_v3.zarr", "found \"HLA-A\" 2 times"),
    ])
    .into_iter()
    .map(|(name, found): (&str, &str)| (name.to_owned(), found))
    .collect::<BTreeMap<String, &str>>();
    for layout in ["dense", "csr"] {
        for ending in [".h5ad", "_v2.zarr", "_v3.zarr"] {
            let name = format!("genes_twice_{layout}{ending}");
            repeated.insert(name, "found \"CD4\" 2 times");
        }
    }
    let folder = root().join("fixtures/stores");
    let entries = fs::read_dir(&folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    assert!(names.len() > 100);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (code, files, whole) = objects(&folder, &names);
    // All of them together do need a join.
    let expected = "constant.h5ad: var: expected distinct names for the join, found \"B\" twice: \
                    keep the first of them, or their sum (--duplicates)";
    assert_eq!((code, &whole["faults"]), (1, &json!(1)));
    assert_eq!(whole["join_faults"], json!([expected]));
    assert_eq!(files.len(), names.len());
    for file in &files {
        let name = file["path"].as_str().expect("a path");
        assert_eq!(messages(file, "faults"), [""; 0], "{name}");
        assert_eq!(messages(file, "unsupported"), [""; 0], "{name}");
        let notices = messages(file, "notices");
        let notices: Vec<&String> = notices.iter().filter(|n| n.contains(": var: ")).collect();
        let expected = repeated
            .get(name)
            .map(|found| format!("{name}: var: expected distinct names, for a join, {found}"));
        assert!(notices.into_iter().eq(&expected), "{name}");
    }
}

/// Gene names that repeat are a fault where the files given need a join, and only there.
#[test]
fn repeated_gene_names_matter_to_joins() {
    let stores = root().join("fixtures/stores");
    for alone in [
        &["duplicates_1.h5ad"][..],
        &["duplicates_1.h5ad", "duplicates_1.h5ad"],
    ] {
        let (code, files, whole) = objects(&stores, alone);
        assert_eq!((code, &whole["join_faults"]), (0, &json!([])), "{alone:?}");
        assert_eq!(messages(&files[0], "notices").len(), 1);
    }
    let together = ["duplicates_1.h5ad", "base_a_csr.h5ad"];
    let (code, files, whole) = objects(&stores, &together);
    assert_eq!((code, &whole["faults"]), (1, &json!(1)));
    assert_eq!(list(&whole, "join_faults").len(), 1);
    assert!(files.iter().all(|file| file["n_faults"] == 0));
    let (_, text) = check(&stores, &together);
    let expected = "\nfaults as one collection:\n  duplicates_1.h5ad: var: expected distinct names";
    assert!(text.contains(expected), "{text}");
    assert!(text.ends_with("\n1 fault in 2 files\n"), "{text}");
}

#[test]
fn links_to_nothing_are_faults() {
    let folder = root().join("crates/cli/tests/data");
    for name in ["links_earliest.h5ad", "links_v110.h5ad"] {
        let (code, files, _) = objects(&folder, &[name]);
        assert_eq!(code, 1);
        let faults = list(&files[0], "faults");
        let mut elements: Vec<&str> = faults
            .iter()
            .filter_map(|f| f["element"].as_str())
            .collect();
        elements.sort_unstable();
        let expected = [
            "layers/deep/lost",
            "layers/elsewhere",
            "layers/lost",
            "layers/round",
            "layers/square",
            "obs/kind/codes",
            "obs/lost",
            "obsm/lost",
            "raw/X",
            "var/lost",
        ];
        assert_eq!(elements, expected, "{name}");
        let found = ": layers/lost: expected an element, found a link to /nothing/there, where \
                     nothing is";
        assert!(messages(&files[0], "faults").contains(&format!("{name}{found}")));
        assert_eq!(messages(&files[0], "unsupported"), [""; 0]);
        let read = list(&files[0], "elements").iter();
        let read: Vec<&str> = read
            .filter_map(|element| element["element"].as_str())
            .collect();
        let expected = [
            "obs/_index",
            "var/_index",
            "X",
            "layers/deep/fine",
            "layers/fine",
            "layers/same",
        ];
        assert_eq!(read, expected, "{name}");
        // What is not asked for is not told of, and what is asked for once.
        let (_, files, _) = objects(
            &folder,
            &[name, "--obs", "lost", "--layers", "X", "--obsm", ""],
        );
        let faults = list(&files[0], "faults").iter();
        let elements: Vec<&str> = faults.filter_map(|f| f["element"].as_str()).collect();
        assert_eq!(elements, ["var/lost", "obs/lost"], "{name}");
        assert_eq!(messages(&files[0], "notices"), [""; 0]);
    }
}

#[test]
fn zarr_folder_without_metadata_is_a_fault() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (store, document) in [("c.zarr", ".zarray"), ("d.zarr", "zarr.json")] {
        let copied = folder.path().join(store);
        copy(&demo().join(store), &copied);
        fs::remove_file(copied.join("obs/n_counts").join(document)).expect("it is there");
        let (code, files, _) = objects(folder.path(), &[store]);
        assert_eq!(code, 1);
        let faults = messages(&files[0], "faults");
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("obs/n_counts: expected an element, found a folder"));
    }
}

#[test]
fn truncated_file_does_not_open() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = fs::read(demo().join("a.h5ad")).expect("a file");
    fs::write(folder.path().join("a.h5ad"), &bytes[..bytes.len() - 1000]).expect("room");
    let (code, text) = check(folder.path(), &["a.h5ad"]);
    assert_eq!(code, 1);
    let (whole, found) = (bytes.len(), bytes.len() - 1000);
    let expected = format!("the file was cut short: expected {whole} bytes, found {found}: copy");
    assert!(text.contains(&expected), "{text}");
}

/// What a store holds beyond the ordinary, counted.
#[test]
fn values_of_stores_are_counted() {
    let stores = root().join("fixtures/stores");
    let counts = |store: &str, element: &str| {
        let (_, files, _) = objects(&stores, &[store]);
        let elements = list(&files[0], "elements");
        let found = elements.iter().find(|found| found["element"] == element);
        let object = found.expect(element).as_object().expect("an object");
        let nonzero = object.iter().skip(5).filter(|(_, n)| **n != json!(0));
        let counts = nonzero.map(|(name, n)| (name.clone(), n.as_u64().expect("a count")));
        counts.collect::<BTreeMap<_, _>>()
    };
    let of = |expected: &[(&str, u64)]| {
        let owned = expected.iter().map(|(name, n)| ((*name).to_owned(), *n));
        owned.collect::<BTreeMap<_, _>>()
    };
    for store in ["csr_odd.h5ad", "csr_odd_v2.zarr", "csr_odd_v3.zarr"] {
        assert_eq!(counts(store, "X"), of(&[("unordered", 2)]), "{store}");
    }
    assert_eq!(counts("obs_1.h5ad", "obs/n_int"), of(&[("missing", 2)]));
    let floats = of(&[("nan", 1), ("infinite", 1)]);
    assert_eq!(counts("obs_1.h5ad", "obs/float32"), floats);
}

#[test]
fn bad_files_are_all_reported() {
    let folder = root().join("fixtures/bad");
    let text = fs::read_to_string(folder.join("bad.json")).expect("it is committed");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let cases = cases.as_array().expect("a list of files");
    let name = |case: &Value| case["file"].as_str().expect("a file").to_owned();
    let names: Vec<String> = cases.iter().map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (code, files, whole) = objects(&folder, &names);
    assert_eq!(code, 1);
    assert_eq!(files.len(), cases.len());
    let mut n_faults = 0;
    for (file, case) in files.iter().zip(cases) {
        let (name, why) = (&case["file"], &case["why"]);
        let element = case["element"].as_str().unwrap_or_default();
        let (faults, notices) = (messages(file, "faults"), messages(file, "unsupported"));
        // One thing is wrong with each file, and nothing else is reported.
        assert_eq!(faults.len() + notices.len(), 1, "{name} ({why}): {file}");
        let found = faults.iter().chain(&notices).next().expect("one");
        assert!(found.contains(element), "{name} ({why}): {found}");
        // Only kinds of layers that are not supported are no faults.
        let is_notice = faults.is_empty();
        let is_supported = !found.contains("not supported") || element.is_empty() || element == "X";
        assert_eq!(is_notice, !is_supported, "{name} ({why}): {found}");
        n_faults += faults.len();
    }
    assert_eq!(whole["faults"], n_faults);
}

#[test]
fn faults_of_a_file_are_all_listed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("c.zarr");
    copy(&demo().join("c.zarr"), &store);
    for chunk in [
        "X/indices/0",
        "X/data/1",
        "layers/counts/data/0",
        "layers/counts/data/1",
    ] {
        damage(&store.join(chunk));
    }
    fs::write(store.join("obs/donor/codes/.zarray"), "{").expect("it can be written");
    for workers in ["1", "2", "5"] {
        let (code, files, whole) = objects(folder.path(), &["c.zarr", "--workers", workers]);
        assert_eq!((code, &whole["faults"]), (1, &json!(5)));
        let faults = list(&files[0], "faults").iter();
        let elements: Vec<&str> = faults
            .filter_map(|fault| fault["element"].as_str())
            .collect();
        let expected = [
            "obs/donor/codes",
            "X/indices",
            "X/data",
            "layers/counts/data",
            "layers/counts/data",
        ];
        assert_eq!(elements, expected);
        // Elements that could be opened are reported, whatever is wrong with their chunks.
        assert_eq!(list(&files[0], "elements").len(), 7);
    }
    let (code, text) = check(folder.path(), &["c.zarr"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("\nfaults:\n  obs/donor/codes: expected JSON"),
        "{text}"
    );
    assert!(
        text.contains("\n  layers/counts/data: chunk 1 cannot be decoded: "),
        "{text}"
    );
    assert!(text.ends_with("\n5 faults in 1 file\n"), "{text}");

    // What is not asked for is not read.
    let sound = ["c.zarr", "--layers", "", "--obs", "cell_type"];
    let (code, files, _) = objects(folder.path(), &sound);
    assert_eq!((code, list(&files[0], "elements").len()), (0, 4));

    // Two chunks of a dense matrix, each in a shard of its own.
    let store = folder.path().join("d.zarr");
    copy(&demo().join("d.zarr"), &store);
    damage(&store.join("X/c/0/0"));
    damage(&store.join("X/c/2/0"));
    let (_, files, _) = objects(folder.path(), &["d.zarr"]);
    let faults = messages(&files[0], "faults");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("d.zarr: X: chunk 2 ") && faults[1].contains(": chunk 9 "));
}

/// Legal in zarr, where it stands for the fill value, but worth a word.
#[test]
fn absent_chunks_are_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("c.zarr");
    copy(&demo().join("c.zarr"), &store);
    for chunk in ["layers/counts/data/0", "obsm/X_pca/0.0", "obs/n_counts/0"] {
        fs::remove_file(store.join(chunk)).expect("it is there");
    }
    let (code, files, _) = objects(folder.path(), &["c.zarr"]);
    assert_eq!(code, 0);
    for element in list(&files[0], "elements") {
        let name = element["element"].as_str().expect("a name");
        let is_damaged = ["layers/counts", "obsm/X_pca", "obs/n_counts"].contains(&name);
        assert_eq!(element["unwritten"], u64::from(is_damaged), "{name}");
    }
}

#[test]
fn unopenable_file_is_one_fault() {
    let paths = ["absent.h5ad", "a.h5ad", "../Cargo.toml"];
    let (code, files, whole) = objects(&demo(), &paths);
    assert_eq!((code, &whole["faults"]), (1, &json!(2)));
    assert_eq!(
        messages(&files[0], "faults"),
        ["absent.h5ad: no such file or directory"]
    );
    assert_eq!(
        (&files[0]["shape"], &files[1]["n_faults"]),
        (&Value::Null, &json!(0))
    );
    let (_, text) = check(&demo(), &paths);
    let expected =
        "absent.h5ad: not opened\n\nfaults:\n  no such file or directory\n\na.h5ad: 1,100";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with("\n2 faults in 2 files\n"), "{text}");
}

#[test]
fn conflicts_between_files_are_reported() {
    let stores = root().join("fixtures/stores");
    let notices = |args: &[&str]| {
        let (code, _, whole) = objects(&stores, args);
        assert_eq!(code, 0);
        let texts = list(&whole, "notices").iter();
        texts
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(notices(&["base_a_csr.h5ad", "base_b_csr.h5ad"]), [""; 0]);
    let disjoint = notices(&["base_a_csr.h5ad", "disjoint.h5ad"]);
    let expected = "inner join: no variable is in every store: use --join outer, or --join none";
    assert_eq!(disjoint, [expected]);
    let mixed = notices(&["obs_1.h5ad", "obs_2.h5ad"]);
    assert_eq!(mixed.len(), 1, "{mixed:?}");
    let expected = "labels: obs/differs: expected labels of one kind, found ";
    assert!(mixed[0].starts_with(expected), "{mixed:?}");
    let (_, text) = check(&stores, &["obs_1.h5ad", "obs_2.h5ad"]);
    let expected = "\nas one collection:\n  labels: obs/differs: ";
    assert!(
        text.contains(expected) && text.ends_with("\n\nno faults\n"),
        "{text}"
    );
}

#[test]
fn nonexistent_keys_are_reported() {
    let (code, files, _) = objects(
        &demo(),
        &["a.h5ad", "--obs", "celltype", "--layers", "count"],
    );
    assert_eq!(code, 0);
    let expected = [
        "a.h5ad: obs/celltype: no such element: did you mean \"cell_type\"?",
        "a.h5ad: layers/count: no such element: did you mean \"counts\"?",
    ];
    assert_eq!(messages(&files[0], "notices"), expected);
}

#[test]
fn wrong_command_line_is_refused() {
    for args in [
        &[][..],
        &["a.h5ad", "--workers", "0"],
        &["a.h5ad", "--join", "inner"],
    ] {
        let output = run(&demo(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let (code, text) = check(&demo(), &["--help"]);
    assert_eq!(code, 0);
    assert!(
        text.contains("Examples:") && text.contains("JSON: one object a line"),
        "{text}"
    );
}
