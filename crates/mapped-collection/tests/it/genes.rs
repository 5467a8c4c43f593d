//! Joins by given genes, by columns of var, and by names that are changed before.

use std::num::NonZeroU64;

use mapped_collection::{
    Duplicates, Error, GeneList, Join, LoaderOptions, MappedCollection, MappedCollectionBuilder,
    MatrixFormat, MemoryStore, NameMismatch, OpenError, Shuffle, Values, read_pairs,
};

/// A store of two cells whose values tell cell and column: 10, 11, … and 20, 21, …
fn store(name: &str, genes: &[&str], sparse: bool) -> MemoryStore {
    let n = genes.len();
    let store = MemoryStore::new(name)
        .dataframe("obs", &["c1", "c2"])
        .dataframe("var", genes);
    let values: Vec<f32> = (0..2 * n)
        .map(|i| (10 + 10 * (i / n) + i % n) as f32)
        .collect();
    if !sparse {
        return store.array("X", &[2, n as u64], Values::F32(values));
    }
    let columns: Vec<i32> = (0..2 * n).map(|i| (i % n) as i32).collect();
    let starts = vec![0, n as i64, 2 * n as i64];
    store.csr("X", [2, n as u64], starts, columns, Values::F32(values))
}

/// The rows of X: as items, as a batch, and as an epoch, which must all be equal.
fn rows(builder: MappedCollectionBuilder) -> Vec<Vec<f32>> {
    let cells = builder.open().unwrap();
    let n = cells.n_obs();
    let item = |row: usize| {
        let item = cells.get(row as i64).unwrap();
        item.row("X").unwrap().dense::<f32>().unwrap().to_vec()
    };
    let items: Vec<Vec<f32>> = (0..n).map(item).collect();
    let width = items[0].len();
    let all: Vec<i64> = (0..n as i64).collect();
    let batch = cells.get_batch(&all).unwrap();
    assert_eq!(batch.x().unwrap().dense::<f32>().unwrap(), items.concat());
    for (output, memory) in [
        (MatrixFormat::Csr, 1 << 30),
        (MatrixFormat::Dense, 1 << 30),
        (MatrixFormat::Csr, (64 << 20) + 4096),
        (MatrixFormat::Dense, (64 << 20) + 4096),
    ] {
        let options = LoaderOptions::new(n)
            .shuffle(Shuffle::None)
            .output(output)
            .memory(memory);
        let batches = cells.loader(options).unwrap().epoch(0).map(Result::unwrap);
        let mut rows = Vec::new();
        for batch in batches {
            let x = batch.x().unwrap();
            assert_eq!(x.shape()[1], width);
            let Values::F32(values) = x.to_dense() else {
                panic!("float32 stores")
            };
            rows.extend(values);
        }
        assert_eq!(rows, items.concat());
    }
    items
}

fn given(genes: &[&str], sparse: bool) -> MappedCollectionBuilder {
    let stores = [
        store("a", &["x", "b", "c"], sparse),
        store("b", &["c", "d"], sparse),
    ];
    MappedCollection::builder(stores).genes(GeneList::new(genes))
}

#[test]
fn given_genes_are_the_columns_in_their_order() {
    for sparse in [false, true] {
        assert_eq!(
            rows(given(&["d", "c", "zz", "x"], sparse)),
            [
                [0., 12., 0., 10.],
                [0., 22., 0., 20.],
                [11., 10., 0., 0.],
                [21., 20., 0., 0.]
            ]
        );
    }
    let cells = given(&["d", "c", "zz", "x"], true).open().unwrap();
    assert_eq!(
        (cells.join(), cells.join_vars()),
        (Some(Join::Given), Some(Join::Given))
    );
    assert_eq!(cells.shape(), (4, Some(4)));
    assert!(cells.var_joint().unwrap().iter().eq(["d", "c", "zz", "x"]));
    assert_eq!(
        cells.var_indices().unwrap(),
        [vec![-1, 2, -1, 0], vec![1, 0, -1, -1]]
    );
    assert_eq!(cells.presence(1), Some(vec![true, true, false, false]));
    let fractions: Vec<f64> = cells.gene_overlaps().iter().map(|o| o.fraction()).collect();
    assert_eq!(fractions, [2. / 3., 1.]);
    assert!(cells.low_overlaps().is_empty());
}

