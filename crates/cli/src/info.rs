//! `info`: describes a collection.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;

use mapped_anndata::{
    Categories, Encoder, Error, Join, Label, LabelsError, MappedCollection, MergedLabels,
};
use serde::Serialize;

use crate::Result;
use crate::args::InfoArgs;
use crate::cache::{self, CachedLine};
use crate::escape::escape;
use crate::genes::{OverlapLine, note_on_mismatch, overlap_text};
use crate::json::{LabelValue, Object, write_line};
use crate::obs_table::{NotInTable, write_not_in_table};
use crate::opened::Opened;
use crate::progress::while_waiting;
use crate::report::warning;
use crate::text;

/// The most labels of a key that are shown to people.
const N_LABELS: usize = 20;

pub(crate) fn run(args: &InfoArgs, json: bool, out: &mut impl Write) -> Result<()> {
    let opened = Opened::open(&args.paths, &args.collection)?;
    note_on_mismatch(&opened.cells)?;
    let keys = while_waiting("counting labels", || Key::read_all(&opened))?;
    if json {
        write_json(&opened.cells, &opened.chosen, &keys, args.vars, out)
    } else {
        write_text(&opened, &keys, args.vars, out)
    }
}

/// A label column.
struct Key<'a> {
    name: &'a str,
    /// The categories of the whole files; `None` if the labels of stores differ in kind, and so
    /// have no common order.
    categories: Option<Categories>,
    /// The labels of the rows that the filter keeps, by first appearance.
    counts: Vec<(Label, u64)>,
    /// The same by code for an encoded key, from the code of the unknown label on.
    of_code: Vec<u64>,
    /// The number of rows without a label.
    missing: u64,
}

impl Key<'_> {
    /// The requested columns that some store has.
    fn read_all(opened: &Opened) -> Result<Vec<Key<'_>>> {
        let cells = &opened.cells;
        let absent = |key: &str| {
            cells.missing_keys().iter().any(|missing| {
                missing.group == "obs" && missing.key == key && missing.file.is_none()
            })
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
        if let (Some(encoder), Some(found)) = (cells.encoder(name), cells.code_counts(name)) {
            // All of this is in memory.
            let label = |(code, n)| Some((text::label_of(encoder, code)?.clone(), n));
            let mut of_code = vec![0; encoder.n_classes() + 1];
            for &(code, n) in &found.counts {
                if let Some(count) = of_code.get_mut((code + 1) as usize) {
                    *count = n;
                }
            }
            let labels: Vec<Label> = encoder.entries().map(|(label, _)| label.clone()).collect();
            return Ok(Key {
                name,
                categories: Some(Categories::merge(&[(0, labels)])?),
                counts: found.counts.into_iter().filter_map(label).collect(),
                of_code,
                missing: found.missing,
            });
        }
        let categories = match cells.merged_categories(name) {
            Err(error @ Error::Labels(LabelsError::Mixed { .. })) => {
                warning(&format!("{error}; its categories are left out"));
                None
            }
            categories => Some(categories?),
        };
        let (counts, missing) = count(&cells.merged_labels(name)?);
        Ok(Key {
            name,
            categories,
            counts,
            of_code: Vec::new(),
            missing,
        })
    }
}

/// The number of rows with each label, and the number of rows without a label.
fn count(labels: &MergedLabels) -> (Vec<(Label, u64)>, u64) {
    let mut counts = vec![0; labels.labels().len()];
    let (mut order, mut missing) = (Vec::new(), 0);
    for &code in labels.codes() {
        match counts.get_mut(code as usize) {
            Some(count) => {
                if *count == 0 {
                    order.push(code as usize);
                }
                *count += 1;
            }
            None => missing += 1,
        }
    }
    let of = |code: usize| (labels.labels()[code].clone(), counts[code]);
    (order.into_iter().map(of).collect(), missing)
}

