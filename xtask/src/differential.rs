//! The checks that need a second reader: `cargo xtask differential`, which runs `tools/differential`, and the tests
//! with the HDF5 C library and zarrs.
//!
//! The build of the C library needs cmake. If there is no cmake, one from PyPI is put on the path.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use clap::Args;

use crate::Result;
use crate::python::Venv;
use crate::step::{self, cargo};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The arguments of `tools/differential`; `hdf5 --help` lists its options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    args: Vec<OsString>,
}

/// Runs the tool in the folder where the command was started: paths are relative to it.
pub(crate) fn run(options: &Options) -> Result {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let manifest = crate::root().join("Cargo.toml");
    let mut command = with_cmake(&["run", "--quiet", "--package", "differential"])?;
    command
        .current_dir(here)
        .arg("--manifest-path")
        .arg(manifest);
    step::run(command.arg("--").args(&options.args))
}

/// Compares the fixtures of a format (`hdf5`, `zarr`), or `mutants` damaged copies of each.
pub(crate) fn fixtures(format: &str, mutants: u64) -> Result {
    let args = [format, "--mutants", &mutants.to_string()];
    run(&Options {
        args: args.iter().map(OsString::from).collect(),
    })
}

/// Lints and tests the code that exists only with the C library and zarrs.
pub(crate) fn test() -> Result {
    let library = ["--package", "anndata-io", "--package", "mapped-collection"];
    let library = [
        &library[..],
        &["--features", "anndata-io/libhdf5,mapped-collection/libhdf5"],
        &["--features", "anndata-io/zarrs,mapped-collection/zarrs"],
    ];
    let library = library.concat();
    let tool = ["--package", "differential"];
    for what in [&library[..], &tool] {
        let mut clippy = with_cmake(&["clippy", "--all-targets"])?;
        step::run(clippy.args(what).args(["--", "-D", "warnings"]))?;
    }
    let mut test = with_cmake(&["test", "--tests"])?;
    step::run(
        test.args(&library)
            .args(["--", "c_library", "backend", "zarrs"]),
    )?;
    step::run(with_cmake(&["test"])?.args(tool))
}

/// Cargo with cmake on its path: an installed one, or one in an environment below `target/venvs`.
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
