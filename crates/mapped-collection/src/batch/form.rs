//! The form of the batches of one epoch, checked against a collection.

use crate::batch::tokens::Tokenizer;
use crate::batch::{BatchFormat, MatrixFormat};
use crate::error::option::OptionError;
use crate::plan::Plan;
use crate::plan::tokens::PlannedTokens;

/// What [`BatchFormat`] asks for, and the epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchForm {
    pub(super) format: MatrixFormat,
    pub(super) missing_code: i64,
    pub(super) dtype: Option<anndata_io::DType>,
    pub(super) tokenizer: Option<Tokenizer>,
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
        let tokenizer = format.tokens.as_ref();
        let tokenizer =
            tokenizer.map(|tokens| PlannedTokens::new(plan, tokens, format.dtype).map(Tokenizer));
        let form = BatchForm {
            format: format.output,
            missing_code: format.missing_code,
            dtype: format.dtype,
            tokenizer: tokenizer.transpose()?,
            epoch,
        };
        form.check_transforms(plan)?;
        Ok(form)
    }

    /// Whether a matrix becomes tokens.
    pub(super) fn tokenizer_of(&self, matrix: usize) -> Option<&Tokenizer> {
        let tokenizer = self.tokenizer.as_ref();
        tokenizer.filter(|tokenizer| tokenizer.0.matrix == matrix)
    }

    /// The layout of a matrix, before its rows become tokens.
    pub(super) fn format_of(&self, matrix: usize) -> MatrixFormat {
        match self.tokenizer_of(matrix) {
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
                return Err(match self.tokenizer_of(number) {
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
