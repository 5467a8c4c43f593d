//! The metadata documents of zarr arrays: `.zarray` (format 2) and `zarr.json` (format 3).

use serde_json::Value;

use crate::array::decode::{Codec, Pipeline};
use crate::array::grid::Grid;
use crate::array::text::{Padding, TextEncoding};
use crate::array::{ItemType, Record};
use crate::dtype::{DType, Values, f16};
use crate::error::{AS_NUMBERS, ErrorKind, IF_READABLE};
use crate::with_dtype;

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

type Parsed<T> = Result<T, ErrorKind>;

fn invalid<T>(expected: &str, found: &Value) -> Parsed<T> {
    Err(ErrorKind::Invalid {
        expected: expected.to_owned(),
        found: found.to_string(),
    })
}

fn unsupported<T>(what: impl Into<String>) -> Parsed<T> {
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

fn extents(value: &Value, expected: &str) -> Parsed<Vec<u64>> {
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
        let mut codecs = Vec::new();
        let mut text = None;
        for filter in document["filters"].as_array().into_iter().flatten() {
            match filter["id"].as_str() {
                Some("vlen-utf8") if codecs.is_empty() => text = Some(TextEncoding::Vlen),
                Some("json2") if codecs.is_empty() => text = Some(TextEncoding::Json),
                _ => codecs.push(numcodec(filter)?),
            }
        }
        if !document["compressor"].is_null() {
            codecs.push(numcodec(&document["compressor"])?);
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
        let separator = match document["dimension_separator"].as_str() {
            None | Some(".") => '.',
            Some("/") => '/',
            _ => {
                return invalid(
                    "dimension_separator . or /",
                    &document["dimension_separator"],
                );
            }
        };
        let fill = match (&document["fill_value"], record) {
            // Of a table, a record in base64: that of zeros is all A.
            (Value::String(text), Some(_)) if text.bytes().all(|b| b"A=".contains(&b)) => vec![],
            (Value::Null, _) => vec![],
            (_, Some(_)) => return unsupported("a fill_value of records that is not zero"),
            (value, None) => fill(&item, value)?,
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
        let chunk_grid = &document["chunk_grid"];
        if chunk_grid["name"] != "regular" {
            return unsupported(format!("the zarr chunk grid {}", chunk_grid["name"]));
        }
        let chunk_value = &chunk_grid["configuration"]["chunk_shape"];
        let chunk = extents(chunk_value, "chunk_shape: a list of lengths")?;
        if chunk.len() != shape.len() {
            return invalid("a chunk_shape of the rank of the shape", chunk_value);
        }
        if document["storage_transformers"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
        {
            return unsupported("a chain of zarr storage transformers");
        }
        let key = &document["chunk_key_encoding"];
        let (key_prefix, default_separator) = match key["name"].as_str() {
            Some("default") => ("c", '/'),
            Some("v2") => ("", '.'),
            _ => return unsupported(format!("the zarr chunk key encoding {}", key["name"])),
        };
        let separator = match key["configuration"]["separator"].as_str() {
            None => default_separator,
            Some("/") => '/',
            Some(".") => '.',
            _ => return invalid("separator . or /", &key["configuration"]["separator"]),
        };
        let outer_grid = grid(&shape, chunk, chunk_value)?;
        let outer = Chain::parse(&document["codecs"], shape.len())?;
        let (grid, chain, sharding) = match outer.sharding {
            None => (outer_grid, outer, None),
            Some(configuration) => {
                if outer.stored_axes.is_some() || !outer.codecs.is_empty() {
                    return unsupported("a chain of zarr codecs around shards");
                }
                let inner_value = &configuration["chunk_shape"];
                let inner = extents(inner_value, "chunk_shape: a list of lengths")?;
                let divides = inner.len() == shape.len()
                    && inner
                        .iter()
                        .zip(&outer_grid.chunk)
                        .all(|(&i, &o)| i > 0 && o % i == 0);
                if !divides {
                    return invalid("a chunk_shape that divides the shard's", inner_value);
                }
                let chain = Chain::parse(&configuration["codecs"], shape.len())?;
                if chain.sharding.is_some() {
                    return unsupported("a chain of zarr shards within shards");
                }
                let index_at_end = match configuration["index_location"].as_str() {
                    None | Some("end") => true,
                    Some("start") => false,
                    _ => {
                        return invalid(
                            "index_location start or end",
                            &configuration["index_location"],
                        );
                    }
                };
                let index = Chain::parse(&configuration["index_codecs"], shape.len() + 1)?;
                let index_checksum = match index.codecs[..] {
                    [] => false,
                    [Codec::Crc32c] => true,
                    _ => return unsupported("a compressed zarr shard index"),
                };
                if index.big_endian || index.stored_axes.is_some() {
                    return unsupported("a big-endian or transposed zarr shard index");
                }
                let sharding = Sharding {
                    shards: outer_grid,
                    index_at_end,
                    index_checksum,
                };
                (
                    self::grid(&shape, inner, inner_value)?,
                    chain,
                    Some(sharding),
                )
            }
        };
        let item = if chain.vlen {
            ItemType::Text(TextEncoding::Vlen)
        } else {
            v3_type(&document["data_type"])?
        };
        Ok(ArrayMetadata {
            grid,
            fill: fill(&item, &document["fill_value"])?,
            record: None,
            item,
            big_endian: chain.big_endian,
            pipeline: Pipeline::new(chain.codecs),
            stored_axes: chain.stored_axes,
            key_prefix,
            separator,
            sharding,
        })
    }
}

/// A zarr v3 codec chain: array to array, array to bytes, bytes to bytes.
struct Chain<'a> {
    stored_axes: Option<Vec<usize>>,
    big_endian: bool,
    vlen: bool,
    sharding: Option<&'a Value>,
    codecs: Vec<Codec>,
}

impl Chain<'_> {
    fn parse(value: &Value, rank: usize) -> Parsed<Chain<'_>> {
        let Some(list) = value.as_array() else {
            return invalid("codecs: a list", value);
        };
        let (stored_axes, sharding, codecs) = (None, None, Vec::new());
        let mut chain = Chain {
            stored_axes,
            big_endian: false,
            vlen: false,
            sharding,
            codecs,
        };
        for codec in list {
            let (name, configuration) = match codec {
                Value::String(name) => (name.as_str(), &Value::Null),
                codec => (
                    codec["name"].as_str().unwrap_or_default(),
                    &codec["configuration"],
                ),
            };
            match name {
                "transpose" => {
                    let order =
                        extents(&configuration["order"], "order: a permutation of the axes")?;
                    let mut sorted = order.clone();
                    sorted.sort_unstable();
                    if !sorted.iter().copied().eq(0..rank as u64) {
                        return invalid(
                            "order: a permutation of the axes",
                            &configuration["order"],
                        );
                    }
                    let order: Vec<usize> = order.iter().map(|&axis| axis as usize).collect();
                    // Transposes add up: each permutes the axes that the one before left.
                    let before = chain.stored_axes.take();
                    let axes = match before {
                        None => order,
                        Some(before) => order.iter().map(|&axis| before[axis]).collect(),
                    };
                    chain.stored_axes = Some(axes).filter(|axes| !axes.iter().copied().eq(0..rank));
                }
                "bytes" => match configuration["endian"].as_str() {
                    None | Some("little") => {}
                    Some("big") => chain.big_endian = true,
                    _ => return invalid("endian little or big", &configuration["endian"]),
                },
                "vlen-utf8" => chain.vlen = true,
                "sharding_indexed" => chain.sharding = Some(configuration),
                "crc32c" => chain.codecs.push(Codec::Crc32c),
                name => {
                    let id = name.strip_prefix("numcodecs.").unwrap_or(name);
                    chain.codecs.push(codec_named(id, configuration)?);
                }
            }
        }
        Ok(chain)
    }
}

