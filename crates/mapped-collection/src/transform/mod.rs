//! What happens to the values of a row between its file and the model.
//!
//! Opens no file. [`Transform`]s are the options; a [`Pipeline`](pipeline::Pipeline) is checked and
//! ready to run on rows.
//!
//! ```text
//! joint columns and values of a row, float64 ─▶ Downsample ─▶ the others, in order ─▶ values
//! total of the row in its file ─────────────────────┴──▶ NormalizeTotal
//! ```
//!
//! A pipeline that is the same for all genes computes each distinct value of a row once
//! ([`Memo`](memo::Memo)): counts have few.

mod binomial;
mod compile;
mod downsample;
pub(crate) mod function;
pub(crate) mod memo;
pub(crate) mod pipeline;
pub(crate) mod total;

use std::collections::BTreeMap;
use std::sync::Arc;

/// A step on the way from the values of a file to those of items and batches.
///
/// Steps run in the order of the list that
/// [`transforms`](crate::MappedCollectionBuilder::transforms) takes, on each row by itself. They
/// compute in float64. The results have the [`dtype`](crate::MappedCollectionBuilder::dtype) that was
/// chosen, otherwise float32. A gene that a store lacks stays 0.
///
/// ```
/// use mapped_collection::{MappedCollection, MemoryStore, Transform, Values};
///
/// let store = MemoryStore::new("a")
///     .dataframe("obs", &["c1", "c2"])
///     .dataframe("var", &["g1", "g2"])
///     .array("X", &[2, 2], Values::U8(vec![1, 3, 0, 0]));
/// let cells = MappedCollection::builder([store])
///     .transforms("X", [Transform::normalize_total(100.0), Transform::log1p()])
///     .open()?;
/// let batch = cells.get_batch(&[0, 1])?;
/// let x = batch.x().expect("X is a layer").dense::<f32>()?;
/// assert_eq!(x, [26f64.ln() as f32, 76f64.ln() as f32, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Transform {
    /// Scales each row so that its total is the target: scanpy's `pp.normalize_total`. A row whose
    /// total is 0 stays as it is; a negative or infinite total is an error that names the row.
    NormalizeTotal {
        /// The total of a row afterwards.
        target: TargetTotal,
        /// What the total of a row is.
        totals: Totals,
    },
    /// `ln(1 + x)`, divided by `ln(base)` if there is a base: scanpy's `pp.log1p`. A value of -1 or
    /// less is an error that names the row.
    Log1p {
        /// The base of the logarithm, positive and not 1; `None` for e.
        base: Option<f64>,
    },
    /// Raises values below `min` to it, and lowers those above `max` to it. NaN stays NaN.
    Clip {
        /// The smallest value afterwards.
        min: Option<f64>,
        /// The largest value afterwards.
        max: Option<f64>,
    },
    /// `(x - mean) / std`, with a mean and a standard deviation for each gene.
    ScaleGenes {
        /// The mean of each gene. With a mean that is not 0, zeros change: such batches must be
        /// dense.
        mean: GeneValues,
        /// The standard deviation of each gene: not 0.
        std: GeneValues,
    },
    /// `x / by`, with a divisor for each gene.
    DivideGenes {
        /// The divisor of each gene: not 0.
        by: GeneValues,
    },
    /// Draws a smaller number of the molecules of each cell. From a count of n, the draw is
    /// binomial, with n trials. It must be the first step, and a row with a value that is not a count
    /// is an error.
    ///
    /// The draws of a row depend only on the seed, the epoch, the number of its store, its row in the
    /// file, and the genes of the matrix in their order. Items and batches by index have those of
    /// epoch 0.
    Downsample {
        /// How many molecules are left.
        depth: Depth,
        /// The seed of the draws.
        seed: u64,
    },
}

impl Transform {
    /// [`NormalizeTotal`](Self::NormalizeTotal) with totals over all genes of the file.
    pub fn normalize_total(target: impl Into<TargetTotal>) -> Transform {
        Transform::NormalizeTotal {
            target: target.into(),
            totals: Totals::AllGenes,
        }
    }

