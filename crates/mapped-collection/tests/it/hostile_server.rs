//! Servers that are slow, absent or hostile must give an error soon and take little memory.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anndata_io::chain;
use mapped_collection::{
    CacheOptions, IoOptions, LoaderOptions, MappedCollection, Shuffle, StorageOptions,
};

use crate::remote::{Bucket, demo, epoch, in_bucket};
use crate::server::{Fault, Server};

/// Times that tests can wait for.
const QUICK: [(&str, &str); 2] = [("timeout", "300ms"), ("connect_timeout", "300ms")];

/// The requests before the list of a zarr directory in a bucket: three documents that it may have.
const LIST: usize = 3;

fn open(url: &str, options: &[(&str, &str)]) -> Result<MappedCollection, String> {
    open_with(url, options, None)
}

fn open_with(
    url: &str,
    options: &[(&str, &str)],
    cache: Option<CacheOptions>,
) -> Result<MappedCollection, String> {
    let storage = StorageOptions::new(options.iter().copied()).expect("known names");
    let builder = MappedCollection::builder([PathBuf::from(url)])
        .obs(["cell_type"])
        .io(IoOptions::new().cache_bytes(0).pack_bytes(0))
        .cache(cache);
    let opened = builder.storage_options(&storage).expect("a URL").open();
    opened.map_err(|error| chain(&error).to_string())
}

fn within<T>(most: u64, what: &str, run: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = run();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(most), "{what}: {took:?}");
    result
}

#[test]
fn server_that_sends_nothing_is_given_up() {
    let folder = demo();
    let server = Server::of(folder.path());
    for in_body in [false, true] {
        server.after(0, vec![Fault::Stall(in_body); 50]);
        let opened = within(15, "stall", || open(&server.url("a.h5ad"), &QUICK));
        let error = opened.expect_err("no byte comes");
        assert!(error.contains("/a.h5ad"), "{error}");
        assert!(error.contains("set timeout"), "{error}");
    }
    // One that goes on in time is waited for.
    server.after(0, vec![Fault::Stall(false), Fault::Stall(true)]);
    open(&server.url("a.h5ad"), &QUICK).expect("valid after two stalls");
}

#[test]
fn rows_of_a_server_that_stalls_fail_with_its_kind() {
    let folder = demo();
    let server = Server::of(folder.path());
    let cells = open(&server.url("a.h5ad"), &QUICK).expect("valid");
    server.after(0, vec![Fault::Stall(false); 100]);
    let error = within(15, "stall", || cells.get(0)).expect_err("no byte comes");
    let error = chain(&error).to_string();
    assert!(error.contains("set timeout"), "{error}");
}

#[test]
fn epoch_from_a_server_that_ends_fails_soon() {
    let folder = demo();
    for n_answers in [0, 2] {
        let server = Server::of(folder.path());
        let cells = open(&server.url("a.h5ad"), &QUICK).expect("valid");
        server.after(n_answers, vec![Fault::Reset; 1000]);
        let options = LoaderOptions::new(8).shuffle(Shuffle::Exact);
        let mut batches = cells.loader(options).expect("valid options").epoch(0);
        if n_answers == 0 {
            drop(server);
        }
        let error = within(20, "an error", || batches.find_map(Result::err)).expect("no server");
        let error = chain(&error).to_string();
        assert!(error.contains("connection to the server failed"), "{error}");
    }
}

/// Each collection has locks of its own, as if it were a process.
#[test]
#[cfg(target_os = "linux")]
fn epoch_that_waits_for_another_process_can_be_stopped() {
    let folder = demo();
    let server = Server::of(folder.path());
    let cache = tempfile::tempdir().expect("a folder");
    let opened = || {
        let cache = CacheOptions::new(cache.path());
        open_with(&server.url("a.h5ad"), &QUICK, Some(cache)).expect("valid")
    };
    let [first, second] = [(); 2].map(|()| opened());
    // The order of `epoch`.
    let options = LoaderOptions::new(32).shuffle(Shuffle::Exact).seed(3);
    server.after(0, vec![Fault::Stall(false); 1000]);
    std::thread::scope(|scope| {
        // It claims all bands, and gets none.
        let claiming = scope.spawn(|| epoch(&first, 256 << 20));
        std::thread::sleep(Duration::from_millis(100));
        let loader = second.loader(options).expect("valid options");
        let mut waiting = loader.epoch(1);
        assert!(!waiting.wait(Duration::from_millis(200)));
        within(1, "drop", || drop(waiting));
        assert!(!claiming.is_finished());
        server.after(0, vec![]);
        claiming.join().expect("no panic").expect("readable");
    });
    assert!(epoch(&second, 256 << 20) == epoch(&first, 256 << 20));
}

