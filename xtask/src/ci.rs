//! `cargo xtask ci`: checks the format and lints of Rust and Python, the documentation, each crate alone and the
//! fixtures, and runs all tests, including those that need torch.

use std::path::Path;

use crate::step::{self, FEATURES, cargo, step};
use crate::{Result, deny, differential, fixtures, package, readme, root, test, tidy, workflows};

/// Examples, each of which asserts what it shows.
const EXAMPLES: [(&str, &str); 5] = [
    ("anndata-io", "sink"),
    ("mapped-anndata", "quickstart"),
    ("mapped-anndata", "inspect"),
    ("mapped-anndata", "train"),
    ("mapped-anndata", "resume"),
];

/// Runs every step in turn and stops at the first that fails.
pub(crate) fn run() -> Result {
    step("format", || {
        step::run(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    step("layers", tidy::run)?;
    step("READMEs", || readme::run(true))?;
    step("workflow files", workflows::run)?;
    step("clippy", || {
        let args = [
            "clippy",
            "--workspace",
            // Needs cmake, so it is linted below, with the HDF5 C library.
            "--exclude",
            "differential",
            "--all-targets",
            "--features",
            FEATURES,
            "--",
            "-D",
            "warnings",
        ];
        step::run(&mut cargo(&args))
    })?;
    step("documentation", || {
        let mut doc = cargo(&[
            "doc",
            "--workspace",
            "--exclude",
            "differential",
            "--no-deps",
            "--features",
            FEATURES,
        ]);
        step::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    for package in packages(&root().join("crates"))? {
        step(
            &format!("{package} alone, without default features"),
            || {
                step::run(&mut cargo(&[
                    "check",
                    "--package",
                    &package,
                    "--no-default-features",
                ]))
            },
        )?;
    }
    package::lint()?;
    step("dependencies", deny::run)?;
    for (package, example) in EXAMPLES {
        step(&format!("example {example} of {package}"), || {
            step::run(&mut cargo(&[
                "run",
                "--package",
                package,
                "--example",
                example,
            ]))
        })?;
    }
    for kib in ["1048576", "400"] {
        step(&format!("killed processes, a cache of {kib} KiB"), || {
            let mut kills = cargo(&["run", "--package", "benches", "--", "kills"]);
            let demo = ["a.h5ad", "b.h5ad", "c.zarr", "d.zarr"];
            kills.args(demo.map(|name| format!("crates/cli/demo/{name}")));
            kills.args(["--kills", "30", "--within", "30", "--empty-every", "1"]);
            step::run(kills.args(["--cache-kib", kib]))
        })?;
    }
    step("fixtures", || fixtures::check(&root()))?;
    step("HDF5 by both readers", || differential::fixtures("hdf5", 0))?;
    step("damaged HDF5 by both readers", || {
        differential::fixtures("hdf5", 4)
    })?;
    step("zarr by both readers", || differential::fixtures("zarr", 0))?;
    step("damaged zarr by both readers", || {
        differential::fixtures("zarr", 20)
    })?;
    step(
        "tests with the HDF5 C library and zarrs",
        differential::test,
    )?;
    test::run(test::Python::All)
}

/// The names of the packages in the folders below `crates`, sorted by folder.
fn packages(crates: &Path) -> Result<Vec<String>> {
    let unreadable = |error| format!("cannot read {}: {error}", crates.display());
    let mut manifests = Vec::new();
    for entry in std::fs::read_dir(crates).map_err(unreadable)? {
        manifests.push(entry.map_err(unreadable)?.path().join("Cargo.toml"));
    }
    manifests.sort();
    let mut names = Vec::new();
    for manifest in manifests.iter().filter(|manifest| manifest.is_file()) {
        let text = std::fs::read_to_string(manifest)
            .map_err(|error| format!("cannot read {}: {error}", manifest.display()))?;
        let name = package_name(&text)
            .ok_or_else(|| format!("{} names no package", manifest.display()))?;
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The `name` of the `[package]` of a manifest.
pub(crate) fn package_name(manifest: &str) -> Option<&str> {
    let package = manifest.split("[package]").nth(1)?;
    let line = package
        .lines()
        .find_map(|line| line.strip_prefix("name = "))?;
    Some(line.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_of_the_package_not_of_a_target() {
        let manifest =
            "[package]\ndescription = \"d\"\nname = \"one\"\n\n[[bin]]\nname = \"two\"\n";
        assert_eq!(package_name(manifest), Some("one"));
        assert_eq!(package_name("[workspace]\n"), None);
    }

    #[test]
    fn finds_the_packages_of_this_workspace() {
        let names = packages(&root().join("crates")).unwrap();
        assert!(
            names.contains(&"mapped-anndata-cli".to_owned()),
            "{names:?}"
        );
    }
}
