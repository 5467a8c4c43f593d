//! Columns as they were written before anndata 0.8, and by R: categories apart from codes, and
//! logicals that are integers.

use super::ColumnValues;
use super::labels::check_codes;
use crate::array::Array;
use crate::array::convert::Conversion;
use crate::dtype::{Bool8, DType};
use crate::error::Error;
use crate::path::member;
use crate::store::{Attribute, Node, Store};

/// Where the categories of a column are that keeps its codes apart from them, as those written
/// before anndata 0.8 do; `None` when it has none.
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

/// Before anndata 0.7, categories of obs and of var are in `uns` under the name of the column.
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
    // When both tables have such a column, they are those of the one whose codes they fit, obs
    // before var: what anndata does.
    if frame == "obs" && store.node(&member("var", name))?.is_some() {
        let values = read_categories(store, &categories)?;
        if check_codes(&codes, &codes.read_all()?, &values).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(categories))
}

/// The categories of a column: an array, or the values of a nullable one, none of them missing.
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
    // A single one may be a scalar.
    if array.shape().len() > 1 {
        return Err(array.invalid("a list of categories", format!("shape {:?}", array.shape())));
    }
    match array.dtype() {
        Some(_) => Ok(ColumnValues::Numbers(array.read_all()?)),
        None => Ok(ColumnValues::Texts(array.read_strings()?)),
    }
}

/// R's logicals as booleans; other arrays as they are.
pub(super) fn truth(array: Array) -> Result<Array, Error> {
    let size = array.parts().stored_size();
    match array.parts().missing {
        Some(_) => array.converted(Conversion::Truth(size)),
        None => Ok(array),
    }
}

/// Which of R's logicals are missing; `None` for other arrays. `again` opens the same array.
pub(super) fn missing(
    array: &Array,
    again: impl FnOnce() -> Result<Array, Error>,
) -> Result<Option<Array>, Error> {
    let size = array.parts().stored_size();
    let equals = |value| again()?.converted(Conversion::Equals(size, value));
    array.parts().missing.map(equals).transpose()
}
