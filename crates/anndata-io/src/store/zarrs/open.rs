//! Opens an array with zarrs: prepares its metadata for zarrs, finds its type and its grid.

use std::sync::Arc;

use serde_json::Value;
use zarrs::array::{
    ArrayCreateError, ArrayMetadata, ArrayShardedExt, ArrayShardedReadableExtCache,
    CodecMetadataOptions, CodecOptions, DataType,
};
use zarrs::plugin::{ExtensionName, ZarrVersion};

use super::blocks::Blocks;
use super::bounds::Bounds;
use super::calls::{CallError, Own, call_in_pool};
use super::files::Files;
use crate::array::chunks::Chunks;
use crate::array::grid::Grid;
use crate::array::text::TextEncoding;
use crate::array::{Array, ArrayParts, ItemType};
use crate::dtype::DType;
use crate::error::{AS_NUMBERS, Error, ErrorKind};
use crate::store::zarr::ZarrStore;

/// An array that zarrs has opened.
pub(super) struct Opened {
    pub(super) array: zarrs::array::Array<Files>,
    /// The indexes of shards that were read, if chunks within shards are read one by one. For a
    /// shard that other codecs encoded as a whole, it would hold all bytes: such a shard is read as
    /// one chunk.
    pub(super) cache: Option<ArrayShardedReadableExtCache>,
    pub(super) options: CodecOptions,
}

/// Opens an array of a store.
pub(super) fn array(store: &ZarrStore, element: &str) -> Result<Array, Error> {
    let at = |kind| Error::new(store.path(), element, kind);
    let document = prepared(store.array_document(element)?);
    let shape = extents(&document["shape"]);
    let files = Files::list(store.context(), store.folder(), element, shape.len())?;
    let files = Arc::new(files);
    let opened = call_in_pool(|| Ok(opened(files.clone(), &document)));
    let (opened, bounds, chunk) = opened.map_err(|error| failure(error, at))?.map_err(at)?;
    let item = item_type(opened.array.data_type()).map_err(at)?;
    let grid = Grid::new(shape, chunk);
    let grid = grid.ok_or_else(|| {
        let expected = "a chunk shape that fits the array's".to_owned();
        let found = format!("{:?} of {:?}", document["chunk_grid"], document["shape"]);
        at(ErrorKind::Invalid { expected, found })
    })?;
    let fill = opened.array.fill_value().as_ne_bytes().to_vec();
    let chunks = match grid.len() {
        0 => Chunks::Unallocated,
        _ => {
            let place = (store.path().to_owned(), element.to_owned());
            let blocks = Blocks::new(
                place,
                &grid,
                &item,
                &fill,
                (files, bounds, Own::new(opened)),
            );
            Chunks::Library(Box::new(blocks?))
        }
    };
    let (context, path) = (store.context().clone(), store.path().to_owned());
    Ok(Array::new(ArrayParts {
        fill,
        ..ArrayParts::plain(context, path, element.to_owned(), grid, item, chunks)
    }))
}

/// Converts a failed call to an error of the array.
pub(super) fn failure(error: CallError, at: impl Fn(ErrorKind) -> Error) -> Error {
    let expected = "metadata that zarrs can read".to_owned();
    at(match error {
        CallError::Forked => ErrorKind::Unsupported {
            what: "zarrs in a forked process".to_owned(),
            way_out: "start the process without a fork (spawn), or use the default reader",
        },
        error => ErrorKind::Invalid {
            expected,
            found: error.to_string(),
        },
    })
}

/// Removes parts of a document that zarrs refuses as damage although this crate's own reader
/// accepts them: null members, and chunks of extent 0 along empty axes, as anndata has written
/// them.
fn prepared(mut document: Value) -> Value {
    let shape = extents(&document["shape"]);
    if document["zarr_format"].is_null() {
        document["zarr_format"] = 2.into();
    }
    let chunks = match document["zarr_format"] == 2 {
        true => document.get_mut("chunks"),
        false => document.pointer_mut("/chunk_grid/configuration/chunk_shape"),
    };
    let chunks = chunks.and_then(Value::as_array_mut).into_iter().flatten();
    for (chunk, extent) in chunks.zip(shape) {
        if extent == 0 && *chunk == 0 {
            *chunk = 1.into();
        }
    }
    if let Some(members) = document.as_object_mut() {
        // Attributes are read elsewhere, and may be long.
        members
            .retain(|name, value| name == "fill_value" || name != "attributes" && !value.is_null());
    }
    document
}

