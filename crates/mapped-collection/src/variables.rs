//! The variables of a collection: joint ones, and those of its stores.

use std::sync::Arc;

use feature_join::{Join, VarNames};

use crate::collection::MappedCollection;
use crate::error::Error;
use crate::error::open::StoreMismatch;
use crate::error::overlap::{GeneOverlap, LowOverlap};
use crate::plan::overlap::store_mismatch;
use crate::plan::variables::Joint;

impl MappedCollection {
    /// The join that was requested.
    pub fn join(&self) -> Option<Join> {
        self.options().join
    }

    /// The join in effect. `None` without a join, and when all stores have equal variables of which
    /// none is dropped or summed.
    pub fn join_vars(&self) -> Option<Join> {
        self.plan().joint()?.vars.effective()
    }

    /// The joint variables; `None` without a join.
    pub fn var_joint(&self) -> Option<&Arc<VarNames>> {
        let plan = self.plan();
        plan.names_of(plan.joint()?)
    }

    /// The joint variables of a matrix; `None` if the rows of each store have its own variables, and
    /// if there is no such matrix.
    ///
    /// ```
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// assert_eq!(cells.vars_of("X"), cells.var_joint());
    /// assert_eq!(cells.vars_of("raw.X"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn vars_of(&self, key: &str) -> Option<&Arc<VarNames>> {
        let plan = self.plan();
        plan.vars_of(plan.matrix_key(key)?)
    }

    /// lamindb's `var_indices`, one list per store. With an outer join, the joint position of each
    /// variable of the store, -1 for one that was dropped. With other joins, the position in the
    /// store of each joint variable, -1 if the store lacks it. `None` without a join in effect.
    pub fn var_indices(&self) -> Option<Vec<Vec<i64>>> {
        let joint = &self.plan().joint()?.vars;
        (0..self.n_stores())
            .map(|store| joint.indices(store))
            .collect()
    }

    /// How many of the given [genes](crate::MappedCollectionBuilder::genes) each store has; empty without
    /// such a list. A store has two entries if `X` or a layer is requested beside `raw.X`.
    pub fn gene_overlaps(&self) -> &[GeneOverlap] {
        &self.plan().overlaps.all
    }

    /// The stores whose overlap with the given genes is below
    /// [`min_overlap`](crate::MappedCollectionBuilder::min_overlap).
    pub fn low_overlaps(&self) -> &[LowOverlap] {
        &self.plan().overlaps.low
    }

    /// For each store, the number of variables without a name in the
    /// [column](crate::MappedCollectionBuilder::var_key) that they are joined by. They are dropped. Empty
    /// without a join.
    pub fn n_unnamed(&self) -> Vec<usize> {
        let names = self.plan().joint().map(|joint| joint.names.iter());
        let n_unnamed = names.into_iter().flatten().map(|names| names.n_unnamed());
        n_unnamed.collect()
    }

    /// A likely reason why the stores share few variables, and the option that helps; `None` if
    /// none is found, or if variables are given or not joined. Reads the columns of var of two stores.
    ///
    /// # Errors
    /// When the collection is closed.
    pub fn store_mismatch(&self) -> Result<Option<StoreMismatch>, Error> {
        let plan = self.plan();
        plan.check_open()?;
        let joint = plan.joint().filter(|_| plan.genes.is_none());
        let find = |joint: &Joint| {
            let names = (joint.names.as_slice(), joint.tables.as_slice());
            store_mismatch(self.options(), &plan.io, &plan.stores, names)
        };
        Ok(joint.and_then(find))
    }

    /// Which joint variables a store has: `[n_vars] bool`. A variable that it lacks is 0 in its
    /// rows, and an item does not show whether a 0 was measured. `None` without a join, or if there
    /// is no such store.
    pub fn presence(&self, store: usize) -> Option<Vec<bool>> {
        self.plan().joint()?.vars.presence(store)
    }

    /// As [`presence`](Self::presence), for the variables of a matrix: see
    /// [`vars_of`](Self::vars_of).
    ///
    /// ```
    /// # let cells = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/cells.rs"));
    /// assert_eq!(cells.presence_of("X", 0), Some(vec![true, true]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn presence_of(&self, key: &str, store: usize) -> Option<Vec<bool>> {
        let plan = self.plan();
        plan.joint_of(plan.matrix_key(key)?)?.vars.presence(store)
    }

    /// The names that every store is joined by, in order.
    ///
    /// # Errors
    /// Without a join, the variables are read now. That may fail.
    pub fn var_list(&self) -> Result<Vec<Arc<VarNames>>, Error> {
        self.plan().var_list(self.options())
    }

    /// Whether the variables of every store are sorted by code point.
    ///
    /// # Errors
    /// As [`var_list`](Self::var_list).
    pub fn check_vars_sorted(&self, ascending: bool) -> Result<bool, Error> {
        Ok(self.var_list()?.iter().all(|names| {
            if ascending {
                names.is_sorted_ascending()
            } else {
                names.is_sorted_descending()
            }
        }))
    }

    /// The numbers of the stores whose variables are not exactly these, in this order.
    ///
    /// # Errors
    /// As [`var_list`](Self::var_list).
    pub fn check_vars_non_aligned<S: AsRef<str>>(
        &self,
        vars: impl IntoIterator<Item = S>,
    ) -> Result<Vec<usize>, Error> {
        let vars: VarNames = vars.into_iter().collect();
        let stores = self.var_list()?;
        let differ = stores
            .iter()
            .enumerate()
            .filter(|(_, names)| ***names != vars);
        Ok(differ.map(|(store, _)| store).collect())
    }
}
