//! What happens to the values of matrices.

use std::error::Error;

use clap::CommandFactory;
use clap::error::ErrorKind;
use mapped_anndata::{
    Depth, GeneValues, MappedCollectionBuilder, TargetTotal, Totals, Transform, read_numbers,
};

use crate::Result;
use crate::args::Cli;
use crate::lists;

/// The options that transform values.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TransformArgs {
    /// What happens to the values of a matrix, step by step, comma-separated: normalize:TARGET (a sum or
    /// median, of the row in its file; with :joint of the genes of the join, with :obs=COLUMN of that
    /// column), log1p[:BASE], clip:MIN:MAX (one may be empty), scale:MEANS:STDS and divide:NUMBERS
    /// (files of two columns, genes and numbers), downsample:MOLECULES or downsample:fraction=F (with
    /// :seed=S). The results are float32, or of --dtype. Repeatable.
    #[arg(long, value_name = "KEY=STEPS")]
    transform: Vec<String>,
}

const NORMALIZE: &str = "normalize:TARGET, normalize:TARGET:joint or normalize:TARGET:obs=COLUMN";
const DOWNSAMPLE: &str = "downsample:MOLECULES or downsample:fraction=F, perhaps with :seed=S";

impl TransformArgs {
    pub(crate) fn apply(
        &self,
        mut builder: MappedCollectionBuilder,
    ) -> Result<MappedCollectionBuilder> {
        for text in &self.transform {
            let Some((key, steps)) = lists::key_and_list(text) else {
                return Err(invalid("KEY=STEPS, such as X=normalize:1e4,log1p", text));
            };
            if !builder.get_transforms(&key).is_empty() {
                return Err(invalid(
                    "one list of steps for each matrix",
                    &format!("two for {key}"),
                ));
            }
            let steps = lists::split(steps);
            let steps = steps.iter().map(|text| step(text));
            builder = builder.transforms(key, steps.collect::<Result<Vec<_>>>()?);
        }
        Ok(builder)
    }
}

fn step(text: &str) -> Result<Transform> {
    let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
    let parameters: Vec<&str> = match parameters {
        "" => Vec::new(),
        parameters => parameters.split(':').collect(),
    };
    match (name, &parameters[..]) {
        ("normalize", [target, rest @ ..]) => {
            let totals = match rest {
                [] => Totals::AllGenes,
                ["joint"] => Totals::JointGenes,
                [column] => match column.strip_prefix("obs=") {
                    Some(column) => Totals::ObsKey(column.to_owned()),
                    None => return Err(invalid(NORMALIZE, text)),
                },
                _ => return Err(invalid(NORMALIZE, text)),
            };
            let target = match *target {
                "median" => TargetTotal::Median,
                target => number(target, text)?.into(),
            };
            Ok(Transform::NormalizeTotal { target, totals })
        }
        ("normalize", []) => Err(invalid(NORMALIZE, text)),
        ("log1p", []) => Ok(Transform::log1p()),
        ("log1p", [base]) => Ok(Transform::Log1p {
            base: Some(number(base, text)?),
        }),
        ("clip", [min, max]) if !(min.is_empty() && max.is_empty()) => {
            let bound = |bound: &str| match bound {
                "" => Ok(None),
                bound => number(bound, text).map(Some),
            };
            Ok(Transform::clip(bound(min)?, bound(max)?))
        }
        ("clip", _) => Err(invalid("clip:MIN:MAX, of which one may be empty", text)),
        ("scale", [means, stds]) => Ok(Transform::scale_genes(numbers(means)?, numbers(stds)?)),
        ("scale", _) => Err(invalid("scale:MEANS:STDS, two files", text)),
        ("divide", [divisors]) => Ok(Transform::divide_genes(numbers(divisors)?)),
        ("divide", _) => Err(invalid("divide:NUMBERS, a file", text)),
        ("downsample", [depth, rest @ ..]) => {
            let depth = match depth.strip_prefix("fraction=") {
                Some(fraction) => Depth::Fraction(number(fraction, text)?),
                None => Depth::To(number(depth, text)?),
            };
            let seed = match rest {
                [] => Some(0),
                [seed] => seed
                    .strip_prefix("seed=")
                    .and_then(|seed| seed.parse().ok()),
                _ => None,
            };
            let seed = seed.ok_or_else(|| invalid(DOWNSAMPLE, text))?;
            Ok(Transform::Downsample { depth, seed })
        }
        ("downsample", []) => Err(invalid(DOWNSAMPLE, text)),
        _ => {
            let expected = "normalize, log1p, clip, scale, divide or downsample";
            Err(invalid(expected, text))
        }
    }
}

fn numbers(path: &str) -> Result<GeneValues> {
    Ok(read_numbers(path)?.into_iter().collect())
}

fn number(text: &str, step: &str) -> Result<f64> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| invalid(&format!("a number in {step}"), text))
}

fn invalid(expected: &str, found: &str) -> Box<dyn Error> {
    let message = format!("--transform: expected {expected}, found {found:?}");
    let error = Cli::command().error(ErrorKind::InvalidValue, message);
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let sum = |target: f64, totals| Transform::NormalizeTotal {
            target: target.into(),
            totals,
        };
        let cases = [
            ("normalize:1e4", sum(1e4, Totals::AllGenes)),
            ("normalize:10:joint", sum(10.0, Totals::JointGenes)),
            (
                "normalize:10:obs=n_counts",
                sum(10.0, Totals::ObsKey("n_counts".into())),
            ),
            (
                "normalize:median",
                Transform::normalize_total(TargetTotal::Median),
            ),
            ("log1p", Transform::log1p()),
            ("log1p:2", Transform::Log1p { base: Some(2.0) }),
            ("clip::10", Transform::clip(None, 10.0)),
            ("clip:-1:", Transform::clip(-1.0, None)),
            ("downsample:500", Transform::downsample(Depth::To(500.0))),
            (
                "downsample:fraction=0.5:seed=7",
                Transform::Downsample {
                    depth: Depth::Fraction(0.5),
                    seed: 7,
                },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(step(text).expect("valid"), expected, "{text}");
        }
        for wrong in [
            "normalize",
            "normalize:x",
            "normalize:1:all",
            "log1p:e",
            "clip",
            "clip::",
            "scale:a",
            "divide",
            "downsample",
            "downsample:5:7",
            "log",
            "",
        ] {
            let error = step(wrong).expect_err(wrong).to_string();
            assert!(error.contains("--transform: expected"), "{error}");
        }
    }
}
