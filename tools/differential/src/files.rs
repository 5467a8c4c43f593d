//! Finds the files to compare.

use std::path::PathBuf;

use crate::Result;

/// The files that paths name, sorted. A folder stands for its entries with one of these extensions. Without paths,
/// returns the entries of the default folders.
///
/// A folder that has one of the extensions itself is a store.
pub(crate) fn list(
    paths: &[PathBuf],
    defaults: &[PathBuf],
    extensions: &[&str],
) -> Result<Vec<PathBuf>> {
    let paths = if paths.is_empty() { defaults } else { paths };
    let is_store = |path: &PathBuf| {
        let extension = path.extension();
        extension.is_some_and(|extension| extensions.iter().any(|of| extension == *of))
    };
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() || is_store(path) {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| format!("cannot read {}: {error}", path.display());
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if is_store(&file) {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}
