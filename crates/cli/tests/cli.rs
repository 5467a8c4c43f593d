//! The command as its users run it. Expected values are those of Python anndata 0.12.19 and
//! lamindb 2.12.1 on the same files.

mod common;

use std::process::Stdio;

use serde_json::{Value, json};

use common::{command, failure, object, objects, run, stderr, stdout};

const A: &str = "base_a_csr.h5ad";
const B: &str = "base_b_csr_v3.zarr";

#[test]
fn info_describes_a_collection() {
    let options = [
        "--obs",
        "cell_type,donor",
        "--encode-labels",
        "cell_type",
        "--join",
        "outer",
    ];
    let unknown = ["--unknown-label", "cell_type=unknown", "--vars", "--json"];
    let text = stdout(&[&["info", A, B], &options[..], &unknown].concat());
    // Compared as text, for the order of keys.
    let expected = json!({
        "shape": [11, 6],
        "original_shapes": [[6, 5], [5, 4]],
        "n_obs": 11,
        "join": "outer",
        "join_vars": "outer",
        "encoders": {"cell_type": {"unknown": -1, "B": 0, "NK": 1, "T": 2, "mono": 3}},
        "categories": {
            "cell_type": ["B", "NK", "T", "mono", "unknown"],
            "donor": ["d1", "d2", "d3", "d4"],
        },
        "label_counts": {
            "cell_type": {"T": 5, "B": 3, "unknown": 1, "mono": 1},
            "donor": {"d1": 4, "d2": 4, "d3": 1, "d4": 2},
        },
        "missing": {"cell_type": 1, "donor": 0},
        "var_joint": ["CD4", "CD8A", "FOXP3", "GATA1", "MYC", "TCF7"],
    });
    assert_eq!(text, format!("{expected}\n"));
}

#[test]
fn info_counts_what_the_filter_keeps_but_encodes_all() {
    let filter = ["--filter", "donor=d1", "--filter", "donor=d4"];
    let info = object(&[&["info", A, B, "--obs", "donor"], &filter[..]].concat());
    assert_eq!(info["shape"], json!([6, 3]));
    assert_eq!(info["original_shapes"], json!([[3, 5], [3, 4]]));
    assert_eq!(
        (&info["join"], &info["join_vars"]),
        (&json!("inner"), &json!("inner"))
    );
    assert_eq!(
        info["encoders"]["donor"],
        json!({"d1": 0, "d2": 1, "d3": 2, "d4": 3})
    );
    assert_eq!(info["label_counts"]["donor"], json!({"d1": 4, "d4": 2}));
    assert_eq!(info.get("var_joint"), None);
}

