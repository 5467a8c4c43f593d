//! The places of a batch's rows, which arrive in any order and from many threads.

use std::sync::Arc;

use anndata_io::{DType, MatrixSource};
use feature_join::VarMap;
use row_pack::Level;

use crate::batch::columns::read_column;
use crate::batch::form::BatchForm;
use crate::batch::matrix_slots::{MatrixSlots, RowStorage};
use crate::batch::pool::PoolHandle;
use crate::batch::waiting::WaitingRows;
use crate::batch::{Batch, MatrixFormat};
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::location::RowLocation;
use crate::transform::pipeline::Pipeline;

/// A batch while its rows arrive.
#[derive(Debug)]
pub(crate) struct BatchSlots {
    pub(super) located: Vec<RowLocation>,
    pub(super) form: BatchForm,
    /// One entry per matrix of the plan; `None` where no row has the matrix.
    matrices: Vec<Option<MatrixSlots>>,
    pool: PoolHandle,
}

impl BatchSlots {
    /// Makes places for rows. Reads nothing, and allocates nothing before the first row arrives.
    /// With `pack`, sparse rows stay packed at this level until the batch is finished, even if it
    /// will be dense.
    ///
    /// # Errors
    /// When the stores differ in matrix keys or widths, or the batch is too large to address.
    pub(crate) fn new(
        plan: &Plan,
        located: Vec<RowLocation>,
        form: &BatchForm,
        pack: Option<Level>,
        waiting: &Arc<WaitingRows>,
    ) -> Result<BatchSlots, ReadError> {
        let mut stores: Vec<usize> = located.iter().map(|location| location.store).collect();
        stores.sort_unstable();
        stores.dedup();
        let matrices = (0..plan.matrices.len()).map(|number| {
            let Some(row_shape) = plan.common_row_shape(number, &stores)? else {
                return Ok(None);
            };
            let dtype = form.dtype.or(plan.matrices[number].dtype);
            let dtype = dtype.expect("a store has this matrix");
            let n_rows = located.len();
            let key = &plan.matrices[number];
            let pipeline = key.pipeline.as_ref();
            let format = form.format_of(number);
            let changes_zeros = pipeline.is_some_and(Pipeline::changes_zeros);
            let may_stay_sparse = row_shape.len() == 1
                && (pack.is_some() || format == MatrixFormat::Csr)
                && !changes_zeros;
            let storage = if may_stay_sparse && all_sparse(plan, number, &stores) {
                let len = |&RowLocation { store, row }: &RowLocation| {
                    let source = plan.stores[store].matrices[number].as_ref();
                    let len = source.and_then(|source| source.stored_len(row.into()));
                    len.expect("the row exists") as usize
                };
                RowStorage::sparse(located.iter().map(len), pack)
            } else {
                RowStorage::Dense {
                    zeros: leaves_gaps(plan, number, &stores),
                }
            };
            let types = match &storage {
                RowStorage::Dense { .. } if pipeline.is_some() => {
                    (waiting_dtype(plan, number, &stores, dtype), dtype)
                }
                _ => (dtype, dtype),
            };
            check_size(n_rows, row_shape.iter().product(), types.0)?;
            // Dense rows become tokens as they lie.
            let format = match (&storage, form.tokens_of(number)) {
                (RowStorage::Dense { .. }, Some(_)) => MatrixFormat::Dense,
                _ => format,
            };
            if let Some(tokens) = form.tokens_of(number) {
                check_size(n_rows, tokens.form.length, DType::I64)?;
            }
            let layout = (storage, format);
            let slots = MatrixSlots::new(n_rows, row_shape, types, layout, waiting);
            Ok(Some(slots))
        });
        let matrices = matrices.collect::<Result<_, ReadError>>()?;
        Ok(BatchSlots {
            located,
            form: *form,
            matrices,
            pool: PoolHandle(Arc::downgrade(waiting.pool())),
        })
    }

    /// How tightly its sparse rows are packed, if they are.
    pub(crate) fn level(&self) -> Level {
        let levels = self
            .matrices
            .iter()
            .flatten()
            .filter_map(|slots| slots.level());
        levels.last().unwrap_or_default()
    }

    /// The epoch that it belongs to; 0 for rows by index.
    pub(crate) fn epoch(&self) -> u64 {
        self.form.epoch
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.located.len()
    }

    pub(crate) fn located(&self, row: usize) -> RowLocation {
        self.located[row]
    }

    /// The most bytes that the packed parts of a row may take.
    pub(crate) fn packed_row_bytes(&self, row: usize) -> usize {
        let matrices = self.matrices.iter().flatten();
        matrices.map(|slots| slots.packed_row_bytes(row)).sum()
    }

    /// The most bytes that all packed rows may take.
    pub(crate) fn packed_bytes(&self) -> usize {
        (0..self.n_rows())
            .map(|row| self.packed_row_bytes(row))
            .sum()
    }

