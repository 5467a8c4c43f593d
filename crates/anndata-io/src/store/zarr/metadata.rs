//! The metadata documents of zarr arrays: `.zarray` (format 2) and `zarr.json` (format 3).

use serde_json::Value;

use crate::array::decode::{Codec, Pipeline};
use crate::array::grid::Grid;
use crate::array::text::{Padding, TextEncoding};
use crate::array::{ItemType, Record};
use crate::dtype::DType;
use crate::error::{AS_NUMBERS, ErrorKind, IF_READABLE, ZARRS_OR_REWRITE};

use super::codecs::{Chain, numcodec};
use super::extension::Extension;
use super::fill;

/// Everything that a metadata document says of how an array is stored.
pub(super) struct ArrayMetadata {
    pub(super) grid: Grid,
    pub(super) item: ItemType,
    pub(super) big_endian: bool,
    pub(super) pipeline: Pipeline,
    pub(super) stored_axes: Option<Vec<usize>>,
    pub(super) fill: Vec<u8>,
    /// For a field of a table.
    pub(super) record: Option<Record>,
    pub(super) key_prefix: &'static str,
    pub(super) separator: char,
    pub(super) sharding: Option<Sharding>,
}

/// How chunks are packed into shards.
pub(super) struct Sharding {
    pub(super) shards: Grid,
    pub(super) index_at_end: bool,
    pub(super) index_checksum: bool,
}

pub(super) type Parsed<T> = Result<T, ErrorKind>;

pub(super) fn invalid<T>(expected: &str, found: &Value) -> Parsed<T> {
    Err(ErrorKind::Invalid {
        expected: expected.to_owned(),
        found: shown(found),
    })
}

/// A value as errors show it: its beginning, as a document may be long.
pub(super) fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(MOST_SHOWN) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Characters of a value that errors show.
const MOST_SHOWN: usize = 200;

pub(super) fn unsupported<T>(what: impl Into<String>) -> Parsed<T> {
    Err(ErrorKind::Unsupported {
        what: what.into(),
        way_out: IF_READABLE,
    })
}

fn unsupported_type<T>(what: impl Into<String>) -> Parsed<T> {
    Err(ErrorKind::Unsupported {
        what: what.into(),
        way_out: AS_NUMBERS,
    })
}

/// As [`unsupported`], of what anndata may not read either.
pub(super) fn unknown<T>(what: impl Into<String>) -> Parsed<T> {
    Err(ErrorKind::Unsupported {
        what: what.into(),
        way_out: "read the store with software that knows it, and write it again without it",
    })
}

/// As [`unsupported`], of codecs that zarrs may know.
pub(super) fn unknown_codec<T>(what: impl Into<String>) -> Parsed<T> {
    Err(ErrorKind::Unsupported {
        what: what.into(),
        way_out: ZARRS_OR_REWRITE,
    })
}

pub(super) fn extents(value: &Value, expected: &str) -> Parsed<Vec<u64>> {
    let extents = value
        .as_array()
        .and_then(|dims| dims.iter().map(Value::as_u64).collect());
    extents.map_or_else(|| invalid(expected, value), Ok)
}

fn grid(shape: &[u64], chunk: Vec<u64>, value: &Value) -> Parsed<Grid> {
    // Writers give empty axes chunks of no extent.
    let chunk = chunk
        .iter()
        .zip(shape)
        .map(|(&n, &extent)| if extent == 0 { n.max(1) } else { n });
    let grid = Grid::new(shape.to_vec(), chunk.collect());
    grid.map_or_else(|| invalid("a chunk shape that fits the array's", value), Ok)
}

