//! Streams of small integers in as few bits as each block of them needs.
//!
//! A block has 128 integers, and one width. The last block of a stream is cut into parts of 32,
//! each with a width of its own; the last part is filled up. The widths come first, one byte each,
//! then the packed integers. The crate `bitpacking` packs them, with the vector instructions of
//! x86-64 (SSE3) and arm64 (NEON), and otherwise with plain ones in the same format.

use bitpacking::{BitPacker, BitPacker1x, BitPacker4x};

use crate::error::PackError;

/// The integers of a block.
pub(crate) const BLOCK: usize = BitPacker4x::BLOCK_LEN;
/// The integers of a part of the last block.
const PART: usize = BitPacker1x::BLOCK_LEN;

/// The number of widths of a stream of `len` integers.
pub(crate) fn n_widths(len: usize) -> usize {
    len / BLOCK + (len % BLOCK).div_ceil(PART)
}

/// Moves the codes of each block that cost more as part of it than apart into `large`, with their
/// positions, and leaves zeros. A code apart takes `bytes_apart` bytes.
pub(crate) fn set_apart(codes: &mut [u32], bytes_apart: usize, large: &mut Vec<(u32, u32)>) {
    let n_blocks = codes.len() / BLOCK;
    let (blocks, rest) = codes.split_at_mut(n_blocks * BLOCK);
    let blocks = blocks.chunks_exact_mut(BLOCK).map(|block| (block, BLOCK));
    let parts = rest.chunks_mut(PART).map(|part| (part, PART));
    let mut start = 0;
    for (codes, integers) in blocks.chain(parts) {
        let width = best_width(codes, integers, bytes_apart);
        let most = u32::MAX.checked_shr(32 - width).unwrap_or(0);
        if codes.iter().any(|&code| code > most) {
            move_above(most, codes, start, large);
        }
        start += codes.len() as u32;
    }
}

/// Moves the codes above `most` into `large` and leaves zeros. The first code has position `start`.
pub(crate) fn move_above(most: u32, codes: &mut [u32], start: u32, large: &mut Vec<(u32, u32)>) {
    for (code, position) in codes.iter_mut().zip(start..) {
        if *code > most {
            large.push((position, std::mem::take(code)));
        }
    }
}

/// The width at which the codes of a block of `integers` take the fewest bytes, with those apart.
fn best_width(codes: &[u32], integers: usize, bytes_apart: usize) -> u32 {
    let all = codes.iter().fold(0, |all, code| all | code);
    let widest = 32 - all.leading_zeros();
    let (mut best, mut least) = (widest, widest as usize * integers / 8);
    for width in (0..widest).rev() {
        let most = (1 << width) - 1;
        let above = codes.iter().map(|&code| u32::from(code > most));
        let apart = above.sum::<u32>() as usize * bytes_apart;
        // At a smaller width, more codes stand apart.
        if apart > least {
            break;
        }
        let bytes = width as usize * integers / 8 + apart;
        if bytes <= least {
            (best, least) = (width, bytes);
        }
    }
    best
}

/// Packs and unpacks blocks, by the best instructions of this machine.
#[derive(Clone, Copy)]
pub(crate) struct Packers {
    block: BitPacker4x,
    part: BitPacker1x,
}

impl Packers {
    pub(crate) fn new() -> Packers {
        Packers {
            block: BitPacker4x::new(),
            part: BitPacker1x::new(),
        }
    }

    /// Appends a stream of integers. If they are `sorted`, they ascend, and their differences are
    /// packed.
    pub(crate) fn pack(self, integers: &[u32], sorted: bool, out: &mut Vec<u8>) {
        let widths = out.len()..out.len() + n_widths(integers.len());
        out.resize(widths.end, 0);
        let mut before = sorted.then_some(0);
        let (blocks, rest) = integers.as_chunks::<BLOCK>();
        for (at, block) in widths.clone().zip(blocks) {
            out[at] = pack_block(self.block, block, &mut before, out);
        }
        for (at, part) in widths.skip(blocks.len()).zip(rest.chunks(PART)) {
            // Repeating the last one adds no bits to the differences.
            let mut filled = [part[part.len() - 1]; PART];
            filled[..part.len()].copy_from_slice(part);
            out[at] = pack_block(self.part, &filled, &mut before, out);
        }
    }
}

/// Appends the integers of one block. Sorted ones are packed by their differences from the one
/// `before`, which becomes the last of them. Returns the width.
fn pack_block<P: BitPacker>(
    packer: P,
    integers: &[u32],
    before: &mut Option<u32>,
    out: &mut Vec<u8>,
) -> u8 {
    let width = match *before {
        None => packer.num_bits(integers),
        Some(before) => packer.num_bits_sorted(before, integers),
    };
    let start = out.len();
    out.resize(start + P::compressed_block_size(width), 0);
    let place = &mut out[start..];
    match before {
        None => packer.compress(integers, place, width),
        Some(before) => {
            let initial = std::mem::replace(before, integers[P::BLOCK_LEN - 1]);
            packer.compress_sorted(initial, integers, place, width)
        }
    };
    width
}

