//! Columns written before anndata 0.8, and by R: categories apart from codes, and logicals stored
//! as integers.

use super::ColumnValues;
use super::labels::check_codes;
use crate::array::Array;
use crate::array::convert::Conversion;
use crate::dtype::{Bool8, DType};
use crate::error::Error;
use crate::path::member;
use crate::store::{Attribute, Node, Store};

/// Returns the path of the categories of a column that are stored apart from its codes, as before
/// anndata 0.8; `None` if it has none.
pub(crate) fn legacy_categories(
    store: &Store,
    frame: &str,
    name: &str,
) -> Result<Option<String>, Error> {
    let element = member(frame, name);
    if store.node(frame)? == Some(Node::Table) {
        return table_categories(store, frame, name, &element);
    }
    match store.attribute(&element, "categories")? {
        // In zarr, a path within the table.
        Some(Attribute::Text(path)) => Ok(Some(member(frame, &path))),
        Some(Attribute::Reference(path)) => Ok(Some(path)),
        Some(other) => {
            let expected = "attribute categories to name the categories";
            Err(store.invalid(&element, expected, other.to_string()))
        }
        None => {
            let beside = format!("{frame}/__categories/{name}");
            Ok(store.node(&beside)?.map(|_| beside))
        }
    }
}

/// Before anndata 0.7, the categories of obs and var are in `uns` under the name of the column.
fn table_categories(
    store: &Store,
    frame: &str,
    name: &str,
    element: &str,
) -> Result<Option<String>, Error> {
    let categories = format!("uns/{name}_categories");
    let codes = store.array(element)?;
    if store.node(&categories)?.is_none() || !codes.dtype().is_some_and(DType::is_integer) {
        return Ok(None);
    }
    // If both tables have such a column, the categories belong to the table whose codes they fit,
    // obs before var. anndata does the same.
    if frame == "obs" && store.node(&member("var", name))?.is_some() {
        let values = read_categories(store, &categories)?;
        if check_codes(&codes, &codes.read_all()?, &values).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(categories))
}

/// Reads the categories of a column: an array, or the values of a nullable array in which none is
/// missing.
pub(super) fn read_categories(store: &Store, element: &str) -> Result<ColumnValues, Error> {
    let (array, mask) = match store.node(element)? {
        Some(Node::Group) => {
            let mask = store.array(&member(element, "mask"))?;
            (store.array(&member(element, "values"))?, Some(mask))
        }
        _ => {
            let array = store.array(element)?;
            let mask = missing(&array, || store.array(element))?;
            (truth(array)?, mask)
        }
    };
    if let Some(mask) = mask {
        let masked = mask.read_all()?.as_slice().to_vec::<Bool8>();
        if masked.iter().any(|masked| masked.0 != 0) {
            return Err(mask.invalid("categories without missing ones", "a missing category"));
        }
    }
    // A single category may be a scalar.
    if array.shape().len() > 1 {
        return Err(array.invalid("a list of categories", format!("shape {:?}", array.shape())));
    }
    match array.dtype() {
        Some(_) => Ok(ColumnValues::Numbers(array.read_all()?)),
        None => Ok(ColumnValues::Texts(array.read_strings()?)),
    }
}

/// Returns R's logicals as booleans, and other arrays unchanged.
pub(super) fn truth(array: Array) -> Result<Array, Error> {
    let size = array.parts().stored_size();
    match array.parts().missing {
        Some(_) => array.converted(Conversion::Truth(size)),
        None => Ok(array),
    }
}

/// Returns the mask of R's missing logicals; `None` for other arrays. `again` opens the same array.
pub(super) fn missing(
    array: &Array,
    again: impl FnOnce() -> Result<Array, Error>,
) -> Result<Option<Array>, Error> {
    let size = array.parts().stored_size();
    let equals = |value| again()?.converted(Conversion::Equals(size, value));
    array.parts().missing.map(equals).transpose()
}
