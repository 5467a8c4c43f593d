//! The C library's backend reads the same as the default one, and also the files that that one
//! refuses.
#![cfg(feature = "libhdf5")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anndata_io::{
    AnnDataFile, Array, ErrorKind, Hdf5Backend, IoContext, IoOptions, MatrixSource, ReadScratch,
    RowSink, Store, ValuesRef,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn context(hdf5: Hdf5Backend) -> IoContext {
    IoContext::new(IoOptions::new().hdf5(hdf5))
}

/// All rows, in the form and order in which they arrive.
#[derive(Default, PartialEq, Debug)]
struct Rows(Vec<(usize, usize, Vec<u32>, Vec<f64>)>);

impl RowSink for Rows {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        for (at, value) in values.to_vec::<f64>().into_iter().enumerate() {
            self.0.push((row, start + at, Vec::new(), vec![value]));
        }
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.0.push((row, 0, columns.to_vec(), values.to_vec()));
    }
}

fn read(matrix: &MatrixSource) -> Vec<(usize, usize, Vec<u32>, String)> {
    let rows: Vec<u64> = (0..matrix.n_rows()).collect();
    let mut found = Rows::default();
    let result = matrix.read_rows(&rows, &mut ReadScratch::default(), &mut found);
    result.expect("readable");
    found.0.sort_by_key(|run| (run.0, run.1));
    // NaN equals itself as text.
    let text = |(row, start, columns, values)| (row, start, columns, format!("{values:?}"));
    found.0.into_iter().map(text).collect()
}

#[test]
fn backends_read_the_same_anndata() {
    let mut n_compared = 0;
    for entry in std::fs::read_dir(fixtures().join("stores")).expect("they are committed") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|end| end != "h5ad") {
            continue;
        }
        let open = |backend| AnnDataFile::open_in(&path, &context(backend));
        let pure = open(Hdf5Backend::Pure).expect("a fixture");
        // The library refuses filters that it lacks.
        let library = match open(Hdf5Backend::LibHdf5) {
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => continue,
            library => library.expect("a fixture"),
        };
        let shape = |file: &AnnDataFile| (file.n_obs(), file.n_vars());
        assert_eq!(shape(&pure), shape(&library));
        assert_eq!(
            pure.var_names().expect("names"),
            library.var_names().expect("names")
        );
        assert_eq!(
            pure.obs_keys().expect("keys"),
            library.obs_keys().expect("keys")
        );
        for key in pure.obs_keys().expect("keys") {
            let column = |file: &AnnDataFile| {
                file.obs_column(&key)
                    .map(|column| format!("{:?}", column.expect("listed").read_labels()))
            };
            if let Ok(expected) = column(&pure) {
                assert_eq!(
                    column(&library).expect("readable"),
                    expected,
                    "{} {key}",
                    path.display()
                );
            }
        }
        for key in pure.layers_keys().expect("keys") {
            if let (Ok(Some(a)), Ok(Some(b))) = (pure.layer(&key), library.layer(&key)) {
                assert_eq!(read(&a), read(&b), "{} {key}", path.display());
                n_compared += 1;
            }
        }
    }
    assert!(n_compared > 100, "only {n_compared} matrices");
}

