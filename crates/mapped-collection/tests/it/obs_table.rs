//! Columns of obs from a table outside the files.

use std::fs;

use mapped_collection::{
    BatchColumn, Codes, ColumnRows, ColumnValues, EncodedColumn, Error, FilterValue, LoaderOptions,
    MISSING_CODE, MappedCollection, MappedCollectionBuilder, MemoryStore, ObsTable, OpenError,
    Shuffle, SplitBy, SplitOptions, TableColumn, Totals, Transform, Unmapped, Values,
};

fn store(name: &str, cells: &[&str]) -> MemoryStore {
    let x = (1..=cells.len()).map(|value| value as f32).collect();
    MemoryStore::new(name)
        .dataframe("obs", cells)
        .dataframe("var", &["g"])
        .array("X", &[cells.len() as u64, 1], Values::F32(x))
}

/// Two stores; `a` has a column of its own.
fn stores() -> [MemoryStore; 2] {
    let a = store("dir/a.h5ad", &["a1", "a2", "a3"]);
    let a = a.categorical("obs/kind", vec![0, 0, 1], &["old", "older"]);
    [a, store("dir/b.h5ad", &["b1", "b2"])]
}

fn table() -> ObsTable {
    ObsTable::new(["b2", "zz", "a3", "a1", "b1"])
        .column(
            "kind",
            [Some("T"), Some("other"), None, Some("B"), Some("T")],
        )
        .column("n", Values::I64(vec![20, 0, 3, 1, 10]))
        .column("score", Values::F32(vec![0.2, 0.0, f32::NAN, 0.1, 0.5]))
}

fn builder(table: ObsTable) -> MappedCollectionBuilder {
    MappedCollection::builder(stores()).obs_table(table)
}

fn open(table: ObsTable) -> MappedCollection {
    let keys = ["kind", "n", "score"];
    builder(table).obs(keys).open().expect("valid")
}

fn texts(cells: &MappedCollection, key: &str) -> Vec<String> {
    let labels = cells.merged_labels(key).expect("a column");
    let texts = labels
        .iter()
        .map(|label| label.map_or("-".to_owned(), |l| l.to_string()));
    texts.collect()
}

fn error(builder: MappedCollectionBuilder) -> String {
    builder.open().expect_err("it must not open").to_string()
}

#[test]
fn columns_of_the_table_are_obs_keys() {
    let cells = open(table());
    // That of the table comes before that of the file; a2 has no row, and the row of a3 no label.
    assert_eq!(texts(&cells, "kind"), ["B", "-", "-", "T", "T"]);
    assert_eq!(texts(&cells, "n"), ["1", "-", "3", "10", "20"]);
    assert_eq!(texts(&cells, "score"), ["0.1", "-", "-", "0.5", "0.2"]);
    assert_eq!(cells.not_in_table(), Some(vec![1, 0]));
    // No cell has the label "other".
    let classes = cells.encoder("kind").expect("encoded").classes();
    assert!(classes.iter().map(ToString::to_string).eq(["B", "T"]));
    let batch = cells.get_batch(&[4, 1, 0]).unwrap();
    assert_eq!(batch.codes("kind"), Some(&[1, MISSING_CODE, 0][..]));
    assert_eq!(batch.codes("n"), Some(&[3, MISSING_CODE, 0][..]));
    let Some(BatchColumn::Numbers { values, .. }) = batch.column("score") else {
        panic!("no numbers");
    };
    let Values::F32(scores) = values else {
        panic!("not float32");
    };
    assert!(scores[0] == 0.2 && scores[1].is_nan() && scores[2] == 0.1);
    assert_eq!(cells.get(3).unwrap().code("kind"), Some(1));
    let again = cells.fork().unwrap();
    assert_eq!(texts(&again, "kind"), texts(&cells, "kind"));
    assert_eq!(
        MappedCollection::builder(stores())
            .open()
            .unwrap()
            .not_in_table(),
        None
    );
}

