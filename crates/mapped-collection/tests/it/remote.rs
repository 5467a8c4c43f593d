//! Files on a server: the same rows as on a disk, few requests, one object or an error.

use std::fs;
use std::path::{Path, PathBuf};

use anndata_io::chain;
use mapped_collection::{
    Batch, CacheOptions, IoOptions, LoaderOptions, MappedCollection, MatrixFormat, Shuffle,
    StorageOptions,
};

use crate::server::{Fault, Lacks, Server};

/// A folder with the demo's stores.
pub(crate) fn demo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    for name in ["a.h5ad", "b.h5ad", "c.zarr", "d.zarr"] {
        copy(&demo.join(name), &folder.path().join(name));
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        let folder = to.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).expect("a folder");
        fs::copy(from, to).expect("a small file");
        return;
    }
    fs::create_dir_all(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("readable") {
        let name = entry.expect("readable").file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}

/// A server with the demo's stores in the bucket `b`.
pub(crate) struct Bucket {
    pub(crate) server: Server,
    _folder: tempfile::TempDir,
}

impl Bucket {
    pub(crate) fn new() -> Bucket {
        let folder = demo();
        for name in ["a.h5ad", "c.zarr"] {
            let within = folder.path().join("b").join(name);
            copy(&folder.path().join(name), &within);
        }
        Bucket {
            server: Server::of(folder.path()),
            _folder: folder,
        }
    }
}

/// The options by which buckets of a server at `endpoint` are read.
pub(crate) fn in_bucket<'a>(name: &'a str, endpoint: &'a str) -> [(&'a str, &'a str); 2] {
    let endpoint = endpoint.trim_end_matches('/');
    [(name, endpoint), ("skip_signature", "true")]
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

pub(crate) fn epoch(cells: &MappedCollection, memory: usize) -> Result<Vec<Batch>, String> {
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

/// Each collection has locks of its own, as if it were a process.
#[test]
#[cfg(target_os = "linux")]
fn processes_that_share_a_folder_fetch_each_row_once() {
    let folder = demo();
    let server = Server::of(folder.path());
    let opened = |cache: &Path| {
        let cells = open(&urls(&server), Some(cache)).expect("valid");
        server.take_counts();
        cells
    };
    let [alone, shared] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let expected = epoch(&opened(alone.path()), MUCH).expect("readable");
    let (_, n_bytes) = server.take_counts();
    let cells = [(); 3].map(|()| opened(shared.path()));
    std::thread::scope(|scope| {
        let epochs = cells.each_ref();
        let epochs = epochs.map(|cells| scope.spawn(|| epoch(cells, MUCH).expect("readable")));
        for epoch in epochs {
            assert!(epoch.join().expect("no panic") == expected);
        }
    });
    let (_, of_three) = server.take_counts();
    // Bytes between chunks are fetched with both neighbours.
    let most = n_bytes + n_bytes / 10;
    assert!(of_three <= most, "{of_three} bytes, {n_bytes} by one alone");
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
fn busy_server_is_given_the_time_it_asks_for() {
    let folder = demo();
    let server = Server::of(folder.path());
    server.fail([Fault::Busy(1), Fault::Busy(1)]);
    let started = std::time::Instant::now();
    open(&urls(&server)[..1], None).expect("valid after a while");
    assert!(started.elapsed().as_millis() >= 2000);
}

/// These forms of URLs and paths have no server of their own in the tests.
#[test]
fn buckets_of_google_and_azure_are_asked_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(demo().path(), &folder.path().join("cells/my data"));
    let server = Server::of(folder.path());
    let local = open(&[folder.path().join("cells/my data/a.h5ad")], None).expect("valid");
    let expected = epoch(&local, MUCH).expect("readable");
    let endpoint = server.url("");
    let endpoint = endpoint.trim_end_matches('/');
    for (url, options) in [
        (
            "gs://cells/my data/a.h5ad",
            vec![("google_base_url", endpoint)],
        ),
        (
            "az://cells/my data/a.h5ad",
            vec![("azure_storage_endpoint", endpoint), ("account_name", "us")],
        ),
        (
            "abfs://cells/my data/a.h5ad",
            vec![("endpoint", endpoint), ("account_name", "us")],
        ),
        ("s3://cells/my data/a.h5ad", vec![("endpoint", endpoint)]),
    ] {
        let options = options.into_iter().chain([("skip_signature", "true")]);
        let storage = StorageOptions::new(options).expect("known names");
        let io = IoOptions::new().cache_bytes(0).pack_bytes(0);
        let builder = MappedCollection::builder([url])
            .obs(["cell_type"])
            .io(io)
            .cache(None);
        let builder = builder.storage_options(&storage).expect("URLs");
        let cells = builder.open().map_err(|error| chain(&error).to_string());
        let cells = cells.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(epoch(&cells, MUCH).expect("readable") == expected, "{url}");
        let name = cells
            .paths()
            .next()
            .expect("one file")
            .display()
            .to_string();
        assert_eq!(name, url);
    }
}

#[test]
fn google_is_told_who_pays() {
    let Bucket { server, .. } = &Bucket::new();
    let endpoint = server.url("");
    let [endpoint, unsigned] = in_bucket("google_base_url", &endpoint);
    let options = [endpoint, unsigned, ("google_user_project", "lab-42")];
    let storage = StorageOptions::new(options).expect("known names");
    let builder = MappedCollection::builder(["gs://b/a.h5ad"]).cache(None);
    let opened = builder.storage_options(&storage).expect("URLs").open();
    opened
        .map(|_| ())
        .map_err(|error| chain(&error).to_string())
        .expect("valid");
    let headers = server.headers().to_ascii_lowercase();
    assert!(headers.contains("x-goog-user-project: lab-42"), "{headers}");
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
        ("none.zarr", vec![], "no such file"),
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
        (
            "a.h5ad",
            vec![Fault::Redirect("http://169.254.169.254/latest".into()); 20],
            "a redirect to a link-local address",
        ),
        (
            "a.h5ad",
            vec![Fault::Redirect("http://[::ffff:169.254.0.1]/".into()); 20],
            "a redirect to a link-local address",
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
    let secure = server.url("a.h5ad").replace("http:", "https:");
    let error = open(&[secure.into()], None).expect_err("no TLS");
    assert!(error.contains("connection"), "{error}");
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

/// Stores of each format, one URL and one path each: shards, variable-length texts, CSC, dense.
fn zarr_stores() -> (tempfile::TempDir, Vec<String>) {
    let folder = demo();
    let names = [
        "now_sharded_v3.zarr",
        "layouts_v3.zarr",
        "csc_v2.zarr",
        "a2_v2.zarr",
    ];
    for name in names {
        copy(&crate::store(name), &folder.path().join(name));
    }
    let mut names = names.map(str::to_owned).to_vec();
    names.extend(["c.zarr".to_owned(), "d.zarr".to_owned()]);
    (folder, names)
}

#[test]
fn zarr_from_a_server_is_that_from_a_disk() {
    let (folder, names) = zarr_stores();
    let server = Server::of(folder.path());
    for name in &names {
        let local = open(&[folder.path().join(name)], None).expect("valid");
        let expected = epoch(&local, LITTLE).expect("readable");
        let cache = tempfile::tempdir().expect("a folder");
        for number in 0..3 {
            let cells = open(&[server.url(name).into()], Some(cache.path())).expect("valid");
            server.take_counts();
            assert!(
                epoch(&cells, LITTLE).expect("readable") == expected,
                "{name}"
            );
            let (n_requests, _) = server.take_counts();
            assert_eq!(n_requests == 0, number > 0, "{name}: {n_requests} requests");
            let items = [0, -1].map(|index| cells.get(index).expect("readable"));
            assert!(items == [0, -1].map(|index| local.get(index).expect("readable")));
        }
    }
}

#[test]
fn zarr_chunks_are_fetched_once_and_without_a_list() {
    let folder = demo();
    let server = Server::of(folder.path());
    // Two files of each array; three shards, each with an index and at most four chunks.
    for (name, expected) in [("c.zarr", 4..=4), ("d.zarr", 6..=3 + 11)] {
        let cells = open(&[server.url(name).into()], None).expect("valid");
        server.take_counts();
        epoch(&cells, MUCH).expect("readable");
        let (n_requests, _) = server.take_counts();
        assert!(expected.contains(&n_requests), "{name}: {n_requests}");
    }
}

#[test]
fn zarr_faults_name_the_way_out() {
    let folder = demo();
    let inside = |name: &str| folder.path().join(name);
    // Without its consolidated metadata.
    copy(&inside("c.zarr"), &inside("bare_v2.zarr"));
    fs::remove_file(inside("bare_v2.zarr/.zmetadata")).expect("it is there");
    copy(&crate::store("plain_v3.zarr"), &inside("bare_v3.zarr"));
    let server = Server::of(folder.path());
    let fails = |name: &str| {
        let error = open(&[server.url(name).into()], None).expect_err("a fault");
        assert!(error.contains(&server.url(name)), "{error}");
        error
    };
    for name in ["bare_v2.zarr", "bare_v3.zarr"] {
        assert!(fails(name).contains("zarr.consolidate_metadata"));
    }
    assert!(fails("none.zarr").contains("no such file"));
    assert!(fails("c.zarr/mod/rna").contains("no such file"));
    // Absent documents are refused rather than said to be absent.
    let refused = vec![Fault::Status(403); 3];
    server.fail(refused);
    assert!(fails("c.zarr").contains("HTTP status 403"));
    // A chunk that is refused, or cut short, is not the fill value.
    let cells = open(&[server.url("c.zarr").into()], None).expect("valid");
    for fault in [Fault::Status(403), Fault::WrongLength] {
        server.fail(vec![fault; 200]);
        epoch(&cells, MUCH).expect_err("a fault");
        server.after(0, vec![]);
    }
    // A chunk that changes between two reads of it.
    let cells = open(&[server.url("c.zarr").into()], None).expect("valid");
    cells.get(0).expect("readable");
    let chunk = inside("c.zarr/X/data/0");
    let mut bytes = fs::read(&chunk).expect("a chunk");
    bytes.push(0);
    fs::write(&chunk, &bytes).expect("writable");
    cells.get(-1).expect("of another chunk");
    let error = cells.get(0).expect_err("it changed");
    let error = chain(&error).to_string();
    assert!(error.contains("changed since it was opened"), "{error}");
}

#[test]
fn zarr_that_goes_away_is_an_error() {
    let folder = demo();
    let server = Server::of(folder.path());
    let store = folder.path().join("c.zarr");
    let cells = open(&[server.url("c.zarr").into()], None).expect("valid");
    cells.get(0).expect("readable");
    fs::rename(&store, folder.path().join("away.zarr")).expect("it is there");
    let error = epoch(&cells, MUCH).expect_err("nothing is there");
    assert!(error.contains("changed since it was opened"), "{error}");
    // Another store in its place.
    copy(&folder.path().join("d.zarr"), &store);
    epoch(&cells, MUCH).expect_err("not that store");
    cells.get(-1).expect_err("not that store");
}

#[test]
fn chunk_that_was_away_is_not_kept_as_fill_values() {
    let folder = demo();
    let server = Server::of(folder.path());
    let (cache, url) = (tempfile::tempdir().expect("a folder"), server.url("c.zarr"));
    let local = open(&[folder.path().join("c.zarr")], None).expect("valid");
    let expected = epoch(&local, MUCH).expect("readable");
    let (chunk, away) = (
        folder.path().join("c.zarr/X/data/1"),
        folder.path().join("away"),
    );
    fs::rename(&chunk, &away).expect("it is there");
    let cells = open(&[url.clone().into()], Some(cache.path())).expect("valid");
    // The server does not have it, and does not list files.
    assert!(epoch(&cells, MUCH).expect("fill values") != expected);
    cells.close();
    fs::rename(&away, &chunk).expect("it is there");
    let cells = open(&[url.into()], Some(cache.path())).expect("valid");
    assert!(epoch(&cells, MUCH).expect("readable") == expected);
    // One that was there cannot be away later.
    fs::rename(&chunk, &away).expect("it is there");
    let cells = open(&[server.url("c.zarr").into()], None).expect("valid");
    fs::rename(&away, &chunk).expect("it is there");
    cells.get(-1).expect("readable");
    fs::rename(&chunk, &away).expect("it is there");
    cells.get(0).expect("of another chunk");
    cells.get(-1).expect_err("it was there");
}

#[test]
fn store_of_another_format_takes_the_place_of_one_that_is_kept() {
    let folder = demo();
    let server = Server::of(folder.path());
    let (cache, store) = (
        tempfile::tempdir().expect("a folder"),
        folder.path().join("c.zarr"),
    );
    let read = |cache| {
        let cells = open(&[server.url("c.zarr").into()], cache).expect("valid");
        epoch(&cells, MUCH).expect("readable")
    };
    let first = read(Some(cache.path()));
    fs::remove_dir_all(&store).expect("it is there");
    copy(&folder.path().join("d.zarr"), &store);
    let second = read(Some(cache.path()));
    assert!(first != second && second == read(None));
}

#[test]
fn zarr_claims_without_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.zarr");
    copy(&crate::store("base_a_csr_v2.zarr"), &path);
    let text = fs::read_to_string(path.join(".zmetadata")).expect("a document");
    let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (name, array) in document["metadata"].as_object_mut().expect("a map") {
        if name.starts_with("obs/") && name.ends_with(".zarray") {
            array["shape"] = serde_json::json!([1u64 << 40]);
        }
    }
    fs::write(path.join(".zmetadata"), document.to_string()).expect("writable");
    let server = Server::of(folder.path());
    let started = std::time::Instant::now();
    let error = open(&[server.url("a.zarr").into()], None).expect_err("a lie");
    assert!(error.contains("a.zarr"), "{error}");
    assert!(started.elapsed().as_secs() < 60, "{error}");
}

#[test]
fn opening_again_asks_once_or_never() {
    let (folder, mut names) = zarr_stores();
    names.extend(["a.h5ad".to_owned(), "b.h5ad".to_owned()]);
    let server = Server::of(folder.path());
    let cache = tempfile::tempdir().expect("a folder");
    let open = |name: &str, revalidate: bool| {
        let builder = MappedCollection::builder([PathBuf::from(server.url(name) + "?sig=secret")]);
        let io = IoOptions::new()
            .cache_bytes(0)
            .pack_bytes(0)
            .revalidate(revalidate);
        let cells = builder.io(io).cache(CacheOptions::new(cache.path())).open();
        cells.expect("valid")
    };
    for name in &names {
        server.take_counts();
        let cells = open(name, true);
        let (n_requests, n_bytes) = server.take_counts();
        assert!(
            n_requests > 1,
            "{name}: {n_requests} requests, {n_bytes} bytes"
        );
        let expected = epoch(&cells, LITTLE).expect("readable");
        cells.close();
        for revalidate in [true, false] {
            server.take_counts();
            let cells = open(name, revalidate);
            assert!(
                epoch(&cells, LITTLE).expect("readable") == expected,
                "{name}"
            );
            let (n_requests, _) = server.take_counts();
            assert_eq!(n_requests, u64::from(revalidate), "{name}");
        }
        assert!(cache_is_without_secrets(cache.path()));
    }
    // A file that changed is read anew; without a question, packs and names are those of before.
    let before = epoch(&open("a.h5ad", true), LITTLE).expect("readable");
    fs::copy(folder.path().join("b.h5ad"), folder.path().join("a.h5ad")).expect("a small file");
    assert!(epoch(&open("a.h5ad", false), LITTLE).expect("readable") == before);
    let after = epoch(&open("a.h5ad", true), LITTLE).expect("readable");
    let local = MappedCollection::builder([folder.path().join("a.h5ad")])
        .io(IoOptions::new().cache_bytes(0));
    assert!(after == epoch(&local.open().expect("valid"), LITTLE).expect("readable"));
    assert!(after != before);
}

#[test]
fn cache_that_is_too_small_says_so_at_opening() {
    let folder = demo();
    let server = Server::of(folder.path());
    let scratch = tempfile::tempdir().expect("a folder");
    for (size, is_small) in [(100 << 10, true), (10 << 20, false)] {
        let cache = CacheOptions::new(scratch.path().join(size.to_string())).size(size);
        let builder = MappedCollection::builder(urls(&server)).cache(cache);
        let cells = builder.open().expect("valid");
        let warnings = cells.io().cache().expect("a cache").take_warnings();
        assert_eq!(warnings.len(), usize::from(is_small), "{warnings:?}");
        for warning in warnings {
            assert!(
                warning.contains("this cache at most 100.0 KiB"),
                "{warning}"
            );
            assert!(warning.contains("larger cache_size"), "{warning}");
        }
    }
}

fn cache_is_without_secrets(folder: &Path) -> bool {
    fs::read_dir(folder).expect("readable").all(|entry| {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => cache_is_without_secrets(&path),
            false => {
                let bytes = fs::read(&path).expect("readable");
                !bytes.windows(6).any(|part| part == b"secret")
            }
        }
    })
}
