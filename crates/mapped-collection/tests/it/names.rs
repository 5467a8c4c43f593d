//! Names in a batch: none replaces another, and an error says which two would.

use mapped_collection::{
    Error, ItemValue, LoaderOptions, MappedCollection, MappedCollectionBuilder, MemoryStore,
    ReadError, Values,
};

/// Two cells with a matrix or column of every name that may meet another.
fn cells(store: &str) -> MemoryStore {
    let matrix = || Values::F32(vec![1.0, 2.0, 3.0, 4.0]);
    let mut cells = MemoryStore::new(store)
        .dataframe("obs", &["c1", "c2"])
        .dataframe("var", &["x", "y"])
        .array("X", &[2, 2], matrix())
        .array("obsm/pca", &[2, 2], matrix());
    for layer in ["counts", "n_valid", "_row_idx", "obsm_pca"] {
        cells = cells.array(&format!("layers/{layer}"), &[2, 2], matrix());
    }
    let columns = ["X", "counts", "n", "n_valid", "_store_idx", "_row_idx"];
    for column in columns.iter().chain(&["obsm_pca", "raw.X"]) {
        let numbers = Values::I64(vec![7, 8]);
        cells = cells.array(&format!("obs/{column}"), &[2], numbers);
    }
    cells.categorical("obs/kind", vec![0, -1], &["T"])
}

fn collection() -> MappedCollectionBuilder {
    MappedCollection::builder([cells("a.h5ad")])
        .layers(["X"])
        .encode_labels(false)
}

/// Asks for a batch in every way, and says how the first refuses; all must agree.
fn refused(cells: &MappedCollection) -> Option<String> {
    let text = |error: Error| {
        assert!(
            matches!(error, Error::Read(ReadError::SameName { .. })),
            "{error}"
        );
        error.to_string()
    };
    let by_index = cells.get_batch(&[0]).err().map(text);
    let without_rows = cells.get_batch(&[]).err().map(text);
    let epochs = cells.loader(LoaderOptions::new(1)).err().map(text);
    assert_eq!(by_index, epochs);
    assert_eq!(by_index, without_rows);
    by_index
}

#[test]
fn batch_entries_of_one_name_are_refused_and_named() {
    let layers = |keys: &[&str]| collection().layers(keys.iter().copied());
    let cases: [(MappedCollectionBuilder, &[&str]); 9] = [
        (collection().obs(["X"]), &["layer \"X\"", "obs key \"X\""]),
        (
            layers(&["counts"]).obs(["kind", "counts"]),
            &["layer \"counts\"", "obs key \"counts\""],
        ),
        (
            collection().obs(["_store_idx"]),
            &["the stores of its rows", "obs key \"_store_idx\""],
        ),
        (
            collection().obs(["_row_idx"]),
            &["the rows in their files", "obs key \"_row_idx\""],
        ),
        (
            layers(&["_row_idx"]),
            &["the rows in their files", "layer \"_row_idx\""],
        ),
        (
            collection().obsm(["pca"]).obs(["obsm_pca"]),
            &["matrix \"obsm_pca\"", "obs key \"obsm_pca\""],
        ),
        (
            layers(&["obsm_pca"]).obsm(["pca"]),
            &["layer \"obsm_pca\"", "matrix \"obsm_pca\""],
        ),
        (
            collection().obs(["n", "n_valid"]),
            &["validity of the obs key \"n\"", "obs key \"n_valid\""],
        ),
        (
            layers(&["n_valid"]).obs(["n"]),
            &["layer \"n_valid\"", "validity of the obs key \"n\""],
        ),
    ];
    for (builder, named) in cases {
        let cells = builder.open().expect("opening is fine");
        let text = refused(&cells).expect("a batch is refused");
        assert!(named.iter().all(|name| text.contains(name)), "{text}");
        assert!(text.contains("ask for one of them"), "{text}");
        assert!(!cells.is_uniform(), "items are read one by one: {text}");
        assert!(cells.get(0).is_ok(), "items are fine: {text}");
    }
}

#[test]
fn names_that_do_not_meet_are_accepted() {
    let fine = [
        // Encoded keys and texts have no validity beside them.
        collection().obs(["n", "n_valid"]).encode_labels(["n"]),
        collection().obs(["kind", "n"]),
        // The same entry twice.
        collection().obs(["n", "n"]),
        collection().layers(["X", "X"]),
        collection().obsm(["pca", "pca"]),
        // What no store has is in no batch.
        collection().layers(["raw.X"]).obs(["raw.X"]),
        collection().obs(["n", "absent"]),
    ];
    for builder in fine {
        let cells = builder.open().expect("valid");
        assert_eq!(refused(&cells), None);
    }
}

#[test]
fn name_of_a_single_store_counts() {
    let bare = MemoryStore::new("b.h5ad")
        .dataframe("obs", &["d1"])
        .dataframe("var", &["x", "y"])
        .array("X", &[1, 2], Values::F32(vec![5.0, 6.0]));
    let cells = MappedCollection::builder([bare, cells("a.h5ad")])
        .obs(["X"])
        .open()
        .expect("valid");
    assert!(refused(&cells).is_some());
}

#[test]
fn obs_key_wins_in_an_item() {
    let cells = collection().obs(["X", "n"]).open().expect("valid");
    let item = cells.get(1).expect("an item");
    let keys: Vec<_> = item.entries().iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["X", "n"]);
    assert!(matches!(item.get("X"), Some(ItemValue::Number(..))));
}
