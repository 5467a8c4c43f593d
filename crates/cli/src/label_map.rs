//! New labels for old ones.

use clap::error::ErrorKind;
use clap::{CommandFactory, ValueEnum};
use mapped_anndata::{MappedCollectionBuilder, Unmapped, read_pairs};

use crate::Result;
use crate::args::Cli;
use crate::lists;

/// The options that replace labels.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct LabelMapArgs {
    /// Replaces labels of a column of --obs: a table of two columns, old labels and new ones;
    /// repeatable.
    #[arg(long, value_name = "KEY=FILE")]
    label_map: Vec<String>,
    /// What happens to labels that --label-map does not mention.
    #[arg(long, value_enum, default_value = "keep")]
    unmapped: UnmappedArg,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum UnmappedArg {
    #[default]
    Keep,
    Missing,
    Error,
}

impl LabelMapArgs {
    pub(crate) fn apply(
        &self,
        mut builder: MappedCollectionBuilder,
    ) -> Result<MappedCollectionBuilder> {
        for text in &self.label_map {
            let Some((key, path)) = lists::key_and_value(text) else {
                let message = "--label-map: expected KEY=FILE";
                return Err(Cli::command()
                    .error(ErrorKind::InvalidValue, message)
                    .into());
            };
            builder = builder.label_map(key, read_pairs(path)?);
        }
        Ok(builder.unmapped(match self.unmapped {
            UnmappedArg::Keep => Unmapped::Keep,
            UnmappedArg::Missing => Unmapped::Missing,
            UnmappedArg::Error => Unmapped::Error,
        }))
    }
}