#[test]
fn server_that_is_not_there_is_an_error_soon() {
    // The top-level domain `invalid` never exists.
    let (busy, _queue) = server_that_accepts_nobody();
    let failed = "connection to the server failed";
    for (url, options, expected) in [
        ("http://nobody.invalid/a.h5ad", &[][..], failed),
        ("http://127.0.0.1:1/a.h5ad", &[], failed),
        (
            &format!("http://{busy}/a.h5ad"),
            &QUICK,
            "did not answer in time",
        ),
    ] {
        let opened = within(10, url, || open(url, options));
        let error = opened.expect_err("no server");
        assert!(error.contains(url), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

/// A server whose queue is full: it does not answer those who connect.
fn server_that_accepts_nobody() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    // SAFETY: it is a socket that listens.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let address = listener.local_addr().expect("a port");
    let soon = Duration::from_millis(100);
    let queue = (0..4).map_while(|_| TcpStream::connect_timeout(&address, soon).ok());
    let queue = queue.collect();
    (address, (listener, queue))
}

#[test]
fn bodies_without_end_are_cut() {
    let Bucket { server, .. } = &Bucket::new();
    let endpoint = server.url("");
    let options = in_bucket("endpoint", &endpoint);
    // As the text of an error, as an object, as a list of a bucket.
    for (url, n_right, status) in [
        (server.url("a.h5ad"), 0, 403),
        (server.url("a.h5ad"), 0, 200),
        ("s3://b/c.zarr".to_owned(), 0, 403),
        ("s3://b/c.zarr".to_owned(), LIST, 200),
    ] {
        server.take_counts();
        server.after(n_right, vec![Fault::Endless(status); 50]);
        let opened = within(30, &url, || open(&url, &options));
        let error = opened.expect_err("it does not end");
        assert!(error.contains(&url), "{error}");
        let (_, n_bytes) = server.take_counts();
        assert!(n_bytes < 200 << 20, "{url}, {status}: {n_bytes} bytes");
    }
}

#[test]
fn lists_without_end_are_an_error() {
    let Bucket { server, .. } = &Bucket::new();
    let endpoint = server.url("");
    let options = in_bucket("endpoint", &endpoint);
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated>\
                <NextContinuationToken>again</NextContinuationToken></ListBucketResult>";
    server.after(LIST, vec![Fault::Text(page); 10_000]);
    let opened = within(60, "list", || open("s3://b/c.zarr", &options));
    let error = opened.expect_err("it does not end");
    assert!(error.contains("longer than allowed"), "{error}");
}

#[test]
fn bucket_that_does_not_exist_is_told_from_a_file() {
    let Bucket { server, .. } = &Bucket::new();
    let endpoint = server.url("");
    let options = in_bucket("endpoint", &endpoint);
    // This server lists no bucket.
    let error = open("s3://b/c.zarr", &options).expect_err("no list");
    assert!(error.contains("there is no such bucket"), "{error}");
}

#[test]
fn region_that_a_server_names_is_asked() {
    let Bucket { server, .. } = &Bucket::new();
    let endpoint = server.url("");
    let options = in_bucket("endpoint", &endpoint);
    server.fail([Fault::Region("eu-north-1")]);
    open("s3://b/a.h5ad", &options).expect("valid in its region");
    // A region becomes a part of a host's name; one that the user names counts.
    let named = [options[0], options[1], ("region", "us-west-2")];
    for (region, options) in [("x.evil.org/", &options[..]), ("eu-north-1", &named)] {
        server.after(0, vec![Fault::Region(region); 50]);
        let error = open("s3://b/a.h5ad", options).expect_err("elsewhere");
        assert!(error.contains(region), "{error}");
    }
}

#[test]
fn user_and_password_of_a_url_are_sent_to_its_server_only() {
    let folder = demo();
    let [first, second] = [(); 2].map(|()| Server::of(folder.path()));
    let url = first.url("a.h5ad").replace("http://", "http://me:hu%73h@");
    let cells = open(&url, &[]).expect("valid");
    // "me:hush" in base64.
    let headers = first.headers().to_ascii_lowercase();
    assert!(
        headers.contains("authorization: basic bwu6ahvzaa=="),
        "{headers}"
    );
    first.after(0, vec![Fault::Redirect(second.url("a.h5ad")); 1000]);
    epoch(&cells, 256 << 20).expect("readable");
    let headers = second.headers().to_ascii_lowercase();
    assert!(
        headers.contains("host") && !headers.contains("authorization"),
        "{headers}"
    );
}

#[test]
fn options_of_storage_that_have_no_effect_are_refused() {
    for (name, value, expected) in [
        ("timeout", "soon", "a time such as 30s"),
        ("timeout", "0s", "a time such as 30s"),
        ("proxy_url", "http://proxy", "HTTPS_PROXY"),
        ("aws_user_agent", "me", "only timeout"),
        ("endpoint", "127.0.0.1:9000", "a URL such as"),
        ("google_base_url", "x", "a URL such as"),
        ("session_token", "a\nb", "without line breaks"),
        ("regoin", "us-west-2", "region, endpoint"),
    ] {
        let error = StorageOptions::new([(name, value)]).expect_err("no option");
        let error = error.to_string();
        assert!(
            error.contains(expected) && error.contains(name.trim_start_matches("aws_")),
            "{error}"
        );
    }
}
