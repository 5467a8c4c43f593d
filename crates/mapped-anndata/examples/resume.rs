//! Stops in the middle of an epoch, saves its state as JSON, and continues. The rows are those of
//! an epoch without a break.
//!
//! ```sh
//! cargo run -p mapped-anndata --example resume
//! ```

use std::error::Error;
use std::path::Path;

use mapped_anndata::{Epoch, LoaderOptions, LoaderState, MappedCollection, Shuffle};

/// A row: the number of its store, and its number in the store's file.
type Row = (u32, u32);

/// Reads at most `n` batches and returns their rows.
fn read(epoch: &mut Epoch, n: usize) -> Result<Vec<Row>, mapped_anndata::Error> {
    let mut rows = Vec::new();
    for batch in epoch.take(n) {
        let batch = batch?;
        rows.extend(
            batch
                .store_idx
                .iter()
                .copied()
                .zip(batch.row_idx.iter().copied()),
        );
    }
    Ok(rows)
}

fn open() -> Result<MappedCollection, mapped_anndata::Error> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    MappedCollection::builder(["a.h5ad", "c.zarr"].map(|name| demo.join(name))).open()
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = LoaderOptions::new(64).shuffle(Shuffle::Exact).seed(7);
    let whole = read(&mut open()?.loader(options.clone())?.epoch(3), usize::MAX)?;

    // The first run ends after five batches.
    let first = open()?.loader(options)?;
    let mut epoch = first.epoch(3);
    let mut rows = read(&mut epoch, 5)?;
    let saved = serde_json::to_string(&epoch.state()?)?;
    drop(epoch);
    println!(
        "stopped after {} of {} rows: {saved}",
        rows.len(),
        whole.len()
    );

    // The second run opens the files anew. Its batches may have another size.
    let state: LoaderState = serde_json::from_str(&saved)?;
    let larger = LoaderOptions::new(100).shuffle(Shuffle::Exact).seed(7);
    let second = open()?.loader(larger)?;
    rows.extend(read(&mut second.resume(&state)?, usize::MAX)?);
    println!("read {} rows in all", rows.len());

    assert_eq!(rows, whole);
    Ok(())
}
