//! The form of batches.

use clap::error::ErrorKind;
use clap::{CommandFactory, ValueEnum};
use mapped_anndata::{LoaderOptions, MatrixFormat, SpecialToken, Tokens};

use crate::Result;
use crate::args::Cli;
use crate::lists;

/// The options that decide on the form of batches.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OutputArgs {
    /// Layout of the matrices of a batch; tokens in place of one of them.
    #[arg(long, value_enum, default_value = "csr")]
    output: OutputArg,
    /// For --output tokens: the maximum number of tokens per row, then options, separated by commas:
    /// key=KEY (a matrix [default: the first]), select=highest, uniform or by_value (which genes are
    /// kept), bins=N (values become numbers of quantile bins), cls=TOKEN, eos=TOKEN and pad=TOKEN (ids,
    /// or special names of the vocabulary [default: pad=<pad>]), cls_value=X, pad_value=X, seed=S (of
    /// samples).
    #[arg(long, value_name = "LENGTH[,OPTION=VALUE]…", value_parser = tokens)]
    tokens: Option<Tokens>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputArg {
    Csr,
    Dense,
    Tokens,
}

impl OutputArgs {
    pub(crate) fn layout(&self) -> OutputArg {
        self.output
    }

    pub(crate) fn apply(&self, options: LoaderOptions) -> Result<LoaderOptions> {
        let wrong = |message: &str| Cli::command().error(ErrorKind::InvalidValue, message);
        match (self.output, &self.tokens) {
            (OutputArg::Csr, None) => Ok(options.output(MatrixFormat::Csr)),
            (OutputArg::Dense, None) => Ok(options.output(MatrixFormat::Dense)),
            (OutputArg::Tokens, Some(tokens)) => Ok(options.tokens(tokens.clone())),
            (OutputArg::Tokens, None) => {
                let message = "--output tokens: expected --tokens LENGTH, such as --tokens 2048";
                Err(wrong(message).into())
            }
            (_, Some(_)) => Err(wrong("--tokens: expected --output tokens beside it").into()),
        }
    }
}

fn tokens(text: &str) -> std::result::Result<Tokens, String> {
    let mut options = lists::split(text).into_iter();
    let length = options.next().unwrap_or_default();
    let length = length
        .parse()
        .map_err(|_| format!("expected a number of tokens first, found {length:?}"))?;
    options.try_fold(Tokens::new(length), |tokens, option| {
        let (name, value) = option.trim().split_once('=').unwrap_or((&option, ""));
        let wrong = |expected: &str| format!("expected {expected}, found {option:?}");
        Ok(match name {
            "key" if !value.is_empty() => tokens.key(value),
            "select" => {
                let select = value.parse();
                tokens.select(select.map_err(|_| wrong("select=highest, uniform or by_value"))?)
            }
            "bins" => tokens.bins(value.parse().map_err(|_| wrong("bins=N, a whole number"))?),
            "pad" if !value.is_empty() => tokens.pad(special(value).ok_or_else(|| wrong(ID))?),
            "cls" if !value.is_empty() => tokens.cls(special(value).ok_or_else(|| wrong(ID))?),
            "eos" if !value.is_empty() => tokens.eos(special(value).ok_or_else(|| wrong(ID))?),
            "pad_value" => {
                tokens.pad_value(value.parse().map_err(|_| wrong("pad_value=X, a number"))?)
            }
            "cls_value" => {
                tokens.cls_value(value.parse().map_err(|_| wrong("cls_value=X, a number"))?)
            }
            "seed" => tokens.seed(value.parse().map_err(|_| wrong("seed=S, a whole number"))?),
            _ => {
                let names =
                    "key=, select=, bins=, cls=, cls_value=, eos=, pad=, pad_value= or seed= and a value";
                return Err(wrong(names));
            }
        })
    })
}

const ID: &str = "an id of 64 bits, or a special name of the vocabulary";

/// A special token, by its id or its name; `None` for a number that is no id.
fn special(text: &str) -> Option<SpecialToken> {
    match text.parse() {
        Ok(id) => Some(SpecialToken::Id(id)),
        Err(_) if text.parse::<f64>().is_ok() => None,
        Err(_) => Some(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use mapped_anndata::TokenSelection;

    use super::*;

    #[test]
    fn tokens_are_read() {
        assert_eq!(tokens("2048"), Ok(Tokens::new(2048)));
        let scgpt = Tokens::new(1200)
            .cls("<cls>")
            .pad(7)
            .pad_value(-2.0)
            .bins(51);
        assert_eq!(
            tokens("1200,cls=<cls>,pad=7,pad_value=-2,bins=51"),
            Ok(scgpt)
        );
        let sample = Tokens::new(9)
            .select(TokenSelection::ByValue)
            .seed(3)
            .key("a,b")
            .eos(-1);
        assert_eq!(
            tokens("9,select=by_value,seed=3,key=a\\,b,eos=-1"),
            Ok(sample)
        );
        for wrong in [
            "",
            "x",
            "5,bins",
            "5,bins=x",
            "5,pad=",
            "5,select=all",
            "5,pad=1e3",
            "5,7",
            "5,length=7",
        ] {
            let error = tokens(wrong).expect_err(wrong);
            assert!(error.starts_with("expected "), "{error}");
        }
    }
}
