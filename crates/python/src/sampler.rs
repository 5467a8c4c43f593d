//! The rows of an epoch and their controls, as the package's Python half passes them.

use mapped_anndata::{MappedCollection, Matched, Mixture, Sampler};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::arguments::{Filter, filter_value, filter_values};
use crate::errors::to_python;

/// A sampler: a dict of these. At most one of `rows`, `balanced` and `mixture` is set. Without a
/// mixture, `weights` alone make a weighted sampler. If nothing is set, each row comes once.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SamplerParameters<'py> {
    rows: Option<PyReadonlyArray1<'py, u32>>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    /// An obs key.
    balanced: Option<String>,
    mixture: Option<MixtureParameters<'py>>,
    /// Whether each epoch receives its rows.
    drawn: bool,
    n_samples: Option<usize>,
    replacement: bool,
}

/// A mixture of the labels of an obs key, or of stores without a key.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct MixtureParameters<'py> {
    key: Option<String>,
    temperature: Option<f64>,
    /// The labels and their shares.
    labels: Vec<(Bound<'py, PyAny>, f64)>,
    /// The share of each store.
    stores: Vec<f64>,
}

impl MixtureParameters<'_> {
    fn parse(self) -> PyResult<Mixture> {
        Ok(match (self.key, self.temperature) {
            (None, None) => Mixture::StoreShares(self.stores),
            (None, Some(temperature)) => Mixture::Stores { temperature },
            (Some(key), Some(temperature)) => Mixture::Labels { key, temperature },
            (Some(key), None) => {
                let shares = self.labels.iter();
                let shares = shares.map(|(label, share)| Ok((filter_value(label)?, *share)));
                let shares = shares.collect::<PyResult<_>>()?;
                Mixture::LabelShares { key, shares }
            }
        })
    }
}

impl SamplerParameters<'_> {
    /// Returns the sampler. Reads the labels of a key.
    pub(crate) fn make(self, py: Python<'_>, cells: &MappedCollection) -> PyResult<Sampler> {
        let n_samples = self.n_samples;
        let weights = self.weights.map(|weights| weights.as_array().to_vec());
        Ok(if let Some(rows) = self.rows {
            Sampler::Rows(rows.as_array().iter().copied().collect())
        } else if let Some(mixture) = self.mixture {
            let mixture = mixture.parse()?;
            py.detach(|| cells.mixture_sampler(&mixture, n_samples, weights.as_deref()))
                .map_err(to_python)?
        } else if let Some(weights) = weights {
            Sampler::Weighted {
                weights: weights.into(),
                n_samples,
                replacement: self.replacement,
            }
        } else if let Some(key) = self.balanced {
            let mut sampler = py
                .detach(|| cells.balanced_sampler(&key))
                .map_err(to_python)?;
            if let Sampler::Weighted { n_samples: n, .. } = &mut sampler {
                *n = n_samples;
            }
            sampler
        } else if self.drawn {
            Sampler::Drawn([].into())
        } else {
            Sampler::All
        })
    }
}

/// Controls: a dict of these.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct MatchedParameters<'py> {
    keys: Vec<String>,
    control: Filter<'py>,
    drop_unmatched: bool,
}

impl MatchedParameters<'_> {
    /// Returns the controls of each row. Reads the labels of the keys.
    pub(crate) fn make(self, py: Python<'_>, cells: &MappedCollection) -> PyResult<Matched> {
        let control = self.control.into_iter();
        let control = control.map(|(key, values)| Ok((key, filter_values(&values)?)));
        let control = control.collect::<PyResult<Vec<_>>>()?;
        let matched = py.detach(|| cells.matched(self.keys, control));
        Ok(matched
            .map_err(to_python)?
            .drop_unmatched(self.drop_unmatched))
    }
}
