//! Bytes of elements put in another order: byte order, fields of records, axes. Pure functions.

use super::Record;
use crate::io::buffers::AlignedBytes;

/// Reverses the bytes of every unit.
pub(crate) fn swap_bytes(bytes: &mut [u8], unit: usize) {
    if unit > 1 {
        bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    }
}

/// Returns one field of every record.
pub(super) fn fields(records: &AlignedBytes, record: Record, field_len: usize) -> AlignedBytes {
    let records = records.as_slice().chunks_exact(record.len);
    let mut out = AlignedBytes::zeroed(records.len() * field_len);
    for (field, record_bytes) in out.as_mut_slice().chunks_exact_mut(field_len).zip(records) {
        field.copy_from_slice(&record_bytes[record.offset..record.offset + field_len]);
    }
    out
}

/// Makes a chunk row-major whose axes are stored in another order.
pub(super) fn transposed(
    stored: &AlignedBytes,
    shape: &[u64],
    axes: &[usize],
    item: usize,
) -> AlignedBytes {
    let rank = shape.len();
    // The distance between neighbours along each axis of the array, in the stored order.
    let mut stride = vec![0usize; rank];
    let mut step = item;
    for &axis in axes.iter().rev() {
        stride[axis] = step;
        step *= shape[axis] as usize;
    }
    let mut out = AlignedBytes::zeroed(stored.len());
    let mut index = vec![0u64; rank];
    for target in out.as_mut_slice().chunks_exact_mut(item) {
        let from: usize = index
            .iter()
            .zip(&stride)
            .map(|(&i, s)| i as usize * s)
            .sum();
        target.copy_from_slice(&stored.as_slice()[from..from + item]);
        for axis in (0..rank).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aligned(bytes: &[u8]) -> AlignedBytes {
        let mut out = AlignedBytes::zeroed(bytes.len());
        out.as_mut_slice().copy_from_slice(bytes);
        out
    }

    #[test]
    fn swap_bytes_reverses_each_unit() {
        let mut bytes = *b"abcdefgh";
        swap_bytes(&mut bytes, 2);
        assert_eq!(&bytes, b"badcfehg");
        swap_bytes(&mut bytes, 2);
        swap_bytes(&mut bytes, 4);
        assert_eq!(&bytes, b"dcbahgfe");
        swap_bytes(&mut bytes, 4);
        swap_bytes(&mut bytes, 8);
        assert_eq!(&bytes, b"hgfedcba");
        for unit in [0, 1] {
            let before = bytes;
            swap_bytes(&mut bytes, unit);
            assert_eq!(bytes, before, "units of {unit} stay");
        }
    }

    #[test]
    fn fields_takes_one_field_of_every_record() {
        let records = aligned(b"1ab-2cd-3ef-");
        let field = |offset, len| {
            let record = Record { len: 4, offset };
            fields(&records, record, len).as_slice().to_vec()
        };
        assert_eq!(field(0, 1), b"123");
        assert_eq!(field(1, 2), b"abcdef");
        assert_eq!(field(3, 1), b"---");
    }

    #[test]
    fn transposed_makes_columns_rows() {
        // [[0, 1, 2], [3, 4, 5]], stored column by column.
        let stored = aligned(&[0, 3, 1, 4, 2, 5]);
        let rows = transposed(&stored, &[2, 3], &[1, 0], 1);
        assert_eq!(rows.as_slice(), [0, 1, 2, 3, 4, 5]);
        let pairs = aligned(&[0, 0, 3, 3, 1, 1, 4, 4, 2, 2, 5, 5]);
        let rows = transposed(&pairs, &[2, 3], &[1, 0], 2);
        assert_eq!(rows.as_slice(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }

    /// A shape, and its axes in some order.
    fn shape_and_axes() -> impl Strategy<Value = (Vec<u64>, Vec<usize>)> {
        prop::collection::vec(1..5_u64, 1..5).prop_flat_map(|shape| {
            let axes = (0..shape.len()).collect::<Vec<_>>();
            (Just(shape), Just(axes).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn transposed_agrees_with_indices((shape, axes) in shape_and_axes(), item in 1..9_usize) {
            let count = shape.iter().product::<u64>() as usize;
            // Each element equals its row-major number, so that its value shows its index.
            let stored_shape: Vec<u64> = axes.iter().map(|&axis| shape[axis]).collect();
            let number = |index: &[u64]| {
                let places = index.iter().zip(&shape);
                places.fold(0, |number, (&i, &extent)| number * extent + i)
            };
            let mut stored = Vec::new();
            for position in 0..count as u64 {
                let mut rest = position;
                let mut index = vec![0; shape.len()];
                for (at, &axis) in axes.iter().enumerate().rev() {
                    index[axis] = rest % stored_shape[at];
                    rest /= stored_shape[at];
                }
                stored.extend(std::iter::repeat_n(number(&index) as u8, item));
            }
            let rows = transposed(&aligned(&stored), &shape, &axes, item);
            let expected: Vec<u8> = (0..count).flat_map(|i| vec![i as u8; item]).collect();
            prop_assert_eq!(rows.as_slice(), &expected[..]);
        }
    }
}
