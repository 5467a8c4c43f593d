//! Epochs: the order, whatever the threads, the memory and the ranks; going on; faults.

use std::num::NonZeroU64;
use std::sync::Arc;

use anndata_io::chain;
use mapped_collection::{
    Batch, BatchFormat, Error, IoOptions, Join, LoaderOptions, MappedCollection, MatrixFormat,
    MemoryStore, Sampler, Shuffle, StateError, Values, permutation,
};
use proptest::prelude::*;

use crate::store;

/// Stores of CSR and dense rows whose values tell their place.
fn cells(sizes: &[usize]) -> MappedCollection {
    chunked_cells(sizes, None)
}

/// The same, of chunks that must be decoded.
pub(crate) fn chunked_cells(sizes: &[usize], chunk_rows: Option<NonZeroU64>) -> MappedCollection {
    let stores = sizes.iter().enumerate().map(|(number, &n)| {
        let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let vars = if number % 2 == 0 {
            ["a", "b", "c"]
        } else {
            ["c", "b", "d"]
        };
        // Some whole numbers of one and two bytes, and some that are none.
        let value = |i: usize| (number * 1000 + i) as f32 + if i % 5 == 4 { 1.5 } else { 1.0 };
        let mut store = MemoryStore::new(format!("s{number}"));
        if let Some(rows) = chunk_rows {
            store = store.chunked(rows);
        }
        let store = store
            .dataframe("obs", &names)
            .dataframe("var", &vars)
            .categorical(
                "obs/k",
                (0..n).map(|i| (i % 3) as i8 - 1).collect(),
                &["x", "y"],
            );
        // Where there are no dense stores, rows of all are packed.
        if number % 3 == 2 && sizes.len() != 3 {
            let dense = (0..n).flat_map(|i| [value(i), 0.0, -value(i)]).collect();
            store.array("X", &[n as u64, 3], Values::F32(dense))
        } else {
            let indptr = (0..=n as i64).map(|i| i * 2).collect();
            let data = (0..n).flat_map(|i| [value(i), -value(i)]).collect();
            store.csr(
                "X",
                [n as u64, 3],
                indptr,
                [0, 2].repeat(n),
                Values::F32(data),
            )
        }
    });
    MappedCollection::builder(stores)
        .obs(["k"])
        .join(Join::Outer)
        .io(IoOptions::new().cache_bytes(0))
        .open()
        .expect("the stores fit together")
}

pub(crate) fn rows_of(cells: &MappedCollection, batch: &Batch) -> Vec<u32> {
    let starts: Vec<usize> = cells
        .original_shapes()
        .iter()
        .scan(0, |at, shape| {
            *at += shape.0;
            Some(*at - shape.0)
        })
        .collect();
    let row = |(&store, &row): (&u32, &u32)| starts[store as usize] as u32 + row;
    batch
        .store_idx
        .iter()
        .zip(&batch.row_idx)
        .map(row)
        .collect()
}