#[test]
fn whatever_takes_an_obs_key_takes_one_of_the_table() {
    let cells = builder(table())
        .obs_from([("type", ["cell_type", "kind"])])
        .label_map("type", [("T", "lymphocyte"), ("B", "lymphocyte")])
        .open()
        .unwrap();
    assert_eq!(texts(&cells, "type")[3], "lymphocyte");
    assert_eq!(cells.source_key(0, "type").as_deref(), Some("kind"));
    let cells = builder(table())
        .filter("kind", ["T"])
        .filter("n", [10])
        .open()
        .unwrap();
    assert_eq!(cells.obs_names(&[0]).unwrap(), ["b1"]);
    assert_eq!((cells.n_obs(), cells.not_in_table()), (1, Some(vec![0, 0])));
    let missing = builder(table())
        .filter("kind", [FilterValue::Missing])
        .open()
        .unwrap();
    assert_eq!(missing.obs_names(&[0, 1]).unwrap(), ["a2", "a3"]);
    let cells = builder(table()).open().unwrap();
    // Of keys that are not read, too.
    let weights = cells.label_weights(["kind"]).unwrap().weights(None);
    assert_eq!(weights, [1.0, 0.5, 0.5, 0.5, 0.5]);
    assert_eq!(cells.merged_categories("kind").unwrap().len(), 2);
    let error = cells.merged_labels("kinds").unwrap_err().to_string();
    assert!(error.contains("did you mean \"kind\"?"), "{error}");
    let split = SplitOptions::new([0.5, 0.5]).by(SplitBy::Grouped("kind".into()));
    assert_eq!(
        cells
            .split(&split)
            .unwrap()
            .iter()
            .map(Vec::len)
            .sum::<usize>(),
        5
    );
    let cells = builder(table())
        .obs(["kind"])
        .encode_labels(["kind"])
        .unknown_label("kind", "T")
        .open()
        .unwrap();
    let sampler = cells.balanced_sampler("kind").unwrap();
    let options = LoaderOptions::new(2)
        .sampler(sampler)
        .shuffle(Shuffle::Exact);
    for batch in cells.loader(options).unwrap().epoch(0) {
        assert!(
            batch
                .unwrap()
                .codes("kind")
                .unwrap()
                .iter()
                .all(|&code| code >= -1)
        );
    }
    assert_eq!(cells.get(3).unwrap().code("kind"), Some(-1));
    let misspelt = builder(table()).obs(["scores"]).open().unwrap();
    assert_eq!(misspelt.missing_keys()[0].nearest.as_deref(), Some("score"));
    let unmatched = builder(table()).filter("kind", ["t"]).open().unwrap();
    assert_eq!(unmatched.unmatched_labels().len(), 1);
}

#[test]
fn totals_come_from_the_table() {
    let normalize = |key: &str| Transform::NormalizeTotal {
        target: 30.0.into(),
        totals: Totals::ObsKey(key.to_owned()),
    };
    let cells = builder(table())
        .transforms("X", [normalize("n")])
        .open()
        .unwrap();
    let row = |row: i64| {
        cells
            .get(row)
            .unwrap()
            .row("X")
            .unwrap()
            .dense::<f32>()
            .unwrap()
            .to_vec()
    };
    assert_eq!((row(0), row(4)), (vec![30.0], vec![3.0]));
    let error = cells.get(1).expect_err("it has no total").to_string();
    assert!(error.contains("row 1"), "{error}");
    let error = self::error(builder(table()).transforms("X", [normalize("kind")]));
    assert!(
        error.contains("obs_table/kind") && error.ends_with("found texts"),
        "{error}"
    );
}

