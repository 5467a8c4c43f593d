//! Packed rows are those of the file, bit for bit, with its errors, and each chunk is decoded once.

use std::num::NonZeroU64;
use std::sync::Arc;

use anndata_io::{
    AnnDataSource, DType, IoContext, IoOptions, LayerKey, MatrixSource, MemoryStore, PackRoom,
    Packs, ReadScratch, RowBuffer, RowSink, Values, ValuesRef,
};
use proptest::prelude::*;
use row_pack::Level;

/// Rows as columns and the bytes of values; sparse rows are read in place if `in_place`.
#[derive(Default)]
struct Rows {
    rows: Vec<(Vec<u32>, Vec<u8>)>,
    in_place: bool,
}

impl RowSink for Rows {
    fn dense(&mut self, row: usize, start: usize, values: ValuesRef<'_>) {
        let at = start * values.dtype().size();
        let (_, out) = &mut self.rows[row];
        let end = at + values.as_bytes().len();
        out.resize(out.len().max(end), 0);
        out[at..end].copy_from_slice(values.as_bytes());
    }

    fn sparse(&mut self, row: usize, columns: &[u32], values: ValuesRef<'_>) {
        self.rows[row] = (columns.to_vec(), values.as_bytes().to_vec());
    }

    fn row_buffer(&mut self, row: usize, len: usize, dtype: DType) -> Option<RowBuffer<'_>> {
        let (columns, values) = &mut self.rows[row];
        columns.resize(len, 0);
        values.resize(len * dtype.size(), 0);
        self.in_place.then_some(RowBuffer { columns, values })
    }
}

type Read = Result<Vec<(Vec<u32>, Vec<u8>)>, String>;

fn read(matrix: &MatrixSource, rows: &[u64], scratch: &mut ReadScratch, in_place: bool) -> Read {
    let mut sink = Rows {
        rows: vec![Default::default(); rows.len()],
        in_place,
    };
    let read = matrix.read_rows(rows, scratch, &mut sink);
    read.map(|()| sink.rows).map_err(|error| error.to_string())
}

fn opened(store: &MemoryStore, options: IoOptions) -> (MatrixSource, IoContext) {
    let context = IoContext::new(options);
    let file = AnnDataSource::from(store.clone()).open(&context);
    let matrix = file.expect("a valid store").layer(&LayerKey::X);
    (matrix.expect("readable").expect("it has X"), context)
}

/// No cache of chunks, no packs of reads by index.
fn bare() -> IoOptions {
    IoOptions::new().cache_bytes(0).pack_bytes(0)
}

fn named(n_rows: usize, n_columns: usize) -> MemoryStore {
    let names = |n| (0..n).map(|i: usize| i.to_string()).collect::<Vec<_>>();
    let (obs, var) = (names(n_rows), names(n_columns));
    let refs = |names: &[String]| -> Vec<&'static str> {
        let leak = |name: &String| &*Box::leak(name.clone().into_boxed_str());
        names.iter().map(leak).collect()
    };
    MemoryStore::new("cells")
        .dataframe("obs", &refs(&obs))
        .dataframe("var", &refs(&var))
}

fn chunk<const N: usize>(extents: [u64; N]) -> [NonZeroU64; N] {
    extents.map(|extent| NonZeroU64::new(extent).expect("not 0"))
}

/// The stored entries of each row, as column and number of the value.
type Entries = Vec<Vec<(i64, u8)>>;

const N_COLUMNS: usize = 9;

/// Values whose bits must survive: whole numbers, fractions, zeros of both signs, NaN.
fn values(dtype: usize, numbers: impl Iterator<Item = u8>) -> Values {
    let float = |number| match number {
        0 => f64::NAN,
        1 => -0.0,
        2 => 0.0,
        3 => 1e300,
        _ if number % 3 == 0 => f64::from(number) / 7.0,
        _ => f64::from(number),
    };
    match dtype {
        0 => Values::F32(numbers.map(|n| float(n) as f32).collect()),
        1 => Values::F64(numbers.map(float).collect()),
        2 => Values::I16(numbers.map(|n| i16::from(n) * 90 - 9000).collect()),
        _ => Values::U8(numbers.collect()),
    }
}

