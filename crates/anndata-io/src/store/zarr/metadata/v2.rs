//! `.zarray` documents: format 2.

use serde_json::Value;

use super::types::{numpy_type, record_type};
use super::{ArrayMetadata, grid, separator};
use crate::array::decode::CodecPipeline;
use crate::array::text::TextEncoding;
use crate::array::{ItemType, Record};
use crate::error::ErrorKind;
use crate::store::zarr::codecs::numcodec;
use crate::store::zarr::fill;
use crate::store::zarr::parsed::{Parsed, extents, invalid, unsupported};

impl ArrayMetadata {
    /// Reads a `.zarray` document; for a field of a table, the document of the table.
    pub(in crate::store::zarr) fn from_v2(
        document: &Value,
        field: Option<&str>,
    ) -> Parsed<ArrayMetadata> {
        let shape = extents(&document["shape"], "shape: a list of lengths")?;
        let chunk = extents(&document["chunks"], "chunks: a list of lengths")?;
        if chunk.len() != shape.len() {
            return invalid("chunks of the rank of the shape", &document["chunks"]);
        }
        if !document["zarr_format"].is_null() && document["zarr_format"] != 2 {
            return invalid("zarr_format 2 in .zarray", &document["zarr_format"]);
        }
        let mut codecs = Vec::new();
        let mut text = None;
        let filters = match &document["filters"] {
            Value::Null => &[][..],
            Value::Array(filters) => filters,
            other => return invalid("filters: a list or null", other),
        };
        for filter in filters {
            match filter["id"].as_str() {
                Some("vlen-utf8") if codecs.is_empty() => text = Some(TextEncoding::Vlen),
                Some("json2") if codecs.is_empty() => text = Some(TextEncoding::Json),
                _ => codecs.extend(numcodec(filter)?),
            }
        }
        if !document["compressor"].is_null() {
            codecs.extend(numcodec(&document["compressor"])?);
        }
        if text.is_some() && document["dtype"] != "|O" {
            return invalid("dtype |O of texts", &document["dtype"]);
        }
        let mut record = None;
        let (item, big_endian) = match (text, field) {
            (Some(encoding), _) => (ItemType::Text(encoding), false),
            (None, None) => numpy_type(&document["dtype"])?,
            (None, Some(name)) => {
                let (fields, len) = record_type(&document["dtype"])?;
                let field = fields.into_iter().find(|field| field.name == name);
                let Some(field) = field else {
                    return Err(ErrorKind::MissingElement { nearest: None });
                };
                let offset = field.offset;
                record = Some(Record { len, offset });
                (field.item, field.big_endian)
            }
        };
        let rank = shape.len();
        let stored_axes = match document["order"].as_str() {
            Some("F") if rank > 1 => Some((0..rank).rev().collect()),
            Some("C" | "F") => None,
            _ => return invalid("order C or F", &document["order"]),
        };
        let separator = separator(
            &document["dimension_separator"],
            '.',
            "dimension_separator . or /",
        )?;
        let fill = match (&document["fill_value"], record) {
            // For a table, a record in base64: zeros are all A.
            (Value::String(text), Some(_)) if text.bytes().all(|b| b"A=".contains(&b)) => vec![],
            (Value::Null, _) => vec![],
            (_, Some(_)) => return unsupported("a fill_value of records that is not zero"),
            (value, None) => fill::v2(&item, value)?,
        };
        if record.is_some() && rank != 1 {
            return invalid("a list of records", &document["shape"]);
        }
        Ok(ArrayMetadata {
            grid: grid(&shape, chunk, &document["chunks"])?,
            fill,
            record,
            item,
            big_endian,
            pipeline: CodecPipeline::new(codecs),
            stored_axes,
            key_prefix: "",
            separator,
            sharding: None,
        })
    }
}
