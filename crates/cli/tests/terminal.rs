//! What the command prints of names and labels that act on a terminal, that lists cut, or that look
//! as if they were missing.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const FILE: &str = "names.h5ad";

fn run(args: &[&str]) -> Output {
    run_in(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"),
        args,
    )
}

fn run_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mapped-anndata"))
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_BACKTRACE")
        .output()
        .expect("the command starts")
}

/// Standard output and standard error, in which nothing may act on a terminal.
fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let texts = (text(&output.stdout), text(&output.stderr));
    let acts = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{206f}')
    };
    for text in [&texts.0, &texts.1] {
        assert!(!text.contains(acts), "{text:?}");
    }
    texts
}

fn stdout(args: &[&str]) -> String {
    let output = run(args);
    let (out, err) = printed(&output);
    assert!(output.status.success(), "{args:?}: {err}");
    out
}

fn object(args: &[&str]) -> Value {
    let text = stdout(&[args, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn file_contents_never_act_on_a_terminal() {
    let keys = "label,age\\, years,a\\=b\\|c\\\\d,text,key\x1b[1m\n,score,_index";
    let obs = ["--obs", keys, "--layers", "X,layer\x1b"];
    for json in [&[][..], &["--json"]] {
        for encode in ["all", "none"] {
            let all = [&obs[..], &["--encode-labels", encode], json].concat();
            stdout(&[&["info", FILE, "--vars"], &all[..]].concat());
            stdout(&[&["get", FILE, "--index", "0,1,2,3"], &all[..]].concat());
            stdout(&[&["stream", FILE], &all[..]].concat());
            stdout(
                &[
                    &["stream", FILE, "--sampler", "balanced:key\x1b[1m\n"],
                    &all[..],
                ]
                .concat(),
            );
        }
        stdout(&[&["weights", FILE, "--keys", keys], json].concat());
        stdout(&[&["weights", FILE, "--keys", keys, "--by-category"], json].concat());
        stdout(&[&["check", FILE], json].concat());
        printed(&run(&[&["check", "absent\x1b[2J\n.h5ad"], json].concat()));
    }
    let text = stdout(&["info", FILE, "--obs", "label"]);
    assert!(text.contains("\n two\\nlines\\t "), "{text}");
    assert!(text.contains("\n \\x1b[2J\\x1b]0;owned\\x07 "), "{text}");
}

#[test]
fn errors_and_warnings_never_act_on_a_terminal() {
    for args in [
        &["info", "absent\x1b[2J\nerror: other.h5ad"][..],
        &["info", FILE, "--obs", "label\x1b"],
        &["info", FILE, "--filter", "label=\x1b[2J"],
        &["weights", FILE, "--keys", "nothing\x1b\u{9b}"],
        &["get", FILE, "--index", "\x1b[2J"],
        &["info", FILE, "-\x1b[2J"],
        &["info", FILE, "--encode-labels", "\x1b"],
    ] {
        let (_, err) = printed(&run(args));
        assert!(!err.is_empty(), "{args:?}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = "a\x1b[2J\nb.h5ad";
    std::fs::write(folder.path().join(name), "no HDF5").expect("room");
    let (_, err) = printed(&run_in(folder.path(), &["info", name]));
    assert!(err.starts_with("error: a\\x1b[2J\\nb.h5ad: "), "{err}");
}

#[test]
fn names_with_commas_and_equals_signs_can_be_typed() {
    let get = [
        "get",
        FILE,
        "--index",
        "1",
        "--layers",
        "",
        "--encode-labels",
    ];
    let item = object(&[&get[..], &["none", "--obs", "age\\, years,a\\=b\\|c\\\\d"]].concat());
    assert_eq!(
        item,
        json!({"_store_idx": 0, "age, years": 2, "a=b|c\\d": "x,y"})
    );
    // One option for each name, or one for all.
    let item = object(
        &[
            &get[..],
            &["age\\, years", "--obs", "age\\, years", "--obs", "text"],
        ]
        .concat(),
    );
    assert_eq!(
        item,
        json!({"_store_idx": 0, "age, years": 1, "text": "(missing)"})
    );
    let n_obs = |filter: &str| object(&["info", FILE, "--filter", filter])["n_obs"].clone();
    assert_eq!(n_obs("age\\, years=2"), 1);
    assert_eq!(n_obs("a\\=b|c\\\\d=x=y"), 1);
    assert_eq!(n_obs("a\\=b\\|c\\\\d=x\\=y"), 1);
    let unknown = [
        "--obs",
        "a\\=b|c\\\\d",
        "--unknown-label",
        "a\\=b|c\\\\d=x=y",
    ];
    let info = object(&[&["info", FILE], &unknown[..]].concat());
    assert_eq!(info["encoders"]["a=b|c\\d"]["x=y"], -1);
    let weights = object(&["weights", FILE, "--keys", "age\\, years", "--by-category"]);
    assert_eq!(weights["categories"].as_object().map(|o| o.len()), Some(6));
}

/// What a hint suggests works when it is typed.
#[test]
fn hints_show_how_to_type_names() {
    let (_, err) = printed(&run(&["info", FILE, "--obs", "age\\,years"]));
    assert!(err.contains("did you mean \"age, years\"?"), "{err}");
    assert!(
        err.contains("\nhint: on the command line it is 'age\\, years'\n"),
        "{err}"
    );
    let (_, err) = printed(&run(&["weights", FILE, "--keys", "age\\,years"]));
    assert!(
        err.ends_with("hint: on the command line it is 'age\\, years'\n"),
        "{err}"
    );
    let (_, err) = printed(&run(&["info", FILE, "--obs", "labels"]));
    assert!(!err.contains("hint"), "{err}");
}

#[test]
fn label_is_not_taken_for_a_missing_one() {
    let key = "a\\=b\\|c\\\\d";
    let name = "a=b|c\\d";
    let info = object(&["info", FILE, "--obs", &format!("{key},score,share")]);
    let expected = json!({"x": 1, "x,y": 1, "x=y": 1, "(missing)": 1, "nan": 1});
    assert_eq!(info["label_counts"][name], expected);
    assert_eq!(info["missing"], json!({name: 1, "score": 3, "share": 1}));
    // NaN among the categories is missing.
    assert_eq!(info["label_counts"]["score"], json!({"0.5": 2, "1.5": 1}));
    assert_eq!(info["encoders"]["score"], json!({"0.5": 0, "1.5": 1}));
    for encode in ["all", "none"] {
        let text = stdout(&["info", FILE, "--obs", key, "--encode-labels", encode]);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        let has = |label: &str| {
            let found = rows
                .iter()
                .filter(|row| row.first() == Some(&label) && row.last() == Some(&"1"));
            assert_eq!(found.count(), 1, "{label} in {text}");
        };
        ["nan", "\\(missing)", "(missing)"]
            .into_iter()
            .for_each(has);
    }
    let keys = [
        "--obs",
        "text,score,share",
        "--encode-labels",
        "none",
        "--layers",
        "",
    ];
    let items = [&["get", FILE, "--index", "0,1"], &keys[..]].concat();
    let text = stdout(&items);
    let values: Vec<&str> = text
        .lines()
        .filter_map(|l| l.strip_prefix("  ")?.split_once("  "))
        .map(|(_, v)| v.trim())
        .collect();
    assert_eq!(
        values,
        ["nan", "0.5", "0.5", "\\(missing)", "(missing)", "(missing)"]
    );
    let json = stdout(&[&items[..], &["--json"]].concat());
    let second: Value = serde_json::from_str(json.lines().nth(1).expect("two")).expect("JSON");
    let expected = json!({"_store_idx": 0, "text": "(missing)", "score": null, "share": null});
    assert_eq!(second, expected);
    let text = stdout(&[&["stream", FILE], &keys[..]].concat());
    assert!(
        text.contains("row 0, text nan, score 0.5, share 0.5\n"),
        "{text}"
    );
    assert!(
        text.contains("row 1, text \\(missing), score (missing), share (missing)\n"),
        "{text}"
    );
    // As lamindb has it, weights count both as one class, and say so.
    let text = stdout(&["weights", FILE, "--keys", key]);
    assert!(
        text.lines()
            .any(|l| l.split_whitespace().eq(["nan", "2", "0.500000"])),
        "{text}"
    );
    assert!(
        text.ends_with("\nnan: cells without a label, and cells labelled nan\n"),
        "{text}"
    );
}

#[test]
fn labels_that_no_store_has_are_warned_of() {
    let (_, err) = printed(&run(&[
        "info",
        FILE,
        "--filter",
        "label=Plain",
        "--filter",
        "text=nan",
    ]));
    let expected = "warning: obs_filter: no store has the label \"Plain\" in the obs key \"label\": did \
                    you mean \"plain\"?\n";
    assert_eq!(err, expected);
    let (_, err) = printed(&run(&[
        "info",
        FILE,
        "--obs",
        "label",
        "--unknown-label",
        "plane",
    ]));
    let expected = "warning: unknown_label: no store has the label \"plane\" in any encoded obs key: \
                    did you mean \"plain\"?\n";
    assert_eq!(err, expected);
    let (_, err) = printed(&run(&[
        "info",
        FILE,
        "--obs",
        "label",
        "--unknown-label",
        "plain",
    ]));
    assert_eq!(err, "");
}
