//! Requested keys that no store has. Most are misspelt.

use std::collections::HashSet;
use std::fmt;

use anndata_io::{AnnDataFile, Error, nearest_name};

use crate::error::open::OpenError;
use crate::options::Options;
use crate::plan::ahead::{in_order, n_threads};
use crate::plan::filter::Seen;
use crate::plan::{Plan, StorePlan};

/// A key that no store has. It is left out of every item.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingKey {
    /// `layers`, `obsm` or `obs`.
    pub group: &'static str,
    /// The requested key; of several that were tried, all with `|` between them.
    pub key: String,
    /// An existing key that resembles it.
    pub nearest: Option<String>,
}

impl fmt::Display for MissingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no store has {} key {:?}", self.group, self.key)?;
        match &self.nearest {
            Some(name) => write!(f, ": did you mean {name:?}?"),
            None => Ok(()),
        }
    }
}

impl Plan {
    /// The keys of the options and of the filter that no store has. In a filter, a misspelt key
    /// would silently leave no row.
    pub(crate) fn find_missing(
        &self,
        options: &Options,
        filtered: &[Seen],
    ) -> Result<Vec<MissingKey>, OpenError> {
        let mut wanted: Vec<(&'static str, Vec<String>)> = Vec::new();
        let layers = options.layers().into_iter();
        let layers = layers.map(|layer| ("layers", layer.names()));
        let obsm = options
            .obsm_keys
            .iter()
            .map(|key| ("obsm", vec![key.clone()]));
        for (number, key) in layers.chain(obsm).enumerate() {
            if !self.has_matrix(number) {
                wanted.push(key);
            }
        }
        for (number, key) in options.obs_keys.iter().enumerate() {
            if !self.has_column(number) {
                wanted.push(("obs", options.columns_of(key).to_vec()));
            }
        }
        let filter_keys = options.obs_filter.keys();
        for (key, _) in filter_keys.zip(filtered).filter(|(_, seen)| !seen.column) {
            let key = ("obs", options.columns_of(key).to_vec());
            if !wanted.contains(&key) {
                wanted.push(key);
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut existing: HashSet<(&str, String)> = HashSet::new();
        let threads = n_threads(self.stores.iter().map(|store| &store.source));
        let read = |store: &StorePlan| keys_of(&store.source.open(&self.io)?);
        in_order(&self.stores, threads, read, |keys| {
            existing.extend(keys?);
            Ok::<(), OpenError>(())
        })?;
        let missing = wanted.into_iter().map(|(group, keys)| {
            let names = || existing.iter().filter(|(name, _)| *name == group);
            let near = |key: &String| nearest_name(key, names().map(|(_, name)| name.as_str()));
            MissingKey {
                group,
                nearest: keys.iter().find_map(near),
                key: keys.join("|"),
            }
        });
        Ok(missing.collect())
    }
}

/// The groups and names of all keys of a file.
fn keys_of(file: &AnnDataFile) -> Result<Vec<(&'static str, String)>, Error> {
    let layers = file.layers_keys()?;
    let layers = layers.iter().map(|key| ("layers", key.to_string()));
    let mut keys: Vec<_> = layers.collect();
    keys.extend(file.obsm_keys()?.into_iter().map(|key| ("obsm", key)));
    keys.extend(file.obs_keys()?.into_iter().map(|key| ("obs", key)));
    Ok(keys)
}
