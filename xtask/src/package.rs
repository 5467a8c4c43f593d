//! The Python package: its format, lints and types, its wheel, and its tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::python::Venv;
use crate::step::{self, run_lines, step};
use crate::test::Python;
use crate::{Result, root};

/// Checks format, lints and types, as `pyproject.toml` sets them.
pub(crate) fn lint() -> Result {
    let root = root();
    let package = root.join("crates/python");
    let venv = step("environment of Python's linters", || {
        let requirements = package.join("tests/requirements-lint.txt");
        Venv::prepare_named(&root, "package-lint", 12, &requirements)
    })?;
    let checks: [(&str, &[&str]); 3] = [
        ("format", &["ruff", "format", "--check"]),
        ("lints", &["ruff", "check"]),
        ("types", &["mypy"]),
    ];
    for (what, args) in checks {
        step(&format!("{what} of the Python package"), || {
            let mut check = Command::new(venv.python());
            check.arg("-B").arg("-m").args(args);
            step::run(check.current_dir(&package))
        })?;
    }
    Ok(())
}

/// Builds the wheel and runs pytest in an environment of its own for each folder of tests. Every
/// line of its output goes to `line`.
pub(crate) fn test(python: Python, mut line: impl FnMut(&str)) -> Result {
    let root = root();
    let package = root.join("crates/python");
    let tests = package.join("tests");
    let base = step("environment of the Python package", || {
        Venv::prepare_named(&root, "package", 11, &tests.join("requirements.txt"))
    })?;
    let wheel = step("wheel of the Python package", || build(&base, &package))?;
    let tested = step("tests of the Python package", || {
        pytest(&base, &package, &wheel, "tests/base", &mut line)
    });
    if python == Python::Base {
        return tested;
    }
    let torch = step("environment with torch", || {
        Venv::prepare_named(
            &root,
            "package-torch",
            12,
            &tests.join("requirements-torch.txt"),
        )
    })?;
    let with_torch = step("tests of the Python package with torch", || {
        pytest(&torch, &package, &wheel, "tests/torch", &mut line)
    });
    let servers = step("environment with servers", || {
        let requirements = tests.join("requirements-servers.txt");
        Venv::prepare_named(&root, "package-servers", 12, &requirements)
    })?;
    let with_servers = step("tests of the Python package with servers", || {
        pytest(&servers, &package, &wheel, "tests/servers", &mut line)
    });
    tested.and(with_torch).and(with_servers)
}

/// Builds the wheel with the profile of the tests, so that both share cargo's output.
fn build(venv: &Venv, package: &Path) -> Result<PathBuf> {
    let wheels = root().join("target/wheels");
    // A wheel of an earlier version must not be taken for this one.
    let _ = std::fs::remove_dir_all(&wheels);
    let mut maturin = Command::new(venv.python());
    maturin.args(["-m", "maturin", "build", "--quiet", "--profile", "dev"]);
    maturin.arg("--out").arg(&wheels).arg("--interpreter");
    step::run(maturin.arg(venv.python()).current_dir(package))?;
    let entries = std::fs::read_dir(&wheels)
        .map_err(|error| format!("cannot read {}: {error}", wheels.display()))?;
    let wheel = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.ok_or_else(|| format!("no wheel in {}", wheels.display()))
}

/// Installs the wheel and runs the tests of a folder.
fn pytest(
    venv: &Venv,
    package: &Path,
    wheel: &Path,
    folder: &str,
    line: impl FnMut(&str),
) -> Result {
    let mut pip = Command::new(venv.python());
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.args(["--disable-pip-version-check", "--no-deps"]);
    step::run(pip.arg("--force-reinstall").arg(wheel))?;
    let mut pytest = Command::new(venv.python());
    pytest.args(["-B", "-m", "pytest", "-q", "-rs", "--tb=short", folder]);
    run_lines(pytest.current_dir(package), line)
}