impl ArrayMetadata {
    /// Reads a `.zarray` document; that of a table for one of its fields.
    pub(super) fn from_v2(document: &Value, field: Option<&str>) -> Parsed<ArrayMetadata> {
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
            // Of a table, a record in base64: that of zeros is all A.
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
            pipeline: Pipeline::new(codecs),
            stored_axes,
            key_prefix: "",
            separator,
            sharding: None,
        })
    }

    /// Reads a `zarr.json` document of an array.
    pub(super) fn from_v3(document: &Value) -> Parsed<ArrayMetadata> {
        let shape = extents(&document["shape"], "shape: a list of lengths")?;
        check_dimension_names(&document["dimension_names"], shape.len())?;
        match &document["storage_transformers"] {
            Value::Null => {}
            Value::Array(list) if list.is_empty() => {}
            Value::Array(_) => return unsupported("a chain of zarr storage transformers"),
            other => return invalid("storage_transformers: a list", other),
        }
        let chunk_grid = Extension::of(&document["chunk_grid"], "chunk grid")?;
        if chunk_grid.name != "regular" {
            return unknown(format!("the zarr chunk grid {}", chunk_grid.name));
        }
        chunk_grid.allow(&["chunk_shape"])?;
        let chunk_value = chunk_grid.get("chunk_shape");
        let chunk = extents(chunk_value, "chunk_shape: a list of lengths")?;
        if chunk.len() != shape.len() {
            return invalid("a chunk_shape of the rank of the shape", chunk_value);
        }
        let (key_prefix, separator) = chunk_keys(&document["chunk_key_encoding"])?;
        let outer_grid = grid(&shape, chunk, chunk_value)?;
        let data_type = v3_type(&document["data_type"])?;
        let outer = Chain::parse(&document["codecs"], shape.len(), &data_type)?;
        let (grid, chain, sharding) = match outer.sharding {
            None => (outer_grid, outer, None),
            Some(sharding) => {
                if outer.stored_axes.is_some() || !outer.codecs.is_empty() {
                    return unknown_codec("a chain of zarr codecs around shards");
                }
                let (inner, chain, sharding) = shards(&sharding, outer_grid, &data_type)?;
                (inner, chain, Some(sharding))
            }
        };
        Ok(ArrayMetadata {
            grid,
            fill: fill::v3(&data_type, &document["fill_value"])?,
            record: None,
            item: data_type,
            big_endian: chain.big_endian,
            pipeline: Pipeline::new(chain.codecs),
            stored_axes: chain.stored_axes,
            key_prefix,
            separator,
            sharding,
        })
    }
}

/// What the codec `sharding_indexed` says: the chunks within a shard, and how they are stored.
fn shards<'a>(
    codec: &Extension<'a>,
    shards: Grid,
    data_type: &ItemType,
) -> Parsed<(Grid, Chain<'a>, Sharding)> {
    let rank = shards.shape.len();
    let inner_value = codec.get("chunk_shape");
    let inner = extents(inner_value, "chunk_shape: a list of lengths")?;
    let divides = inner.len() == rank
        && inner
            .iter()
            .zip(&shards.chunk)
            .all(|(&i, &o)| i > 0 && o % i == 0);
    if !divides {
        return invalid("a chunk_shape that divides the shard's", inner_value);
    }
    let chain = Chain::parse(codec.get("codecs"), rank, data_type)?;
    if chain.sharding.is_some() {
        return unknown_codec("a chain of zarr shards within shards");
    }
    let index_at_end = match codec.get("index_location") {
        Value::Null => true,
        location if location == "end" => true,
        location if location == "start" => false,
        other => return invalid("index_location start or end", other),
    };
    let words = ItemType::Number(DType::U64);
    let index = Chain::parse(codec.get("index_codecs"), rank + 1, &words)?;
    let index_checksum = match index.codecs[..] {
        [] => false,
        [Codec::Crc32c] => true,
        _ => return unknown_codec("a compressed zarr shard index"),
    };
    if index.big_endian || index.stored_axes.is_some() || index.sharding.is_some() {
        return unknown_codec("a big-endian, transposed or sharded zarr shard index");
    }
    let inner = grid(&shards.shape, inner, inner_value)?;
    let sharding = Sharding {
        shards,
        index_at_end,
        index_checksum,
    };
    Ok((inner, chain, sharding))
}

