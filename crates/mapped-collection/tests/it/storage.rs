//! Storage that fails, stalls, or changes while epochs run: an error arrives in its batch's place,
//! all other batches are right, the loader can be used again, nothing leaks and nothing hangs.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anndata_io::chain;
use mapped_collection::{
    Batch, Error, IoOptions, Join, Loader, LoaderOptions, MappedCollection, MatrixFormat,
    MemoryStore, Shuffle, Values,
};

use crate::store;

/// 240 cells of two genes, in chunks of four nonzeros.
fn memory() -> MemoryStore {
    let n = 240usize;
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let values = Values::F32((0..n).map(|i| i as f32 + 1.0).collect());
    let columns = (0..n).map(|i| (i % 2) as i32).collect();
    MemoryStore::new("cells")
        .chunked(NonZeroU64::new(4).expect("not 0"))
        .dataframe("obs", &names)
        .dataframe("var", &["a", "b"])
        .csr(
            "X",
            [n as u64, 2],
            (0..=n as i64).collect(),
            columns,
            values,
        )
}

fn open(store: MemoryStore) -> MappedCollection {
    let cells = MappedCollection::builder([store])
        .io(IoOptions::new().cache_bytes(0))
        .open();
    cells.expect("what is read when it opens is not touched")
}

fn options(workers: usize, shuffle: Shuffle) -> LoaderOptions {
    let options = LoaderOptions::new(10).workers(workers).shuffle(shuffle);
    options.output(MatrixFormat::Csr).seed(3)
}

/// The rows of each batch, or what went wrong.
fn delivered(batches: &Loader) -> Vec<Result<Batch, Error>> {
    batches.epoch(0).collect()
}

/// How many batches failed; the others must be those of an untroubled epoch.
fn failed(found: &[Result<Batch, Error>], expected: &[Result<Batch, Error>]) -> usize {
    assert_eq!(found.len(), expected.len());
    let mut n_failed = 0;
    for (found, expected) in found.iter().zip(expected) {
        let expected = expected.as_ref().expect("an untroubled epoch");
        match found {
            Ok(batch) => assert_eq!(batch, expected),
            Err(_) => n_failed += 1,
        }
    }
    n_failed
}

/// Of X, what is read after the collection was opened.
fn is_matrix(element: &str) -> bool {
    matches!(element, "X/indices" | "X/data")
}

const SHUFFLES: [Shuffle; 3] = [Shuffle::None, Shuffle::Exact, Shuffle::Blocks { rows: 8 }];

#[test]
fn flaky_storage_fails_only_the_affected_batches() {
    // A storage that fails reports an error, one that was cut short an early end.
    for kind in [io::ErrorKind::Other, io::ErrorKind::UnexpectedEof] {
        for shuffle in SHUFFLES {
            for workers in [0, 1, 3] {
                let expected = delivered(
                    &open(memory())
                        .loader(options(workers, shuffle))
                        .expect("valid"),
                );
                let (every, count) = (Arc::new(AtomicU64::new(u64::MAX)), AtomicU64::new(0));
                let chosen = every.clone();
                let cells = open(memory().before_read(move |element| {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    // Twice, because a band that cannot be read to pack it is read again.
                    let number = number % chosen.load(Ordering::Relaxed);
                    match is_matrix(element) && (number == 5 || number == 6) {
                        true => Err(io::Error::new(kind, "the storage is tired")),
                        false => Ok(()),
                    }
                }));
                let batches = cells.loader(options(workers, shuffle)).expect("valid");
                for each in [7, 50, 1000] {
                    every.store(each, Ordering::Relaxed);
                    let found = delivered(&batches);
                    let n_failed = failed(&found, &expected);
                    let errors = found.iter().filter_map(|batch| batch.as_ref().err());
                    for error in errors {
                        assert!(chain(error).to_string().contains("cells: X/"), "{error}");
                    }
                    if each == 7 {
                        assert!(n_failed > 0, "{shuffle:?}, {workers} workers");
                    }
                }
                // The same loader goes on as if nothing had been.
                every.store(u64::MAX, Ordering::Relaxed);
                assert_eq!(failed(&delivered(&batches), &expected), 0);
            }
        }
    }
}

