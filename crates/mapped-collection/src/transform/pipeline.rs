//! The transforms of a matrix, checked, and run on its rows.

use once_cell::race::OnceBox;

use crate::transform::downsample::Downsample;
use crate::transform::function::{Function, Remembered};
use crate::transform::memo::Memo;
use crate::transform::total::Total;
use crate::transform::{TargetTotal, Totals};

/// The transforms of a matrix.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(super) downsample: Option<Downsample>,
    pub(super) steps: Vec<Step>,
    pub(super) zeros: Option<Zeros>,
    /// The target of [`Step::Normalize`] if it is a median, once it is known.
    pub(super) median: OnceBox<f64>,
}

/// A step, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Normalize {
        target: TargetTotal,
        totals: Totals,
    },
    Log1p {
        ln_base: f64,
    },
    Clip {
        min: f64,
        max: f64,
    },
    /// One mean and one standard deviation per joint column.
    Scale {
        mean: Vec<f64>,
        std: Vec<f64>,
    },
    /// One divisor per joint column.
    Divide {
        by: Vec<f64>,
    },
}

/// What a zero becomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Zeros {
    Same(f64),
    /// By joint column.
    ByColumn(Vec<f64>),
}

/// What a transform needs to know of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct RowFacts {
    /// The number of its store.
    pub(crate) store: u32,
    /// The row in its file.
    pub(crate) row: u32,
    pub(crate) epoch: u64,
    /// Its total over all genes of the file.
    pub(crate) total: f64,
    /// Its total in the column of obs that [`Totals::ObsKey`] names.
    pub(crate) obs_total: Option<f64>,
}

/// Why a row cannot be transformed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum TransformFault {
    /// A total is negative, infinite or NaN.
    Total(f64),
    /// The total in obs is 0 or missing, but the row is not empty.
    NoObsTotal,
    /// A value has no logarithm.
    Log1p(f64),
}

impl TransformFault {
    /// What was expected, and what was found.
    pub(crate) fn texts(self) -> (String, String) {
        match self {
            TransformFault::Total(total) => (
                "a row whose total is finite and not negative, for NormalizeTotal".to_owned(),
                format!("the total {total}"),
            ),
            TransformFault::NoObsTotal => (
                "a total in obs for every row that is not empty, for NormalizeTotal".to_owned(),
                "0, or a missing value".to_owned(),
            ),
            TransformFault::Log1p(value) => {
                ("values above -1, for Log1p".to_owned(), format!("{value}"))
            }
        }
    }
}

impl Step {
    /// What becomes of a value. `factor` is that of [`Step::Normalize`].
    #[inline]
    pub(super) fn apply(&self, value: f64, column: u32, factor: f64) -> f64 {
        match self {
            Step::Normalize { .. } => value * factor,
            Step::Log1p { ln_base } => libm::log1p(value) / ln_base,
            // Unlike those of f64, these leave NaN as it is.
            Step::Clip { min, .. } if value < *min => *min,
            Step::Clip { max, .. } if value > *max => *max,
            Step::Clip { .. } => value,
            Step::Scale { mean, std } => (value - mean[column as usize]) / std[column as usize],
            Step::Divide { by } => value / by[column as usize],
        }
    }

    /// Whether a value has no result.
    pub(super) fn refuses(&self, value: f64) -> bool {
        matches!(self, Step::Log1p { .. }) && value <= -1.0
    }

    /// Whether it is the same for all genes.
    fn is_uniform(&self) -> bool {
        !matches!(self, Step::Scale { .. } | Step::Divide { .. })
    }

    /// What zeros become, if they were this before.
    pub(super) fn of_zeros(&self, zeros: Zeros) -> Zeros {
        let apply = |(column, &zero): (u32, &f64)| self.apply(zero, column, 1.0);
        match (self, zeros) {
            (Step::Scale { mean: values, .. } | Step::Divide { by: values }, Zeros::Same(zero)) => {
                let zeros = vec![zero; values.len()];
                Zeros::ByColumn((0..).zip(&zeros).map(apply).collect())
            }
            (_, Zeros::Same(zero)) => Zeros::Same(self.apply(zero, 0, 1.0)),
            (_, Zeros::ByColumn(zeros)) => Zeros::ByColumn((0..).zip(&zeros).map(apply).collect()),
        }
    }
}

impl Zeros {
    pub(super) fn iter(&self) -> impl Iterator<Item = f64> {
        match self {
            Zeros::Same(zero) => std::slice::from_ref(zero),
            Zeros::ByColumn(zeros) => zeros,
        }
        .iter()
        .copied()
    }
}

