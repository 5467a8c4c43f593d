//! The keys of a group of elements, including keys with a slash, which anndata writes as nested
//! groups.

use super::AnnDataFile;
use crate::error::Error;
use crate::limits::{MAX_KEY_GROUPS, MAX_UNREADABLE_DEPTH, MAX_UNREADABLE_GROUPS};
use crate::path::member;
use crate::store::Node;

/// The members that mark a group as an element. A group that has one is an element, or once was.
const CSR: [&str; 3] = ["data", "indices", "indptr"];
const CATEGORICAL: [&str; 2] = ["codes", "categories"];
const NULLABLE: [&str; 2] = ["values", "mask"];

/// The contents of a group of elements.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The paths of the elements below the group, sorted.
    pub(crate) keys: Vec<String>,
    /// The group itself, and the groups below it that stand for a part of a key.
    pub(crate) groups: Vec<String>,
}

impl AnnDataFile {
    /// Returns the errors of members, in all groups, that cannot be read at all.
    pub(crate) fn unreadable(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut groups = vec![(String::new(), 0)];
        let mut n_groups = 1;
        while let Some((group, depth)) = groups.pop() {
            errors.extend(match self.store.unreadable(&group) {
                Ok(errors) => errors,
                Err(error) => vec![error],
            });
            // A group may contain itself.
            if depth == MAX_UNREADABLE_DEPTH {
                continue;
            }
            for name in self.store.children(&group).unwrap_or_default() {
                let element = member(&group, &name);
                let is_group = matches!(self.store.node(&element), Ok(Some(Node::Group)));
                if is_group && n_groups < MAX_UNREADABLE_GROUPS {
                    n_groups += 1;
                    groups.push((element, depth + 1));
                }
            }
        }
        errors
    }

    /// The keys of a group, such as `a/b` for element `b` of a group `a` that is not an element.
    pub(crate) fn keys(&self, group: &str) -> Result<Keys, Error> {
        let mut keys = Vec::new();
        let mut groups = vec![group.to_owned()];
        let mut waiting = vec![(String::new(), self.children(group)?)];
        while let Some((prefix, names)) = waiting.pop() {
            for name in names {
                let key = format!("{prefix}{name}");
                let element = member(group, &key);
                let (is_element, below) = match groups.len() {
                    MAX_KEY_GROUPS.. => (true, Vec::new()),
                    _ => self.below(&element),
                };
                if !below.is_empty() {
                    groups.push(element);
                    waiting.push((format!("{key}/"), below));
                }
                if is_element {
                    keys.push(key);
                }
            }
        }
        keys.sort_unstable();
        Ok(Keys { keys, groups })
    }

    /// Whether a path is an element, and its members that are not parts of it. An unreadable path
    /// counts as an element: opening it then fails.
    fn below(&self, element: &str) -> (bool, Vec<String>) {
        if !matches!(self.store.node(element), Ok(Some(Node::Group))) {
            return (true, Vec::new());
        }
        let attribute = |name| self.store.text_attribute(element, name);
        let parts: &[&str] = match attribute("encoding-type") {
            Ok(None) => &[],
            Ok(Some(encoding)) => match &*encoding {
                "csr_matrix" | "csc_matrix" => &CSR,
                "categorical" => &CATEGORICAL,
                "nullable-integer" | "nullable-boolean" | "nullable-string-array" => &NULLABLE,
                _ => return (true, Vec::new()),
            },
            Err(_) => return (true, Vec::new()),
        };
        let mut names = self.children(element).unwrap_or_default();
        if !parts.is_empty() {
            names.retain(|name| !parts.contains(&name.as_str()));
            return (true, names);
        }
        let of_element = |name: &String| {
            let mut parts = [&CSR[..], &CATEGORICAL, &NULLABLE].into_iter().flatten();
            parts.any(|part| part == name)
        };
        match names.is_empty() || names.iter().any(of_element) {
            true => (true, Vec::new()),
            false => (false, names),
        }
    }
}