    /// [`Log1p`](Self::Log1p) to the base e.
    pub fn log1p() -> Transform {
        Transform::Log1p { base: None }
    }

    /// [`Clip`](Self::Clip) with these bounds.
    pub fn clip(min: impl Into<Option<f64>>, max: impl Into<Option<f64>>) -> Transform {
        let (min, max) = (min.into(), max.into());
        Transform::Clip { min, max }
    }

    /// [`ScaleGenes`](Self::ScaleGenes) with these means and standard deviations.
    pub fn scale_genes(mean: impl Into<GeneValues>, std: impl Into<GeneValues>) -> Transform {
        let (mean, std) = (mean.into(), std.into());
        Transform::ScaleGenes { mean, std }
    }

    /// [`DivideGenes`](Self::DivideGenes) with these divisors.
    pub fn divide_genes(by: impl Into<GeneValues>) -> Transform {
        Transform::DivideGenes { by: by.into() }
    }

    /// [`Downsample`](Self::Downsample) with seed 0.
    pub fn downsample(depth: Depth) -> Transform {
        Transform::Downsample { depth, seed: 0 }
    }

    /// Its name, as in Python.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Transform::NormalizeTotal { .. } => "NormalizeTotal",
            Transform::Log1p { .. } => "Log1p",
            Transform::Clip { .. } => "Clip",
            Transform::ScaleGenes { .. } => "ScaleGenes",
            Transform::DivideGenes { .. } => "DivideGenes",
            Transform::Downsample { .. } => "Downsample",
        }
    }
}

/// The total of a row after [`Transform::NormalizeTotal`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum TargetTotal {
    /// This sum: positive.
    Sum(f64),
    /// The median of the totals that are not 0, over the rows of all stores that passed the filter. No
    /// other step may come before.
    /// [`prepare`](crate::MappedCollection::prepare) computes it, which reads all rows; otherwise the
    /// first read does. A [cache](crate::MappedCollectionBuilder::cache) keeps the totals over all
    /// genes of compressed matrices.
    Median,
}

impl From<f64> for TargetTotal {
    fn from(sum: f64) -> Self {
        TargetTotal::Sum(sum)
    }
}

/// What [`Transform::NormalizeTotal`] divides a row by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Totals {
    /// The sum of the row in its file, over all genes, also those that the join drops. Only a
    /// [`Transform::Downsample`] may come before.
    #[default]
    AllGenes,
    /// The sum of the row at this step: over the genes of the join.
    JointGenes,
    /// The values of a numeric column of obs. Where a value is 0 or missing, the row must be empty in
    /// the joint genes.
    ObsKey(String),
}

/// How many molecules [`Transform::Downsample`] leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Depth {
    /// About this many for each cell; a cell that has no more keeps all. Each molecule stays with the
    /// probability `min(1, depth / total)`, where the total is that of the row in its file.
    To(f64),
    /// About this fraction: each molecule stays with this probability.
    Fraction(f64),
}

/// A number for each gene of a matrix.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GeneValues {
    /// In the order of the [variables](crate::MappedCollection::vars_of) of the matrix: `[n_vars]`.
    InOrder(Arc<[f64]>),
    /// By name. Every gene of the matrix must be among them; others are ignored.
    ByName(Arc<BTreeMap<String, f64>>),
}

impl From<Vec<f64>> for GeneValues {
    fn from(values: Vec<f64>) -> Self {
        GeneValues::InOrder(values.into())
    }
}

impl<S: Into<String>> FromIterator<(S, f64)> for GeneValues {
    fn from_iter<I: IntoIterator<Item = (S, f64)>>(values: I) -> Self {
        let values = values.into_iter();
        GeneValues::ByName(Arc::new(
            values.map(|(name, value)| (name.into(), value)).collect(),
        ))
    }
}