#[test]
fn cells_are_known_by_store_and_name() {
    let stores = || {
        [
            store("x/a.h5ad", &["1", "2"]),
            store("x/b.zarr", &["1", "2"]),
        ]
    };
    let table = ObsTable::new(["1", "1", "2", "1"])
        .column("dataset", ["a.h5ad", "b", "x/a.h5ad", "another"])
        .column("kind", ["p", "q", "r", "s"]);
    let of = |table: ObsTable| {
        MappedCollection::builder(stores())
            .obs_table(table)
            .obs(["kind"])
    };
    let error = of(table.clone()).open().unwrap_err().to_string();
    assert!(
        error.contains("each cell once, found \"1\" twice"),
        "{error}"
    );
    let cells = of(table.clone().store_column("dataset")).open().unwrap();
    assert_eq!(texts(&cells, "kind"), ["p", "r", "q", "-"]);
    assert_eq!(texts(&cells, "dataset"), ["a.h5ad", "x/a.h5ad", "b", "-"]);
    assert_eq!(cells.not_in_table(), Some(vec![0, 1]));
    let given = table.clone().stores(["a", "b", "a", "c"]);
    assert_eq!(
        texts(&of(given).open().unwrap(), "kind"),
        ["p", "r", "q", "-"]
    );
    let twice = ObsTable::new(["1", "1"]).stores(["a", "a"]);
    assert!(
        self::error(of(twice)).contains("each cell of a store once, found \"1\" of \"a\" twice")
    );
    let two_names = ObsTable::new(["1", "1"]).stores(["a", "a.h5ad"]);
    assert!(self::error(of(two_names)).contains("x/a.h5ad: obs: expected one row of obs_table"));
    assert!(
        self::error(of(table.clone().stores(["A", "b", "b", "b"])))
            .contains("did you mean \"a.h5ad\"?")
    );
    assert!(self::error(of(table.store_column("data_set"))).contains("did you mean \"dataset\"?"));
    let numbers = ObsTable::new(["1", "2"]).column("n", Values::I64(vec![7, 8]));
    let cells = MappedCollection::builder([store("7.h5ad", &["1"]), store("8.h5ad", &["2"])])
        .obs_table(numbers.store_column("n"))
        .open()
        .unwrap();
    assert_eq!(cells.not_in_table(), Some(vec![0, 0]));
    let no_store = ObsTable::new(["1", "2"])
        .column("s", [Some("a"), None])
        .store_column("s");
    assert!(self::error(of(no_store)).contains("found none for the cell \"2\" (row 1)"));
}

#[test]
fn names_that_mean_two_cells_are_errors_only_if_the_table_has_them() {
    let two = || [store("a", &["1", "2", "2"]), store("b", &["1", "3"])];
    let of = |cells: &[&str]| MappedCollection::builder(two()).obs_table(ObsTable::new(cells));
    let shared = of(&["1"]).open().unwrap_err();
    assert!(
        matches!(shared, Error::Open(OpenError::SharedCellName { .. })),
        "{shared}"
    );
    assert!(
        shared
            .to_string()
            .contains("give the column of the table that names the stores")
    );
    assert!(error(of(&["2"])).contains("a: obs: expected different names of the cells"));
    assert!(error(of(&["2"])).ends_with("found \"2\" in row 1 and in row 2"));
    assert_eq!(of(&["3"]).open().unwrap().not_in_table(), Some(vec![3, 1]));
}

#[test]
fn table_without_any_cell_is_an_error() {
    let error = error(builder(ObsTable::new(["x1", "x2"])));
    assert!(
        error.contains("such as \"a1\", \"a2\", \"a3\" (dir/a.h5ad), found \"x1\", \"x2\""),
        "{error}"
    );
    let named = ObsTable::new(["x1", "a1", "b1"]).stores(["a", "other", "a"]);
    let error = self::error(builder(named));
    assert!(
        error.contains("found \"x1\", \"b1\": no row is that of a cell"),
        "{error}"
    );
    let other = self::error(builder(ObsTable::new(["a1"]).stores(["q"])));
    assert!(
        other.contains("such as \"a.h5ad\", \"b.h5ad\", found \"q\""),
        "{other}"
    );
    assert!(
        self::error(builder(ObsTable::new(["a1"]).column("x", ["a", "b"]))).contains("1 labels")
    );
}

