//! The faults of a document, in the words of errors.

use serde_json::Value;

use crate::error::{AS_NUMBERS, ErrorKind, IF_READABLE, ZARRS_OR_REWRITE};
use crate::limits::MAX_SHOWN_CHARS;

/// A parsed part of a document, or its fault.
pub(super) type Parsed<T> = Result<T, ErrorKind>;

/// Makes an error about a value.
pub(super) fn invalid<T>(expected: &str, found: &Value) -> Parsed<T> {
    Err(ErrorKind::invalid(expected, shown(found)))
}

/// Formats a value for errors: only its beginning, since a document may be long.
pub(super) fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(MAX_SHOWN_CHARS) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Makes an error about valid but unsupported content.
pub(super) fn unsupported<T>(what: impl Into<String>) -> Parsed<T> {
    Err(ErrorKind::unsupported(what, IF_READABLE))
}

/// Makes an error about an unsupported type.
pub(super) fn unsupported_type<T>(what: impl Into<String>) -> Parsed<T> {
    Err(ErrorKind::unsupported(what, AS_NUMBERS))
}

/// As [`unsupported`], for content that anndata may not read either.
pub(super) fn unknown<T>(what: impl Into<String>) -> Parsed<T> {
    let way_out = "read the store with software that knows it, and write it again without it";
    Err(ErrorKind::unsupported(what, way_out))
}

/// As [`unsupported`], for codecs that zarrs may know.
pub(super) fn unknown_codec<T>(what: impl Into<String>) -> Parsed<T> {
    Err(ErrorKind::unsupported(what, ZARRS_OR_REWRITE))
}

/// Parses a list of lengths.
pub(super) fn extents(value: &Value, expected: &str) -> Parsed<Vec<u64>> {
    let extents = value
        .as_array()
        .and_then(|dims| dims.iter().map(Value::as_u64).collect());
    extents.map_or_else(|| invalid(expected, value), Ok)
}