/// The counts by text, as keys of an object. If the labels of stores differ in kind, two labels may
/// have one text.
fn by_text(counts: &[(Label, u64)]) -> Vec<(Cow<'_, str>, u64)> {
    let mut texts: Vec<(Cow<'_, str>, u64)> = Vec::with_capacity(counts.len());
    let is_text = |(label, _): &(Label, u64)| matches!(label, Label::Str(_));
    if counts.iter().all(is_text) {
        texts.extend(counts.iter().map(|(label, n)| (label.python_text(), *n)));
        return texts;
    }
    let mut places = HashMap::new();
    for (label, n) in counts {
        let text = label.python_text();
        let place = *places.entry(text.clone()).or_insert(texts.len());
        match texts.get_mut(place) {
            Some((_, sum)) => *sum += n,
            None => texts.push((text, *n)),
        }
    }
    texts
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
    missing: Object<&'a str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    var_joint: Option<Option<Vec<&'a str>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gene_overlaps: Vec<OverlapLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_keys: Option<Object<&'a str, Vec<Option<String>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_in_table: Option<NotInTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<CachedLine>,
}

fn write_json(
    cells: &MappedCollection,
    chosen: &[String],
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
    let counts = keys
        .iter()
        .map(|key| (key.name, Object(by_text(&key.counts))));
    let missing = keys.iter().map(|key| (key.name, key.missing));
    let info = Info {
        shape: cells.shape(),
        original_shapes: cells.original_shapes(),
        n_obs: cells.n_obs(),
        join: cells.join().map(Join::as_str),
        join_vars: cells.join_vars().map(Join::as_str),
        encoders: Object(encoders.collect()),
        categories: Object(categories.collect()),
        label_counts: Object(counts.collect()),
        missing: Object(missing.collect()),
        var_joint: vars.then(|| cells.var_joint().map(|names| names.iter().collect())),
        gene_overlaps: cells
            .gene_overlaps()
            .iter()
            .map(OverlapLine::from)
            .collect(),
        source_keys: (!chosen.is_empty()).then(|| {
            let stores = || 0..cells.n_stores();
            let sources = |key: &str| stores().map(|store| cells.source_key(store, key)).collect();
            Object(chosen.iter().map(|key| (&**key, sources(key))).collect())
        }),
        not_in_table: NotInTable::of(cells),
        cached: cells.cached().map(CachedLine::from),
    };
    Ok(write_line(out, &info)?)
}

fn write_text(opened: &Opened, keys: &[Key<'_>], vars: bool, out: &mut impl Write) -> Result<()> {
    write_summary(opened, out)?;
    for key in &opened.chosen {
        let rows = opened.names().into_iter().enumerate().map(|(store, name)| {
            let source = opened.cells.source_key(store, key);
            let source = source.map(|source| escape(&source).into_owned());
            [name, source.unwrap_or_else(|| "-".to_owned())]
        });
        let key = escape(key);
        writeln!(
            out,
            "\n{key} is taken from\n{}",
            text::table(["store", &key], &[], rows)
        )?;
    }
    write_not_in_table(opened, out)?;
    for key in keys {
        write_key(&opened.cells, key, out)?;
    }
    if let Some(names) = opened.cells.var_joint().filter(|_| vars) {
        writeln!(out, "\ngenes")?;
        for name in names.iter() {
            writeln!(out, "  {}", escape(name))?;
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
    let stores = opened.names().into_iter().zip(cells.original_shapes());
    let rows = stores.map(|(name, (n_obs, n_vars))| {
        let [n_obs, n_vars] = [n_obs, n_vars].map(|n| text::thousands(n as u64));
        [name, n_obs, n_vars]
    });
    let table = match cells.gene_overlaps().first() {
        None => text::table(["store", "cells", "genes"], &[1, 2], rows),
        Some(_) => {
            let mut of_store = HashMap::new();
            for overlap in cells.gene_overlaps() {
                // That of the first matrix comes first.
                of_store.entry(overlap.store).or_insert(overlap);
            }
            let rows = rows.enumerate().map(|(number, [name, n_obs, n_vars])| {
                let overlap = of_store.get(&number).copied();
                let n_vars = overlap.map_or(n_vars, |o| text::thousands(o.n_vars as u64));
                let found = overlap.map_or_else(|| "-".to_owned(), overlap_text);
                [name, n_obs, n_vars, found]
            });
            text::table(
                ["store", "cells", "genes", "given genes found"],
                &[1, 2, 3],
                rows,
            )
        }
    };
    writeln!(out, "{table}\n")?;
    writeln!(out, "{}", join_text(cells))?;
    let n_unnamed: usize = cells.n_unnamed().iter().sum();
    if n_unnamed > 0 {
        let genes = text::count(n_unnamed, "gene");
        writeln!(out, "{genes} without a name to join by, left out")?;
    }
    if let Some(cached) = cells.cached() {
        writeln!(out, "{}", cache::in_words(&cached))?;
    }
    Ok(())
}

fn join_text(cells: &MappedCollection) -> String {
    let n_vars = cells.n_vars().unwrap_or_default();
    let genes = text::count(n_vars, "gene");
    let stores = text::count(cells.n_stores(), "store");
    match (cells.join(), cells.join_vars()) {
        (None, _) => "no join: every cell has the genes of its own store".to_owned(),
        (_, Some(Join::Inner | Join::Outer)) if cells.n_stores() == 1 => {
            format!("one store, {genes} of different names")
        }
        (_, Some(Join::Inner)) => format!("inner join: {genes} shared by all {stores}"),
        (_, Some(Join::Given)) => format!("given list: {genes}, 0 where a store lacks one"),
        (_, Some(Join::Outer)) => {
            format!("outer join: {genes} of any of {stores}, 0 where a store lacks one")
        }
        (_, None) if cells.n_stores() == 1 => format!("one store, {genes}: nothing to join"),
        (_, None) => format!("the same {genes} in all {stores}: nothing to join"),
    }
}

fn write_key(cells: &MappedCollection, key: &Key<'_>, out: &mut impl Write) -> Result<()> {
    let name = escape(key.name);
    let mut n_rows = key.counts.len();
    let missing = (key.missing > 0).then(|| text::thousands(key.missing));
    let (what, table) = match cells.encoder(key.name) {
        Some(encoder) => {
            n_rows = encoder.n_classes() + usize::from(encoder.unknown().is_some());
            let missing = missing.map(|n| [text::MISSING.to_owned(), String::new(), n]);
            let rows = encoded_rows(encoder, &key.of_code).take(N_LABELS);
            let n = encoder.n_classes();
            (
                format!("{n} {}, encoded", if n == 1 { "class" } else { "classes" }),
                text::table(["label", "code", "cells"], &[1, 2], rows.chain(missing)),
            )
        }
        None => {
            let missing = missing.map(|n| [text::MISSING.to_owned(), n]);
            let row = |(label, n): &(Label, u64)| {
                let label = text::label(&label.python_text()).into_owned();
                [label, text::thousands(*n)]
            };
            let rows = key.counts.iter().take(N_LABELS).map(row);
            (
                format!("{}, not encoded", text::count(n_rows, "value")),
                text::table(["value", "cells"], &[1], rows.chain(missing)),
            )
        }
    };
    writeln!(out, "\n{name}: {what}")?;
    if n_rows > 0 || key.missing > 0 {
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

/// Label, code and cells: the unknown label and the classes.
fn encoded_rows<'a>(encoder: &'a Encoder, of_code: &'a [u64]) -> impl Iterator<Item = [String; 3]> {
    encoder.entries().map(|(label, code)| {
        let n = of_code.get((code + 1) as usize).copied().unwrap_or(0);
        let label = text::label(&label.python_text()).into_owned();
        [label, code.to_string(), text::thousands(n)]
    })
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
    fn join_is_put_in_words() {
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
    fn json_keys_keep_their_order() {
        let cells = open([&["A", "B"], &["B"]], Some(Join::Inner));
        let keys = [Key::read(&cells, "kind").unwrap()];
        let mut out = Vec::new();
        write_json(&cells, &[], &keys, true, &mut out).unwrap();
        let expected = concat!(
            r#"{"shape":[4,1],"original_shapes":[[2,2],[2,1]],"n_obs":4,"join":"inner","#,
            r#""join_vars":"inner","encoders":{"kind":{"T":0}},"categories":{"kind":["T"]},"#,
            r#""label_counts":{"kind":{"T":2}},"missing":{"kind":2},"var_joint":["B"]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn joint_genes_need_a_join() {
        let cells = open([&["A", "B"], &["B"]], None);
        let mut out = Vec::new();
        write_json(&cells, &[], &[], true, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"shape":[4,null],"#), "{text}");
        assert!(text.ends_with("\"var_joint\":null}\n"), "{text}");
    }

    #[test]
    fn key_is_put_in_words() {
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
                "(missing) 2"
            ]
        );
    }
}
