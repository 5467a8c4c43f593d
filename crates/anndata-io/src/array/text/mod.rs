//! Arrays of text: fixed-length, in HDF5's global heap, or in zarr's variable-length chunks.
//!
//! Takes an array and ranges of its rows. Returns [`Strings`]: all texts in one buffer.
//!
//! ```text
//! reader.rs ─┬─ Fixed, Utf32         elements as they lie, padding taken off
//!            ├─ Heap    (heap.rs)    references into collections, each read once
//!            ├─ Vlen, Json (vlen.rs) a chunk of lengths and texts, decoded as a whole
//!            └─ Library              a `BlockReader` hands out texts
//! ```

use crate::io::bytes::ByteSource;

mod heap;
mod reader;
mod strings;
mod vlen;

pub use strings::Strings;

/// How text elements are stored.
#[derive(Debug, Clone)]
pub(crate) enum TextEncoding {
    /// UTF-8 (or ASCII) of a fixed number of bytes.
    Fixed { size: usize, padding: Padding },
    /// UTF-32 of a fixed number of code points, as numpy's `<U` type has it.
    Utf32 { chars: usize },
    /// References into the global heap of an HDF5 file.
    Heap {
        source: ByteSource,
        base: u64,
        offset_size: usize,
        length_size: usize,
    },
    /// Zarr's `vlen-utf8` chunks: a count, then for each element a length and its bytes.
    Vlen,
    /// Zarr's `json2` chunks: a JSON list of the elements, numpy's type and the shape.
    Json,
    /// Texts of variable length that a [`BlockReader`](super::chunks::BlockReader) returns.
    #[cfg_attr(
        not(any(feature = "libhdf5", feature = "zarrs")),
        expect(dead_code, reason = "its only sources")
    )]
    Library,
}

impl PartialEq for TextEncoding {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.item_size() == other.item_size()
    }
}

/// The padding after the text in a fixed-length element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Anything, after a zero byte.
    NullTerminated,
    /// Zero bytes.
    Nulls,
    /// Spaces.
    Spaces,
}

impl Padding {
    /// Returns the element without its padding.
    pub(crate) fn strip(self, element: &[u8]) -> &[u8] {
        let end = match self {
            Padding::NullTerminated => element.iter().position(|&b| b == 0),
            Padding::Nulls => Some(element.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1)),
            Padding::Spaces => Some(
                element
                    .iter()
                    .rposition(|&b| b != b' ')
                    .map_or(0, |at| at + 1),
            ),
        };
        &element[..end.unwrap_or(element.len())]
    }
}

impl TextEncoding {
    /// Bytes of one stored element; 0 if the lengths differ.
    pub(crate) fn item_size(&self) -> usize {
        match self {
            TextEncoding::Fixed { size, .. } => *size,
            TextEncoding::Utf32 { chars } => chars * 4,
            TextEncoding::Heap { offset_size, .. } => 8 + offset_size,
            TextEncoding::Vlen | TextEncoding::Json | TextEncoding::Library => 0,
        }
    }
}

/// Decodes a little-endian integer of up to 8 bytes.
fn le_uint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |n, &byte| n << 8 | u64::from(byte))
}
