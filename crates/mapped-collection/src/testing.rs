//! Collections in memory for unit tests.

use std::num::NonZeroU64;
use std::sync::Arc;

use anndata_io::{IoOptions, MemoryStore, PackRoom, Values};

use crate::batch::BatchFormat;
use crate::batch::form::BatchForm;
use crate::batch::pool::BufferPool;
use crate::loader::job::Job;
use crate::loader::packs::LoaderPacks;
use crate::options::Options;
use crate::order::matched::{Controls, Matched};
use crate::order::schedule::{Part, Schedule};
use crate::order::shuffle::permutation;
use crate::order::{Locality, Order};
use crate::plan::Plan;

/// Dense stores with the given numbers of rows and 4 variables, in chunks of all rows and 2
/// columns. All elements of a row are its number in the collection.
pub(crate) fn dense_plan(sizes: &[usize]) -> Arc<Plan> {
    let mut start = 0;
    let stores = sizes.iter().map(|&n| {
        let values = (4 * start..4 * (start + n))
            .map(|i| (i / 4) as f32)
            .collect();
        start += n;
        let chunk = [n as u64, 2].map(|extent| NonZeroU64::new(extent).expect("not 0"));
        store(n)
            .array("X", &[n as u64, 4], Values::F32(values))
            .chunks("X", &chunk)
    });
    open(stores.collect())
}

/// Sparse stores with the given numbers of rows and 4 variables, in chunks of `chunk` elements.
/// Each row has one element: its number in the collection.
pub(crate) fn sparse_plan(sizes: &[usize], chunk: u64) -> Arc<Plan> {
    let mut start = 0;
    let stores = sizes.iter().map(|&n| {
        let values = (start..start + n).map(|row| row as f32).collect();
        start += n;
        let columns = (0..n).map(|row| row as i32 % 4).collect();
        let pointers = (0..=n as i64).collect();
        let chunk = [NonZeroU64::new(chunk).expect("not 0")];
        store(n)
            .csr("X", [n as u64, 4], pointers, columns, Values::F32(values))
            .chunks("X/data", &chunk)
            .chunks("X/indices", &chunk)
    });
    open(stores.collect())
}

fn store(n: usize) -> MemoryStore {
    let names: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    MemoryStore::new("cells")
        .dataframe("obs", &names)
        .dataframe("var", &["a", "b", "c", "d"])
}

fn open(stores: Vec<MemoryStore>) -> Arc<Plan> {
    let mut options = Options::new(stores.into_iter().map(Into::into).collect());
    options.io = IoOptions::new().cache_bytes(0);
    Arc::new(Plan::open(&options).expect("the stores fit together"))
}

/// `n` rows in the random order of a seed.
pub(crate) fn shuffled(n: usize, seed: u64) -> Order {
    Order::Rows {
        rows: permutation(n as u32, seed, 0).into(),
        locality: Locality::Anywhere,
    }
}

/// The batches of one rank and one reader.
pub(crate) fn schedule(order: Order, batch_size: usize) -> Schedule {
    Schedule {
        order,
        start: 0,
        batch_size,
        drop_last: false,
        pad: true,
        rank: Part::WHOLE,
        reader: Part::WHOLE,
        controls: None,
    }
}

/// The same batches, each with controls from all `n_obs` rows.
pub(crate) fn with_controls(schedule: Schedule, n_obs: usize) -> Schedule {
    let matched = Matched::new(Vec::new(), &[], &vec![true; n_obs]);
    Schedule {
        controls: Some(Controls::new(&matched, 1, 0)),
        ..schedule
    }
}

/// An epoch of dense batches within `memory` bytes.
pub(crate) fn job(plan: &Arc<Plan>, schedule: Schedule, workers: usize, memory: usize) -> Job {
    let pool = Arc::new(BufferPool::new(0));
    let packs = Arc::new(LoaderPacks::new(Arc::new(PackRoom::new(0))));
    let format = BatchFormat::default();
    let job = Job::new(
        plan,
        schedule,
        BatchForm::new(plan, &format, 0).expect("dense"),
        workers,
        memory,
        (&pool, &packs),
    );
    job.expect("two batches fit")
}
