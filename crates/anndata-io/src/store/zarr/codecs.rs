//! Codecs by name: those of a zarr v3 chain, and numcodecs' in both formats.

use serde_json::Value;

use super::extension::Extension;
use super::parsed::{Parsed, extents, invalid, unknown_codec, unsupported};
use crate::array::ItemType;
use crate::array::decode::{Codec, Elements, Step, StoredType, Sum};
use crate::array::text::TextEncoding;
use crate::dtype::DType;

/// A zarr v3 codec chain: array to array, array to bytes, bytes to bytes.
pub(super) struct Chain<'a> {
    pub(super) stored_axes: Option<Vec<usize>>,
    pub(super) big_endian: bool,
    pub(super) sharding: Option<Extension<'a>>,
    pub(super) codecs: Vec<Codec>,
}

/// The form of the data at a point in a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    /// Elements, with their type if they are numbers.
    Array(Option<DType>),
    Bytes,
}

const PREFIX: &str = "numcodecs.";
/// Codecs of bytes that mean the same with and without the prefix.
const BARE: [&str; 6] = ["blosc", "gzip", "lz4", "shuffle", "zlib", "zstd"];

/// Whether a codec is supported, in its right place.
fn is_known(id: &str) -> bool {
    let to_bytes = [
        "transpose",
        "bytes",
        "vlen-utf8",
        "sharding_indexed",
        "crc32c",
    ];
    to_bytes.contains(&id) || BARE.contains(&id) || is_of_elements(id)
}

impl<'a> Chain<'a> {
    pub(super) fn parse(value: &'a Value, rank: usize, item: &ItemType) -> Parsed<Chain<'a>> {
        let Some(list) = value.as_array() else {
            return invalid("codecs: a list", value);
        };
        let mut chain = Chain {
            stored_axes: None,
            big_endian: false,
            sharding: None,
            codecs: Vec::new(),
        };
        let mut data = Data::Array(match item {
            ItemType::Number(dtype) => Some(*dtype),
            ItemType::Text(_) => None,
        });
        for codec in list {
            let codec = Extension::of(codec, "codec")?;
            data = chain.add(codec, data, rank, item)?;
        }
        match data {
            Data::Bytes => Ok(chain),
            Data::Array(_) => invalid("codecs that make bytes of elements", value),
        }
    }

    /// Adds the next codec of the chain, and returns the form of its output.
    fn add(
        &mut self,
        codec: Extension<'a>,
        data: Data,
        rank: usize,
        item: &ItemType,
    ) -> Parsed<Data> {
        let is_vlen = matches!(item, ItemType::Text(TextEncoding::Vlen));
        match (codec.name, data) {
            ("transpose", Data::Array(_)) => {
                codec.allow(&["order"])?;
                if !self.codecs.is_empty() {
                    return unsupported("a zarr codec of elements before a transpose");
                }
                self.transpose(codec.get("order"), rank)?;
                Ok(data)
            }
            ("bytes", Data::Array(_)) if !is_vlen => {
                codec.allow(&["endian"])?;
                self.big_endian = match codec.get("endian") {
                    Value::Null => false,
                    endian if endian == "little" => false,
                    endian if endian == "big" => true,
                    other => return invalid("endian little or big", other),
                };
                if self.big_endian && !self.codecs.is_empty() {
                    return unsupported("a big-endian zarr array with a codec of elements");
                }
                Ok(Data::Bytes)
            }
            ("vlen-utf8", Data::Array(_)) if is_vlen => codec.allow(&[]).map(|()| Data::Bytes),
            ("sharding_indexed", Data::Array(_)) => {
                codec.allow(&["chunk_shape", "codecs", "index_codecs", "index_location"])?;
                self.sharding = Some(codec);
                Ok(Data::Bytes)
            }
            ("crc32c", Data::Bytes) => {
                codec.allow(&[])?;
                self.codecs.push(Codec::Crc32c);
                Ok(Data::Bytes)
            }
            (name, data) => {
                let id = name.strip_prefix(PREFIX);
                match (data, id.unwrap_or(name)) {
                    (Data::Array(Some(dtype)), id) if name != id && is_of_elements(id) => {
                        let (step, dtype) = of_elements(id, &|key| codec.get(key), Some(dtype))?;
                        codec.allow(keys_of(id))?;
                        self.codecs.extend(step);
                        Ok(Data::Array(Some(dtype)))
                    }
                    // Other codecs of numcodecs mean something else without its prefix.
                    (Data::Bytes, id)
                        if (name != id && !is_of_elements(id)) || BARE.contains(&id) =>
                    {
                        let size = item.size() as u64;
                        self.codecs.push(of_bytes(id, &|key| codec.get(key), size)?);
                        codec.allow(keys_of(id))?;
                        Ok(Data::Bytes)
                    }
                    (_, id) if is_known(id) => {
                        let expected = "zarr codecs in order: of arrays, to bytes, of bytes";
                        invalid(expected, &Value::from(name))
                    }
                    (_, id) => unknown_codec(format!("the zarr codec {id}")),
                }
            }
        }
    }

    fn transpose(&mut self, value: &Value, rank: usize) -> Parsed<()> {
        let order = extents(value, "order: a permutation of the axes")?;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..rank as u64) {
            return invalid("order: a permutation of the axes", value);
        }
        let order: Vec<usize> = order.iter().map(|&axis| axis as usize).collect();
        // Transposes combine: each permutes the axes that the one before left.
        let axes = match self.stored_axes.take() {
            None => order,
            Some(before) => order.iter().map(|&axis| before[axis]).collect(),
        };
        self.stored_axes = Some(axes).filter(|axes| !axes.iter().copied().eq(0..rank));
        Ok(())
    }
}