fn csr(entries: &Entries, dtype: usize, wide: bool, chunks: [u64; 2]) -> MemoryStore {
    let mut indptr = vec![0];
    for row in entries {
        indptr.push(indptr[indptr.len() - 1] + row.len() as i64);
    }
    let columns: Vec<i64> = entries.iter().flatten().map(|entry| entry.0).collect();
    let narrow = columns.iter().map(|&column| column as i32).collect();
    let data = values(dtype, entries.iter().flatten().map(|entry| entry.1));
    let (n, shape) = (
        columns.len() as u64,
        [entries.len() as u64, N_COLUMNS as u64],
    );
    let store = named(entries.len(), N_COLUMNS).csr("X", shape, indptr, narrow, data);
    let store = match wide {
        true => store.array("X/indices", &[n], Values::I64(columns)),
        false => store,
    };
    store
        .chunks("X/indices", &chunk([chunks[0]]))
        .chunks("X/data", &chunk([chunks[1]]))
}

/// Reads calls of rows with packs, and compares each with a read without.
fn compare(store: &MemoryStore, calls: &[Vec<u64>]) -> Result<(), TestCaseError> {
    let (plain, _context) = opened(store, bare());
    let expected: Vec<Read> = calls
        .iter()
        .map(|rows| read(&plain, rows, &mut ReadScratch::default(), false))
        .collect();
    let check = |matrix: &MatrixSource, scratch: &mut ReadScratch, what: &str| {
        for (number, (rows, expected)) in calls.iter().zip(&expected).enumerate() {
            let found = read(matrix, rows, scratch, number % 2 == 0);
            prop_assert_eq!(&found, expected, "{}: rows {:?}", what, rows);
        }
        Ok(())
    };
    for (level, room, packing) in [
        (Level::Bytes, 1 << 20, 1 << 20),
        (Level::Bits, 1 << 20, 30),
        (Level::Bits, 200, 200),
        (Level::Bits, 0, 0),
    ] {
        for scan in [false, true] {
            let (matrix, _context) = opened(store, bare());
            let room = Arc::new(PackRoom::new(room));
            room.set_packing(packing);
            let packs = Packs::new([&matrix], level, &room);
            let mut scratch = match scan {
                true => ReadScratch::for_scan(),
                false => ReadScratch::default(),
            };
            scratch.set_packs(Some(packs.clone()));
            for _ in 0..2 {
                check(&matrix, &mut scratch, &format!("{level:?}, {room:?}"))?;
            }
            prop_assert_eq!(packs.bytes(), room.bytes());
            prop_assert!(room.is_full() || packs.n_elements() <= matrix.n_stored());
        }
    }
    // Reads by index pack by themselves.
    let (matrix, _context) = opened(store, IoOptions::new().cache_bytes(0));
    for _ in 0..3 {
        check(&matrix, &mut ReadScratch::default(), "by index")?;
    }
    Ok(())
}

/// Calls of ascending rows, some with repeats.
fn calls() -> impl Strategy<Value = Vec<Vec<prop::sample::Index>>> {
    prop::collection::vec(
        prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        1..8,
    )
}

fn rows_of(calls: &[Vec<prop::sample::Index>], n_rows: usize) -> Vec<Vec<u64>> {
    let rows = |call: &Vec<prop::sample::Index>| {
        let mut rows: Vec<u64> = call.iter().map(|row| row.index(n_rows) as u64).collect();
        rows.sort_unstable();
        rows
    };
    calls.iter().map(rows).collect()
}

