//! Hostile files: every fixture with changes that nobody means well with. Each gives an error or
//! data, and never a panic, an abort, a hang, or more memory than is promised.
//!
//! A mutant is its fixture, a seed and a number: the same ones run every time. They run in child
//! processes of this test, so that whatever kills one is known by its mutant.
//!
//! ```sh
//! cargo test -p mapped-collection --test hostile      # the same few thousand every time
//! cargo xtask fuzz --seconds 600 --seed 7             # as many as fit, from a seed
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

mod crafted;
mod mutate;
mod read;
mod watch;

use mutate::{Marks, Random};
use read::Found;

/// A mutant that takes longer hangs.
const MOST_TIME: Duration = Duration::from_secs(10);
/// Bytes that every reader may take; see `SECURITY.md`.
const FREE_BYTES: u64 = 64 << 20;
/// Files up to this long are cut after every 512th byte.
const MOST_CUT: u64 = 64 << 10;
/// Mutants of each fixture in a normal run.
const MUTANTS: u64 = 40;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is mutated: files and directories, and three things that are no file.
fn fixtures() -> Vec<String> {
    let mut names = vec![LOADER.to_owned(), TABLES.to_owned(), CODECS.to_owned()];
    for folder in [
        "fixtures/stores",
        "fixtures/hdf5",
        "fixtures/bad",
        "crates/cli/demo",
    ] {
        let entries = std::fs::read_dir(root().join(folder)).expect("it is committed");
        for entry in entries {
            let entry = entry.expect("a readable folder");
            let name = entry.file_name().into_string().expect("UTF-8");
            if [".h5ad", ".zarr", ".zip", ".h5"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                names.push(format!("{folder}/{name}"));
            }
        }
    }
    names.sort();
    names
}

/// The state of a loader.
const LOADER: &str = "loader state";
/// Sparse matrices and categories in memory.
const TABLES: &str = "tables";
/// What codecs decode.
const CODECS: &str = "codecs";

/// How long a fixture is that is one file, else 0.
fn file_len(fixture: &str) -> u64 {
    let meta = std::fs::metadata(root().join(fixture)).ok();
    meta.filter(|meta| meta.is_file())
        .map_or(0, |meta| meta.len())
}

/// Mutants that are cut short: numbers from 0 on.
fn n_cuts(fixture: &str) -> u64 {
    match file_len(fixture) {
        len if len <= MOST_CUT => len / 512,
        _ => 0,
    }
}

/// One mutant after the other, in a process of its own.
struct Mutants {
    fixture: PathBuf,
    name: String,
    seed: u64,
    cuts: u64,
    /// Where the mutant stands.
    at: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    marks: Vec<Option<Marks>>,
}

