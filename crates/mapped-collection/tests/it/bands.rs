//! Dense chunks that run along the cells: how often each is decoded, in file order and shuffled.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mapped_collection::{
    BatchFormat, IoOptions, Join, LoaderOptions, MappedCollection, Matrix, MatrixFormat,
    MemoryStore, Sampler, Shuffle, Values,
};
use proptest::prelude::*;

const WIDTH: usize = 40;
const ROW_BYTES: usize = WIDTH * 4;

fn chunk(rows: u64, columns: u64) -> [NonZeroU64; 2] {
    [rows, columns].map(|extent| NonZeroU64::new(extent).expect("not 0"))
}

/// `n` cells of 40 genes whose values tell their place; `chunks` are those of X.
fn tall(name: &str, n: usize, chunks: [NonZeroU64; 2]) -> MemoryStore {
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let vars: Vec<String> = (0..WIDTH).map(|i| format!("g{i}")).collect();
    let vars: Vec<&str> = vars.iter().map(String::as_str).collect();
    let values = (0..n * WIDTH).map(|i| i as f32).collect();
    MemoryStore::new(name)
        .dataframe("obs", &names)
        .dataframe("var", &vars)
        .array("X", &[n as u64, WIDTH as u64], Values::F32(values))
        .chunks("X", &chunks)
        .categorical(
            "obs/k",
            (0..n).map(|i| (i % 3) as i8 - 1).collect(),
            &["x", "y"],
        )
}

fn open(stores: impl IntoIterator<Item = MemoryStore>, cache: usize) -> MappedCollection {
    let cells = MappedCollection::builder(stores)
        .io(IoOptions::new().cache_bytes(cache))
        .open();
    cells.expect("the stores fit together")
}

/// A budget in which so many bytes of rows may wait, and 8 finished batches of `batch_size` rows.
fn memory(cells: &MappedCollection, batch_size: usize, room: usize) -> usize {
    let finished = batch_size * ROW_BYTES;
    assert!(room / 7 > finished, "an eighth is for finished batches");
    cells.io().options().get_cache_bytes() + room + 8 * finished
}

/// Chunks that one epoch decodes. All its batches are right.
fn decoded(cells: &MappedCollection, options: LoaderOptions) -> u64 {
    let batches = cells.loader(options).expect("valid");
    let before = cells.io().decoded_chunks();
    let epoch: Vec<_> = batches
        .epoch(0)
        .map(|batch| batch.expect("readable"))
        .collect();
    let decoded = cells.io().decoded_chunks() - before;
    for batch in epoch {
        let Some(Matrix::Dense {
            values: Values::F32(values),
            ..
        }) = batch.matrix("X")
        else {
            panic!("X is dense")
        };
        for (row, &at) in values.chunks_exact(WIDTH).zip(&batch.row_idx) {
            let first = at as usize * WIDTH;
            assert!(row.iter().zip(first..).all(|(&value, i)| value == i as f32));
        }
    }
    decoded
}

#[test]
fn band_that_fits_in_memory_is_decoded_once_in_file_order() {
    let cells = open([tall("a", 2000, chunk(2000, 4))], 1000);
    for workers in 0..4 {
        for batch_size in [1, 7, 50, 300] {
            let room = memory(&cells, batch_size, 2000 * ROW_BYTES + 20_000);
            let options = LoaderOptions::new(batch_size).workers(workers).memory(room);
            assert_eq!(
                decoded(&cells, options),
                10,
                "{workers} workers, {batch_size} rows"
            );
        }
    }
}

#[test]
fn band_larger_than_memory_is_decoded_as_seldom_as_rows_allow() {
    let cells = open([tall("a", 2000, chunk(2000, 4))], 0);
    let band = 2000 * ROW_BYTES;
    for workers in [0, 1, 2] {
        for passes in 2..8 {
            // Whole batches fit: 10 rows each.
            let room = (2000 / 10usize).div_ceil(passes) * 10 * ROW_BYTES;
            let options = LoaderOptions::new(10).workers(workers);
            let options = options.memory(memory(&cells, 10, room));
            let found = decoded(&cells, options);
            assert!(
                found <= 10 * band.div_ceil(room) as u64,
                "{found} chunks in {passes} passes"
            );
        }
    }
}

