//! The object at a path: an object of the file, or a field of a table.

use hdf5::{CommittedDatatype, Dataset, Group, Location, LocationType};

use super::call::{Held, Result};
use super::datatype::Type;
use super::ffi;

#[derive(Debug)]
pub(super) enum Object {
    Group(Held<Group>),
    Dataset(Held<Dataset>),
    /// A type with a name.
    Type(Held<CommittedDatatype>),
    /// A field of a table, by its number.
    Field(Held<Dataset>, usize),
}

impl Object {
    /// Opens the object at a path below `root`, through links of every kind; `None` if there is
    /// none, even if a link leads nowhere. An empty path is `root` itself.
    pub(super) fn open(root: &Held<Group>, path: &str) -> Result<Option<Object>> {
        root.with(|root| {
            if path.is_empty() {
                return Ok(Some(Object::Group(Held::new(root.clone()))));
            }
            if let Some(object) = at(root, path)? {
                return Ok(Some(object));
            }
            let Some((table, name)) = path.rsplit_once('/') else {
                return Ok(None);
            };
            let Some(Object::Dataset(table)) = at(root, table)? else {
                return Ok(None);
            };
            let fields = table.with(fields)?.unwrap_or_default();
            let field = fields.iter().position(|field| field == name.as_bytes());
            Ok(field.map(|field| Object::Field(table, field)))
        })
    }

    /// Calls the library with an object; `None` if this is a field, which is not an object.
    pub(super) fn with<R>(&self, calls: impl FnOnce(&Location) -> Result<R>) -> Result<Option<R>> {
        match self {
            Object::Group(group) => group.with(|group| calls(group)),
            Object::Dataset(dataset) => dataset.with(|dataset| calls(dataset)),
            Object::Type(datatype) => datatype.with(|datatype| calls(datatype)),
            Object::Field(..) => return Ok(None),
        }
        .map(Some)
    }
}

/// Follows a path through links.
fn at(root: &Group, path: &str) -> Result<Option<Object>> {
    // An error: the link does not exist, leads nowhere, or passes through an object that is not a
    // group.
    let Ok(kind) = root.loc_type_by_name(path) else {
        return Ok(None);
    };
    Ok(match kind {
        LocationType::Group => Some(Object::Group(Held::new(root.group(path)?))),
        LocationType::Dataset => Some(Object::Dataset(Held::new(root.dataset(path)?))),
        LocationType::NamedDatatype => {
            Some(Object::Type(Held::new(root.committed_datatype(path)?)))
        }
        LocationType::TypeMap => None,
    })
}

/// Returns the names of the fields of a table; `None` for any other dataset.
pub(super) fn fields(dataset: &Dataset) -> Result<Option<Vec<Vec<u8>>>> {
    let described = Type::of(&dataset.dtype()?)?;
    Ok(described.table_fields().map(<[_]>::to_vec))
}

/// Returns the names of the members of a group that are groups or datasets.
pub(super) fn members(group: &Group) -> Result<Vec<String>> {
    let mut names = texts(ffi::link_names(group)?);
    names.retain(|name| {
        let kind = group.loc_type_by_name(name);
        matches!(kind, Ok(LocationType::Group | LocationType::Dataset))
    });
    Ok(names)
}

/// Keeps the names that are text.
pub(super) fn texts(names: Vec<Vec<u8>>) -> Vec<String> {
    let names = names.into_iter();
    names
        .filter_map(|name| String::from_utf8(name).ok())
        .collect()
}
