//! Makes samplers from labels.

use label_encoding::Label;

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::error::labels::quoted;
use crate::options::FilterValue;
use crate::order::mixture::MixtureGroup;
use crate::order::sampler::{Sampler, check_one_per_row, n_positive};
use crate::plan::label_positions::LabelIndex;
use crate::plan::labels::MergedLabels;

/// The groups of a [mixture](MappedCollection::mixture_sampler), and how the draws of an epoch are
/// divided among them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Mixture {
    /// The rows of each store. A store of `n` rows has a share of `n^temperature`.
    Stores {
        /// With 1, stores come as often as without a mixture; with 0, equally often.
        temperature: f64,
    },
    /// The rows of each store, with one share per store.
    StoreShares(Vec<f64>),
    /// The rows of each label of an obs key. A label of `n` rows has a share of `n^temperature`.
    /// Rows without a label never come.
    Labels {
        /// The obs key. It need not be among those that the collection reads.
        key: String,
        /// With 1, labels come as often as without a mixture; with 0, equally often.
        temperature: f64,
    },
    /// The rows of these labels of an obs key, with a share for each. Other rows never come.
    LabelShares {
        /// The obs key. It need not be among those that the collection reads.
        key: String,
        /// Labels, and their shares.
        shares: Vec<(FilterValue, f64)>,
    },
}

impl MappedCollection {
    /// A sampler that draws rows by the weights of their labels, with replacement. Without a
    /// scaler, every combination of labels of `keys` comes equally often. Missing counts as a class
    /// of its own.
    ///
    /// # Errors
    /// As [`label_weights`](Self::label_weights).
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Sampler};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let sampler = cells.weighted_sampler(["cell_type"], None)?;
    /// let Sampler::Weighted { weights, .. } = &sampler else { panic!("it is weighted") };
    /// // Three T cells, a B cell, and a cell without a label.
    /// assert_eq!(weights[..], [1. / 3., 1., 1. / 3., 1. / 3., 1.]);
    /// assert_eq!(cells.loader(LoaderOptions::new(2).sampler(sampler))?.n_rows(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// A sampler that draws rows with replacement, so that every label of `key` comes equally
    /// often. Rows without a label never come.
    ///
    /// # Errors
    /// When no store has the key, or it cannot be read.
    ///
    /// ```
    /// use mapped_collection::Sampler;
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// let sampler = cells.balanced_sampler("cell_type")?;
    /// let Sampler::Weighted { weights, .. } = sampler else { panic!("it is weighted") };
    /// assert_eq!(weights[..], [1. / 3., 1., 1. / 3., 1. / 3., 0.]); // the last has no label
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn balanced_sampler(&self, key: &str) -> Result<Sampler, Error> {
        let labels = self.united_labels(key)?;
        let mut counts = vec![0u64; labels.labels().len() + 1];
        labels.positions().for_each(|label| counts[label] += 1);
        let missing = labels.labels().len();
        let weight = |label: usize| match label == missing {
            true => 0.0,
            false => 1.0 / counts[label] as f64,
        };
        let weights = labels.positions().map(weight);
        Ok(Sampler::Weighted {
            weights: weights.collect(),
            n_samples: None,
            replacement: true,
        })
    }

    /// A sampler that draws a fixed number of rows of each group per epoch: `n_samples` (by default,
    /// as many as there are rows), divided in proportion to the shares by the largest remainder. Of
    /// equal remainders, the first group has one more. Labels have the order of
    /// [`merged_labels`](Self::merged_labels), and a missing label comes last.
    ///
    /// Within a group, all rows are equally likely, or follow `weights` (one per row of the
    /// collection); rows of weight 0 never come, and do not count. A group draws without
    /// replacement, unless it has fewer rows than draws; then it draws with replacement.
    ///
    /// # Errors
    /// When no store has the key or a label, a label has two shares, or a group with a share has no
    /// rows. The loader refuses shares and weights that are not usable.
    ///
    /// ```
    /// use mapped_collection::{LoaderOptions, Mixture};
    ///
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// // Three T cells and one B cell, as 3^0.5 to 1^0.5.
    /// let mixture = Mixture::Labels { key: "cell_type".into(), temperature: 0.5 };
    /// let sampler = cells.mixture_sampler(&mixture, Some(100), None)?;
    /// let loader = cells.loader(LoaderOptions::new(100).sampler(sampler))?;
    /// let batch = loader.epoch(0).next().expect("a batch")?;
    /// let codes = batch.codes("cell_type").expect("it is encoded");
    /// assert_eq!(codes.iter().filter(|&&code| code == 1).count(), 63);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mixture_sampler(
        &self,
        mixture: &Mixture,
        n_samples: Option<usize>,
        weights: Option<&[f64]>,
    ) -> Result<Sampler, Error> {
        let n_obs = self.n_obs();
        if let Some(weights) = weights {
            check_one_per_row(weights, n_obs)?;
        }
        let key = match mixture {
            Mixture::Stores { .. } | Mixture::StoreShares(_) => None,
            Mixture::Labels { key, .. } | Mixture::LabelShares { key, .. } => Some(key),
        };
        let labels = key.map(|key| self.united_labels(key)).transpose()?;
        // Groups of labels have the order of the labels, whatever that of the shares.
        let rows = match &labels {
            None => self.rows_of_stores(),
            Some(labels) => labels.rows_by_label(),
        };
        let labels = labels.as_ref().map_or(&[][..], MergedLabels::labels);
        let shares = match mixture {
            Mixture::StoreShares(shares) => shares.clone(),
            Mixture::LabelShares { key, shares } => by_label(key, labels, shares)?,
            Mixture::Stores { temperature } => by_temperature(&rows, weights, *temperature),
            Mixture::Labels { temperature, .. } => {
                let mut shares = by_temperature(&rows[..labels.len()], weights, *temperature);
                // Rows without a label come last, and never come.
                shares.push(0.0);
                shares
            }
        };
        if shares.len() != rows.len() {
            let found = format!("{} for {} stores", shares.len(), rows.len());
            return Err(Error::option("sampler", "one share per store", found));
        }
        let mut groups = rows.iter().zip(&shares);
        if let Some(empty) = groups.position(|(rows, share)| rows.is_empty() && *share > 0.0) {
            let name = match (key, labels.get(empty)) {
                (None, _) => format!("store {empty}"),
                (Some(key), Some(label)) => format!("the label {} of {key:?}", quoted(label)),
                (Some(key), None) => format!("the missing label of {key:?}"),
            };
            let found = format!("a share of {:?} for {name}, which has none", shares[empty]);
            return Err(Error::option("sampler", "rows for each share", found));
        }
        let group = |(rows, share): (Vec<u32>, f64)| MixtureGroup {
            weights: weights.map(|weights| rows.iter().map(|&row| weights[row as usize]).collect()),
            rows: rows.into(),
            share,
        };
        Ok(Sampler::Mixture {
            groups: rows.into_iter().zip(shares).map(group).collect(),
            n_samples: n_samples.unwrap_or_else(|| weights.map_or(n_obs, n_positive)),
        })
    }

    fn rows_of_stores(&self) -> Vec<Vec<u32>> {
        let mut end = 0;
        let stores = self.plan().stores.iter().map(|store| {
            let start = end;
            end += store.rows.len() as u32;
            (start..end).collect()
        });
        stores.collect()
    }
}

