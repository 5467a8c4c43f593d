//! The transforms of matrices, as the package's Python half passes them.

use mapped_anndata::{Depth, GeneValues, TargetTotal, Totals, Transform};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A matrix key, and its steps: names and parameters.
pub(crate) type Steps<'py> = (String, Vec<(String, Bound<'py, PyDict>)>);

#[derive(FromPyObject)]
enum Numbers {
    InOrder(Vec<f64>),
    ByName(Vec<(String, f64)>),
}

impl From<Numbers> for GeneValues {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::InOrder(values) => values.into(),
            Numbers::ByName(values) => values.into_iter().collect(),
        }
    }
}

/// A step. The Python half has checked the types.
pub(crate) fn step(name: &str, parameters: &Bound<'_, PyDict>) -> PyResult<Transform> {
    let parameter = |key: &str| parameters.as_any().get_item(key);
    let numbers = |key: &str| Ok::<GeneValues, PyErr>(parameter(key)?.extract::<Numbers>()?.into());
    Ok(match name {
        "NormalizeTotal" => {
            let target: Option<f64> = parameter("target")?.extract()?;
            let (joint, obs_key) = (parameter("joint")?.extract()?, parameter("obs_key")?);
            Transform::NormalizeTotal {
                target: target.map_or(TargetTotal::Median, TargetTotal::Sum),
                totals: match obs_key.extract::<Option<String>>()? {
                    Some(key) => Totals::ObsKey(key),
                    None if joint => Totals::JointGenes,
                    None => Totals::AllGenes,
                },
            }
        }
        "Log1p" => Transform::Log1p {
            base: parameter("base")?.extract()?,
        },
        "Clip" => Transform::Clip {
            min: parameter("min")?.extract()?,
            max: parameter("max")?.extract()?,
        },
        "ScaleGenes" => Transform::scale_genes(numbers("mean")?, numbers("std")?),
        "DivideGenes" => Transform::divide_genes(numbers("by")?),
        "Downsample" => {
            let depth = parameter("depth")?.extract()?;
            Transform::Downsample {
                depth: match parameter("is_fraction")?.extract()? {
                    true => Depth::Fraction(depth),
                    false => Depth::To(depth),
                },
                seed: parameter("seed")?.extract()?,
            }
        }
        _ => return Err(PyValueError::new_err(format!("transforms: no step {name}"))),
    })
}