#[test]
fn single_store_is_joined_to_given_genes() {
    let one = MappedCollection::builder([store("a", &["x", "b", "c"], true)]);
    assert_eq!(rows(one.genes(["c", "x"])), [[12., 10.], [22., 20.]]);
}

#[test]
fn raw_has_the_given_genes_and_obsm_does_not() {
    let raw = |name: &str, genes: &[&str]| {
        let values = (0..2 * genes.len()).map(|i| i as f32).collect();
        store(name, &["b"], false)
            .group("raw")
            .dataframe("raw/var", genes)
            .array("raw/X", &[2, genes.len() as u64], Values::F32(values))
            .array("obsm/pca", &[2, 3], Values::F32(vec![1.0; 6]))
    };
    let open = |layers: &[&str]| {
        let stores = [raw("a", &["b", "c"]), raw("b", &["d", "c", "b"])];
        let builder = MappedCollection::builder(stores).layers(layers.iter().copied());
        builder.obsm(["pca"]).genes(["c", "b"]).open().unwrap()
    };
    let cells = open(&["raw.X", "X"]);
    let item = cells.get(3).unwrap();
    assert_eq!(item.row("raw.X").unwrap().dense::<f32>().unwrap(), [4., 5.]);
    assert_eq!(item.row("X").unwrap().dense::<f32>().unwrap(), [0., 20.]);
    assert_eq!(item.row("obsm_pca").unwrap().shape(), [3]);
    // The attributes are those of the first matrix.
    assert_eq!(cells.var_indices().unwrap()[1], [1, 2]);
    assert_eq!(cells.presence(0), Some(vec![true, true]));
    assert_eq!(cells.presence_of("X", 0), Some(vec![false, true]));
    assert_eq!(cells.presence_of("obsm_pca", 0), None);
    assert_eq!(cells.gene_overlaps().len(), 4);
    assert!(cells.var_list().unwrap()[1].iter().eq(["d", "c", "b"]));
    // Without X, its genes do not matter.
    let cells = open(&["raw.X"]);
    assert_eq!(cells.gene_overlaps().len(), 2);
    // Batches are possible where raw has one width in each store.
    assert_eq!(
        cells
            .get_batch(&[0, 3])
            .unwrap()
            .matrix("raw.X")
            .unwrap()
            .shape(),
        [2, 2]
    );
}

#[test]
fn given_genes_that_make_no_sense_are_errors() {
    let text = |builder: MappedCollectionBuilder| builder.open().unwrap_err().to_string();
    assert_eq!(
        text(given(&["c", "d", "c"], false)),
        r#"genes: expected distinct names, found "c" more than once"#
    );
    assert_eq!(
        text(given(&[], false)),
        "genes: expected at least one name, found none"
    );
    for join in [None, Some(Join::Outer)] {
        let text = text(given(&["c"], false).join(join));
        assert!(
            text.starts_with("join: expected its default beside .genes(..)"),
            "{text}"
        );
    }
    let text_of = text(given(&["c"], false).min_overlap(f64::NAN));
    assert_eq!(
        text_of,
        "min_overlap: expected a fraction from 0 to 1, found NaN"
    );
    let stores = [store("a", &["x"], false)];
    let text_of = text(MappedCollection::builder(stores).join(Join::Given));
    assert!(
        text_of.starts_with("genes: expected a list of genes"),
        "{text_of}"
    );
}

#[test]
fn low_overlap_is_listed_and_none_is_an_error() {
    let cells = given(&["x", "b", "d", "y", "z"], false).open().unwrap();
    let low: Vec<String> = cells
        .low_overlaps()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(low, [""; 0]);
    let cells = given(&["x", "b", "d", "y", "z"], false).min_overlap(0.6);
    let low = cells.open().unwrap().low_overlaps().to_vec();
    assert_eq!(low.len(), 1);
    assert_eq!(
        low[0].to_string(),
        r#"b: var: has 1 of the 5 given genes, an overlap of 50 % (2 genes); given "x", "b", "y", "z", found "c""#
    );
    let error = given(&["x", "b"], false).open().unwrap_err();
    let Error::Open(OpenError::NoOverlap(low)) = &error else {
        panic!("{error}")
    };
    assert_eq!(low.overlap.n_found, 0);
    assert!(
        error
            .to_string()
            .starts_with("b: var: has none of the 2 given genes (2 genes)")
    );
}