fn any_shuffle() -> impl Strategy<Value = Shuffle> {
    prop_oneof![
        Just(Shuffle::None),
        Just(Shuffle::Exact),
        (1..9usize).prop_map(|rows| Shuffle::Blocks { rows })
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..Default::default() })]

    #[test]
    fn epoch_delivers_its_order_in_every_way(
        sizes in prop::collection::vec(0..40usize, 1..5),
        shuffle in any_shuffle(),
        batch_size in 1..20usize,
        workers in 0..5usize,
        extra in 0..40_000usize,
        world_size in 1..6usize,
        drop_last in any::<bool>(),
        csr in any::<bool>(),
        seed in 0..4u64,
        chunk_rows in prop::option::of(1..30u64),
        cut in any::<prop::sample::Index>(),
    ) {
        let cells = chunked_cells(&sizes, chunk_rows.and_then(NonZeroU64::new));
        let n: usize = sizes.iter().sum();
        let output = if csr { MatrixFormat::Csr } else { MatrixFormat::Dense };
        let options = |rank| LoaderOptions::new(batch_size)
            .shuffle(shuffle).seed(seed).workers(workers).memory(batch_size * 400 + extra)
            .drop_last(drop_last).output(output).rank(rank, world_size);
        // The order itself: what one rank in one batch gets.
        let whole = LoaderOptions::new(n.max(1)).shuffle(shuffle).seed(seed).workers(0);
        let order: Vec<u32> = cells.loader(whole).expect("valid").epoch(1)
            .flat_map(|batch| rows_of(&cells, &batch.expect("readable"))).collect();
        if shuffle == Shuffle::Exact {
            prop_assert_eq!(&order, &permutation(n as u32, seed, 1));
        }
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert!(sorted.into_iter().eq(0..n as u32));

        let mut epochs: Vec<_> = (0..world_size)
            .map(|rank| cells.loader(options(rank)).expect("valid").epoch(1)).collect();
        let n_batches = epochs[0].n_batches();
        prop_assert_eq!(cells.loader(options(0)).expect("valid").n_batches(), n_batches);
        let cut = if n_batches > 0 { cut.index(n_batches) } else { 0 };
        let mut found = Vec::new();
        let mut states = Vec::new();
        for step in 0..n_batches {
            if step == cut {
                states = epochs.iter().map(|epoch| epoch.state().expect("names")).collect();
            }
            for epoch in &mut epochs {
                let batch = epoch.next().expect("as many as counted").expect("readable");
                let rows = rows_of(&cells, &batch);
                let indices: Vec<i64> = rows.iter().map(|&row| row.into()).collect();
                let format = BatchFormat::new().output(output);
                prop_assert_eq!(&batch, &cells.get_batch_with(&indices, &format).expect("readable"));
                found.extend(rows);
            }
        }
        prop_assert!(epochs.iter_mut().all(|epoch| epoch.next().is_none()));
        let step_rows = batch_size * world_size;
        let full = n / step_rows * step_rows;
        let expected: Vec<u32> = if drop_last || full == n {
            order[..full].to_vec()
        } else {
            let padded = (n - full).div_ceil(world_size) * world_size;
            (0..full + padded).map(|at| order[at % n]).collect()
        };
        prop_assert_eq!(&found, &expected);

        // Going on with another number of ranks gives the tail of the same order.
        if n_batches > 0 {
            let tail: Vec<u32> = cells.loader(options(0).rank(0, 1)).expect("valid")
                .resume(&states[0]).expect("its own state")
                .flat_map(|batch| rows_of(&cells, &batch.expect("readable"))).collect();
            let from = cut * step_rows;
            let until = if drop_last { from + (n - from) / batch_size * batch_size } else { n };
            prop_assert_eq!(&tail[..], &order[from..until]);
        }
    }
}

#[test]
fn state_is_refused_by_another_loader() {
    let cells = cells(&[10, 10]);
    let loader = |options: LoaderOptions| cells.loader(options).expect("valid");
    let options = || LoaderOptions::new(3).shuffle(Shuffle::Exact).seed(1);
    let mut epoch = loader(options()).epoch(2);
    epoch.next().expect("a batch").expect("readable");
    let state = epoch.state().expect("names can be read");
    let json = serde_json::to_string(&state).expect("it serialises");
    assert_eq!(
        serde_json::from_str::<mapped_collection::LoaderState>(&json).expect("it reads back"),
        state
    );
    for other in [
        options().seed(2),
        options().shuffle(Shuffle::None),
        options().sampler(Sampler::Rows([1].into())),
    ] {
        assert!(matches!(
            loader(other).resume(&state),
            Err(Error::State(StateError::Mismatch { .. }))
        ));
    }
    let other = self::cells(&[10, 11]).loader(options()).expect("valid");
    assert!(matches!(
        other.resume(&state),
        Err(Error::State(StateError::Mismatch { .. }))
    ));
}

/// One store of rows with these names, all else equal.
fn named(names: &[String]) -> MemoryStore {
    let rows: Vec<&str> = names.iter().map(String::as_str).collect();
    MemoryStore::new("named")
        .dataframe("obs", &rows)
        .dataframe("var", &["g"])
        .array(
            "X",
            &[rows.len() as u64, 1],
            Values::F32(vec![0.0; rows.len()]),
        )
}