#[test]
fn info_without_a_join_and_of_equal_genes() {
    let info = object(&["info", A, B, "--join", "none", "--vars"]);
    assert_eq!(info["shape"], json!([11, null]));
    assert_eq!(
        (&info["join"], &info["join_vars"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(info["var_joint"], Value::Null);
    let info = object(&["info", A, A]);
    assert_eq!(
        (&info["join"], &info["join_vars"]),
        (&json!("inner"), &Value::Null)
    );
    assert_eq!(info["encoders"], json!({}));
}

#[test]
fn labels_keep_their_types_and_keys_are_pythons_texts() {
    let info = object(&[
        "info",
        "obs_1.h5ad",
        "--obs",
        "cat_int,cat_float,cat_bool,float32,n_int",
    ]);
    let expected = json!({
        "cat_int": [2, 9, 10],
        "cat_float": [-1.0, 0.1, 2.0, 2.5],
        "cat_bool": [false, true],
        "float32": [0.1, 0.5, 2.0, 3.0, "inf"],
        "n_int": [-1, 5, 7],
    });
    assert_eq!(info["categories"], expected);
    let expected = json!({
        "cat_int": {"2": 0, "9": 1, "10": 2},
        "cat_float": {"-1.0": 0, "0.1": 1, "2.0": 2, "2.5": 3},
        "cat_bool": {"False": 0, "True": 1},
        "n_int": {"-1": 0, "5": 1, "7": 2},
    });
    assert_eq!(info["encoders"], expected);
    let counts = &info["label_counts"];
    assert_eq!(counts["cat_int"], json!({"10": 3, "9": 2, "2": 2}));
    assert_eq!(counts["cat_bool"], json!({"True": 5, "False": 2}));
    let expected = json!({"0.1": 2, "0.5": 1, "inf": 1, "2.0": 1, "3.0": 1});
    assert_eq!(counts["float32"], expected);
    assert_eq!(counts["n_int"], json!({"5": 3, "-1": 1, "7": 1}));
    let missing = &info["missing"];
    assert_eq!(
        (&missing["float32"], &missing["n_int"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn filters_are_read_by_the_type_of_the_column() {
    let n_obs = |filters: &[&str]| {
        let filters: Vec<&str> = filters
            .iter()
            .flat_map(|&filter| ["--filter", filter])
            .collect();
        object(&[&["info", "obs_1.h5ad"], &filters[..]].concat())["n_obs"].clone()
    };
    assert_eq!(n_obs(&["cat_int=10"]), 3);
    assert_eq!(n_obs(&["float32=0.1"]), 2);
    assert_eq!(n_obs(&["n_int=@missing"]), 2);
    assert_eq!(n_obs(&["n_int=@missing", "n_int=7"]), 3);
    assert_eq!(n_obs(&["n_int=5", "bool=false"]), 1);
    assert_eq!(n_obs(&["text="]), 1);
}

#[test]
fn get_prints_items() {
    let options = [
        "--obs",
        "cell_type,donor",
        "--encode-labels",
        "cell_type",
        "--join",
        "outer",
    ];
    let more = [
        "--obsm",
        "X_pca",
        "--unknown-label",
        "unknown",
        "--index",
        "0,3,-4",
        "--json",
    ];
    let text = stdout(&[&["get", A, B], &options[..], &more].concat());
    let expected = r#"{"_store_idx":0,"X":[0.0,2.5,0.0,1.5,0.5,0.0],"obsm_X_pca":[0.5,1.0],"cell_type":2,"donor":"d1"}
{"_store_idx":0,"X":[0.0,10.0,0.0,9.0,8.0,0.0],"obsm_X_pca":[3.5,4.0],"cell_type":-1,"donor":"d3"}
{"_store_idx":1,"X":[0.0,0.0,0.0,0.0,0.0,0.0],"obsm_X_pca":[-1.5,-2.0],"cell_type":null,"donor":"d4"}
"#;
    assert_eq!(text, expected);
}

#[test]
fn get_writes_every_kind_of_value() {
    let options = ["--layers", "", "--encode-labels", "none", "--index=3,1"];
    let keys = ["--obs", "cat_bool,cat_float,float32,n_int,small,text,float"];
    let text = stdout(&[&["get", "obs_1.h5ad", "--json"], &options[..], &keys].concat());
    let expected = r#"{"_store_idx":0,"cat_bool":true,"cat_float":2.5,"float32":"inf","n_int":5,"small":2,"text":"","float":0.5}
{"_store_idx":0,"cat_bool":false,"cat_float":-1.0,"float32":0.5,"n_int":null,"small":1,"text":"é","float":null}
"#;
    assert_eq!(text, expected);
}

#[test]
fn get_reads_every_matrix() {
    let obsm = ["--obsm", "X_pca,ints,sparse,table,tensor", "--layers", ""];
    let item = object(&[&["get", "obsm.h5ad", "--index", "1"], &obsm[..]].concat());
    let expected = json!({
        "_store_idx": 0,
        "obsm_X_pca": [0.0, 2.5, 3.0],
        "obsm_ints": [-1, 0],
        "obsm_sparse": [0.0, 0.0, 0.0, 0.0],
        "obsm_table": [2.0, 0.25],
        "obsm_tensor": [[1.5, 1.75, 2.0], [2.25, 2.5, 2.75]],
    });
    assert_eq!(item, expected);
    let item = object(&[
        "get", A, "--layers", "raw.X", "--dtype", "uint8", "--index", "0",
    ]);
    assert_eq!(
        item,
        json!({"_store_idx": 0, "raw.X": [1, 2, 3, 4, 5, 6, 7]})
    );
}

#[test]
fn get_prints_text_for_people() {
    let text = stdout(&["get", A, B, "--obs", "cell_type", "--index", "-1,1"]);
    let expected = "\
item -1: cell b4, row 4 of base_b_csr_v3.zarr
  X          [3] float32, 0.0% nonzero: 0.0 0.0 0.0
  cell_type  2 (T)

item 1: cell a1, row 1 of base_a_csr.h5ad
  X          [3] float32, 66.7% nonzero: 3.0 4.0 0.0
  cell_type  0 (B)
";
    assert_eq!(text, expected);
}

#[test]
fn weights_are_of_cells_or_of_classes() {
    let weights = object(&["weights", A, B, "--keys", "cell_type"]);
    let third = 1.0 / 3.0;
    let expected = json!([0.2, third, 0.2, 1.0, third, 0.2, 1.0, 1.0, 0.2, third, 0.2]);
    assert_eq!(weights, json!({ "weights": expected }));

    let options = [
        "--keys",
        "cell_type,donor",
        "--scaler",
        "2",
        "--by-category",
    ];
    let weights = object(&[&["weights", A, B], &options[..]].concat());
    let two_thirds = 0.6666666666666666;
    let expected = json!({
        "T__d1": 0.4, "B__d2": 0.5, "unknown__d3": two_thirds, "mono__d2": two_thirds,
        "nan__d4": two_thirds, "T__d4": two_thirds, "B__d1": two_thirds, "T__d2": two_thirds,
    });
    assert_eq!(weights, json!({ "categories": expected }));

    let text = stdout(&["weights", A, B, "--keys", "cell_type"]);
    assert!(
        text.lines()
            .any(|line| line.split_whitespace().eq(["T", "5", "0.200000"])),
        "{text}"
    );
}

#[test]
fn stream_delivers_every_row_in_every_epoch() {
    for options in [
        &["--output", "dense"][..],
        &["--output", "csr"],
        &["--shuffle", "exact"],
        &[
            "--shuffle",
            "blocks:2",
            "--workers",
            "0",
            "--memory",
            "100MiB",
        ],
    ] {
        let epochs = ["stream", A, B, "--batch-size", "4", "--epochs", "2"];
        let lines = objects(&[&epochs[..], options].concat());
        assert_eq!(lines.len(), 3);
        for (number, line) in lines[..2].iter().enumerate() {
            let keys: Vec<&String> = line.as_object().expect("an object").keys().collect();
            assert_eq!(
                keys,
                ["epoch", "rows", "batches", "seconds", "rows_per_second"]
            );
            assert_eq!(line["epoch"], number);
            assert_eq!((&line["rows"], &line["batches"]), (&json!(11), &json!(3)));
        }
        let whole = lines[2].as_object().expect("an object");
        let keys = [
            "rows",
            "batches",
            "seconds",
            "rows_per_second",
            "first_batch_seconds",
            "peak_rss_bytes",
            "chunks_decoded",
            "cache_hits",
            "bytes_read",
            "packed_rows",
            "label_entropy",
            "x_sum",
        ];
        assert!(whole.keys().eq(keys), "{whole:?}");
        assert_eq!((&whole["rows"], &whole["batches"]), (&json!(22), &json!(6)));
        assert_eq!(whole["x_sum"], 2.0 * 1029.0);
        assert!(
            whole["seconds"].as_f64() > Some(0.0) && whole["rows_per_second"].as_f64() > Some(0.0)
        );
        let rss = whole["peak_rss_bytes"].as_u64();
        assert!(rss > Some(100_000) || !cfg!(target_os = "linux"));
    }
    let lines = objects(&["stream", A, B, "--join", "outer"]);
    assert_eq!(lines[1]["x_sum"], 1394.5);
    let nobody = ["--filter", "donor=d1", "--filter", "cell_type=mono"];
    let lines = objects(&[&["stream", A, B, "--layers", ""], &nobody[..]].concat());
    assert_eq!(
        (&lines[1]["rows"], &lines[1]["x_sum"]),
        (&json!(0), &Value::Null)
    );
}

#[test]
fn ranks_share_an_epoch_and_samplers_draw() {
    let rank = |rank: &str| {
        let options = [
            "stream",
            A,
            B,
            "--batch-size",
            "3",
            "--world-size",
            "2",
            "--rank",
            rank,
        ];
        objects(&options).pop().expect("the whole")
    };
    // 11 rows in steps of 6: the second is completed from the start.
    assert_eq!(
        (&rank("0")["rows"], &rank("1")["rows"]),
        (&json!(6), &json!(6))
    );
    let samplers = [
        "balanced:cell_type",
        "weighted:donor",
        "mixture:cell_type:0.5",
        "mixture:0",
    ];
    for sampler in samplers {
        let lines = objects(&["stream", A, B, "--obs", "cell_type", "--sampler", sampler]);
        assert_eq!(lines[1]["rows"], 11);
        let entropy = &lines[1]["label_entropy"];
        assert_eq!(entropy["key"], "cell_type");
        assert!(entropy["mean"].as_f64() > Some(0.0) && entropy["exact"].as_f64() > Some(1.0));
    }
}

#[test]
fn stream_prints_text_for_people() {
    let text = stdout(&["stream", A, B, "--obs", "cell_type", "--batch-size", "6"]);
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line} in {text}");
    has("collection: 11 cells x 3 genes in 2 stores");
    has("inner join: 3 genes shared by all 2 stores");
    has("1 epoch in batches of 6, in file order, CSR");
    has("  X: CSR [6, 3] float32, 66.7% nonzero");
    has("  cell_type: codes [6] int64");
    has("  store 0, row 1, cell_type 0 (B)");
    assert!(text.contains("11 rows in 2 batches took "), "{text}");
}

/// The program alone, in an empty folder.
#[test]
fn demo_needs_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = |args: &[&str]| {
        let output = command(args)
            .current_dir(&folder)
            .output()
            .expect("the command starts");
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let info: Value = serde_json::from_str(&demo(&["info", "--json"])).expect("JSON");
    let n_obs = info["n_obs"].as_u64().expect("a number");
    assert!(n_obs > 1000);
    assert_eq!(info["original_shapes"].as_array().map(Vec::len), Some(4));
    assert_eq!(info["join_vars"], "inner");
    assert_eq!(info["encoders"]["cell_type"]["unknown"], -1);
    assert!(info["missing"]["cell_type"].as_u64() > Some(0));

    let text = demo(&["stream"]);
    assert!(text.starts_with("demo collection: "), "{text}");
    assert!(
        text.contains("(unknown)") || text.contains("cell_type"),
        "{text}"
    );
    let sums = ["csr", "dense"].map(|output| {
        let text = demo(&["stream", "--json", "--output", output]);
        let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["rows"], n_obs);
        last["x_sum"].as_f64().expect("a number")
    });
    assert!(
        sums[0] > 0.0 && (sums[0] - sums[1]).abs() < 1e-6 * sums[0],
        "{sums:?}"
    );
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
}

#[test]
fn keys_that_no_store_has_are_warned_of() {
    let output = run(&[
        "get",
        A,
        "--obs",
        "celltype,donor",
        "--index",
        "0",
        "--json",
    ]);
    assert!(output.status.success());
    let warning = stderr(&output);
    assert!(
        warning.starts_with("warning: no store has obs key \"celltype\""),
        "{warning}"
    );
    assert!(
        warning.contains("cell_type") && warning.lines().count() == 1,
        "{warning}"
    );
    let item: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((item.get("celltype"), &item["donor"]), (None, &json!(0)));
}

#[test]
fn unencoded_labels_of_two_kinds_have_no_categories() {
    let args = [
        "info",
        "obs_1.h5ad",
        "obs_2.h5ad",
        "--obs",
        "differs",
        "--encode-labels",
        "none",
    ];
    let output = run(&[&args[..], &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).starts_with("warning: obs/differs: "),
        "{}",
        stderr(&output)
    );
    let info: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(info["categories"], json!({"differs": null}));
    let (code, text) = failure(&args[..5]);
    assert_eq!(code, 1);
    assert!(
        text.starts_with("error: obs/differs: expected labels of one kind"),
        "{text}"
    );
}

#[test]
fn unreadable_elements_are_named() {
    let (code, text) = failure(&["info", "absent.h5ad"]);
    assert_eq!(
        (code, &*text),
        (1, "error: absent.h5ad: no such file or directory\n")
    );
    let (code, text) = failure(&["stream", "ftp://host/cells.h5ad"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("ftp://host/cells.h5ad") && text.contains("pass an http, https, s3"),
        "{text}"
    );
    let (code, text) = failure(&["info", "../../Cargo.toml"]);
    assert_eq!(code, 1);
    assert!(
        text.starts_with("error: ../../Cargo.toml: not an AnnData store"),
        "{text}"
    );
    let (code, text) = failure(&["get", A, "--json", "--index", "0,6"]);
    assert_eq!(
        (code, &*text),
        (
            1,
            "error: row 6 is out of bounds: the collection has 6 rows\n"
        )
    );
    let (code, text) = failure(&["weights", A, "--keys", "doner"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("\"doner\": did you mean \"donor\"?"),
        "{text}"
    );
    let (code, text) = failure(&["info", A, "disjoint.h5ad"]);
    assert_eq!(code, 1);
    assert!(text.contains("use --join outer"), "{text}");
}

#[test]
fn senseless_command_line_is_refused() {
    for args in [
        &["get", A][..],
        &["get", A, "--index", "x"],
        &["get", "--index", "0"],
        &["info", A, "--join", "left"],
        &["info", A, "--dtype", "complex64"],
        &["info", A, "--filter", "donor"],
        &[
            "info",
            A,
            "--obs",
            "donor",
            "--unknown-label",
            "a",
            "--unknown-label",
            "donor=b",
        ],
        &["stream", A, "--batch-size", "0"],
        &["stream", A, "--shuffle", "blocks"],
        &["weights", A, "--keys", "donor", "--scaler", "-1"],
        &["convert", A],
    ] {
        let (code, text) = failure(args);
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.starts_with("error: "), "{args:?}: {text}");
    }
    let (code, text) = failure(&["info", A, "--encode-labels", "donor"]);
    assert_eq!(code, 1);
    assert!(
        text.starts_with(
            "error: --encode-labels: expected keys that are in --obs, found \"donor\""
        ),
        "{text}"
    );
}

#[test]
fn closed_pipe_is_not_an_error() {
    let index = vec!["0"; 20_000].join(",");
    let mut child = command(&["get", A, "--json", "--index", &index])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn help_has_examples() {
    for args in [
        &["--help"][..],
        &["info", "--help"],
        &["get", "-h"],
        &["weights", "-h"],
        &["help", "stream"],
        &["check", "--help"],
    ] {
        let text = stdout(args);
        assert!(
            text.contains("Examples:") && text.contains("--json"),
            "{text}"
        );
    }
    assert_eq!(
        stdout(&["--version"]),
        format!("mapped-anndata {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// The demo's files, one of each kind, with chunks of many rows.
const DEMO: [&str; 2] = [
    "../../crates/cli/demo/a.h5ad",
    "../../crates/cli/demo/c.zarr",
];

#[test]
fn cache_is_built_listed_verified_and_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("packs");
    let path = path.to_str().expect("UTF-8");
    let collection = [&DEMO[..], &["--cache", path]].concat();
    let of = |command: &[&'static str]| [command, &collection[..]].concat();

    let before = &object(&of(&["info"]))["cached"];
    assert_eq!(before["cached_bands"], 0);
    let built = object(&of(&["cache", "build"]));
    assert_eq!(built["bands"], before["bands"]);
    assert_eq!(built["cached_bands"], built["bands"]);
    assert_eq!(object(&of(&["info"]))["cached"]["bytes"], built["bytes"]);
    let info = stdout(&of(&["info"]));
    assert!(
        info.contains("cache: 34 of 34 bands of chunks packed, "),
        "{info}"
    );

    let streamed = objects(&[&of(&["stream"])[..], &["--shuffle", "exact"]].concat());
    assert_eq!(streamed[1]["packed_rows"], 2000);
    assert_eq!(streamed[1]["chunks_decoded"], 0);
    let plain = objects(&[&["stream"], &DEMO[..], &["--shuffle", "exact"]].concat());
    assert_eq!(streamed[1]["x_sum"], plain[1]["x_sum"]);
    let text = stdout(&of(&["stream"]));
    assert!(
        text.contains("0 chunks decoded, 2,000 rows from packs"),
        "{text}"
    );

    let listed = objects(&["cache", "list", path]);
    let elements = listed.iter().map(|line| line["element"].as_str());
    assert_eq!(elements.collect::<Vec<_>>(), [Some("X"), Some("X"), None]);
    assert!(
        listed[0]["file"]
            .as_str()
            .expect("a path")
            .ends_with("cli/demo/a.h5ad")
    );
    assert_eq!(listed[2]["bytes"], built["bytes"]);
    assert!(stdout(&["cache", "list", path]).contains("KiB in all"));

    assert_eq!(object(&["cache", "verify", path])["faults"], 0);
    assert_eq!(stdout(&["cache", "verify", path]), "all checksums agree\n");
    let packs = std::fs::read_dir(folder.path().join("packs/packs")).expect("there");
    for segment in packs {
        let segment = segment.expect("readable").path();
        let mut bytes = std::fs::read(&segment).expect("readable");
        bytes[100] ^= 1;
        std::fs::write(&segment, bytes).expect("writable");
    }
    let output = run(&["cache", "verify", path]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("1 band damaged"), "{text}");
    assert!(text.ends_with("1 segment damaged: the next epoch decodes those rows anew\n"));

    assert!(stdout(&["cache", "clear", path]).ends_with("KiB removed\n"));
    assert_eq!(object(&["cache", "clear", path])["bytes"], 0);
    assert_eq!(objects(&["cache", "list", path]).len(), 1);
}

#[test]
fn cache_that_is_damaged_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let collection = [&["--cache", path], &DEMO[..]].concat();
    stdout(&[&["cache", "build"], &collection[..]].concat());
    for segment in std::fs::read_dir(folder.path().join("packs")).expect("there") {
        let segment = segment.expect("readable").path();
        std::fs::write(&segment, "nothing").expect("writable");
    }
    let output = run(&[&["stream"], &collection[..]].concat());
    assert!(output.status.success());
    let warning = stderr(&output);
    assert!(
        warning.starts_with("warning: ") && warning.contains("is damaged and was removed"),
        "{warning}"
    );
}

#[cfg(feature = "remote")]
#[test]
fn storage_options_are_checked_by_all_commands() {
    for command in [
        &["info", A][..],
        &["check", A],
        &["get", A, "--index", "0"],
        &["stream", A],
    ] {
        for (option, expected) in [
            ("timeout=soon", "a time such as 30s"),
            ("regoin=us-west-2", "region, endpoint"),
            ("region", "expected NAME=VALUE"),
        ] {
            let args = [command, &["--storage-option", option]].concat();
            let (_, text) = failure(&args);
            assert!(text.contains(expected), "{args:?}: {text}");
        }
        stdout(&[command, &["--storage-option", "region=us-west-2"]].concat());
    }
}

#[test]
fn cache_commands_name_what_is_wrong() {
    let (code, text) = failure(&["cache", "list", "no_such_folder"]);
    assert_eq!(
        (code, &*text),
        (1, "error: no_such_folder: no such folder\n")
    );
    let (code, text) = failure(&["cache", "build", A]);
    // Only files on servers have a folder of their own.
    assert!(code == 1 && text.contains("pass --cache DIR"), "{text}");
    let (code, text) = failure(&["info", A, "--cache", "."]);
    assert!(
        code == 1 && text.contains("found a folder with other files"),
        "{text}"
    );
    let (code, text) = failure(&["info", A, "--cache", "x", "--cache-size", "much"]);
    assert!(code == 2 && text.contains("--cache-size"), "{text}");
}
