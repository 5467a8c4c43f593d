//! The command: looks at, draws from, streams and checks collections of AnnData files.
//!
//! Standard output carries results alone; warnings, errors and progress go to standard error.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

mod args;
mod check;
mod demo;
mod demo_files;
mod effort;
mod escape;
mod get;
mod info;
mod json;
mod lists;
mod options;
mod progress;
mod report;
mod stream;
mod text;
mod weights;

use args::{Cli, Command};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| report::usage(&error));
    let mut out = BufWriter::new(io::stdout().lock());
    let done = run(cli, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    drop(out); // results stand before the error
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
        Command::Check(args) => return check::run(&args, cli.json, out),
    }
    Ok(ExitCode::SUCCESS)
}
