//! `weights`: how rare labels are.

use std::io::Write;

use mapped_anndata::LabelWeights;
use serde::Serialize;

use crate::Result;
use crate::args::WeightsArgs;
use crate::escape::escape;
use crate::json::{Object, write_line};
use crate::opened::{Opened, keys};
use crate::progress::while_waiting;
use crate::text;

pub(crate) fn run(args: &WeightsArgs, json: bool, out: &mut impl Write) -> Result<()> {
    let mut collection = args.collection.clone();
    // Labels need no matrix.
    collection.layers.get_or_insert_default();
    let opened = Opened::open(&args.paths, &collection)?;
    let (cells, keys) = (&opened.cells, keys(&args.keys));
    let weights = while_waiting("counting labels", || cells.label_weights(&keys))?;
    if json {
        write_json(&weights, args.scaler, args.by_category, out)
    } else {
        write_text(&weights, &keys, args.scaler, out)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Output {
    Weights(Vec<f64>),
    Categories(Object<String, f64>),
}

fn write_json(
    weights: &LabelWeights,
    scaler: Option<f64>,
    by_category: bool,
    out: &mut impl Write,
) -> Result<()> {
    let output = match by_category {
        true => Output::Categories(Object(weights.by_class(scaler))),
        false => Output::Weights(weights.weights(scaler)),
    };
    Ok(write_line(out, &output)?)
}

fn write_text(
    weights: &LabelWeights,
    keys: &[String],
    scaler: Option<f64>,
    out: &mut impl Write,
) -> Result<()> {
    let n_cells: u64 = weights.counts().iter().sum();
    let (keys, cells) = (keys.join("__"), text::count(n_cells as usize, "cell"));
    writeln!(
        out,
        "{}: {} among {cells}\n",
        escape(&keys),
        text::count(weights.classes().len(), "label")
    )?;
    let classes = weights.by_class(scaler).into_iter().zip(weights.counts());
    let rows =
        classes.map(|((class, weight), &n)| [class, text::thousands(n), format!("{weight:.6}")]);
    writeln!(
        out,
        "{}",
        text::table(["label", "cells", "weight"], &[1, 2], rows)
    )?;
    if weights
        .classes()
        .iter()
        .any(|class| class.split("__").any(|part| part == "nan"))
    {
        writeln!(out, "\nnan: cells without a label, and cells labelled nan")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mapped_anndata::{MappedCollection, MemoryStore};

    use super::*;

    fn weights() -> LabelWeights {
        let store = MemoryStore::new("a")
            .dataframe("obs", &["c1", "c2", "c3"])
            .categorical("obs/kind", vec![1, 1, -1], &["B", "T"])
            .dataframe("var", &["G"]);
        let cells = MappedCollection::builder([store])
            .layers([""; 0])
            .open()
            .unwrap();
        cells.label_weights(["kind"]).unwrap()
    }

    fn json(scaler: Option<f64>, by_category: bool) -> String {
        let mut out = Vec::new();
        write_json(&weights(), scaler, by_category, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_weights_of_cells_or_of_classes() {
        assert_eq!(json(None, false), "{\"weights\":[0.5,0.5,1.0]}\n");
        assert_eq!(
            json(Some(2.0), true),
            "{\"categories\":{\"T\":0.5,\"nan\":0.6666666666666666}}\n"
        );
    }

    #[test]
    fn table_lists_classes() {
        let mut out = Vec::new();
        write_text(&weights(), &["kind".to_owned()], None, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("kind: 2 labels among 3 cells\n"), "{text}");
        assert!(
            text.lines()
                .any(|line| line.split_whitespace().eq(["T", "2", "0.500000"])),
            "{text}"
        );
    }
}
