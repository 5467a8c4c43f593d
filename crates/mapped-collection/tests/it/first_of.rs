//! Matrices that are read from the first of several elements, and matrices of counts.

use mapped_collection::{
    FirstOf, Join, LoaderOptions, MappedCollection, MappedCollectionBuilder, MatrixFormat,
    MemoryStore, Shuffle, Unmapped, Values,
};

fn store(name: &str, genes: &[&str], x: &[f32]) -> MemoryStore {
    let n_obs = x.len() / genes.len();
    let names: Vec<String> = (0..n_obs).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shape = [n_obs as u64, genes.len() as u64];
    MemoryStore::new(name)
        .dataframe("obs", &names)
        .dataframe("var", genes)
        .array("X", &shape, Values::F32(x.to_vec()))
}

fn with_raw(store: MemoryStore, genes: &[&str], raw: &[f32]) -> MemoryStore {
    let shape = [(raw.len() / genes.len()) as u64, genes.len() as u64];
    store
        .group("raw")
        .dataframe("raw/var", genes)
        .array("raw/X", &shape, Values::F32(raw.to_vec()))
}

/// One store with counts in raw, one in a layer, one in X.
fn three() -> [MemoryStore; 3] {
    let a = store("a", &["g1", "g2"], &[0.5, 1.5]);
    let b = store("b", &["g2", "g3"], &[-0.5, 1.0]);
    [
        with_raw(a, &["g3", "g2", "g1"], &[3.0, 2.0, 1.0]),
        b.array("layers/umi", &[1, 2], Values::I16(vec![20, 30])),
        store("c", &["g2", "g3"], &[200.0, 300.0]),
    ]
}

fn counts() -> MappedCollectionBuilder {
    let counts = FirstOf::counts(["raw.X", "umi", "X"]);
    MappedCollection::builder(three()).layers_from([("counts", counts)])
}

fn dense(cells: &MappedCollection, key: &str, row: i64) -> Vec<f32> {
    let format = mapped_collection::BatchFormat::new().dtype(mapped_collection::DType::F32);
    let batch = cells.get_batch_with(&[row], &format).unwrap();
    batch.matrix(key).unwrap().dense::<f32>().unwrap().to_vec()
}

#[test]
fn counts_are_found_where_they_lie_and_joined_by_their_variables() {
    let cells = counts().open().unwrap();
    let taken: Vec<_> = (0..3)
        .map(|store| cells.source_key(store, "counts").unwrap())
        .collect();
    assert_eq!(taken, ["raw.X", "umi", "X"]);
    assert_eq!(cells.join_vars(), Some(Join::Inner));
    assert!(cells.var_joint().unwrap().iter().eq(["g3", "g2"]));
    let rows: Vec<_> = (0..3).map(|row| dense(&cells, "counts", row)).collect();
    assert_eq!(rows, [[3.0, 2.0], [30.0, 20.0], [300.0, 200.0]]);
    let cells = counts().join(Join::Outer).open().unwrap();
    assert_eq!(dense(&cells, "counts", 1), [0.0, 20.0, 30.0]);
    assert_eq!(cells.presence_of("counts", 0), Some(vec![true; 3]));
    let cells = counts().genes(["g1", "g2"]).open().unwrap();
    assert_eq!(dense(&cells, "counts", 0), [1.0, 2.0]);
    assert_eq!(cells.gene_overlaps()[0].table, "raw/var");
    assert_eq!(cells.gene_overlaps()[1].table, "var");
}

#[test]
fn each_matrix_has_a_join_of_its_own() {
    let layers = |first: &'static str, second: &'static str| {
        let from = |name| match name {
            "counts" => FirstOf::counts(["raw.X", "umi", "X"]),
            name => FirstOf::new([name]),
        };
        let layers = [first, second].map(|name| (name, from(name)));
        MappedCollection::builder(three())
            .layers_from(layers)
            .join(Join::Outer)
    };
    let cells = layers("X", "counts").open().unwrap();
    assert!(cells.var_joint().unwrap().iter().eq(["g1", "g2", "g3"]));
    assert_eq!(cells.presence(0), Some(vec![true, true, false]));
    assert_eq!(cells.presence_of("counts", 0), Some(vec![true; 3]));
    assert_eq!(dense(&cells, "X", 0), [0.5, 1.5, 0.0]);
    assert_eq!(dense(&cells, "counts", 0), [1.0, 2.0, 3.0]);
    let cells = layers("counts", "X").open().unwrap();
    assert_eq!(cells.presence(0), Some(vec![true; 3]));
    // raw.X as such keeps its own width.
    let cells = layers("raw.X", "counts").open().unwrap();
    assert_eq!(cells.vars_of("raw.X"), None);
    assert_eq!(cells.presence(0), Some(vec![true, true, false]));
}

