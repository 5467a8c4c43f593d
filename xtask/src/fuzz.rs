//! `cargo xtask fuzz`: reads hostile files until the time is over.

use clap::Args;

use crate::step::{self, cargo, step};
use crate::{Result, root};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long to go on.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Another seed makes other mutants; the same seed makes the same ones.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// Only fixtures whose path contains this.
    #[arg(long)]
    only: Option<String>,
}

/// Mutates and reads every fixture until the time is over. Mutants that fail are kept in
/// `target/fuzz`.
pub(crate) fn run(options: &Options) -> Result {
    step("hostile files", || {
        let mut test = cargo(&[
            "test",
            "--release",
            "--package",
            "mapped-collection",
            "--test",
            "hostile",
            "--",
            "--ignored",
            "--exact",
            "long",
            "--nocapture",
        ]);
        test.env("FUZZ_SECONDS", options.seconds.to_string())
            .env("FUZZ_SEED", options.seed.to_string())
            .env("FUZZ_KEEP", root().join("target/fuzz"))
            .env("FUZZ_ONLY", options.only.as_deref().unwrap_or_default());
        step::run(&mut test)
    })
}
