//! Endurance: epochs with random options over one collection, again and again. Every epoch that ends
//! must have had all rows; memory must not grow.

use std::time::{Duration, Instant};

use clap::Args;
use mapped_collection::{LoaderOptions, MappedCollection, MatrixFormat, Shuffle};
use serde_json::{Value, json};

use crate::Failure;
use crate::checksum::{Checksum, mix};
use crate::memory;
use crate::task::Source;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// What the random options begin with.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seconds between lines.
    #[arg(long, default_value_t = 60)]
    every: u64,
}

/// Numbers one after the other.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % n
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What was seen between two lines.
#[derive(Default)]
struct Seen {
    epochs: u64,
    dropped: u64,
    rows: u64,
    most_memory: u64,
}

pub(crate) fn run(source: &Source, options: &Options) -> Result<(), Failure> {
    let (start, mut random) = (Instant::now(), Random(options.seed << 32));
    let mut cells = source.open()?;
    let expected = whole_epoch(&cells, LoaderOptions::new(512).output(MatrixFormat::Csr))?;
    let threads = threads();
    let mut most: Vec<u64> = Vec::new();
    while start.elapsed() < Duration::from_secs(options.seconds) {
        let (line, mut seen) = (Instant::now(), Seen::default());
        while line.elapsed() < Duration::from_secs(options.every) {
            if random.below(10) == 0 {
                cells = source.open()?;
            }
            epoch(&cells, &mut random, expected, &mut seen)?;
            seen.most_memory = seen.most_memory.max(memory::anonymous().unwrap_or(0));
            if !ends_with(threads) {
                return Err("a thread outlived its epoch".into());
            }
        }
        most.push(seen.most_memory);
        println!("{}", report(start, &seen));
    }
    // The first quarter is for warming up: what the options take at the most was seen by then.
    let (early, late) = most.split_at((most.len() / 4).max(1));
    let largest = |of: &[u64]| of.iter().copied().max().unwrap_or(0) as f64;
    println!(
        "{}",
        json!({ "question": "soak", "growth": largest(late) / largest(early) })
    );
    Ok(())
}

fn report(start: Instant, seen: &Seen) -> Value {
    json!({
        "question": "soak",
        "seconds": start.elapsed().as_secs(),
        "epochs": seen.epochs,
        "dropped": seen.dropped,
        "rows": seen.rows,
        "memory_bytes": seen.most_memory,
    })
}

/// An epoch with random options, or a part of one.
fn epoch(
    cells: &MappedCollection,
    random: &mut Random,
    expected: u64,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let shuffle = match random.below(4) {
        0 => Shuffle::None,
        1 => Shuffle::Blocks {
            rows: random.one_of(&[1, 16, 256, 5000]),
        },
        _ => Shuffle::Exact,
    };
    let options = LoaderOptions::new(random.one_of(&[17, 128, 512, 2000]))
        .shuffle(shuffle)
        .seed(random.below(u64::MAX))
        .workers(random.below(4) as usize)
        .memory(random.one_of(&[400 << 20, 512 << 20, 1 << 30]))
        .output(random.one_of(&[MatrixFormat::Csr, MatrixFormat::Csr, MatrixFormat::Dense]));
    if random.below(3) > 0 {
        let batches = cells.loader(options)?;
        for batch in batches
            .epoch(random.below(9))
            .take(random.below(200) as usize)
        {
            seen.rows += batch?.n_obs() as u64;
        }
        seen.dropped += 1;
        return Ok(());
    }
    if whole_epoch(cells, options.clone())? != expected {
        return Err(format!("the rows of an epoch are not those of the files: {options:?}").into());
    }
    seen.rows += cells.n_obs() as u64;
    seen.epochs += 1;
    Ok(())
}

/// Which rows an epoch has, whatever their order.
pub(crate) fn whole_epoch(
    cells: &MappedCollection,
    options: LoaderOptions,
) -> Result<u64, Failure> {
    let mut checksum = Checksum::default();
    for batch in cells.loader(options)?.epoch(0) {
        checksum.batch(&batch?)?;
    }
    Ok(checksum.set())
}

/// Whether there are soon no more threads than these: one that was joined is listed for a moment.
fn ends_with(n_threads: usize) -> bool {
    (0..100).any(|_| {
        let few = threads() <= n_threads;
        if !few {
            std::thread::sleep(Duration::from_millis(10));
        }
        few
    })
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count())
}
