//! One group of a store, seen as a store of its own: for example, a table of a MuData file. For the
//! root, this is the same store under another name.

use std::path::PathBuf;

use super::{Attribute, Backend, Node};
use crate::array::Array;
use crate::error::Error;

/// The contents of a group. Its errors use another name for the file.
#[derive(Debug)]
pub(super) struct Subgroup {
    pub(super) backend: Box<dyn Backend>,
    /// The path of the group in the file; empty for the root.
    pub(super) group: String,
    /// The name of the file and the path of the group in it.
    pub(super) path: PathBuf,
}

impl Subgroup {
    /// Returns an element's name in the file. The target of a reference begins with a slash.
    fn full(&self, element: &str) -> String {
        match element.strip_prefix('/') {
            Some(full) => full.to_owned(),
            None if self.group.is_empty() => element.to_owned(),
            None if element.is_empty() => self.group.clone(),
            None => format!("{}/{element}", self.group),
        }
    }

    /// Returns the name of a file's element below the group; if it lies elsewhere, its path in the
    /// file.
    fn relative(&self, full: &str) -> String {
        if self.group.is_empty() {
            return full.to_owned();
        }
        match full.strip_prefix(&self.group) {
            Some("") => String::new(),
            Some(rest) if rest.starts_with('/') => rest[1..].to_owned(),
            _ => format!("/{full}"),
        }
    }

    fn renamed(&self, error: Error) -> Error {
        let element = self.relative(error.element());
        Error::new(&self.path, element, error.kind().clone())
    }

    fn ask<T>(
        &self,
        element: &str,
        read: impl FnOnce(&dyn Backend, &str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        read(&*self.backend, &self.full(element)).map_err(|error| self.renamed(error))
    }
}

impl Backend for Subgroup {
    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        self.ask(element, |backend, element| backend.node(element))
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.ask(group, |backend, group| backend.children(group))
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        let errors = self.ask(group, |backend, group| backend.unreadable(group))?;
        Ok(errors
            .into_iter()
            .map(|error| self.renamed(error))
            .collect())
    }

    fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error> {
        self.ask(group, |backend, group| backend.dangling(group))
    }

    fn has_writer(&self) -> bool {
        self.backend.has_writer()
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        self.ask(element, |backend, element| backend.attribute_names(element))
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        let attribute = self.ask(element, |backend, element| backend.attribute(element, name))?;
        Ok(attribute.map(|attribute| match attribute {
            Attribute::Reference(path) => Attribute::Reference(self.relative(&path)),
            other => other,
        }))
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        let array = self.ask(element, |backend, element| backend.array(element))?;
        Ok(array.named(self.path.clone(), element))
    }
}
