//! Files that hold tables of cells without being one: MuData, SpatialData, and other files that
//! users mistake for AnnData.

use crate::error::ErrorKind;
use crate::limits::{MAX_LISTED_TABLES, MAX_TABLES};
use crate::store::{Attribute, Node, Store};

/// Whether a store is a MuData file, which has its own tables obs and var.
pub(crate) fn is_mudata(store: &Store) -> bool {
    if !is_group(store, "mod") {
        return false;
    }
    match store.attribute("", "encoding-type") {
        Ok(Some(Attribute::Text(encoding))) => encoding == "MuData",
        // Early files do not state it.
        Ok(None) => !is_there(store, "X") && !tables_in(store, "mod").is_empty(),
        _ => false,
    }
}

/// Returns the paths of the tables in a store.
pub(crate) fn tables(store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    for name in members(store, "") {
        if is_table(store, &name) {
            found.push(name);
        } else {
            found.extend(tables_in(store, &name));
        }
    }
    found
}

fn tables_in(store: &Store, group: &str) -> Vec<String> {
    let paths = members(store, group).into_iter();
    let paths = paths.map(|name| format!("{group}/{name}"));
    paths.filter(|path| is_table(store, path)).collect()
}

/// Describes a store that lacks a table obs or var, or is not one table; `None` if nothing is known
/// about it.
pub(crate) fn what_it_is(store: &Store) -> Option<ErrorKind> {
    let expected = "tables obs and var".to_owned();
    let is = |found: &str| {
        let (expected, found) = (expected.clone(), found.to_owned());
        Some(ErrorKind::NotAnnData { expected, found })
    };
    let has = |names: &[&str]| names.iter().all(|name| is_there(store, name));
    if has(&["matrix", "row_attrs", "col_attrs"]) {
        return is("a loom file: read it with anndata.io.read_loom, and write it with write_h5ad");
    }
    let is_10x = |group: &String| {
        let has = |name| is_there(store, &format!("{group}/{name}"));
        has("barcodes") && has("indptr")
    };
    if members(store, "").iter().any(is_10x) {
        return is(
            "a file of 10x Genomics: read it with scanpy.read_10x_h5, and write it with write_h5ad",
        );
    }
    let is_spatial = matches!(store.attribute("", "spatialdata_attrs"), Ok(Some(_)));
    let what = match (is_mudata(store), is_spatial) {
        (true, _) => "a MuData file",
        (_, true) => "a SpatialData store",
        _ => "a file",
    };
    match &*tables(store) {
        [] if what == "a file" => None,
        [] => is(&format!("{what} without tables of cells")),
        tables => is(&format!("{what} with {}", listed(store, tables))),
    }
}

/// Lists the tables of a store in words, with the way to name one.
pub(crate) fn listed(store: &Store, tables: &[String]) -> String {
    let names: Vec<&str> = tables
        .iter()
        .map(String::as_str)
        .take(MAX_LISTED_TABLES)
        .collect();
    let more = match tables.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let example = store.path().join(tables.first().map_or("", String::as_str));
    format!(
        "the tables {}{more}: name one by its path, such as {}",
        names.join(", "),
        example.display()
    )
}

fn is_there(store: &Store, element: &str) -> bool {
    matches!(store.node(element), Ok(Some(_)))
}

fn is_group(store: &Store, element: &str) -> bool {
    matches!(store.node(element), Ok(Some(Node::Group)))
}

fn is_table(store: &Store, group: &str) -> bool {
    let is_frame = |name: &str| {
        let node = store.node(&format!("{group}/{name}"));
        matches!(node, Ok(Some(Node::Group | Node::Table)))
    };
    is_frame("obs") && is_frame("var")
}

/// Returns the members of a group, sorted.
fn members(store: &Store, group: &str) -> Vec<String> {
    if !is_group(store, group) {
        return Vec::new();
    }
    let mut names = store.children(group).unwrap_or_default();
    names.sort_unstable();
    names.truncate(MAX_TABLES);
    names
}