#[test]
fn state_belongs_to_the_data_not_to_its_place() {
    let names =
        |prefix: &str| -> Vec<String> { (0..3000).map(|i| format!("{prefix}{i}")).collect() };
    let (a, b) = (names("a"), names("b"));
    let mut edited = b.clone();
    edited[2999 - 2999 % 3] = "else".into();
    let batches = |stores: &[&[String]]| {
        let cells = MappedCollection::builder(stores.iter().map(|names| named(names)));
        let options = LoaderOptions::new(4).shuffle(Shuffle::Exact);
        cells.open().expect("valid").loader(options).expect("valid")
    };
    let mut epoch = batches(&[&a, &b]).epoch(0);
    epoch.next().expect("a batch").expect("readable");
    let state = epoch.state().expect("names can be read");
    assert!(state.fingerprint < 1 << 63);
    let _ = batches(&[&a, &b]).resume(&state).expect("the same data");
    for other in [[&b[..], &a], [&a, &a], [&a, &b[..2999]]] {
        let error = batches(&other).resume(&state).expect_err("other data");
        assert!(
            matches!(error, Error::State(StateError::Mismatch { .. })),
            "{error}"
        );
    }
    // Every 5.86th of 6,000 names counts.
    let counted = (0..1024u64).any(|i| i * 6000 / 1024 == 3000 + 2999 - 2999 % 3);
    assert_eq!(batches(&[&a, &edited]).resume(&state).is_err(), counted);
}

#[test]
fn state_after_the_last_batch_is_the_start_of_the_next_epoch() {
    let cells = cells(&[10]);
    for (drop_last, n) in [(false, 4), (true, 3)] {
        let options = LoaderOptions::new(3).drop_last(drop_last);
        let mut epoch = cells.loader(options).expect("valid").epoch(6);
        assert_eq!(epoch.position(), (6, 0));
        assert_eq!(epoch.by_ref().take(n - 1).count(), n - 1);
        assert_eq!(epoch.position(), (6, 3 * (n - 1)));
        assert_eq!(epoch.by_ref().count(), 1);
        assert_eq!(epoch.position(), (7, 0));
    }
}

#[test]
fn state_of_drawn_rows_needs_the_same_rows_in_the_middle_only() {
    let cells = cells(&[20, 20]);
    let drawn = |rows: &[u32]| {
        let options = LoaderOptions::new(3).sampler(Sampler::Drawn(rows.into()));
        cells.loader(options).expect("valid")
    };
    let rows = [5, 9, 1, 1, 30, 2, 7];
    let mut epoch = drawn(&rows).epoch(0);
    epoch.next().expect("a batch").expect("readable");
    let state = epoch.state().expect("names can be read");
    let rest = |batches: &mapped_collection::Loader| -> Vec<u32> {
        let rest = batches.resume(&state).expect("the same rows");
        rest.flat_map(|batch| rows_of(&cells, &batch.expect("readable")))
            .collect()
    };
    assert_eq!(rest(&drawn(&rows)), rows[3..]);
    let error = drawn(&[5, 9, 1, 1, 30, 2, 8])
        .resume(&state)
        .expect_err("other rows");
    assert!(
        matches!(error, Error::State(StateError::Redrawn { epoch: 0 })),
        "{error}"
    );
    epoch.by_ref().for_each(drop);
    let end = epoch.state().expect("names can be read");
    assert_eq!((end.epoch, end.rows, end.drawn), (1, 0, None));
    assert!(drawn(&[3, 4]).resume(&end).is_ok());
}

#[test]
fn readers_divide_the_batches_and_resume_independently() {
    let cells = cells(&[50]);
    let batches = |number, of| {
        let options = LoaderOptions::new(4)
            .shuffle(Shuffle::Exact)
            .reader(number, of);
        cells.loader(options).expect("valid")
    };
    let read = |epoch: mapped_collection::Epoch| -> Vec<Vec<u32>> {
        epoch
            .map(|batch| rows_of(&cells, &batch.expect("readable")))
            .collect()
    };
    let whole = read(batches(0, 1).epoch(0));
    for of in 2..5 {
        for number in 0..of {
            let own: Vec<_> = whole.iter().skip(number).step_by(of).cloned().collect();
            assert_eq!(read(batches(number, of).epoch(0)), own);
            for taken in 0..own.len() {
                let mut epoch = batches(number, of).epoch(0);
                epoch.by_ref().take(taken).for_each(drop);
                let state = epoch.state().expect("names can be read");
                let rest = batches(number, of).resume(&state).expect("its own state");
                assert_eq!(
                    read(rest),
                    own[taken..],
                    "reader {number} of {of} after {taken}"
                );
            }
        }
    }
    assert!(cells.loader(LoaderOptions::new(1).reader(2, 2)).is_err());
}

