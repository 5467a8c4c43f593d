//! Two processes fill one cache and are killed at random moments, again and again. Every epoch that
//! ends must have had the right rows, the folder must keep within its size at every moment, and in
//! the end it must hold valid packs and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anndata_io::PackCache;
use clap::Args;
use mapped_collection::{CacheOptions, LoaderOptions, MatrixFormat, Shuffle};
use serde_json::json;

use crate::Failure;
use crate::checksum::mix;
use crate::soak::whole_epoch;
use crate::task::Source;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many processes are killed.
    #[arg(long, default_value_t = 1000)]
    kills: u64,
    /// The most milliseconds between two kills.
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// The most KiB that the folder may take.
    #[arg(long, default_value_t = 1 << 20)]
    cache_kib: u64,
    /// The folder is emptied after every so many kills, so that it is filled again.
    #[arg(long, default_value_t = 8)]
    empty_every: u64,
    /// What the random moments begin with.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One of the processes: reads epochs until it is killed, and each must have these rows.
    #[arg(long, hide = true)]
    child: Option<u64>,
    /// Its cache.
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

pub(crate) fn run(source: &Source, options: &Options) -> Result<(), Failure> {
    match (&options.folder, options.child) {
        (Some(folder), Some(expected)) => read(source, options, folder, expected),
        _ => kill(source, options, tempfile::tempdir()?.path()),
    }
}

fn cache(folder: &Path, options: &Options) -> CacheOptions {
    CacheOptions::new(folder).size(options.cache_kib << 10)
}

fn loader_options(seed: u64) -> LoaderOptions {
    let options = LoaderOptions::new(256).shuffle(Shuffle::Exact).seed(seed);
    options.memory(256 << 20).output(MatrixFormat::Csr)
}

/// Reads epochs until it is killed.
fn read(source: &Source, options: &Options, folder: &Path, expected: u64) -> Result<(), Failure> {
    for seed in u64::from(std::process::id()).. {
        let builder = source.builder().cache(cache(folder, options));
        let cells = builder.open()?;
        if whole_epoch(&cells, loader_options(seed))? != expected {
            return Err("the rows of an epoch are not those of the files".into());
        }
        let warnings = cells.io().cache().map(|cache| cache.take_warnings());
        if let Some(warning) = warnings.into_iter().flatten().next() {
            return Err(warning.into());
        }
    }
    Ok(())
}

fn spawn(expected: u64, folder: &Path) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(std::env::args_os().skip(1))
        .args(["--child", &expected.to_string(), "--folder"])
        .arg(folder)
        .stdin(Stdio::null());
    Ok(command.spawn()?)
}

fn kill(source: &Source, options: &Options, folder: &Path) -> Result<(), Failure> {
    let expected = whole_epoch(&source.open()?, loader_options(0))?;
    let opened = PackCache::open(&cache(folder, options))?;
    let (stop, largest) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let unfinished = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let size = files(folder).iter().map(|(_, len)| len).sum();
                largest.fetch_max(size, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let killed = kill_again_and_again(options, &opened, expected, folder);
        stop.store(true, Ordering::Relaxed);
        killed
    })?;
    let largest = largest.into_inner();
    if largest > options.cache_kib << 10 {
        return Err(format!("the folder had {largest} bytes").into());
    }
    let faults = opened.verify(|_, _| {})?;
    if !faults.is_empty() {
        return Err(format!("segments are damaged: {faults:?}").into());
    }
    drop(opened);
    // What is there is right, and what is not is added.
    let cells = source.builder().cache(cache(folder, options)).open()?;
    let before = cells.cached().ok_or("no cache")?.fraction();
    for epoch in 0..2 {
        if whole_epoch(&cells, loader_options(epoch))? != expected {
            return Err("the rows of the last epoch are not those of the files".into());
        }
    }
    let after = cells.cached().ok_or("no cache")?.fraction();
    drop(cells);
    let left: Vec<_> = files(folder)
        .into_iter()
        .filter(|(path, _)| {
            let is = |end| path.extension().is_some_and(|found| found == end);
            !is("pack") && !is("TAG") && !path.ends_with("lock")
        })
        .collect();
    if !left.is_empty() {
        return Err(format!("something is left: {left:?}").into());
    }
    println!(
        "{}",
        json!({
            "question": "kills",
            "kills": options.kills,
            "while_a_segment_was_written": unfinished,
            "seconds": begun.elapsed().as_secs_f64(),
            "cache_bytes": options.cache_kib << 10,
            "most_bytes": largest,
            "cached_after_the_kills": before,
            "cached_after_an_epoch": after,
        })
    );
    Ok(())
}

/// Returns how many processes were killed while they wrote a segment.
fn kill_again_and_again(
    options: &Options,
    cache: &PackCache,
    expected: u64,
    folder: &Path,
) -> Result<u64, Failure> {
    let mut children = [spawn(expected, folder)?, spawn(expected, folder)?];
    let mut unfinished = 0;
    let mut failed = None;
    for number in 0..options.kills {
        let random = mix(options.seed << 32 | number);
        let pause = (random >> 8) % (options.within * 1000);
        std::thread::sleep(Duration::from_micros(pause));
        let child = &mut children[(random % 2) as usize];
        if let Some(status) = child.try_wait()? {
            failed = Some(format!("a process ended by itself: {status}"));
            break;
        }
        child.kill()?;
        child.wait()?;
        let of_child = format!("{:08x}", child.id());
        let is_left = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".part") && name.get(16..24) == Some(&of_child)
        };
        unfinished += u64::from(files(folder).iter().any(|(path, _)| is_left(path)));
        *child = spawn(expected, folder)?;
        if number % options.empty_every == 0 {
            cache.clear()?;
        }
    }
    for child in &mut children {
        child.kill()?;
        child.wait()?;
    }
    match failed {
        None => Ok(unfinished),
        Some(failed) => Err(failed.into()),
    }
}

/// All files below a folder, with their lengths.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    // What vanishes meanwhile is not there.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => files.extend(self::files(&path)),
            Ok(meta) => files.push((path, meta.len())),
            Err(_) => {}
        }
    }
    files
}
