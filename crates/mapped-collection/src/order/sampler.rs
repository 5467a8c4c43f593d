//! Which rows an epoch has.

use std::sync::Arc;

use crate::error::Error;
use crate::error::read::ReadError;
use crate::order::mixture::MixtureGroup;

/// Which rows an epoch has.
///
/// ```
/// use mapped_collection::{LoaderOptions, Sampler};
///
/// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
/// // Ten draws in an epoch; row 1 is as likely as all others together, and row 0 never comes.
/// let sampler = Sampler::Weighted {
///     weights: [0., 3., 1., 1., 1.].into(),
///     n_samples: Some(10),
///     replacement: true,
/// };
/// let loader = cells.loader(LoaderOptions::new(4).sampler(sampler))?;
/// assert_eq!((loader.n_rows(), loader.n_batches()), (10, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Sampler {
    /// Each row once.
    #[default]
    All,
    /// These rows, by index in the collection. Repeats are fine.
    Rows(Arc<[u32]>),
    /// Rows that a sampler outside of this crate drew for one epoch. They are read as
    /// [`Rows`](Self::Rows) are. The next epoch may have others, so a state holds a hash of them,
    /// which counts only in the middle of the epoch.
    Drawn(Arc<[u32]>),
    /// `n_samples` rows (by default, as many as there are), each drawn with a probability
    /// proportional to its weight. The draws come in random order; no shuffle applies.
    Weighted {
        /// One weight per row, not negative: `[n_obs]`.
        weights: Arc<[f64]>,
        /// The number of draws per epoch. By default, the number of rows; without replacement, the
        /// number of rows with a positive weight.
        n_samples: Option<usize>,
        /// Whether a row may come again. Without replacement, at most all rows with a positive
        /// weight can be drawn.
        replacement: bool,
    },
    /// Rows of several groups, a fixed number of each: the draws of an epoch are divided in
    /// proportion to the shares of the groups, by the largest remainder. The draws come in random
    /// order; no shuffle applies. [`mixture_sampler`](crate::MappedCollection::mixture_sampler)
    /// makes groups of stores and of labels.
    Mixture {
        /// The groups.
        groups: Arc<[MixtureGroup]>,
        /// The number of draws per epoch.
        n_samples: usize,
    },
}

