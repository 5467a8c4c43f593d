//! Matrices stored by column: how long until X is ready by row, beside reading its bytes once.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anndata_io::{AnnDataFile, IoContext, IoOptions, LayerKey, Store};
use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::memory::{self, Watch};
use crate::repeat::Repeat;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A file whose X is CSC.
    path: PathBuf,
    /// MiB of memory for the rows.
    #[arg(long, default_value_t = 512)]
    csc_mib: usize,
}

pub(crate) fn run(repeat: &Repeat, options: &Options) -> Result<(), Failure> {
    let about = json!({ "question": "csc", "csc_mib": options.csc_mib });
    repeat.each(&about, |request| {
        let file_seconds = read_file(&options.path)?;
        let io = IoOptions::new().pack_bytes(options.csc_mib << 20);
        let arrays_seconds = read_arrays(&options.path, &IoContext::new(io))?;
        let context = IoContext::new(io);
        let x = AnnDataFile::open_in(&options.path, &context)?.layer(&LayerKey::X)?;
        let x = x.ok_or("the file has no X")?;
        let before = memory::anonymous().unwrap_or(0);
        let watch = Watch::start();
        let start = Instant::now();
        x.prepare(&mut |_, _| {})?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(json!({
            "seed": request.seed,
            "rows": x.n_rows(),
            "seconds": seconds,
            "file_seconds": file_seconds,
            "arrays_seconds": arrays_seconds,
            "memory_bytes": watch.most().saturating_sub(before),
        }))
    })
}

/// The file from end to end, by pieces of 1 MiB.
fn read_file(path: &Path) -> Result<f64, Failure> {
    let start = Instant::now();
    let (mut file, mut piece) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut piece)? > 0 {}
    Ok(start.elapsed().as_secs_f64())
}

/// Both arrays decoded, one after the other, each into one list.
fn read_arrays(path: &Path, context: &IoContext) -> Result<f64, Failure> {
    let start = Instant::now();
    let store = Store::open(path, context)?;
    for element in ["X/indices", "X/data"] {
        std::hint::black_box(store.array(element)?.read_all()?);
    }
    Ok(start.elapsed().as_secs_f64())
}