#[test]
fn columns_keep_their_types() {
    let labels = EncodedColumn {
        categories: ColumnValues::Texts(["unused", "A", "B"].into_iter().collect()),
        codes: Codes::new(3, [Some(1), None, Some(2)].into_iter()),
    };
    let nullable = ColumnRows {
        values: ColumnValues::Numbers(Values::U8(vec![5, 0, 7])),
        valid: Some(vec![true, false, true]),
    };
    let table = ObsTable::new(["a1", "a2", "b1"])
        .column("c", labels)
        .column("n", nullable)
        .column(
            "t",
            TableColumn::from(["x".to_owned(), "y".into(), "x".into()].to_vec()),
        );
    let cells = builder(table)
        .obs(["c", "n", "t"])
        .encode_labels(["c"])
        .open()
        .unwrap();
    // A category is a class even without a row, as in files.
    assert_eq!(cells.encoder("c").unwrap().n_classes(), 3);
    assert_eq!(texts(&cells, "c"), ["A", "-", "-", "B", "-"]);
    let batch = cells.get_batch(&[0, 1, 3, 4]).unwrap();
    let numbers = BatchColumn::Numbers {
        values: Values::U8(vec![5, 0, 7, 0]),
        valid: vec![true, false, true, false],
    };
    assert_eq!(batch.column("n"), Some(&numbers));
    let some = |text: &str| Some(text.to_owned());
    let expected = BatchColumn::Texts(vec![some("x"), some("y"), some("x"), None]);
    assert_eq!(batch.column("t"), Some(&expected));
    cells.close();
    assert!(
        cells
            .merged_labels("n")
            .is_err_and(|error| error.is_closed())
    );
}

#[test]
fn unmapped_label_of_the_table_names_its_place() {
    let error = error(
        builder(table())
            .obs(["kind"])
            .label_map("kind", [("T", "t")])
            .unmapped(Unmapped::Error),
    );
    assert!(
        error.starts_with("dir/a.h5ad: obs_table/kind: expected labels"),
        "{error}"
    );
    assert!(error.ends_with("found \"B\" in row 0"), "{error}");
}

#[test]
fn names_are_read_only_for_a_table_that_needs_them() {
    let hooked = |name: &str| {
        store(name, &["1"]).before_read(|element| match element {
            "obs/_index" => Err(std::io::Error::other("names were read")),
            _ => Ok(()),
        })
    };
    MappedCollection::builder([hooked("a")])
        .open()
        .expect("no names are needed");
    let failing = MappedCollection::builder([hooked("a")]).obs_table(ObsTable::new(["1"]));
    assert!(
        anndata_io::chain(&failing.open().unwrap_err())
            .to_string()
            .contains("names were read")
    );
    let table = ObsTable::new(["1"]).column("k", ["x"]).stores(["b"]);
    let cells = MappedCollection::builder([hooked("a"), store("b", &["1"])]).obs_table(table);
    assert_eq!(texts(&cells.obs(["k"]).open().unwrap(), "k"), ["-", "x"]);
}

