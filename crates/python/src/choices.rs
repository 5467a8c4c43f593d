//! Keys that are taken from the first of several elements or from a table, transforms of matrices,
//! and labels that are replaced, as the package's Python half passes them.

use std::ffi::OsStr;
use std::path::Path;

use mapped_anndata::{FirstOf, MappedCollection, MappedCollectionBuilder, Unmapped};
use pyo3::prelude::*;

use crate::obs_table::Table;
use crate::transforms::{Steps, step};

/// A matrix key, its elements, and whether they must hold counts.
type Layer = (String, Vec<String>, bool);

/// An obs key, and old labels with new ones.
type LabelMap = (String, Vec<(String, Option<String>)>);

/// A dict of these.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Choices<'py> {
    layers_from: Option<Vec<Layer>>,
    obs_from: Option<Vec<(String, Vec<String>)>>,
    label_maps: Vec<LabelMap>,
    unmapped: String,
    transforms: Vec<Steps<'py>>,
    obs_table: Option<Py<Table>>,
}

impl Choices<'_> {
    pub(crate) fn apply(
        self,
        mut builder: MappedCollectionBuilder,
    ) -> PyResult<MappedCollectionBuilder> {
        if let Some(layers) = self.layers_from {
            let layers = layers.into_iter().map(|(name, keys, counts)| {
                let from = match counts {
                    true => FirstOf::counts(keys),
                    false => FirstOf::new(keys),
                };
                (name, from)
            });
            builder = builder.layers_from(layers);
        }
        if let Some(obs) = self.obs_from {
            builder = builder.obs_from(obs);
        }
        if let Some(table) = &self.obs_table {
            builder = table.get().apply(builder);
        }
        for (key, pairs) in self.label_maps {
            builder = builder.label_map(key, pairs);
        }
        for (key, steps) in self.transforms {
            let steps = steps
                .iter()
                .map(|(name, parameters)| step(name, parameters));
            builder = builder.transforms(key, steps.collect::<PyResult<Vec<_>>>()?);
        }
        // The Python half checks the text.
        Ok(builder.unmapped(match self.unmapped.as_str() {
            "missing" => Unmapped::Missing,
            "error" => Unmapped::Error,
            _ => Unmapped::Keep,
        }))
    }
}

/// Group, key, the nearest one and the file that lacks it.
pub(crate) type MissingKey<'a> = (&'static str, String, Option<&'a str>, Option<&'a OsStr>);

/// The keys that no store has, or that a file lacks.
pub(crate) fn missing_keys(cells: &MappedCollection) -> Vec<MissingKey<'_>> {
    let keys = cells.missing_keys().iter();
    keys.map(|key| {
        let file = key.file.as_deref().map(Path::as_os_str);
        (key.group, key.tried.join("|"), key.nearest.as_deref(), file)
    })
    .collect()
}