/// Parses a codec of numcodecs in the notation of format 2; `None` if there is nothing to undo.
pub(super) fn numcodec(value: &Value) -> Parsed<Option<Codec>> {
    let get = |key: &str| &value[key];
    match value["id"].as_str() {
        Some(id) if is_of_elements(id) => Ok(of_elements(id, &get, None)?.0),
        // The element size that numcodecs assumes by default.
        Some(id) => of_bytes(id, &get, 4).map(Some),
        None => invalid("a codec with an id", value),
    }
}

/// Returns a value of a configuration by its key.
type Get<'g, 'v> = &'g dyn Fn(&str) -> &'v Value;

/// Returns the keys in the configuration of a codec of numcodecs.
fn keys_of(id: &str) -> &'static [&'static str] {
    match id {
        "blosc" => &["typesize", "cname", "clevel", "shuffle", "blocksize"],
        "zstd" => &["level", "checksum"],
        "gzip" | "zlib" | "bz2" => &["level"],
        "lz4" => &["acceleration"],
        "shuffle" => &["elementsize"],
        "lzma" => &["format", "check", "preset", "filters"],
        "crc32" | "crc32c" | "adler32" => &["location"],
        "jenkins_lookup3" => &["initval", "prefix"],
        "delta" => &["dtype", "astype"],
        "quantize" => &["digits", "dtype", "astype"],
        "fixedscaleoffset" => &["offset", "scale", "dtype", "astype"],
        "astype" => &["encode_dtype", "decode_dtype"],
        "bitround" => &["keepbits"],
        _ => &[],
    }
}

