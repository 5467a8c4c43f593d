//! `get`: single rows.

use std::io::Write;

use mapped_anndata::{Item, MappedCollection};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Result;
use crate::args::GetArgs;
use crate::escape::escape;
use crate::json::{Value, write_line};
use crate::opened::Opened;
use crate::progress::prepare;
use crate::text;

pub(crate) fn run(args: &GetArgs, json: bool, out: &mut impl Write) -> Result<()> {
    let opened = Opened::open(&args.paths, &args.collection)?;
    let cells = &opened.cells;
    // Reads all of them before any result is printed.
    for &index in &args.index {
        cells.locate(index)?;
    }
    prepare(cells)?;
    if json {
        for &index in &args.index {
            write_line(out, &Row(&cells.get(index)?))?;
        }
        return Ok(());
    }
    let (files, names) = (opened.names(), cells.obs_names(&args.index)?);
    for (n, (&index, name)) in args.index.iter().zip(&names).enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        let item = cells.get(index)?;
        let file = &files[item.store_idx];
        writeln!(
            out,
            "item {index}: cell {}, row {} of {file}",
            escape(name),
            item.row_idx
        )?;
        write_entries(cells, &item, out)?;
    }
    Ok(())
}

/// An item as one object, `_store_idx` first.
struct Row<'a>(&'a Item);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("_store_idx", &self.0.store_idx)?;
        for (key, value) in self.0.entries() {
            map.serialize_entry(key, &Value(value))?;
        }
        map.end()
    }
}

fn write_entries(cells: &MappedCollection, item: &Item, out: &mut impl Write) -> Result<()> {
    let width = |(key, _): &(String, _)| escape(key).chars().count();
    let width = item.entries().iter().map(width).max().unwrap_or(0);
    for (key, value) in item.entries() {
        writeln!(
            out,
            "  {:width$}  {}",
            escape(key),
            text::value(value, cells.encoder(key))
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mapped_anndata::{MemoryStore, Values};

    use super::*;

    fn cells() -> MappedCollection {
        let store = MemoryStore::new("a")
            .dataframe("obs", &["c1", "c2"])
            .categorical("obs/cell_type", vec![1, -1], &["B", "T"])
            .dataframe("var", &["G", "H"])
            .array("X", &[2, 2], Values::F32(vec![0.5, f32::NAN, 2.0, 0.0]));
        MappedCollection::builder([store])
            .obs(["cell_type"])
            .open()
            .unwrap()
    }

    #[test]
    fn item_is_an_object() {
        let rows = [0, 1].map(|i| serde_json::to_string(&Row(&cells().get(i).unwrap())).unwrap());
        assert_eq!(rows[0], r#"{"_store_idx":0,"X":[0.5,null],"cell_type":1}"#);
        assert_eq!(
            rows[1],
            r#"{"_store_idx":0,"X":[2.0,0.0],"cell_type":null}"#
        );
    }

    #[test]
    fn item_is_put_in_words() {
        let mut out = Vec::new();
        write_entries(&cells(), &cells().get(0).unwrap(), &mut out).unwrap();
        let expected = "  X          [2] float32, 100.0% nonzero: 0.5 nan\n  cell_type  1 (T)\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