/// Batches that reach from one band, or store, into the next are read by two windows.
#[test]
fn band_that_ends_within_a_batch_is_decoded_once() {
    let stores = || {
        [
            tall("a", 900, chunk(400, 4)),
            tall("b", 555, chunk(555, 8)),
            tall("c", 3, chunk(3, 40)),
            tall("d", 700, chunk(333, 4)),
        ]
    };
    let n_chunks = 3 * 10 + 5 + 1 + 3 * 10;
    for workers in [0, 1, 3] {
        for batch_size in [1, 16, 60] {
            let cells = open(stores(), 0);
            // More than the largest band and a batch, less than two bands.
            let room = memory(&cells, batch_size, (560 + 2 * batch_size) * ROW_BYTES);
            let options = LoaderOptions::new(batch_size).workers(workers).memory(room);
            assert_eq!(
                decoded(&cells, options),
                n_chunks,
                "{workers} workers, {batch_size} rows"
            );
        }
    }
}

#[test]
fn ranks_samplers_and_filters_keep_to_file_order() {
    let cells = open(
        [
            tall("a", 1200, chunk(1200, 4)),
            tall("b", 1200, chunk(1200, 4)),
        ],
        0,
    );
    let n = 2 * 1200 * ROW_BYTES;
    let options = || {
        LoaderOptions::new(10)
            .workers(2)
            .memory(memory(&cells, 10, n))
    };
    for rank in 0..3 {
        // The rest of the last step may be completed from the order's start.
        let found = decoded(&cells, options().rank(rank, 3).drop_last(true));
        assert_eq!(found, 20, "rank {rank}");
    }
    let even: Arc<[u32]> = (0..2400).step_by(2).collect();
    assert_eq!(decoded(&cells, options().sampler(Sampler::Rows(even))), 20);
    let filtered = MappedCollection::builder([tall("a", 1200, chunk(1200, 4))])
        .filter("k", ["y"])
        .io(IoOptions::new().cache_bytes(0))
        .open()
        .expect("it opens");
    assert_eq!(decoded(&filtered, options()), 10);
}

#[test]
fn shuffle_decodes_a_band_as_seldom_as_rows_allow() {
    let cells = open([tall("a", 2000, chunk(2000, 4))], 0);
    let room = memory(&cells, 20, 2000 * ROW_BYTES);
    for shuffle in [Shuffle::Exact, Shuffle::Blocks { rows: 16 }] {
        let options = LoaderOptions::new(20).shuffle(shuffle).memory(room);
        // The first batch has a window of its own, and then two windows share the memory.
        let found = decoded(&cells, options);
        assert!(found <= 3 * 10, "{shuffle:?}: {found}");
    }
}

/// Also where windows, which are small then, and tasks cut it.
#[test]
fn bands_that_the_cache_keeps_are_decoded_once_in_file_order() {
    for workers in [0, 1, 2] {
        for chunks in [chunk(2000, 4), chunk(300, 7), chunk(50, 40)] {
            let cells = open([tall("a", 2000, chunks)], 4 << 20);
            let n_chunks = 2000u64.div_ceil(chunks[0].get()) * 40u64.div_ceil(chunks[1].get());
            let options = LoaderOptions::new(10).workers(workers);
            let room = memory(&cells, 10, 100 * ROW_BYTES);
            assert_eq!(
                decoded(&cells, options.memory(room)),
                n_chunks,
                "{chunks:?}, {workers}"
            );
        }
    }
}

/// Windows end with the bands that take most to decode; those of the other matrix are cut, and kept
/// in the cache where it has room.
#[test]
fn matrices_of_different_chunks_are_decoded_about_once() {
    let values = Values::F32((0..1000 * WIDTH).map(|i| -(i as f32)).collect());
    let store = tall("a", 1000, chunk(500, 4))
        .array("layers/s", &[1000, WIDTH as u64], values)
        .chunks("layers/s", &chunk(300, 5));
    for (cache, of_layer) in [(0, 5 * 8), (100_000, 4 * 8)] {
        for workers in [0, 1, 2] {
            let cells = MappedCollection::builder([store.clone()])
                .layers(["X", "s"])
                .io(IoOptions::new().cache_bytes(cache))
                .open()
                .expect("it opens");
            let room = memory(&cells, 20, 520 * ROW_BYTES * 2);
            let options = LoaderOptions::new(10).workers(workers).memory(room);
            assert_eq!(
                decoded(&cells, options),
                2 * 10 + of_layer,
                "{cache}, {workers}"
            );
        }
    }
}

