//! The variables of every store, and their join.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use anndata_io::AnnDataFile;
use feature_join::{Join, JoinError, JointVars, VarNames};

use crate::error::Error;
use crate::error::open::OpenError;
use crate::error::read::ReadError;
use crate::plan::ahead::{in_order, n_threads};
use crate::plan::{Plan, StorePlan};

/// Keeps equal lists of names only once.
#[derive(Default)]
pub(crate) struct SharedNames(HashSet<Arc<VarNames>>);

impl SharedNames {
    pub(crate) fn share(&mut self, names: VarNames) -> Arc<VarNames> {
        if let Some(known) = self.0.get(&names) {
            return known.clone();
        }
        let names = Arc::new(names);
        self.0.insert(names.clone());
        names
    }
}

pub(crate) fn read_names(file: &AnnDataFile) -> Result<VarNames, anndata_io::Error> {
    Ok(file.var_names()?.iter().collect())
}

/// Joins the variables of all stores.
pub(crate) fn join_vars(
    join: Join,
    names: &[Arc<VarNames>],
    files: &[PathBuf],
) -> Result<JointVars, OpenError> {
    JointVars::new(Some(join), names).map_err(|error| match error {
        JoinError::DuplicateName { store, name } => OpenError::DuplicateVariable {
            file: files[store].clone(),
            name,
        },
        JoinError::Disjoint => OpenError::Disjoint,
        error => OpenError::Join(error),
    })
}

impl Plan {
    /// The variables of every store, in order; equal lists are shared. Without a join, they are
    /// read now.
    pub(crate) fn var_list(&self) -> Result<Vec<Arc<VarNames>>, Error> {
        if let Some(names) = &self.var_names {
            return Ok(names.clone());
        }
        self.check_open()?;
        let mut names = SharedNames::default();
        let n_threads = n_threads(self.stores.iter().map(|store| &store.source));
        let mut lists = Vec::with_capacity(self.stores.len());
        let read = |store: &StorePlan| read_names(&store.source.open(&self.io)?);
        in_order(&self.stores, n_threads, read, |read| {
            let read = read.map_err(|error| ReadError::file(lists.len(), error))?;
            lists.push(names.share(read));
            Ok::<_, Error>(())
        })?;
        Ok(lists)
    }
}
