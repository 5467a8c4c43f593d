//! Life cycle: closing, forking by hand, many stores with few files, work that is not repeated.

use anndata_io::chain;
use mapped_collection::{
    Error, FilterValue, IoOptions, ItemValue, Join, LoaderOptions, MappedCollection, MatrixFormat,
    MemoryStore, ReadError, RowLocation, Shuffle, Values,
};

use crate::store;

fn pair() -> MappedCollection {
    MappedCollection::builder(["base_a_csr.h5ad", "base_b_csr_v3.zarr"].map(store))
        .obs(["cell_type", "_index"])
        .encode_labels(["cell_type"])
        .open()
        .expect("the fixtures open")
}

#[test]
fn close_closes_all_clones_and_nothing_else() {
    let cells = pair();
    let (clone, fork) = (cells.clone(), cells.fork().expect("the files are there"));
    let first = clone.get(0).expect("open");
    cells.close();
    cells.close();
    assert!(cells.is_closed() && clone.is_closed() && !fork.is_closed());
    for collection in [&cells, &clone] {
        assert!(matches!(
            collection.get(0),
            Err(Error::Read(ReadError::Closed))
        ));
        assert!(matches!(
            collection.get_batch(&[0]),
            Err(Error::Read(ReadError::Closed))
        ));
        assert!(matches!(
            collection.merged_labels("cell_type"),
            Err(Error::Read(ReadError::Closed))
        ));
        assert!(matches!(
            collection.obs_names(&[0]),
            Err(Error::Read(ReadError::Closed))
        ));
        assert!(matches!(
            collection.loader(LoaderOptions::new(1)),
            Err(Error::Read(ReadError::Closed))
        ));
        assert_eq!(collection.shape(), fork.shape(), "what is in memory stays");
    }
    assert_eq!(fork.get(0).expect("open"), first);
    assert_eq!(cells.io().open_files(), 0);
}

#[test]
fn indices_count_from_both_ends_and_no_further() {
    let cells = pair();
    let n = cells.n_obs() as i64;
    assert_eq!(
        cells.get(-1).expect("the last"),
        cells.get(n - 1).expect("the last")
    );
    for index in [n, -n - 1, i64::MAX, i64::MIN] {
        let error = cells.get(index).expect_err("out of bounds");
        assert_eq!(
            error.to_string(),
            format!("row {index} is out of bounds: the collection has {n} rows")
        );
    }
}

#[test]
fn obs_names_are_read_for_any_rows() {
    let cells = pair();
    let names = cells
        .obs_names(&[7, 0, -1])
        .expect("the files are readable");
    for (name, row) in names.iter().zip([7, 0, -1]) {
        assert_eq!(
            cells.get(row).expect("within bounds").text("_index"),
            Some(name.as_str())
        );
    }
}

#[test]
fn collection_of_three_hundred_stores_keeps_few_files_open() {
    let paths = (0..300).map(|i| {
        store(if i % 2 == 0 {
            "base_a_csr.h5ad"
        } else {
            "base_b_csr_v3.zarr"
        })
    });
    // Copies: the same path would be the same file.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let copies: Vec<_> = paths
        .enumerate()
        .map(|(i, path)| {
            if path.is_dir() {
                return path;
            }
            let copy = dir.path().join(format!("{i}.h5ad"));
            std::fs::copy(path, &copy).expect("a small file");
            copy
        })
        .collect();
    let cells = MappedCollection::builder(copies)
        .io(IoOptions::new().max_open_files(8).cache_bytes(0))
        .open();
    let cells = cells.expect("all stores open");
    let rows: Vec<i64> = (0..cells.n_obs() as i64).collect();
    let batch = cells.get_batch(&rows).expect("readable");
    assert_eq!(batch.n_obs(), 150 * (6 + 5));
    assert!(cells.io().open_files() <= 8);
}