#[test]
fn tables_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let csv = "\u{feff}n,cell,kind,code,ok\n1,a1,\"T, or B\",007,true\n,b1,,8,False\n";
    for (name, text) in [
        ("t.csv", csv.to_owned()),
        (
            "t.tsv",
            "n\tcell\tkind\tcode\tok\n1\ta1\t\"T, or B\"\t007\tTRUE\n\tb1\t\t8\tfalse\n".into(),
        ),
        (
            "semicolon.csv",
            "n;cell;kind;code;ok\n1;a1;\"T, or B\";007;true\n;b1;;8;false\n".into(),
        ),
    ] {
        let table = ObsTable::from_file(written(name, &text), Some("cell")).unwrap();
        assert!(
            table.column_names().eq(["n", "kind", "code", "ok"]),
            "{name}"
        );
        let cells = builder(table)
            .obs(["n", "kind", "code", "ok"])
            .encode_labels(false);
        let batch = cells.open().unwrap().get_batch(&[0, 3]).unwrap();
        let valid = vec![true, false];
        let values = Values::I64(vec![1, 0]);
        assert_eq!(
            batch.column("n"),
            Some(&BatchColumn::Numbers { values, valid })
        );
        let texts = |texts: [Option<&str>; 2]| {
            BatchColumn::Texts(texts.map(|text| text.map(str::to_owned)).to_vec())
        };
        assert_eq!(
            batch.column("kind"),
            Some(&texts([Some("T, or B"), None])),
            "{name}"
        );
        assert_eq!(batch.column("code"), Some(&texts([Some("007"), Some("8")])));
        let Some(BatchColumn::Numbers {
            values: Values::Bool(ok),
            ..
        }) = batch.column("ok")
        else {
            panic!("no booleans");
        };
        assert_eq!((ok[0].0, ok[1].0), (1, 0));
    }
    let path = written("first.csv", ",kind\na1,T\n");
    let argument = path.display().to_string();
    let cells = builder(ObsTable::from_argument(&argument).unwrap())
        .obs(["kind"])
        .open()
        .unwrap();
    assert_eq!(texts(&cells, "kind")[0], "T");
    let error = |name: &str, text: &str, column: Option<&str>| {
        let error = ObsTable::from_file(written(name, text), column)
            .unwrap_err()
            .to_string();
        error.rsplit('/').next().unwrap().to_owned()
    };
    let many = "a,b\n1,2\n";
    assert_eq!(
        error("e.csv", many, Some("c")),
        "e.csv: expected one column \"c\", found the columns \"a\", \"b\""
    );
    assert_eq!(
        error("e.csv", "cell,k\na1,T\n,B\n", Some("cell")),
        "e.csv: line 3: expected a cell name in \"cell\", found nothing"
    );
    assert!(error("e.csv", "cell,k,k\na1,1,2\n", None).ends_with("found \"k\" twice"));
    assert!(
        error("e.csv", "cell,k\na1\n", None).starts_with("e.csv: line 2: expected a line with")
    );
    assert!(error("e.csv", "cell,k\na1,\"x\n", None).contains("quotes that are closed"));
    assert!(error("e.csv", "", None).contains("a line with names of columns"));
    assert!(error("e.txt", many, None).contains("found .txt"));
    assert!(error("e.json", "{}", None).contains(".csv, .tsv or .parquet"));
    fs::write(folder.path().join("g.csv"), [0x1f, 0x8b, 8, 0]).unwrap();
    let gzip = ObsTable::from_file(folder.path().join("g.csv"), None)
        .unwrap_err()
        .to_string();
    assert!(gzip.contains("decompress the file first"), "{gzip}");
    fs::write(folder.path().join("l.csv"), b"cell,k\na1,\xff\n").unwrap();
    let latin = ObsTable::from_file(folder.path().join("l.csv"), None)
        .unwrap_err()
        .to_string();
    assert!(latin.contains("line 2: expected text in UTF-8"), "{latin}");
    assert!(
        ObsTable::from_file("nowhere.csv", None)
            .unwrap_err()
            .is_not_found()
    );
    assert!(ObsTable::from_argument("https://x/y.csv").is_err());
}

#[test]
fn table_beside_files_on_disk() {
    let paths = ["base_a_csr.h5ad", "base_b_csr_v3.zarr"].map(crate::store);
    let plain = MappedCollection::builder(&paths).open().unwrap();
    let all: Vec<i64> = (0..plain.n_obs() as i64).collect();
    let names = plain.obs_names(&all).unwrap();
    let numbers: Vec<String> = (0..names.len())
        .map(|i| format!("label {}", i % 4))
        .collect();
    // Backwards, and with every cell of each store under its file name.
    let stores = all
        .iter()
        .map(|&row| match plain.locate(row).unwrap().store {
            0 => "base_a_csr",
            _ => "base_b_csr_v3.zarr",
        });
    let table = ObsTable::new(names.iter().rev())
        .column(
            "label",
            numbers.iter().rev().cloned().collect::<Vec<String>>(),
        )
        .stores(stores.rev());
    let cells = MappedCollection::builder(&paths)
        .obs(["label"])
        .obs_table(table)
        .open()
        .unwrap();
    assert_eq!(texts(&cells, "label"), numbers);
    assert_eq!(cells.not_in_table(), Some(vec![0, 0]));
}
