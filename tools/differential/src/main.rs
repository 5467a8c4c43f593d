//! Reads the same files by two readers, ours and another, and compares everything that they return.

mod compare;
mod files;
#[cfg(feature = "hdf5")]
mod hdf5;
mod mutants;
mod options;
mod report;
#[cfg(test)]
mod tests;
#[cfg(feature = "zarr")]
mod zarr;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::Report;

/// The error, for the person who runs the command.
type Result<T = ()> = std::result::Result<T, String>;

const EXAMPLES: &str = "\
Examples:
  differential hdf5
      compare the HDF5 fixtures of this repository
  differential hdf5 --mutants 4 --seed 2
      compare four damaged copies of each fixture
  differential zarr
      compare the zarr fixtures
  differential hdf5 --json cells.h5ad folder/
      compare files of your own, and print one JSON object

The exit status is 0 when the readers agree, and 1 when they differ or a file cannot be opened.";

/// Reads the same files by two readers and compares everything that they return.
#[derive(Debug, Parser)]
#[command(name = "differential", after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare our reader of HDF5 with the HDF5 C library.
    #[cfg(feature = "hdf5")]
    Hdf5(options::Options),
    /// Compare our reader of zarr with the crate zarrs.
    #[cfg(feature = "zarr")]
    Zarr(options::Options),
}

/// The root of the workspace.
fn root() -> PathBuf {
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = tool.ancestors().nth(2);
    root.expect("the tool lies two folders below").to_path_buf()
}

/// Prints the result of a comparison. Fails if the readers differ anywhere.
fn finish(report: &Report, json: bool) -> Result {
    if json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    match report.differences() {
        0 => Ok(()),
        n => Err(format!("the readers differ in {n} places")),
    }
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        #[cfg(feature = "hdf5")]
        Command::Hdf5(options) => hdf5::run(&options),
        #[cfg(feature = "zarr")]
        Command::Zarr(options) => zarr::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
