//! HDF5's global heap, which holds elements of variable length.

use std::collections::HashMap;
use std::sync::Arc;

use super::{TextEncoding, le_uint};
use crate::array::Array;
use crate::error::Error;
use crate::io::bytes::ByteSource;
use crate::limits::{FREE_ARRAY_BYTES, HEAP_CACHE_BYTES};

/// The heap collections that a read of texts has met.
#[derive(Default)]
pub(super) struct Heaps {
    /// The collections by address.
    heaps: HashMap<u64, Arc<Heap>>,
    /// Bytes of text that elements refer to so far.
    referred: u64,
    /// The collection of the last text.
    last: Option<Arc<Heap>>,
}

impl Heaps {
    /// Returns the text that an element of an array refers to.
    ///
    /// # Errors
    /// When no such text exists, or elements refer to more text than a file can hold.
    pub(super) fn text(
        &mut self,
        array: &Array,
        encoding: &TextEncoding,
        element: &[u8],
    ) -> Result<&[u8], Error> {
        let TextEncoding::Heap {
            source,
            base,
            offset_size,
            length_size,
        } = encoding
        else {
            return Err(array.invalid("texts in a heap", "others"));
        };
        let len = le_uint(&element[..4]) as usize;
        let address = le_uint(&element[4..4 + offset_size]);
        let index = le_uint(&element[4 + offset_size..]);
        if len == 0 || address == 0 || index == 0 {
            return Ok(&[]);
        }
        let heap = match self.heaps.get(&address) {
            Some(heap) => heap.clone(),
            None => {
                let heap = Heap::read(array, source, *base, address, *length_size)?;
                let kept: usize = self.heaps.values().map(|heap| heap.bytes.len()).sum();
                if kept > HEAP_CACHE_BYTES {
                    self.heaps.clear();
                }
                let heap = Arc::new(heap);
                self.heaps.insert(address, heap.clone());
                heap
            }
        };
        // Every text that was written has its own place: if many elements refer to one long text,
        // the file is forged.
        self.referred += len as u64;
        if self.referred > source.len().saturating_add(FREE_ARRAY_BYTES) {
            let expected = format!("texts that fit in {} bytes", source.len());
            return Err(array.invalid(expected, "texts that repeat"));
        }
        let bytes = self
            .last
            .insert(heap)
            .object(index)
            .and_then(|object| object.get(..len))
            .ok_or_else(|| {
                let expected =
                    format!("{len} bytes of text in object {index} of the heap at {address}");
                array.invalid(expected, "no such object, or a shorter one")
            })?;
        // The C library stops at a zero byte.
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(len);
        Ok(&bytes[..end])
    }
}

/// One collection of HDF5's global heap, which holds variable-length elements.
struct Heap {
    bytes: Vec<u8>,
    /// Number, start and end of each object, ascending; the collection numbers them from 1.
    objects: Vec<(u64, usize, usize)>,
}

impl Heap {
    fn read(
        array: &Array,
        source: &ByteSource,
        base: u64,
        address: u64,
        length_size: usize,
    ) -> Result<Heap, Error> {
        let invalid = |found: String| array.invalid(format!("a global heap at {address}"), found);
        let at = base.saturating_add(address);
        // Headers, like objects, end at multiples of 8.
        let header_len = (8 + length_size).next_multiple_of(8);
        let mut header = vec![0; header_len];
        source
            .read_structure(at, &mut header)
            .map_err(|error| array.at(error))?;
        if &header[..4] != b"GCOL" {
            return Err(invalid("another signature".to_owned()));
        }
        let size = le_uint(&header[8..8 + length_size]);
        if size < header_len as u64 || at.checked_add(size).is_none_or(|end| end > source.len()) {
            return Err(invalid(format!("a size of {size} bytes")));
        }
        let mut bytes = vec![0; size as usize];
        source
            .read_structure(at, &mut bytes)
            .map_err(|error| array.at(error))?;
        let mut objects = Vec::new();
        let mut at = header_len;
        while let Some(head) = bytes.get(at..at + header_len) {
            let len = le_uint(&head[8..8 + length_size]) as usize;
            let index = le_uint(&head[..2]);
            if index == 0 {
                break; // the free space at the end
            }
            let start = at + header_len;
            let Some(end) = start.checked_add(len).filter(|&end| end <= bytes.len()) else {
                return Err(invalid(format!("an object of {len} bytes")));
            };
            objects.push((index, start, end));
            at = start + len.next_multiple_of(8);
        }
        objects.sort_unstable();
        if let Some(twice) = objects.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(invalid(format!("object {} twice", twice[0].0)));
        }
        Ok(Heap { bytes, objects })
    }

    fn object(&self, index: u64) -> Option<&[u8]> {
        // A number is seldom left out.
        let likely = usize::try_from(index).ok()?.checked_sub(1)?;
        let at = match self.objects.get(likely) {
            Some(object) if object.0 == index => likely,
            _ => self
                .objects
                .binary_search_by_key(&index, |object| object.0)
                .ok()?,
        };
        let (_, start, end) = self.objects[at];
        Some(&self.bytes[start..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::ItemType;
    use crate::array::grid::Grid;
    use crate::array::memory::memory_parts;
    use crate::io::bytes::Memory;

    #[test]
    fn heap_references_that_repeat_one_long_text_are_refused() {
        const LEN: u32 = 2 << 20;
        let mut heap = b"GCOL\x01\0\0\0".to_vec();
        heap.extend((32 + u64::from(LEN)).to_le_bytes());
        heap.extend([1, 0, 1, 0, 0, 0, 0, 0]);
        heap.extend(u64::from(LEN).to_le_bytes());
        heap.resize(heap.len() + LEN as usize, b'a');
        // A heap at address 0 would count as missing.
        heap.splice(0..0, [0; 8]);
        let read = |n: usize| {
            let mut element = LEN.to_le_bytes().to_vec();
            element.extend(8u64.to_le_bytes());
            element.extend(1u32.to_le_bytes());
            let encoding = TextEncoding::Heap {
                source: ByteSource::Memory(Memory::new(heap.clone())),
                base: 0,
                offset_size: 8,
                length_size: 8,
            };
            let grid = Grid::single(vec![n as u64]).expect("a small grid");
            let parts = memory_parts("obs/a", grid, ItemType::Text(encoding), element.repeat(n));
            Array::new(parts).read_strings()
        };
        assert_eq!(read(2).expect("some are").len(), 2);
        let error = read(40).expect_err("80 MiB of 2").to_string();
        assert!(error.contains("texts that repeat"), "{error}");
    }
}
