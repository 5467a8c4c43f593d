//! `fixtures/SHA256SUMS`: the hash of every generated file, in the form that `sha256sum -c` reads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Result;

/// Where the manifest lies, from the root of the workspace.
pub(crate) const PATH: &str = "fixtures/SHA256SUMS";

/// The folders and files that it covers, from the root of the workspace.
pub(crate) const COVERED: [&str; 8] = [
    "crates/cli/demo",
    "crates/cli/src/demo_files.rs",
    "fixtures/bad",
    "fixtures/cases",
    "fixtures/hdf5",
    "fixtures/stores",
    "fixtures/tables",
    "fixtures/zarr",
];

/// Path from the root (with `/`) to hash (lowercase hexadecimal).
pub(crate) type Hashes = BTreeMap<String, String>;

/// The hashes of the present files.
pub(crate) fn compute(root: &Path) -> Result<Hashes> {
    let mut hashes = Hashes::new();
    for covered in COVERED {
        if root.join(covered).exists() {
            add(root, covered, &mut hashes)?;
        }
    }
    Ok(hashes)
}

fn add(root: &Path, relative: &str, hashes: &mut Hashes) -> Result {
    let path = root.join(relative);
    let unreadable = |error: std::io::Error| format!("cannot read {relative}: {error}");
    if path.is_dir() {
        for entry in std::fs::read_dir(&path).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            add(
                root,
                &format!("{relative}/{}", name.to_string_lossy()),
                hashes,
            )?;
        }
    } else {
        let bytes = std::fs::read(&path).map_err(unreadable)?;
        hashes.insert(relative.to_owned(), format!("{:x}", Sha256::digest(bytes)));
    }
    Ok(())
}

/// The text of a manifest, one line per file.
pub(crate) fn to_text(hashes: &Hashes) -> String {
    hashes
        .iter()
        .map(|(path, hash)| format!("{hash}  {path}\n"))
        .collect()
}

/// Reads the text of a manifest.
pub(crate) fn from_text(text: &str) -> Result<Hashes> {
    text.lines()
        .map(|line| {
            let (hash, path) = line
                .split_once("  ")
                .ok_or_else(|| format!("{PATH}: not a line of hash and path: {line}"))?;
            Ok((path.to_owned(), hash.to_owned()))
        })
        .collect()
}

/// How the files differ from what a manifest records.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Difference {
    missing: Vec<String>,
    changed: Vec<String>,
    extra: Vec<String>,
}

impl Difference {
    /// Compares the recorded hashes with the present ones.
    pub(crate) fn between(recorded: &Hashes, found: &Hashes) -> Self {
        let mut difference = Self::default();
        for (path, hash) in recorded {
            match found.get(path) {
                None => difference.missing.push(path.clone()),
                Some(other) if other != hash => difference.changed.push(path.clone()),
                Some(_) => {}
            }
        }
        let extra = found.keys().filter(|path| !recorded.contains_key(*path));
        difference.extra = extra.cloned().collect();
        difference
    }

    /// Whether there is no difference.
    pub(crate) fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("missing", &self.missing),
            ("changed", &self.changed),
            ("extra", &self.extra),
        ];
        for (kind, paths) in kinds {
            for path in paths {
                writeln!(f, "{kind:8} {path}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_listed() {
        let recorded = from_text("11  a\n22  b\n33  c\n").unwrap();
        let found = from_text("11  a\n99  b\n44  d\n").unwrap();
        let text = Difference::between(&recorded, &found).to_string();
        assert_eq!(text, "missing  c\nchanged  b\nextra    d\n");
    }

    #[test]
    fn files_are_hashed_by_content_under_their_path() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("fixtures/stores/a b.zarr");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("0"), "abc").unwrap();
        let hashes = compute(root.path()).unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  fixtures/stores/a b.zarr/0\n";
        assert_eq!(to_text(&hashes), expected);
        let read = from_text(&to_text(&hashes)).unwrap();
        assert!(Difference::between(&read, &hashes).is_empty());
    }

    #[test]
    fn a_line_that_is_no_record_is_refused() {
        assert!(from_text("abc\n").is_err());
    }
}