#[test]
fn broken_storage_fails_every_batch_and_ends() {
    for workers in [0, 2] {
        let broken = Arc::new(AtomicBool::new(false));
        let is_broken = broken.clone();
        let cells = open(
            memory().before_read(move |_| match is_broken.load(Ordering::Relaxed) {
                true => Err(io::Error::other("the storage is gone")),
                false => Ok(()),
            }),
        );
        let loader = || cells.loader(options(workers, Shuffle::Exact));
        let packed = loader().expect("valid");
        let expected = delivered(&packed);
        broken.store(true, Ordering::Relaxed);
        let batches = loader().expect("valid");
        assert_eq!(failed(&delivered(&batches), &expected), 24);
        assert_eq!(
            failed(&delivered(&packed), &expected),
            0,
            "all is in memory"
        );
        broken.store(false, Ordering::Relaxed);
        assert_eq!(failed(&delivered(&batches), &expected), 0);
    }
}

#[test]
fn stalled_storage_delays_wait_by_at_most_its_timeout() {
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let waits = gate.clone();
    let cells = open(memory().before_read(move |element| {
        let (is_open, opened) = &*waits;
        if is_matrix(element) {
            let is_open = is_open.lock().expect("nobody panicked");
            drop(
                opened
                    .wait_while(is_open, |is_open| !*is_open)
                    .expect("nobody panicked"),
            );
        }
        Ok(())
    }));
    let set = |open: bool| {
        *gate.0.lock().expect("nobody panicked") = open;
        gate.1.notify_all();
    };
    // A new loader has nothing packed.
    let loader = || cells.loader(options(2, Shuffle::Exact)).expect("valid");
    let expected = delivered(&loader());
    for taken in [0, 1] {
        let batches = loader();
        let mut epoch = batches.epoch(0);
        (0..taken).for_each(|_| drop(epoch.next()));
        set(false);
        // What was read ahead comes, and then nothing: whoever asks is told so in time.
        let start = Instant::now();
        let mut found = taken;
        while epoch.wait(Duration::from_millis(20))
            && let Some(batch) = epoch.next()
        {
            let expected = expected[found].as_ref().expect("readable");
            assert_eq!(batch.expect("readable"), *expected);
            found += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(
            taken > 0 || found == 0,
            "{found} batches of a storage that gave none"
        );
        set(true);
        assert_eq!(epoch.count(), expected.len() - found);
    }
}

/// Where a collection of two files is, of which the first may be changed.
struct Files {
    _dir: tempfile::TempDir,
    first: PathBuf,
}

impl Files {
    fn new(name: &str) -> Files {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let first = dir.path().join(name);
        copy(&store(name), &first);
        Files { _dir: dir, first }
    }

    fn open(&self, mmap: bool, max_open_files: usize) -> MappedCollection {
        let paths = [self.first.clone(), store("base_b_csr.h5ad")];
        let builder = MappedCollection::builder(paths).join(Join::Outer);
        let builder = builder.io(IoOptions::new()
            .mmap(mmap)
            .max_open_files(max_open_files)
            .cache_bytes(0));
        builder.open().expect("they open")
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).expect("a small file");
        return;
    }
    std::fs::create_dir_all(to).expect("a new folder");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// All files below a folder, but those that vanish meanwhile.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries
        .flat_map(|entry| files(&entry.expect("readable").path()))
        .collect()
}

/// What happens to a file.
type Change = fn(&Path);

fn truncate(path: &Path) {
    let file = std::fs::File::options()
        .write(true)
        .open(path)
        .expect("writable");
    file.set_len(file.metadata().expect("readable").len() / 3)
        .expect("shorter");
}

/// Every byte another one, in place; the time of the file tells.
fn overwrite(path: &Path) {
    let bytes: Vec<u8> = std::fs::read(path)
        .expect("readable")
        .iter()
        .map(|byte| !byte)
        .collect();
    std::fs::write(path, bytes).expect("writable");
}

/// Another file under the same name.
fn replace(path: &Path) {
    let bytes: Vec<u8> = std::fs::read(path)
        .expect("readable")
        .iter()
        .map(|byte| !byte)
        .collect();
    std::fs::remove_file(path).expect("removable");
    std::fs::write(path, bytes).expect("writable");
}

fn delete(path: &Path) {
    std::fs::remove_file(path).expect("removable");
}

/// Nobody may read it any more.
fn forbid(path: &Path) {
    let nobody = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(path, nobody).expect("our own file");
    assert!(std::fs::read(path).is_err(), "{}", path.display());
}

