//! Files on a server: the same rows as on a disk, few requests, one object or an error.

use std::fs;
use std::path::{Path, PathBuf};

use anndata_io::chain;
use mapped_collection::{
    Batch, CacheOptions, IoOptions, LoaderOptions, MappedCollection, MatrixFormat, Shuffle,
};

use crate::server::{Fault, Lacks, Server};

/// A folder with the demo's h5ad files.
fn demo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    for name in ["a.h5ad", "b.h5ad"] {
        fs::copy(demo.join(name), folder.path().join(name)).expect("a small file");
    }
    folder
}

fn open(paths: &[PathBuf], cache: Option<&Path>) -> Result<MappedCollection, String> {
    let builder = MappedCollection::builder(paths.iter().map(PathBuf::as_path))
        .obs(["cell_type"])
        .io(IoOptions::new().cache_bytes(0).pack_bytes(0))
        .cache(cache.map(CacheOptions::new));
    builder.open().map_err(|error| chain(&error).to_string())
}

fn urls(server: &Server) -> Vec<PathBuf> {
    ["a.h5ad", "b.h5ad"]
        .map(|name| server.url(name).into())
        .into()
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    ["a.h5ad", "b.h5ad"].map(|name| folder.join(name)).into()
}

fn epoch(cells: &MappedCollection, memory: usize) -> Result<Vec<Batch>, String> {
    let options = LoaderOptions::new(32).shuffle(Shuffle::Exact).seed(3);
    let options = options.memory(memory).output(MatrixFormat::Csr);
    let loader = cells.loader(options).expect("valid options");
    loader
        .epoch(1)
        .map(|batch| batch.map_err(|error| chain(&error).to_string()))
        .collect()
}

/// Everything fits in this much.
const MUCH: usize = 256 << 20;
/// Windows of a few batches fit in this much.
const LITTLE: usize = 4 << 20;

#[test]
fn epoch_from_a_server_is_that_from_a_disk() {
    let folder = demo();
    let server = Server::of(folder.path());
    let size: u64 = paths(folder.path())
        .iter()
        .map(|path| path.metadata().expect("it is there").len())
        .sum();
    let local = open(&paths(folder.path()), None).expect("valid");
    for memory in [LITTLE, MUCH] {
        let expected = epoch(&local, memory).expect("readable");
        let cells = open(&urls(&server), None).expect("valid");
        let (n_requests, _) = server.take_counts();
        assert!(n_requests < 40, "{n_requests} requests to open two files");
        assert!(epoch(&cells, memory).expect("readable") == expected);
        let (n_requests, n_bytes) = server.take_counts();
        if memory == MUCH {
            assert!(n_bytes < size, "{n_bytes} of {size} bytes");
            assert!(n_requests < 60, "{n_requests} requests for the rows");
        }
        for index in [0, -1] {
            let expected = local.get(index).expect("readable");
            assert!(cells.get(index).expect("readable") == expected);
        }
    }
}

#[test]
fn packs_of_a_server_s_files_are_found_again() {
    let folder = demo();
    let server = Server::of(folder.path());
    let cache = tempfile::tempdir().expect("a folder");
    let local = open(&paths(folder.path()), None).expect("valid");
    let expected = epoch(&local, LITTLE).expect("readable");
    for number in 0..3 {
        let cells = open(&urls(&server), Some(cache.path())).expect("valid");
        server.take_counts();
        assert!(epoch(&cells, LITTLE).expect("readable") == expected);
        let (n_requests, _) = server.take_counts();
        assert_eq!(n_requests == 0, number > 0, "{n_requests} requests");
    }
    // Another object at the same URL is not that of the packs.
    let path = folder.path().join("a.h5ad");
    fs::copy(folder.path().join("b.h5ad"), &path).expect("a small file");
    let expected = epoch(&open(&paths(folder.path()), None).expect("valid"), LITTLE);
    let cells = open(&urls(&server), Some(cache.path())).expect("valid");
    assert!(epoch(&cells, LITTLE) == expected);
}

#[test]
fn changed_object_is_an_error() {
    for lacks in [
        Lacks::default(),
        Lacks {
            conditions: true,
            ..Lacks::default()
        },
        Lacks {
            conditions: true,
            etags: true,
            ..Lacks::default()
        },
    ] {
        let folder = demo();
        let server = Server::lacking(folder.path(), lacks);
        let cells = open(&urls(&server)[..1], None).expect("valid");
        cells.get(3).expect("readable");
        let path = folder.path().join("a.h5ad");
        let mut bytes = fs::read(&path).expect("readable");
        // Without an ETag, only another length shows.
        bytes.push(0);
        fs::write(&path, bytes).expect("writable");
        let error = epoch(&cells, MUCH).expect_err("it changed");
        assert!(error.contains("changed since it was opened"), "{error}");
        assert!(error.contains("/a.h5ad"), "{error}");
    }
}