#[test]
fn seeds_and_states_fit_in_63_bits() {
    let cells = cells(&[5]);
    let error = cells
        .loader(LoaderOptions::new(1).seed(1 << 63))
        .expect_err("too large");
    assert!(
        error
            .to_string()
            .starts_with("seed: expected less than 2^63"),
        "{error}"
    );
    let options = LoaderOptions::new(1).seed((1 << 63) - 1);
    let state = cells
        .loader(options)
        .expect("valid")
        .epoch_start(0)
        .expect("names");
    assert!(state.seed < 1 << 63 && state.fingerprint < 1 << 63);
}

#[test]
fn samplers_draw_the_rows_of_their_rule() {
    let cells = cells(&[30, 30]);
    let draw = |sampler: Sampler, shuffle| -> Vec<u32> {
        let options = LoaderOptions::new(7)
            .sampler(sampler)
            .shuffle(shuffle)
            .seed(5)
            .output(MatrixFormat::Csr);
        let loader = cells.loader(options).expect("valid");
        let epoch = loader.epoch(0);
        assert_eq!(loader.n_batches(), epoch.n_batches());
        epoch
            .flat_map(|batch| rows_of(&cells, &batch.expect("readable")))
            .collect()
    };
    let list: Arc<[u32]> = [5, 5, 59, 0].into();
    assert_eq!(draw(Sampler::Rows(list.clone()), Shuffle::None), list[..]);
    let mut shuffled = draw(Sampler::Rows(list), Shuffle::Exact);
    shuffled.sort_unstable();
    assert_eq!(shuffled, [0, 5, 5, 59]);
    let balanced = draw(
        cells.balanced_sampler("k").expect("a column"),
        Shuffle::None,
    );
    assert_eq!(balanced.len(), 60);
    assert!(
        balanced.iter().all(|row| row % 30 % 3 != 0),
        "rows without a label never come"
    );
    let weights: Arc<[f64]> = (0..60).map(|row| f64::from(row % 2)).collect();
    let without_replacement = |n_samples| Sampler::Weighted {
        weights: weights.clone(),
        n_samples,
        replacement: false,
    };
    let too_many = LoaderOptions::new(7).sampler(without_replacement(Some(31)));
    let error = cells.loader(too_many).expect_err("30 have a weight");
    assert!(error.to_string().contains("31 rows"), "{error}");
    assert_eq!(draw(without_replacement(Some(29)), Shuffle::None).len(), 29);
    let mut drawn = draw(without_replacement(None), Shuffle::None);
    drawn.sort_unstable();
    assert!(drawn.into_iter().eq((0..60).filter(|row| row % 2 == 1)));
    for weights in [
        vec![1.0; 59],
        vec![0.0; 60],
        vec![-1.0; 60],
        vec![f64::NAN; 60],
    ] {
        let sampler = Sampler::Weighted {
            weights: weights.into(),
            n_samples: None,
            replacement: true,
        };
        assert!(
            cells
                .loader(LoaderOptions::new(1).sampler(sampler))
                .is_err()
        );
    }
    assert!(
        cells
            .loader(LoaderOptions::new(1).sampler(Sampler::Rows([60].into())))
            .is_err()
    );
    // Without rows there is nothing to draw.
    let none = self::cells(&[0]);
    for replacement in [true, false] {
        let sampler = Sampler::Weighted {
            weights: [].into(),
            n_samples: None,
            replacement,
        };
        let loader = none
            .loader(LoaderOptions::new(1).sampler(sampler))
            .expect("valid");
        assert_eq!(loader.epoch(0).count(), 0);
    }
    let blocks = LoaderOptions::new(7).shuffle(Shuffle::Blocks { rows: usize::MAX });
    assert_eq!(cells.loader(blocks).expect("valid").epoch(0).count(), 9);
}

#[test]
fn budget_too_small_for_two_batches_is_refused() {
    let cells = cells(&[1000]);
    let error = cells
        .loader(LoaderOptions::new(1000).memory(1000))
        .expect_err("too small");
    assert!(
        error.to_string().starts_with("memory: expected at least"),
        "{error}"
    );
    assert!(cells.loader(LoaderOptions::new(1).rank(2, 2)).is_err());
}