/// Parses a codec of bytes by its name in numcodecs.
fn of_bytes(id: &str, get: Get<'_, '_>, element_size: u64) -> Parsed<Codec> {
    let checksum = |sum, at_start: bool| {
        let at_start = match get("location") {
            Value::Null => at_start,
            location if location == "start" => true,
            location if location == "end" => false,
            other => return invalid("location start or end of a checksum", other),
        };
        Ok(Codec::Checksum { sum, at_start })
    };
    Ok(match id {
        "blosc" => Codec::Blosc,
        "zstd" => Codec::Zstd,
        "gzip" => Codec::Gzip,
        "zlib" => Codec::Deflate,
        "lz4" => Codec::Lz4Numcodecs,
        "bz2" => Codec::Bz2,
        "lzma" => match get("format").as_u64() {
            // The container is explicit or detected: both are xz for data that numcodecs writes.
            None | Some(0 | 1) => Codec::Xz,
            Some(format) => return unsupported(format!("the format {format} of the codec lzma")),
        },
        "shuffle" => {
            let size = get("elementsize");
            let size = if size.is_null() {
                Some(element_size)
            } else {
                size.as_u64()
            };
            match size {
                Some(size @ 1..=255) => Codec::Shuffle {
                    element_size: size as usize,
                },
                _ => return invalid("elementsize of the shuffle codec", get("elementsize")),
            }
        }
        "fletcher32" => Codec::Fletcher32,
        "crc32" => checksum(Sum::Crc32, true)?,
        "adler32" => checksum(Sum::Adler32, true)?,
        "crc32c" => checksum(Sum::Crc32c, false)?,
        "jenkins_lookup3" => {
            if !matches!(get("initval").as_u64(), None | Some(0)) || !get("prefix").is_null() {
                return unsupported("initval or prefix of the codec jenkins_lookup3");
            }
            Codec::Checksum {
                sum: Sum::Lookup3,
                at_start: false,
            }
        }
        _ => return unknown_codec(format!("the zarr codec {id}")),
    })
}

fn is_of_elements(id: &str) -> bool {
    [
        "delta",
        "fixedscaleoffset",
        "astype",
        "quantize",
        "bitround",
        "packbits",
    ]
    .contains(&id)
}

/// Parses a codec of elements (`None` if there is nothing to undo), and the type of its output.
///
/// In format 3, the codec must be for the type `dtype`; in format 2, it accepts bytes of any type.
fn of_elements(id: &str, get: Get<'_, '_>, dtype: Option<DType>) -> Parsed<(Option<Codec>, DType)> {
    let stored = |key: &str, default: Option<StoredType>| {
        let value = get(key);
        let found = match value {
            Value::Null => default,
            value => value.as_str().and_then(stored_type),
        };
        match found {
            // Zarr v3 leaves the byte order to another codec.
            Some(found) if dtype.is_none() || !found.big_endian => Ok(found),
            _ => invalid(
                &format!("{key}: the type of elements of the codec {id}"),
                value,
            ),
        }
    };
    let of_array = dtype.map(|dtype| StoredType {
        dtype,
        big_endian: false,
    });
    let (to, from, step) = match id {
        "bitround" => return Ok((None, dtype.unwrap_or(DType::F32))),
        "packbits" => {
            if dtype.is_some_and(|dtype| dtype != DType::Bool) {
                return invalid("packbits of booleans", &Value::from(dtype.map(DType::name)));
            }
            return Ok((Some(Codec::PackBits), DType::U8));
        }
        "astype" => (
            stored("decode_dtype", of_array)?,
            stored("encode_dtype", None)?,
            Step::Cast,
        ),
        _ => {
            let to = stored("dtype", of_array)?;
            let step = match id {
                "delta" => Step::Sum,
                "quantize" => Step::Cast,
                _ => Step::Scale {
                    scale: number(id, "scale", get)?,
                    offset: number(id, "offset", get)?,
                },
            };
            (to, stored("astype", Some(to))?, step)
        }
    };
    if let Some(dtype) = dtype.filter(|&dtype| dtype != to.dtype) {
        let expected = format!("the codec {id} for elements of {dtype}");
        return invalid(&expected, &Value::from(to.dtype.name()));
    }
    let elements = Elements { from, to, step };
    Ok((Some(Codec::Elements(elements)), from.dtype))
}

fn number(id: &str, key: &str, get: Get<'_, '_>) -> Parsed<f64> {
    let number = get(key).as_f64();
    number.map_or_else(
        || invalid(&format!("{key}: a number of the codec {id}"), get(key)),
        Ok,
    )
}

/// Parses a type in numpy's notation: `<f4`, or `float32`.
fn stored_type(text: &str) -> Option<StoredType> {
    let big_endian = text.starts_with('>');
    let name = text.trim_start_matches(['<', '>', '|', '=']);
    let dtype = name.parse().ok()?;
    Some(StoredType { dtype, big_endian })
}
