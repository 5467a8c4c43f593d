//! Rows divided into parts.

use std::collections::BTreeMap;

use crate::error::option::OptionError;
use crate::order::shuffle::{Purpose, permutation_for};

/// How rows are divided.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum SplitBy {
    /// Each row by itself.
    #[default]
    Rows,
    /// The rows of each label of an obs key are divided by the same fractions. Missing counts as a
    /// label of its own.
    Stratified(String),
    /// All rows of one label of an obs key (such as a donor) stay together. Rows without a label
    /// form one group. The parts meet the fractions as well as whole groups allow.
    Grouped(String),
}

/// Fractions, a way to divide, and a seed.
///
/// ```
/// use mapped_collection::{SplitBy, SplitOptions};
///
/// let options = SplitOptions::new([0.8, 0.2]).by(SplitBy::Grouped("donor".into())).seed(7);
/// assert_eq!(options.get_seed(), 7);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SplitOptions {
    pub(crate) fractions: Vec<f64>,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) by: SplitBy,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) seed: u64,
}

impl SplitOptions {
    /// Parts of these shares, with each row by itself. Shares must be positive and sum to at most
    /// 1.
    pub fn new(fractions: impl IntoIterator<Item = f64>) -> Self {
        SplitOptions {
            fractions: fractions.into_iter().collect(),
            by: SplitBy::Rows,
            seed: 0,
        }
    }

    /// How rows are divided. By default, each by itself.
    pub fn by(mut self, by: SplitBy) -> Self {
        self.by = by;
        self
    }

    /// Fixes the outcome. By default, 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The share of each part.
    pub fn get_fractions(&self) -> &[f64] {
        &self.fractions
    }

    /// [`by`](Self::by) as set.
    pub fn get_by(&self) -> &SplitBy {
        &self.by
    }

    /// [`seed`](Self::seed) as set.
    pub fn get_seed(&self) -> u64 {
        self.seed
    }
}

impl SplitBy {
    /// The obs key whose labels decide.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            SplitBy::Rows => None,
            SplitBy::Stratified(key) | SplitBy::Grouped(key) => Some(key),
        }
    }
}

/// Divides `n_obs` rows into one ascending list per fraction. `labels` has one number per row,
/// equal for equal labels. Only [`SplitBy::Rows`] does without it.
///
/// # Errors
/// When a fraction is not positive, the fractions sum to more than 1, or there are 2^32 rows or
/// more.
pub(crate) fn split_rows(
    n_obs: usize,
    options: &SplitOptions,
    labels: &[u32],
) -> Result<Vec<Vec<u32>>, OptionError> {
    let SplitOptions {
        fractions,
        by,
        seed,
    } = options;
    let total: f64 = fractions.iter().sum();
    if fractions.iter().any(|&f| f.is_nan() || f <= 0.0) || total > 1.0 + 1e-9 {
        let expected = "positive numbers that sum to at most 1";
        return Err(OptionError::new(
            "fractions",
            expected,
            format!("{fractions:?}"),
        ));
    }
    let too_many = |_| OptionError::new("split", "fewer than 2^32 rows", n_obs);
    let n_obs = u32::try_from(n_obs).map_err(too_many)?;
    let shuffled = |n: u32| permutation_for(n, *seed, 0, Purpose::Split);
    let mut parts = match by {
        SplitBy::Rows => cut(&shuffled(n_obs), fractions),
        SplitBy::Stratified(_) => {
            let mut parts = vec![Vec::new(); fractions.len()];
            for rows in groups(labels, shuffled(n_obs)) {
                for (part, rows) in parts.iter_mut().zip(cut(&rows, fractions)) {
                    part.extend(rows);
                }
            }
            parts
        }
        SplitBy::Grouped(_) => {
            let groups = groups(labels, 0..n_obs);
            let order = shuffled(groups.len() as u32);
            assign(&groups, &order, fractions, n_obs)
        }
    };
    parts.iter_mut().for_each(|part| part.sort_unstable());
    Ok(parts)
}

/// The rows of each label, in the order given.
fn groups(labels: &[u32], rows: impl IntoIterator<Item = u32>) -> Vec<Vec<u32>> {
    let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for row in rows {
        groups.entry(labels[row as usize]).or_default().push(row);
    }
    groups.into_values().collect()
}

/// Cuts a list at the cumulative fractions.
fn cut(rows: &[u32], fractions: &[f64]) -> Vec<Vec<u32>> {
    let mut sum = 0.0;
    let mut start = 0;
    let part = |&fraction: &f64| {
        sum += fraction;
        let end = ((rows.len() as f64 * sum).round() as usize).clamp(start, rows.len());
        let part = rows[start..end].to_vec();
        start = end;
        part
    };
    fractions.iter().map(part).collect()
}

/// Assigns whole groups, in this order, to the part that is furthest below its share. If the
/// fractions sum to less than 1, leaves out groups that would take every part beyond its share.
fn assign(groups: &[Vec<u32>], order: &[u32], fractions: &[f64], n_obs: u32) -> Vec<Vec<u32>> {
    let rest = 1.0 - fractions.iter().sum::<f64>();
    let shares: Vec<f64> = fractions
        .iter()
        .copied()
        .chain((rest > 1e-9).then_some(rest))
        .collect();
    let mut parts = vec![Vec::new(); shares.len()];
    for &group in order {
        let lack = |part: usize| shares[part] * f64::from(n_obs) - parts[part].len() as f64;
        let most = (0..shares.len()).max_by(|&a, &b| lack(a).total_cmp(&lack(b)));
        if let Some(part) = most {
            parts[part].extend_from_slice(&groups[group as usize]);
        }
    }
    parts.truncate(fractions.len());
    parts
}
