//! The matrices of items and batches: names, types, and the shape of a joined row.

use anndata_io::{DType, ErrorKind, MatrixSource};
use feature_join::VarMap;

use crate::error::read::ReadError;
use crate::options::Options;
use crate::plan::layers::LayerChoice;
use crate::plan::location::RowLocation;
use crate::plan::variables::{Joint, Table};
use crate::plan::{Plan, StorePlan};
use crate::transform::pipeline::Pipeline;

/// A matrix of items and batches.
#[derive(Debug)]
pub(crate) struct MatrixKey {
    /// Its name in items: `X`, `raw.X`, a layer, or `obsm_` and a name.
    pub(crate) name: String,
    /// Whether it is X or a layer, whose columns are those of `var`.
    pub(crate) is_layer: bool,
    /// Whether its values must be counts.
    pub(crate) counts: bool,
    /// The number of its join among those of the plan.
    pub(crate) join: Option<usize>,
    /// numpy's promotion over all stores, or the type of what is transformed; `None` when no store
    /// has it.
    pub(crate) dtype: Option<DType>,
    /// What happens to its values.
    pub(crate) pipeline: Option<Pipeline>,
}

/// The keys of the options, each with its promoted type.
pub(crate) fn matrix_keys(
    options: &Options,
    layers: &[LayerChoice],
    stores: &[StorePlan],
    tables: &[Option<Vec<Table>>],
    joints: &[Joint],
) -> Vec<MatrixKey> {
    let joint_of = |tables: &Option<Vec<Table>>| {
        let tables = tables.as_ref()?;
        joints.iter().position(|joint| joint.tables == *tables)
    };
    let layers = layers.iter().zip(tables).map(|(choice, tables)| {
        let is_layer = !choice.is_plain_raw();
        (
            choice.name.clone(),
            is_layer,
            choice.counts,
            joint_of(tables),
        )
    });
    let obsm = options
        .obsm_keys
        .iter()
        .map(|key| (format!("obsm_{key}"), false, false, None));
    let keys = layers
        .chain(obsm)
        .enumerate()
        .map(|(number, (name, is_layer, counts, join))| {
            let types = stores
                .iter()
                .filter_map(|store| Some(store.matrices[number].as_ref()?.dtype()));
            let dtype = types
                .reduce(DType::promote)
                .map(|dtype| options.dtype.unwrap_or(dtype));
            MatrixKey {
                name,
                is_layer,
                counts,
                join,
                dtype,
                pipeline: None,
            }
        });
    keys.collect()
}

impl Plan {
    /// Whether a store has a matrix.
    pub(crate) fn has_matrix(&self, number: usize) -> bool {
        let mut stores = self.stores.iter();
        stores.any(|store| store.matrices[number].is_some())
    }

    /// The matrices that are stored by column and not yet turned into rows, each with the number of
    /// its store.
    pub(crate) fn unprepared(&self) -> impl Iterator<Item = (usize, &MatrixSource)> {
        let stores = self.stores.iter().enumerate();
        let matrices = stores.flat_map(|(number, store)| {
            let matrices = store.matrices.iter().flatten();
            matrices.map(move |matrix| (number, matrix))
        });
        matrices.filter(|(_, matrix)| !matrix.is_prepared())
    }

    /// Makes the matrices of the stores of some rows ready to be read by rows, and the medians of
    /// totals known.
    ///
    /// # Errors
    /// When a matrix cannot be read, or a temporary file cannot be written.
    pub(crate) fn prepare_stores_of(&self, located: &[RowLocation]) -> Result<(), ReadError> {
        self.find_medians(1, &mut |_| true)?;
        if self.all_by_row {
            return Ok(());
        }
        for &RowLocation { store, .. } in located {
            for matrix in self.stores[store].matrices.iter().flatten() {
                if !matrix.is_prepared() {
                    let prepared = matrix.prepare(&mut |_, _| {});
                    prepared.map_err(|error| ReadError::file(store, error))?;
                }
            }
        }
        Ok(())
    }

    /// The map of the columns of a matrix of one store; `None` when they stay where they are.
    pub(crate) fn var_map(&self, store: usize, key: &MatrixKey) -> Option<&VarMap> {
        let joint = &self.joints[key.join?].vars;
        joint.effective()?;
        Some(&*joint.maps()[store]).filter(|map| !map.is_identity())
    }

    /// The element of a store that a matrix was taken from.
    pub(crate) fn element_of(&self, store: usize, key: &MatrixKey) -> String {
        let mut numbers = 0..self.matrices.len();
        let number = numbers.find(|&number| self.matrices[number].name == key.name);
        let taken = number.and_then(|number| self.stores[store].taken.get(number)?.as_ref());
        taken.map_or_else(|| key.name.clone(), ToString::to_string)
    }

    /// Whether variables of one name are summed in some matrix of a store.
    pub(crate) fn sums_variables(&self, store: usize) -> bool {
        let mut maps = self
            .matrices
            .iter()
            .filter_map(|key| self.var_map(store, key));
        maps.any(VarMap::merges_columns)
    }

    /// Whether rows of a matrix are transformed.
    pub(crate) fn is_transformed(&self) -> bool {
        self.matrices.iter().any(|key| key.pipeline.is_some())
    }

    /// The element type of a row of a store.
    pub(crate) fn item_dtype(&self, key: &MatrixKey, source: &MatrixSource) -> DType {
        match &key.pipeline {
            Some(_) => key.dtype.expect("a store has this matrix"),
            None => self.dtype.unwrap_or(source.dtype()),
        }
    }

    /// The shape of one row of a matrix of one store, after the join.
    pub(crate) fn row_shape(
        &self,
        store: usize,
        key: &MatrixKey,
        source: &MatrixSource,
    ) -> Vec<usize> {
        match self.var_map(store, key) {
            Some(map) => vec![map.n_joint()],
            None => source.shape()[1..]
                .iter()
                .map(|&extent| extent as usize)
                .collect(),
        }
    }

    /// The shape of a row of a matrix in all of these stores; `None` when no store has the matrix.
    ///
    /// # Errors
    /// When the stores differ.
    pub(crate) fn common_row_shape(
        &self,
        number: usize,
        stores: &[usize],
    ) -> Result<Option<Vec<usize>>, ReadError> {
        let key = &self.matrices[number];
        let shape = |store: usize| {
            let source = self.stores[store].matrices[number].as_ref();
            source.map(|source| self.row_shape(store, key, source))
        };
        // Without rows, the stores of the collection decide.
        let Some(&first) = stores.first() else {
            return Ok((0..self.stores.len()).find_map(shape));
        };
        let expected = shape(first);
        let Some(&other) = stores.iter().find(|&&store| shape(store) != expected) else {
            return Ok(expected);
        };
        let describe = |store: usize| match shape(store) {
            None => "absent".to_owned(),
            Some(shape) => match shape[..] {
                [width] => format!("{width} wide"),
                ref shape => format!("{shape:?} a row"),
            },
        };
        let file = |store: usize| self.stores[store].file.clone();
        Err(ReadError::Ragged {
            key: key.name.clone(),
            files: Box::new((file(first), file(other))),
            found: Box::new((describe(first), describe(other))),
        })
    }

    /// The error of a row of a matrix with a value that is not as expected.
    pub(crate) fn value_error(
        &self,
        store: usize,
        key: &MatrixKey,
        expected: String,
        found: String,
    ) -> ReadError {
        let kind = ErrorKind::Invalid { expected, found };
        let element = self.element_of(store, key);
        ReadError::file(
            store,
            anndata_io::Error::new(&self.stores[store].file, element, kind),
        )
    }
}
