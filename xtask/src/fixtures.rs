//! `cargo xtask fixtures`: write the golden files again, or check that they are as recorded.

use std::path::Path;

use crate::Result;
use crate::manifest::{self, Difference};
use crate::python::Venv;
use crate::step::step;

/// The scripts in the order they run: later ones read what earlier ones wrote.
const SCRIPTS: [(&str, Python); 5] = [
    ("stores_0_12.py", Python::Old),
    ("stores_0_13.py", Python::New),
    ("bad.py", Python::Old),
    ("cases.py", Python::Old),
    ("demo.py", Python::Old),
];

/// Which environment a script runs in.
#[derive(Clone, Copy, Debug)]
enum Python {
    /// Python 3.11 with anndata 0.12 and the reference.
    Old,
    /// Python 3.12 with anndata 0.13.
    New,
}

/// Writes every generated file and the manifest over them.
pub(crate) fn write(root: &Path) -> Result {
    let generate = root.join("fixtures/generate");
    let old = step("environment with anndata 0.12", || {
        Venv::prepare(root, 11, &generate.join("requirements-0.12.txt"))
    })?;
    let new = step("environment with anndata 0.13", || {
        Venv::prepare(root, 12, &generate.join("requirements-0.13.txt"))
    })?;
    // What no script writes any more must not stay behind.
    for covered in manifest::COVERED {
        remove(&root.join(covered))?;
    }
    for (script, python) in SCRIPTS {
        let venv = match python {
            Python::Old => &old,
            Python::New => &new,
        };
        step(script, || venv.run(&generate.join(script)))?;
    }
    let hashes = manifest::compute(root)?;
    std::fs::write(root.join(manifest::PATH), manifest::to_text(&hashes))
        .map_err(|error| format!("cannot write {}: {error}", manifest::PATH))?;
    println!("{} files recorded in {}", hashes.len(), manifest::PATH);
    Ok(())
}

/// Compares every generated file with its recorded hash.
pub(crate) fn check(root: &Path) -> Result {
    let text = std::fs::read_to_string(root.join(manifest::PATH))
        .map_err(|error| format!("cannot read {}: {error}", manifest::PATH))?;
    let recorded = manifest::from_text(&text)?;
    let difference = Difference::between(&recorded, &manifest::compute(root)?);
    if difference.is_empty() {
        println!(
            "{} files are as recorded in {}",
            recorded.len(),
            manifest::PATH
        );
        return Ok(());
    }
    print!("{difference}");
    Err(format!(
        "the files above are not as recorded in {}",
        manifest::PATH
    ))
}

fn remove(path: &Path) -> Result {
    let result = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else if path.exists() {
        std::fs::remove_file(path)
    } else {
        return Ok(());
    };
    result.map_err(|error| format!("cannot remove {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_fails_the_check() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("fixtures/cases/a.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "{}").unwrap();
        let hashes = manifest::compute(root.path()).unwrap();
        std::fs::write(root.path().join(manifest::PATH), manifest::to_text(&hashes)).unwrap();
        check(root.path()).unwrap();
        std::fs::write(&file, "{ }").unwrap();
        assert!(check(root.path()).is_err());
    }
}
