//! Batches: many rows read at once, in the order asked.

pub(crate) mod matrix_slots;
pub(crate) mod packed;
pub(crate) mod pool;
pub(crate) mod row_writer;

use std::cell::Cell;
use std::sync::Arc;

use anndata_io::{
    ColumnRows, DType, MatrixSource, ReadScratch, Stored, Values, Values1d, with_dtype,
};
use label_encoding::{Label, MISSING_CODE};

use crate::batch::matrix_slots::{Indices, Layout, MatrixSlots, PlaceScratch, SlotSink};
use crate::batch::pool::{Home, Waiting};
use crate::collection::MappedCollection;
use crate::error::Error;
use crate::plan::labels::number_label;
use crate::plan::{ObsColumn, ObsKey, Plan};

/// How the matrices of a batch are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// Every element, zeros too: `[n_obs, n_vars]`, row-major.
    #[default]
    Dense,
    /// Compressed sparse rows, for X, `raw.X`, layers and obsm of two dimensions.
    Csr,
}

/// The form of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFormat {
    /// The layout of matrices.
    pub output: Output,
    /// The code of a missing label of an encoded key.
    pub missing_code: i64,
    /// Element type of all matrices; `None` for the collection's.
    pub dtype: Option<DType>,
}

impl Default for BatchFormat {
    /// Dense, with missing labels as -100 (torch's default `ignore_index`).
    fn default() -> Self {
        BatchFormat {
            output: Output::Dense,
            missing_code: MISSING_CODE,
            dtype: None,
        }
    }
}

/// Rows of a collection, in the order in which they were asked for.
///
/// A batch never changes while it is held; when it is dropped, its memory may serve a later one.
#[derive(Debug, Default)]
pub struct Batch {
    /// For each row, the number of its store: `[n_obs]`.
    pub store_idx: Vec<u32>,
    /// For each row, its row in the store's file: `[n_obs]`.
    pub row_idx: Vec<u32>,
    /// The matrices by name: layers, then `obsm_` and a name. All rows have one element type:
    /// the `dtype` asked for, or numpy's promotion over all stores of the collection.
    pub matrices: Vec<(String, Matrix)>,
    /// The obs columns by name.
    pub obs: Vec<(String, BatchColumn)>,
    home: Home,
}

impl Clone for Batch {
    fn clone(&self) -> Self {
        let (store_idx, row_idx) = (self.store_idx.clone(), self.row_idx.clone());
        let (matrices, obs) = (self.matrices.clone(), self.obs.clone());
        Batch {
            store_idx,
            row_idx,
            matrices,
            obs,
            home: Home::default(),
        }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.store_idx == other.store_idx
            && self.row_idx == other.row_idx
            && self.matrices == other.matrices
            && self.obs == other.obs
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.home.take_back(&mut self.matrices);
    }
}

/// A matrix of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Matrix {
    /// All elements.
    Dense {
        /// `[n_obs, n_vars]`; obsm elements may have more dimensions.
        shape: Vec<usize>,
        /// Row-major.
        values: Values,
    },
    /// Compressed sparse rows: columns ascending and distinct in each row.
    Csr {
        /// `[n_obs, n_vars]`.
        shape: [usize; 2],
        /// Where each row begins, and the end: `[n_obs + 1]`.
        indptr: Indices,
        /// Column of each element, of the same integer type.
        indices: Indices,
        /// The elements.
        values: Values,
    },
}

impl Matrix {
    /// The element type.
    pub fn dtype(&self) -> DType {
        let (Matrix::Dense { values, .. } | Matrix::Csr { values, .. }) = self;
        values.dtype()
    }
}

/// An obs column of a batch. Rows of a store without the column are missing.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchColumn {
    /// Encoded labels: `[n_obs] i64`.
    Codes(Vec<i64>),
    /// Numbers or booleans.
    Numbers {
        /// `[n_obs]`, anything where a value is missing.
        values: Values,
        /// Whether each row has a value: `[n_obs]`. A NaN of a float column is a value.
        valid: Vec<bool>,
    },
    /// Texts; `None` where missing.
    Texts(Vec<Option<String>>),
}

impl Batch {
    /// Number of rows.
    pub fn n_obs(&self) -> usize {
        self.store_idx.len()
    }

    /// A matrix by name.
    pub fn matrix(&self, name: &str) -> Option<&Matrix> {
        self.matrices
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, matrix)| matrix)
    }

    /// An obs column by name.
    pub fn column(&self, name: &str) -> Option<&BatchColumn> {
        self.obs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, column)| column)
    }

    /// The codes of an encoded key: `[n_obs] i64`.
    pub fn codes(&self, name: &str) -> Option<&[i64]> {
        match self.column(name)? {
            BatchColumn::Codes(codes) => Some(codes),
            _ => None,
        }
    }
}

