//! Types of elements: numpy's type strings and records (format 2), data types (format 3).

use serde_json::Value;

use crate::array::ItemType;
use crate::array::text::{Padding, TextEncoding};
use crate::dtype::DType;
use crate::limits::{MAX_FIXED_TEXT_BYTES, MAX_FIXED_TEXT_LEN, MAX_RECORD_BYTES};
use crate::store::zarr::extension::Extension;
use crate::store::zarr::parsed::{Parsed, invalid, shown, unknown, unsupported_type};

/// Returns the names of the fields if an array of this type is a table; empty otherwise.
pub(in crate::store::zarr) fn field_names(dtype: &Value) -> Vec<String> {
    let fields = dtype.as_array().into_iter().flatten();
    let names = fields.filter_map(|field| field[0].as_str());
    // A field without a name is padding.
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// A field of a record.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) item: ItemType,
    pub(super) big_endian: bool,
    pub(super) offset: usize,
}

/// Returns the fields of numpy's record type, and its bytes. Fields of unsupported types are left
/// out.
pub(super) fn record_type(dtype: &Value) -> Parsed<(Vec<Field<'_>>, usize)> {
    let mut fields = Vec::new();
    let mut len = 0usize;
    for field in dtype.as_array().into_iter().flatten() {
        let (Some(name), Some(text)) = (field[0].as_str(), field[1].as_str()) else {
            return unsupported_type(format!("the zarr dtype {}", shown(dtype)));
        };
        let size = text.get(2..).and_then(|size| size.parse::<usize>().ok());
        let unit = if text.get(1..2) == Some("U") { 4 } else { 1 };
        let size = size
            .filter(|&size| size <= MAX_RECORD_BYTES)
            .map(|size| size * unit);
        let (Some(size), true) = (size, field[2].is_null()) else {
            return unsupported_type(format!("the field {} of a zarr dtype", shown(field)));
        };
        if let Ok((item, big_endian)) = numpy_type(&field[1])
            && item.size() == size
        {
            let offset = len;
            fields.push(Field {
                name,
                item,
                big_endian,
                offset,
            });
        }
        len += size;
    }
    match len {
        1..=MAX_RECORD_BYTES => Ok((fields, len)),
        _ => invalid("records of 1 byte to 1 MiB", dtype),
    }
}

/// Parses a numpy type string, such as `<f4`.
pub(super) fn numpy_type(value: &Value) -> Parsed<(ItemType, bool)> {
    let refuse = || unsupported_type(format!("the zarr dtype {}", shown(value)));
    let Some(text) = value.as_str() else {
        return refuse();
    };
    let (order, code) = text.split_at_checked(1).unwrap_or_default();
    let big_endian = order == ">";
    let item = match code.split_at_checked(1) {
        Some(("U", chars)) => match chars.parse() {
            Ok(chars @ 1..=MAX_FIXED_TEXT_LEN) => ItemType::Text(TextEncoding::Utf32 { chars }),
            _ => return refuse(),
        },
        Some(("S", size)) => match size.parse() {
            Ok(size @ 1..=MAX_FIXED_TEXT_LEN) => ItemType::Text(TextEncoding::Fixed {
                size,
                padding: Padding::Nulls,
            }),
            _ => return refuse(),
        },
        _ => match code.parse() {
            Ok(dtype) => ItemType::Number(dtype),
            Err(_) => return refuse(),
        },
    };
    Ok((item, big_endian))
}

/// Parses a data type of format 3.
pub(super) fn v3_type(value: &Value) -> Parsed<ItemType> {
    let data_type = Extension::of(value, "data type")?;
    let length = data_type
        .get("length_bytes")
        .as_u64()
        .filter(|n| (1..=MAX_FIXED_TEXT_BYTES).contains(n));
    let item = match (data_type.name, length) {
        ("string", _) => ItemType::Text(TextEncoding::Vlen),
        ("fixed_length_utf32", Some(bytes)) if bytes % 4 == 0 => {
            let chars = bytes as usize / 4;
            ItemType::Text(TextEncoding::Utf32 { chars })
        }
        ("null_terminated_bytes", Some(bytes)) => {
            let (size, padding) = (bytes as usize, Padding::Nulls);
            ItemType::Text(TextEncoding::Fixed { size, padding })
        }
        (name, _) => match name.parse() {
            // Only this name: numpy's aliases are not valid here.
            Ok(dtype) if DType::name(dtype) == name => ItemType::Number(dtype),
            _ => return unknown(format!("the zarr data type {}", shown(value))),
        },
    };
    data_type.allow(match item {
        ItemType::Text(TextEncoding::Utf32 { .. } | TextEncoding::Fixed { .. }) => {
            &["length_bytes"]
        }
        _ => &[],
    })?;
    Ok(item)
}
