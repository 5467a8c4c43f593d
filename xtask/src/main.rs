//! Development commands of the workspace: `cargo xtask fixtures`, `cargo xtask test`, `cargo xtask ci`.

mod bench;
mod ci;
mod deny;
mod differential;
mod fixtures;
mod fuzz;
mod manifest;
mod package;
mod python;
mod readme;
mod step;
mod test;
mod tidy;
mod workflows;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The error, for the person who runs the command.
type Result<T = ()> = std::result::Result<T, String>;

/// Development commands of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the golden fixtures and the demo collection again, with Python 3.7 to 3.12.
    Fixtures {
        /// Only compare the files with their recorded hashes; needs no Python.
        #[arg(long)]
        check: bool,
    },
    /// Write the README of each crate from its front page.
    Readme {
        /// Only compare them.
        #[arg(long)]
        check: bool,
    },
    /// Run all tests: unit, integration, documentation, and those of the Python package that need no
    /// torch; needs Python 3.11.
    Test,
    /// Run everything that must hold before a change is merged; needs Python 3.11 and 3.12.
    Ci,
    /// Read files by two readers and compare everything that they return (`tools/differential`); needs a C compiler and,
    /// where cmake is not installed, Python 3.11.
    Differential(differential::Options),
    /// Read hostile files, mutants of all fixtures, for a given time; failures go to `target/fuzz`.
    Fuzz(fuzz::Options),
    /// Time this workspace against other loaders, in turns; needs Python 3.12 and 30 GB of disk.
    Bench(bench::Options),
}

/// The root of the workspace.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Fixtures { check: true } => fixtures::check(&root()),
        Command::Fixtures { check: false } => fixtures::write(&root()),
        Command::Readme { check } => readme::run(check),
        Command::Test => test::run(test::Python::Base),
        Command::Ci => ci::run(),
        Command::Differential(options) => differential::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
