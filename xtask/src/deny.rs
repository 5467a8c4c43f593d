//! Checks dependencies: licences, sources and bans, and advisories if their database can be reached.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{self, cargo};
use crate::{Result, root};

const VERSION: &str = "0.20.2";

/// Checks the dependencies against `deny.toml`.
pub(crate) fn run() -> Result {
    let deny = installed(&root())?;
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command
            .current_dir(root())
            .args(["--all-features", "check"])
            .args(what);
        command
    };
    step::run(&mut check(&[
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))?;
    let advisories = check(&["advisories"]).output();
    let advisories = advisories.map_err(|error| format!("cannot run cargo-deny: {error}"))?;
    let text = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        println!("no advisory");
        return Ok(());
    }
    if text.contains("failed to fetch advisory database") {
        println!("advisories: NOT RUN, their database cannot be reached");
        return Ok(());
    }
    Err(format!("advisories:\n{text}"))
}

/// The program. Installs it below `target` if it is not there yet.
fn installed(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let deny = tools.join("bin/cargo-deny");
    let mut version = Command::new(&deny);
    let found = version.arg("--version").stderr(Stdio::null()).output();
    let is_it = found.is_ok_and(|found| {
        String::from_utf8_lossy(&found.stdout).trim() == format!("cargo-deny {VERSION}")
    });
    if !is_it {
        let mut install = cargo(&["install", "cargo-deny", "--locked", "--force", "--version"]);
        step::run(install.arg(VERSION).arg("--root").arg(&tools))?;
    }
    Ok(deny)
}
