//! Turns a matrix of a batch into tokens.

use std::borrow::Cow;

use anndata_io::{DType, Scalar, Values, with_dtype};

use crate::batch::matrix::{CsrIndex, Matrix};
use crate::batch::nonzeros::nonzero_columns;
use crate::batch::pool::BufferPool;
use crate::error::option::OptionError;
use crate::error::quoted;
use crate::error::read::ReadError;
use crate::plan::Plan;
use crate::plan::counts::shown;
use crate::plan::location::RowLocation;
use crate::plan::matrices::MatrixKey;
use crate::tokens::row::{RowTokens, TokenForm};
use crate::tokens::sample::SampledRow;
use crate::tokens::{SpecialToken, Tokens};

/// The names of what replaces the matrix.
const IDS: &str = "ids";
const VALUES: &str = "values";
const LENGTHS: &str = "lengths";

/// The most bins: an element of any float type but float16 can hold their numbers.
const MOST_BINS: u32 = 1 << 16;

/// [`Tokens`] of a collection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokenizer {
    /// The number of the matrix.
    pub(super) matrix: usize,
    form: TokenForm,
}

impl Tokenizer {
    /// # Errors
    /// When the tokens make no sense for the collection, or for elements of this type.
    pub(super) fn new(
        plan: &Plan,
        tokens: &Tokens,
        dtype: Option<DType>,
    ) -> Result<Tokenizer, OptionError> {
        let (matrix, key) = matrix_of(plan, tokens)?;
        check_names(plan, matrix)?;
        let form = form_of(plan, key, tokens)?;
        let dtype = dtype.or(key.dtype).expect("a store has this matrix");
        let is_exact = |value: f64| {
            with_dtype!(dtype, T => {
                let value_back = f64::cast_from(T::cast_from(value));
                value_back == value || value.is_nan() && value_back.is_nan()
            })
        };
        if !is_exact(form.pad_value) {
            let expected = format!("a pad_value that {dtype} can hold");
            return Err(invalid(expected, form.pad_value));
        }
        if let Some(bins) = form.bins
            && !(1..bins).all(|bin| is_exact(bin.into()))
        {
            let expected = format!("bins whose numbers {dtype} can hold (or another dtype)");
            return Err(invalid(expected, bins));
        }
        Ok(Tokenizer { matrix, form })
    }

    /// The bytes of the tokens of `n_rows` rows.
    pub(super) fn bytes(&self, n_rows: usize, dtype: DType) -> usize {
        n_rows * (self.form.length * (size_of::<i64>() + dtype.size()) + size_of::<i64>())
    }

    /// The number of elements of a row of tokens.
    pub(super) fn length(&self) -> usize {
        self.form.length
    }

    /// Turns the rows of a matrix of two dimensions into tokens. The memory of the matrix returns to
    /// the pool.
    ///
    /// # Errors
    /// When a row has a value that cannot be binned or drawn by.
    pub(super) fn tokenize(
        &self,
        plan: &Plan,
        (located, epoch): (&[RowLocation], u64),
        matrix: Matrix,
        pool: &BufferPool,
    ) -> Result<[(String, Matrix); 3], ReadError> {
        let key = &plan.matrices[self.matrix];
        let (n_rows, length) = (located.len(), self.form.length);
        // Every element is written.
        let (mut ids, _) = pool.take_dense(DType::I64, n_rows * length);
        let (mut values, _) = pool.take_dense(matrix.dtype(), n_rows * length);
        let mut lengths = Vec::with_capacity(n_rows);
        let ids_of = plan.genes.as_ref().and_then(|genes| genes.ids());
        with_dtype!(matrix.dtype(), T => {
            let mut rows = RowTokens::<T>::new(self.form, ids_of);
            let mut columns = Vec::new();
            let ids = i64::as_mut_vec(&mut ids).expect("its own type");
            let values = T::as_mut_vec(&mut values).expect("its own type");
            let places = ids.chunks_exact_mut(length).zip(values.chunks_exact_mut(length));
            for ((row, location), (ids, values)) in located.iter().enumerate().zip(places) {
                set_row(&mut rows, &matrix, row, &mut columns);
                let sampled = SampledRow {
                    epoch,
                    store: location.store as u32,
                    row: location.row,
                    ..SampledRow::default()
                };
                let written = rows.write(sampled, ids, values).map_err(|fault| {
                    let (expected, found) = (fault.expected.to_owned(), shown(fault.found));
                    let error = plan.value_error(location.store, key, expected, found);
                    error.in_row(location.row)
                });
                lengths.push(written? as i64);
            }
        });
        pool.give_matrix(matrix);
        let dense = |name: &str, values, shape| (name.to_owned(), Matrix::Dense { shape, values });
        Ok([
            dense(IDS, ids, vec![n_rows, length]),
            dense(VALUES, values, vec![n_rows, length]),
            dense(LENGTHS, Values::I64(lengths), vec![n_rows]),
        ])
    }
}

/// Takes a row of a matrix.
fn set_row<T: Scalar>(
    rows: &mut RowTokens<'_, T>,
    matrix: &Matrix,
    row: usize,
    scratch: &mut Vec<u32>,
) {
    let values = T::from_slice(matrix.values().as_slice()).expect("its own type");
    match matrix {
        Matrix::Csr {
            indptr, indices, ..
        } => {
            let place = indptr.get(row)..indptr.get(row + 1);
            let columns: Cow<'_, [u32]> = match indices {
                CsrIndex::I32(columns) => bytemuck::cast_slice(&columns[place.clone()]).into(),
                CsrIndex::I64(columns) => {
                    columns[place.clone()].iter().map(|&c| c as u32).collect()
                }
            };
            rows.set(&columns, &values[place]);
        }
        Matrix::Dense { shape, .. } => {
            let width = shape[1];
            let values = &values[row * width..(row + 1) * width];
            scratch.resize(width, 0);
            let n = nonzero_columns(values, scratch);
            rows.set_dense(&scratch[..n], values);
        }
    }
}

