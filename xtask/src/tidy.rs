//! Checks which modules import which: layers point down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::{Result, root};

/// The layers of `mapped-collection`, lowest first. A module imports its own layer and lower ones.
const LAYERS: [&[&str]; 6] = [
    &[
        "error",
        "genes",
        "obs_table",
        "options",
        "label_values",
        "random",
        "tokens",
        "transform",
    ],
    &["order"],
    &["plan"],
    &["batch"],
    &["loader"],
    &[
        "lib",
        "builder",
        "collection",
        "item",
        "labels",
        "matched",
        "samplers",
        "split",
        "variables",
    ],
];
/// Helpers of unit tests, which may be imported from everywhere.
const TESTING: &str = "testing";
/// The most lines of a source file, unit tests included.
const MOST_LINES: usize = 500;
/// This file may be longer: it lists all calls of a C library.
const FFI: &str = "ffi";

/// Fails on an upward import in `mapped-collection`, on a cycle between modules of `anndata-io`, and
/// on a source file that is too long.
pub(crate) fn run() -> Result {
    let mut faults = Vec::new();
    for (module, imports) in imports(&root().join("crates/mapped-collection/src"))? {
        faults.extend(upward(&module, &imports));
    }
    faults.extend(cycle(&imports(&root().join("crates/anndata-io/src"))?));
    for file in sources(&root().join("crates"))? {
        let lines = read(&file)?.lines().count();
        let is_ffi = file.iter().any(|part| part == FFI);
        if lines > MOST_LINES && !is_ffi && file.iter().any(|part| part == "src") {
            let file = file.display();
            faults.push(format!(
                "{file}: {lines} lines, expected at most {MOST_LINES}"
            ));
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

/// For each module below a crate's root, the modules that it imports.
fn imports(src: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in sources(src)? {
        let below = file.strip_prefix(src).map_err(|error| error.to_string())?;
        let first = below.iter().next().unwrap_or_default().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        let mut found = imported(&read(&file)?);
        found.retain(|name| *name != module && *name != TESTING);
        imports.entry(module).or_default().append(&mut found);
    }
    imports.remove(TESTING);
    Ok(imports)
}

/// The modules that a source file names by `crate::`, outside of comments.
fn imported(source: &str) -> BTreeSet<String> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let paths = code.flat_map(|line| line.split("crate::").skip(1));
    // `use crate::{a, b::C}` names several.
    let paths = paths.flat_map(|path| {
        path.strip_prefix('{')
            .map_or(vec![path], |list| list.split(", ").collect())
    });
    let names = paths.map(|path| {
        let end = path.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        path[..end.unwrap_or(path.len())].to_owned()
    });
    let is_module = |name: &String| name.starts_with(|c: char| c.is_ascii_lowercase());
    names.filter(is_module).collect()
}

fn upward(module: &str, imports: &BTreeSet<String>) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let Some(own) = layer(module) else {
        return vec![format!("mapped-collection: {module} is in no layer")];
    };
    let is_upward = |name: &&String| layer(name).is_some_and(|other| other > own);
    let upward = imports.iter().filter(is_upward);
    upward
        .map(|name| format!("mapped-collection: {module} imports {name}, which lies above it"))
        .collect()
}

/// The first cycle found among modules, if any.
fn cycle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    // A module that imports only modules removed before is in no cycle.
    let mut left = imports.clone();
    loop {
        let is_free = |imports: &BTreeSet<String>| !imports.iter().any(|i| left.contains_key(i));
        let free: Vec<String> = left
            .iter()
            .filter(|(_, imports)| is_free(imports))
            .map(|(module, _)| module.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|module| drop(left.remove(module)));
    }
    let modules: Vec<&str> = left.keys().map(String::as_str).collect();
    let modules = modules.join(", ");
    (!left.is_empty()).then(|| format!("anndata-io: a cycle among, or above, {modules}"))
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() && !path.is_symlink() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn tidy_passes_on_this_workspace() {
        run().unwrap();
    }

    #[test]
    fn tidy_finds_a_planted_upward_import() {
        let source = "//! crate::top is fine here\nuse crate::loader::Loader;\n";
        assert_eq!(
            imported("use crate::{batch::Batch, error};"),
            names(&["batch", "error"])
        );
        let imports = imported(source);
        assert_eq!(imports, names(&["loader"]));
        let faults = upward("plan", &imports);
        assert_eq!(
            faults,
            ["mapped-collection: plan imports loader, which lies above it"]
        );
        assert!(upward("collection", &imports).is_empty());
        assert_eq!(upward("new_module", &imports).len(), 1);
    }

    #[test]
    fn tidy_finds_a_cycle() {
        let graph = |edges: &[(&str, &[&str])]| {
            let edge = |(from, to): &(&str, &[&str])| ((*from).to_owned(), names(to));
            cycle(&edges.iter().map(edge).collect())
        };
        assert_eq!(graph(&[("array", &["io"]), ("io", &[])]), None);
        let found = graph(&[("array", &["io"]), ("io", &["array"]), ("error", &[])]);
        assert_eq!(
            found.unwrap(),
            "anndata-io: a cycle among, or above, array, io"
        );
    }
}
