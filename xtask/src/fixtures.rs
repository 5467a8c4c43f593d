//! `cargo xtask fixtures`: writes the golden files again, or checks that they are as recorded.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Result;
use crate::manifest::{self, Difference};
use crate::python::Venv;
use crate::step::step;

/// The scripts in running order, each with the anndata of its environment. Later scripts read the files of earlier
/// ones.
const SCRIPTS: [(&str, &str); 13] = [
    ("stores_0_6_0.py", "0.6.0"),
    ("stores_0_6.py", "0.6"),
    ("stores_0_7.py", "0.7"),
    ("stores_0_8.py", "0.8"),
    ("stores_0_10.py", "0.10"),
    ("stores_0_12.py", "0.12"),
    ("stores_0_13.py", "0.13"),
    ("hdf5_layouts.py", "0.12"),
    ("zarr_layouts.py", "0.12"),
    ("bad.py", "0.12"),
    ("tables.py", "0.12"),
    ("cases.py", "0.12"),
    ("demo.py", "0.12"),
];

/// The environments: a version of anndata, and the minor version of its Python, such as 11 for 3.11. The reference is
/// in 0.12.
const ENVIRONMENTS: [(&str, u32); 7] = [
    ("0.6.0", 7),
    ("0.6", 7),
    ("0.7", 8),
    ("0.8", 9),
    ("0.10", 10),
    ("0.12", 11),
    ("0.13", 12),
];

/// Writes every generated file and the manifest over them.
pub(crate) fn write(root: &Path) -> Result {
    let generate = root.join("fixtures/generate");
    let mut venvs = BTreeMap::new();
    for (anndata, minor) in ENVIRONMENTS {
        let name = format!("anndata-{anndata}");
        let requirements = generate.join(format!("requirements-{anndata}.txt"));
        let venv = step(&format!("environment with anndata {anndata}"), || {
            Venv::prepare_named(root, &name, minor, &requirements)
        })?;
        venvs.insert(anndata, venv);
    }
    // Files that no script writes any longer must not stay behind.
    for covered in manifest::COVERED {
        remove(&root.join(covered))?;
    }
    for (script, anndata) in SCRIPTS {
        step(script, || venvs[anndata].run(&generate.join(script)))?;
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
    fn every_script_has_its_environment() {
        for (script, anndata) in SCRIPTS {
            let known = ENVIRONMENTS.iter().any(|(known, _)| *known == anndata);
            assert!(known, "{script}: {anndata}");
        }
    }

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