impl MappedCollection {
    /// Rows by index, dense, in the order asked; repeats are fine.
    ///
    /// Each chunk of a file is decoded once in a call. Memory beyond the batch itself is one
    /// chunk of each array, the cache's budget, and that of earlier batches, which is used again:
    /// up to 128 MiB.
    ///
    /// # Errors
    /// When an index is out of bounds, the rows' stores differ in matrix keys or widths, two
    /// entries would have one name, the collection is closed, or a file cannot be read.
    pub fn get_batch(&self, indices: &[i64]) -> Result<Batch, Error> {
        self.get_batch_as(indices, &BatchFormat::default())
    }

    /// Rows by index, in the form asked for.
    ///
    /// # Errors
    /// As [`get_batch`](Self::get_batch).
    pub fn get_batch_as(&self, indices: &[i64], format: &BatchFormat) -> Result<Batch, Error> {
        self.plan().check_batch_names()?;
        let located: Result<Vec<_>, Error> =
            indices.iter().map(|&index| self.locate(index)).collect();
        self.read_batch(located?, format)
    }

    pub(crate) fn read_batch(
        &self,
        located: Vec<(usize, u32)>,
        format: &BatchFormat,
    ) -> Result<Batch, Error> {
        self.check_open()?;
        let waiting = Arc::new(Waiting::new(self.recycler(), 0));
        let slots = BatchSlots::new(self.plan(), located, format, false, &waiting)?;
        let slots = Arc::new(slots);
        let mut picks: Vec<Pick> = (0..slots.n_rows())
            .map(|row| Pick { batch: 0, row })
            .collect();
        picks.sort_by_key(|pick| slots.located(pick.row));
        let batches = std::slice::from_ref(&slots);
        FillScratch::of_thread(|scratch| fill(self.plan(), batches, &picks, (0, 1), scratch))?;
        slots.finish(self.plan())
    }
}

/// A batch while its rows arrive, from many threads.
#[derive(Debug)]
pub(crate) struct BatchSlots {
    store_idx: Vec<u32>,
    row_idx: Vec<u32>,
    format: BatchFormat,
    /// One for each matrix of the plan; `None` where no row has it.
    matrices: Vec<Option<MatrixSlots>>,
    home: Home,
}

/// One row of one of several batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick {
    pub(crate) batch: usize,
    pub(crate) row: usize,
}

