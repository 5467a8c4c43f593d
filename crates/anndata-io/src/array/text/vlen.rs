//! Chunks of texts of variable length, as zarr's `vlen-utf8` and `json2` store them.

use std::ops::Range;

use super::{TextEncoding, le_uint};
use crate::array::Array;
use crate::error::Error;

/// A decoded chunk of variable-length text, and where its elements lie.
pub(super) struct VlenChunk {
    number: u64,
    bytes: Vec<u8>,
    elements: Vec<Range<usize>>,
}

impl VlenChunk {
    /// The number of the chunk in the grid of the array.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Finds the elements of a decoded chunk.
    pub(super) fn parse(
        array: &Array,
        encoding: &TextEncoding,
        number: u64,
        bytes: Vec<u8>,
    ) -> Result<VlenChunk, Error> {
        let (stored, bytes, elements) = match encoding {
            TextEncoding::Json => {
                let (bytes, elements) = json_elements(&bytes)
                    .ok_or_else(|| array.invalid("a JSON list of texts", "another value"))?;
                (Some(elements.len() as u64), bytes, elements)
            }
            _ => {
                let elements = vlen_elements(&bytes);
                (bytes.get(..4).map(le_uint), bytes, elements)
            }
        };
        let extent = array.chunk_shape().first().copied().unwrap_or(1);
        let rest = array.len().saturating_sub(number * extent);
        if stored != Some(extent) && stored != Some(extent.min(rest)) {
            let found = stored.map_or("no count".to_owned(), |n| n.to_string());
            return Err(array.invalid(format!("{extent} texts in chunk {number}"), found));
        }
        Ok(VlenChunk {
            number,
            bytes,
            elements,
        })
    }

    /// Returns the bytes of a range of elements.
    ///
    /// # Errors
    /// When one of them reaches past the end of the chunk.
    pub(super) fn texts(
        &self,
        array: &Array,
        elements: Range<usize>,
    ) -> Result<impl Iterator<Item = &[u8]>, Error> {
        let elements = self.elements.get(elements).ok_or_else(|| {
            array.invalid("variable-length text", "a length beyond the chunk's end")
        })?;
        Ok(elements.iter().map(|range| &self.bytes[range.clone()]))
    }
}

/// Finds the elements of a `vlen-utf8` chunk, up to the first that reaches past the end.
fn vlen_elements(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut elements = Vec::new();
    let mut at = 4;
    while let Some(len) = bytes.get(at..at + 4) {
        let start = at + 4;
        let end = start + le_uint(len) as usize;
        if end > bytes.len() {
            break;
        }
        elements.push(start..end);
        at = end;
    }
    elements
}

/// Finds the elements of a `json2` chunk: returns their text, and the place of each in it. numpy's
/// type and the shape follow the elements.
fn json_elements(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Range<usize>>)> {
    let values: Vec<serde_json::Value> = serde_json::from_slice(bytes).ok()?;
    let n_elements = values.len().checked_sub(2)?;
    let mut text = Vec::new();
    let mut elements = Vec::with_capacity(n_elements);
    for value in &values[..n_elements] {
        let start = text.len();
        text.extend_from_slice(value.as_str()?.as_bytes());
        elements.push(start..text.len());
    }
    Some((text, elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlen_elements_end_where_the_bytes_do() {
        let bytes = [2, 0, 0, 0, 1, 0, 0, 0, b'a', 9, 0, 0, 0, b'b'];
        assert!(vlen_elements(&bytes).into_iter().eq(std::iter::once(8..9)));
        assert!(vlen_elements(&[]).is_empty());
    }

    #[test]
    fn json_elements_are_the_texts_before_type_and_shape() {
        let (text, elements) = json_elements(br#"["ab", "c", "|O", [2]]"#).expect("a list");
        assert_eq!((&text[..], &elements[..]), (&b"abc"[..], &[0..2, 2..3][..]));
        assert!(json_elements(br#"[1, "|O", [1]]"#).is_none(), "a number");
        assert!(json_elements(br#"["|O"]"#).is_none(), "too short");
    }
}
