//! `cargo xtask differential`: reads HDF5 files by both backends of `anndata-io` and compares all that they give.
//!
//! The comparison needs the HDF5 C library, and its build needs cmake. So that no other command does, it stands behind the
//! feature `libhdf5` of this crate: without it, the command builds itself again with it and runs that.

#[cfg(not(feature = "libhdf5"))]
use std::ffi::OsString;
use std::path::PathBuf;
#[cfg(not(feature = "libhdf5"))]
use std::process::{Command, Stdio};

use clap::Args;

use crate::Result;
#[cfg(not(feature = "libhdf5"))]
use crate::{python::Venv, step::cargo};

#[cfg(feature = "libhdf5")]
mod compare;
#[cfg(feature = "libhdf5")]
mod mutants;
#[cfg(feature = "libhdf5")]
mod report;

#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Files, and folders whose .h5 and .h5ad files are read; without any, the fixtures and the demo collection.
    paths: Vec<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Take each file for a damaged copy of this one: what a backend does not read, and what the default one reads as it
    /// was, is no difference.
    #[arg(long, value_name = "FILE")]
    damaged_from: Option<PathBuf>,
    /// Instead of each file, compare so many damaged copies of it, each in a process of its own. Those that differ or take
    /// too long are kept in `target/mutants`.
    #[arg(long, default_value_t = 0)]
    mutants: u64,
    /// Another seed gives other damages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Options {
    /// The fixtures, damaged.
    pub(crate) fn damaged_fixtures(mutants: u64) -> Options {
        Options {
            mutants,
            seed: 1,
            ..Options::default()
        }
    }
}

/// Compares the files; an error when the backends differ anywhere.
#[cfg(feature = "libhdf5")]
pub(crate) fn run(options: &Options) -> Result {
    let files = compare::files(&options.paths)?;
    let report = match options.mutants {
        0 => compare::all(&files, options.damaged_from.as_deref())?,
        n => mutants::all(&files, n, options.seed)?,
    };
    if options.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    match report.differences() {
        0 => Ok(()),
        n => Err(format!("the backends differ in {n} places")),
    }
}

/// Runs the comparison in a build that has the C library.
#[cfg(not(feature = "libhdf5"))]
pub(crate) fn run(options: &Options) -> Result {
    // Paths are relative to where the command was started, cargo runs in the root.
    let paths = options.paths.iter().map(std::path::absolute);
    let paths: std::io::Result<Vec<PathBuf>> = paths.collect();
    let paths = paths.map_err(|error| error.to_string())?;
    let mut command = with_cmake(&[
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--features",
        "libhdf5",
        "--",
        "differential",
    ])?;
    if options.json {
        command.arg("--json");
    }
    if let Some(original) = &options.damaged_from {
        let original = std::path::absolute(original).map_err(|error| error.to_string())?;
        command.arg("--damaged-from").arg(original);
    }
    command.args(["--mutants", &options.mutants.to_string()]);
    command.args(["--seed", &options.seed.to_string()]);
    crate::step::run(command.args(paths))
}

/// Lints and tests what there is only with the C library.
#[cfg(not(feature = "libhdf5"))]
pub(crate) fn test() -> Result {
    let library = ["--package", "anndata-io", "--package", "mapped-collection"];
    let library = [
        &library[..],
        &["--features", "anndata-io/libhdf5,mapped-collection/libhdf5"],
    ];
    let library = library.concat();
    let mut clippy = with_cmake(&["clippy", "--all-targets"])?;
    crate::step::run(clippy.args(&library).args(["--", "-D", "warnings"]))?;
    let mut test = with_cmake(&["test", "--tests"])?;
    crate::step::run(test.args(&library).args(["--", "c_library", "backend"]))
}

/// In a build that has the library, there is nobody to ask.
#[cfg(feature = "libhdf5")]
pub(crate) fn test() -> Result {
    Err("to be run without the feature".to_owned())
}

/// Cargo with cmake on its path, which the build of the C library needs: the one that is there, or one in an environment
/// below `target/venvs`.
#[cfg(not(feature = "libhdf5"))]
fn with_cmake(args: &[&str]) -> Result<Command> {
    let mut command = cargo(args);
    let mut probe = Command::new("cmake");
    let probe = probe.arg("--version").stdout(Stdio::null());
    if probe
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return Ok(command);
    }
    let root = crate::root();
    let requirements = root.join("xtask/requirements-cmake.txt");
    let venv = Venv::prepare_named(&root, "cmake", 11, &requirements)?;
    let bin = venv
        .python()
        .parent()
        .expect("it lies in a folder")
        .to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin).chain(std::env::split_paths(&path));
    let path: OsString = std::env::join_paths(folders).map_err(|error| error.to_string())?;
    command.env("PATH", path);
    Ok(command)
}