fn extents(value: &Value) -> Vec<u64> {
    let extents = value.as_array().into_iter().flatten();
    extents
        .map(|extent| extent.as_u64().unwrap_or(u64::MAX))
        .collect()
}

/// Returns the array, the limits of its codecs, and the shape of the chunks that are read at once.
fn opened(files: Arc<Files>, document: &Value) -> Result<(Opened, Bounds, Vec<u64>), ErrorKind> {
    let invalid = |found: String| ErrorKind::Invalid {
        expected: "metadata that zarrs can read".to_owned(),
        found,
    };
    let is_v2 = document["zarr_format"] == 2;
    let metadata = match is_v2 {
        true => serde_json::from_value(document.clone()).map(ArrayMetadata::V2),
        false => serde_json::from_value(document.clone()).map(ArrayMetadata::V3),
    };
    let metadata = metadata.map_err(|error| invalid(error.to_string()))?;
    if !is_v2 && document["chunk_grid"]["name"] != "regular" {
        return Err(unsupported(format!(
            "the zarr chunk grid {}",
            document["chunk_grid"]["name"]
        )));
    }
    let array =
        zarrs::array::Array::new_with_metadata(files, "/", metadata).map_err(
            |error| match error {
                ArrayCreateError::DataTypeCreateError(_)
                | ArrayCreateError::CodecsCreateError(_)
                | ArrayCreateError::StorageTransformersCreateError(_)
                | ArrayCreateError::ChunkGridCreateError(_)
                | ArrayCreateError::ChunkKeyEncodingCreateError(_)
                | ArrayCreateError::AdditionalFieldUnsupportedError(_)
                | ArrayCreateError::UnsupportedZarrV2Array(_) => {
                    unsupported(format!("an array that zarrs refuses ({error})"))
                }
                error => invalid(error.to_string()),
            },
        )?;
    let chunk = match is_v2 {
        true => extents(&document["chunks"]),
        false => extents(&document["chunk_grid"]["configuration"]["chunk_shape"]),
    };
    let elements = chunk
        .iter()
        .fold(1, |product: u64, &extent| product.saturating_mul(extent));
    let codecs = array
        .codecs()
        .create_metadatas(&CodecMetadataOptions::default());
    let codecs = serde_json::to_value(codecs).map_err(|error| invalid(error.to_string()))?;
    let bounds = Bounds::of(&codecs, elements);
    let part = array
        .is_exclusively_sharded()
        .then(|| array.subchunk_shape());
    let part = part.flatten();
    let opened = Opened {
        cache: part
            .as_ref()
            .map(|_| ArrayShardedReadableExtCache::new(&array)),
        array,
        // The callers of a read already run in parallel threads.
        options: CodecOptions::default()
            .with_concurrent_target(1)
            .with_chunk_concurrent_minimum(1),
    };
    let part = part.map(|part| part.iter().map(|extent| extent.get()).collect());
    Ok((opened, bounds, part.unwrap_or(chunk)))
}

fn unsupported(what: String) -> ErrorKind {
    let way_out = "use the default reader, or write the store again with gzip, zstd or blosc";
    ErrorKind::Unsupported { what, way_out }
}

/// Returns the type of the elements that zarrs returns.
fn item_type(data_type: &DataType) -> Result<ItemType, ErrorKind> {
    let name = data_type.name(ZarrVersion::V3).unwrap_or_default();
    Ok(match (&*name, data_type.fixed_size()) {
        ("string", None) => ItemType::Text(TextEncoding::Library),
        ("fixed_length_utf32", Some(size)) if size >= 4 => {
            ItemType::Text(TextEncoding::Utf32 { chars: size / 4 })
        }
        (name, size) => match name.parse::<DType>() {
            Ok(dtype) if DType::name(dtype) == name && size == Some(dtype.size()) => {
                ItemType::Number(dtype)
            }
            _ => {
                let (what, way_out) = (format!("the zarr data type {name}"), AS_NUMBERS);
                return Err(ErrorKind::Unsupported { what, way_out });
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_prepared_for_zarrs() {
        let v2 = json!({
            "shape": [0, 3], "chunks": [0, 3], "dtype": "<f4", "fill_value": null, "compressor": null,
            "dimension_separator": null, "attributes": {}
        });
        let expected = json!({
            "shape": [0, 3], "chunks": [1, 3], "dtype": "<f4", "fill_value": null, "zarr_format": 2
        });
        assert_eq!(prepared(v2), expected);
        let damaged = json!({"zarr_format": 3, "shape": [4], "chunk_grid": {"configuration": {"chunk_shape": [0]}}});
        assert_eq!(prepared(damaged.clone()), damaged);
    }
}
