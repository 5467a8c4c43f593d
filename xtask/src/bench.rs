//! `cargo xtask bench`: runs the benchmarks of `benches/`, and prepares everything that they need.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::python::Venv;
use crate::step::{self, cargo, step};
use crate::{Result, root};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Use small data and few repetitions, for one to ten minutes in all: checks that everything runs, not how fast.
    /// Writes to `target/bench-results`.
    #[arg(long)]
    quick: bool,
    /// Run only tasks whose name matches this pattern; `benches/compare.py --list` lists them.
    #[arg(long)]
    only: Option<String>,
}

/// Prepares the environment and the data, runs the tasks, and writes table and plot.
pub(crate) fn run(options: &Options) -> Result {
    let root = root();
    let benches = root.join("benches");
    let size = if options.quick { "small" } else { "medium" };
    let data = root.join("target/bench-data");
    let results = if options.quick {
        root.join("target/bench-results")
    } else {
        benches.join("results")
    };

    step("build", || {
        step::run(&mut cargo(&["build", "--release", "--package", "benches"]))
    })?;
    let bench = target_folder()?.join("release/bench");
    let venv = step("environment", || {
        Venv::prepare_named(&root, "benches", 12, &benches.join("requirements.txt"))
    })?;
    step("Python package", || {
        let mut pip = Command::new(venv.python());
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        pip.args(["--no-deps", "--force-reinstall"]);
        step::run(pip.arg(root.join("crates/python")))
    })?;
    let script = |name: &str| {
        let mut command = Command::new(venv.python());
        command.arg("-B").arg(benches.join(name));
        command
    };
    step("data", || {
        step::run(
            script("generate.py")
                .arg("--out")
                .arg(&data)
                .args(["--size", size]),
        )
    })?;
    let data = data.join(size);
    step("ceilings", || {
        let mut ceiling = script("ceiling.py");
        ceiling.arg("--bench").arg(&bench).arg("--data").arg(&data);
        step::run(ceiling.arg("--out").arg(results.join("ceiling.json")))
    })?;
    let compared = step("tasks", || {
        let mut compare = script("compare.py");
        compare
            .arg("--bench")
            .arg(&bench)
            .arg("--python")
            .arg(venv.python());
        compare
            .arg("--data")
            .arg(&data)
            .arg("--results")
            .arg(&results);
        if options.quick {
            compare.args(["--reps", "1", "--seconds", "1"]);
        }
        if let Some(pattern) = &options.only {
            compare.args(["--only", pattern]);
        }
        step::run(&mut compare)
    });
    step("report", || {
        report(script("report.py"), &results, size, &benches, options.quick)
    })?;
    compared
}

fn report(mut command: Command, results: &Path, size: &str, benches: &Path, quick: bool) -> Result {
    command.arg("--results").arg(results).args(["--size", size]);
    if !quick {
        command.arg("--readme").arg(benches.join("README.md"));
    }
    step::run(&mut command)
}

/// The folder of cargo's build output. This program lies in a folder of it.
fn target_folder() -> Result<PathBuf> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder
        .ok_or("this program lies outside a target folder")?
        .to_path_buf())
}
