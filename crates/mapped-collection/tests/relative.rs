//! Relative paths, in a process of its own: the current folder belongs to all threads.

use std::path::Path;

use anndata_io::{AnnDataFile, LayerKey};
use mapped_collection::{Join, MappedCollection};

#[test]
fn relative_path_is_resolved_once() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    let demo = demo.canonicalize().expect("it is there");
    std::env::set_current_dir(&demo).expect("a folder");
    let url = format!("file://{}/d.zarr", demo.display());
    let cells = MappedCollection::builder(["c.zarr", "./a.h5ad", url.as_str()])
        .obs(["cell_type", "_index"])
        .join(Some(Join::Outer))
        .open()
        .expect("three stores");
    // A file alone keeps the name that it was given, and is read wherever the folder is.
    let alone = AnnDataFile::open("./a.h5ad").expect("it is there");
    std::env::set_current_dir("/").expect("a folder");
    assert_eq!(alone.path(), Path::new("./a.h5ad"));
    let names = alone.var_names().expect("readable");
    assert!(names.iter().count() > 0);
    assert!(alone.layer(&LayerKey::X).expect("readable").is_some());
    let paths: Vec<&Path> = cells.paths().collect();
    assert_eq!(
        paths,
        [
            demo.join("c.zarr"),
            demo.join("a.h5ad"),
            demo.join("d.zarr")
        ]
    );
    let last = cells.n_obs() as i64 - 1;
    for cells in [cells.clone(), cells.fork().expect("the same files")] {
        cells.get_batch(&[0, last / 2, last]).expect("readable");
        assert_eq!(cells.obs_names(&[0, last]).expect("readable").len(), 2);
        cells.merged_categories("cell_type").expect("readable");
    }
    let gone = MappedCollection::builder(["c.zarr"])
        .open()
        .expect_err("not here");
    assert!(
        gone.to_string().starts_with("c.zarr: no such file"),
        "{gone}"
    );
}
