//! The rows of an epoch, as an argument.

use mapped_anndata::{Error, MappedCollection, Mixture, Sampler};

use crate::escape::escape;
use crate::lists;

/// Rows to draw, by the labels of a column or, for a mixture without a key, by store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SamplerArg {
    Weighted(String),
    Balanced(String),
    Mixture {
        key: Option<String>,
        temperature: f64,
    },
}

impl SamplerArg {
    pub(crate) fn parse(text: &str) -> Result<SamplerArg, String> {
        match text.split_once(':') {
            Some(("weighted", key)) if !key.is_empty() => Ok(Self::Weighted(lists::name(key))),
            Some(("balanced", key)) if !key.is_empty() => Ok(Self::Balanced(lists::name(key))),
            Some(("mixture", mixture)) => {
                let (key, temperature) = match mixture.rsplit_once(':') {
                    Some((key, temperature)) => (Some(lists::name(key)), temperature),
                    None => (None, mixture),
                };
                match temperature.parse::<f64>() {
                    Ok(temperature) if temperature.is_finite() && key.as_deref() != Some("") => {
                        Ok(Self::Mixture { key, temperature })
                    }
                    _ => Err(
                        "expected mixture:KEY:T, such as mixture:tissue:0.5, or mixture:T for \
                              stores"
                            .to_owned(),
                    ),
                }
            }
            _ => Err(
                "expected weighted:KEY, balanced:KEY or mixture:KEY:T, such as \
                      balanced:cell_type"
                    .to_owned(),
            ),
        }
    }

    /// The sampler. Reads the labels of the column.
    pub(crate) fn make(&self, cells: &MappedCollection) -> Result<Sampler, Error> {
        match self {
            Self::Weighted(key) => cells.weighted_sampler([key], None),
            Self::Balanced(key) => cells.balanced_sampler(key),
            Self::Mixture { key, temperature } => {
                let (key, temperature) = (key.clone(), *temperature);
                let mixture = match key {
                    Some(key) => Mixture::Labels { key, temperature },
                    None => Mixture::Stores { temperature },
                };
                cells.mixture_sampler(&mixture, None, None)
            }
        }
    }

    /// What it draws, in words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Weighted(key) => format!("rows drawn by the weights of {}", escape(key)),
            Self::Balanced(key) => format!("each label of {} drawn equally often", escape(key)),
            Self::Mixture { key, temperature } => {
                let groups = match key {
                    Some(key) => format!("labels of {}", escape(key)),
                    None => "stores".to_owned(),
                };
                format!("{groups} mixed in proportion to n^{temperature}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_read() {
        let parse = SamplerArg::parse;
        assert_eq!(
            parse("balanced:a:b"),
            Ok(SamplerArg::Balanced("a:b".to_owned()))
        );
        assert_eq!(
            parse("weighted:a\\,b"),
            Ok(SamplerArg::Weighted("a,b".to_owned()))
        );
        for (text, key) in [
            ("mixture:0.5", None),
            ("mixture:a:b:0.5", Some("a:b".to_owned())),
        ] {
            let temperature = 0.5;
            assert_eq!(parse(text), Ok(SamplerArg::Mixture { key, temperature }));
        }
        for text in [
            "balanced",
            "weighted:",
            "x:y",
            "mixture:",
            "mixture:a:",
            "mixture::1",
            "mixture:a:nan",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
