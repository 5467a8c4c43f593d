//! Bad input: the files of `fixtures/bad`, each with the error that it must give, and where. No
//! panic, and no memory that a file merely claims.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anndata_io::chain;
use mapped_collection::{
    DType, Error, Join, LoaderOptions, MappedCollection, MemoryStore, ReadError, Values,
};
use serde_json::Value;

use crate::fixtures;

/// Remembers the largest request.
struct Watch;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Watch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watch = Watch;

fn keys(options: &Value, name: &str) -> Option<Vec<String>> {
    let list = options.get(name)?.as_array().expect("a list of keys");
    Some(
        list.iter()
            .map(|key| key.as_str().expect("a key").to_owned())
            .collect(),
    )
}

/// Which step fails, and how.
fn fail(file: &str, options: &Value) -> Option<(&'static str, Error)> {
    let path = if file.contains("://") {
        PathBuf::from(file)
    } else {
        fixtures().join("bad").join(file)
    };
    let mut builder = MappedCollection::builder([path]);
    if let Some(layers) = keys(options, "layers_keys") {
        builder = builder.layers(layers);
    }
    if let Some(obs) = keys(options, "obs_keys") {
        builder = builder.obs(obs);
    }
    let cells = match builder.open() {
        Ok(cells) => cells,
        Err(error) => return Some(("open", error)),
    };
    let read = (0..cells.n_obs().min(100) as i64).try_for_each(|row| cells.get(row).map(drop));
    read.err().map(|error| ("read", error))
}

/// What is listed of bad files.
fn list() -> Vec<Value> {
    let text = std::fs::read_to_string(fixtures().join("bad/bad.json")).expect("it is committed");
    serde_json::from_str(&text).expect("a list of files")
}

/// The error of every bad file, with its name.
pub(crate) fn bad_files() -> Vec<(String, Error)> {
    let case = |case: Value| {
        let file = case["file"].as_str().expect("a name").to_owned();
        let (_, error) = fail(&file, &case["options"])?;
        Some((file, error))
    };
    list().into_iter().filter_map(case).collect()
}

#[test]
fn bad_files_fail_with_their_error() {
    let list = list();
    assert!(list.len() >= 50, "only {} files", list.len());
    let mut failures = Vec::new();
    for case in &list {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let (file, step, element) = (text("file"), text("step"), text("element"));
        let failure = match fail(file, &case["options"]) {
            None => "no error".to_owned(),
            Some((found, error)) if found != step => format!("{found} fails: {error}"),
            Some((_, error)) => {
                let message = chain(&error).to_string();
                let missing = [file, element, text("contains")]
                    .into_iter()
                    .find(|part| !message.contains(part));
                match missing {
                    None => continue,
                    Some(part) => format!("{part:?} is not in: {message}"),
                }
            }
        };
        failures.push(format!(
            "{file} ({}), {step} expected: {failure}",
            text("why")
        ));
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        list.len(),
        failures.join("\n")
    );
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(
        largest < 256 << 20,
        "{largest} bytes were asked for at once"
    );
}

fn memory(name: &str, vars: &[&str]) -> MemoryStore {
    let zeros = Values::F32(vec![0.0; vars.len()]);
    MemoryStore::new(name)
        .dataframe("obs", &["c"])
        .dataframe("var", vars)
        .array("X", &[1, vars.len() as u64], zeros)
}

fn error(builder: mapped_collection::MappedCollectionBuilder) -> String {
    builder.open().expect_err("it must not open").to_string()
}

#[test]
fn contradictory_options_are_refused() {
    let cells = || MappedCollection::builder([memory("a", &["x"])]);
    assert!(error(MappedCollection::builder(Vec::<PathBuf>::new())).contains("at least one"));
    assert_eq!(
        error(cells().obs(["a"]).encode_labels(["b"])),
        "encode_labels: expected keys that are in .obs([..]), found \"b\""
    );
    assert_eq!(
        error(cells().obs(["a"]).unknown_label("b", "u")),
        "unknown_label: expected keys that are in .obs([..]) and encoded, found \"b\""
    );
    assert!("float33".parse::<DType>().is_err());
}

#[test]
fn unjoinable_variables_are_refused() {
    let join = |join, a: &[&str], b: &[&str]| {
        error(MappedCollection::builder([memory("a", a), memory("b", b)]).join(join))
    };
    assert_eq!(
        join(Join::Inner, &["x"], &["y"]),
        "no variable is in every store: keep all variables with .join(Join::Outer), or do not join, with .join(None)"
    );
    for kind in [Join::Inner, Join::Outer] {
        let message = join(kind, &["x", "y"], &["y", "z", "y"]);
        assert!(
            message.contains("b:") && message.contains("\"y\""),
            "{message}"
        );
    }
}

#[test]
fn mixed_label_kinds_name_both_stores() {
    let a = memory("a", &["x"]).categorical("obs/k", vec![0], &["text"]);
    let b = memory("b", &["x"]).array("obs/k", &[1], Values::I64(vec![7]));
    let message = error(MappedCollection::builder([a, b]).obs(["k"]));
    assert!(
        message.contains(" a and ") && message.ends_with(" b"),
        "{message}"
    );
}

#[test]
fn unreadable_row_is_named() {
    let rows = |name: &str, columns: Vec<i32>| {
        let values = Values::F32(vec![1.0; 3]);
        MemoryStore::new(name)
            .dataframe("obs", &["c1", "c2", "c3"])
            .dataframe("var", &["g1", "g2"])
            .csr("X", [3, 2], vec![0, 1, 2, 3], columns, values)
    };
    // The second row of b has a column that does not exist.
    let cells = MappedCollection::builder([rows("a", vec![0, 1, 0]), rows("b", vec![1, 9, 0])])
        .open()
        .expect("columns are not looked at");
    let check = |error: Error| {
        assert!(
            matches!(
                &error,
                Error::Read(ReadError::File {
                    store: 1,
                    row: Some(1),
                    ..
                })
            ),
            "{error:?}"
        );
        let text = chain(&error).to_string();
        assert!(
            text.starts_with("row 1 of store 1 cannot be read: b: X/indices: "),
            "{text}"
        );
        assert!(
            error
                .file()
                .is_some_and(|error| error.element() == "X/indices")
        );
    };
    check(cells.get(4).expect_err("a bad row"));
    check(cells.get_batch(&[5, 0, 4, 3]).expect_err("a bad row"));
    for workers in [0, 2] {
        let loader = cells.loader(LoaderOptions::new(2).workers(workers));
        let batches: Vec<_> = loader.expect("valid options").epoch(0).collect();
        let [Ok(_), Ok(_), Err(error)] = &batches[..] else {
            panic!("one batch fails: {batches:?}");
        };
        check(error.clone());
    }
}