/// What comes before the coordinates in the names of chunks, and between them.
fn chunk_keys(value: &Value) -> Parsed<(&'static str, char)> {
    // An early form has the separator beside the name.
    let beside = match value.as_object() {
        Some(members) if members.len() == 2 => value.get("separator"),
        _ => None,
    };
    let encoding = match beside {
        Some(_) => Extension::of(&value["name"], "chunk key encoding")?,
        None => Extension::of(value, "chunk key encoding")?,
    };
    let (prefix, default) = match encoding.name {
        "default" => ("c", '/'),
        "v2" => ("", '.'),
        name => return unknown(format!("the zarr chunk key encoding {name}")),
    };
    encoding.allow(&["separator"])?;
    let found = beside.unwrap_or_else(|| encoding.get("separator"));
    Ok((prefix, separator(found, default, "separator . or /")?))
}

fn separator(value: &Value, default: char, expected: &str) -> Parsed<char> {
    match value {
        Value::Null => Ok(default),
        value if value == "." => Ok('.'),
        value if value == "/" => Ok('/'),
        other => invalid(expected, other),
    }
}

/// Names of dimensions mean nothing here, but a damaged list may stand for more damage.
fn check_dimension_names(value: &Value, rank: usize) -> Parsed<()> {
    let is_name = |name: &Value| name.is_string() || name.is_null();
    match value {
        Value::Null => Ok(()),
        Value::Array(names) if names.len() == rank && names.iter().all(is_name) => Ok(()),
        other => invalid("dimension_names: a text or null for each dimension", other),
    }
}

/// The names of the fields when an array of this type is a table; empty when it is none.
pub(super) fn field_names(dtype: &Value) -> Vec<String> {
    let fields = dtype.as_array().into_iter().flatten();
    let names = fields.filter_map(|field| field[0].as_str());
    // A field without a name is padding.
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// A field of a record.
struct Field<'a> {
    name: &'a str,
    item: ItemType,
    big_endian: bool,
    offset: usize,
}

/// The fields of numpy's type of a record, and its bytes: what is of no type that is read here
/// has no field.
fn record_type(dtype: &Value) -> Parsed<(Vec<Field<'_>>, usize)> {
    let mut fields = Vec::new();
    let mut len = 0usize;
    for field in dtype.as_array().into_iter().flatten() {
        let (Some(name), Some(text)) = (field[0].as_str(), field[1].as_str()) else {
            return unsupported_type(format!("the zarr dtype {}", shown(dtype)));
        };
        let size = text.get(2..).and_then(|size| size.parse::<usize>().ok());
        let unit = if text.get(1..2) == Some("U") { 4 } else { 1 };
        let size = size.filter(|&size| size <= 1 << 20).map(|size| size * unit);
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
        1..=0x10_0000 => Ok((fields, len)),
        _ => invalid("records of 1 byte to 1 MiB", dtype),
    }
}

