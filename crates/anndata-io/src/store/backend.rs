//! The interface that every file format implements.

use std::fmt::{self, Debug};

use crate::array::Array;
use crate::error::Error;

/// The kind of object at a path in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: a caller that walks a store should fail to compile when a kind is added.
pub enum Node {
    /// A group of named elements.
    Group,
    /// An array of records: its fields are arrays below it, like the members of a group.
    Table,
    /// An array.
    Array,
}

/// The value of an attribute, as far as AnnData uses it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// One text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// One or more integers; booleans are 0 and 1.
    Integers(Vec<i64>),
    /// An HDF5 object reference: the path of its target.
    Reference(String),
    /// Any other value, described in words.
    Other(String),
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Text(text) => write!(f, "{text:?}"),
            Attribute::Texts(texts) => write!(f, "{texts:?}"),
            Attribute::Integers(numbers) => write!(f, "{numbers:?}"),
            Attribute::Reference(path) => write!(f, "a reference to {path}"),
            Attribute::Other(what) => f.write_str(what),
        }
    }
}

/// The interface of a file format. `Ok(None)` means that there is no such object, `Err` that it
/// could not be read. Paths are relative to the root, joined by `/`.
pub(crate) trait Backend: Debug + Send + Sync {
    fn node(&self, element: &str) -> Result<Option<Node>, Error>;
    fn children(&self, group: &str) -> Result<Vec<String>, Error>;
    /// Returns an error per member of a group that cannot be named, since its name is not text.
    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error>;
    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error>;
    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error>;
    fn array(&self, element: &str) -> Result<Array, Error>;

    /// The names of a group's members that lead nowhere, and where they point.
    fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error>;

    /// Whether the file states that a process is writing it.
    fn has_writer(&self) -> bool;
}