/// Every chunk is decoded once in a call, whatever the order of the rows, with no cache at all.
#[test]
fn batch_decodes_each_chunk_once() {
    let cases = [
        // 12 x 7 elements in chunks of 6 x 4, or 3 x 4.
        ("layouts_v3.zarr", "zstd_checksum", 2 * 2),
        ("layouts_v3.zarr", "sharded", 4 * 2),
        // 48 nonzeros in chunks of 4, and as many indices.
        ("layouts_v3.zarr", "csr_sharded", 2 * 12),
    ];
    for (name, layer, chunks) in cases {
        let cells = MappedCollection::builder([store(name)])
            .layers([layer])
            .io(IoOptions::new().cache_bytes(0))
            .open();
        let cells = cells.expect("the fixture opens");
        for rows in [
            (0..12).collect::<Vec<i64>>(),
            (0..12).map(|i| i * 5 % 12).collect(),
            vec![3; 40],
        ] {
            let before = cells.io().decoded_chunks();
            cells.get_batch(&rows).expect("readable");
            let decoded = cells.io().decoded_chunks() - before;
            if rows.contains(&0) {
                assert_eq!(decoded, chunks, "{name} {layer}");
            } else {
                assert!(
                    decoded <= chunks / 2,
                    "{name} {layer}: {decoded} chunks for one row"
                );
            }
        }
    }
}

#[test]
fn neighbouring_rows_share_one_decode() {
    let cells = MappedCollection::builder([store("layouts_v3.zarr")])
        .layers(["csr_sharded"])
        .open();
    let cells = cells.expect("the fixture opens");
    let before = cells.io().decoded_chunks();
    (0..12).for_each(|row| drop(cells.get(row).expect("readable")));
    assert_eq!(cells.io().decoded_chunks() - before, 2 * 12);
}

#[test]
fn epoch_is_the_permutation_of_its_seed() {
    let cells = pair();
    let options = LoaderOptions::new(4)
        .shuffle(Shuffle::Exact)
        .seed(3)
        .output(MatrixFormat::Csr);
    let batches = cells.loader(options).expect("the stores fit together");
    for epoch in 0..3 {
        let mut rows = Vec::new();
        for batch in batches.epoch(epoch) {
            let batch = batch.expect("readable");
            rows.extend((0..batch.n_obs()).map(|row| batch.location(row)));
        }
        let order = mapped_collection::permutation(cells.n_obs() as u32, 3, epoch);
        let expected: Vec<RowLocation> = order
            .iter()
            .map(|&row| cells.locate(row.into()).expect("within bounds"))
            .collect();
        assert_eq!(rows, expected);
    }
    let whole = cells
        .loader(LoaderOptions::new(4).drop_last(true))
        .expect("fits");
    assert_eq!((whole.epoch(0).n_batches(), whole.epoch(0).count()), (2, 2));
    assert!(cells.loader(LoaderOptions::new(0)).is_err());
}

#[test]
fn empty_collection_is_legal() {
    let cells = MappedCollection::builder([store("base_a_csr.h5ad")])
        .obs(["cell_type"])
        .filter("cell_type", Vec::<FilterValue>::new())
        .open()
        .expect("no rows are fine");
    assert_eq!(cells.n_obs(), 0);
    assert!(matches!(
        cells.get(0),
        Err(Error::Read(ReadError::OutOfBounds { index: 0, n_obs: 0 }))
    ));
    let batch = cells.get_batch(&[]).expect("no rows are fine");
    assert_eq!(batch.n_obs(), 0);
    assert_eq!(
        cells
            .loader(LoaderOptions::new(8))
            .expect("fits")
            .epoch(0)
            .count(),
        0
    );
    assert!(
        cells
            .label_weights(["cell_type"])
            .expect("a column")
            .weights(None)
            .is_empty()
    );
}

#[test]
fn missing_keys_are_listed_with_the_nearest() {
    let cells = MappedCollection::builder([store("base_a_csr.h5ad")])
        .layers(["X", "count"])
        .obs(["celltype"])
        .obsm(["X_umap3"])
        .open()
        .expect("missing keys are left out");
    let missing: Vec<_> = cells
        .missing_keys()
        .iter()
        .map(|m| (m.group, m.nearest.as_deref()))
        .collect();
    assert_eq!(
        missing,
        [
            ("layers", Some("counts")),
            ("obsm", None),
            ("obs", Some("cell_type"))
        ]
    );
    let item = cells.get(0).expect("readable");
    assert_eq!(item.entries().len(), 1);
    let error = cells.merged_labels("celltype").expect_err("no such column");
    assert!(
        error.to_string().contains("did you mean \"cell_type\"?"),
        "{error}"
    );
}

#[test]
fn presence_separates_filled_from_measured_zeros() {
    let cells = |join| {
        let store = |name: &str, vars: &[&str]| {
            let zeros = Values::F32(vec![0.0; vars.len()]);
            MemoryStore::new(name)
                .dataframe("obs", &["c"])
                .dataframe("var", vars)
                .array("X", &[1, vars.len() as u64], zeros)
        };
        MappedCollection::builder([store("a", &["x", "y"]), store("b", &["y", "z"])])
            .join(join)
            .open()
            .expect("the stores fit together")
    };
    let outer = cells(Join::Outer);
    assert_eq!(outer.presence(0), Some(vec![true, true, false]));
    assert_eq!(outer.presence(1), Some(vec![false, true, true]));
    assert_eq!(cells(Join::Inner).presence(1), Some(vec![true]));
}

