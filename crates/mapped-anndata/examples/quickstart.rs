//! The README's example: `cargo xtask ci` compares the two.

use mapped_anndata::{Join, LoaderOptions, MappedCollection, MatrixFormat, Shuffle};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cells = MappedCollection::builder(["crates/cli/demo/a.h5ad", "crates/cli/demo/c.zarr"])
        .obs(["cell_type"])
        .unknown_label("cell_type", "unknown")
        .join(Join::Inner)
        .open()?;
    assert_eq!(cells.shape(), (2000, Some(355))); // 2,000 cells x the 355 genes that both files have
    let options = LoaderOptions::new(512)
        .shuffle(Shuffle::Exact)
        .output(MatrixFormat::Csr);
    let mut counts = vec![0.0; cells.encoder("cell_type").unwrap().n_classes()];
    for batch in cells.loader(options)?.epoch(0) {
        let batch = batch?; // X as CSR [512, 355] float32, labels as int64: -1 unknown, -100 missing
        let x = batch.x().unwrap().csr::<f32>()?;
        for (&label, (_genes, values)) in batch.codes("cell_type").unwrap().iter().zip(x.rows()) {
            if label >= 0 {
                counts[label as usize] += values.iter().sum::<f32>();
            }
        }
    }
    println!("counts of each cell type: {counts:?}");
    Ok(())
}
