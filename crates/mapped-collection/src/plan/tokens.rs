//! Tokens, checked against a collection.

use anndata_io::{DType, Scalar, with_dtype};

use crate::error::option::OptionError;
use crate::error::quoted;
use crate::plan::Plan;
use crate::plan::matrices::MatrixKey;
use crate::tokens::row::TokenForm;
use crate::tokens::{SpecialToken, Tokens};

/// The names of the matrices that replace the one of genes.
pub(crate) const IDS: &str = "ids";
pub(crate) const VALUES: &str = "values";
pub(crate) const LENGTHS: &str = "lengths";

/// The most tokens of a row. No cell expresses more genes, and a batch of rows has a size that can be
/// allocated.
const MOST_LENGTH: usize = 1 << 20;
/// The most bins.
const MOST_BINS: u32 = 1 << 16;

/// [`Tokens`] of a matrix of the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedTokens {
    /// The number of the matrix.
    pub(crate) matrix: usize,
    pub(crate) form: TokenForm,
}

impl PlannedTokens {
    /// Resolves tokens for elements of a type; `None` for that of the matrix.
    ///
    /// # Errors
    /// When the tokens do not fit the collection, or the type cannot hold their values.
    pub(crate) fn new(
        plan: &Plan,
        tokens: &Tokens,
        dtype: Option<DType>,
    ) -> Result<PlannedTokens, OptionError> {
        let (matrix, key) = matrix_of(plan, tokens)?;
        check_names(plan, matrix)?;
        check_join(plan, key)?;
        let form = form_of(plan, matrix, tokens)?;
        let dtype = dtype.or(key.dtype).expect("a store has this matrix");
        check_type(plan, matrix, dtype)?;
        let stored = |value: f64| with_dtype!(dtype, T => f64::cast_from(T::cast_from(value)));
        for (name, value) in [("pad_value", form.pad_value), ("cls_value", form.cls_value)] {
            let is_held = value.is_finite()
                && match dtype.is_float() {
                    true => stored(value).is_finite(),
                    false => stored(value) == value,
                };
            if !is_held {
                let expected = format!("a finite {name} that {dtype} can hold");
                return Err(invalid(expected, format!("{value:e}")));
            }
        }
        // Beyond the whole numbers that a type of floats has, it leaves out every second one at least.
        let is_exact = |number: u32| stored(number.into()) == f64::from(number);
        if let Some(bins) = form.bins
            && !(is_exact(bins - 1) && is_exact(bins - 2))
        {
            let expected =
                format!("fewer bins, so that {dtype} holds their numbers, or another dtype");
            return Err(invalid(expected, bins));
        }
        Ok(PlannedTokens { matrix, form })
    }
}

/// Checks that a column stands for one gene in all stores.
fn check_join(plan: &Plan, key: &MatrixKey) -> Result<(), OptionError> {
    let n_stores = plan.stores.len();
    match key.join.is_some() || n_stores == 1 {
        true => Ok(()),
        false => {
            let expected = "a matrix whose genes are joined (choose a join, or give genes)";
            Err(invalid(
                expected,
                format!("{:?} of {n_stores} stores", key.name),
            ))
        }
    }
}

fn invalid(expected: impl Into<String>, found: impl ToString) -> OptionError {
    OptionError::new("tokens", expected, found)
}

/// Checks that fractions, by which genes are ordered and put into bins, are not cut to whole numbers.
fn check_type(plan: &Plan, matrix: usize, dtype: DType) -> Result<(), OptionError> {
    if dtype.is_float() {
        return Ok(());
    }
    let sources = plan.stores.iter();
    let mut types = sources.filter_map(|store| Some(store.matrices[matrix].as_ref()?.dtype()));
    match types.find(|of_file| of_file.is_float()) {
        None => Ok(()),
        Some(of_file) => {
            let name = &plan.matrices[matrix].name;
            let expected = format!(
                "a type of floats, because files have {name:?} in {of_file}, and its values decide on tokens"
            );
            Err(OptionError::new("dtype", expected, dtype))
        }
    }
}

/// The matrix that becomes tokens, and its number.
fn matrix_of<'a>(plan: &'a Plan, tokens: &Tokens) -> Result<(usize, &'a MatrixKey), OptionError> {
    let n_layers = plan.stores.first().map_or(0, |store| store.taken.len());
    let layers = plan.matrices.iter().enumerate().take(n_layers);
    let mut keys = layers.filter(|(number, _)| plan.has_matrix(*number));
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
        .filter(|(number, _)| *number != matrix && plan.has_matrix(*number))
        .map(|(_, key)| &key.name);
    let obs = plan.obs.iter().enumerate();
    let obs = obs.filter(|(number, _)| plan.has_column(*number));
    let mut others = others.chain(obs.map(|(_, key)| &key.name));
    match others.find(|name| [IDS, VALUES, LENGTHS].contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let expected = format!("no other key named {IDS:?}, {VALUES:?} or {LENGTHS:?}");
            Err(invalid(expected, format!("{name:?}")))
        }
    }
}

fn form_of(plan: &Plan, matrix: usize, tokens: &Tokens) -> Result<TokenForm, OptionError> {
    if tokens.length > MOST_LENGTH {
        return Err(invalid(
            format!("a length of at most {MOST_LENGTH}"),
            tokens.length,
        ));
    }
    if let Some(bins) = tokens.bins
        && !(2..=MOST_BINS).contains(&bins)
    {
        return Err(invalid(format!("from 2 to {MOST_BINS} bins"), bins));
    }
    if i64::try_from(tokens.seed).is_err() {
        return Err(invalid("a seed less than 2^63", tokens.seed));
    }
    let id = |role: &str, token: &SpecialToken| id_of(plan, matrix, role, token);
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
        cls_value: tokens.cls_value,
        eos: optional("eos", &tokens.eos)?,
        seed: tokens.seed,
    };
    let n_special = form.n_special();
    if form.length <= n_special {
        let expected = match n_special {
            0 => "a length of at least 1".to_owned(),
            n => format!("a length above {n}, the number of special tokens"),
        };
        return Err(invalid(expected, form.length));
    }
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
fn id_of(plan: &Plan, matrix: usize, role: &str, token: &SpecialToken) -> Result<i64, OptionError> {
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
                        "{role}=ID, or a vocabulary with special names as genes of the collection"
                    ),
                    false => format!("an id for {role}, or one of {}", quoted(names)),
                };
                let is_gene =
                    genes.is_some_and(|genes| genes.names().iter().any(|gene| gene == name));
                let hint = match is_gene {
                    true => ", which is a gene: list it among the special names of the vocabulary",
                    false => "",
                };
                return Err(invalid(expected, format!("{role}={name:?}{hint}")));
            }
        },
    };
    let is_gene = match genes.and_then(|genes| genes.ids()) {
        Some(ids) => ids.binary_search(&id).is_ok(),
        // All stores have one width, because their genes are joined.
        None => {
            let row_shape = plan.common_row_shape(matrix, &[]).ok().flatten();
            let width = row_shape.map_or(0, |shape| shape.iter().product());
            usize::try_from(id).is_ok_and(|id| id < width)
        }
    };
    match is_gene {
        true => Err(invalid(format!("an id for {role} that no gene has"), id)),
        false => Ok(id),
    }
}