impl BatchSlots {
    /// Places for rows given by store and row in its file. Sparse rows that will wait with those
    /// of many other batches are packed until the batch is finished, also when it will be dense.
    pub(crate) fn new(
        plan: &Plan,
        located: Vec<(usize, u32)>,
        format: &BatchFormat,
        pack: bool,
        waiting: &Arc<Waiting>,
    ) -> Result<BatchSlots, Error> {
        let n_rows = located.len();
        let mut stores: Vec<usize> = located.iter().map(|&(store, _)| store).collect();
        stores.sort_unstable();
        stores.dedup();
        let mut matrices = Vec::with_capacity(plan.matrices.len());
        for (number, key) in plan.matrices.iter().enumerate() {
            let Some(row_shape) = plan.common_row_shape(number, &stores)? else {
                matrices.push(None);
                continue;
            };
            let dtype = format.dtype.or(key.dtype).expect("a store has this matrix");
            let width: usize = row_shape.iter().product();
            let bytes = n_rows
                .checked_mul(width)
                .and_then(|n| n.checked_mul(dtype.size()));
            if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
                return Err(Error::TooLarge {
                    n_rows,
                    row_len: width,
                });
            }
            let source = |store: usize| plan.stores[store].matrices[number].as_ref();
            // Only then is it known how long rows are.
            for source in stores.iter().filter_map(|&store| source(store)) {
                source.prepare(&mut |_, _| {})?;
            }
            let all_sparse = stores
                .iter()
                .all(|&store| source(store).is_some_and(MatrixSource::is_sparse));
            let stay_sparse =
                all_sparse && row_shape.len() == 1 && (pack || format.output == Output::Csr);
            let layout = if stay_sparse {
                let len = |&(store, row): &(usize, u32)| {
                    let len = source(store).and_then(|source| source.stored_len(row.into()));
                    len.expect("the row exists") as usize
                };
                Layout::sparse(located.iter().map(len), pack)
            } else {
                // A dense row leaves the variables out that its store lacks.
                let leaves_out = |&store: &usize| {
                    let is_sparse = source(store).is_some_and(MatrixSource::is_sparse);
                    !is_sparse && plan.var_map(store, key).is_some()
                };
                let zeros = stores.iter().any(leaves_out);
                Layout::Dense { zeros }
            };
            let output = format.output;
            let slots = MatrixSlots::new(n_rows, row_shape, dtype, output, layout, waiting);
            matrices.push(Some(slots));
        }
        let (store_idx, row_idx) = located
            .into_iter()
            .map(|(store, row)| (store as u32, row))
            .unzip();
        let home = Home(Arc::downgrade(waiting.recycler()));
        Ok(BatchSlots {
            store_idx,
            row_idx,
            format: *format,
            matrices,
            home,
        })
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.row_idx.len()
    }

    pub(crate) fn located(&self, row: usize) -> (usize, u32) {
        (self.store_idx[row] as usize, self.row_idx[row])
    }

    /// The most bytes that the packed parts of a row may take.
    pub(crate) fn packed_row_bytes(&self, row: usize) -> usize {
        let matrices = self.matrices.iter().flatten();
        matrices.map(|slots| slots.packed_row_bytes(row)).sum()
    }

    /// The most bytes of all rows that are packed.
    pub(crate) fn packed_bytes(&self) -> usize {
        (0..self.n_rows())
            .map(|row| self.packed_row_bytes(row))
            .sum()
    }

    /// Bytes that all rows take from the first one on, where they are not packed.
    pub(crate) fn placed_bytes(&self) -> usize {
        let matrices = self.matrices.iter().flatten();
        matrices.map(MatrixSlots::placed_bytes).sum()
    }

    /// Bytes of the finished batch.
    pub(crate) fn finished_bytes(&self) -> usize {
        let matrices = self.matrices.iter().flatten();
        matrices.map(MatrixSlots::finished_bytes).sum()
    }

    /// Takes the memory of all rows that are not packed.
    pub(crate) fn begin(&self) {
        self.matrices.iter().flatten().for_each(MatrixSlots::begin);
    }

    /// Forgets its rows, and those still to come.
    pub(crate) fn discard(&self) {
        self.matrices
            .iter()
            .flatten()
            .for_each(MatrixSlots::discard);
    }

    /// The batch: all of its rows have arrived.
    pub(crate) fn finish(&self, plan: &Plan) -> Result<Batch, Error> {
        let mut matrices = Vec::with_capacity(self.matrices.len());
        for (key, slots) in plan.matrices.iter().zip(&self.matrices) {
            if let Some(slots) = slots {
                matrices.push((key.name.clone(), slots.finish()));
            }
        }
        let mut obs = Vec::with_capacity(plan.obs.len());
        for (number, key) in plan.obs.iter().enumerate() {
            if plan
                .stores
                .iter()
                .any(|store| store.columns[number].is_some())
            {
                obs.push((key.name.clone(), self.read_column(plan, number, key)?));
            }
        }
        let (store_idx, row_idx) = (self.store_idx.clone(), self.row_idx.clone());
        Ok(Batch {
            store_idx,
            row_idx,
            matrices,
            obs,
            home: self.home.clone(),
        })
    }

    fn read_column(&self, plan: &Plan, number: usize, key: &ObsKey) -> Result<BatchColumn, Error> {
        let missing_code = self.format.missing_code;
        if key.encoder.is_some() {
            let code =
                |(&store, &row): (&u32, &u32)| match &plan.stores[store as usize].columns[number] {
                    Some(ObsColumn::Labels { codes, encoded, .. }) => codes
                        .get(row as usize)
                        .and_then(|code| encoded[code as usize])
                        .unwrap_or(missing_code),
                    _ => missing_code,
                };
            let rows = self.store_idx.iter().zip(&self.row_idx);
            return Ok(BatchColumn::Codes(rows.map(code).collect()));
        }
        let n_rows = self.n_rows();
        let mut order: Vec<usize> = (0..n_rows).collect();
        order.sort_by_key(|&row| self.located(row));
        let mut parts = Vec::new();
        for targets in order.chunk_by(|&a, &b| self.store_idx[a] == self.store_idx[b]) {
            if let Some(column) = &plan.stores[self.store_idx[targets[0]] as usize].columns[number]
            {
                let rows: Vec<u64> = targets
                    .iter()
                    .map(|&row| self.row_idx[row].into())
                    .collect();
                parts.push((read_column_rows(column, &rows)?, targets));
            }
        }
        Ok(gather(n_rows, key.dtype, &parts))
    }
}

