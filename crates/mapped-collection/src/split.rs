//! Splits of a collection into parts, as lists of rows, and samplers made of labels.

use std::collections::BTreeMap;

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::order::Sampler;
use crate::order::shuffle::{Purpose, permutation_for};

/// How rows are divided.
#[derive(Debug, Clone, PartialEq)]
pub enum Split {
    /// Each row by itself.
    Rows,
    /// Each label of an obs key is divided in the same fractions; missing is a label of its own.
    Stratified(String),
    /// All rows of one label of an obs key (a donor, say) stay together; rows without a label
    /// form one group. The fractions are met as well as whole groups allow.
    Grouped(String),
}

/// Fractions, a way to divide, and a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitOptions {
    /// The share of each part, which must be positive and sum to at most 1.
    pub fractions: Vec<f64>,
    /// How rows are divided.
    pub split: Split,
    /// Fixes the outcome.
    pub seed: u64,
}

impl MappedCollection {
    /// Divides the rows: one ascending list of rows for each fraction, disjoint, ready for
    /// [`Sampler::Rows`] or to be stored. With fractions that sum to 1 every row is in one of them.
    ///
    /// # Errors
    /// When a fraction is not positive, they sum to more than 1, or no store has the obs key.
    pub fn split(&self, options: &SplitOptions) -> Result<Vec<Vec<u32>>, Error> {
        let SplitOptions {
            fractions,
            split,
            seed,
        } = options;
        let total: f64 = fractions.iter().sum();
        if fractions.iter().any(|&f| f.is_nan() || f <= 0.0) || total > 1.0 + 1e-9 {
            return Err(Error::Option {
                option: "fractions",
                expected: "positive numbers that sum to at most 1".to_owned(),
                found: format!("{fractions:?}"),
            });
        }
        let n_obs = u32::try_from(self.n_obs()).map_err(|_| Error::Option {
            option: "split",
            expected: "less than 2^32 rows".to_owned(),
            found: self.n_obs().to_string(),
        })?;
        let mut parts = match split {
            Split::Rows => cut(&permutation_for(n_obs, *seed, 0, Purpose::Split), fractions),
            Split::Stratified(key) => {
                let mut parts = vec![Vec::new(); fractions.len()];
                let order = permutation_for(n_obs, *seed, 0, Purpose::Split);
                for rows in self.groups(key, &order)?.values() {
                    for (part, rows) in parts.iter_mut().zip(cut(rows, fractions)) {
                        part.extend(rows);
                    }
                }
                parts
            }
            Split::Grouped(key) => {
                let all: Vec<u32> = (0..n_obs).collect();
                let groups: Vec<Vec<u32>> = self.groups(key, &all)?.into_values().collect();
                let order = permutation_for(groups.len() as u32, *seed, 0, Purpose::Split);
                assign(&groups, &order, fractions, n_obs)
            }
        };
        parts.iter_mut().for_each(|part| part.sort_unstable());
        Ok(parts)
    }

    /// The rows of each label, in the order given.
    fn groups(&self, key: &str, order: &[u32]) -> Result<BTreeMap<u32, Vec<u32>>, Error> {
        let labels = self.merged_labels(key)?;
        let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &row in order {
            groups
                .entry(labels.codes()[row as usize])
                .or_default()
                .push(row);
        }
        Ok(groups)
    }

    /// Draws rows with the weights of their labels, with replacement: every combination of
    /// labels of `keys` equally often (or as the scaler has it), missing as a class of its own.
    ///
    /// # Errors
    /// As [`label_weights`](Self::label_weights).
    pub fn weighted_sampler<S: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = S>,
        scaler: Option<f64>,
    ) -> Result<Sampler, Error> {
        let weights = self.label_weights(keys)?.weights(scaler).into();
        Ok(Sampler::Weighted {
            weights,
            n_samples: None,
            replacement: true,
        })
    }

    /// Draws rows so that every label of `key` comes equally often, with replacement; rows
    /// without a label never come.
    ///
    /// # Errors
    /// When no store has the key, or it cannot be read.
    pub fn balanced_sampler(&self, key: &str) -> Result<Sampler, Error> {
        let labels = self.merged_labels(key)?;
        let mut counts = vec![0u64; labels.labels().len()];
        let codes = || labels.codes().iter().map(|&code| code as usize);
        for code in codes() {
            // A missing label has a code past the last.
            if let Some(count) = counts.get_mut(code) {
                *count += 1;
            }
        }
        let weights = codes().map(|code| counts.get(code).map_or(0.0, |&count| 1.0 / count as f64));
        Ok(Sampler::Weighted {
            weights: weights.collect(),
            n_samples: None,
            replacement: true,
        })
    }
}

/// Cuts a list where the fractions, added up, say.
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

/// Gives whole groups, in this order, to the part that is furthest below its share; groups that
/// would take every part beyond its share are left out when the fractions leave room.
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

#[cfg(test)]
mod tests {
    use anndata_io::{MemoryStore, Values};

    use super::*;

    fn cells() -> MappedCollection {
        let names: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let store = MemoryStore::new("a")
            .dataframe("obs", &names)
            .dataframe("var", &["g"])
            .array("X", &[100, 1], Values::F32(vec![0.0; 100]))
            .categorical(
                "obs/type",
                (0..100).map(|i| i8::from(i >= 80)).collect(),
                &["a", "b"],
            )
            .categorical(
                "obs/donor",
                (0..100).map(|i| (i % 10) as i8 - 1).collect(),
                &["0", "1", "2", "3", "4", "5", "6", "7", "8"],
            );
        MappedCollection::builder([store])
            .open()
            .expect("a valid store")
    }

    fn split(split: Split, fractions: &[f64]) -> Vec<Vec<u32>> {
        let options = SplitOptions {
            fractions: fractions.to_vec(),
            split,
            seed: 3,
        };
        cells().split(&options).expect("valid options")
    }

    #[test]
    fn parts_are_disjoint_and_cover() {
        for way in [
            Split::Rows,
            Split::Stratified("type".into()),
            Split::Grouped("donor".into()),
        ] {
            let parts = split(way.clone(), &[0.7, 0.2, 0.1]);
            let mut all = parts.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..100), "{way:?}");
            assert_eq!(
                parts.iter().map(Vec::len).collect::<Vec<_>>(),
                [70, 20, 10],
                "{way:?}"
            );
        }
    }

    #[test]
    fn strata_keep_their_shares_and_groups_stay_whole() {
        for part in split(Split::Stratified("type".into()), &[0.5, 0.5]) {
            assert_eq!(part.iter().filter(|&&row| row >= 80).count(), 10);
        }
        let parts = split(Split::Grouped("donor".into()), &[0.5, 0.3]);
        for donor in 0..10 {
            let holds = |part: &Vec<u32>| part.iter().any(|row| row % 10 == donor);
            assert!(parts.iter().filter(|part| holds(part)).count() <= 1);
        }
        assert_eq!(parts.concat().len(), 80);
    }

    #[test]
    fn a_balanced_sampler_ignores_missing_labels() {
        let Sampler::Weighted { weights, .. } =
            cells().balanced_sampler("donor").expect("a column")
        else {
            panic!("it is weighted");
        };
        assert!(
            weights
                .iter()
                .enumerate()
                .all(|(row, &w)| w == if row % 10 == 0 { 0.0 } else { 0.1 })
        );
        assert!(
            cells()
                .split(&SplitOptions {
                    fractions: vec![0.9, 0.2],
                    split: Split::Rows,
                    seed: 0
                })
                .is_err()
        );
    }
}
