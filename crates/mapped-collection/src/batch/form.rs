//! The form of the batches of one epoch, checked against a collection.

use anndata_io::DType;

use crate::batch::{BatchFormat, MatrixFormat};
use crate::error::option::OptionError;
use crate::plan::Plan;
use crate::plan::tokens::PlannedTokens;

/// What [`BatchFormat`] asks for, and the epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchForm {
    pub(super) format: MatrixFormat,
    pub(super) missing_code: i64,
    pub(super) dtype: Option<DType>,
    pub(super) tokens: Option<PlannedTokens>,
    /// 0 for rows by index.
    pub(super) epoch: u64,
}

impl BatchForm {
    /// Resolves a format for the batches of an epoch.
    ///
    /// # Errors
    /// When batches of this form cannot hold what the transforms compute, or tokens do not fit the
    /// collection.
    pub(crate) fn new(
        plan: &Plan,
        format: &BatchFormat,
        epoch: u64,
    ) -> Result<BatchForm, OptionError> {
        let tokens = format.tokens.as_ref();
        let tokens = tokens.map(|tokens| PlannedTokens::new(plan, tokens, format.dtype));
        let form = BatchForm {
            format: format.output,
            missing_code: format.missing_code,
            dtype: format.dtype,
            tokens: tokens.transpose()?,
            epoch,
        };
        form.check_transforms(plan)?;
        Ok(form)
    }

    /// The tokens of a matrix, if it becomes tokens.
    pub(super) fn tokens_of(&self, matrix: usize) -> Option<&PlannedTokens> {
        let tokens = self.tokens.as_ref();
        tokens.filter(|tokens| tokens.matrix == matrix)
    }

    /// The layout of a matrix, before its rows become tokens.
    pub(super) fn format_of(&self, matrix: usize) -> MatrixFormat {
        match self.tokens_of(matrix) {
            Some(_) => MatrixFormat::Csr,
            None => self.format,
        }
    }

    fn check_transforms(&self, plan: &Plan) -> Result<(), OptionError> {
        for (number, key) in plan.matrices.iter().enumerate() {
            let Some(pipeline) = &key.pipeline else {
                continue;
            };
            let name = &key.name;
            if self.format_of(number) == MatrixFormat::Csr && pipeline.changes_zeros() {
                let expected = format!("dense, because the transforms of {name:?} change zeros");
                return Err(match self.tokens_of(number) {
                    Some(_) => OptionError::new("tokens", expected, "tokens"),
                    None => OptionError::new("output", expected, "csr"),
                });
            }
            if let Some(dtype) = self.dtype.filter(|dtype| !dtype.is_float())
                && pipeline.computes_fractions()
            {
                let expected = format!("a type of floats, because {name:?} is transformed");
                return Err(OptionError::new("dtype", expected, dtype));
            }
        }
        Ok(())
    }
}