#[test]
fn batches_never_change_while_they_are_held() {
    for (output, chunk_rows) in [
        (MatrixFormat::Csr, None),
        (MatrixFormat::Dense, None),
        (MatrixFormat::Csr, NonZeroU64::new(50)),
        (MatrixFormat::Dense, NonZeroU64::new(50)),
    ] {
        let cells = chunked_cells(&[300, 300, 300], chunk_rows);
        let options = LoaderOptions::new(9)
            .shuffle(Shuffle::Exact)
            .output(output)
            .memory(100_000);
        let held: Vec<Batch> = cells
            .loader(options)
            .expect("valid")
            .epoch(0)
            .map(|batch| batch.expect("readable"))
            .collect();
        assert_eq!(held.len(), 100);
        for batch in held {
            let rows: Vec<i64> = rows_of(&cells, &batch).into_iter().map(i64::from).collect();
            let format = BatchFormat::new().output(output);
            assert_eq!(
                batch,
                cells.get_batch_with(&rows, &format).expect("readable")
            );
        }
    }
}

#[test]
fn wait_returns_whether_a_batch_is_ready() {
    let cells = cells(&[20]);
    for workers in [0, 1, 3] {
        let options = LoaderOptions::new(5).workers(workers);
        let mut epoch = cells.loader(options).expect("valid").epoch(0);
        for _ in 0..4 {
            while !epoch.wait(std::time::Duration::from_millis(20)) {}
            epoch.next().expect("there are four").expect("readable");
        }
        assert!(
            epoch.wait(std::time::Duration::ZERO),
            "the end needs no waiting"
        );
        assert!(epoch.next().is_none());
    }
}

#[test]
fn wait_without_workers_takes_steps() {
    let cells = chunked_cells(&[20, 20, 20], NonZeroU64::new(4));
    let loader = cells.loader(LoaderOptions::new(60).workers(0));
    let mut epoch = loader.expect("valid").epoch(0);
    let waits = (1..100).find(|_| epoch.wait(std::time::Duration::ZERO));
    // The rows of each store are a step of their own.
    assert!(waits.is_some_and(|waits| waits > 3), "{waits:?}");
    let batch = epoch.next().expect("there is one").expect("readable");
    assert_eq!(batch.n_obs(), 60);
}

/// 200 cells with one element each, in column 0; that of row 77 is in this one of two columns, or
/// beyond them.
pub(crate) fn cells_with_row_77(column: i32) -> MappedCollection {
    let n = 200usize;
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut columns = vec![0; n];
    columns[77] = column;
    let store = MemoryStore::new("bad")
        .dataframe("obs", &names)
        .dataframe("var", &["a", "b"])
        .csr(
            "X",
            [n as u64, 2],
            (0..=n as i64).collect(),
            columns,
            Values::F32(vec![1.0; n]),
        );
    MappedCollection::builder([store])
        .io(IoOptions::new().cache_bytes(0))
        .open()
        .expect("columns are read later")
}

/// Column indices of one row point beyond the genes: only its own batch fails, and the epoch and
/// the loader go on.
#[test]
fn bad_row_fails_its_own_batch() {
    let cells = cells_with_row_77(9);
    for workers in [0, 2] {
        let options = LoaderOptions::new(10)
            .workers(workers)
            .output(MatrixFormat::Csr);
        let loader = cells.loader(options).expect("valid");
        for epoch in 0..2 {
            let results: Vec<_> = loader.epoch(epoch).collect();
            let failed: Vec<usize> = results
                .iter()
                .enumerate()
                .filter(|(_, r)| r.is_err())
                .map(|(i, _)| i)
                .collect();
            assert_eq!(failed, [7], "{workers} workers");
            let error = results[7].as_ref().expect_err("the bad one");
            let error = chain(error).to_string();
            assert!(
                error.starts_with("row 77 of store 0 ")
                    && error.contains("bad: X/indices")
                    && error.contains("column 9"),
                "{error}"
            );
        }
    }
}

