//! The options that decide which genes, matrices and labels are read, and by which names.

mod common;

use serde_json::json;

use common::{failure, object, run, stderr, stdout};

const SYMBOLS: &str = "genes_symbol_csr.h5ad";
const IDS: &str = "genes_id_dense_v3.zarr";

#[test]
fn info_explains_names_that_do_not_meet() {
    let (code, text) = failure(&["info", SYMBOLS, IDS]);
    assert_eq!(code, 1);
    assert!(
        text.contains(r#"its column "ensembl_id" has an overlap of 75 %"#),
        "{text}"
    );
    let hint = "hint: --var-key 'ensembl_id|_index' --strip-version\n";
    assert!(text.ends_with(hint), "{text}");
    // The hint as it stands helps.
    let key = ["--var-key", "ensembl_id|_index", "--strip-version"];
    let text = stdout(&[&["info", SYMBOLS, IDS], &key[..]].concat());
    assert!(
        text.contains("inner join: 3 genes shared by all 2 stores"),
        "{text}"
    );
    assert!(
        text.contains("1 gene without a name to join by, left out"),
        "{text}"
    );
    // An outer join would silently have each gene twice.
    let output = run(&["info", SYMBOLS, IDS, "--join", "outer"]);
    let text = stderr(&output);
    assert!(
        output.status.success() && text.starts_with("warning: the stores share few genes"),
        "{text}"
    );
    assert!(text.ends_with(hint), "{text}");
}

#[test]
fn info_shows_how_many_given_genes_each_store_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("genes.csv");
    std::fs::write(
        &path,
        "n,id\n1,ENSG00000010610\n2,ENSG00000136997\n3,ENSG00000141510\n",
    )
    .expect("written");
    let genes = format!("{}:id", path.display());
    let options = [
        "--genes",
        &genes,
        "--var-key",
        "ensembl_id|_index",
        "--strip-version",
    ];
    let info = [&["info", SYMBOLS, IDS], &options[..]].concat();
    let text = stdout(&info);
    assert!(
        text.contains("given list: 3 genes, 0 where a store lacks one"),
        "{text}"
    );
    assert!(
        text.contains("3 of 3 (100 %)") && text.contains("2 of 3 (66 %)"),
        "{text}"
    );
    let json = object(&info);
    assert_eq!(
        (&json["join"], &json["join_vars"]),
        (&json!("given"), &json!("given"))
    );
    assert_eq!(json["gene_overlaps"][1]["found"], 2);
    let item = object(&[&["get", SYMBOLS, IDS, "--index", "-1"], &options[..]].concat());
    assert_eq!(item["X"].as_array().map(Vec::len), Some(3));

    let output = run(&[&info[..], &["--min-overlap", "0.7"]].concat());
    let text = stderr(&output);
    assert!(
        text.starts_with(&format!("warning: {IDS}: var: has 2 of the 3 given genes")),
        "{text}"
    );
    let (_, text) = failure(&["info", SYMBOLS, "--genes", &genes]);
    assert!(text.contains("has none of the 3 given genes"), "{text}");
    assert!(
        text.contains("hint: --var-key 'ensembl_id|_index'"),
        "{text}"
    );
    let (_, text) = failure(&["info", SYMBOLS, "--genes", &genes, "--join", "outer"]);
    assert!(
        text.starts_with("error: --join: expected its default beside --genes"),
        "{text}"
    );
    let (_, text) = failure(&["info", SYMBOLS, "--genes", &genes, "--min-overlap", "2"]);
    assert_eq!(
        text,
        "error: --min-overlap: expected a fraction from 0 to 1, found 2\n"
    );
}

#[test]
fn genes_are_renamed_and_summed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("aliases.tsv");
    std::fs::write(&path, "TP53\tCD4\n").expect("written");
    let path = path.display().to_string();
    let (_, text) = failure(&["info", SYMBOLS, "--aliases", &path, "--duplicates", "all"]);
    assert!(
        text.contains("expected `error`, `first` or `sum`"),
        "{text}"
    );
    let get = [
        "get",
        "genes_twice_csr.h5ad",
        "--aliases",
        &path,
        "--index",
        "0",
    ];
    let item = object(&[&get[..], &["--duplicates", "sum"]].concat());
    assert_eq!(item["X"].as_array().map(Vec::len), Some(3));
}

#[test]
fn keys_come_from_the_first_of_several() {
    let (a, b) = ("base_a_csr.h5ad", "base_b_csr_v3.zarr");
    let layers = ["--layers", "n=counts(X|raw.X|counts),X"];
    let obs = ["--obs", "type=celltype|cell_type"];
    let info = [&["info", a, b], &layers[..], &obs].concat();
    let text = stdout(&info);
    assert!(
        text.contains("n is taken from") && text.contains("raw.X"),
        "{text}"
    );
    let json = object(&info);
    assert_eq!(json["source_keys"]["n"], json!(["raw.X", "counts"]));
    assert_eq!(
        json["source_keys"]["type"],
        json!(["cell_type", "cell_type"])
    );

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("map.csv");
    std::fs::write(&path, "T,lymphocyte\nB,lymphocyte\n").expect("written");
    let map = format!("type={}", path.display());
    let mapped = [&["info", a, b, "--label-map", &map], &obs[..]].concat();
    let json = object(&[&mapped[..], &["--unmapped", "missing"]].concat());
    assert_eq!(json["label_counts"]["type"], json!({"lymphocyte": 8}));
    let (_, text) = failure(&[&mapped[..], &["--unmapped", "error"]].concat());
    assert!(
        text.contains("expected labels that the label map mentions"),
        "{text}"
    );

    let (_, text) = failure(&["info", a, "--layers", "n=counts(X|only_a)"]);
    assert!(
        text.contains("found X: 0.5 in row 0; only_a: 0.5 in row 0"),
        "{text}"
    );
    for wrong in ["=a", "a=", "a=b|"] {
        assert_eq!(failure(&["info", a, "--layers", wrong]).0, 2, "{wrong}");
    }
}