proptest! {
    #[test]
    fn packed_rows_of_csr_are_those_of_the_file(
        // A few columns do not exist.
        entries in prop::collection::vec(
            prop::collection::vec((prop_oneof![40 => 0..9_i64, 1 => -1..11_i64, 1 => Just(1 << 33)], any::<u8>()), 0..7),
            1..12,
        ),
        dtype in 0..4_usize,
        wide in any::<bool>(),
        chunks in [1..9_u64, 1..9_u64],
        calls in calls(),
    ) {
        compare(&csr(&entries, dtype, wide, chunks), &rows_of(&calls, entries.len()))?;
    }

    #[test]
    fn packed_rows_of_dense_matrices_are_those_of_the_file(
        numbers in prop::collection::vec(prop_oneof![3 => Just(2_u8), 2 => any::<u8>()], 1..90),
        dtype in 0..4_usize,
        chunks in [1..5_u64, 1..6_u64],
        calls in calls(),
    ) {
        let n_rows = numbers.len().div_ceil(5);
        let numbers = (0..n_rows * 5).map(|i| numbers[i % numbers.len()]);
        let store = named(n_rows, 5)
            .array("X", &[n_rows as u64, 5], values(dtype, numbers))
            .chunks("X", &chunk(chunks));
        compare(&store, &rows_of(&calls, n_rows))?;
    }
}

/// 60 rows of three entries, in chunks of 10 entries.
fn regular() -> MemoryStore {
    let row = |row: i64| (0..3).map(move |i| ((row + i * 2) % 9, (row % 50) as u8 + 4));
    let sorted = |number| {
        let mut row: Vec<(i64, u8)> = row(number).collect();
        row.sort_unstable();
        row
    };
    csr(&(0..60).map(sorted).collect(), 0, false, [10, 10])
}

#[test]
fn every_chunk_is_decoded_once_in_any_order() {
    let (matrix, context) = opened(&regular(), bare());
    let room = Arc::new(PackRoom::new(1 << 20));
    let packs = Packs::new([&matrix], Level::Bits, &room);
    assert!(!packs.is_complete());
    std::thread::scope(|scope| {
        for first in 0..4 {
            let (matrix, packs) = (&matrix, packs.clone());
            scope.spawn(move || {
                let mut scratch = ReadScratch::for_scan();
                scratch.set_packs(Some(packs));
                for row in (0..60).map(|i| (i * 37 + first * 11) % 60) {
                    read(matrix, &[row], &mut scratch, false).expect("it exists");
                }
            });
        }
    });
    assert_eq!(context.decoded_chunks(), 2 * 18);
    assert!(packs.is_complete());
    assert_eq!((packs.n_elements(), packs.bytes()), (180, room.bytes()));
    drop(packs);
    assert_eq!(room.bytes(), 0);
}

#[test]
fn reads_by_index_pack_a_band_when_it_is_wanted_the_second_time() {
    let (matrix, context) = opened(&regular(), IoOptions::new().cache_bytes(0));
    let mut decodes = |row: u64| {
        let before = context.decoded_chunks();
        read(&matrix, &[row], &mut ReadScratch::default(), false).expect("it exists");
        context.decoded_chunks() - before
    };
    // Rows 0 to 2 lie in the first band, row 3 in two.
    assert_eq!([0, 1, 2, 0, 1].map(&mut decodes), [2, 2, 0, 0, 0]);
    assert_eq!([3, 3, 4, 5].map(&mut decodes), [4, 2, 0, 0]);
}

#[test]
fn packs_that_do_not_fit_are_not_made() {
    let (matrix, context) = opened(&regular(), IoOptions::new().cache_bytes(0).pack_bytes(300));
    let mut scratch = ReadScratch::default();
    for _ in 0..3 {
        for row in 0..60 {
            read(&matrix, &[row], &mut scratch, false).expect("it exists");
        }
    }
    let before = context.decoded_chunks();
    for row in 0..60 {
        read(&matrix, &[row], &mut scratch, false).expect("it exists");
        scratch.release_chunks();
    }
    // Two chunks for each row, and four for the 12 rows that lie in two bands: some are packed.
    let decoded = context.decoded_chunks() - before;
    assert!((100..144).contains(&decoded), "{decoded}");
}

#[test]
fn closed_context_reads_no_packs() {
    let (matrix, context) = opened(&regular(), bare());
    let packs = Packs::new([&matrix], Level::Bits, &Arc::new(PackRoom::new(1 << 20)));
    let mut scratch = ReadScratch::default();
    scratch.set_packs(Some(packs));
    read(&matrix, &[0], &mut scratch, false).expect("it is open");
    context.close();
    scratch.release_chunks();
    let error = read(&matrix, &[0], &mut scratch, false).expect_err("it was closed");
    assert!(error.contains("closed"), "{error}");
}

