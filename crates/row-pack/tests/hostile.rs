//! Damaged bytes cause errors or other values, and nothing worse.

use proptest::prelude::*;
use row_pack::{Level, Pack, PackBuilder, PackError, PackedRow, Value};

/// Reads everything in a pack, if it is one, as values of every type.
fn read_all(bytes: &[u8]) {
    let Ok(pack) = Pack::parse(bytes) else { return };
    for number in 0..pack.n_rows().min(1_000) {
        if let Ok(row) = pack.row(number) {
            read_row(&row, pack.n_columns());
        }
    }
}

fn read_row(row: &PackedRow<'_>, n_columns: usize) {
    fn read<T: Value>(row: &PackedRow<'_>, n_columns: usize) {
        let mut n = 0;
        let read = row.for_each_block(n_columns, |columns, values: &[T]| {
            assert_eq!(columns.len(), values.len());
            assert!(columns.iter().all(|&column| (column as usize) < n_columns));
            n += columns.len();
        });
        assert!(n <= row.len() && (read.is_err() || n == row.len()));
    }
    read::<u8>(row, n_columns);
    read::<i16>(row, n_columns);
    read::<u32>(row, n_columns);
    read::<i64>(row, n_columns);
    read::<f32>(row, n_columns);
    read::<f64>(row, n_columns);
}

fn packs() -> Vec<Vec<u8>> {
    let mut packs = Vec::new();
    for level in [Level::Bytes, Level::Bits] {
        let mut counts = PackBuilder::new::<f32>(70_000, level);
        let mut logs = PackBuilder::new::<f64>(1_000, level);
        for row in [0, 1, 31, 128, 300] {
            let columns: Vec<u32> = (0..row).map(|i| i * 3).collect();
            let wide: Vec<u32> = columns.iter().map(|column| column + 69_000).collect();
            let values: Vec<f32> = (0..row)
                .map(|i| if i % 50 == 9 { 1e6 } else { (i % 5) as f32 })
                .collect();
            counts
                .push(if row == 31 { &wide } else { &columns }, &values)
                .expect("small");
            let values: Vec<f64> = (0..row).map(|i| f64::from(i % 9).sqrt()).collect();
            logs.push(&columns, &values).expect("small");
        }
        packs.extend([counts.finish(), logs.finish()]);
    }
    packs
}

#[test]
fn packs_cut_anywhere_are_errors() {
    for pack in packs() {
        for len in 0..pack.len() {
            assert!(Pack::parse(&pack[..len]).is_err());
            if let Some(row) = pack.get(36..36 + len) {
                let _ = PackedRow::parse(row).map(|row| read_row(&row, 70_000));
            }
        }
        read_all(&pack);
    }
}

#[test]
fn packs_with_any_byte_changed_are_read_or_refused() {
    for pack in packs() {
        for at in 0..pack.len() {
            for change in [1, 0x80, 0xff] {
                let mut damaged = pack.clone();
                damaged[at] ^= change;
                read_all(&damaged);
            }
        }
    }
}

#[test]
fn claimed_lengths_are_compared_with_the_bytes() {
    // 2^32 - 1 rows, then 2^32 - 1 entries, in a few bytes.
    let mut bytes = b"RPK1\xff\xff\xff\xff".to_vec();
    bytes.extend([0; 64]);
    assert!(Pack::parse(&bytes).is_err());
    for form in 0..=2u8 {
        for value_form in 0..=3u8 {
            let mut row = vec![0xff, 0xff, 0xff, 0xff, form, value_form, 0, 0, 0, 0, 0, 0];
            row.extend([0; 64]);
            assert!(PackedRow::parse(&row).is_err());
        }
    }
}

/// A packed row of float32 with columns of 2 bytes: its header, and all bytes behind it.
fn crafted(len: u32, value_form: u8, n_dictionary: u16, n_large: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = len.to_le_bytes().to_vec();
    bytes.extend([0, value_form | 8 << 4]);
    bytes.extend(n_dictionary.to_le_bytes());
    bytes.extend(n_large.to_le_bytes());
    bytes.extend(rest);
    bytes
}

/// Reads a crafted row, which has parts of the right lengths.
fn read_crafted(bytes: &[u8]) -> Result<(), PackError> {
    let row = PackedRow::parse(bytes).expect("its parts have the right lengths");
    let (mut columns, mut values) = (vec![0; row.len()], vec![0.0f32; row.len()]);
    row.read(9, &mut columns, &mut values)
}