/// The share of each label, then that of a missing one.
///
/// # Errors
/// When a label does not exist, or has two shares.
fn by_label(key: &str, labels: &[Label], shares: &[(FilterValue, f64)]) -> Result<Vec<f64>, Error> {
    let index = LabelIndex::new(labels);
    let mut found = vec![None; labels.len() + 1];
    for (value, share) in shares {
        let position = index.position("sampler", key, value)?;
        if found[position].replace(*share).is_some() {
            let label = labels.get(position).map(quoted);
            let label = label.unwrap_or("the missing label".into());
            let found = format!("{label} of {key:?} twice");
            return Err(Error::option("sampler", "one share per label", found));
        }
    }
    Ok(found.into_iter().map(Option::unwrap_or_default).collect())
}

/// The share `n^temperature` of each group of `n` rows with a positive weight; 0 if it has none.
fn by_temperature(rows: &[Vec<u32>], weights: Option<&[f64]>, temperature: f64) -> Vec<f64> {
    let may_come = |&&row: &&u32| weights.is_none_or(|weights| weights[row as usize] > 0.0);
    let share = |rows: &Vec<u32>| match rows.iter().filter(may_come).count() {
        0 => 0.0,
        n => libm::pow(n as f64, temperature),
    };
    rows.iter().map(share).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use anndata_io::{MemoryStore, Values};

    use super::*;
    use crate::loader::options::LoaderOptions;
    use crate::order::{Order, Shuffle};

    pub(crate) fn cells() -> MappedCollection {
        let store = |name: &str, n: usize, donors: Vec<i8>| {
            let names: Vec<String> = (0..n).map(|i| i.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            MemoryStore::new(name)
                .dataframe("obs", &names)
                .dataframe("var", &["g"])
                .array("X", &[n as u64, 1], Values::F32(vec![0.0; n]))
                .categorical("obs/donor", donors, &["a", "b", "unused"])
        };
        let stores = [
            store("first", 8, vec![0, 0, 0, 0, 1, 1, -1, -1]),
            store("second", 2, vec![1, 0]),
        ];
        MappedCollection::builder(stores)
            .open()
            .expect("valid stores")
    }

    /// The rows of the groups with a share, and the number of draws of each in an epoch.
    fn groups(
        mixture: &Mixture,
        n_samples: Option<usize>,
    ) -> Result<Vec<(Vec<u32>, usize)>, String> {
        let cells = cells();
        let text = |error: Error| error.to_string();
        let sampler = cells
            .mixture_sampler(mixture, n_samples, None)
            .map_err(text)?;
        let loader = cells.loader(LoaderOptions::new(1).sampler(sampler.clone()));
        let _ = loader.map_err(text)?;
        let Sampler::Mixture { groups, .. } = &sampler else {
            panic!("it is a mixture");
        };
        let order = Order::new(cells.n_obs(), &sampler, Shuffle::None, 0, 0);
        let n_of = |rows: &[u32]| {
            let drawn = (0..order.len()).map(|at| order.row(at) as u32);
            drawn.filter(|row| rows.contains(row)).count()
        };
        let groups = groups.iter().filter(|group| group.share > 0.0);
        Ok(groups
            .map(|group| (group.rows.to_vec(), n_of(&group.rows)))
            .collect())
    }

    #[test]
    fn mixture_of_stores_divides_draws_by_temperature() {
        let of = |temperature| {
            let groups = groups(&Mixture::Stores { temperature }, None).expect("usable");
            groups.into_iter().map(|(_, n)| n).collect::<Vec<_>>()
        };
        assert_eq!(
            [of(1.0), of(0.0), of(0.5), of(-1.0)],
            [[8, 2], [5, 5], [7, 3], [2, 8]]
        );
    }

    #[test]
    fn mixture_of_labels_leaves_out_rows_without_one() {
        let by_size = Mixture::Labels {
            key: "donor".into(),
            temperature: 1.0,
        };
        let expected = [(vec![0, 1, 2, 3, 9], 5), (vec![4, 5, 8], 3)];
        assert_eq!(groups(&by_size, Some(8)).expect("usable"), expected);
        let shares = vec![(FilterValue::Missing, 1.0), ("b".into(), 3.0)];
        let given = Mixture::LabelShares {
            key: "donor".into(),
            shares,
        };
        // 7.5 and 2.5: of equal remainders, the first is rounded up.
        let expected = [(vec![4, 5, 8], 8), (vec![6, 7], 2)];
        assert_eq!(groups(&given, None).expect("usable"), expected);
    }

    #[test]
    fn rows_of_weight_0_do_not_count_in_a_mixture() {
        let mut weights = vec![1.0; 10];
        weights[..6].fill(0.0);
        let mixture = Mixture::Stores { temperature: 1.0 };
        let sampler = cells().mixture_sampler(&mixture, None, Some(&weights));
        let Ok(Sampler::Mixture { groups, n_samples }) = sampler else {
            panic!("it is a mixture");
        };
        let shares: Vec<f64> = groups.iter().map(|group| group.share).collect();
        assert_eq!((n_samples, &shares[..]), (4, &[2.0, 2.0][..]));
    }

    #[test]
    fn mixtures_without_a_meaning_are_refused() {
        let labels = |labels: &[&str], share: f64| Mixture::LabelShares {
            key: "donor".into(),
            shares: labels.iter().map(|&label| (label.into(), share)).collect(),
        };
        let cases = [
            (Mixture::StoreShares(vec![1.0]), "1 for 2 stores"),
            (
                Mixture::StoreShares(vec![1e307, 1e307]),
                "whose sum is finite",
            ),
            (Mixture::StoreShares(vec![1.0, f64::NAN]), "not negative"),
            (Mixture::StoreShares(vec![0.0, 0.0]), "a share for 10 draws"),
            (
                Mixture::Stores {
                    temperature: f64::INFINITY,
                },
                "not negative",
            ),
            (labels(&["B"], 1.0), "did you mean \"b\"?"),
            (labels(&["a", "a"], 1.0), "twice"),
            (labels(&["unused"], 1.0), "which has none"),
            (labels(&[], 1.0), "a share for 10 draws"),
        ];
        for (mixture, expected) in cases {
            let error = groups(&mixture, None).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn balanced_sampler_ignores_missing_labels() {
        let Sampler::Weighted { weights, .. } =
            cells().balanced_sampler("donor").expect("a column")
        else {
            panic!("it is weighted");
        };
        let (a, b) = (0.2, 1.0 / 3.0);
        assert_eq!(weights[..], [a, a, a, a, b, b, 0.0, 0.0, b, a]);
    }
}
