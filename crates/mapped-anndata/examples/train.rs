//! Trains a softmax classifier of cell types on the demo collection: four files, two formats, one model.
//!
//! ```sh
//! cargo run -p mapped-anndata --example train
//! ```

use std::error::Error;
use std::path::Path;

use mapped_anndata::{
    Batch, DType, LoaderOptions, MappedCollection, MatrixFormat, Sampler, Shuffle, SplitBy,
    SplitOptions,
};
use ndarray::{Array1, Array2, Axis};

const EPOCHS: u64 = 10;
const RATE: f32 = 4.0;

/// One linear layer: `logits = x . weights + bias`.
struct Classifier {
    /// `[n_genes, n_classes]`
    weights: Array2<f32>,
    /// `[n_classes]`
    bias: Array1<f32>,
}

impl Classifier {
    /// The probability of each class: `[n_cells, n_classes]`.
    fn predict(&self, x: &Array2<f32>) -> Array2<f32> {
        let mut p = x.dot(&self.weights) + &self.bias;
        for mut row in p.rows_mut() {
            let largest = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            row.mapv_inplace(|logit| (logit - largest).exp());
            let sum = row.sum();
            row /= sum;
        }
        p
    }

    /// Takes one step down the gradient of the cross entropy; returns the loss before it.
    fn step(&mut self, x: &Array2<f32>, labels: &[usize]) -> f32 {
        let mut p = self.predict(x);
        let n = labels.len() as f32;
        let mut loss = 0.0;
        for (mut row, &label) in p.rows_mut().into_iter().zip(labels) {
            loss -= row[label].max(1e-9).ln() / n;
            row[label] -= 1.0; // the gradient of the logits
        }
        p /= n;
        self.weights.scaled_add(-RATE, &x.t().dot(&p));
        self.bias.scaled_add(-RATE, &p.sum_axis(Axis(0)));
        loss
    }
}

/// The cells of a batch that have a label: `[n_cells, n_genes]` and `[n_cells]`. Counts vary a
/// hundredfold between cells, so each row is scaled to length 1 after taking logarithms.
fn labelled(batch: &Batch) -> Result<(Array2<f32>, Vec<usize>), Box<dyn Error>> {
    let codes = batch.codes("cell_type").ok_or("an encoded key")?;
    let x = batch.x().ok_or("X was asked for")?.view::<f32>()?;
    let x = x.into_dimensionality::<ndarray::Ix2>()?;
    // A missing label is -100, an unknown one -1.
    let rows: Vec<usize> = (0..codes.len()).filter(|&row| codes[row] >= 0).collect();
    let labels = rows.iter().map(|&row| codes[row] as usize).collect();
    let mut x = x.select(Axis(0), &rows);
    x.mapv_inplace(f32::ln_1p);
    for mut row in x.rows_mut() {
        let length = row.dot(&row).sqrt().max(1e-9);
        row /= length;
    }
    Ok((x, labels))
}

fn main() -> Result<(), Box<dyn Error>> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo");
    let paths = ["a.h5ad", "b.h5ad", "c.zarr", "d.zarr"].map(|name| demo.join(name));
    let cells = MappedCollection::builder(paths)
        .obs(["cell_type"])
        .dtype(DType::F32)
        .open()?;
    let by = SplitBy::Stratified("cell_type".to_owned());
    let parts = cells.split(&SplitOptions::new([0.8, 0.2]).by(by))?;

    let options = LoaderOptions::new(128)
        .sampler(Sampler::Rows(parts[0].as_slice().into()))
        .shuffle(Shuffle::Exact)
        .output(MatrixFormat::Dense);
    let loader = cells.loader(options)?;
    let n_classes = cells
        .encoder("cell_type")
        .ok_or("an encoded key")?
        .n_classes();
    let n_genes = cells.n_vars().ok_or("the genes were joined")?;
    let mut model = Classifier {
        weights: Array2::zeros((n_genes, n_classes)),
        bias: Array1::zeros(n_classes),
    };
    let mut losses = Vec::new();
    for epoch in 0..EPOCHS {
        let mut sum = 0.0;
        for batch in loader.epoch(epoch) {
            let (x, labels) = labelled(&batch?)?;
            sum += model.step(&x, &labels);
        }
        losses.push(sum / loader.n_batches() as f32);
        println!("epoch {epoch}: loss {:.3}", losses[losses.len() - 1]);
    }

    let rows: Vec<i64> = parts[1].iter().map(|&row| row.into()).collect();
    let (x, labels) = labelled(&cells.get_batch(&rows)?)?;
    let p = model.predict(&x);
    let is_right = |(row, label): (usize, &usize)| {
        let row = p.row(row);
        (0..n_classes).all(|class| row[class] <= row[*label])
    };
    let right = labels
        .iter()
        .enumerate()
        .filter(|&hit| is_right(hit))
        .count();
    let accuracy = right as f64 / labels.len() as f64;
    println!(
        "accuracy on {} cells not trained on: {accuracy:.3}",
        labels.len()
    );

    assert!(
        losses.windows(2).all(|pair| pair[1] < pair[0]),
        "{losses:?}"
    );
    assert!(accuracy > 0.9, "{accuracy}");
    Ok(())
}