/// CSR rows are read by few batches at a time, whatever the memory: as often as before.
#[test]
fn chunks_of_sparse_rows_are_decoded_once_in_file_order() {
    let n = 3000usize;
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let store = MemoryStore::new("s")
        .chunked(NonZeroU64::new(64).expect("not 0"))
        .dataframe("obs", &names)
        .dataframe("var", &["a", "b"])
        .csr(
            "X",
            [n as u64, 2],
            (0..=n as i64).map(|i| i * 2).collect(),
            [0, 1].repeat(n),
            Values::F32(vec![1.5; 2 * n]),
        );
    for workers in [0, 1, 2] {
        let cells = open([store.clone()], 64 << 20);
        let before = cells.io().decoded_chunks();
        let options = LoaderOptions::new(50)
            .workers(workers)
            .output(MatrixFormat::Csr);
        let batches = cells.loader(options).expect("valid");
        assert_eq!(batches.epoch(0).filter(Result::is_ok).count(), 60);
        let n_chunks = 2 * (2 * n as u64).div_ceil(64);
        assert_eq!(cells.io().decoded_chunks() - before, n_chunks);
    }
}

/// A storage that fails while a band is read fails those batches; the next epoch is right.
#[test]
fn unreadable_band_fails_its_batches() {
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = broken.clone();
    let store = tall("b", 600, chunk(600, 4)).before_read(move |element| {
        match element == "X" && is_broken.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other("the storage is gone")),
            false => Ok(()),
        }
    });
    for workers in [0, 2] {
        let cells = open([tall("a", 605, chunk(605, 4)), store.clone()], 0);
        let room = memory(&cells, 10, 700 * ROW_BYTES);
        let options = LoaderOptions::new(10).workers(workers).memory(room);
        let batches = cells.loader(options).expect("valid");
        broken.store(true, Ordering::Relaxed);
        let results: Vec<_> = batches.epoch(0).collect();
        let failed = results.iter().map(Result::is_err);
        // Rows 600 to 609 are of both stores.
        assert!(failed.eq((0..121).map(|number| number >= 60)));
        broken.store(false, Ordering::Relaxed);
        assert!(batches.epoch(0).all(|batch| batch.is_ok()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    /// Whatever the chunks, the memory and the threads, batches are those of their rows.
    #[test]
    fn batches_hold_their_rows_for_any_chunks(
        stores in prop::collection::vec((1..200usize, 1..250u64, 1..45u64, any::<bool>()), 1..5),
        batch_size in 1..40usize,
        workers in 0..4usize,
        extra in 0..100_000usize,
        cache in prop_oneof![Just(0usize), 0..60_000usize],
        rank in (0..3usize, 1..4usize),
        every in 1..4u32,
        csr in any::<bool>(),
    ) {
        let sources = stores.iter().enumerate().map(|(number, &(n, rows, columns, sparse))| {
            let store = tall(&number.to_string(), n, chunk(rows, columns));
            if !sparse {
                return store;
            }
            let indptr = (0..=n as i64).map(|i| i * 2).collect();
            let values = (0..2 * n).map(|i| i as f32 + 1.0).collect();
            store.chunked(NonZeroU64::new(rows).expect("not 0"))
                .csr("X", [n as u64, WIDTH as u64], indptr, [3, 9].repeat(n), Values::F32(values))
        });
        let cells = MappedCollection::builder(sources).obs(["k"]).join(Join::Inner).io(IoOptions::new().cache_bytes(cache)).open()
            .expect("the stores fit together");
        let rows: Arc<[u32]> = (0..cells.n_obs() as u32).filter(|row| row % every == 0).collect();
        let output = if csr { MatrixFormat::Csr } else { MatrixFormat::Dense };
        let (rank, world_size) = (rank.0 % rank.1, rank.1);
        let options = LoaderOptions::new(batch_size).workers(workers).output(output)
            .rank(rank, world_size).memory(cache + batch_size * 1000 + extra)
            .sampler(Sampler::Rows(rows.clone()));
        let step = batch_size * world_size;
        let epoch = cells.loader(options).expect("valid").epoch(0);
        prop_assert_eq!(epoch.len(), rows.len().div_ceil(step));
        for (number, batch) in epoch.enumerate() {
            let batch = batch.expect("readable");
            let indices: Vec<i64> = batch.store_idx.iter().zip(&batch.row_idx).map(|(&store, &row)| {
                let before: usize = stores[..store as usize].iter().map(|store| store.0).sum();
                before as i64 + i64::from(row)
            }).collect();
            if (number + 1) * step <= rows.len() {
                let first = number * step + rank * batch_size;
                let expected = rows[first..first + batch_size].iter().map(|&row| i64::from(row));
                prop_assert!(indices.iter().copied().eq(expected));
            }
            let format = BatchFormat::new().output(output);
            prop_assert_eq!(&batch, &cells.get_batch_with(&indices, &format).expect("readable"));
        }
    }
}
