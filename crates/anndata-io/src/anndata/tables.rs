//! The tables `obs` and `var`: their indexes, and errors for stores without them.

use crate::column::Column;
use crate::error::{Error, ErrorKind};
use crate::store::container;
use crate::store::{Node, Store};

/// Whether a member of a table holds the categories of its columns, as anndata 0.7 wrote them.
pub(super) fn is_categories(key: &str) -> bool {
    key.split('/').next() == Some("__categories")
}

pub(super) fn index_name(store: &Store, frame: &str) -> Result<String, Error> {
    if store.node(frame)? == Some(Node::Table) {
        let first = store.children(frame)?.into_iter().next();
        return Ok(first.unwrap_or_default());
    }
    Ok(store
        .text_attribute(frame, "_index")?
        .unwrap_or_else(|| "_index".to_owned()))
}

/// The error of a store that is not one table.
pub(super) fn what_it_is(store: &Store, element: &str, found: String) -> Error {
    match container::what_it_is(store) {
        Some(kind) => Error::new(store.path(), "", kind),
        None => {
            let expected = "tables obs and var".to_owned();
            let kind = ErrorKind::NotAnnData { expected, found };
            Error::new(store.path(), element, kind)
        }
    }
}

pub(super) fn index(store: &Store, frame: &str) -> Result<Column, Error> {
    match store.node(frame)? {
        Some(Node::Group | Node::Table) => {}
        found => {
            let found = match found {
                None => format!("no {frame}"),
                Some(_) => format!("an array {frame}"),
            };
            return Err(what_it_is(store, frame, found));
        }
    }
    let name = index_name(store, frame)?;
    Column::open(store, frame, &name)?
        .ok_or_else(|| store.invalid(frame, format!("an index column {name:?}"), "no such column"))
}
