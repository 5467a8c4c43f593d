//! Arrays over bytes in memory.

use super::chunks::{Chunks, TableEntry};
use super::decode::{Codec, CodecPipeline};
use super::grid::Grid;
use super::{ArrayParts, ItemType};
use crate::io::bytes::{ByteSource, Memory};
use crate::io::context::IoContext;

/// Makes an array over bytes in memory, row-major and native-endian, cut into chunks of any shape.
pub(crate) fn memory_parts(
    element: &str,
    grid: Grid,
    item: ItemType,
    bytes: Vec<u8>,
) -> ArrayParts {
    let chunks = Chunks::Contiguous {
        source: ByteSource::Memory(Memory::new(bytes)),
        offset: 0,
    };
    let (context, element) = (IoContext::default(), element.to_owned());
    ArrayParts::plain(context, "memory".into(), element, grid, item, chunks)
}

/// Makes an array cut into chunks, each followed by its checksum.
pub(crate) fn chunked_parts(element: &str, grid: Grid, item: ItemType, bytes: &[u8]) -> ArrayParts {
    let size = item.size();
    let (mut stored, mut entries) = (Vec::new(), Vec::new());
    for number in 0..grid.counts().iter().product() {
        let mut chunk = vec![0; grid.chunk_len() as usize * size];
        let start = grid.start(number);
        copy_block((&grid.shape, &grid.chunk, &start), size, bytes, &mut chunk);
        let offset = stored.len() as u64;
        stored.extend_from_slice(&chunk);
        stored.extend(crc32c::crc32c(&chunk).to_le_bytes());
        entries.push(TableEntry {
            chunk: number,
            offset,
            len: (stored.len() as u64 - offset) as u32,
            skip_mask: 0,
        });
    }
    let mut parts = memory_parts(element, grid, item, Vec::new());
    let source = ByteSource::Memory(Memory::new(stored));
    parts.chunks = Chunks::Table { source, entries };
    parts.pipeline = CodecPipeline::new(vec![Codec::Crc32c]);
    parts
}

/// Copies the part of an array that a chunk holds, axis by axis: `(shape, chunk, start)` are those
/// of the remaining axes.
fn copy_block(
    (shape, chunk, start): (&[u64], &[u64], &[u64]),
    size: usize,
    from: &[u8],
    to: &mut [u8],
) {
    let ([extent, shape @ ..], [most, chunk @ ..], [first, start @ ..]) = (shape, chunk, start)
    else {
        to.copy_from_slice(&from[..size]);
        return;
    };
    let step = |extents: &[u64]| extents.iter().product::<u64>() as usize * size;
    let (from_step, to_step) = (step(shape), step(chunk));
    for i in 0..(*most).min(extent - first) as usize {
        let from = &from[(*first as usize + i) * from_step..];
        let to = &mut to[i * to_step..(i + 1) * to_step];
        copy_block((shape, chunk, start), size, from, to);
    }
}