#[test]
fn first_that_exists_is_read_whatever_it_holds() {
    let from = FirstOf::new(["umi", "raw.X", "X"]);
    let cells = MappedCollection::builder(three())
        .layers_from([("m", from)])
        .open()
        .unwrap();
    let taken: Vec<_> = (0..3)
        .map(|store| cells.source_key(store, "m").unwrap())
        .collect();
    assert_eq!(taken, ["raw.X", "umi", "X"]);
    let from = FirstOf::new(["umi", "nothing"]);
    let cells = MappedCollection::builder(three())
        .layers_from([("m", from)])
        .open()
        .unwrap();
    assert_eq!(cells.source_key(0, "m"), None);
    assert!(cells.get(0).unwrap().row("m").is_none());
    let missing: Vec<String> = cells
        .missing_keys()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        missing,
        [
            r#"a: has no layers key "umi|nothing""#,
            r#"c: has no layers key "umi|nothing""#
        ]
    );
    let from = FirstOf::new(["umis", "nothing"]);
    let cells = MappedCollection::builder(three())
        .layers_from([("m", from)])
        .open()
        .unwrap();
    assert_eq!(
        cells.missing_keys()[0].to_string(),
        r#"no store has layers key "umis|nothing": did you mean "umi"?"#
    );
}

#[test]
fn store_without_counts_is_an_error() {
    let stores = [store("a", &["g1", "g2"], &[0.0, 1.0, 0.5, 1.0]).array(
        "layers/counts",
        &[2, 2],
        Values::I32(vec![1, 2, 3, -4]),
    )];
    let counts = FirstOf::counts(["counts", "X"]);
    let error = MappedCollection::builder(stores)
        .layers_from([("n", counts)])
        .open();
    assert_eq!(
        error.unwrap_err().to_string(),
        "a: n: expected counts (whole numbers that are not negative) in one of counts, X, found \
         counts: -4 in row 1; X: 0.5 in row 1"
    );
}

#[test]
fn row_that_is_no_count_is_an_error_when_it_is_read() {
    // Of 100 rows, the sample has not the third.
    let mut x: Vec<f32> = (0..200).map(|i| i as f32).collect();
    x[7] = 0.25;
    let names = ["g1", "g2"];
    let open = |x: &[f32]| {
        let counts = FirstOf::counts(["X"]);
        let builder = MappedCollection::builder([store("a", &names, x)]);
        builder.layers_from([("counts", counts)]).open()
    };
    let cells = open(&x).unwrap();
    assert_eq!(dense(&cells, "counts", 4), [8.0, 9.0]);
    let expected = "row 3 of store 0 cannot be read: a: X: expected counts (whole numbers that are \
                    not negative), found 0.25";
    let error = cells.get(3).unwrap_err();
    assert_eq!(anndata_io::chain(&error).to_string(), expected);
    let error = cells.get_batch(&[1, 3, 2]).unwrap_err();
    assert_eq!(anndata_io::chain(&error).to_string(), expected);
    for output in [MatrixFormat::Dense, MatrixFormat::Csr] {
        let options = LoaderOptions::new(10)
            .shuffle(Shuffle::Exact)
            .output(output);
        let found: Vec<_> = cells.loader(options).unwrap().epoch(0).collect();
        let errors = found.iter().filter_map(|batch| batch.as_ref().err());
        let texts: Vec<_> = errors
            .map(|error| anndata_io::chain(error).to_string())
            .collect();
        assert_eq!(texts, [expected]);
    }
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        x[7] = bad;
        assert!(open(&x).unwrap().get(3).is_err());
    }
    // Of 16 rows or fewer, all are in the sample.
    x.truncate(32);
    assert!(open(&x).is_err());
    // Integers without a sign are counts.
    let store = MemoryStore::new("a")
        .dataframe("obs", &[])
        .dataframe("var", &["g"])
        .array("X", &[0, 1], Values::F32(vec![]));
    let counts = [("counts", FirstOf::counts(["X"]))];
    assert_eq!(
        MappedCollection::builder([store])
            .layers_from(counts)
            .open()
            .unwrap()
            .n_obs(),
        0
    );
}