/// What reading rows into their places needs besides, kept by a thread from read to read.
#[derive(Debug, Default)]
pub(crate) struct FillScratch {
    pub(crate) read: ReadScratch,
    place: PlaceScratch,
}

thread_local! {
    static SCRATCH: Cell<FillScratch> = Cell::default();
}

impl FillScratch {
    /// Runs `read` with the scratch that this thread has for reads by index: buffers and
    /// decompressors are made once, and chunks are left to the cache.
    pub(crate) fn of_thread<T>(read: impl FnOnce(&mut FillScratch) -> T) -> T {
        let mut scratch = SCRATCH.take();
        let result = read(&mut scratch);
        scratch.read.release_chunks();
        SCRATCH.set(scratch);
        result
    }

    /// For reads that pass over files once.
    pub(crate) fn for_scan() -> FillScratch {
        FillScratch {
            read: ReadScratch::for_scan(),
            ..Default::default()
        }
    }
}

/// Reads a part of the rows of several batches into their places: see [`MatrixSource::read_part`].
/// `picks` ascend by store and row.
pub(crate) fn fill(
    plan: &Plan,
    batches: &[Arc<BatchSlots>],
    picks: &[Pick],
    part: (u64, u64),
    scratch: &mut FillScratch,
) -> Result<(), Error> {
    let located = |pick: &Pick| batches[pick.batch].located(pick.row);
    let mut rows = Vec::new();
    for picks in picks.chunk_by(|a, b| located(a).0 == located(b).0) {
        let store = located(&picks[0]).0;
        rows.clear();
        rows.extend(picks.iter().map(|pick| u64::from(located(pick).1)));
        for (number, key) in plan.matrices.iter().enumerate() {
            let Some(source) = &plan.stores[store].matrices[number] else {
                continue;
            };
            let place = |row: usize| {
                let pick = picks[row];
                let slots = batches[pick.batch].matrices[number].as_ref();
                (slots.expect("a row's store has the matrix"), pick.row)
            };
            let map = plan.var_map(store, key);
            let mut sink = SlotSink::new(map, place, &mut scratch.place);
            source.read_part(&rows, part, &mut scratch.read, &mut sink)?;
        }
    }
    Ok(())
}

impl Plan {
    /// The shape that a row of a matrix has in all of these stores; `None` when none has it.
    ///
    /// # Errors
    /// When they differ.
    pub(crate) fn common_row_shape(
        &self,
        number: usize,
        stores: &[usize],
    ) -> Result<Option<Vec<usize>>, Error> {
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
        Err(Error::Ragged {
            key: key.name.clone(),
            files: Box::new((file(first), file(other))),
            found: Box::new((describe(first), describe(other))),
        })
    }
}

/// Values of rows of several stores, each put in its place.
fn gather(n_rows: usize, dtype: Option<DType>, parts: &[(ColumnRows, &[usize])]) -> BatchColumn {
    match dtype {
        Some(dtype) => {
            let mut valid = vec![false; n_rows];
            let values = with_dtype!(dtype, T => {
                let mut out = vec![T::default(); n_rows];
                for (part, targets) in parts {
                    let Values1d::Numbers(numbers) = &part.values else { continue };
                    let numbers = numbers.as_slice().to_vec::<T>();
                    for (i, &target) in targets.iter().enumerate() {
                        out[target] = numbers[i];
                        valid[target] = part.is_valid(i);
                    }
                }
                T::into_values(out)
            });
            BatchColumn::Numbers { values, valid }
        }
        None => {
            let mut texts = vec![None; n_rows];
            for (part, targets) in parts {
                for (i, &target) in targets
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| part.is_valid(*i))
                {
                    texts[target] = text_at(&part.values, i);
                }
            }
            BatchColumn::Texts(texts)
        }
    }
}

/// A value as text: numbers stand beside texts when stores differ.
fn text_at(values: &Values1d, index: usize) -> Option<String> {
    match values {
        Values1d::Texts(texts) => texts.get(index).map(str::to_owned),
        Values1d::Numbers(numbers) => {
            number_label(numbers.as_slice(), index).map(|label: Label| label.to_string())
        }
    }
}

fn read_column_rows(column: &ObsColumn, rows: &[u64]) -> Result<ColumnRows, Error> {
    match column {
        ObsColumn::Labels {
            categories, codes, ..
        } => {
            let codes = rows.iter().map(|&row| codes.get(row as usize));
            Ok(ColumnRows::of_codes(categories, codes))
        }
        ObsColumn::Values(column) => Ok(column.read_rows(rows)?),
    }
}
