//! Reads a matrix into a sink of one's own: the sum of each gene, without a row being kept.
//!
//! ```sh
//! cargo run -p anndata-io --example sink                 # a file of the demo collection
//! cargo run -p anndata-io --example sink -- cells.h5ad
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};

use anndata_io::{AnnDataFile, LayerKey, ReadScratch, RowSink, ValuesRef};

/// Rows read in one call: each call decodes every chunk that it needs once.
const ROWS: u64 = 1024;

/// Sums by column. Rows arrive in the element type of the file.
struct ColumnSums(Vec<f64>);

impl RowSink for ColumnSums {
    fn dense(&mut self, _row: usize, start: usize, values: ValuesRef<'_>) {
        let sums = self.0[start..].iter_mut();
        for (sum, value) in sums.zip(values.to_vec::<f64>()) {
            *sum += value;
        }
    }

    fn sparse(&mut self, _row: usize, columns: &[u32], values: ValuesRef<'_>) {
        for (&column, value) in columns.iter().zip(values.to_vec::<f64>()) {
            self.0[column as usize] += value;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo/a.h5ad"),
        PathBuf::from,
    );
    let file = AnnDataFile::open(&path)?;
    let x = file.layer(&LayerKey::X)?.ok_or("the file has no X")?;

    let mut sums = ColumnSums(vec![0.0; x.row_len()]);
    let mut scratch = ReadScratch::default();
    for start in (0..x.n_rows()).step_by(ROWS as usize) {
        let rows: Vec<u64> = (start..x.n_rows().min(start + ROWS)).collect();
        x.read_rows(&rows, &mut scratch, &mut sums)?;
    }

    let names = file.var_names()?;
    let mut genes: Vec<(&str, f64)> = names.iter().zip(sums.0.iter().copied()).collect();
    genes.sort_by(|a, b| b.1.total_cmp(&a.1));
    println!("{}: the genes with the largest sums", path.display());
    for (gene, sum) in genes.iter().take(5) {
        println!("  {gene}: {sum:.1}");
    }
    assert!(genes.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    assert_eq!(genes.len() as u64, file.n_vars());
    Ok(())
}
