//! Requested keys that no store has. Most are misspelt.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use anndata_io::{AnnDataFile, Error, nearest_name};

use crate::error::open::OpenError;
use crate::obs_table::ObsTable;
use crate::options::Options;
use crate::plan::ahead::{in_order, n_threads};
use crate::plan::filter::Seen;
use crate::plan::{Plan, StorePlan};

/// A key that no store has, or of several elements to try, a store has none. It is left out of items.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingKey {
    /// `layers`, `obsm` or `obs`.
    pub group: &'static str,
    /// The requested key.
    pub key: String,
    /// The elements that were tried.
    pub tried: Vec<String>,
    /// The store that has none of them; `None` if no store has.
    pub file: Option<PathBuf>,
    /// An existing key that resembles one of them.
    pub nearest: Option<String>,
}

impl fmt::Display for MissingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, tried) = (self.group, self.tried.join("|"));
        match &self.file {
            None => write!(f, "no store has {group} key {tried:?}")?,
            Some(file) => write!(f, "{}: has no {group} key {tried:?}", file.display())?,
        }
        match &self.nearest {
            Some(name) => write!(f, ": did you mean {name:?}?"),
            None => Ok(()),
        }
    }
}

/// The most stores whose keys are searched for one that resembles a key that only they lack.
const MOST_SEARCHED: usize = 10;

impl Plan {
    /// The keys of the options and of the filter that no store has. In a filter, a misspelt key
    /// would silently leave no row.
    pub(crate) fn find_missing(
        &self,
        options: &Options,
        filtered: &[Seen],
    ) -> Result<Vec<MissingKey>, OpenError> {
        let mut missing: Vec<MissingKey> = Vec::new();
        let mut lack = |group, key: &String, tried: Vec<String>, file: Option<&PathBuf>| {
            let known = missing
                .iter()
                .any(|known| (known.group, &known.key) == (group, key));
            if file.is_some() || !known {
                missing.push(MissingKey {
                    group,
                    key: key.clone(),
                    tried,
                    file: file.cloned(),
                    nearest: None,
                });
            }
        };
        // One element is left out without a word where a store lacks it, as in lamindb.
        let is_plain = |key: &String, tried: &[String]| tried == std::slice::from_ref(key);
        let layers = options.layers().into_iter();
        let layers = layers.map(|layer| ("layers", layer.names(), layer.name));
        let obsm = options.obsm_keys.iter();
        let obsm = obsm.map(|key| ("obsm", vec![key.clone()], key.clone()));
        for (number, (group, tried, key)) in layers.chain(obsm).enumerate() {
            if !self.has_matrix(number) {
                lack(group, &key, tried, None);
            } else if !is_plain(&key, &tried) {
                let stores = self.stores.iter();
                let without = stores.filter(|store| store.matrices[number].is_none());
                without.for_each(|store| lack(group, &key, tried.clone(), Some(&store.file)));
            }
        }
        for (number, key) in options.obs_keys.iter().enumerate() {
            let tried = options.columns_of(key).to_vec();
            if !self.has_column(number) {
                lack("obs", key, tried, None);
            } else if !is_plain(key, &tried) {
                let stores = self.stores.iter();
                let without = stores.filter(|store| store.columns[number].is_none());
                without.for_each(|store| lack("obs", key, tried.clone(), Some(&store.file)));
            }
        }
        let filter_keys = options.obs_filter.keys();
        for (key, _) in filter_keys.zip(filtered).filter(|(_, seen)| !seen.column) {
            lack("obs", key, options.columns_of(key).to_vec(), None);
        }
        self.find_nearest(&mut missing)?;
        Ok(missing)
    }

    /// Finds for each key an existing one that resembles it: in all stores, or in the one that lacks
    /// it.
    fn find_nearest(&self, missing: &mut [MissingKey]) -> Result<(), OpenError> {
        let table = self.table.iter().flat_map(ObsTable::column_names);
        let in_table: Vec<(&str, String)> = table.map(|key| ("obs", key.to_owned())).collect();
        let mut existing: HashSet<(&str, String)> = HashSet::new();
        if missing.iter().any(|key| key.file.is_none()) {
            let threads = n_threads(self.stores.iter().map(|store| &store.source));
            let read = |store: &StorePlan| keys_of(&store.source.open(&self.io)?);
            in_order(&self.stores, threads, read, |keys| {
                existing.extend(keys?);
                Ok::<(), OpenError>(())
            })?;
        }
        let mut n_searched = 0;
        for key in missing {
            let own = match &key.file {
                None => None,
                Some(_) if n_searched == MOST_SEARCHED => continue,
                Some(file) => {
                    n_searched += 1;
                    let mut stores = self.stores.iter();
                    let store = stores.find(|store| store.file == *file);
                    let file = store.expect("a store of the plan").source.open(&self.io)?;
                    Some(keys_of(&file)?.into_iter().collect::<HashSet<_>>())
                }
            };
            let names = own.as_ref().unwrap_or(&existing).iter().chain(&in_table);
            let names: Vec<&str> = names
                .filter(|(group, _)| *group == key.group)
                .map(|(_, name)| name.as_str())
                .collect();
            let near = |tried: &String| nearest_name(tried, names.iter().copied());
            key.nearest = key.tried.iter().find_map(near);
        }
        Ok(())
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
