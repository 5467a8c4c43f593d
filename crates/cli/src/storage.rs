//! How files in buckets are reached.

use std::path::PathBuf;

use mapped_anndata::MappedCollectionBuilder;
#[cfg(feature = "remote")]
use mapped_anndata::StorageOptions;
use mapped_anndata::io::AnnDataSource;

use crate::Result;

/// Empty in builds without the feature `remote`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Servers")]
pub(crate) struct StorageArgs {
    /// How files in buckets are reached, by the names of object_store: skip_signature=true for a
    /// public bucket, region=us-west-2, endpoint=URL. Repeat for more. Credentials come from the
    /// environment, the AWS profile or the machine.
    #[cfg(feature = "remote")]
    #[arg(long = "storage-option", value_name = "NAME=VALUE", value_parser = named_value)]
    storage_options: Vec<(String, String)>,
}

#[cfg(feature = "remote")]
fn named_value(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(feature = "remote")]
impl StorageArgs {
    fn options(&self) -> Result<StorageOptions> {
        Ok(StorageOptions::new(self.storage_options.iter().cloned())?)
    }

    /// The builder of a collection whose files are reached with these options.
    pub(crate) fn choose(
        &self,
        builder: MappedCollectionBuilder,
    ) -> Result<MappedCollectionBuilder> {
        Ok(match self.storage_options[..] {
            [] => builder,
            _ => builder.storage_options(&self.options()?)?,
        })
    }

    /// Files that are reached with these options.
    pub(crate) fn sources(&self, paths: &[PathBuf]) -> Result<Vec<AnnDataSource>> {
        let options = self.options()?;
        let sources = paths.iter().map(|path| {
            let source = AnnDataSource::from(path);
            // If it cannot be opened, opening it says why.
            source.clone().with_storage(&options).unwrap_or(source)
        });
        Ok(sources.collect())
    }
}

#[cfg(not(feature = "remote"))]
impl StorageArgs {
    pub(crate) fn choose(
        &self,
        builder: MappedCollectionBuilder,
    ) -> Result<MappedCollectionBuilder> {
        Ok(builder)
    }

    pub(crate) fn sources(&self, paths: &[PathBuf]) -> Result<Vec<AnnDataSource>> {
        Ok(paths.iter().map(AnnDataSource::from).collect())
    }
}
