//! The form of batches, as the package's Python half passes it.

use mapped_anndata::{BatchFormat, MatrixFormat, OptionError, SpecialToken, Tokens};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arguments;

/// The layout and the type of matrices, the code of missing labels, and the parameters of tokens.
#[derive(FromPyObject)]
pub(crate) struct Format(String, Option<String>, i64, Option<TokenParameters>);

#[derive(FromPyObject)]
enum Special {
    Id(i64),
    Name(String),
}

impl From<Special> for SpecialToken {
    fn from(token: Special) -> Self {
        match token {
            Special::Id(id) => SpecialToken::Id(id),
            Special::Name(name) => SpecialToken::Name(name),
        }
    }
}

impl Format {
    pub(crate) fn parse(self) -> PyResult<BatchFormat> {
        let Format(output, dtype, missing_code, parameters) = self;
        let format = BatchFormat::new()
            .output(match output.as_str() {
                "dense" => MatrixFormat::Dense,
                "csr" => MatrixFormat::Csr,
                other => return Err(PyValueError::new_err(format!("output: {other}"))),
            })
            .missing_code(missing_code)
            .dtype(arguments::dtype(dtype.as_deref())?);
        Ok(format.tokens(parameters.map(TokenParameters::apply).transpose()?))
    }
}

/// The parameters of tokens: a dict of these. The Python half has checked them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct TokenParameters {
    length: usize,
    key: Option<String>,
    select: String,
    bins: Option<u32>,
    pad: Special,
    pad_value: f64,
    cls: Option<Special>,
    cls_value: f64,
    eos: Option<Special>,
    seed: u64,
}

impl TokenParameters {
    fn apply(self) -> PyResult<Tokens> {
        let select = self.select.parse();
        let invalid = |error: OptionError| PyValueError::new_err(error.to_string());
        let mut tokens = Tokens::new(self.length)
            .select(select.map_err(invalid)?)
            .pad(self.pad)
            .pad_value(self.pad_value)
            .cls_value(self.cls_value)
            .seed(self.seed);
        if let Some(key) = self.key {
            tokens = tokens.key(key);
        }
        if let Some(bins) = self.bins {
            tokens = tokens.bins(bins);
        }
        if let Some(cls) = self.cls {
            tokens = tokens.cls(cls);
        }
        if let Some(eos) = self.eos {
            tokens = tokens.eos(eos);
        }
        Ok(tokens)
    }
}