#[test]
fn faults_that_pass_are_tried_again() {
    let folder = demo();
    let server = Server::of(folder.path());
    let expected = epoch(&open(&paths(folder.path()), None).expect("valid"), MUCH);
    server.fail([Fault::Status(503), Fault::Reset]);
    let cells = open(&urls(&server), None).expect("valid after two faults");
    server.fail([Fault::Short, Fault::Status(500), Fault::Reset]);
    assert!(epoch(&cells, MUCH) == expected);
}

#[test]
fn faults_that_stay_name_the_way_out() {
    let folder = demo();
    fs::write(folder.path().join("empty.h5ad"), b"").expect("writable");
    fs::write(folder.path().join("page.h5ad"), b"<html>").expect("writable");
    let server = Server::of(folder.path());
    let url = |name: &str| server.url(name).replace("http://", "http://me:hush@") + "?sig=secret";
    let fails = |name: &str, faults: Vec<Fault>| {
        server.fail(faults);
        let error = open(&[url(name).into()], None).expect_err("a fault");
        assert!(error.contains(&server.url(name)), "{error}");
        assert!(
            !error.contains("secret") && !error.contains("hush"),
            "{error}"
        );
        error
    };
    for (name, faults, expected) in [
        ("none.h5ad", vec![], "no such file"),
        (
            "none.zarr",
            vec![],
            "a zarr directory on a server is not supported",
        ),
        ("empty.h5ad", vec![], "an empty file"),
        ("page.h5ad", vec![], "expected an HDF5 file"),
        ("a.h5ad", vec![Fault::Status(403)], "HTTP status 403"),
        ("a.h5ad", vec![Fault::Status(401)], "refused access"),
        ("a.h5ad", vec![Fault::WrongRange], "no valid answer"),
        (
            "a.h5ad",
            vec![Fault::Redirect("ftp://127.0.0.1/a.h5ad".into())],
            "server",
        ),
    ] {
        let error = fails(name, faults);
        assert!(error.contains(expected), "{name}: {error}");
    }
    let lacks = Lacks {
        ranges: true,
        ..Lacks::default()
    };
    let server = Server::lacking(folder.path(), lacks);
    let error = open(&[server.url("a.h5ad").into()], None).expect_err("no ranges");
    assert!(error.contains("cannot send parts"), "{error}");
    drop(server);
    let error = open(&["http://127.0.0.1:1/a.h5ad".into()], None).expect_err("nobody answers");
    assert!(error.contains("connection"), "{error}");
}

#[test]
fn redirects_are_followed_and_learn_no_secret() {
    let folder = demo();
    let [first, second] = [(); 2].map(|()| Server::of(folder.path()));
    first.fail(vec![Fault::Redirect(second.url("a.h5ad")); 1000]);
    let url = first.url("a.h5ad") + "?sig=secret";
    let cells = open(&[url.into()], None).expect("valid");
    let local = open(&paths(folder.path())[..1], None).expect("valid");
    assert!(epoch(&cells, MUCH) == epoch(&local, MUCH));
    let headers = second.headers();
    assert!(
        headers.contains("Host") || headers.contains("host"),
        "{headers}"
    );
    assert!(!headers.contains("secret"), "{headers}");
    // One that leads back never ends.
    first.after(0, vec![Fault::Redirect(first.url("a.h5ad")); 100]);
    let error = open(&[first.url("a.h5ad").into()], None).expect_err("a circle");
    assert!(error.contains("redirects"), "{error}");
}

#[test]
fn faults_in_the_middle_of_opening_keep_their_kind() {
    let folder = demo();
    let server = Server::of(folder.path());
    for (status, expected) in [
        (403, "HTTP status 403"),
        (412, "changed since it was opened"),
        (404, "no such file"),
    ] {
        // The first answer is right, all others are not.
        server.after(1, vec![Fault::Status(status); 50]);
        let error = open(&urls(&server)[..1], None).expect_err("a fault");
        assert!(error.contains(expected), "{error}");
        server.after(0, vec![]);
    }
}
