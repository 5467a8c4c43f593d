//! A process that forks while threads read: the child must read the same, and never hang.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mapped_collection::{
    Batch, FilterValue, IoOptions, Item, Join, LoaderOptions, MappedCollection, Shuffle,
};

#[cfg(feature = "remote")]
#[allow(dead_code)]
#[path = "it/server.rs"]
mod server;

fn store(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores");
    fixtures.join(name)
}

/// Reads everything, by item and by batch.
fn read(cells: &MappedCollection) -> Option<(Vec<Item>, Batch)> {
    let rows: Vec<i64> = (0..cells.n_obs() as i64).rev().collect();
    let items = rows
        .iter()
        .map(|&row| cells.get(row))
        .collect::<Result<_, _>>()
        .ok()?;
    Some((items, cells.get_batch(&rows).ok()?))
}

#[test]
fn forked_child_reads_after_eight_threads_did() {
    let stores = [
        "base_a_csr.h5ad",
        "base_b_csr_v3.zarr",
        "base_a_dense_v2.zarr",
        "base_b_dense.h5ad",
    ];
    let cells = MappedCollection::builder(stores.map(store))
        .obs(["cell_type"])
        .join(Join::Outer)
        // A cache that is always full and files that always reopen keep the locks busy.
        .io(IoOptions::new().cache_bytes(200).max_open_files(2))
        .open()
        .expect("the fixtures open");
    let expected = read(&cells).expect("the fixtures are readable");
    let stop = AtomicBool::new(false);
    let failures: Vec<i32> = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(read(&cells).as_ref() == Some(&expected));
                }
            });
        }
        let failures = (0..40)
            .filter_map(|_| fork_and_read(&cells, &expected))
            .collect();
        stop.store(true, Ordering::Relaxed);
        failures
    });
    assert!(
        failures.is_empty(),
        "wait statuses of children: {failures:?}"
    );
}

#[test]
fn forked_child_shares_prepared_matrices() {
    let stores = ["csc.h5ad", "csc_v3.zarr"].map(store);
    for pack_bytes in [1 << 20, 0] {
        let builder =
            MappedCollection::builder(&stores).io(IoOptions::new().pack_bytes(pack_bytes));
        let cells = builder.open().expect("the fixtures open");
        let mut parts = Vec::new();
        cells
            .prepare(|part| parts.push(part))
            .expect("valid matrices");
        assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{parts:?}");
        let decoded = cells.io().decoded_chunks();
        let expected = read(&cells).expect("the fixtures are readable");
        assert_eq!(cells.io().decoded_chunks(), decoded);
        assert_eq!(fork_and_read(&cells, &expected), None);
    }
}

#[test]
fn forked_child_reads_the_packs_of_its_parent() {
    let stores = ["base_b_csr_v3.zarr", "h5_gzip.h5ad"].map(store);
    let io = IoOptions::new().cache_bytes(0);
    let builder = MappedCollection::builder(&stores).join(Join::Outer).io(io);
    let cells = builder.open().expect("the fixtures open");
    // The second time that a band is wanted packs it.
    let expected = (0..3)
        .filter_map(|_| read(&cells))
        .next_back()
        .expect("readable");
    let loader = cells.loader(LoaderOptions::new(3).shuffle(Shuffle::Exact));
    let loader = loader.expect("valid");
    let epoch = |number| loader.epoch(number).collect::<Result<Vec<_>, _>>().ok();
    assert!(epoch(0).is_some());
    let second = epoch(1);
    let status = in_child(|| {
        let decoded = cells.io().decoded_chunks();
        read(&cells).as_ref() == Some(&expected)
            && epoch(1) == second
            && cells.io().decoded_chunks() == decoded
    });
    assert_eq!(status, None);
}

#[cfg(feature = "zarrs")]
#[test]
fn zarrs_in_a_forked_child_is_an_error() {
    use mapped_collection::ZarrBackend;
    let open = |backend| {
        let builder = MappedCollection::builder([store("base_a_csr_v3.zarr")]).obs(["cell_type"]);
        builder
            .io(IoOptions::new().cache_bytes(0).pack_bytes(0).zarr(backend))
            .open()
    };
    let cells = open(ZarrBackend::Zarrs).expect("the fixture opens");
    let expected = read(&cells).expect("the fixture is readable");
    let refuses = |found: Option<mapped_collection::Error>| {
        found.is_some_and(|error| format!("{error:?}").contains("zarrs in a forked process"))
    };
    let stop = AtomicBool::new(false);
    let failures: Vec<i32> = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(read(&cells).as_ref() == Some(&expected));
                }
            });
        }
        let is_error = || {
            let pure = open(ZarrBackend::Pure).ok();
            refuses(cells.get(0).err())
                && refuses(open(ZarrBackend::Zarrs).err())
                && pure.is_some_and(|pure| read(&pure).as_ref() == Some(&expected))
        };
        let failures = (0..40).filter_map(|_| in_child(is_error)).collect();
        stop.store(true, Ordering::Relaxed);
        failures
    });
    assert!(
        failures.is_empty(),
        "wait statuses of children: {failures:?}"
    );
}

