//! The options of a comparison, whatever the format.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Files, stores, and folders whose files or stores of this format are read; without any, the fixtures and the demo
    /// collection.
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Treat each file as a damaged copy of this one: a value that a reader refuses, or that ours still reads as in the
    /// original, is no difference.
    #[arg(long, value_name = "FILE", conflicts_with = "mutants")]
    pub(crate) damaged_from: Option<PathBuf>,
    /// Instead of each file, compare this many damaged copies of it, each in its own process. Copies that differ or
    /// take too long are kept in `target/mutants`.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) mutants: u64,
    /// Another seed damages other places.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
}
