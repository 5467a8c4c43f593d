//! Loaders that keep packed rows: each chunk is decoded once in all epochs, nothing else changes,
//! and the memory is kept.

use std::cmp::Ordering;
use std::num::NonZeroU64;
use std::sync::Arc;

use mapped_collection::{
    Batch, IoOptions, Join, Loader, LoaderOptions, MappedCollection, MatrixFormat, MemoryStore,
    Sampler, Shuffle, Values,
};

const N_GENES: usize = 50;
const PER_ROW: usize = 20;

/// `n` cells of 20 nonzeros in compressed chunks of 110, with values that `value` makes of their
/// number.
fn csr(name: &str, n: usize, value: impl Fn(usize) -> f32) -> MemoryStore {
    let genes: Vec<String> = (0..N_GENES)
        .map(|i| format!("{name}{}", i / 25 * 25 + i))
        .collect();
    let columns = (0..n).flat_map(|row| (0..PER_ROW).map(move |i| (i * 2 + row % 10) as i32));
    let values = (0..n * PER_ROW).map(value).collect();
    let chunk = [NonZeroU64::new(110).expect("not 0")];
    named(name, n, &genes)
        .csr(
            "X",
            [n as u64, N_GENES as u64],
            (0..=n).map(|row| (row * PER_ROW) as i64).collect(),
            columns.collect(),
            Values::F32(values),
        )
        .chunks("X/indices", &chunk)
        .chunks("X/data", &chunk)
}

/// `n` cells of which most genes are zero, dense, in chunks of 7 cells and 20 genes.
fn dense(name: &str, n: usize) -> MemoryStore {
    let genes: Vec<String> = (0..N_GENES).map(|i| format!("{name}{i}")).collect();
    let value = |i: usize| if i.is_multiple_of(6) { i as f32 } else { 0.0 };
    let chunk = [7, 20].map(|extent| NonZeroU64::new(extent).expect("not 0"));
    named(name, n, &genes)
        .array(
            "X",
            &[n as u64, N_GENES as u64],
            Values::F32((0..n * N_GENES).map(value).collect()),
        )
        .chunks("X", &chunk)
}

fn named(name: &str, n: usize, genes: &[String]) -> MemoryStore {
    let cells: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    let refs = |names: &[String]| -> Vec<&'static str> {
        let leak = |name: &String| &*Box::leak(name.clone().into_boxed_str());
        names.iter().map(leak).collect()
    };
    MemoryStore::new(name)
        .dataframe("obs", &refs(&cells))
        .dataframe("var", &refs(genes))
}

fn open(stores: impl IntoIterator<Item = MemoryStore>) -> MappedCollection {
    let cells = MappedCollection::builder(stores)
        .join(Join::Outer)
        .io(IoOptions::new().cache_bytes(0))
        .open();
    cells.expect("the stores fit together")
}

fn counts(i: usize) -> f32 {
    (i % 7 + 1) as f32
}

/// A store of each kind: 330 + 330 chunks, then 15 bands of 3 chunks.
fn mixed() -> MappedCollection {
    open([
        csr("a", 600, counts),
        dense("b", 105),
        csr("c", 315, |i| (i as f32).sqrt()),
    ])
}

/// The batches of an epoch, and the chunks that it decoded.
fn epoch(cells: &MappedCollection, loader: &Loader, number: u64) -> (Vec<Batch>, u64) {
    let before = cells.io().decoded_chunks();
    let batches = loader.epoch(number).map(|batch| batch.expect("readable"));
    let batches = batches.collect();
    (batches, cells.io().decoded_chunks() - before)
}

/// The least memory in which three epochs can be read: no packs fit.
fn least(cells: &MappedCollection, options: &LoaderOptions) -> usize {
    let mut memory = 0;
    loop {
        let error = match cells.loader(options.clone().memory(memory)) {
            Err(error) => error,
            Ok(loader) => match (0..3)
                .flat_map(|number| loader.epoch(number))
                .find_map(Result::err)
            {
                None => return memory,
                Some(error) => error,
            },
        };
        let text = anndata_io::chain(&error).to_string();
        let (_, rest) = text.split_once("at least ").expect("it says how much");
        let (bytes, _) = rest.split_once(' ').expect("bytes");
        memory = bytes.parse().expect("a number");
    }
}

