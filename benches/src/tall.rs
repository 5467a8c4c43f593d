//! Chunks that run along the cells: epochs, beside decoding each chunk once.

use std::path::PathBuf;
use std::time::Instant;

use anndata_io::{AnnDataFile, IoContext, LayerKey, ReadScratch, RowSink, ValuesRef};
use clap::Args;
use mapped_collection::{LoaderOptions, MappedCollection, Shuffle};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::repeat::Repeat;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A file whose X is dense.
    path: PathBuf,
    /// Rows a batch.
    #[arg(long, default_value_t = 512)]
    batch_size: usize,
    /// MiB for rows and chunks in flight.
    #[arg(long, default_value_t = 256)]
    memory_mib: usize,
    /// Threads that read ahead.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

pub(crate) fn run(repeat: &Repeat, options: &Options) -> Result<(), Failure> {
    let about = json!({
        "question": "tall", "memory_mib": options.memory_mib, "workers": options.workers,
        "batch_size": options.batch_size,
    });
    repeat.each(&about, |request| {
        let mut found = Map::new();
        found.insert("seed".into(), request.seed.into());
        found.insert("decode".into(), decode(options)?);
        found.insert("get_batch".into(), get_batch(options)?);
        for (name, shuffle) in [
            ("file", Shuffle::None),
            ("exact", Shuffle::Exact),
            ("blocks", Shuffle::Blocks { rows: 256 }),
        ] {
            found.insert(name.into(), epoch(options, shuffle)?);
        }
        Ok(Value::Object(found))
    })
}

/// Takes rows and does nothing with them.
struct Nowhere;

impl RowSink for Nowhere {
    fn dense(&mut self, _row: usize, _start: usize, _values: ValuesRef<'_>) {}
    fn sparse(&mut self, _row: usize, _columns: &[u32], _values: ValuesRef<'_>) {}
}

/// Each chunk decoded once, by one thread, and no row put anywhere.
fn decode(options: &Options) -> Result<Value, Failure> {
    let context = IoContext::default();
    let x = AnnDataFile::open_in(&options.path, &context)?.layer(&LayerKey::X)?;
    let x = x.ok_or("the file has no X")?;
    let rows: Vec<u64> = (0..x.n_rows()).collect();
    let clock = Clock::start();
    x.read_rows(&rows, &mut ReadScratch::for_scan(), &mut Nowhere)?;
    Ok(clock.stop(&json!({ "chunks": context.decoded_chunks() })))
}

/// All rows as one batch, by one thread.
fn get_batch(options: &Options) -> Result<Value, Failure> {
    let cells = MappedCollection::builder([&options.path]).open()?;
    let rows: Vec<i64> = (0..cells.n_obs() as i64).collect();
    let clock = Clock::start();
    drop(cells.get_batch(&rows)?);
    Ok(clock.stop(&json!({ "chunks": cells.io().decoded_chunks() })))
}

fn epoch(options: &Options, shuffle: Shuffle) -> Result<Value, Failure> {
    let cells = MappedCollection::builder([&options.path]).open()?;
    let batches = cells.loader(
        LoaderOptions::new(options.batch_size)
            .shuffle(shuffle)
            .workers(options.workers)
            .memory(options.memory_mib << 20),
    )?;
    let clock = Clock::start();
    let mut epoch = batches.epoch(0);
    let mut n_rows = epoch.next().ok_or("there are no rows")??.n_obs();
    let first_seconds = clock.start.elapsed().as_secs_f64();
    for batch in epoch {
        n_rows += batch?.n_obs();
    }
    Ok(clock.stop(&json!({
        "first_seconds": first_seconds,
        "chunks": cells.io().decoded_chunks(),
        "rows": n_rows,
    })))
}

/// Time that passed, and processor time of all threads, which other processes hardly change.
struct Clock {
    start: Instant,
    cpu: Option<f64>,
}

impl Clock {
    fn start() -> Clock {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        Clock { start, cpu }
    }

    fn stop(&self, about: &Value) -> Value {
        let mut report = about.clone();
        report["seconds"] = self.start.elapsed().as_secs_f64().into();
        let used = cpu_seconds().zip(self.cpu).map(|(now, then)| now - then);
        report["cpu_seconds"] = used.into();
        report
    }
}

/// User and system time of this process, in steps of 10 ms.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may have blanks.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
