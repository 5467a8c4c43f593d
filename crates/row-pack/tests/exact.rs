//! Rows come back bit for bit, whatever they hold.

use std::collections::BTreeMap;

use proptest::prelude::*;
use row_pack::{Level, Pack, PackBuilder, PackError, PackedRow, RowPacker, Value};

const LEVELS: [Level; 2] = [Level::Bytes, Level::Bits];

fn bits<T: Value>(values: &[T]) -> &[u8] {
    bytemuck::cast_slice(values)
}

/// Packs a row, compares it with what is unpacked and scattered, and returns the packed bytes.
fn round_trip<T: Value>(level: Level, columns: &[u32], values: &[T]) -> usize {
    let n_columns = columns.iter().max().map_or(0, |&most| most as usize + 1);
    let mut packer = RowPacker::new();
    let mut bytes = vec![1, 2, 3]; // others' bytes
    packer.pack(level, columns, values, &mut bytes);
    let bytes = &bytes[3..];
    assert!(bytes.len() <= RowPacker::most_bytes(columns.len(), n_columns, size_of::<T>()));
    let row = PackedRow::parse(bytes).expect("just packed");
    assert_eq!(
        (row.len(), row.is_empty()),
        (columns.len(), columns.is_empty())
    );
    let (mut read_columns, mut read) = (vec![9; columns.len()], vec![T::default(); values.len()]);
    row.read(n_columns, &mut read_columns, &mut read)
        .expect("just packed");
    assert_eq!(read_columns, columns);
    assert_eq!(bits(&read), bits(values));
    if n_columns <= 1 << 16 {
        let mut dense = vec![T::default(); n_columns];
        row.scatter(None, &mut dense, |value: T| value)
            .expect("just packed");
        let last: BTreeMap<u32, T> = columns
            .iter()
            .copied()
            .zip(values.iter().copied())
            .collect();
        for (column, value) in last {
            assert_eq!(bits(&dense[column as usize..][..1]), bits(&[value]));
        }
    }
    if n_columns > 0 {
        let few = row.read(n_columns - 1, &mut read_columns, &mut read);
        assert!(matches!(few, Err(PackError::Damaged { .. })));
    }
    bytes.len()
}

/// Values as files have them: counts, a few distinct numbers, or any bits.
fn values_of<T: Value>() -> impl Strategy<Value = Vec<T>> {
    let word = prop_oneof![
        4 => 0u64..8,
        1 => 0u64..300,
        1 => any::<u64>(),
    ];
    let words = prop_oneof![
        prop::collection::vec(0u64..4, 0..400),
        prop::collection::vec(word, 0..400),
        (
            prop::collection::vec(any::<u64>(), 1..12),
            prop::collection::vec(any::<prop::sample::Index>(), 0..400)
        )
            .prop_map(|(distinct, picks)| picks.iter().map(|pick| *pick.get(&distinct)).collect()),
        prop::collection::vec(any::<u64>(), 0..400),
    ];
    words.prop_map(|words| {
        let value =
            |word: &u64| bytemuck::pod_read_unaligned(&word.to_le_bytes()[..size_of::<T>()]);
        words.iter().map(value).collect()
    })
}

macro_rules! round_trips {
    ($($name:ident: $T:ty, $convert:expr;)*) => { proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        $(
            #[test]
            fn $name(
                values in values_of::<$T>(),
                steps in prop::collection::vec(0u32..200, 400),
                start in prop_oneof![Just(0u32), Just(65_000), Just(4_000_000_000)],
                sorted in any::<bool>(),
                whole in any::<bool>(),
            ) {
                let values: Vec<$T> = if whole { values.iter().map(|&v| $convert(v)).collect() } else { values };
                let mut column = start;
                let mut columns: Vec<u32> = steps[..values.len()].iter().map(|step| { column += step; column }).collect();
                if !sorted {
                    columns.reverse();
                }
                for level in LEVELS {
                    round_trip(level, &columns, &values);
                }
            }
        )*
    } };
}

round_trips! {
    uint8_rows_round_trip: u8, |v: u8| v;
    int8_rows_round_trip: i8, |v: i8| v;
    uint16_rows_round_trip: u16, |v: u16| v % 300;
    int16_rows_round_trip: i16, |v: i16| v;
    uint32_rows_round_trip: u32, |v: u32| v % 70_000;
    int32_rows_round_trip: i32, |v: i32| v % 300;
    uint64_rows_round_trip: u64, |v: u64| v % 5_000_000;
    int64_rows_round_trip: i64, |v: i64| v % 300;
    float32_rows_round_trip: f32, |v: f32| (v.to_bits() % 70_000) as f32;
    float64_rows_round_trip: f64, |v: f64| (v.to_bits() % 5_000_000) as f64;
}

proptest! {
    #[test]
    fn pack_returns_its_rows_in_any_order(
        rows in prop::collection::vec(
            prop::collection::btree_map(0u32..5_000, any::<f32>(), 0..200), 0..20),
        level in prop::sample::select(LEVELS.to_vec()),
    ) {
        let mut builder = PackBuilder::new::<f32>(5_000, level);
        for row in &rows {
            let (columns, values): (Vec<u32>, Vec<f32>) = row.iter().unzip();
            builder.push(&columns, &values).expect("it is small");
        }
        let n_bytes = builder.n_bytes();
        let pack = Pack::parse(builder.finish()).expect("just packed");
        prop_assert_eq!((pack.n_rows(), pack.as_bytes().len()), (rows.len(), n_bytes));
        for (number, expected) in rows.iter().enumerate().rev() {
            let row = pack.row(number).expect("just packed");
            let (mut columns, mut values) = (vec![0; row.len()], vec![0.0f32; row.len()]);
            row.read(5_000, &mut columns, &mut values).expect("just packed");
            let found: BTreeMap<u32, u32> = columns.into_iter().zip(values.iter().map(|v| v.to_bits())).collect();
            let expected: BTreeMap<u32, u32> = expected.iter().map(|(&c, v)| (c, v.to_bits())).collect();
            prop_assert_eq!(found, expected);
        }
        let beyond = pack.row(rows.len()).map(|row| row.len());
        prop_assert_eq!(beyond, Err(PackError::OutOfBounds { row: rows.len(), n_rows: rows.len() }));
    }
}