/// Reads a stream block by block.
#[derive(Clone)]
pub(crate) struct Blocks<'a> {
    packers: Packers,
    widths: &'a [u8],
    packed: &'a [u8],
    /// For sorted integers, the last one that was read, or 0.
    before: Option<u32>,
}

impl<'a> Blocks<'a> {
    /// Takes a stream of `len` integers from the front of `bytes`. Returns it, and the bytes after
    /// it.
    pub(crate) fn take(
        bytes: &'a [u8],
        len: usize,
        sorted: bool,
    ) -> Result<(Blocks<'a>, &'a [u8]), PackError> {
        let short = || PackError::damaged("a whole stream of integers", bytes.len());
        let (widths, rest) = bytes.split_at_checked(n_widths(len)).ok_or_else(short)?;
        let mut n_bytes = 0;
        for (number, &width) in widths.iter().enumerate() {
            if width > 32 {
                return Err(PackError::damaged("a width of at most 32 bits", width));
            }
            n_bytes += if number < len / BLOCK {
                BitPacker4x::compressed_block_size(width)
            } else {
                BitPacker1x::compressed_block_size(width)
            };
        }
        let (packed, rest) = rest.split_at_checked(n_bytes).ok_or_else(short)?;
        let blocks = Blocks {
            packers: Packers::new(),
            widths,
            packed,
            before: sorted.then_some(0),
        };
        Ok((blocks, rest))
    }

    /// Reads the next integers: `n` is [`BLOCK`], or fewer for the last block.
    #[inline]
    pub(crate) fn next(&mut self, n: usize, out: &mut [u32; BLOCK]) {
        let Packers { block, part } = self.packers;
        if n == BLOCK {
            return self.unpack_block(block, out);
        }
        let (parts, _) = out.as_chunks_mut::<PART>();
        for out in &mut parts[..n.div_ceil(PART)] {
            self.unpack_block(part, out);
        }
    }

    /// Reads the next block of a packer. `take` has seen that its bytes are there.
    #[inline]
    fn unpack_block<P: BitPacker>(&mut self, packer: P, out: &mut [u32]) {
        let (&width, widths) = self.widths.split_first().expect("a block is left");
        let (bytes, packed) = self.packed.split_at(P::compressed_block_size(width));
        (self.widths, self.packed) = (widths, packed);
        match &mut self.before {
            None => packer.decompress(bytes, out, width),
            Some(before) => {
                let n_bytes = packer.decompress_sorted(*before, bytes, out, width);
                *before = out[P::BLOCK_LEN - 1];
                n_bytes
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unpack(bytes: &[u8], len: usize, sorted: bool) -> Vec<u32> {
        let (mut blocks, rest) = Blocks::take(bytes, len, sorted).expect("just packed");
        assert!(rest.is_empty());
        let (mut out, mut block) = (Vec::new(), [0; BLOCK]);
        while out.len() < len {
            let n = (len - out.len()).min(BLOCK);
            blocks.next(n, &mut block);
            out.extend_from_slice(&block[..n]);
        }
        out
    }

    proptest! {
        #[test]
        fn streams_round_trip(
            mut integers in prop::collection::vec(any::<u32>(), 0..700),
            shift in 0u32..32,
        ) {
            integers.iter_mut().for_each(|integer| *integer >>= shift);
            let packers = Packers::new();
            let mut bytes = Vec::new();
            packers.pack(&integers, false, &mut bytes);
            prop_assert_eq!(&unpack(&bytes, integers.len(), false), &integers);
            integers.sort_unstable();
            bytes.clear();
            packers.pack(&integers, true, &mut bytes);
            prop_assert_eq!(&unpack(&bytes, integers.len(), true), &integers);
        }

        #[test]
        fn damaged_streams_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            len in 0usize..400,
            sorted in any::<bool>(),
        ) {
            if let Ok((mut blocks, _)) = Blocks::take(&bytes, len, sorted) {
                let mut block = [0; BLOCK];
                for start in (0..len).step_by(BLOCK) {
                    blocks.next((len - start).min(BLOCK), &mut block);
                }
            }
        }
    }

    #[test]
    fn zeros_take_their_widths_only() {
        let mut bytes = Vec::new();
        Packers::new().pack(&[0; 300], false, &mut bytes);
        assert_eq!(bytes.len(), n_widths(300));
    }
}
