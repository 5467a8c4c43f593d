//! Finds the elements of a dense row that are not 0.

use anndata_io::Scalar;

/// The elements of a dense row that are compared with zero at once.
const BLOCK: usize = 64;

/// Writes the columns of a row's elements that are not 0, in order. Returns their number. `columns`
/// is at least as long as the row.
pub(super) fn nonzero_columns<T: Scalar>(row: &[T], columns: &mut [u32]) -> usize {
    let mut n = 0;
    for (block, first) in row.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
        let mut mask = nonzeros(block);
        while mask != 0 {
            columns[n] = first + mask.trailing_zeros();
            n += 1;
            mask &= mask - 1;
        }
    }
    n
}

/// One bit for each element of a block: whether it is not 0. Without branches, which would often be
/// mispredicted.
#[inline]
fn nonzeros<T: Scalar>(block: &[T]) -> u64 {
    let mut flags = [0u8; BLOCK];
    for (flag, value) in flags.iter_mut().zip(block) {
        *flag = u8::from(!value.is_zero());
    }
    // Forces the flags through memory: otherwise the compiler extracts them from vector registers
    // one by one.
    let flags = std::hint::black_box(flags);
    let (words, _) = flags.as_chunks::<8>();
    words
        .iter()
        .zip((0..).step_by(8))
        .fold(0, |mask, (word, at)| {
            // Moves bit 0 of each of the eight bytes into the uppermost byte.
            let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            mask | (bits << at)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_has_a_bit_for_each_element() {
        for mask in 0..=255u8 {
            let block: Vec<i16> = (0..8).map(|bit| i16::from(mask) >> bit & 1).collect();
            assert_eq!(nonzeros(&block), u64::from(mask));
        }
    }
}
