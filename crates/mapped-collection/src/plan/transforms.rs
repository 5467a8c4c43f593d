//! The transforms of the matrices of a collection, checked against its files.

use anndata_io::{ColumnValues, DType, ErrorKind, nearest_name};

use crate::error::open::OpenError;
use crate::error::option::OptionError;
use crate::error::{did_you_mean, quoted};
use crate::options::Options;
use crate::plan::obs_table::StoreObs;
use crate::plan::{Plan, StorePlan};
use crate::transform::pipeline::Pipeline;
use crate::transform::{Totals, Transform};

/// The element type of transformed matrices, unless another one is chosen.
pub(crate) const TRANSFORMED: DType = DType::F32;

/// The totals of the rows of a store, by the column of obs that has them.
pub(crate) type ObsTotals = Vec<(String, Vec<f64>)>;

/// Checks that transforms belong to matrices that are read, and that their results fit.
pub(crate) fn check_transforms(options: &Options) -> Result<(), OptionError> {
    let computes = |transform: &Transform| !matches!(transform, Transform::Downsample { .. });
    for (key, transforms) in &options.transforms {
        if !options.layers_keys.contains(key) {
            let expected = format!("keys of layers ({})", quoted(&options.layers_keys));
            return Err(OptionError::new("transforms", expected, format!("{key:?}")));
        }
        if let Some(dtype) = options.dtype.filter(|dtype| !dtype.is_float())
            && transforms.iter().any(computes)
        {
            let expected = format!("a type of floats, because {key:?} is transformed");
            return Err(OptionError::new("dtype", expected, dtype));
        }
    }
    Ok(())
}

/// Reads the totals in obs that a store's matrices are normalised by.
pub(crate) fn read_obs_totals(obs: &StoreObs<'_>) -> Result<ObsTotals, OpenError> {
    let mut found = ObsTotals::new();
    let transforms = obs.options.transforms.iter().flat_map(|(_, list)| list);
    for transform in transforms {
        let Transform::NormalizeTotal {
            totals: Totals::ObsKey(key),
            ..
        } = transform
        else {
            continue;
        };
        if found.iter().all(|(name, _)| name != key) {
            found.push((key.clone(), obs_totals(obs, key)?));
        }
    }
    Ok(found)
}

fn obs_totals(obs: &StoreObs<'_>, key: &str) -> Result<Vec<f64>, OpenError> {
    let element = obs.element(key);
    let invalid = |found: String| {
        let expected = "a column of numbers for NormalizeTotal".to_owned();
        let kind = ErrorKind::Invalid { expected, found };
        anndata_io::Error::new(obs.file.path(), element.as_str(), kind)
    };
    let Some(column) = obs.column(key)? else {
        let keys = obs.keys()?;
        let near = nearest_name(key, keys.iter().map(String::as_str));
        return Err(invalid(format!("no such column{}", did_you_mean(&near))).into());
    };
    let rows: Vec<u64> = (0..column.len()).collect();
    let read = column.read_rows(&rows)?;
    let ColumnValues::Numbers(numbers) = &read.values else {
        return Err(invalid("texts".to_owned()).into());
    };
    let totals = numbers.as_slice().to_vec::<f64>().into_iter().enumerate();
    let valid = totals.map(|(row, total)| if read.is_valid(row) { total } else { f64::NAN });
    Ok(valid.collect())
}

/// Makes the transforms of the matrices ready to run.
pub(crate) fn compile(plan: &mut Plan, options: &Options) -> Result<(), OptionError> {
    for (key, transforms) in &options.transforms {
        let number = plan.matrices.iter().position(|matrix| matrix.name == *key);
        let Some(number) = number else { continue };
        let genes = plan.vars_of(&plan.matrices[number]);
        let pipeline = Pipeline::new(key, transforms, genes.map(|genes| &**genes))?;
        let dtype = plan.dtype.unwrap_or(TRANSFORMED);
        let matrix = &mut plan.matrices[number];
        matrix.pipeline = Some(pipeline);
        matrix.dtype = matrix.dtype.map(|_| dtype);
    }
    Ok(())
}

impl StorePlan {
    /// The totals of all rows of the file, in this column.
    pub(crate) fn obs_totals_of(&self, key: &str) -> Option<&[f64]> {
        let mut totals = self.obs_totals.iter();
        totals
            .find(|(name, _)| name == key)
            .map(|(_, totals)| totals.as_slice())
    }
}
