//! Keys that were asked for and that no store has: most are misspelt.

use std::collections::HashSet;

use anndata_io::nearest_name;

use crate::error::Error;
use crate::options::Options;
use crate::plan::Plan;
use crate::plan::filter::Seen;

/// A key that no store has: it is left out of every item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKey {
    /// `layers`, `obsm` or `obs`.
    pub group: &'static str,
    /// The key that was asked for.
    pub key: String,
    /// An existing key that resembles it.
    pub nearest: Option<String>,
}

impl Plan {
    /// The keys that no store has: of the options, and of the filter, where a misspelt one would
    /// leave no row without a word.
    pub(crate) fn find_missing(
        &self,
        options: &Options,
        filtered: &[Seen],
    ) -> Result<Vec<MissingKey>, Error> {
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
            match &nearest {
                Some(name) => {
                    tracing::warn!("no store has {group} key {key:?}: did you mean {name:?}?")
                }
                None => tracing::warn!("no store has {group} key {key:?}"),
            }
            MissingKey {
                group,
                key: key.clone(),
                nearest,
            }
        });
        Ok(missing.collect())
    }
}