#[test]
fn dense_band_that_does_not_fit_is_packed_in_passes() {
    let store = named(80, 100)
        .array("X", &[80, 100], values(3, (0..8000).map(|i| i as u8 | 1)))
        .chunks("X", &chunk([40, 50]));
    let plain = opened(&store, bare()).0;
    let rows: Vec<u64> = (0..40).collect();
    let expected = read(&plain, &rows, &mut ReadScratch::default(), false);
    // Room for the nonzeros of this many rows, of 16 bytes each; some of it stays free.
    for (n_rows, n_passes) in [(40, 1..=1), (20, 2..=3), (5, 8..=12)] {
        let (matrix, context) = opened(&store, bare());
        let room = Arc::new(PackRoom::new(1 << 20));
        room.set_packing(n_rows * 100 * 16);
        let packs = Packs::new([&matrix], Level::Bits, &room);
        let mut scratch = ReadScratch::default();
        scratch.set_packs(Some(packs.clone()));
        matrix.pack_bands(0..1, &mut scratch);
        let decoded = context.decoded_chunks();
        assert!(n_passes.contains(&(decoded / 2)), "{n_rows}: {decoded}");
        assert_eq!(read(&matrix, &rows, &mut scratch, false), expected);
        assert_eq!(context.decoded_chunks(), decoded, "from the pack");
        assert!(!packs.is_full());
    }
}

#[test]
fn dense_band_that_takes_too_many_passes_is_not_packed() {
    let store = named(80, 100)
        .array("X", &[80, 100], values(3, (0..8000).map(|i| i as u8 | 1)))
        .chunks("X", &chunk([40, 50]));
    let plain = opened(&store, bare()).0;
    let expected = read(&plain, &[7, 50], &mut ReadScratch::default(), false);
    for packing in [0, 100, 2 * 100 * 16] {
        let (matrix, context) = opened(&store, bare());
        let room = Arc::new(PackRoom::new(1 << 20));
        room.set_packing(packing);
        let packs = Packs::new([&matrix], Level::Bits, &room);
        let mut scratch = ReadScratch::default();
        scratch.set_packs(Some(packs.clone()));
        matrix.pack_bands(0..2, &mut scratch);
        // The first band shows it.
        assert_eq!((context.decoded_chunks(), packs.bytes()), (2, 0));
        assert!(packs.is_full() && !packs.is_complete());
        assert_eq!(read(&matrix, &[7, 50], &mut scratch, false), expected);
    }
}

#[test]
fn packed_rows_of_more_axes_are_those_of_the_file() {
    let numbers = || values(0, (0..12 * 20).map(|i| (i * 7 % 11) as u8));
    let store = named(12, 1)
        .array("obsm/e", &[12, 4, 5], numbers())
        .chunks("obsm/e", &chunk([5, 3, 2]));
    let source = AnnDataSource::from(store);
    let matrix = || {
        let file = source.clone().open(&IoContext::new(bare())).expect("valid");
        file.obsm("e").expect("readable").expect("it is there")
    };
    let (plain, packed, rows) = (matrix(), matrix(), [0, 3, 4, 9, 11]);
    let room = Arc::new(PackRoom::new(1 << 20));
    let packs = Packs::new([&packed], Level::Bits, &room);
    let mut scratch = ReadScratch::default();
    scratch.set_packs(Some(packs.clone()));
    packed.pack_bands(0..9, &mut scratch);
    assert!(packs.is_complete());
    let expected = read(&plain, &rows, &mut ReadScratch::default(), false);
    assert_eq!(read(&packed, &rows, &mut scratch, false), expected);
}

#[test]
fn only_compressed_rows_are_packable() {
    let store = regular().array("obsm/e", &[60, 2], Values::F32(vec![1.0; 120]));
    let (matrix, _context) = opened(&store, bare());
    assert!(matrix.is_packable());
    let whole = csr(&vec![vec![(0, 9)]; 60], 0, false, [60, 60]);
    let direct = named(60, N_COLUMNS).array("X", &[60, 9], Values::F32(vec![1.0; 540]));
    for (store, packable) in [(whole, true), (direct, false)] {
        assert_eq!(opened(&store, bare()).0.is_packable(), packable);
    }
}
