//! Batches: many rows read at once, in the order asked.

use anndata_io::{ColumnRows, DType, Stored, Values, Values1d, with_dtype};
use label_encoding::{Label, MISSING_CODE};

use crate::collection::{MappedCollection, codes_at};
use crate::error::Error;
use crate::labels::number_label;
use crate::plan::{MatrixKey, ObsColumn, ObsKey, Plan};
use crate::rows::{Indices, RowsOf, SparseRows, read_dense};

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
}

impl Default for BatchFormat {
    /// Dense, with missing labels as -100 (torch's default `ignore_index`).
    fn default() -> Self {
        BatchFormat { output: Output::Dense, missing_code: MISSING_CODE }
    }
}

/// Rows of a collection, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq)]
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
        self.matrices.iter().find(|(key, _)| key == name).map(|(_, matrix)| matrix)
    }

    /// An obs column by name.
    pub fn column(&self, name: &str) -> Option<&BatchColumn> {
        self.obs.iter().find(|(key, _)| key == name).map(|(_, column)| column)
    }

    /// The codes of an encoded key: `[n_obs] i64`.
    pub fn codes(&self, name: &str) -> Option<&[i64]> {
        match self.column(name)? {
            BatchColumn::Codes(codes) => Some(codes),
            _ => None,
        }
    }
}

/// Rows of a batch grouped by store, and in file order within each.
struct Request {
    store_idx: Vec<u32>,
    row_idx: Vec<u32>,
    /// For each store that has rows, in order: its number, the rows ascending, and where each
    /// goes in the batch.
    groups: Vec<(usize, Vec<u64>, Vec<usize>)>,
}

impl Request {
    fn new(located: Vec<(usize, u32)>) -> Request {
        let mut order: Vec<usize> = (0..located.len()).collect();
        order.sort_by_key(|&target| located[target]);
        let mut groups: Vec<(usize, Vec<u64>, Vec<usize>)> = Vec::new();
        for target in order {
            let (store, row) = located[target];
            if groups.last().is_none_or(|(last, ..)| *last != store) {
                groups.push((store, Vec::new(), Vec::new()));
            }
            let (_, rows, targets) = groups.last_mut().expect("one was pushed");
            rows.push(row.into());
            targets.push(target);
        }
        let (store_idx, row_idx) = located.into_iter().map(|(s, row)| (s as u32, row)).unzip();
        Request { store_idx, row_idx, groups }
    }

    fn n_rows(&self) -> usize {
        self.row_idx.len()
    }
}

impl MappedCollection {
    /// Rows by index, dense, in the order asked; repeats are fine.
    ///
    /// Each chunk of a file is decoded once in a call. Memory beyond the batch itself is one
    /// chunk of each array and the cache's budget.
    ///
    /// # Errors
    /// When an index is out of bounds, the rows' stores differ in matrix keys or widths, the
    /// collection is closed, or a file cannot be read.
    pub fn get_batch(&self, indices: &[i64]) -> Result<Batch, Error> {
        self.get_batch_as(indices, &BatchFormat::default())
    }

    /// Rows by index, in the form asked for.
    ///
    /// # Errors
    /// As [`get_batch`](Self::get_batch).
    pub fn get_batch_as(&self, indices: &[i64], format: &BatchFormat) -> Result<Batch, Error> {
        let located: Result<Vec<_>, Error> = indices.iter().map(|&index| self.locate(index)).collect();
        self.read_batch(located?, format)
    }

    pub(crate) fn read_batch(&self, located: Vec<(usize, u32)>, format: &BatchFormat) -> Result<Batch, Error> {
        self.check_open()?;
        let request = Request::new(located);
        let plan = self.plan();
        let mut matrices = Vec::with_capacity(plan.matrices.len());
        for (number, key) in plan.matrices.iter().enumerate() {
            let stores: Vec<usize> = request.groups.iter().map(|(store, ..)| *store).collect();
            if let Some(shape) = plan.common_row_shape(number, &stores)? {
                let matrix = read_matrix(plan, number, key, &request, shape, format.output)?;
                insert(&mut matrices, &key.name, matrix);
            }
        }
        let mut obs = Vec::with_capacity(plan.obs.len());
        for (number, key) in plan.obs.iter().enumerate() {
            if plan.stores.iter().any(|store| store.columns[number].is_some()) {
                let column = read_column(plan, number, key, &request, format.missing_code)?;
                insert(&mut obs, &key.name, column);
            }
        }
        // As in an item, an obs key wins over a matrix of its name.
        matrices.retain(|(name, _)| obs.iter().all(|(key, _)| key != name));
        let Request { store_idx, row_idx, .. } = request;
        Ok(Batch { store_idx, row_idx, matrices, obs })
    }
}

