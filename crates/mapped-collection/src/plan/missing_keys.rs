//! Requested keys that no store has. Most are misspelt.

use std::collections::HashSet;
use std::fmt;

use anndata_io::nearest_name;

use crate::error::open::OpenError;
use crate::options::Options;
use crate::plan::Plan;
use crate::plan::filter::Seen;

/// A key that no store has. It is left out of every item.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingKey {
    /// `layers`, `obsm` or `obs`.
    pub group: &'static str,
    /// The requested key.
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
        let mut wanted: Vec<(&'static str, &String)> = Vec::new();
        let layers = options.layers_keys.iter().map(|key| ("layers", key));
        let names = layers.chain(options.obsm_keys.iter().map(|key| ("obsm", key)));
        for (number, key) in names.enumerate() {
            if !self.has_matrix(number) {
                wanted.push(key);
            }
        }
        for (number, key) in options.obs_keys.iter().enumerate() {
            if !self.has_column(number) {
                wanted.push(("obs", key));
            }
        }
        let filter_keys = options.obs_filter.keys();
        for (key, _) in filter_keys.zip(filtered).filter(|(_, seen)| !seen.column) {
            if !wanted.contains(&("obs", key)) {
                wanted.push(("obs", key));
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut existing: HashSet<(&str, String)> = HashSet::new();
        for store in &self.stores {
            let file = store.source.open(&self.io)?;
            existing.extend(
                file.layers_keys()?
                    .iter()
                    .map(|key| ("layers", key.to_string())),
            );
            existing.extend(file.obsm_keys()?.into_iter().map(|key| ("obsm", key)));
            existing.extend(file.obs_keys()?.into_iter().map(|key| ("obs", key)));
        }
        let missing = wanted.into_iter().map(|(group, key)| {
            let names = existing.iter().filter(|(name, _)| *name == group);
            let nearest = nearest_name(key, names.map(|(_, name)| name.as_str()));
            MissingKey {
                group,
                key: key.clone(),
                nearest,
            }
        });
        Ok(missing.collect())
    }
}
