//! Turns rows into tokens.

use anndata_io::{NumericValue, Scalar};

use crate::tokens::TokenSelection;
use crate::tokens::bins::Bins;
use crate::tokens::ranking::Ranking;
use crate::tokens::sample::{Sample, SampledRow};

/// [`Tokens`](crate::Tokens) with the ids of special tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TokenForm {
    pub(crate) length: usize,
    pub(crate) select: TokenSelection,
    pub(crate) bins: Option<u32>,
    pub(crate) pad: i64,
    pub(crate) pad_value: f64,
    pub(crate) cls: Option<i64>,
    pub(crate) cls_value: f64,
    pub(crate) eos: Option<i64>,
    pub(crate) seed: u64,
}

impl TokenForm {
    /// The number of special tokens of a row.
    pub(crate) fn n_special(&self) -> usize {
        usize::from(self.cls.is_some()) + usize::from(self.eos.is_some())
    }
}

/// A value that cannot be binned or drawn by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenFault {
    pub(crate) expected: &'static str,
    pub(crate) found: NumericValue,
}

/// The elements of a row that are not 0, by ascending column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expressed<'a, T> {
    pub(crate) columns: &'a [u32],
    pub(crate) values: &'a [T],
}

/// Turns one row at a time into tokens, and reuses its buffers.
#[derive(Debug)]
pub(crate) struct RowTokens<'a> {
    form: TokenForm,
    /// The id of each column; `None` for its number.
    ids: Option<&'a [i64]>,
    ranking: Ranking,
    bins: Bins,
    sample: Sample,
}

impl<'a> RowTokens<'a> {
    pub(crate) fn new(form: TokenForm, ids: Option<&'a [i64]>) -> RowTokens<'a> {
        RowTokens {
            form,
            ids,
            ranking: Ranking::default(),
            bins: Bins::default(),
            sample: Sample::default(),
        }
    }

    /// Writes the tokens of a row, and pads them. Returns their number.
    ///
    /// # Errors
    /// When a value cannot be binned or drawn by.
    pub(crate) fn write<T: Scalar>(
        &mut self,
        row: SampledRow,
        expressed: Expressed<'_, T>,
        ids: &mut [i64],
        values: &mut [T],
    ) -> Result<usize, TokenFault> {
        let form = &self.form;
        let n = expressed.columns.len();
        let n_kept = n.min(form.length - form.n_special());
        self.check(expressed.values)?;
        let ranked = match form.select == TokenSelection::Highest || form.bins.is_some() {
            true => self.ranking.rank(expressed.values),
            false => &[],
        };
        let bins = form
            .bins
            .map(|bins| self.bins.of(bins, expressed.values, ranked));
        let kept = match form.select {
            TokenSelection::Highest => &ranked[..n_kept],
            _ if n_kept == n => self.sample.all(n),
            TokenSelection::Uniform => self.sample.uniform(row, n, n_kept),
            TokenSelection::ByValue => self.sample.by_value(row, expressed.values, n_kept),
        };
        let first = usize::from(form.cls.is_some());
        if let Some(cls) = form.cls {
            (ids[0], values[0]) = (cls, T::cast_from(form.cls_value));
        }
        let genes = first..first + n_kept;
        let columns = kept.iter().map(|&at| expressed.columns[at as usize]);
        for (id, column) in ids[genes.clone()].iter_mut().zip(columns) {
            *id = self.ids.map_or(column.into(), |ids| ids[column as usize]);
        }
        for (value, &at) in values[genes.clone()].iter_mut().zip(kept) {
            *value = match bins {
                None => expressed.values[at as usize],
                Some(bins) => T::cast_from(bins[at as usize]),
            };
        }
        let mut end = genes.end;
        if let Some(eos) = form.eos {
            (ids[end], values[end]) = (eos, T::default());
            end += 1;
        }
        ids[end..].fill(form.pad);
        values[end..].fill(T::cast_from(form.pad_value));
        Ok(end)
    }

    /// # Errors
    /// When a value cannot be binned or drawn by.
    fn check<T: Scalar>(&self, values: &[T]) -> Result<(), TokenFault> {
        let by_value = self.form.select == TokenSelection::ByValue;
        if self.form.bins.is_none() && !by_value {
            return Ok(());
        }
        let is_fit = |value: f64| value.is_finite() && (value > 0.0 || !by_value);
        match values.iter().find(|&&value| !is_fit(f64::cast_from(value))) {
            None => Ok(()),
            Some(value) => Err(TokenFault {
                expected: match by_value {
                    true => "finite values that are not negative, to draw genes by value",
                    false => "finite values, to put them into bins",
                },
                found: value.to_number(),
            }),
        }
    }
}