fn insert<T>(entries: &mut Vec<(String, T)>, name: &str, value: T) {
    match entries.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => *old = value,
        None => entries.push((name.to_owned(), value)),
    }
}

impl Plan {
    /// The shape that a row of a matrix has in all of these stores; `None` when none has it.
    ///
    /// # Errors
    /// When they differ.
    pub(crate) fn common_row_shape(&self, number: usize, stores: &[usize]) -> Result<Option<Vec<usize>>, Error> {
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
            files: (file(first), file(other)),
            found: (describe(first), describe(other)),
        })
    }
}

fn read_matrix(
    plan: &Plan,
    number: usize,
    key: &MatrixKey,
    request: &Request,
    row_shape: Vec<usize>,
    output: Output,
) -> Result<Matrix, Error> {
    let width: usize = row_shape.iter().product();
    let n_rows = request.n_rows();
    let dtype = key.dtype.expect("a store has this matrix");
    let too_large = || Error::TooLarge { n_rows, row_len: width };
    let elements = n_rows.checked_mul(width).ok_or_else(too_large)?;
    elements.checked_mul(dtype.size()).filter(|&n| n <= isize::MAX as usize).ok_or_else(too_large)?;
    let sources = request.groups.iter().map(|(store, rows, targets)| {
        let source = plan.stores[*store].matrices[number].as_ref();
        (source.expect("rows have this matrix"), plan.var_map(*store, key), RowsOf { rows, targets })
    });
    if output == Output::Csr && row_shape.len() == 1 {
        return with_dtype!(dtype, T => {
            let mut sparse = SparseRows::<T>::new(n_rows);
            for (source, map, rows) in sources {
                sparse.read(source, map, rows, width)?;
            }
            let (indptr, indices, values) = sparse.into_csr();
            Ok(Matrix::Csr { shape: [n_rows, width], indptr, indices, values })
        });
    }
    let values = with_dtype!(dtype, T => {
        let mut out = vec![T::default(); elements];
        for (source, map, rows) in sources {
            read_dense(source, map, rows, width, &mut out)?;
        }
        T::into_values(out)
    });
    let shape = std::iter::once(n_rows).chain(row_shape).collect();
    Ok(Matrix::Dense { shape, values })
}

fn read_column(
    plan: &Plan,
    number: usize,
    key: &ObsKey,
    request: &Request,
    missing_code: i64,
) -> Result<BatchColumn, Error> {
    let n_rows = request.n_rows();
    if key.encoder.is_some() {
        let code = |(&store, &row): (&u32, &u32)| match &plan.stores[store as usize].columns[number] {
            Some(ObsColumn::Labels { codes, encoded, .. }) => {
                codes.get(row as usize).and_then(|code| encoded[code as usize]).unwrap_or(missing_code)
            }
            _ => missing_code,
        };
        let rows = request.store_idx.iter().zip(&request.row_idx);
        return Ok(BatchColumn::Codes(rows.map(code).collect()));
    }
    let mut parts = Vec::with_capacity(request.groups.len());
    for (store, rows, targets) in &request.groups {
        if let Some(column) = &plan.stores[*store].columns[number] {
            parts.push((read_column_rows(column, rows)?, targets));
        }
    }
    Ok(match key.dtype {
        Some(dtype) => {
            let mut valid = vec![false; n_rows];
            let values = with_dtype!(dtype, T => {
                let mut out = vec![T::default(); n_rows];
                for (part, targets) in &parts {
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
            for (part, targets) in &parts {
                for (i, &target) in targets.iter().enumerate().filter(|(i, _)| part.is_valid(*i)) {
                    texts[target] = text_at(&part.values, i);
                }
            }
            BatchColumn::Texts(texts)
        }
    })
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
        ObsColumn::Labels { categories, codes, .. } => {
            let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
            Ok(ColumnRows::of_codes(categories, codes_at(codes, &rows).into_iter()))
        }
        ObsColumn::Values(column) => Ok(column.read_rows(rows)?),
    }
}