#[test]
fn codes_beyond_the_dictionary_are_errors() {
    let value = 1.5f32.to_le_bytes();
    let column = [3, 0];
    let row = |code: u8| [&column[..], &value, &[code]].concat();
    assert_eq!(read_crafted(&crafted(1, 1, 1, 0, &row(0))), Ok(()));
    assert!(read_crafted(&crafted(1, 1, 1, 0, &row(1))).is_err());
    let large = |code: u32| [row(0), vec![0; 4], code.to_le_bytes().to_vec()].concat();
    assert_eq!(read_crafted(&crafted(1, 1, 1, 1, &large(0))), Ok(()));
    assert!(read_crafted(&crafted(1, 1, 1, 1, &large(1))).is_err());
    assert!(read_crafted(&crafted(1, 1, 1, 1, &large(300))).is_err());
}

#[test]
fn whole_numbers_beyond_the_largest_are_errors() {
    let large = |code: u32| [vec![3, 0, 7], vec![0; 4], code.to_le_bytes().to_vec()].concat();
    assert_eq!(
        read_crafted(&crafted(1, 1, 0, 1, &large((1 << 22) - 1))),
        Ok(())
    );
    assert!(read_crafted(&crafted(1, 1, 0, 1, &large(1 << 22))).is_err());
    // In bits: 32 integers of 23 bits, the first of which is 2^22.
    let bits = |high: u8| [&[3, 0, 23], &[0, 0, high][..], &[0; 89]].concat();
    assert_eq!(read_crafted(&crafted(1, 3, 0, 0, &bits(0x20))), Ok(()));
    assert!(read_crafted(&crafted(1, 3, 0, 0, &bits(0x40))).is_err());
}

#[test]
fn positions_of_large_codes_ascend_within_the_row() {
    let two = |positions: [u32; 2]| {
        let positions = positions.map(u32::to_le_bytes).concat();
        [vec![1, 0, 2, 0, 7, 8], positions, vec![0; 8]].concat()
    };
    assert_eq!(read_crafted(&crafted(2, 1, 0, 2, &two([0, 1]))), Ok(()));
    assert!(read_crafted(&crafted(2, 1, 0, 2, &two([0, 2]))).is_err());
    assert!(read_crafted(&crafted(0, 1, 0, 1, &[0; 8])).is_err());
}

#[test]
fn dictionaries_have_their_limits() {
    let rest = [&[3, 0][..], &[0; 4 * 257], &[0]].concat();
    assert!(PackedRow::parse(&crafted(1, 1, 257, 0, &rest)).is_err());
    let rest = [&[3, 0][..], &[0; 4], &[0, 0]].concat();
    assert!(
        PackedRow::parse(&crafted(1, 2, 1, 0, &rest)).is_err(),
        "codes of 2 bytes"
    );
}

#[test]
fn packs_are_refused_by_their_headers() {
    let mut builder = PackBuilder::new::<f64>(9, Level::Bytes);
    for column in 0..3 {
        builder.push(&[column], &[1.0]).expect("small");
    }
    let good = builder.finish();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Pack::parse(bytes)
    };
    let message = |at, byte| changed(at, byte).expect_err("damaged").to_string();
    assert!(message(0, b'r').contains("the first bytes of a pack"));
    assert!(message(14, 5).ends_with("a header that ends with zeros, found 5"));
    assert!(message(12, 10).contains("a type of values"));
    assert!(message(16, 200).contains("rows in order"));
    assert!(message(24, 60).contains("rows up to the end"));
    let other_type = changed(12, 4).expect("uint32").row(0).map(|row| row.len());
    assert!(matches!(other_type, Err(PackError::Damaged { .. })));
}

proptest! {
    #[test]
    fn rows_of_any_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 12..400),
        len in 0u8..200,
        forms in (0u8..4, 0u8..5, 0u8..11),
    ) {
        // Headers that make sense reach deeper.
        bytes[..4].copy_from_slice(&[len, 0, 0, 0]);
        (bytes[4], bytes[5]) = (forms.0, forms.1 | forms.2 << 4);
        (bytes[7], bytes[9], bytes[10], bytes[11]) = (0, 0, 0, 0);
        for end in 12..=bytes.len() {
            if let Ok(row) = PackedRow::parse(&bytes[..end]) {
                read_row(&row, 1 << 16);
            }
        }
    }
}