/// The files of a fixture, relative to it, in an order that is always the same.
fn files(fixture: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut paths = vec![PathBuf::new()];
    while let Some(path) = paths.pop() {
        let full = if path.as_os_str().is_empty() {
            fixture.to_owned()
        } else {
            fixture.join(&path)
        };
        if full.is_dir() {
            for entry in std::fs::read_dir(&full).expect("a readable folder") {
                paths.push(path.join(entry.expect("readable").file_name()));
            }
        } else if let Ok(bytes) = std::fs::read(&full) {
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

impl Mutants {
    fn new(name: &str, seed: u64, folder: &Path) -> Mutants {
        let fixture = root().join(name);
        let source = match name {
            CODECS => root().join("crates/anndata-io/src/array/decode/samples"),
            _ => fixture.clone(),
        };
        let files = files(&source);
        let at = folder.join(Path::new(name).file_name().expect("a name"));
        if fixture.is_dir() {
            for (path, bytes) in &files {
                let path = at.join(path);
                std::fs::create_dir_all(path.parent().expect("in a folder")).expect("room");
                std::fs::write(path, bytes).expect("room");
            }
        }
        Mutants {
            fixture,
            name: name.to_owned(),
            seed,
            cuts: n_cuts(name),
            at,
            marks: files.iter().map(|_| None).collect(),
            files,
        }
    }

    fn random(&self, number: u64) -> Random {
        let name = self
            .name
            .bytes()
            .fold(0u64, |n, byte| n.wrapping_mul(31) + u64::from(byte));
        let mut random =
            Random(self.seed ^ name.rotate_left(17) ^ number.wrapping_mul(0x2545_f491));
        random.next();
        random
    }

    /// Makes a mutant and reads it: what was found, and the bytes that it has.
    fn run(&mut self, number: u64) -> (Found, u64) {
        let mut random = self.random(number);
        let variant = random.next();
        match &self.name[..] {
            LOADER => return (loader(&mut random), 0),
            TABLES => return tables(&mut random, variant),
            CODECS => return codec(&self.files, &mut random),
            _ => {}
        }
        let which = random.below(self.files.len());
        let (path, original) = &self.files[which];
        let is_file = path.as_os_str().is_empty();
        let changed = if is_file && number < self.cuts {
            original[..number as usize * 512].to_vec()
        } else if path.extension().is_some_and(|end| end == "json")
            || path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(".z"))
        {
            mutate::json(&mut random, original)
        } else {
            let marks = self.marks[which].get_or_insert_with(|| Marks::of(original));
            match random.below(16) {
                0 if !is_file => original[..random.below(original.len())].to_vec(),
                _ => marks.mutate(&mut random, original),
            }
        };
        let target = if is_file {
            self.at.clone()
        } else {
            self.at.join(path)
        };
        std::fs::write(&target, &changed).expect("room for a file");
        let len: usize = self.files.iter().map(|(_, bytes)| bytes.len()).sum();
        (
            read::everything(&self.at, variant),
            (len + changed.len()) as u64,
        )
    }

    /// Undoes the change of a mutant.
    fn restore(&self, number: u64) {
        let mut random = self.random(number);
        random.next();
        if self.fixture.is_dir() {
            let (path, bytes) = &self.files[random.below(self.files.len())];
            std::fs::write(self.at.join(path), bytes).expect("room for a file");
        }
    }
}

fn loader(random: &mut Random) -> Found {
    let (batches, state) = read::loader();
    let text = serde_json::to_vec(&state).expect("plain numbers");
    let mut found = Found::default();
    match read::resume(&batches, &mutate::json(random, &text)) {
        Ok(_) => found.read += 1,
        Err(_) => found.errors += 1,
    }
    found
}

/// A sparse matrix, a categorical column and a CSC layer, some of whose numbers are not right.
fn tables(random: &mut Random, variant: u64) -> (Found, u64) {
    use anndata_io::{Attribute, DType};
    use mapped_collection::{MemoryStore, Values};
    let mut store = MemoryStore::new("tables")
        .dataframe("obs", &["a", "b", "c", "d"])
        .dataframe("var", &["x", "y", "z"])
        .categorical("obs/k", vec![0, 1, -1, 0], &["s", "t"]);
    for (element, encoding) in [("X", "csr_matrix"), ("layers/csc", "csc_matrix")] {
        store = store
            .group(element)
            .attribute(
                element,
                "encoding-type",
                Attribute::Text(encoding.to_owned()),
            )
            .attribute(element, "shape", Attribute::Integers(vec![4, 3]));
    }
    let arrays: [(&str, &[i64]); 7] = [
        ("X/indptr", &[0, 2, 2, 3, 5]),
        ("X/indices", &[0, 2, 1, 0, 1]),
        ("X/data", &[1, 2, 3, 4, 5]),
        ("layers/csc/indptr", &[0, 2, 3, 5]),
        ("layers/csc/indices", &[0, 2, 1, 0, 3]),
        ("layers/csc/data", &[1, 2, 3, 4, 5]),
        ("obs/k/codes", &[0, 1, -1, 0]),
    ];
    let bad = random.below(arrays.len());
    for (number, (element, values)) in arrays.into_iter().enumerate() {
        let mut values = values.to_vec();
        let mut dtype = if element.ends_with("data") {
            DType::F32
        } else {
            DType::I64
        };
        for _ in 0..if number == bad {
            1 + random.below(3)
        } else {
            0
        } {
            let n = values.len();
            let at = random.below(n.max(1));
            let any = [
                0,
                1,
                -1,
                2,
                4,
                5,
                6,
                i64::MAX,
                i64::MIN,
                1 << 32,
                (1 << 32) - 1,
                127,
            ];
            match random.below(6) {
                0 => values.truncate(at),
                1 => values.insert(at.min(n), any[random.below(any.len())]),
                2 => {
                    let types = [
                        DType::I8,
                        DType::U8,
                        DType::I32,
                        DType::U32,
                        DType::U64,
                        DType::F64,
                        DType::Bool,
                    ];
                    dtype = types[random.below(types.len())];
                }
                _ if n > 0 => values[at] = any[random.below(any.len())],
                _ => {}
            }
        }
        let n = values.len() as u64;
        store = store.array(element, &[n], Values::I64(values).cast(dtype));
    }
    if random.below(4) == 0 {
        let any = [0, 1, 2, 3, 4, 5, -1, i64::MAX, i64::MIN, 1 << 32, 1 << 40];
        let n = [1, 2, 2, 2, 3][random.below(5)];
        let shape: Vec<i64> = (0..n).map(|_| any[random.below(any.len())]).collect();
        let element = ["X", "layers/csc"][random.below(2)];
        store = store.attribute(element, "shape", Attribute::Integers(shape));
    }
    let mut found = Found::default();
    read::anndata(&store.into(), variant, &mut found);
    (found, 1024)
}

/// A chunk of which the codecs, or the bytes, are not right.
fn codec(samples: &[(PathBuf, Vec<u8>)], random: &mut Random) -> (Found, u64) {
    let (_, sample) = &samples[random.below(samples.len())];
    let n_codecs = 1 + random.below(3);
    let codecs: Vec<u8> = (0..n_codecs).map(|_| random.next() as u8).collect();
    let bytes = Marks::of(&[]).any_mutant(random, sample);
    let len = [0, 1, 7, 240, 255, 256, 4000, 4000, 4000, 100_000][random.below(10)];
    let mask = if random.below(4) == 0 {
        random.next() as u32
    } else {
        0
    };
    let mut found = Found {
        chunk: len as u64,
        ..Found::default()
    };
    match anndata_io::testing::decode(&codecs, mask, &bytes, len) {
        Some(out) => {
            assert_eq!(out.len(), len);
            found.read += 1;
        }
        None => found.errors += 1,
    }
    // What has no length of its own may become as much as its codecs could make of it.
    found.output = bytes.len() as u64 * 65_536;
    (found, bytes.len() as u64)
}

/// The last panic of any thread.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs mutants as `HOSTILE` says: only as a child of the tests below.
#[test]
#[ignore = "a child process of the other tests"]
fn worker() {
    let Ok(task) = std::env::var("HOSTILE") else {
        return;
    };
    let words: Vec<&str> = task.split('\t').collect();
    let [name, seed, first, count, folder] = words[..] else {
        panic!("five words expected: {task}");
    };
    let number = |word: &str| word.parse::<u64>().expect("a number");
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string().replace('\n', " ");
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }));
    let mut mutants = Mutants::new(name, number(seed), Path::new(folder));
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| {
        out.write_all(format!("\n{text}\n").as_bytes())
            .expect("a pipe");
        out.flush().expect("a pipe");
    };
    for number in number(first)..number(first) + number(count) {
        say(format!("@start {number}"));
        let before = watch::begin();
        let time = Instant::now();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mutants.run(number)));
        let (peak, largest) = watch::end(before);
        let millis = time.elapsed().as_millis();
        let panic = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = match (panic, found) {
            (Some(panic), _) => format!("panic {panic}"),
            (None, Err(_)) => "panic without a message".to_owned(),
            (None, Ok((found, len))) => {
                let limit = FREE_BYTES
                    + 4 * len
                    + 3 * found.chunk.min(len * 1032 + (1 << 20))
                    + 2 * found.output
                    + found.kept;
                if peak as u64 > limit {
                    format!(
                        "memory {peak} bytes, {largest} at once, where {limit} are allowed: {found:?}"
                    )
                } else if millis > 1000 {
                    format!("slow {millis} ms")
                } else if found.read == 0 {
                    "refused".to_owned()
                } else if found.errors > 0 {
                    "error".to_owned()
                } else {
                    "data".to_owned()
                }
            }
        };
        let kind = outcome.split(' ').next().unwrap_or_default();
        if !FINE.contains(&kind) {
            save(name, mutants.seed, number, Path::new(folder));
        }
        say(format!("@done {number} {outcome}"));
        mutants.restore(number);
    }
    say("@end".to_owned());
}

