//! The variables of every store, and their join.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use anndata_io::AnnDataFile;
use feature_join::{Join, JoinError, JointVars, VarNames};

use crate::error::Error;
use crate::plan::Plan;

/// Lists of names that are equal are kept once.
#[derive(Default)]
pub(crate) struct SharedNames(HashSet<Arc<VarNames>>);

impl SharedNames {
    pub(crate) fn share(&mut self, file: &AnnDataFile) -> Result<Arc<VarNames>, Error> {
        let names: VarNames = file.var_names()?.iter().collect();
        if let Some(known) = self.0.get(&names) {
            return Ok(known.clone());
        }
        let names = Arc::new(names);
        self.0.insert(names.clone());
        Ok(names)
    }
}

/// Joins the variables of all stores.
pub(crate) fn join_vars(
    join: Join,
    names: &[Arc<VarNames>],
    files: &[PathBuf],
) -> Result<JointVars, Error> {
    JointVars::new(Some(join), names).map_err(|error| match error {
        JoinError::DuplicateName { store, name } => Error::DuplicateVariable {
            file: files[store].clone(),
            name,
        },
        error => Error::Join(error),
    })
}

impl Plan {
    /// The variables of every store, in order, equal lists once. Without a join they are read now.
    pub(crate) fn var_list(&self) -> Result<Vec<Arc<VarNames>>, Error> {
        if let Some(names) = &self.var_names {
            return Ok(names.clone());
        }
        self.check_open()?;
        let mut names = SharedNames::default();
        let stores = self.stores.iter();
        stores
            .map(|store| names.share(&store.source.open(&self.io)?))
            .collect()
    }
}