#[test]
fn sparse_rows_are_checked_where_they_are_read_in_place() {
    let x = |values: Vec<f32>| {
        MemoryStore::new("a")
            .dataframe("obs", &["c1", "c2"])
            .dataframe("var", &["g1", "g2"])
            .csr("X", [2, 2], vec![0, 1, 2], vec![0, 1], Values::F32(values))
    };
    let open = |values| {
        let from = [("counts", FirstOf::counts(["X"]))];
        MappedCollection::builder([x(values)])
            .layers_from(from)
            .open()
    };
    assert!(open(vec![1.0, 0.5]).is_err());
    let cells = open(vec![1.0, 2.0]).unwrap();
    let format = mapped_collection::BatchFormat::new().output(MatrixFormat::Csr);
    let batch = cells.get_batch_with(&[0, 1], &format).unwrap();
    assert_eq!(
        batch.matrix("counts").unwrap().csr::<f32>().unwrap().nnz(),
        2
    );
}

#[test]
fn raw_without_names_is_refused_where_it_is_joined() {
    let store = |name: &str| {
        let raw = Values::F32(vec![1.0; 7]);
        store(name, &["g1", "g2"], &[1.0, 2.0])
            .group("raw")
            .array("raw/X", &[1, 7], raw)
    };
    let expected = "a: raw.X: expected a table raw/var with the names of its variables, found 7 columns \
                    without names";
    let builder = || MappedCollection::builder([store("a"), store("b")]);
    let error = builder()
        .layers(["raw.X"])
        .genes(["g1"])
        .open()
        .unwrap_err();
    assert_eq!(error.to_string(), expected);
    let from = [("m", FirstOf::new(["raw.X", "X"]))];
    let error = builder()
        .layers_from(from)
        .join(Join::Outer)
        .open()
        .unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        builder()
            .layers(["raw.X"])
            .open()
            .unwrap()
            .get(0)
            .unwrap()
            .row("raw.X")
            .unwrap()
            .shape(),
        [7]
    );
}

#[test]
fn key_without_elements_is_an_error() {
    let from = [("m", FirstOf::new([""; 0]))];
    let error = MappedCollection::builder(three())
        .layers_from(from)
        .open()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"layers: expected at least one element to take "m" from, found none"#
    );
}

fn labelled(name: &str, labels: Values) -> MemoryStore {
    store(name, &["g1", "g2"], &[1.0, 2.0, 3.0, 4.0]).array("obs/kind", &[2], labels)
}

#[test]
fn label_map_knows_whole_floats_and_its_own_new_labels() {
    let stores = || {
        let texts = store("c", &["g1", "g2"], &[1.0, 2.0, 3.0, 4.0]).texts("obs/kind", &["A", "B"]);
        [
            labelled("a", Values::I64(vec![1, 2])),
            labelled("b", Values::F64(vec![1.0, f64::NAN])),
            texts,
        ]
    };
    let labels = |unmapped| {
        let builder = MappedCollection::builder(stores()).obs(["kind"]);
        let builder = builder.label_map("kind", [("1", "A"), ("2", "B")]);
        let cells = builder.unmapped(unmapped).open().unwrap();
        let labels = cells.merged_labels("kind").unwrap();
        labels
            .iter()
            .map(|label| label.map_or("-".into(), ToString::to_string))
            .collect::<Vec<_>>()
    };
    for unmapped in [Unmapped::Keep, Unmapped::Missing, Unmapped::Error] {
        assert_eq!(labels(unmapped), ["A", "B", "A", "-", "A", "B"]);
    }
}

#[test]
fn label_of_a_map_that_no_store_has_is_told() {
    let stores = [labelled("a", Values::I64(vec![11, 22]))];
    let cells = MappedCollection::builder(stores).obs(["kind"]);
    let cells = cells
        .label_map("kind", [("11", "A"), ("222", "B")])
        .open()
        .unwrap();
    let told: Vec<String> = cells
        .unmatched_labels()
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected =
        r#"label_map: no store has the label "222" in the obs key "kind": did you mean "22"?"#;
    assert_eq!(told, [expected]);
}