fn invalid(expected: impl Into<String>, found: impl ToString) -> OptionError {
    OptionError::new("tokens", expected, found)
}

/// The matrix that becomes tokens, and its number.
fn matrix_of<'a>(plan: &'a Plan, tokens: &Tokens) -> Result<(usize, &'a MatrixKey), OptionError> {
    let is_sequence = |(number, key): &(usize, &MatrixKey)| {
        plan.has_matrix(*number) && !key.name.starts_with("obsm_")
    };
    let mut keys = plan.matrices.iter().enumerate().filter(is_sequence);
    let names = keys.clone().map(|(_, key)| key.name.clone());
    let names: Vec<String> = names.collect();
    let found = match &tokens.key {
        None => keys.next().ok_or("no matrix of genes".to_owned()),
        Some(name) => keys
            .find(|(_, key)| key.name == *name)
            .ok_or(format!("{name:?}")),
    };
    found.map_err(|found| match names.is_empty() {
        true => invalid("a layer to take genes from", found),
        false => invalid(format!("one of the layers {}", quoted(&names)), found),
    })
}

/// Checks that no other entry of a batch has a name of tokens.
fn check_names(plan: &Plan, matrix: usize) -> Result<(), OptionError> {
    let matrices = plan.matrices.iter().enumerate();
    let others = matrices
        .filter(|(number, _)| *number != matrix)
        .map(|(_, key)| &key.name);
    let mut others = others.chain(plan.obs.iter().map(|key| &key.name));
    match others.find(|name| [IDS, VALUES, LENGTHS].contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let expected = format!("no other key named {IDS:?}, {VALUES:?} or {LENGTHS:?}");
            Err(invalid(expected, format!("{name:?}")))
        }
    }
}

fn form_of(plan: &Plan, key: &MatrixKey, tokens: &Tokens) -> Result<TokenForm, OptionError> {
    let n_special = tokens.n_special();
    if tokens.length <= n_special {
        let expected = match n_special {
            0 => "a length of at least 1".to_owned(),
            n => format!("a length above {n}, the number of special tokens"),
        };
        return Err(invalid(expected, tokens.length));
    }
    if tokens
        .bins
        .is_some_and(|bins| !(2..=MOST_BINS).contains(&bins))
    {
        let found = tokens.bins.unwrap_or_default();
        return Err(invalid(format!("from 2 to {MOST_BINS} bins"), found));
    }
    if i64::try_from(tokens.seed).is_err() {
        return Err(invalid("a seed less than 2^63", tokens.seed));
    }
    let id = |role: &str, token: &SpecialToken| id_of(plan, key, role, token);
    let optional = |role: &str, token: &Option<SpecialToken>| {
        let token = token.as_ref().map(|token| id(role, token));
        token.transpose()
    };
    let form = TokenForm {
        length: tokens.length,
        select: tokens.select,
        bins: tokens.bins,
        pad: id("pad", &tokens.pad)?,
        pad_value: tokens.pad_value,
        cls: optional("cls", &tokens.cls)?,
        eos: optional("eos", &tokens.eos)?,
        seed: tokens.seed,
    };
    let mut special: Vec<i64> = [Some(form.pad), form.cls, form.eos]
        .into_iter()
        .flatten()
        .collect();
    special.sort_unstable();
    match special.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(form),
        Some(pair) => Err(invalid(
            "different ids for pad, cls and eos",
            format!("{} twice", pair[0]),
        )),
    }
}

/// The id of a special token, which no gene has.
fn id_of(
    plan: &Plan,
    key: &MatrixKey,
    role: &str,
    token: &SpecialToken,
) -> Result<i64, OptionError> {
    let genes = plan.genes.as_ref();
    let special = genes.map_or(&[][..], |genes| genes.special());
    let id = match token {
        SpecialToken::Id(id) => *id,
        SpecialToken::Name(name) => match special.iter().find(|(known, _)| known == name) {
            Some((_, id)) => *id,
            None => {
                let names = special.iter().map(|(name, _)| name);
                let expected = match special.is_empty() {
                    true => format!(
                        "an id for {role}, because no vocabulary with special names was given as genes"
                    ),
                    false => format!("an id for {role}, or one of {}", quoted(names)),
                };
                return Err(invalid(expected, format!("{name:?}")));
            }
        },
    };
    let is_gene = match genes.and_then(|genes| genes.ids()) {
        Some(ids) => ids.binary_search(&id).is_ok(),
        None => usize::try_from(id).is_ok_and(|id| id < width_of(plan, key)),
    };
    match is_gene {
        true => Err(invalid(format!("an id for {role} that no gene has"), id)),
        false => Ok(id),
    }
}

/// The number of columns of a matrix of genes, in the widest store.
fn width_of(plan: &Plan, key: &MatrixKey) -> usize {
    let number = plan
        .matrices
        .iter()
        .position(|other| other.name == key.name);
    let number = number.expect("a matrix of the plan");
    let stores = plan.stores.iter().enumerate();
    let widths = stores.filter_map(|(store, of)| {
        let source = of.matrices[number].as_ref()?;
        plan.row_shape(store, key, source).first().copied()
    });
    widths.max().unwrap_or_default()
}
