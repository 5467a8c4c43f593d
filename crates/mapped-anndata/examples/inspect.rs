//! Lists the contents of AnnData files without reading a matrix.
//!
//! ```sh
//! cargo run -p mapped-anndata --example inspect                      # the demo collection
//! cargo run -p mapped-anndata --example inspect -- cells.h5ad b.zarr
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};

use mapped_anndata::io::AnnDataFile;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
        paths = vec![demo.join("a.h5ad"), demo.join("d.zarr")];
    }
    for path in &paths {
        inspect(path)?;
    }
    Ok(())
}

fn inspect(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = AnnDataFile::open(path)?;
    let (n_obs, n_vars) = (file.n_obs(), file.n_vars());
    println!("{}: {n_obs} cells x {n_vars} genes", path.display());

    for key in file.layers_keys()? {
        let matrix = file.layer(&key)?.ok_or("a layer that was listed")?;
        let layout = if matrix.is_sparse() {
            "sparse"
        } else {
            "dense"
        };
        println!("  {key}: {layout} {}", matrix.dtype());
        assert_eq!(matrix.n_rows(), n_obs);
    }
    for key in file.obsm_keys()? {
        let matrix = file.obsm(&key)?.ok_or("an element that was listed")?;
        println!("  obsm/{key}: {:?} {}", matrix.shape(), matrix.dtype());
    }
    for key in file.obs_keys()? {
        let column = file.obs_column(&key)?.ok_or("a column that was listed")?;
        // Texts and categories have no number type.
        match column.dtype() {
            Some(dtype) => println!("  obs/{key}: {dtype}"),
            None => println!("  obs/{key}: labels"),
        }
        assert_eq!(column.len(), n_obs);
    }
    Ok(())
}