/// Outcomes that are as promised.
const FINE: [&str; 4] = ["refused", "error", "data", "slow"];

/// Copies a mutant to the folder that `FUZZ_KEEP` names.
fn save(fixture: &str, seed: u64, number: u64, folder: &Path) {
    let Some(keep) = std::env::var_os("FUZZ_KEEP") else {
        return;
    };
    let name = Path::new(fixture).file_name().unwrap_or_default();
    let target = Path::new(&keep).join(format!("{seed}-{number}-{}", name.to_string_lossy()));
    let _ = std::fs::create_dir_all(&keep);
    let _ = Command::new("cp")
        .arg("-r")
        .arg(folder.join(name))
        .arg(target)
        .status();
}

/// What a run over mutants gave.
#[derive(Default)]
struct Report {
    outcomes: BTreeMap<String, u64>,
    failures: Vec<String>,
}

impl Report {
    fn add(&mut self, mutant: String, outcome: &str) {
        let kind = outcome.split(' ').next().unwrap_or_default();
        *self.outcomes.entry(kind.to_owned()).or_default() += 1;
        if !FINE.contains(&kind) {
            self.failures.push(format!("{mutant}: {outcome}"));
        }
    }
}

/// A child process, ended when it is no longer wanted.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `count` mutants of a fixture from number `first` on.
fn run(fixture: &str, seed: u64, first: u64, count: u64, report: &mut Report) {
    let mut next = first;
    while next < first + count {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let left = first + count - next;
        let task = format!(
            "{fixture}\t{seed}\t{next}\t{left}\t{}",
            folder.path().display()
        );
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "worker", "--ignored", "--nocapture"])
            .env("HOSTILE", task)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = Running(child.expect("this program runs"));
        let output = BufReader::new(child.0.stdout.take().expect("piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        let mut running = None;
        loop {
            // The first mutant waits for the marks of the fixture.
            let line = match lines.recv_timeout(MOST_TIME) {
                Ok(line) => line,
                Err(error) => {
                    let Some(number) = running else {
                        panic!("{fixture}: no mutant ran: {error}");
                    };
                    let outcome = match error {
                        RecvTimeoutError::Timeout => "hang".to_owned(),
                        RecvTimeoutError::Disconnected => {
                            format!("abort {}", child.0.wait().expect("a child"))
                        }
                    };
                    report.add(format!("{fixture}, seed {seed}, {number}"), &outcome);
                    save(fixture, seed, number, folder.path());
                    next = number + 1;
                    break;
                }
            };
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("@start"), Some(number), _) => running = number.parse().ok(),
                (Some("@done"), Some(number), Some(outcome)) => {
                    report.add(format!("{fixture}, seed {seed}, {number}"), outcome);
                }
                (Some("@end"), ..) => {
                    next = first + count;
                    break;
                }
                _ => {}
            }
        }
    }
}