impl Pipeline {
    /// Whether results may be fractions.
    pub(crate) fn computes_fractions(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Whether counts are drawn. Then rows must hold counts, entries must ascend by column, and
    /// entries may become 0, so that a sparse row leaves them out.
    pub(crate) fn downsamples(&self) -> bool {
        self.downsample.is_some()
    }

    /// Whether it needs the total of a row in its file.
    pub(crate) fn needs_total(&self) -> bool {
        self.downsample.is_some() || self.totals() == Some(&Totals::AllGenes)
    }

    fn normalize(&self) -> Option<(TargetTotal, &Totals)> {
        self.steps.iter().find_map(|step| match step {
            Step::Normalize { target, totals } => Some((*target, totals)),
            _ => None,
        })
    }

    /// What rows are normalised by, if they are.
    pub(crate) fn totals(&self) -> Option<&Totals> {
        self.normalize().map(|(_, totals)| totals)
    }

    /// Whether the target of normalisation is a median that is not yet known.
    pub(crate) fn lacks_median(&self) -> bool {
        let is_median = self
            .normalize()
            .is_some_and(|(target, _)| target == TargetTotal::Median);
        is_median && self.median.get().is_none()
    }

    /// The median, if it is the target and known.
    pub(crate) fn median(&self) -> Option<f64> {
        self.median.get().copied()
    }

    /// Makes the median known.
    pub(crate) fn set_median(&self, median: f64) {
        self.median.get_or_init(|| Box::new(median));
    }

    /// Whether zeros do not stay zeros, so that rows cannot be sparse.
    pub(crate) fn changes_zeros(&self) -> bool {
        self.zeros.is_some()
    }

    /// What the zero of each joint column becomes, if zeros do not stay.
    pub(crate) fn zero_of(&self) -> Option<impl Fn(usize) -> f64> {
        let zeros = self.zeros.as_ref()?;
        Some(move |column: usize| match zeros {
            Zeros::Same(zero) => *zero,
            Zeros::ByColumn(zeros) => zeros[column],
        })
    }

    fn total_of(
        &self,
        total: f64,
        facts: &RowFacts,
        values: &[f64],
    ) -> Result<f64, TransformFault> {
        let total = match self.totals() {
            None | Some(Totals::AllGenes) => total,
            Some(Totals::JointGenes) => Total::of_slice(values).value(),
            Some(Totals::ObsKey(_)) => {
                let is_there = |total: &f64| *total != 0.0 && !total.is_nan();
                let total = facts.obs_total.filter(is_there);
                match total {
                    None if values.iter().any(|&value| value != 0.0) => {
                        return Err(TransformFault::NoObsTotal);
                    }
                    total => total.unwrap_or(0.0),
                }
            }
        };
        match total >= 0.0 && total.is_finite() {
            true => Ok(total),
            false => Err(TransformFault::Total(total)),
        }
    }

    /// What becomes of each value of a row, if that is the same for all genes, and the same for all
    /// rows but for a factor. `values` are those before the first step.
    fn function(
        &self,
        total: f64,
        facts: &RowFacts,
        values: &[f64],
    ) -> Result<Option<Function<'_>>, TransformFault> {
        if !self.steps.iter().all(Step::is_uniform) {
            return Ok(None);
        }
        let (factor, differs) = match (self.steps.first(), self.normalize()) {
            (_, None) => (1.0, false),
            (Some(Step::Normalize { target, .. }), _) => {
                let total = self.total_of(total, facts, values)?;
                (self.factor(*target, total)?, true)
            }
            _ => return Ok(None),
        };
        Ok(Some(Function {
            steps: &self.steps,
            factor,
            differs,
        }))
    }

    /// As [`function`](Self::function), for a row whose total in its file is all that matters.
    pub(crate) fn function_of_total(
        &self,
        total: f64,
    ) -> Result<Option<Function<'_>>, TransformFault> {
        match (self.downsample, self.totals()) {
            (None, None | Some(Totals::AllGenes)) => {
                self.function(total, &RowFacts::default(), &[])
            }
            _ => Ok(None),
        }
    }

    /// # Errors
    /// When the total is so small that the factor is infinite.
    fn factor(&self, target: TargetTotal, total: f64) -> Result<f64, TransformFault> {
        let target = match target {
            TargetTotal::Sum(sum) => sum,
            TargetTotal::Median => *self.median.get().expect("computed before rows are read"),
        };
        let factor = if total == 0.0 { 1.0 } else { target / total };
        match factor.is_finite() {
            true => Ok(factor),
            false => Err(TransformFault::Total(total)),
        }
    }

    /// Transforms the entries of a row, and moves those that are left to the front. Returns their
    /// number.
    ///
    /// # Errors
    /// When a total or a value has no result.
    pub(crate) fn run(
        &self,
        facts: &RowFacts,
        columns: &mut [u32],
        values: &mut [f64],
        memo: &mut Memo,
    ) -> Result<usize, TransformFault> {
        let (n, total) = match self.downsample {
            Some(downsample) => downsample.draw(facts, columns, values),
            None => (values.len(), facts.total),
        };
        let (columns, values) = (&columns[..n], &mut values[..n]);
        match self.function(total, facts, values)? {
            Some(function) => {
                let mut function = Remembered::new(function, memo);
                values
                    .iter_mut()
                    .for_each(|value| *value = function.apply(*value));
                function.end()?;
            }
            None => {
                for step in &self.steps {
                    let factor = match step {
                        Step::Normalize { target, .. } => {
                            self.factor(*target, self.total_of(total, facts, values)?)?
                        }
                        _ => 1.0,
                    };
                    run_step(step, columns, values, factor)?;
                }
            }
        }
        Ok(n)
    }
}

fn run_step(
    step: &Step,
    columns: &[u32],
    values: &mut [f64],
    factor: f64,
) -> Result<(), TransformFault> {
    if let Some(&refused) = values.iter().find(|value| step.refuses(**value)) {
        return Err(TransformFault::Log1p(refused));
    }
    for (value, &column) in values.iter_mut().zip(columns) {
        *value = step.apply(*value, column, factor);
    }
    Ok(())
}
