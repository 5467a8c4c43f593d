//! The demo collection: four small stores that are part of the program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::demo_files::FILES;

/// The demo collection as files. Dropping it deletes them.
pub(crate) struct Demo {
    folder: TempDir,
}

impl Demo {
    /// Writes the stores into a temporary folder.
    pub(crate) fn extract() -> io::Result<Demo> {
        let folder = tempfile::Builder::new()
            .prefix("mapped-anndata-demo-")
            .tempdir()?;
        for (name, bytes) in FILES {
            let path = folder.path().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, bytes)?;
        }
        Ok(Demo { folder })
    }

    /// The stores, in order.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        store_names(FILES)
            .map(|name| self.folder.path().join(name))
            .collect()
    }

    /// The name of one of its stores.
    pub(crate) fn name_of<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(self.folder.path()).ok()
    }
}

/// The first parts of sorted relative paths, each once.
fn store_names<'a>(files: &'a [(&'a str, &'a [u8])]) -> impl Iterator<Item = &'a str> {
    let first = |path: &'a str| path.split('/').next().unwrap_or(path);
    let mut last = None;
    files
        .iter()
        .map(move |(path, _)| first(path))
        .filter(move |&name| last.replace(name) != Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_the_first_parts_of_paths() {
        let files: [(&str, &[u8]); 4] = [
            ("a.h5ad", b""),
            ("c.zarr/.zgroup", b""),
            ("c.zarr/X/0.0", b""),
            ("d.zarr/zarr.json", b""),
        ];
        assert!(store_names(&files).eq(["a.h5ad", "c.zarr", "d.zarr"]));
    }

    #[test]
    fn demo_folder_is_deleted_with_the_demo() {
        let demo = Demo::extract().unwrap();
        let paths = demo.paths();
        assert!(paths.iter().all(|path| path.exists()));
        assert!(
            paths
                .iter()
                .all(|path| demo.name_of(path).unwrap().components().count() == 1)
        );
        let folder = demo.folder.path().to_owned();
        drop(demo);
        assert!(!folder.exists());
    }
}
