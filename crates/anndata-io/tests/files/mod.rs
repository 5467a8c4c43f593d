//! Copies of stores.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Files by name.
pub(crate) type Entries = BTreeMap<String, Vec<u8>>;

/// All files below a folder.
pub(crate) fn files_of(folder: &Path) -> Entries {
    let mut found = Entries::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it");
                let name = name.to_str().expect("UTF-8").to_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// Writes files below a folder.
pub(crate) fn write_folder(folder: &Path, entries: &Entries) {
    for (name, bytes) in entries {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }
}