/// Symbols as the index, and ids with versions in a column; some genes have no id.
fn symbols(name: &str) -> MemoryStore {
    let ids = [
        "ENSG00000141510.16",
        "",
        "ENSG00000010610.9",
        "ENSG00000136997.2",
    ];
    store(name, &["TP53", "Spike", "CD4", "MYC"], true).texts("var/ensembl_id", &ids)
}

fn ids(name: &str) -> MemoryStore {
    store(
        name,
        &["ENSG00000010610", "ENSG00000136997", "ENSG00000099999"],
        true,
    )
}

#[test]
fn stores_are_joined_by_a_column() {
    let builder = || MappedCollection::builder([symbols("a"), ids("b")]);
    let by_key = || {
        builder()
            .var_key(["ensembl_id", "_index"])
            .strip_version(true)
    };
    assert_eq!(rows(by_key())[0], [12., 13.]);
    assert_eq!(rows(by_key())[2], [10., 11.]);
    let cells = by_key().join(Join::Outer).open().unwrap();
    let names = [
        "ENSG00000010610",
        "ENSG00000099999",
        "ENSG00000136997",
        "ENSG00000141510",
    ];
    assert!(cells.var_joint().unwrap().iter().eq(names));
    // The spike has no id, and is dropped.
    assert_eq!(cells.var_indices().unwrap()[0], [3, -1, 0, 2]);
    assert!(cells.var_list().unwrap()[0].iter().eq([
        "ENSG00000141510",
        "",
        "ENSG00000010610",
        "ENSG00000136997"
    ]));
    // Only the first store has the column.
    let of_store = builder().var_key_of(0, ["ensembl_id"]).strip_version(true);
    assert_eq!(rows(of_store)[3], [20., 21.]);
    let error = builder().var_key(["ensemble_id"]).open().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"a: var: expected one of the columns "ensemble_id" (or `_index` among them, for the index), found "ensembl_id": did you mean "ensembl_id"?"#
    );
    let error = builder().var_key_of(2, ["ensembl_id"]).open().unwrap_err();
    assert_eq!(
        error.to_string(),
        "var_key: expected numbers of stores, below 2, found 2"
    );
    // Given names may have versions, too.
    let cells = by_key()
        .genes(["ENSG00000136997.7", "ENSG00000099999.1"])
        .open()
        .unwrap();
    assert!(
        cells
            .var_joint()
            .unwrap()
            .iter()
            .eq(["ENSG00000136997.7", "ENSG00000099999.1"])
    );
    assert_eq!(cells.var_indices().unwrap(), [[3, -1], [1, 2]]);
}