    /// The bytes that the first row allocates for all rows that are not packed.
    pub(crate) fn placed_bytes(&self) -> usize {
        let matrices = self.matrices.iter().flatten();
        matrices.map(MatrixSlots::placed_bytes).sum()
    }

    /// The bytes that the first row takes beyond its own.
    pub(crate) fn begun_bytes(&self) -> usize {
        let matrices = self.matrices.iter().flatten();
        matrices.map(MatrixSlots::begun_bytes).sum()
    }

    /// The bytes of the finished batch. While a matrix becomes tokens, both are in memory.
    pub(crate) fn finished_bytes(&self) -> usize {
        let matrices = self.matrices.iter().flatten();
        let tokens = self.form.tokens.and_then(|tokens| {
            let slots = self.matrices[tokens.matrix].as_ref()?;
            Some(tokens.bytes(self.n_rows(), slots.final_dtype))
        });
        let matrices: usize = matrices.map(MatrixSlots::finished_bytes).sum();
        matrices.saturating_add(tokens.unwrap_or_default())
    }

    /// Allocates the memory of all rows that are not packed.
    pub(crate) fn begin(&self) {
        self.matrices.iter().flatten().for_each(MatrixSlots::begin);
    }

    /// Discards its rows, and those still to come.
    pub(crate) fn discard(&self) {
        self.matrices
            .iter()
            .flatten()
            .for_each(MatrixSlots::discard);
    }

    /// The places of a row of a matrix that its store has.
    pub(super) fn matrix(&self, number: usize) -> &MatrixSlots {
        let slots = self.matrices[number].as_ref();
        slots.expect("a row's store has the matrix")
    }

    /// Returns the batch. All of its rows must have arrived.
    ///
    /// # Errors
    /// When an obs column cannot be read, or a row cannot become tokens.
    pub(crate) fn finish(&self, plan: &Plan) -> Result<Batch, ReadError> {
        let mut matrices = Vec::with_capacity(self.matrices.len());
        for (number, (key, slots)) in plan.matrices.iter().zip(&self.matrices).enumerate() {
            let Some(slots) = slots else {
                continue;
            };
            let (matrix, rows) = (slots.finish(), (&self.located[..], self.form.epoch));
            match self.form.tokens_of(number) {
                None => matrices.push((key.name.clone(), matrix)),
                Some(tokens) => {
                    let pool = slots.waiting.pool();
                    matrices.extend(tokens.tokenize(plan, rows, matrix, pool)?);
                }
            }
        }
        let mut obs = Vec::with_capacity(plan.obs.len());
        for (number, key) in plan.obs.iter().enumerate() {
            if plan.has_column(number) {
                obs.push((key.name.clone(), read_column(plan, number, self)?));
            }
        }
        Ok(Batch {
            store_idx: self.located.iter().map(|row| row.store as u32).collect(),
            row_idx: self.located.iter().map(|row| row.row).collect(),
            matrices,
            obs,
            control: None,
            pool: self.pool.clone(),
        })
    }
}

/// # Errors
/// When a matrix has too many elements to address.
fn check_size(n_rows: usize, width: usize, dtype: DType) -> Result<(), ReadError> {
    let len = n_rows.checked_mul(width);
    let bytes = len.and_then(|len| len.checked_mul(dtype.size()));
    match bytes {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(ReadError::TooLarge {
            n_rows,
            row_len: width,
        }),
    }
}

/// Whether a matrix is sparse in all of these stores.
fn all_sparse(plan: &Plan, number: usize, stores: &[usize]) -> bool {
    stores.iter().all(|&store| {
        let source = plan.stores[store].matrices[number].as_ref();
        source.is_some_and(MatrixSource::is_sparse)
    })
}

/// The type in which dense rows wait until they are whole and can be transformed: float64, unless
/// the values of all files lose nothing in the type of the batch.
fn waiting_dtype(plan: &Plan, number: usize, stores: &[usize], dtype: DType) -> DType {
    let key = &plan.matrices[number];
    let is_exact = |&store: &usize| {
        let source = plan.stores[store].matrices[number].as_ref();
        let merges = plan.var_map(store, key).is_some_and(VarMap::merges_columns);
        let fits = |source: &MatrixSource| source.dtype().promote(dtype) == dtype;
        source.is_some_and(|source| source.is_sparse() || (!merges && fits(source)))
    };
    if stores.iter().all(is_exact) {
        dtype
    } else {
        DType::F64
    }
}

/// Whether one of these stores lacks joint variables, so that its dense rows leave them out.
fn leaves_gaps(plan: &Plan, number: usize, stores: &[usize]) -> bool {
    stores.iter().any(|&store| {
        let source = plan.stores[store].matrices[number].as_ref();
        let is_sparse = source.is_some_and(MatrixSource::is_sparse);
        !is_sparse && plan.var_map(store, &plan.matrices[number]).is_some()
    })
}
