//! Columns of obs from a table outside the files.

mod common;

use std::fs;

use serde_json::{Value, json};

use common::{failure, object, objects, stdout};

const A: &str = "base_a_csr.h5ad";
const B: &str = "base_b_csr_v3.zarr";

/// A table of the cells of both stores, but the last two of B, with their file names.
fn table(folder: &std::path::Path) -> String {
    let rows = objects(&[
        "get",
        A,
        B,
        "--obs",
        "_index",
        "--encode-labels",
        "none",
        "--index",
        "0,1,2,3,4,5,6,7,8",
    ]);
    let mut text = "dataset,cell,fate,score\n".to_owned();
    for (number, row) in rows.iter().enumerate() {
        let store = [A, "base_b_csr_v3"][row["_store_idx"].as_u64().unwrap() as usize];
        let fate = ["blood", "neuron", ""][number % 3];
        let name = row["_index"].as_str().unwrap();
        text.push_str(&format!("{store},{name},{fate},{}\n", number as f64 / 2.0));
    }
    let path = folder.join("labels.csv");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn columns_of_a_table_are_read_and_absent_cells_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = table(folder.path());
    let cells = format!("{path}:cell");
    let options = ["--obs-table", &cells, "--obs", "fate"];
    let info = object(&[&["info", A, B], &options[..]].concat());
    assert_eq!(info["not_in_table"], json!({"cells": 2, "stores": [0, 2]}));
    assert_eq!(info["encoders"]["fate"], json!({"blood": 0, "neuron": 1}));
    assert_eq!(
        info["label_counts"]["fate"],
        json!({"blood": 3, "neuron": 3})
    );
    assert_eq!(info["missing"]["fate"], 5);
    let named = object(
        &[
            &["info", A, B],
            &options[..],
            &["--obs-table-store", "dataset"],
        ]
        .concat(),
    );
    assert_eq!(named["label_counts"], info["label_counts"]);
    let text = stdout(&[&["info", A, B], &options[..]].concat());
    assert!(
        text.contains("\n2 of 11 cells have no row in the table\n"),
        "{text}"
    );
    assert!(text.contains("without a row"), "{text}");
    let kept = stdout(&[&["info", A, B], &options[..], &["--filter", "fate=neuron"]].concat());
    assert!(
        kept.contains("\n0 of 3 cells have no row in the table\n"),
        "{kept}"
    );
    assert!(!kept.contains("without a row"), "{kept}");
    let plain = object(&["info", A, B]);
    assert_eq!(plain.get("not_in_table"), None);
    let rows = objects(&[&["get", A, B, "--index", "1,-1"], &options[..]].concat());
    assert_eq!(
        (&rows[0]["fate"], &rows[1]["fate"]),
        (&json!(1), &Value::Null)
    );
    let weights = object(&[
        "weights",
        A,
        B,
        "--obs-table",
        &cells,
        "--keys",
        "fate",
        "--by-category",
    ]);
    assert_eq!(weights["categories"]["blood"], 1.0 / 3.0);
    let stream = [
        &["stream", A, B, "--sampler", "balanced:fate"],
        &options[..],
    ]
    .concat();
    assert_eq!(objects(&stream).last().unwrap()["rows"], 11);
}

#[test]
fn errors_name_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = table(folder.path());
    let wrong = format!("{path}:cells");
    let text = failure(&["info", A, "--obs-table", &wrong]).1;
    assert!(
        text.contains("labels.csv: expected one column \"cells\" (did you mean \"cell\"?)"),
        "{text}"
    );
    let cells = format!("{path}:cell");
    let options = ["info", A, "--obs-table", &cells, "--obs-table-store"];
    let text = failure(&[&options[..], &["data"]].concat()).1;
    assert!(
        text.contains("a column of stores among \"dataset\""),
        "{text}"
    );
    // The first column has the names of cells, unless another one is named.
    let text = failure(&["info", A, "--obs-table", &path]).1;
    assert!(
        text.contains("obs_table: expected each cell once, found \"base_a_csr.h5ad\" twice"),
        "{text}"
    );
    let text = failure(&["info", A, "--obs-table-store", "dataset"]).1;
    assert!(text.contains("expected --obs-table beside it"), "{text}");
}