#[test]
fn every_chunk_is_decoded_once_in_all_epochs() {
    let cells = mixed();
    let n_chunks = 2 * (110 + 58) + 15 * 3;
    for shuffle in [Shuffle::Exact, Shuffle::Blocks { rows: 64 }] {
        for format in [MatrixFormat::Csr, MatrixFormat::Dense] {
            for workers in [0, 1, 3] {
                let options = LoaderOptions::new(32).shuffle(shuffle).workers(workers);
                let options = options.output(format);
                let packed = cells.loader(options.clone()).expect("valid");
                let memory = least(&cells, &options);
                let plain = cells.loader(options.memory(memory)).expect("valid");
                for number in 0..3 {
                    let (found, decoded) = epoch(&cells, &packed, number);
                    // A block shuffle reads near neighbours together, and packs in the next epoch.
                    let first = u64::from(shuffle != Shuffle::Exact);
                    match number.cmp(&first) {
                        Ordering::Less => assert!(decoded >= n_chunks),
                        Ordering::Equal => assert_eq!(decoded, n_chunks),
                        Ordering::Greater => assert_eq!(decoded, 0),
                    }
                    let (expected, decoded) = epoch(&cells, &plain, number);
                    assert!(found == expected && decoded >= n_chunks);
                }
                // In file order, what is packed is read from memory.
                let in_order = packed.with(|options| options.shuffle(Shuffle::None));
                let (found, decoded) = epoch(&cells, &in_order.expect("valid"), 0);
                assert_eq!(decoded, 0);
                let in_order = plain.with(|options| options.shuffle(Shuffle::None));
                assert!(found == epoch(&cells, &in_order.expect("valid"), 0).0);
            }
        }
    }
}

/// Rows that pack worse than most do: the packs that were begun are given up.
#[test]
fn packs_that_turn_out_too_large_change_nothing() {
    let fraction = |i: usize| (i as f32).sqrt();
    for (first, last) in [(30, 1500), (1500, 30)] {
        let cells = open([
            csr("a", first, fraction),
            csr("c", last, fraction),
            csr("d", 400, counts),
        ]);
        let n_elements = (first + last + 400) * PER_ROW;
        for workers in [0, 2] {
            let options = LoaderOptions::new(16)
                .shuffle(Shuffle::Exact)
                .workers(workers);
            let options = options.output(MatrixFormat::Csr);
            let memory = least(&cells, &options);
            let plain = cells.loader(options.clone().memory(memory)).expect("valid");
            // From too little for a guess to enough for all.
            for bytes_each in [1, 2, 3, 4, 5, 6, 8] {
                let memory = 8 * memory + bytes_each * n_elements;
                let loader = cells.loader(options.clone().memory(memory)).expect("valid");
                let (mut decoded, mut n) = ([0; 3], 0..);
                for decoded in &mut decoded {
                    let number = n.next().expect("no end");
                    let (found, n_decoded) = epoch(&cells, &loader, number);
                    assert!(
                        found == epoch(&cells, &plain, number).0,
                        "{bytes_each} bytes"
                    );
                    *decoded = n_decoded;
                }
                if bytes_each == 1 || bytes_each == 8 {
                    assert_eq!(decoded[2] == 0, bytes_each == 8, "{decoded:?}");
                }
            }
        }
    }
}

#[test]
fn epochs_of_other_rows_and_ranks_share_packs() {
    let cells = mixed();
    let loader = cells
        .loader(LoaderOptions::new(20).shuffle(Shuffle::Exact))
        .expect("valid");
    epoch(&cells, &loader, 0);
    let some: Arc<[u32]> = (0..1020).step_by(3).rev().collect();
    let other = loader.with(|options| options.sampler(Sampler::Rows(some.clone())));
    let (found, decoded) = epoch(&cells, &other.expect("valid"), 1);
    assert_eq!(
        (found.iter().map(Batch::n_obs).sum::<usize>(), decoded),
        (340, 0)
    );
    let mut n_rows = 0;
    for rank in 0..3 {
        let of_rank = loader.with(|options| options.rank(rank, 3).drop_last(true));
        let (found, decoded) = epoch(&cells, &of_rank.expect("valid"), 2);
        assert_eq!(decoded, 0);
        n_rows += found.iter().map(Batch::n_obs).sum::<usize>();
    }
    assert_eq!(n_rows, 1020);
}
