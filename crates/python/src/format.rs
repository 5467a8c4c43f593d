//! The form of batches, as the package's Python half passes it.

use mapped_anndata::{BatchFormat, MatrixFormat, SpecialToken, TokenSelection, Tokens};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments;

/// The layout and the type of matrices, the code of missing labels, and the parameters of tokens.
#[derive(FromPyObject)]
pub(crate) struct Format<'py>(String, Option<String>, i64, Option<Bound<'py, PyDict>>);

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

impl Format<'_> {
    pub(crate) fn parse(&self) -> PyResult<BatchFormat> {
        let Format(output, dtype, missing_code, parameters) = self;
        let format = BatchFormat::new()
            .output(match output.as_str() {
                "dense" => MatrixFormat::Dense,
                "csr" => MatrixFormat::Csr,
                other => return Err(PyValueError::new_err(format!("output: {other}"))),
            })
            .missing_code(*missing_code)
            .dtype(arguments::dtype(dtype.as_deref())?);
        let parameters = parameters.as_ref();
        Ok(format.tokens(parameters.map(tokens).transpose()?))
    }
}

/// The Python half has checked the types.
fn tokens(parameters: &Bound<'_, PyDict>) -> PyResult<Tokens> {
    let parameter = |key: &str| parameters.as_any().get_item(key);
    let special = |key: &str| Ok::<_, PyErr>(parameter(key)?.extract::<Option<Special>>()?);
    let mut tokens = Tokens::new(parameter("length")?.extract()?)
        .select(match parameter("select")?.extract()? {
            "highest" => TokenSelection::Highest,
            "uniform" => TokenSelection::Uniform,
            "by_value" => TokenSelection::ByValue,
            other => return Err(PyValueError::new_err(format!("select: {other}"))),
        })
        .pad_value(parameter("pad_value")?.extract()?)
        .seed(parameter("seed")?.extract()?);
    if let Some(key) = parameter("key")?.extract::<Option<String>>()? {
        tokens = tokens.key(key);
    }
    if let Some(bins) = parameter("bins")?.extract()? {
        tokens = tokens.bins(bins);
    }
    if let Some(pad) = special("pad")? {
        tokens = tokens.pad(pad);
    }
    if let Some(cls) = special("cls")? {
        tokens = tokens.cls(cls);
    }
    if let Some(eos) = special("eos")? {
        tokens = tokens.eos(eos);
    }
    Ok(tokens)
}
