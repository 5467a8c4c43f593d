//! The metadata documents of zarr arrays: `.zarray` (format 2) and `zarr.json` (format 3).
//!
//! Takes a parsed JSON document. Returns an [`ArrayMetadata`], the same for both formats, or the
//! fault of the document.
//!
//! ```text
//! .zarray   ─▶ v2.rs ─┐
//!                     ├─▶ types.rs, ../codecs.rs, ../fill.rs ─▶ ArrayMetadata
//! zarr.json ─▶ v3.rs ─┘
//! ```

use serde_json::Value;

use super::parsed::{Parsed, invalid};
use crate::array::decode::CodecPipeline;
use crate::array::grid::Grid;
use crate::array::{ItemType, Record};

mod types;
mod v2;
mod v3;

pub(super) use types::field_names;

/// The description of a stored array in a metadata document.
pub(super) struct ArrayMetadata {
    pub(super) grid: Grid,
    pub(super) item: ItemType,
    pub(super) big_endian: bool,
    pub(super) pipeline: CodecPipeline,
    pub(super) stored_axes: Option<Vec<usize>>,
    pub(super) fill: Vec<u8>,
    /// For a field of a table.
    pub(super) record: Option<Record>,
    pub(super) key_prefix: &'static str,
    pub(super) separator: char,
    pub(super) sharding: Option<Sharding>,
}

/// The packing of chunks into shards.
pub(super) struct Sharding {
    pub(super) shards: Grid,
    pub(super) index_at_end: bool,
    pub(super) index_checksum: bool,
}

fn grid(shape: &[u64], chunk: Vec<u64>, value: &Value) -> Parsed<Grid> {
    // Writers store a chunk extent of 0 for an empty axis.
    let chunk = chunk
        .iter()
        .zip(shape)
        .map(|(&n, &extent)| if extent == 0 { n.max(1) } else { n });
    let grid = Grid::new(shape.to_vec(), chunk.collect());
    grid.map_or_else(|| invalid("a chunk shape that fits the array's", value), Ok)
}

fn separator(value: &Value, default: char, expected: &str) -> Parsed<char> {
    match value {
        Value::Null => Ok(default),
        value if value == "." => Ok('.'),
        value if value == "/" => Ok('/'),
        other => invalid(expected, other),
    }
}

#[cfg(test)]
mod tests;
