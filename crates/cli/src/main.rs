//! The command `mapped-anndata`: looks at, draws from, streams and checks collections of AnnData files.
//!
//! Give it `.h5ad` and `.zarr` files. It treats their cells as the rows of one table, as training does, and reads them as
//! they are on disk. Results go to standard output; warnings, errors and progress go to standard error.
//!
//! # What it is not
//!
//! It writes no AnnData file and trains no model. To read batches from a program, use the crate `mapped-anndata` or the
//! Python package `mapped_anndata`.
//!
//! # The commands that matter
//!
//! - `info`: what the files are as one collection: cells, genes, labels.
//! - `get`: the rows of some indices.
//! - `stream`: an epoch of batches, and how fast it went. Without files, it reads a demo collection inside the program.
//! - `weights`: how rare each label is.
//! - `cache`: fills a folder with packed rows, which every later epoch reads; lists, verifies and clears it.
//! - `check`: reads every byte that a model could be given, and lists all faults.
//!
//! `--help` of each command explains its options. `--json` prints machine-readable output.
//!
//! # Example
//!
//! ```sh
//! cargo install --path crates/cli
//! mapped-anndata stream
//! mapped-anndata info *.h5ad --obs cell_type --join outer
//! mapped-anndata check cells.h5ad
//! ```
//!
//! # Features
//!
//! - `remote` (on by default): files on servers, by their URLs.
//! - `parquet` (on by default): tables of labels in parquet files.
//! - `libhdf5`: a second reader of h5ad files, on the HDF5 C library. The library is built from source, which needs cmake.
//! - `zarrs`: a second reader of zarr arrays, the crate `zarrs`, for codecs that the default reader refuses.
//! - `zarrs-zfp`: its codecs zfp and zfpy, which need cmake and libclang.
//!
//! # Exit codes
//!
//! 0 when everything was read; 1 when a file has faults or cannot be read; 2 when the arguments are wrong.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

mod args;
mod backends;
mod cache;
mod check;
mod demo;
mod demo_files;
mod effort;
mod escape;
mod genes;
mod get;
mod info;
mod json;
mod label_map;
mod lists;
mod obs_table;
mod opened;
mod output;
mod progress;
mod report;
mod sampler;
mod storage;
mod stream;
mod text;
mod transforms;
mod weights;

use args::{Cli, Command};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| report::usage(&error));
    let mut out = BufWriter::new(io::stdout().lock());
    let done = run(cli, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    drop(out); // so that results come before the error
    match done {
        Ok(code) => code,
        Err(error) => report::failure(error),
    }
}

/// Runs a command; the exit code is that of its result.
fn run(cli: Cli, out: &mut impl Write) -> Result<ExitCode> {
    match cli.command {
        Command::Info(args) => info::run(&args, cli.json, out)?,
        Command::Get(args) => get::run(&args, cli.json, out)?,
        Command::Weights(args) => weights::run(&args, cli.json, out)?,
        Command::Stream(args) => stream::run(&args, cli.json, out)?,
        Command::Cache(command) => return cache::run(&command, cli.json, out),
        Command::Check(args) => return check::run(&args, cli.json, out),
    }
    Ok(ExitCode::SUCCESS)
}