#[test]
fn library_reads_what_the_default_backend_refuses() {
    let path = fixtures().join("hdf5/refused_virtual.h5");
    let open = |backend| Store::open(&path, &context(backend)).expect("HDF5");
    let pure = open(Hdf5Backend::Pure);
    let mut n_read = 0;
    let names = open(Hdf5Backend::LibHdf5).children("");
    for element in names.expect("a group") {
        let Err(error) = pure.array(&element) else {
            continue;
        };
        assert!(
            matches!(error.kind(), ErrorKind::Unsupported { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("libhdf5"), "{error}");
        for backend in [Hdf5Backend::LibHdf5, Hdf5Backend::PureThenLibHdf5] {
            let array = open(backend).array(&element).expect("the library reads it");
            let n_rows = array.shape().first().copied().unwrap_or(1);
            let values = array.read_row_range(0..n_rows).expect("readable");
            assert_eq!(values.len() as u64, array.len());
        }
        n_read += 1;
    }
    assert!(n_read > 0);
}

/// A plugin that leaves a mark when it is loaded.
const PLUGIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void mark(void) {
    FILE *file = fopen(getenv("PLUGIN_MARK"), "w");
    if (file) fclose(file);
}
"#;

/// Reads a file whose filter only a plugin would have. Runs only as a child of the test below.
#[test]
#[ignore = "a child process of another test"]
fn plugin_worker() {
    let path = fixtures().join("bad/filter_unheard_of.h5ad");
    let array = Store::open(&path, &context(Hdf5Backend::LibHdf5))
        .and_then(|store| store.array("layers/dense"))
        .and_then(|array| array.read_row_range(0..1));
    println!("@ {:?}", array.expect_err("an unknown filter"));
}

#[test]
fn c_library_loads_no_plugins() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("plugin.c"), PLUGIN).expect("room");
    let compiler = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([at("libplugin.so"), at("plugin.c")])
        .status();
    assert!(compiler.expect("a C compiler").success());
    let read_with = |name: &str, value: &Path| {
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "plugin_worker", "--ignored", "--nocapture"])
            .env(name, value)
            .env("PLUGIN_MARK", at("mark"))
            .output();
        let output = output.expect("this program runs");
        assert!(output.status.success(), "{output:?}");
        assert!(!at("mark").exists(), "{name}: the plugin was loaded");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let error = read_with("HDF5_PLUGIN_PATH", dir.path());
    assert!(error.contains("60123"), "{error}");
    for name in ["HDF5_VOL_CONNECTOR", "HDF5_DRIVER"] {
        let error = read_with(name, Path::new("plugin"));
        assert!(error.contains("@") && error.contains(name), "{error}");
    }
}

/// The wait status of a child that runs `body`; `None` if it returned true.
fn in_child(body: impl FnOnce() -> bool) -> Option<i32> {
    // SAFETY: the child allocates, which glibc allows after a fork, and leaves by `_exit`. The test
    // checks that the crate's own code takes no lock of another thread.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: `alarm` ends a child that hangs; `_exit` runs no handlers and no destructors.
            unsafe {
                libc::alarm(20);
                libc::_exit(if body() { 0 } else { 1 });
            }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` outlives the call, and `child` is a child of this process.
            unsafe { libc::waitpid(child, &mut status, 0) };
            (status != 0).then_some(status)
        }
    }
}

#[test]
fn c_library_is_an_error_in_a_forked_child_and_never_hangs() {
    let path = fixtures().join("hdf5/refused_virtual.h5");
    let context = context(Hdf5Backend::LibHdf5);
    let open = || {
        let store = Store::open(&path, &context).expect("HDF5");
        let names = store.children("").expect("a group");
        let array = names.iter().find_map(|name| store.array(name).ok());
        (store, array.expect("an array"))
    };
    let is_refused = |error: anndata_io::Error| {
        matches!(error.kind(), ErrorKind::Unsupported { .. }) && error.to_string().contains("fork")
    };
    // Opened beforehand: between the forks, only the other thread takes the library's lock, and
    // holds it most of the time.
    let opened: Vec<(Store, Array)> = (0..50).map(|_| open()).collect();
    let done = AtomicBool::new(false);
    let failures: Vec<i32> = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (_, array) = open();
                array.read_row_range(0..1).expect("readable");
            }
        });
        let forked = opened.into_iter().filter_map(|(store, array)| {
            in_child(|| {
                let refused = store.children("").is_err_and(is_refused)
                    && array.read_row_range(0..1).is_err_and(is_refused)
                    && Store::open(&path, &context).is_err_and(is_refused);
                drop((store, array));
                refused
            })
        });
        let failures = forked.collect();
        done.store(true, Ordering::Relaxed);
        failures
    });
    assert!(
        failures.is_empty(),
        "wait statuses of children: {failures:?}"
    );
}
