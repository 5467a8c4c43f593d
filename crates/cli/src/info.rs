//! `info`: what a collection is.

use std::collections::HashMap;
use std::io::Write;

use mapped_anndata::{Categories, Encoder, Error, Join, Label, MappedCollection};
use serde::Serialize;

use crate::Result;
use crate::args::InfoArgs;
use crate::json::{LabelValue, Object, write_line};
use crate::options::Opened;
use crate::progress::while_waiting;
use crate::text;

/// Labels of a key that are shown to people.
const N_LABELS: usize = 20;

pub(crate) fn run(args: &InfoArgs, json: bool, out: &mut impl Write) -> Result<()> {
    let opened = Opened::open(&args.paths, &args.collection)?;
    let keys = while_waiting("counting labels", || Key::read_all(&opened))?;
    if json {
        write_json(&opened.cells, &keys, args.vars, out)
    } else {
        write_text(&opened, &keys, args.vars, out)
    }
}

/// A label column.
struct Key<'a> {
    name: &'a str,
    /// Of the whole files; `None` where stores have labels of different kinds, which have no
    /// common order.
    categories: Option<Categories>,
    /// Labels of the rows that the filter keeps, as texts.
    counts: Vec<(String, u64)>,
}

impl Key<'_> {
    /// The columns asked for that a store has.
    fn read_all(opened: &Opened) -> Result<Vec<Key<'_>>> {
        let cells = &opened.cells;
        let absent = |key: &str| {
            cells
                .missing_keys()
                .iter()
                .any(|missing| missing.group == "obs" && missing.key == key)
        };
        let mut keys = Vec::new();
        for name in &opened.obs {
            if !absent(name) {
                keys.push(Key::read(cells, name)?);
            }
        }
        Ok(keys)
    }

    fn read<'a>(cells: &MappedCollection, name: &'a str) -> Result<Key<'a>> {
        let categories = match cells.merged_categories(name) {
            Err(error @ Error::MixedLabels { .. }) => {
                tracing::warn!("{error}; its categories are left out");
                None
            }
            categories => Some(categories?),
        };
        let weights = cells.label_weights([name])?;
        let classes = weights.classes().iter().cloned();
        let counts = classes.zip(weights.counts().iter().copied()).collect();
        Ok(Key {
            name,
            categories,
            counts,
        })
    }
}

/// The fields stand in the order of the output.
#[derive(Serialize)]
struct Info<'a, E, C, L> {
    shape: (usize, Option<usize>),
    original_shapes: Vec<(usize, usize)>,
    n_obs: usize,
    join: Option<&'static str>,
    join_vars: Option<&'static str>,
    encoders: E,
    categories: C,
    label_counts: L,
    #[serde(skip_serializing_if = "Option::is_none")]
    var_joint: Option<Option<Vec<&'a str>>>,
}

fn write_json(
    cells: &MappedCollection,
    keys: &[Key<'_>],
    vars: bool,
    out: &mut impl Write,
) -> Result<()> {
    let encoders = cells.encoders().map(|(key, encoder)| {
        let entries = encoder
            .entries()
            .map(|(label, code)| (label.python_text(), code));
        (key, Object(entries.collect()))
    });
    let categories = keys.iter().map(|key| {
        let labels = key.categories.as_ref();
        (
            key.name,
            labels.map(|labels| labels.labels().iter().map(LabelValue).collect::<Vec<_>>()),
        )
    });
    let counts = keys.iter().map(|key| {
        let counts = key.counts.iter().map(|(label, n)| (label, n));
        (key.name, Object(counts.collect()))
    });
    let info = Info {
        shape: cells.shape(),
        original_shapes: cells.original_shapes(),
        n_obs: cells.n_obs(),
        join: cells.join().map(join_name),
        join_vars: cells.join_vars().map(join_name),
        encoders: Object(encoders.collect()),
        categories: Object(categories.collect()),
        label_counts: Object(counts.collect()),
        var_joint: vars.then(|| cells.var_joint().map(|names| names.iter().collect())),
    };
    Ok(write_line(out, &info)?)
}

fn join_name(join: Join) -> &'static str {
    match join {
        Join::Inner => "inner",
        Join::Outer => "outer",
    }
}

