//! `zarr.json` documents of arrays: format 3.

use serde_json::Value;

use super::types::v3_type;
use super::{ArrayMetadata, Sharding, grid, separator};
use crate::array::ItemType;
use crate::array::decode::{Codec, CodecPipeline};
use crate::array::grid::Grid;
use crate::dtype::DType;
use crate::store::zarr::codecs::Chain;
use crate::store::zarr::extension::Extension;
use crate::store::zarr::fill;
use crate::store::zarr::parsed::{Parsed, extents, invalid, unknown, unknown_codec, unsupported};

impl ArrayMetadata {
    /// Reads a `zarr.json` document of an array.
    pub(in crate::store::zarr) fn from_v3(document: &Value) -> Parsed<ArrayMetadata> {
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
            pipeline: CodecPipeline::new(chain.codecs),
            stored_axes: chain.stored_axes,
            key_prefix,
            separator,
            sharding,
        })
    }
}

/// Reads the configuration of the codec `sharding_indexed`: the chunks within a shard, and their
/// storage.
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

/// Returns the prefix of the names of chunks, and the separator between coordinates.
fn chunk_keys(value: &Value) -> Parsed<(&'static str, char)> {
    // An early form puts the separator beside the name.
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

/// Names of dimensions have no meaning here, but a damaged list may be a sign of more damage.
fn check_dimension_names(value: &Value, rank: usize) -> Parsed<()> {
    let is_name = |name: &Value| name.is_string() || name.is_null();
    match value {
        Value::Null => Ok(()),
        Value::Array(names) if names.len() == rank && names.iter().all(is_name) => Ok(()),
        other => invalid("dimension_names: a text or null for each dimension", other),
    }
}