fn numcodec(value: &Value) -> Parsed<Codec> {
    match value["id"].as_str() {
        Some(id) => codec_named(id, value),
        None => invalid("a codec with an id", value),
    }
}

fn codec_named(id: &str, configuration: &Value) -> Parsed<Codec> {
    Ok(match id {
        "blosc" => Codec::Blosc,
        "zstd" => Codec::Zstd,
        "gzip" => Codec::Gzip,
        "zlib" => Codec::Deflate,
        "lz4" => Codec::Lz4Numcodecs,
        "shuffle" => match configuration["elementsize"].as_u64() {
            Some(size @ 1..=255) => Codec::Shuffle {
                element_size: size as usize,
            },
            _ => return invalid("elementsize of the shuffle codec", configuration),
        },
        _ => return unsupported(format!("the zarr codec {id}")),
    })
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
            return unsupported_type(format!("the zarr dtype {dtype}"));
        };
        let size = text.get(2..).and_then(|size| size.parse::<usize>().ok());
        let unit = if text.get(1..2) == Some("U") { 4 } else { 1 };
        let size = size.filter(|&size| size <= 1 << 20).map(|size| size * unit);
        let (Some(size), true) = (size, field[2].is_null()) else {
            return unsupported_type(format!("the field {field} of a zarr dtype"));
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
    let Some(text) = value.as_str() else {
        return unsupported_type(format!("the zarr dtype {value}"));
    };
    let (order, code) = text.split_at_checked(1).unwrap_or_default();
    let big_endian = order == ">";
    let item = match code.split_at_checked(1) {
        Some(("U", chars)) => match chars.parse() {
            Ok(chars @ 1..=65_536) => ItemType::Text(TextEncoding::Utf32 { chars }),
            _ => return unsupported_type(format!("the zarr dtype {text}")),
        },
        Some(("S", size)) => match size.parse() {
            Ok(size @ 1..=65_536) => ItemType::Text(TextEncoding::Fixed {
                size,
                padding: Padding::Nulls,
            }),
            _ => return unsupported_type(format!("the zarr dtype {text}")),
        },
        _ => match code.parse() {
            Ok(dtype) => ItemType::Number(dtype),
            Err(_) => return unsupported_type(format!("the zarr dtype {text}")),
        },
    };
    Ok((item, big_endian))
}

