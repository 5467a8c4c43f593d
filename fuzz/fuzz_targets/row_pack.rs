//! Packs of any bytes; and rows of any entries, which must come back bit by bit.
#![no_main]

use row_pack::{Level, Pack, PackBuilder, PackedRow, Value};

libfuzzer_sys::fuzz_target!(|input: (&[u8], Vec<(u32, u64)>, bool)| {
    let (bytes, entries, is_sorted) = input;
    if let Ok(row) = PackedRow::parse(bytes) {
        read_all(&row, 1 << 20);
    }
    if let Ok(pack) = Pack::parse(bytes) {
        let rows = (0..pack.n_rows().min(100)).filter_map(|row| pack.row(row).ok());
        rows.for_each(|row| read_all(&row, pack.n_columns()));
    }
    let mut entries = entries;
    entries.iter_mut().for_each(|(column, _)| *column %= u32::MAX);
    if is_sorted {
        entries.sort_unstable();
    }
    let (columns, words): (Vec<u32>, Vec<u64>) = entries.into_iter().unzip();
    for level in [Level::Bytes, Level::Bits] {
        round_trip(level, &columns, &words);
        round_trip(level, &columns, &words.iter().map(|&word| word as u8 as f32).collect::<Vec<_>>());
        round_trip(level, &columns, &words.iter().map(|&word| f64::from_bits(word)).collect::<Vec<_>>());
        round_trip(level, &columns, &words.iter().map(|&word| word as i16).collect::<Vec<_>>());
    }
});

fn read_all(row: &PackedRow<'_>, n_columns: usize) {
    let _ = row.for_each_block(n_columns, |_, _: &[u8]| {});
    let _ = row.for_each_block(n_columns, |_, _: &[f32]| {});
    let _ = row.for_each_block(n_columns, |_, _: &[i64]| {});
    let _ = row.for_each_block(n_columns, |_, _: &[f64]| {});
}

fn round_trip<T: Value>(level: Level, columns: &[u32], values: &[T]) {
    let mut builder = PackBuilder::new::<T>(u32::MAX, level);
    builder.push(columns, values).expect("it is small");
    let pack = Pack::parse(builder.finish()).expect("just packed");
    let row = pack.row(0).expect("just packed");
    let (mut found, mut found_values) = (vec![0; row.len()], vec![T::default(); row.len()]);
    row.read(pack.n_columns(), &mut found, &mut found_values).expect("just packed");
    let bits = |values: &[T]| values.iter().map(|value| value.to_word()).collect::<Vec<_>>();
    assert_eq!((found, bits(&found_values)), (columns.to_vec(), bits(values)));
}
