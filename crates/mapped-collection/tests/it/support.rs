//! What golden cases cover, as the table in the README: written from the cases that passed, never by
//! hand.

use std::collections::BTreeMap;
use std::path::Path;

use anndata_io::{AnnDataFile, Attribute, IoContext, Node, Store};
use serde_json::Value;

use crate::store;

/// The version of anndata that wrote a store, by how its name begins, oldest first.
const AGES: [(&str, &str); 7] = [
    ("v060_", "0.6.0"),
    ("v06_", "0.6.22"),
    ("v07_", "0.7.8"),
    ("v08_", "0.8.0"),
    ("v010_", "0.10.9"),
    ("", "0.12.19"),
    ("now_", "0.13.4"),
];

const ELEMENTS: [&str; 11] = [
    "X dense",
    "X CSR",
    "X CSC",
    "layers",
    "raw.X",
    "obsm",
    "obsm table",
    "categorical",
    "text",
    "number",
    "nullable",
];

/// For each age and format, the cases that read each kind of element.
#[derive(Default)]
pub(crate) struct Support(BTreeMap<(usize, &'static str), [u32; ELEMENTS.len()]>);

impl Support {
    /// Counts what a case that passed has read.
    pub(crate) fn add(&mut self, paths: &[String], options: &Value) {
        let keys = |option: &str| match &options[option] {
            Value::Array(keys) => keys.iter().filter_map(Value::as_str).collect(),
            Value::String(key) => vec![key.as_str()],
            _ => Vec::new(),
        };
        let mut layers = keys("layers_keys");
        if layers.is_empty() {
            layers.push("X");
        }
        for name in paths {
            let read = Read::open(name);
            let layers = layers.iter().filter_map(|key| read.layer(key));
            let obsm = keys("obsm_keys")
                .into_iter()
                .filter_map(|key| read.obsm(key));
            let mut obs = keys("obs_keys");
            if !options["obs_table"].is_null() {
                obs.clear(); // The table may hide columns of the file.
            }
            let obs = obs.into_iter().filter_map(|key| read.obs(key));
            let counts = self.0.entry((age(name), format(name))).or_default();
            for element in layers.chain(obsm).chain(obs) {
                let number = ELEMENTS.iter().position(|&known| known == element);
                counts[number.expect("a known element")] += 1;
            }
        }
    }

    /// The table: numbers of cases.
    fn table(&self) -> String {
        let mut lines = vec![
            format!("| anndata | format | {} |", ELEMENTS.join(" | ")),
            format!("|---|---|{}", "--:|".repeat(ELEMENTS.len())),
        ];
        for (&(age, format), counts) in &self.0 {
            let cell = |&count: &u32| match count {
                0 => String::new(),
                count => count.to_string(),
            };
            let cells: Vec<String> = counts.iter().map(cell).collect();
            let version = AGES[age].1;
            lines.push(format!("| {version} | {format} | {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }

    /// Holds the README's table between `<!-- name -->` and `<!-- end of name -->` against this one;
    /// with `UPDATE_SUPPORT` set, writes it there.
    pub(crate) fn check(&self, name: &str) {
        let marks = [
            format!("<!-- {name} -->\n"),
            format!("\n<!-- end of {name} -->"),
        ];
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        let text = std::fs::read_to_string(&path).expect("the README is there");
        let (before, rest) = text.split_once(&marks[0]).expect("the README has the mark");
        let (found, after) = rest.split_once(&marks[1]).expect("and its end");
        let table = self.table();
        if std::env::var_os("UPDATE_SUPPORT").is_some() {
            let text = [before, &marks[0], &table, &marks[1], after].concat();
            std::fs::write(&path, text).expect("the README can be written");
            return;
        }
        assert_eq!(
            found, table,
            "the README's table {name} is not what the cases cover: run with UPDATE_SUPPORT=1"
        );
    }
}

fn age(name: &str) -> usize {
    let fits =
        |&(_, (prefix, _)): &(usize, &(&str, &str))| !prefix.is_empty() && name.starts_with(prefix);
    let of_today = AGES.iter().position(|(prefix, _)| prefix.is_empty());
    let found = AGES.iter().enumerate().find(fits);
    found.map_or(of_today.expect("listed"), |(age, _)| age)
}

fn format(name: &str) -> &'static str {
    match name {
        name if name.ends_with(".h5ad") => "h5ad",
        name if name.ends_with(".zarr.zip") => "zarr, zipped",
        name if name.ends_with("_v3.zarr") => "zarr 3",
        _ => "zarr 2",
    }
}

/// A store, asked what its elements are.
struct Read {
    store: Store,
    file: AnnDataFile,
}

impl Read {
    fn open(name: &str) -> Read {
        let (path, context) = (store(name), IoContext::default());
        Read {
            store: Store::open(&path, &context).expect("the case passed"),
            file: AnnDataFile::open(&path).expect("the case passed"),
        }
    }

    fn text(&self, element: &str, name: &str) -> Option<String> {
        self.store.node(element).expect("readable")?;
        match self.store.attribute(element, name).expect("readable")? {
            Attribute::Text(text) => Some(text),
            _ => None,
        }
    }

    fn layer(&self, key: &str) -> Option<&'static str> {
        if key == "raw.X" {
            let nodes = ["raw/X", "raw.X"].map(|element| self.store.node(element));
            return nodes
                .into_iter()
                .any(|node| node.expect("readable").is_some())
                .then_some("raw.X");
        }
        if key != "X" {
            let element = format!("layers/{key}");
            return self
                .store
                .node(&element)
                .expect("readable")
                .map(|_| "layers");
        }
        let encoding = self
            .text("X", "encoding-type")
            .or_else(|| self.text("X", "h5sparse_format"));
        match (
            self.store.node("X").expect("readable")?,
            encoding.as_deref(),
        ) {
            (_, Some("csr_matrix" | "csr")) => Some("X CSR"),
            (_, Some("csc_matrix" | "csc")) => Some("X CSC"),
            (Node::Array, Some("array") | None) => Some("X dense"),
            _ => None,
        }
    }

    fn obsm(&self, key: &str) -> Option<&'static str> {
        let element = format!("obsm/{key}");
        self.store.node(&element).expect("readable")?;
        match self.text(&element, "encoding-type").as_deref() {
            Some("dataframe") => Some("obsm table"),
            _ => Some("obsm"),
        }
    }

    fn obs(&self, key: &str) -> Option<&'static str> {
        let column = self.file.obs_column(key).expect("the case passed")?;
        let encoding = self
            .text(&format!("obs/{key}"), "encoding-type")
            .unwrap_or_default();
        Some(match column.dtype() {
            _ if column.is_categorical() => "categorical",
            _ if encoding.starts_with("nullable") => "nullable",
            None => "text",
            Some(_) => "number",
        })
    }
}
