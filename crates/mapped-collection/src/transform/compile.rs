//! Checks the transforms of a matrix, and makes them ready to run.

use std::fmt::Display;

use feature_join::VarNames;
use once_cell::race::OnceBox;

use crate::error::option::OptionError;
use crate::error::quoted;
use crate::transform::downsample::Downsample;
use crate::transform::pipeline::{Pipeline, Step, Zeros};
use crate::transform::{Depth, GeneValues, TargetTotal, Totals, Transform};

/// The most genes that an error names.
const MOST_NAMED: usize = 5;

impl Pipeline {
    /// The transforms of a matrix with these genes; `genes` is `None` if they differ between stores.
    ///
    /// # Errors
    /// When a parameter makes no sense, steps do not fit together, or a gene has no value.
    pub(crate) fn new(
        key: &str,
        transforms: &[Transform],
        genes: Option<&VarNames>,
    ) -> Result<Pipeline, OptionError> {
        let mut pipeline = Pipeline {
            downsample: None,
            steps: Vec::new(),
            zeros: None,
            median: OnceBox::new(),
        };
        let mut zeros = Zeros::Same(0.0);
        for transform in transforms {
            let name = transform.name();
            let step = match transform {
                Transform::Downsample { depth, seed } => {
                    check_depth(key, *depth)?;
                    if pipeline.downsample.is_some() || !pipeline.steps.is_empty() {
                        let expected = "Downsample once, as the first step: it draws counts";
                        return Err(refused(key, expected, "it after another step"));
                    }
                    let (depth, seed) = (*depth, *seed);
                    pipeline.downsample = Some(Downsample { depth, seed });
                    continue;
                }
                Transform::NormalizeTotal { target, totals } => {
                    pipeline.check_normalize(key, *target, totals, &zeros)?;
                    let (target, totals) = (*target, totals.clone());
                    Step::Normalize { target, totals }
                }
                Transform::Log1p { base } => {
                    let base = base.unwrap_or(std::f64::consts::E);
                    if !(base > 0.0 && base.is_finite() && base != 1.0) {
                        let expected = "a positive base of Log1p that is not 1";
                        return Err(refused(key, expected, base));
                    }
                    let ln_base = if base == std::f64::consts::E {
                        1.0
                    } else {
                        libm::log(base)
                    };
                    if let Some(zero) = zeros.iter().find(|zero| *zero <= -1.0) {
                        let expected = "values above -1 for Log1p";
                        let found = format!("zeros that have become {zero}");
                        return Err(refused(key, expected, found));
                    }
                    Step::Log1p { ln_base }
                }
                Transform::Clip { min, max } => {
                    let (min, max) = (
                        min.unwrap_or(f64::NEG_INFINITY),
                        max.unwrap_or(f64::INFINITY),
                    );
                    if min > max || min.is_nan() || max.is_nan() {
                        let expected = "a min of Clip that is not above its max";
                        return Err(refused(key, expected, format!("{min} and {max}")));
                    }
                    Step::Clip { min, max }
                }
                Transform::ScaleGenes { mean, std } => Step::Scale {
                    mean: by_column(key, (name, "mean"), mean, genes, |_| true)?,
                    std: by_column(key, (name, "std"), std, genes, |value| value != 0.0)?,
                },
                Transform::DivideGenes { by } => Step::Divide {
                    by: by_column(key, (name, "by"), by, genes, |value| value != 0.0)?,
                },
            };
            zeros = step.of_zeros(zeros);
            pipeline.steps.push(step);
        }
        let change = zeros.iter().any(|zero| zero != 0.0);
        pipeline.zeros = change.then_some(zeros);
        Ok(pipeline)
    }

    /// Checks that a row has the total that it is normalised by.
    fn check_normalize(
        &self,
        key: &str,
        target: TargetTotal,
        totals: &Totals,
        zeros: &Zeros,
    ) -> Result<(), OptionError> {
        let is_joint = *totals == Totals::JointGenes;
        let found = match target {
            TargetTotal::Sum(sum) if !(sum > 0.0 && sum.is_finite()) => {
                let expected = "a positive target of NormalizeTotal";
                return Err(refused(key, expected, sum));
            }
            TargetTotal::Median if self.downsample.is_some() || !self.steps.is_empty() => {
                "a median target after another step"
            }
            _ if self.totals().is_some() => "NormalizeTotal twice",
            _ if matches!(totals, Totals::ObsKey(_)) && self.downsample.is_some() => {
                "totals from obs after Downsample, which changes them"
            }
            _ if !is_joint && !self.steps.is_empty() => {
                "another step before NormalizeTotal, whose totals are those of the file: choose totals \
                 over the joint genes, or put it first"
            }
            _ if zeros.iter().any(|zero| zero != 0.0) => {
                "NormalizeTotal after a step that changes zeros"
            }
            _ => return Ok(()),
        };
        let expected = "one NormalizeTotal, first or after Downsample";
        Err(refused(key, expected, found))
    }
}

/// The error of the transforms of a matrix.
fn refused(key: &str, expected: impl Into<String>, found: impl Display) -> OptionError {
    OptionError::new("transforms", expected, format!("{found}, for {key:?}"))
}

fn check_depth(key: &str, depth: Depth) -> Result<(), OptionError> {
    let (is_valid, expected, found) = match depth {
        Depth::To(to) => (
            to > 0.0 && to.is_finite(),
            "a positive depth of Downsample",
            to,
        ),
        Depth::Fraction(fraction) => (
            fraction > 0.0 && fraction <= 1.0,
            "a fraction for Downsample, above 0 and at most 1",
            fraction,
        ),
    };
    match is_valid {
        true => Ok(()),
        false => Err(refused(key, expected, found)),
    }
}

/// The number of each gene, in the order of the matrix.
fn by_column(
    key: &str,
    (transform, parameter): (&str, &str),
    values: &GeneValues,
    genes: Option<&VarNames>,
    is_valid: impl Fn(f64) -> bool,
) -> Result<Vec<f64>, OptionError> {
    let what = format!("{transform}({parameter})");
    let Some(genes) = genes else {
        let expected = format!("a matrix with joined genes for {transform}");
        let found = "one that has its own genes in each store";
        return Err(refused(key, expected, found));
    };
    let values = match values {
        GeneValues::InOrder(values) if values.len() == genes.len() => values.to_vec(),
        GeneValues::InOrder(values) => {
            let expected = format!("{} numbers for {what}, one for each gene", genes.len());
            return Err(refused(key, expected, values.len()));
        }
        GeneValues::ByName(values) => {
            let missing: Vec<String> = genes
                .iter()
                .filter(|name| !values.contains_key(*name))
                .map(str::to_owned)
                .collect();
            if !missing.is_empty() {
                let named = quoted(missing.iter().take(MOST_NAMED));
                let found = match missing.len() {
                    n if n <= MOST_NAMED => format!("no number for {named}"),
                    n => format!("no number for {n} genes, among them {named}"),
                };
                let expected = format!("a number for each gene in {what}");
                return Err(refused(key, expected, found));
            }
            genes.iter().map(|name| values[name]).collect()
        }
    };
    let is_bad = |value: f64| !value.is_finite() || !is_valid(value);
    if let Some(at) = values.iter().position(|&value| is_bad(value)) {
        let expected = match is_valid(0.0) {
            true => format!("finite numbers in {what}"),
            false => format!("finite numbers other than 0 in {what}"),
        };
        let name = genes.get(at).unwrap_or_default();
        let found = format!("{} for the gene {name:?}", values[at]);
        return Err(refused(key, expected, found));
    }
    Ok(values)
}