#[test]
fn collection_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let cells = pair();
    shared(&cells);
    let expected = cells.get(2).expect("readable");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let cells = cells.clone();
            std::thread::spawn(move || cells.get(2).expect("readable"))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), expected);
    }
    assert!(matches!(
        expected.get("cell_type"),
        Some(ItemValue::Code(_) | ItemValue::Missing)
    ));
}

/// A folder like `from` whose files are links to those of `from`, as content-addressed stores
/// check data sets out.
fn link_tree(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).expect("a new folder");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            link_tree(&entry.path(), &target);
        } else {
            let original = entry.path().canonicalize().expect("it exists");
            std::os::unix::fs::symlink(original, target).expect("a new link");
        }
    }
}

#[test]
fn chunks_may_be_links() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in ["base_b_csr_v3.zarr", "base_a_dense_v2.zarr"] {
        let linked = dir.path().join(name);
        link_tree(&store(name), &linked);
        let items = |path| {
            let cells = MappedCollection::builder([path]).obs(["cell_type"]).open();
            let cells = cells.expect("it opens");
            let rows = (0..cells.n_obs() as i64).map(|row| cells.get(row).expect("readable"));
            rows.collect::<Vec<_>>()
        };
        assert_eq!(items(linked), items(store(name)));
    }
}

#[test]
fn narrow_column_numbers_must_not_be_negative() {
    let vars: Vec<String> = (0..300).map(|i| format!("g{i}")).collect();
    let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
    let narrow = MemoryStore::new("narrow")
        .dataframe("obs", &["c"])
        .dataframe("var", &vars)
        .csr("X", [1, 300], vec![0, 1], vec![0], Values::F32(vec![1.0]))
        .array("X/indices", &[1], Values::I8(vec![-1]));
    let cells = MappedCollection::builder([narrow])
        .open()
        .expect("columns are read later");
    let error = cells.get(0).expect_err("there is no column -1");
    let error = chain(&error).to_string();
    assert!(error.contains("X/indices"), "{error}");
}

#[test]
fn replaced_file_never_mixes_with_the_old_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.h5ad");
    for (name, max_open_files) in [("base_a_csr.h5ad", 64), ("h5_gzip.h5ad", 1)] {
        std::fs::copy(store("base_b_csr.h5ad"), &path).expect("a small file");
        let paths = [path.clone(), store("base_a_csr.h5ad")];
        let cells = MappedCollection::builder(paths)
            .io(IoOptions::new().max_open_files(max_open_files))
            .open();
        let cells = cells.expect("they open");
        let before = cells.get(0).expect("it is there");
        cells.get(-1).expect("the other file");
        std::fs::remove_file(&path).expect("it is there");
        std::fs::copy(store(name), &path).expect("a small file");
        // Whatever is asked for is the old file's, or an error.
        if let Ok(labels) = cells.merged_labels("cell_type") {
            assert_eq!(labels.len(), cells.n_obs(), "{name}");
        }
        match cells.get(0) {
            Ok(item) => assert_eq!(item, before, "{name}"),
            Err(error) => {
                let text = chain(&error).to_string();
                assert!(text.contains("changed"), "{name}: {text}");
            }
        }
    }
}

#[test]
fn loader_of_columns_reads_nothing_before_the_first_batch() {
    let path = store("csc_gzip.h5ad");
    let cells = MappedCollection::builder([path]).open().expect("it opens");
    let before = cells.io().bytes_read();
    let loader = cells.loader(LoaderOptions::new(2).workers(0));
    let mut epoch = loader.expect("a batch fits").epoch(0);
    assert_eq!(cells.io().bytes_read(), before);
    let batch = epoch.next().expect("a batch").expect("readable");
    assert!(cells.io().bytes_read() > before);
    let item = cells.get(1).expect("a row");
    let row = item.row("X").expect("X").to_dense();
    let dense = batch.x().expect("X").to_dense().cast(row.dtype());
    let (len, n) = (row.len(), dense.len());
    let second = dense.as_slice().range(len, n.min(2 * len)).to_vec::<f64>();
    assert_eq!(second, row.as_slice().to_vec::<f64>());
}