fn v3_type(value: &Value) -> Parsed<ItemType> {
    let (name, configuration) = match value {
        Value::String(name) => (name.as_str(), &Value::Null),
        value => (
            value["name"].as_str().unwrap_or_default(),
            &value["configuration"],
        ),
    };
    let length = configuration["length_bytes"]
        .as_u64()
        .filter(|n| (1..=262_144).contains(n));
    match (name, length) {
        ("fixed_length_utf32", Some(bytes)) if bytes % 4 == 0 => {
            Ok(ItemType::Text(TextEncoding::Utf32 {
                chars: bytes as usize / 4,
            }))
        }
        ("null_terminated_bytes", Some(bytes)) => {
            let (size, padding) = (bytes as usize, Padding::Nulls);
            Ok(ItemType::Text(TextEncoding::Fixed { size, padding }))
        }
        _ => match name.parse() {
            Ok(dtype) => Ok(ItemType::Number(dtype)),
            Err(_) => unsupported_type(format!("the zarr data type {value}")),
        },
    }
}

/// One element of the fill value, native-endian; empty for zeros.
fn fill(item: &ItemType, value: &Value) -> Parsed<Vec<u8>> {
    let dtype = match item {
        ItemType::Number(dtype) => *dtype,
        ItemType::Text(TextEncoding::Vlen | TextEncoding::Json) => {
            return Ok(value.as_str().unwrap_or_default().as_bytes().to_vec());
        }
        ItemType::Text(_) => {
            return match value.as_str() {
                None | Some("" | "0") => Ok(Vec::new()),
                Some(_) => unsupported("a fill_value of fixed-length text"),
            };
        }
    };
    let element = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Bool(value) => Values::U8(vec![u8::from(*value)]),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), ..) => Values::I64(vec![n]),
            (_, Some(n), _) => Values::U64(vec![n]),
            (.., Some(n)) => Values::F64(vec![n]),
            _ => return invalid("a fill_value of the array's type", value),
        },
        Value::String(text) => match (text.as_str(), text.strip_prefix("0x")) {
            ("NaN", _) => Values::F64(vec![f64::NAN]),
            ("Infinity", _) => Values::F64(vec![f64::INFINITY]),
            ("-Infinity", _) => Values::F64(vec![f64::NEG_INFINITY]),
            (_, Some(hex)) => match (u64::from_str_radix(hex, 16), dtype) {
                (Ok(bits), DType::F16) => Values::F16(vec![f16::from_bits(bits as u16)]),
                (Ok(bits), DType::F32) => Values::F32(vec![f32::from_bits(bits as u32)]),
                (Ok(bits), DType::F64) => Values::F64(vec![f64::from_bits(bits)]),
                _ => return invalid("a fill_value of the array's type", value),
            },
            _ => return invalid("a fill_value of the array's type", value),
        },
        _ => return invalid("a fill_value of the array's type", value),
    };
    Ok(with_dtype!(dtype, T => {
        let element = element.as_slice().to_vec::<T>();
        bytemuck::cast_slice(&element).to_vec()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            r#"{"shape":[5],"chunks":[2],"dtype":"<i4","order":"C","compressor":{"id":"lzma"}}"#,
        );
        assert!(
            error
                .err()
                .expect("unknown codec")
                .to_string()
                .contains("zarr codec lzma")
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

    #[test]
    fn fill_values_of_every_form() {
        let of = |dtype, text: &str| {
            fill(
                &ItemType::Number(dtype),
                &serde_json::from_str(text).expect("valid JSON"),
            )
        };
        assert_eq!(
            of(DType::F32, "\"0x3f800000\"").ok(),
            Some(1f32.to_ne_bytes().to_vec())
        );
        assert_eq!(
            of(DType::F64, "\"-Infinity\"").ok(),
            Some(f64::NEG_INFINITY.to_ne_bytes().to_vec())
        );
        assert_eq!(of(DType::Bool, "true").ok(), Some(vec![1]));
        assert_eq!(
            of(DType::U64, "18446744073709551615").ok(),
            Some(vec![255; 8])
        );
        assert_eq!(of(DType::I8, "null").ok(), Some(vec![]));
        assert!(of(DType::I8, "[1]").is_err());
    }
}