fn check(report: &Report) {
    println!("{:?}", report.outcomes);
    assert!(
        report.failures.is_empty(),
        "{} mutants fail:\n{}",
        report.failures.len(),
        report.failures.join("\n")
    );
}

#[test]
fn mutants_return_an_error_or_data() {
    let mut report = Report::default();
    for fixture in fixtures() {
        run(&fixture, 1, 0, n_cuts(&fixture) + MUTANTS, &mut report);
    }
    check(&report);
}

/// Bytes that a checksum stands over are never given altered: fletcher32 in HDF5, crc32c in zarr.
///
/// One change goes unseen, by the definition of fletcher32: it takes a word of two bytes 0xff for
/// one of two zeros. It is not made here.
#[test]
fn checksummed_bytes_are_never_given_altered() {
    let mut random = Random(5);
    let (mut n_arrays, mut n_changes, mut n_refused) = (0, 0, 0);
    for fixture in fixtures() {
        let source = root().join(&fixture);
        if !source.exists() || fixture.starts_with("fixtures/bad/") {
            continue;
        }
        let arrays = read::checked(&source);
        if arrays.is_empty() {
            continue;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mutants = Mutants::new(&fixture, 0, folder.path());
        if source.is_file() {
            std::fs::copy(&source, &mutants.at).expect("room for a file");
        }
        for (element, chunks) in arrays {
            let Some(expected) = read::digest(&source, &element) else {
                continue;
            };
            n_arrays += 1;
            for _ in 0..12 {
                let (file, range) = &chunks[random.below(chunks.len())];
                let within = file.strip_prefix(&source).expect("a file of the fixture");
                let target = if source.is_file() {
                    mutants.at.clone()
                } else {
                    mutants.at.join(within)
                };
                let original = std::fs::read(file).expect("a committed file");
                let mut bytes = original.clone();
                let chunk = &mut bytes[range.start as usize..range.end as usize];
                for _ in 0..1 + random.below(4) {
                    let at = random.below(chunk.len());
                    chunk[at] ^= 1 << random.below(8);
                }
                std::fs::write(&target, &bytes).expect("room for a file");
                let found = read::digest(&mutants.at, &element);
                assert!(
                    found.is_none_or(|found| found == expected),
                    "{fixture}: {element}"
                );
                std::fs::write(&target, original).expect("room for a file");
                n_changes += 1;
                n_refused += usize::from(found.is_none());
            }
        }
    }
    assert!(n_arrays >= 10, "{n_arrays} arrays");
    // Some changes undo themselves.
    assert!(n_refused * 10 > n_changes * 9, "{n_refused} of {n_changes}");
}

/// `cargo xtask fuzz`: as many mutants as fit in a time, from a seed.
#[test]
#[ignore = "takes as long as it is told to"]
fn long() {
    let setting = |name: &str| std::env::var(name).ok();
    let seconds = setting("FUZZ_SECONDS")
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let seed = setting("FUZZ_SEED")
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    let only = setting("FUZZ_ONLY").unwrap_or_default();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut report = Report::default();
    let fixtures: Vec<String> = fixtures()
        .into_iter()
        .filter(|name| name.contains(&only))
        .collect();
    for round in 0.. {
        for fixture in &fixtures {
            if Instant::now() > end {
                return check(&report);
            }
            let first = n_cuts(fixture) + round * 100;
            let before = report.failures.len();
            run(fixture, seed, first, 100, &mut report);
            report.failures[before..]
                .iter()
                .for_each(|failure| println!("{failure}"));
        }
    }
}