#[test]
fn counts_take_fewer_bytes_at_each_level() {
    let columns: Vec<u32> = (0..1_000).map(|i| i * 20 + i % 7).collect();
    let counts: Vec<f32> = (0..1_000)
        .map(|i| {
            if i % 100 == 7 {
                300.0
            } else {
                (i % 4 + 1) as f32
            }
        })
        .collect();
    let size = |level| round_trip(level, &columns, &counts);
    assert_eq!(size(Level::Bytes), 12 + 2_000 + 1_000 + 10 * 8);
    assert!(size(Level::Bits) < 1_200, "{}", size(Level::Bits));
}

#[test]
fn few_distinct_values_take_a_code_each() {
    let columns: Vec<u32> = (0..1_000).map(|i| i * 20).collect();
    let logs: Vec<f64> = (0..1_000).map(|i| f64::from(i % 30 + 1).ln()).collect();
    let size = |level| round_trip(level, &columns, &logs);
    assert_eq!(size(Level::Bytes), 12 + 2_000 + 1_000 + 30 * 8);
    assert!(size(Level::Bits) < 1_800, "{}", size(Level::Bits));
    // Distinct values are stored as they are.
    let logs: Vec<f64> = (0..1_000).map(|i| f64::from(i + 2).ln()).collect();
    assert_eq!(
        round_trip(Level::Bytes, &columns, &logs),
        12 + 2_000 + 8_000
    );
}

#[test]
fn scatter_goes_through_the_map_and_leaves_columns_out() {
    let mut packer = RowPacker::new();
    let mut bytes = Vec::new();
    packer.pack(Level::Bits, &[0, 1, 3], &[5u16, 6, 7], &mut bytes);
    let row = PackedRow::parse(&bytes).expect("just packed");
    let mut dense = [0.5; 3];
    row.scatter(Some(&[2, u32::MAX, 1, 0]), &mut dense, |value: u16| {
        f32::from(value)
    })
    .expect("just packed");
    assert_eq!(dense, [7.0, 0.5, 5.0]);
    // A map of three columns: the row is of a wider matrix.
    assert!(
        row.scatter(Some(&[0, 1, 2]), &mut dense, |value: u16| f32::from(value))
            .is_err()
    );
}

#[test]
fn values_of_another_type_are_an_error() {
    let mut packer = RowPacker::new();
    let mut bytes = Vec::new();
    packer.pack(Level::Bytes, &[0], &[1.0f32], &mut bytes);
    let row = PackedRow::parse(&bytes).expect("just packed");
    let error = row
        .read(1, &mut [0], &mut [0u32])
        .expect_err("another type");
    assert_eq!(
        error.to_string(),
        "the packed values are float32, not uint32"
    );
}

#[test]
fn packer_forgets_the_row_before() {
    let mut packer = RowPacker::new();
    let rows = [
        (vec![1, 2, 3], vec![1.0f32, 300.0, 70_000.0]),
        (vec![4], vec![4.0]),
        (vec![0, 9], vec![0.5, 0.25]),
        (vec![7], vec![7.0]),
    ];
    for level in LEVELS {
        let packed = rows.iter().map(|(columns, values)| {
            let mut bytes = Vec::new();
            packer.pack(level, columns, values, &mut bytes);
            bytes
        });
        let packed: Vec<Vec<u8>> = packed.collect();
        for ((columns, values), bytes) in rows.iter().zip(&packed) {
            let mut fresh = Vec::new();
            RowPacker::new().pack(level, columns, values, &mut fresh);
            assert_eq!(*bytes, fresh);
        }
    }
}

#[test]
fn pack_knows_the_type_of_its_values() {
    let mut builder = PackBuilder::new::<i16>(9, Level::Bytes);
    builder.push(&[1], &[-1i16]).expect("small");
    let pack = Pack::parse(builder.finish()).expect("just packed");
    assert_eq!(pack.value_type(), "int16");
}

#[test]
fn builder_begins_another_pack_when_one_is_finished() {
    let mut builder = PackBuilder::new::<i16>(9, Level::Bits);
    builder.push(&[1, 8], &[-1i16, 7]).expect("small");
    let first = builder.finish();
    assert_eq!(builder.n_rows(), 0);
    builder.push(&[1, 8], &[-1i16, 7]).expect("small");
    assert_eq!(builder.finish(), first);
    builder.push(&[2], &[3i16]).expect("small");
    builder.restart::<f64>(3, Level::Bytes);
    builder.push(&[2], &[0.5]).expect("small");
    let pack = Pack::parse(builder.finish()).expect("just packed");
    let found = (pack.value_type(), pack.n_columns(), pack.n_rows());
    assert_eq!(found, ("float64", 3, 1));
}

#[test]
#[should_panic(expected = "all rows of a pack have one type")]
fn value_of_another_type_panics() {
    let _ = PackBuilder::new::<u8>(3, Level::Bytes).push(&[2], &[1i8]);
}

#[test]
#[should_panic(expected = "columns are below 3")]
fn column_beyond_the_matrix_panics() {
    let _ = PackBuilder::new::<u8>(3, Level::Bytes).push(&[3], &[1u8]);
}