fn write_text(opened: &Opened, keys: &[Key<'_>], vars: bool, out: &mut impl Write) -> Result<()> {
    write_summary(opened, out)?;
    for key in keys {
        write_key(&opened.cells, key, out)?;
    }
    if let Some(names) = opened.cells.var_joint().filter(|_| vars) {
        writeln!(out, "\ngenes")?;
        for name in names.iter() {
            writeln!(out, "  {name}")?;
        }
    }
    Ok(())
}

/// The shape, the stores and the join.
pub(crate) fn write_summary(opened: &Opened, out: &mut impl Write) -> Result<()> {
    let cells = &opened.cells;
    let what = if opened.is_demo() {
        "demo collection"
    } else {
        "collection"
    };
    let (n_cells, stores) = (
        text::count(cells.n_obs(), "cell"),
        text::count(cells.n_stores(), "store"),
    );
    let genes = match cells.n_vars() {
        Some(n_vars) => format!(" x {}", text::count(n_vars, "gene")),
        None => String::new(),
    };
    writeln!(out, "{what}: {n_cells}{genes} in {stores}\n")?;
    let rows =
        opened
            .names()
            .into_iter()
            .zip(cells.original_shapes())
            .map(|(name, (n_obs, n_vars))| {
                [
                    name,
                    text::thousands(n_obs as u64),
                    text::thousands(n_vars as u64),
                ]
            });
    writeln!(
        out,
        "{}\n",
        text::table(["store", "cells", "genes"], &[1, 2], rows)
    )?;
    writeln!(out, "{}", join_text(cells))?;
    Ok(())
}

fn join_text(cells: &MappedCollection) -> String {
    let n_vars = cells.n_vars().unwrap_or_default();
    let genes = text::count(n_vars, "gene");
    let stores = text::count(cells.n_stores(), "store");
    match (cells.join(), cells.join_vars()) {
        (None, _) => "no join: every cell has the genes of its own store".to_owned(),
        (_, Some(Join::Inner)) => format!("inner join: {genes} shared by all {stores}"),
        (_, Some(Join::Outer)) => {
            format!("outer join: {genes} of any of {stores}, 0 where a store lacks one")
        }
        (_, None) if cells.n_stores() == 1 => format!("one store, {genes}: nothing to join"),
        (_, None) => format!("the same {genes} in all {stores}: nothing to join"),
    }
}

fn write_key(cells: &MappedCollection, key: &Key<'_>, out: &mut impl Write) -> Result<()> {
    let n_rows;
    let (what, table) = match cells.encoder(key.name) {
        Some(encoder) => {
            let rows = encoded_rows(encoder, &key.counts);
            n_rows = rows.len();
            let table = text::table(
                ["label", "code", "cells"],
                &[1, 2],
                rows.into_iter().take(N_LABELS),
            );
            let n = encoder.n_classes();
            (
                format!("{n} {}, encoded", if n == 1 { "class" } else { "classes" }),
                table,
            )
        }
        None => {
            n_rows = key.counts.len();
            let rows = key
                .counts
                .iter()
                .map(|(label, n)| [label.clone(), text::thousands(*n)]);
            let table = text::table(["value", "cells"], &[1], rows.take(N_LABELS));
            (
                format!("{}, not encoded", text::count(n_rows, "value")),
                table,
            )
        }
    };
    writeln!(out, "\n{}: {what}", key.name)?;
    if n_rows > 0 {
        writeln!(out, "{table}")?;
    }
    if n_rows > N_LABELS {
        writeln!(
            out,
            " and {} more",
            text::thousands((n_rows - N_LABELS) as u64)
        )?;
    }
    Ok(())
}

/// Label, code and cells: the unknown label, the classes, and what is missing.
fn encoded_rows(encoder: &Encoder, counts: &[(String, u64)]) -> Vec<[String; 3]> {
    let counts: HashMap<&str, u64> = counts
        .iter()
        .map(|(label, n)| (label.as_str(), *n))
        .collect();
    let row = |(label, code): (&Label, i64)| {
        let label = label.python_text().into_owned();
        let n = counts.get(label.as_str()).copied().unwrap_or(0);
        [label, code.to_string(), text::thousands(n)]
    };
    let mut rows: Vec<_> = encoder.entries().map(row).collect();
    let is_label = rows.iter().any(|[label, ..]| label == "nan");
    if let Some(&n) = counts.get("nan").filter(|_| !is_label) {
        rows.push([
            "nan (missing)".to_owned(),
            String::new(),
            text::thousands(n),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use mapped_anndata::{MemoryStore, Values};

    use super::*;

    fn store(name: &str, genes: &[&str]) -> MemoryStore {
        MemoryStore::new(name)
            .dataframe("obs", &["c1", "c2"])
            .categorical("obs/kind", vec![0, -1], &["T"])
            .dataframe("var", genes)
            .array(
                "X",
                &[2, genes.len() as u64],
                Values::F32(vec![0.0; 2 * genes.len()]),
            )
    }

    fn open(genes: [&[&str]; 2], join: Option<Join>) -> MappedCollection {
        let stores = [store("a", genes[0]), store("b", genes[1])];
        MappedCollection::builder(stores)
            .obs(["kind"])
            .join(join)
            .open()
            .unwrap()
    }

    #[test]
    fn the_join_in_words() {
        let same: [&[&str]; 2] = [&["A", "B"], &["A", "B"]];
        let differ: [&[&str]; 2] = [&["A", "B"], &["B", "C"]];
        let text = |genes, join| join_text(&open(genes, join));
        assert_eq!(
            text(same, Some(Join::Inner)),
            "the same 2 genes in all 2 stores: nothing to join"
        );
        assert_eq!(
            text(differ, Some(Join::Inner)),
            "inner join: 1 gene shared by all 2 stores"
        );
        assert!(
            text(differ, Some(Join::Outer)).starts_with("outer join: 3 genes of any of 2 stores")
        );
        assert!(text(differ, None).starts_with("no join"));
    }

    #[test]
    fn keys_in_json_and_their_order() {
        let cells = open([&["A", "B"], &["B"]], Some(Join::Inner));
        let keys = [Key::read(&cells, "kind").unwrap()];
        let mut out = Vec::new();
        write_json(&cells, &keys, true, &mut out).unwrap();
        let expected = concat!(
            r#"{"shape":[4,1],"original_shapes":[[2,2],[2,1]],"n_obs":4,"join":"inner","#,
            r#""join_vars":"inner","encoders":{"kind":{"T":0}},"categories":{"kind":["T"]},"#,
            r#""label_counts":{"kind":{"T":2,"nan":2}},"var_joint":["B"]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn without_a_join_there_are_no_joint_genes() {
        let cells = open([&["A", "B"], &["B"]], None);
        let mut out = Vec::new();
        write_json(&cells, &[], true, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"shape":[4,null],"#), "{text}");
        assert!(text.ends_with("\"var_joint\":null}\n"), "{text}");
    }

    #[test]
    fn a_key_in_words() {
        let cells = open([&["A"], &["A"]], Some(Join::Inner));
        let mut out = Vec::new();
        write_key(&cells, &Key::read(&cells, "kind").unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "",
                "kind: 1 class, encoded",
                "label code cells",
                "T 0 2",
                "nan (missing) 2"
            ]
        );
    }
}