#[test]
fn names_that_do_not_meet_are_explained() {
    let error = MappedCollection::builder([symbols("a"), ids("b")])
        .open()
        .unwrap_err();
    let Error::Open(OpenError::Disjoint {
        mismatch: Some(found),
    }) = &error
    else {
        panic!("{error}")
    };
    let NameMismatch::Column {
        column,
        strip_version,
        ..
    } = &found.mismatch
    else {
        panic!("{error}")
    };
    assert_eq!((&**column, *strip_version), ("ensembl_id", true));
    assert!(error.to_string().ends_with(
        r#"; a against b: its column "ensembl_id" has an overlap of 66 %: join by it (var_key), without versions (strip_version)"#
    ), "{error}");
    let outer = MappedCollection::builder([symbols("a"), ids("b")]).join(Join::Outer);
    let found = outer.open().unwrap().store_mismatch().unwrap().unwrap();
    assert_eq!(found.files.0.to_str(), Some("a"));
    let genes = ["ENSG00000141510", "ENSG00000010610", "CD4"];
    let cells = MappedCollection::builder([symbols("a")])
        .genes(genes)
        .open()
        .unwrap();
    let text = cells.low_overlaps()[0].to_string();
    assert!(text.contains(r#"its column "ensembl_id""#), "{text}");
}

#[test]
fn aliases_rename_the_genes_of_stores() {
    let stores = || {
        [
            store("a", &["SEPT1", "CD4"], false),
            store("b", &["CD4", "SEPTIN1"], false),
        ]
    };
    let builder = || MappedCollection::builder(stores()).aliases([("SEPT1", "SEPTIN1")]);
    assert_eq!(rows(builder())[2], [11., 10.]);
    assert_eq!(rows(builder().genes(["SEPTIN1"]))[0], [10.]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aliases.tsv");
    std::fs::write(&path, "SEPT1\tSEPTIN1\nSEPT2\tSEPTIN2\n").unwrap();
    let from_file = MappedCollection::builder(stores()).aliases(read_pairs(&path).unwrap());
    assert_eq!(rows(from_file)[2], [11., 10.]);
}

#[test]
fn repeated_names_are_refused_dropped_or_summed() {
    for sparse in [false, true] {
        let stores = || {
            [
                store("a", &["b", "c", "b", "d"], sparse),
                store("b", &["c", "b"], sparse),
            ]
        };
        let builder = |duplicates| MappedCollection::builder(stores()).duplicates(duplicates);
        let error = builder(Duplicates::Error).open().unwrap_err();
        assert!(error.to_string().contains(r#"found "b" twice"#), "{error}");
        assert_eq!(
            rows(builder(Duplicates::First))[..2],
            [[10., 11.], [20., 21.]]
        );
        assert_eq!(
            rows(builder(Duplicates::Sum))[..3],
            [[22., 11.], [42., 21.], [11., 10.]]
        );
        let given = builder(Duplicates::Sum).genes(["d", "b"]);
        assert_eq!(rows(given)[..3], [[13., 22.], [23., 42.], [0., 11.]]);
        let outer = builder(Duplicates::Sum).join(Join::Outer);
        assert_eq!(
            rows(outer)[..3],
            [[22., 11., 13.], [42., 21., 23.], [11., 10., 0.]]
        );
    }
    // Names that become one by stripping or aliases are repeated, too.
    let store = || store("a", &["ENSG00000141510.1", "ENSG00000141510.2", "x"], true);
    let builder = || MappedCollection::builder([store()]).strip_version(true);
    let genes = ["ENSG00000141510"];
    assert!(builder().genes(genes).open().is_err());
    assert_eq!(
        rows(builder().genes(genes).duplicates(Duplicates::Sum)),
        [[21.], [41.]]
    );
    assert_eq!(
        rows(builder().duplicates(Duplicates::Sum)),
        [[21., 12.], [41., 22.]]
    );
}

/// X of the first cell.
fn first_row<T: anndata_io::Scalar>(cells: &MappedCollection) -> Vec<T> {
    let item = cells.get(0).unwrap();
    item.row("X").unwrap().dense::<T>().unwrap().to_vec()
}

#[test]
fn sum_that_does_not_fit_is_an_error() {
    let store = MemoryStore::new("a")
        .dataframe("obs", &["c1", "c2"])
        .dataframe("var", &["b", "b"])
        .array("X", &[2, 2], Values::U8(vec![1, 2, 200, 56]));
    let builder = || {
        let builder = MappedCollection::builder([store.clone()]);
        builder.genes(["b"]).duplicates(Duplicates::Sum)
    };
    let cells = builder().open().unwrap();
    assert_eq!(first_row::<u8>(&cells), [3]);
    let expected = "row 1 of store 0 cannot be read: a: X: expected a sum of the variables \"b\" that \
                    uint8 can hold, found 256: choose a wider dtype";
    let error = cells.get(1).unwrap_err();
    assert_eq!(anndata_io::chain(&error).to_string(), expected);
    let error = cells.get_batch(&[0, 1]).unwrap_err();
    assert_eq!(anndata_io::chain(&error).to_string(), expected);
    let wide = builder()
        .dtype(mapped_collection::DType::U16)
        .open()
        .unwrap();
    assert_eq!(
        wide.get_batch(&[1])
            .unwrap()
            .x()
            .unwrap()
            .dense::<u16>()
            .unwrap(),
        [256]
    );
}

/// Chunks of one column: the parts of a sum arrive apart.
#[test]
fn sums_are_exact_however_rows_are_cut() {
    let one = |n| NonZeroU64::new(n).unwrap();
    let values = vec![2048.0, 1.0, 1.0, 7.0, 60000.0, 60000.0, -60000.0, 8.0];
    let values = values.into_iter().map(anndata_io::f16::from_f32).collect();
    for width in [1, 3, 4] {
        let store = MemoryStore::new("a")
            .dataframe("obs", &["c1", "c2"])
            .dataframe("var", &["a", "b", "c", "d"])
            .array("X", &[2, 4], Values::F16(Vec::clone(&values)))
            .chunks("X", &[one(2), one(width)]);
        let builder = MappedCollection::builder([store])
            .aliases([("b", "a"), ("c", "a")])
            .duplicates(Duplicates::Sum)
            .dtype(mapped_collection::DType::F32);
        assert_eq!(rows(builder), [[2050.0, 7.0], [60000.0, 8.0]]);
    }
    let store = MemoryStore::new("a")
        .dataframe("obs", &["c1"])
        .dataframe("var", &["a", "b"])
        .array("X", &[1, 2], Values::I8(vec![-1, 1]));
    let builder = MappedCollection::builder([store]);
    let builder = builder.aliases([("b", "a")]).duplicates(Duplicates::Sum);
    let cells = builder.dtype(mapped_collection::DType::U8).open().unwrap();
    assert_eq!(first_row::<u8>(&cells), [0]);
}

#[test]
fn column_without_any_name_is_an_error() {
    let store = store("a", &["x", "y"], false).texts("var/id", &["", ""]);
    let error = MappedCollection::builder([store])
        .var_key(["id"])
        .open()
        .unwrap_err();
    let expected = "a: var/id: expected names of variables, found no name";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn whole_floats_are_the_names_that_integers_are() {
    let with =
        |name: &str, values| store(name, &["x", "y"], false).array("var/entrez", &[2], values);
    let stores = [
        with("a", Values::I64(vec![7157, 920])),
        with("b", Values::F64(vec![f64::NAN, 7157.0])),
    ];
    let cells = MappedCollection::builder(stores)
        .var_key(["entrez"])
        .open()
        .unwrap();
    assert!(cells.var_joint().unwrap().iter().eq(["7157"]));
}

#[test]
fn aliases_leave_the_names_of_a_list_alone() {
    let genes = |list: &[&str]| {
        let stores = [store("a", &["OLD", "CD4"], false)];
        let builder = MappedCollection::builder(stores).aliases([("OLD", "NEW")]);
        rows(builder.genes(GeneList::new(list)))[0].clone()
    };
    assert_eq!(genes(&["OLD", "CD4"]), [10., 11.]);
    assert_eq!(genes(&["NEW", "CD4"]), [10., 11.]);
    assert_eq!(genes(&["OLD", "NEW", "CD4"]), [0., 10., 11.]);
}

#[test]
fn lists_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let read = |name: &str, text: &str, column: Option<&str>| {
        let list = GeneList::from_file(write(name, text), column, None);
        list.map(|list| list.names().iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let lines = "\u{feff}TP53\r\n\n  CD4 \nHLA-A";
    assert_eq!(
        read("a.txt", lines, None).unwrap(),
        ["TP53", "CD4", "HLA-A"]
    );
    let table = "id,name\n1,\"A,B\"\n2,C\n";
    assert_eq!(read("a.csv", table, Some("name")).unwrap(), ["A,B", "C"]);
    assert_eq!(
        read("a.csv", "id;name\n1;A\n", Some("name")).unwrap(),
        ["A"]
    );
    assert_eq!(
        read("a.tsv", "id\tname\n1\tA\n", Some("name")).unwrap(),
        ["A"]
    );
    assert_eq!(
        read("a.txt", "id\tname\n1\tA\n", Some("name")).unwrap(),
        ["A"]
    );
    let vocabulary = r#"{"B": 3, "<pad>": 0, "A": 1}"#;
    assert_eq!(read("a.json", vocabulary, None).unwrap(), ["A", "B"]);
    assert_eq!(read("a.json", r#"["B", "A"]"#, None).unwrap(), ["B", "A"]);

    let fails = |name: &str, text: &str, column: Option<&str>, ends: &str| {
        let error = read(name, text, column).unwrap_err().to_string();
        assert!(error.contains(name) && error.ends_with(ends), "{error}");
    };
    fails(
        "a.txt",
        "\n \n",
        None,
        "expected at least one name, found no name",
    );
    fails(
        "a.csv",
        table,
        None,
        r#"as in genes.csv:COLUMN, found the columns "id", "name""#,
    );
    let near =
        r#"expected one column "names" (did you mean "name"?), found the columns "id", "name""#;
    fails("a.csv", table, Some("names"), near);
    fails(
        "a.csv",
        "a,a\n1,2\n",
        Some("a"),
        r#"found the columns "a", "a""#,
    );
    fails(
        "a.csv",
        "a,b\n1,\n",
        Some("b"),
        r#"line 2: expected a name in "b", found nothing"#,
    );
    let unclosed = "line 3: expected quotes that are closed in the same line, found a field with a \
                    line break";
    fails("a.csv", "a,b\nA,x\nB,\"5 inch\nC,y\n", Some("a"), unclosed);
    let quote = "a\tb\nA\tx\nB\t\"5 inch\nC\ty\n";
    assert_eq!(read("a.tsv", quote, Some("a")).unwrap(), ["A", "B", "C"]);
    fails(
        "a.csv",
        "a,b\n1,2\n3\n",
        Some("b"),
        "but the previous record has 2 fields",
    );
    fails(
        "a.json",
        r#"{"A": 1.5}"#,
        None,
        r#""A": expected a whole number, found 1.5"#,
    );
    let error = read("a.json", r#"{"A": 1, "B": 1}"#, None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        r#"genes: expected distinct ids, found 1 for both "A" and "B""#
    );
    let path = write("a.csv", table);
    let argument = |column: &str| GeneList::from_argument(&format!("{}{column}", path.display()));
    assert!(argument(":name").unwrap().names().iter().eq(["A,B", "C"]));
    assert!(argument("").is_err());
    let error = GeneList::from_file(folder.path().join("no.txt"), None, None).unwrap_err();
    assert!(error.is_not_found());
    let path = folder.path().join("a.txt");
    std::fs::write(&path, [0x1f, 0x8b, 0, 0]).unwrap();
    let error = GeneList::from_file(&path, None, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("found gzip: decompress the file first"),
        "{error}"
    );
    std::fs::write(&path, [b'a', 0xff]).unwrap();
    let error = GeneList::from_file(&path, None, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("expected text in UTF-8, found other bytes at 1"),
        "{error}"
    );
}

#[test]
fn alias_tables_name_their_faulty_lines() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |name: &str, text: &str, ends: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = read_pairs(&path).unwrap_err().to_string();
        assert!(error.ends_with(ends), "{error}");
    };
    let twice = r#"line 3: expected one new name for "A", found "B" and "C""#;
    fails("a.csv", "A,B\nX,Y\nA,C\n", twice);
    fails(
        "a.txt",
        "A\tB\nX\n",
        r#"line 2: expected two names, the old and the new one, found ["X"]"#,
    );
    fails(
        "a.json",
        r#"{"A": "B", "A": "C"}"#,
        r#""A": expected one new name for "A", found "B" and "C""#,
    );
    let unclosed = "line 2: expected quotes that are closed in the same line, found a field with a line \
                    break";
    fails("a.csv", "A,B\nX,\"Y\nC,D\n", unclosed);
    fails("a.json", r#"{"A": 3}"#, r#""A": expected a name, found 3"#);
    fails(
        "a.json",
        r#"["A"]"#,
        "expected an object of old and new names, found an array",
    );
}