#[test]
fn epoch_may_be_dropped_at_any_moment() {
    let cells =
        MappedCollection::builder(["base_a_csr.h5ad", "base_b_csr_v3.zarr"].map(store)).open();
    let cells = cells.expect("the fixtures open");
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .map(|tasks| tasks.count())
            .unwrap_or(0)
    };
    let options = LoaderOptions::new(1).workers(3).shuffle(Shuffle::Exact);
    let loader = cells.loader(options).expect("valid");
    let before = threads();
    for taken in 0..60 {
        let mut epoch = loader.epoch(taken);
        (0..taken % 12).for_each(|_| drop(epoch.next()));
    }
    // Other tests have threads of their own: leaked ones would be 180.
    assert!(
        threads() < before + 100,
        "{} threads, {before} before",
        threads()
    );
    // Closing under a running epoch gives errors, not a hang.
    let mut epoch = loader.epoch(0);
    epoch.next().expect("a batch").expect("readable");
    cells.close();
    assert!(epoch.any(|batch| batch.is_err_and(|error| error.is_closed())));
}

#[test]
fn scan_decodes_each_chunk_once() {
    let cells = MappedCollection::builder([store("layouts_v3.zarr")])
        .layers(["csr_sharded", "zstd_checksum"])
        .io(IoOptions::new().cache_bytes(0))
        .open()
        .expect("the fixture opens");
    for shuffle in [Shuffle::None, Shuffle::Exact] {
        let before = cells.io().decoded_chunks();
        let options = LoaderOptions::new(12).shuffle(shuffle).workers(2);
        assert_eq!(cells.loader(options).expect("valid").epoch(0).count(), 1);
        assert_eq!(cells.io().decoded_chunks() - before, 2 * 12 + 4);
    }
}

/// Whatever the order of the request, and with a cache that holds a fiftieth of the data.
#[test]
fn request_decodes_each_chunk_once() {
    let (n, chunk_rows, stores) = (500usize, 7, 4);
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sources = (0..stores).map(|number| {
        MemoryStore::new(format!("s{number}"))
            .chunked(NonZeroU64::new(chunk_rows).expect("not zero"))
            .dataframe("obs", &names)
            .dataframe("var", &["a", "b"])
            .csr(
                "X",
                [n as u64, 2],
                (0..=n as i64).map(|i| i * 2).collect(),
                [0, 1].repeat(n),
                Values::F32(vec![1.5; 2 * n]),
            )
    });
    let n_chunks = stores as u64 * 2 * (2 * n as u64).div_ceil(chunk_rows);
    let data_bytes = stores * n * 2 * 8;
    let sources: Vec<MemoryStore> = sources.collect();
    // Opened anew each time: no chunk is left in a cache.
    let decoded = |read: &dyn Fn(&MappedCollection)| {
        let cells = MappedCollection::builder(sources.iter().cloned())
            .io(IoOptions::new().cache_bytes(data_bytes / 50))
            .open()
            .expect("the stores open");
        let before = cells.io().decoded_chunks();
        read(&cells);
        cells.io().decoded_chunks() - before
    };
    let n_obs = stores * n;
    let mixed = permutation(n_obs as u32, 3, 0);
    let mixed: Vec<i64> = mixed.into_iter().map(i64::from).collect();
    let batch = |cells: &MappedCollection| drop(cells.get_batch(&mixed).expect("readable"));
    assert_eq!(decoded(&batch), n_chunks);
    let repeated: Vec<i64> = mixed.iter().flat_map(|&row| [row; 3]).collect();
    let batch = |cells: &MappedCollection| drop(cells.get_batch(&repeated).expect("readable"));
    assert_eq!(decoded(&batch), n_chunks);
    for shuffle in [Shuffle::None, Shuffle::Exact] {
        for workers in 1..4 {
            let options = LoaderOptions::new(n_obs)
                .shuffle(shuffle)
                .workers(workers)
                .output(MatrixFormat::Csr);
            let epoch = |cells: &MappedCollection| {
                let loader = cells.loader(options.clone()).expect("valid");
                assert_eq!(loader.epoch(0).filter(Result::is_ok).count(), 1);
            };
            // Where the stretches of two threads meet, a chunk of indices and one of data may
            // have left the cache when the second of them gets there. They meet between tasks, of
            // which each store has four; how often depends on who helps out whom.
            let meetings = if workers == 1 { 0 } else { stores as u64 * 3 };
            let found = decoded(&epoch);
            assert!(
                (n_chunks..=n_chunks + 2 * meetings).contains(&found),
                "{found} of {n_chunks} chunks, {shuffle:?}, {workers} workers"
            );
        }
    }
}