impl Sampler {
    /// The rows that it may draw, of a collection of `n_obs` rows.
    pub(crate) fn drawable(&self, n_obs: usize) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Sampler::All => Box::new(0..n_obs as u32),
            Sampler::Rows(rows) | Sampler::Drawn(rows) => Box::new(rows.iter().copied()),
            Sampler::Weighted { weights, .. } => {
                let rows = (0u32..).zip(weights.iter());
                Box::new(
                    rows.filter(|(_, weight)| **weight > 0.0)
                        .map(|(row, _)| row),
                )
            }
            Sampler::Mixture { groups, .. } => {
                Box::new(groups.iter().flat_map(MixtureGroup::drawable))
            }
        }
    }

    /// The same sampler, of only some of the rows; `None` for rows that were drawn elsewhere. A
    /// weighted sampler and a mixture draw as many rows as before.
    pub(crate) fn keep(&self, n_obs: usize, keeps: impl Fn(u32) -> bool) -> Option<Sampler> {
        Some(match self {
            Sampler::All | Sampler::Rows(_) => {
                Sampler::Rows(self.drawable(n_obs).filter(|&row| keeps(row)).collect())
            }
            Sampler::Drawn(_) => return None,
            Sampler::Weighted {
                weights,
                n_samples,
                replacement,
            } => {
                let rows = (0u32..).zip(weights.iter());
                Sampler::Weighted {
                    weights: rows
                        .map(|(row, &w)| if keeps(row) { w } else { 0.0 })
                        .collect(),
                    n_samples: *n_samples,
                    replacement: *replacement,
                }
            }
            Sampler::Mixture { groups, n_samples } => Sampler::Mixture {
                groups: groups.iter().map(|group| group.keep(&keeps)).collect(),
                n_samples: *n_samples,
            },
        })
    }

    /// The number of rows of an epoch over a collection of `n_obs` rows.
    pub(crate) fn n_rows(&self, n_obs: usize) -> usize {
        match self {
            Sampler::All => n_obs,
            Sampler::Rows(rows) | Sampler::Drawn(rows) => rows.len(),
            Sampler::Weighted { weights, .. } if weights.is_empty() => 0,
            Sampler::Weighted {
                weights,
                n_samples,
                replacement,
            } => {
                let n = n_samples.unwrap_or(n_obs);
                if *replacement {
                    n
                } else {
                    n.min(n_positive(weights))
                }
            }
            Sampler::Mixture { n_samples, .. } => *n_samples,
        }
    }

    /// # Errors
    /// When it does not suit a collection of `n_obs` rows.
    pub(crate) fn check(&self, n_obs: usize) -> Result<(), Error> {
        match self {
            Sampler::All => Ok(()),
            Sampler::Rows(rows) | Sampler::Drawn(rows) => check_rows(rows, n_obs),
            Sampler::Mixture { groups, n_samples } => {
                for (number, group) in groups.iter().enumerate() {
                    check_rows(&group.rows, n_obs)?;
                    if let Some(weights) = &group.weights {
                        check_weights(weights, group.rows.len())?;
                    }
                    if group.share > 0.0 && group.drawable().next().is_none() {
                        let expected = format!("rows to draw in group {number}, which has a share");
                        return Err(Error::option("sampler", expected, "none"));
                    }
                }
                if u32::try_from(*n_samples).is_err() {
                    return Err(Error::option("sampler", "fewer than 2^32 draws", n_samples));
                }
                let shares: Vec<f64> = groups.iter().map(|group| group.share).collect();
                check_proportions("shares", &shares, *n_samples)?;
                match *n_samples > 0 && shares.iter().all(|&share| share == 0.0) {
                    true => Err(Error::option(
                        "sampler",
                        format!("a share for {n_samples} draws"),
                        "none",
                    )),
                    false => Ok(()),
                }
            }
            Sampler::Weighted {
                weights,
                n_samples,
                replacement,
            } => {
                check_weights(weights, n_obs)?;
                if n_samples.is_some_and(|n| u32::try_from(n).is_err()) {
                    return Err(Error::option("sampler", "fewer than 2^32 draws", "more"));
                }
                if n_obs == 0 && n_samples.is_some_and(|n| n > 0) {
                    return Err(Error::option("sampler", "rows to draw from", "none"));
                }
                let positive = n_positive(weights);
                if n_obs > 0 && positive == 0 {
                    return Err(Error::option("sampler", "a positive weight", "none"));
                }
                match n_samples {
                    Some(wanted) if !replacement && *wanted > positive => Err(Error::option(
                        "sampler",
                        format!("positive weights for {wanted} rows drawn without replacement"),
                        format!("{positive}: draw fewer rows, or with replacement"),
                    )),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// # Errors
/// When a row is out of bounds, or there are too many.
fn check_rows(rows: &[u32], n_obs: usize) -> Result<(), Error> {
    match rows.iter().find(|&&row| row as usize >= n_obs) {
        Some(&row) => {
            let index = row.into();
            Err(ReadError::OutOfBounds { index, n_obs }.into())
        }
        None if u32::try_from(rows.len()).is_err() => {
            Err(Error::option("sampler", "fewer than 2^32 rows", rows.len()))
        }
        None => Ok(()),
    }
}

/// # Errors
/// When weights are not one per row, or draws cannot follow them.
fn check_weights(weights: &[f64], n_rows: usize) -> Result<(), Error> {
    check_one_per_row(weights, n_rows)?;
    check_proportions("weights", weights, weights.len())
}

/// # Errors
/// When weights are not one per row.
pub(crate) fn check_one_per_row(weights: &[f64], n_rows: usize) -> Result<(), Error> {
    if weights.len() == n_rows {
        return Ok(());
    }
    let found = format!("{} for {n_rows} rows", weights.len());
    Err(Error::option("sampler", "one weight per row", found))
}

/// The number of rows that weights let come.
pub(crate) fn n_positive(weights: &[f64]) -> usize {
    weights.iter().filter(|&&weight| weight > 0.0).count()
}

/// Checks numbers by which `n` draws are distributed.
///
/// # Errors
/// When one of them is negative or not finite, or their sum is not zero but too large or too small
/// to divide by.
fn check_proportions(what: &str, numbers: &[f64], n: usize) -> Result<(), Error> {
    let refused = |expected: &str, found: f64| {
        Err(Error::option(
            "sampler",
            format!("{what} {expected}"),
            found,
        ))
    };
    let is_bad = |number: &&f64| !number.is_finite() || **number < 0.0;
    if let Some(bad) = numbers.iter().find(is_bad) {
        return refused("that are finite and not negative", *bad);
    }
    let sum: f64 = numbers.iter().sum();
    if !(sum * n as f64).is_finite() {
        return refused("whose sum is finite", sum);
    }
    // Smaller numbers have too few digits to be compared.
    if sum > 0.0 && !(n as f64 / sum).is_finite() {
        return refused("that are not all tiny", sum);
    }
    Ok(())
}
