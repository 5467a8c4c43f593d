//! Members of groups whose names lead nowhere.

use std::collections::HashSet;

use super::Check;
use super::elements::Run;
use super::entry::Severity;
use crate::anndata::AnnDataFile;
use crate::error::Error;
use crate::key::LayerKey;
use crate::path::member;

impl Run {
    /// Lists the requested members that are named but do not exist. To a reader they would seem
    /// absent.
    pub(super) fn dangling(&mut self, check: &Check, file: &AnnDataFile) {
        let wants_layer = |key: LayerKey| {
            let wanted = check.layers.as_ref();
            wanted.is_none_or(|wanted| wanted.contains(&key))
        };
        let wants_some =
            |wanted: &Option<Vec<String>>| wanted.as_ref().is_none_or(|w| !w.is_empty());
        let wants_layers = check.layers.as_ref().is_none_or(|wanted| {
            let mut wanted = wanted.iter();
            wanted.any(|key| matches!(key, LayerKey::Layer(_)))
        });
        let wants_key = |wanted: &Option<Vec<String>>, key: &str| {
            let wanted = wanted.as_ref();
            wanted.is_none_or(|wanted| {
                let below = format!("{key}/");
                wanted.iter().any(|w| w == key || w.starts_with(&below))
            })
        };
        let wants = |element: &str| match element.split_once('/') {
            Some(("obs", key)) => wants_key(&check.obs, key),
            Some(("obsm", key)) => wants_key(&check.obsm, key),
            Some(("layers", key)) => wants_layer(LayerKey::Layer(key.to_owned())),
            Some(("raw", _)) => wants_layer(LayerKey::RawX),
            Some(("var", _)) => true,
            _ => match element {
                "X" => wants_layer(LayerKey::X),
                "raw" | "raw.X" | "raw.var" => wants_layer(LayerKey::RawX),
                "layers" => wants_layers,
                "obsm" => wants_some(&check.obsm),
                _ => false,
            },
        };
        let mut groups = vec![String::new(), "var".to_owned(), "raw".to_owned()];
        for group in ["obs", "layers", "obsm"] {
            // A group that cannot be listed is reported together with its keys.
            groups.extend(file.keys(group).unwrap_or_default().groups);
        }
        let mut told = HashSet::new();
        for group in groups {
            for (name, found) in file.dangling(&group) {
                let element = member(&group, &name);
                if wants(&element) && told.insert(element.clone()) {
                    let fault = Error::invalid(file.path(), element, "an element", found);
                    self.entry(Severity::Fault, None, vec![fault]);
                }
            }
        }
        self.dangling = told;
    }
}
