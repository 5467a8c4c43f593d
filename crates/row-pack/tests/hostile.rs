//! Damaged bytes cause errors or other values, and nothing worse.

use proptest::prelude::*;
use row_pack::{Level, Pack, PackBuilder, PackedRow, Value};

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
        let mut counts = PackBuilder::<f32>::new(70_000, level);
        let mut logs = PackBuilder::<f64>::new(1_000, level);
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