/// Threads that start and end at any moment, as those of a program may: in the child, the standard
/// library's list of threads may be locked for ever.
fn among_threads(test: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::thread::spawn(|| ()).join().expect("it does nothing");
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn forked_epoch_continues_in_a_thousand_children() {
    among_threads(forks_of_a_running_epoch);
}

fn forks_of_a_running_epoch() {
    let stores = ["base_a_csr.h5ad", "base_b_csr_v3.zarr", "h5_gzip.h5ad"];
    let cells = MappedCollection::builder(stores.map(store)).join(Join::Outer);
    let cells = cells
        .io(IoOptions::new().cache_bytes(200))
        .open()
        .expect("the fixtures open");
    let any: [(&str, [FilterValue; 0]); 0] = [];
    let matched = cells.matched(Vec::<String>::new(), any);
    let matched = matched.expect("no key is needed");
    let loaders = [None, Some(matched)].map(|matched| {
        let options = LoaderOptions::new(1).workers(2).shuffle(Shuffle::Exact);
        let batches = cells.loader(options.matched(matched)).expect("valid");
        let epoch = batches.epoch(0).map(|batch| batch.expect("readable"));
        let all: Vec<Batch> = epoch.collect();
        (batches, all)
    });
    let mut failures = Vec::new();
    for number in 0..1000 {
        let (batches, expected) = &loaders[number % 2];
        let mut epoch = batches.epoch(0);
        let taken = number % 5;
        if number % 3 == 0 {
            // A batch may wait for its controls then.
            epoch.wait(Duration::from_micros(20));
        }
        assert!(
            (0..taken).all(|at| epoch.next().expect("a batch").as_ref().ok() == expected.get(at))
        );
        // At this moment the threads may hold any lock.
        failures.extend(in_child(|| {
            let rest = (&mut epoch).map(|batch| batch.ok());
            let goes_on = rest.eq(expected[taken..].iter().cloned().map(Some));
            let anew = batches.epoch(0).map(|batch| batch.ok());
            goes_on && anew.eq(expected.iter().cloned().map(Some))
        }));
        assert!(epoch.all(|batch| batch.is_ok()), "the parent goes on");
    }
    assert!(
        failures.is_empty(),
        "wait statuses of children: {failures:?}"
    );
}

/// While threads of the parent wait for a server, children ask it, too.
#[cfg(feature = "remote")]
#[test]
fn forked_children_ask_a_server_anew() {
    among_threads(forks_with_requests_under_way);
}

#[cfg(feature = "remote")]
fn forks_with_requests_under_way() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    let server = server::Server::of(&folder);
    let paths = ["a.h5ad", "c.zarr"].map(|name| server.url(name));
    let builder = MappedCollection::builder(paths).cache(None);
    let cells = builder
        .io(IoOptions::new().cache_bytes(0).pack_bytes(0))
        .open()
        .expect("valid");
    let n_obs = cells.n_obs() as i64;
    let items: Vec<Item> = (0..n_obs)
        .map(|row| cells.get(row).expect("readable"))
        .collect();
    let (stop, items) = (AtomicBool::new(false), &items[..]);
    let failures: Vec<i32> = std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cells, stop) = (&cells, &stop);
            scope.spawn(move || {
                let rows = (0..n_obs).cycle().skip(thread * 7);
                for row in rows.take_while(|_| !stop.load(Ordering::Relaxed)) {
                    assert!(cells.get(row).as_ref().ok() == items.get(row as usize));
                }
            });
        }
        let reads = |row: i64| cells.get(row).as_ref().ok() == items.get(row as usize);
        let failures = (0..1000)
            .filter_map(|number| in_child(|| reads(number % n_obs) && reads(n_obs - 1)))
            .collect();
        stop.store(true, Ordering::Relaxed);
        failures
    });
    assert!(
        failures.is_empty(),
        "wait statuses of {} children: {failures:?}",
        failures.len()
    );
}

/// The child's wait status unless it read what was expected.
fn fork_and_read(cells: &MappedCollection, expected: &(Vec<Item>, Batch)) -> Option<i32> {
    in_child(|| read(cells).as_ref() == Some(expected))
}

/// The wait status of a child unless it finds something to be so.
fn in_child(is_so: impl FnOnce() -> bool) -> Option<i32> {
    // SAFETY: the child runs only code that is safe after a fork of a threaded process: it
    // allocates (glibc's allocator survives a fork), reads, and leaves by `_exit`. That the
    // collection's own code is such code is what this test is for.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: `alarm` kills a child that hangs; `_exit` runs no handlers and no destructors.
            unsafe {
                libc::alarm(20);
                libc::_exit(if is_so() { 0 } else { 1 });
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