/// Takes from this thread, and from those that it starts, root's right to read every file.
fn obey_permissions() {
    /// `struct __user_cap_header_struct` and two of `struct __user_cap_data_struct` of Linux.
    const VERSION_3: u32 = 0x2008_0522;
    const DAC_OVERRIDE_AND_READ_SEARCH: u32 = 0b110;
    let mut header = [VERSION_3, 0];
    let mut data = [[0u32; 3]; 2];
    // SAFETY: both arrays are of the sizes that version 3 of the calls reads and writes.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) };
    assert_eq!(got, 0, "{}", io::Error::last_os_error());
    let [effective, ..] = &mut data[0];
    *effective &= !DAC_OVERRIDE_AND_READ_SEARCH;
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), data.as_ptr()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder)
        .map(|entries| entries.count())
        .unwrap_or(0)
}

/// Whatever happens to a file between two batches, what comes is what was there, or an error.
#[test]
fn changing_files_fail_an_epoch_and_never_mix() {
    obey_permissions();
    let changes: [(&str, Change); 5] = [
        ("truncated", truncate),
        ("overwritten", overwrite),
        ("replaced", replace),
        ("deleted", delete),
        ("forbidden", forbid),
    ];
    let stores = [
        "base_a_csr.h5ad",
        "base_a_dense.h5ad",
        "h5_gzip.h5ad",
        "base_a_csr_v2.zarr",
        "base_a_csr_v3.zarr",
    ];
    let mut n_failed = BTreeMap::new();
    for name in stores {
        for (what, change) in changes {
            for (workers, mmap, open) in [(0, true, 9), (0, false, 1), (2, true, 1), (2, false, 9)]
            {
                // A map that a thread reads at the very moment is the documented limit.
                if what == "truncated" && mmap && workers > 0 {
                    continue;
                }
                let here = Files::new(name);
                let cells = here.open(mmap, open);
                let options = LoaderOptions::new(1)
                    .workers(workers)
                    .shuffle(Shuffle::Exact)
                    // Two batches fit, and no packs.
                    .memory(100)
                    .seed(1);
                let batches = cells.loader(options).expect("valid");
                let untouched = cells.get(-1).expect("it is there");
                let expected: Vec<Batch> = batches
                    .epoch(0)
                    .map(|batch| batch.expect("readable"))
                    .collect();
                let mut epoch = batches.epoch(0);
                let mut found = vec![epoch.next().expect("a batch")];
                // The time of a file has a resolution.
                std::thread::sleep(Duration::from_millis(15));
                files(&here.first).iter().for_each(|path| change(path));
                found.extend(epoch);
                // Whoever opens the same loader's epoch again sees no more of the old file.
                found.extend(batches.epoch(0));
                for (batch, expected) in found.iter().zip(expected.iter().cycle()) {
                    match batch {
                        Ok(batch) => assert_eq!(batch, expected, "{name} {what}"),
                        Err(error) => {
                            *n_failed.entry(what).or_insert(0) += 1;
                            let text = chain(error).to_string();
                            assert!(
                                text.contains(&*here.first.to_string_lossy()),
                                "{name} {what}: {text}"
                            );
                        }
                    }
                }
                // Rows of the other file are as good as ever.
                let last = cells.get(-1).expect("the other file is untouched");
                assert_eq!(last, untouched, "{name} {what}");
            }
        }
    }
    // A file that stays open is not asked for its permissions again, nor is its name missed.
    println!("{n_failed:?}");
    assert!(n_failed.len() == changes.len() && n_failed.values().all(|&failed| failed > 30));
}

/// Epochs that end anywhere leave no thread and no file behind.
#[test]
fn dropped_epochs_leave_nothing_behind() {
    let stores = ["base_a_csr.h5ad", "base_b_csr_v3.zarr", "h5_gzip.h5ad"].map(store);
    let cells = MappedCollection::builder(stores).join(Join::Outer).open();
    let cells = cells.expect("they open");
    let batches: Vec<Loader> = [0, 1, 2]
        .map(|workers| {
            let options = LoaderOptions::new(2)
                .workers(workers)
                .shuffle(Shuffle::Exact);
            cells.loader(options).expect("valid")
        })
        .into();
    let files = count("/proc/self/fd");
    for number in 0..10_000usize {
        // Spread over places in an epoch, and over moments within the reading of the next batch.
        let mut epoch = batches[number % 3].epoch(number as u64 % 7);
        for _ in 0..number / 3 % 9 {
            epoch.next().expect("a batch").expect("readable");
        }
        for _ in 0..number % 101 {
            std::hint::spin_loop();
        }
    }
    // Other tests open files and start threads meanwhile, but not thousands.
    assert!(count("/proc/self/fd") < files + 500);
    assert!(count("/proc/self/task") < 500);
}
