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
/// The most bytes of a packed block.
const MOST_BYTES: usize = 4 * BLOCK;

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
            for (code, position) in codes.iter_mut().zip(start..) {
                if *code > most {
                    large.push((position, std::mem::take(code)));
                }
            }
        }
        start += codes.len() as u32;
    }
}

/// The width at which the codes of a block of `integers` take the fewest bytes, those apart included.
fn best_width(codes: &[u32], integers: usize, bytes_apart: usize) -> u32 {
    let mut n_of_width = [0u16; 33];
    for code in codes {
        n_of_width[(32 - code.leading_zeros()) as usize] += 1;
    }
    let (mut best, mut least, mut n_above) = (32, usize::MAX, 0);
    for width in (0..=32).rev() {
        let bytes = width * integers / 8 + n_above * bytes_apart;
        if bytes <= least {
            (best, least) = (width as u32, bytes);
        }
        n_above += usize::from(n_of_width[width]);
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
        let (packer, part_packer) = (self.block, self.part);
        let mut at = out.len();
        out.resize(at + n_widths(integers.len()), 0);
        let (mut buffer, mut before) = ([0; MOST_BYTES], 0);
        let (blocks, rest) = integers.as_chunks::<BLOCK>();
        for block in blocks {
            let (width, len);
            if sorted {
                width = packer.num_bits_sorted(before, block);
                len = packer.compress_sorted(before, block, &mut buffer, width);
                before = block[BLOCK - 1];
            } else {
                width = packer.num_bits(block);
                len = packer.compress(block, &mut buffer, width);
            }
            (out[at], at) = (width, at + 1);
            out.extend_from_slice(&buffer[..len]);
        }
        for part in rest.chunks(PART) {
            // Repeating the last one adds no bits to the differences.
            let last = part[part.len() - 1];
            let mut filled = [last; PART];
            filled[..part.len()].copy_from_slice(part);
            let (width, len);
            if sorted {
                width = part_packer.num_bits_sorted(before, &filled);
                len = part_packer.compress_sorted(before, &filled, &mut buffer, width);
                before = last;
            } else {
                width = part_packer.num_bits(&filled);
                len = part_packer.compress(&filled, &mut buffer, width);
            }
            (out[at], at) = (width, at + 1);
            out.extend_from_slice(&buffer[..len]);
        }
    }
}

/// Reads a stream block by block.
#[derive(Clone)]
pub(crate) struct Blocks<'a> {
    packers: Packers,
    widths: &'a [u8],
    packed: &'a [u8],
    sorted: bool,
    before: u32,
}

impl<'a> Blocks<'a> {
    /// Takes a stream of `len` integers from the front of `bytes`. Returns it, and the
    /// bytes after it.
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
            let integers = if number < len / BLOCK { BLOCK } else { PART };
            n_bytes += usize::from(width) * integers / 8;
        }
        let (packed, rest) = rest.split_at_checked(n_bytes).ok_or_else(short)?;
        let blocks = Blocks {
            packers: Packers::new(),
            widths,
            packed,
            sorted,
            before: 0,
        };
        Ok((blocks, rest))
    }

    /// Reads the next integers: `n` is [`BLOCK`], or fewer for the last block.
    #[inline]
    pub(crate) fn next(&mut self, n: usize, out: &mut [u32; BLOCK]) {
        if n == BLOCK {
            let (width, bytes) = self.advance(BLOCK);
            let packer = self.packers.block;
            if self.sorted {
                packer.decompress_sorted(self.before, bytes, out, width);
                self.before = out[BLOCK - 1];
            } else {
                packer.decompress(bytes, out, width);
            }
            return;
        }
        let (parts, _) = out.as_chunks_mut::<PART>();
        for part in &mut parts[..n.div_ceil(PART)] {
            let (width, bytes) = self.advance(PART);
            let packer = self.packers.part;
            if self.sorted {
                packer.decompress_sorted(self.before, bytes, part, width);
                self.before = part[PART - 1];
            } else {
                packer.decompress(bytes, part, width);
            }
        }
    }

    /// The width and the bytes of the next `integers`. `take` has seen that they are there.
    fn advance(&mut self, integers: usize) -> (u8, &'a [u8]) {
        let (width, widths) = self.widths.split_first().expect("a block is left");
        let (bytes, packed) = self.packed.split_at(usize::from(*width) * integers / 8);
        (self.widths, self.packed) = (widths, packed);
        (*width, bytes)
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