/// A numpy type string, such as `<f4`.
fn numpy_type(value: &Value) -> Parsed<(ItemType, bool)> {
    let refuse = || unsupported_type(format!("the zarr dtype {}", shown(value)));
    let Some(text) = value.as_str() else {
        return refuse();
    };
    let (order, code) = text.split_at_checked(1).unwrap_or_default();
    let big_endian = order == ">";
    let item = match code.split_at_checked(1) {
        Some(("U", chars)) => match chars.parse() {
            Ok(chars @ 1..=65_536) => ItemType::Text(TextEncoding::Utf32 { chars }),
            _ => return refuse(),
        },
        Some(("S", size)) => match size.parse() {
            Ok(size @ 1..=65_536) => ItemType::Text(TextEncoding::Fixed {
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

fn v3_type(value: &Value) -> Parsed<ItemType> {
    let data_type = Extension::of(value, "data type")?;
    let length = data_type
        .get("length_bytes")
        .as_u64()
        .filter(|n| (1..=262_144).contains(n));
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
            // Not the other names that numpy has for it.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::array::decode::{Elements, Step, Stored, Sum};

    fn v2(text: &str) -> Parsed<ArrayMetadata> {
        ArrayMetadata::from_v2(&serde_json::from_str(text).expect("valid JSON"), None)
    }

    #[test]
    fn a_format_2_document() {
        let metadata = v2(
            r#"{"shape":[5,3],"chunks":[2,3],"dtype":">i4","order":"F","fill_value":7,
                "compressor":{"id":"blosc"},"filters":[{"id":"shuffle","elementsize":4}]}"#,
        )
        .unwrap_or_else(|kind| panic!("{kind}"));
        assert_eq!(metadata.grid.counts(), [3, 1]);
        assert!(metadata.big_endian);
        assert_eq!(metadata.stored_axes, Some(vec![1, 0]));
        assert_eq!(metadata.fill, 7i32.to_ne_bytes());
    }

    #[test]
    fn what_is_not_read_is_named() {
        let error = v2(
            r#"{"shape":[5],"chunks":[2],"dtype":"<i4","order":"C","compressor":{"id":"zfpy"}}"#,
        );
        assert!(
            error
                .err()
                .expect("unknown codec")
                .to_string()
                .contains("zarr codec zfpy")
        );
        let error = v2(r#"{"shape":[5],"chunks":[2],"dtype":"<c8","order":"C","compressor":null}"#);
        assert!(
            error
                .err()
                .expect("unknown type")
                .to_string()
                .contains("<c8")
        );
        let error = v2(r#"{"shape":[5],"chunks":[0],"dtype":"<i4","order":"C","compressor":null}"#);
        assert!(matches!(error.err(), Some(ErrorKind::Invalid { .. })));
    }

    /// A document with some members replaced; null takes one out.
    fn changed(document: &Value, changes: Value) -> Value {
        let mut document = document.clone();
        for (name, value) in changes.as_object().expect("members") {
            document[name] = value.clone();
        }
        let members = document.as_object_mut().expect("an object");
        members.retain(|name, _| !changes[name].is_null() || changes.get(name).is_none());
        document
    }

    #[test]
    fn format_2_documents_are_not_taken_on_trust() {
        let document = json!({
            "zarr_format": 2, "shape": [5], "chunks": [2], "dtype": "<i4", "order": "C",
            "fill_value": 0, "filters": null, "compressor": null
        });
        let of = |changes: Value| {
            let document = changed(&document, changes);
            ArrayMetadata::from_v2(&document, None)
                .map(|metadata| (metadata.fill, metadata.separator))
        };
        let fine = |changes: Value| assert!(of(changes.clone()).is_ok(), "{changes}");
        fine(json!({"fill_value": null}));
        fine(json!({"fill_value": 7.0}));
        fine(json!({"filters": []}));
        fine(json!({"dimension_separator": "/"}));
        fine(json!({"dimension_separator": null}));
        fine(json!({"zarr_format": null}));
        fine(json!({"any": "member", "of": {"others": 1}}));
        fine(json!({"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": ""}));
        for (changes, says) in [
            (
                json!({"fill_value": "7"}),
                "fill_value of int32, found \"7\"",
            ),
            (json!({"fill_value": 1.5}), "fill_value of int32, found 1.5"),
            (
                json!({"fill_value": 4_000_000_000_u64}),
                "fill_value of int32",
            ),
            (
                json!({"filters": {"id": "delta"}}),
                "filters: a list or null",
            ),
            (json!({"filters": "delta"}), "filters: a list or null"),
            (json!({"filters": ["delta"]}), "a codec with an id"),
            (json!({"compressor": "zlib"}), "a codec with an id"),
            (json!({"order": "A"}), "order C or F"),
            (json!({"order": null}), "order C or F"),
            (json!({"dimension_separator": "_"}), "dimension_separator"),
            (json!({"dimension_separator": 5}), "dimension_separator"),
            (json!({"zarr_format": 3}), "zarr_format 2"),
            (json!({"shape": [-5]}), "shape"),
            (json!({"shape": 5}), "shape"),
            (json!({"chunks": [2, 2]}), "rank"),
            (json!({"filters": [{"id": "vlen-utf8"}]}), "dtype |O"),
        ] {
            let error = of(changes).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
        let long = of(json!({"fill_value": "x".repeat(1 << 20)})).expect_err("no number");
        assert!(long.to_string().len() < 400, "errors show the beginning");
    }

    #[test]
    fn format_3_documents_are_not_taken_on_trust() {
        let document = json!({
            "zarr_format": 3, "node_type": "array", "shape": [5, 4], "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 4]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                {"name": "bytes"}, {"name": "zstd", "configuration": {"level": 0, "checksum": false}}
            ]
        });
        let of = |changes: Value| {
            let metadata = ArrayMetadata::from_v3(&changed(&document, changes));
            metadata.map(|metadata| (metadata.key_prefix, metadata.separator))
        };
        let fine = |changes: Value| assert!(of(changes.clone()).is_ok(), "{changes}");
        fine(json!({}));
        fine(json!({"storage_transformers": []}));
        fine(json!({"dimension_names": ["cells", null]}));
        fine(json!({"chunk_key_encoding": {"name": "v2"}}));
        fine(json!({"codecs": ["bytes", "crc32c"]}));
        fine(json!({"codecs": [{"name": "bytes", "configuration": {}}]}));
        assert_eq!(
            of(json!({"chunk_key_encoding": "v2"})).ok(),
            Some(("", '.'))
        );
        let early = json!({"chunk_key_encoding": {"name": "default", "separator": "."}});
        assert_eq!(of(early).ok(), Some(("c", '.')));
        let blosc = json!({"typesize": 1, "cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0});
        fine(json!({"codecs": ["bytes", {"name": "blosc", "configuration": blosc}]}));
        let regular = |more: Value| {
            let grid = json!({"name": "regular", "configuration": {"chunk_shape": [2, 4]}});
            json!({"chunk_grid": changed(&grid, more)})
        };
        let codecs = |list: Value| json!({"codecs": list});
        let with = |name: &str, configuration: Value| json!(["bytes", {"name": name, "configuration": configuration}]);
        for (changes, says) in [
            (json!({"fill_value": null}), "fill_value of uint8"),
            (json!({"fill_value": 300}), "fill_value of uint8, found 300"),
            (
                json!({"storage_transformers": [{"name": "x"}]}),
                "storage transformers",
            ),
            (
                json!({"storage_transformers": {"name": "x"}}),
                "storage_transformers: a list",
            ),
            (json!({"dimension_names": ["cells"]}), "dimension_names"),
            (json!({"dimension_names": "cells"}), "dimension_names"),
            (
                regular(json!({"origin": [1, 0]})),
                "\"origin\" of the zarr chunk grid",
            ),
            (
                regular(json!({"configuration": {"chunk_shape": [2, 4], "by": 1}})),
                "by: 1 of the zarr chunk grid",
            ),
            (
                json!({"chunk_grid": {"name": "rectilinear"}}),
                "chunk grid rectilinear",
            ),
            (
                json!({"chunk_key_encoding": {"name": "default", "configuration": {"base": 16}}}),
                "base: 16",
            ),
            (
                json!({"chunk_key_encoding": {"name": "default", "configuration": {"separator": "-"}}}),
                "separator . or /",
            ),
            (
                json!({"chunk_key_encoding": {"name": "default", "separator": "/", "base": 16}}),
                "chunk key encoding",
            ),
            (
                json!({"data_type": {"name": "uint8", "configuration": {"endian": "big"}}}),
                "endian: \"big\" of the zarr data type",
            ),
            (
                json!({"data_type": {"name": "uint8", "bits": 4}}),
                "\"bits\" of the zarr data type",
            ),
            (json!({"data_type": "u1"}), "data type \"u1\""),
            (codecs(json!([])), "bytes of elements"),
            (codecs(json!(["zstd"])), "in order"),
            (codecs(json!(["bytes", "bytes"])), "in order"),
            (
                codecs(json!(["bytes", {"name": "transpose", "configuration": {"order": [1, 0]}}])),
                "in order",
            ),
            (codecs(json!(["vlen-utf8"])), "in order"),
            (
                codecs(with("zstd", json!({"level": 1, "dictionary": "x"}))),
                "dictionary: \"x\"",
            ),
            (
                codecs(with("crc32c", json!({"location": "start"}))),
                "location: \"start\"",
            ),
            (codecs(with("gzip", json!([5]))), "configuration of gzip"),
            (
                codecs(json!([{"name": "bytes", "endian": "big"}])),
                "\"endian\" of the zarr codec bytes",
            ),
            (codecs(with("delta", json!({}))), "in order"),
            (codecs(json!(["cast_value"])), "codec cast_value"),
        ] {
            let error = of(changes.clone()).expect_err(says).to_string();
            assert!(error.contains(says), "{changes}: {error}");
        }
    }

    #[test]
    fn filters_of_numcodecs_in_both_formats() {
        let delta = json!({"id": "delta", "dtype": "<i4", "astype": ">i2"});
        let pipeline = |filters: Value| {
            let document = json!({
                "shape": [5], "chunks": [2], "dtype": "<i4", "order": "C", "fill_value": 0,
                "filters": filters, "compressor": {"id": "bz2", "level": 1}
            });
            ArrayMetadata::from_v2(&document, None).map(|metadata| metadata.pipeline)
        };
        let stored = |dtype, big_endian| Stored { dtype, big_endian };
        let sum = |from| {
            Codec::Elements(Elements {
                from,
                to: stored(DType::I32, false),
                step: Step::Sum,
            })
        };
        let expected = Pipeline::new(vec![sum(stored(DType::I16, true)), Codec::Bz2]);
        assert!(pipeline(json!([delta])).is_ok_and(|found| found == expected));
        let nothing = pipeline(json!([{"id": "bitround", "keepbits": 3}]));
        assert!(nothing.is_ok_and(|found| found == Pipeline::new(vec![Codec::Bz2])));
        for (filter, says) in [
            (json!({"id": "delta"}), "dtype"),
            (json!({"id": "delta", "dtype": "<M8[s]"}), "dtype"),
            (json!({"id": "delta", "dtype": 4}), "dtype"),
            (
                json!({"id": "fixedscaleoffset", "dtype": "<i4", "scale": "2", "offset": 0}),
                "scale",
            ),
            (json!({"id": "crc32", "location": "middle"}), "location"),
            (json!({"id": "jenkins_lookup3", "initval": 5}), "initval"),
            (json!({"id": "lzma", "format": 3}), "format 3"),
            (json!({"id": "categorize"}), "codec categorize"),
        ] {
            let error = pipeline(json!([filter])).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
        let chain = |codecs: Value| {
            let document = json!({
                "zarr_format": 3, "node_type": "array", "shape": [5], "data_type": "int32",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
                "chunk_key_encoding": "default", "fill_value": 0, "codecs": codecs
            });
            ArrayMetadata::from_v3(&document).map(|metadata| metadata.pipeline)
        };
        let numcodec = |name: &str, configuration: Value| json!({"name": format!("numcodecs.{name}"), "configuration": configuration});
        let delta = || numcodec("delta", json!({"dtype": "<i4", "astype": "int16"}));
        let expected = Pipeline::new(vec![
            sum(stored(DType::I16, false)),
            Codec::Checksum {
                sum: Sum::Crc32,
                at_start: true,
            },
        ]);
        let found = chain(json!([delta(), "bytes", numcodec("crc32", json!({}))]));
        assert!(found.is_ok_and(|found| found == expected));
        let big = json!({"name": "bytes", "configuration": {"endian": "big"}});
        for (codecs, says) in [
            (json!([delta(), big]), "big-endian"),
            (json!([delta(), delta(), "bytes"]), "elements of int16"),
            (
                json!([numcodec("delta", json!({"dtype": "<i8"})), "bytes"]),
                "elements of int32",
            ),
            (
                json!([numcodec("delta", json!({"dtype": ">i4"})), "bytes"]),
                "dtype",
            ),
            (
                json!([numcodec("packbits", json!({})), "bytes"]),
                "booleans",
            ),
            (json!(["bytes", delta()]), "in order"),
            (json!(["bytes", "adler32"]), "codec adler32"),
            (
                json!([delta(), {"name": "transpose", "configuration": {"order": [0]}}, "bytes"]),
                "before a transpose",
            ),
        ] {
            let error = chain(codecs).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
