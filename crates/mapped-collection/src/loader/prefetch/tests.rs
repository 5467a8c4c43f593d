//! Tests the state machine against a model, and the memory that its rows take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anndata_io::Values;
use proptest::prelude::*;

use crate::batch::Batch;
use crate::batch::fill::FillScratch;
use crate::batch::matrix::Matrix;
use crate::loader::job::Job;
use crate::loader::prefetch::Prefetcher;
use crate::loader::prefetch::state::State;
use crate::loader::prefetch::step::Done;
use crate::order::Order;
use crate::testing::{dense_plan, job, schedule, shuffled, sparse_plan, with_controls};

/// The numbers of a batch's rows, from the values of X.
fn rows(batch: &Batch) -> Vec<usize> {
    let Some(Matrix::Dense {
        values: Values::F32(values),
        ..
    }) = batch.matrix("X")
    else {
        panic!("X is dense");
    };
    values
        .chunks(4)
        .map(|row| row.iter().fold(0.0f32, |a, &b| a.max(b)) as usize)
        .collect()
}

/// Delivers an epoch by `n_threads` threads, in the order of `turns`. In its turn, a thread takes a
/// step or records the one that it took. Checks that there always is a step, that batches come in
/// order with the rows of the schedule, and that waiting rows keep within the budget.
fn deliver(job: &Job, n_threads: usize, turns: &[usize]) {
    let waiting = Arc::new(job.waiting());
    let mut state = State::new(0, n_threads);
    let mut scratch = FillScratch::for_scan();
    let mut in_progress: Vec<Option<Done>> = (0..n_threads).map(|_| None).collect();
    let (mut delivered, mut turn) = (0, 0);
    while delivered < job.schedule.n_reads() {
        let thread = turns[turn % turns.len()] % n_threads;
        turn += 1;
        match in_progress[thread].take() {
            Some(done) => state.record(job, done),
            None => match state.choose(job, &waiting, thread) {
                Some(step) => {
                    in_progress[thread] = Some(step.run(job, &waiting, &mut scratch));
                }
                None => {
                    let is_idle = in_progress.iter().all(Option::is_none);
                    assert!(
                        !is_idle || state.is_next_ready(),
                        "nobody has a step to take"
                    );
                }
            },
        }
        let room = job.budget.spare();
        assert!(
            waiting.bytes() <= room,
            "{} of {room} bytes",
            waiting.bytes()
        );
        // The caller is slower than the threads.
        if turn % 3 == 0
            && let Some(batch) = state.deliver()
        {
            let batch = batch.expect("memory is readable");
            assert_eq!(
                rows(&batch),
                job.schedule.rows_of_read(delivered).expect("a batch")
            );
            delivered += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn choose_delivers_a_shuffled_epoch(
        sizes in prop::collection::vec(1usize..120, 1..4),
        batch_size in 1usize..20,
        seed in 0u64..1000,
        spare in 0usize..20_000,
        n_threads in 1usize..5,
        turns in prop::collection::vec(0usize..8, 20..60),
        sparse in any::<bool>(),
        controls in any::<bool>(),
    ) {
        let plan = if sparse { sparse_plan(&sizes, 16) } else { dense_plan(&sizes) };
        let mut schedule = schedule(shuffled(plan.n_obs(), seed), batch_size);
        if controls {
            schedule = with_controls(schedule, plan.n_obs());
        }
        // A block of packed rows takes at least 512 bytes.
        let memory = 2 * batch_size * 4 * 8 + 4096 + spare;
        let job = job(&plan, schedule, n_threads, memory);
        let turns: Vec<usize> = turns.into_iter().chain(0..n_threads).collect();
        deliver(&job, n_threads, &turns);
    }

    #[test]
    fn choose_delivers_an_epoch_in_file_order(
        sizes in prop::collection::vec(1usize..200, 1..5),
        batch_size in 1usize..20,
        spare in 0usize..20_000,
        n_threads in 1usize..5,
        turns in prop::collection::vec(0usize..8, 20..60),
    ) {
        let plan = dense_plan(&sizes);
        let schedule = schedule(Order::InOrder(plan.n_obs()), batch_size);
        let memory = 2 * batch_size * 4 * 8 + 4096 + spare;
        let job = job(&plan, schedule, n_threads, memory);
        let turns: Vec<usize> = turns.into_iter().chain(0..n_threads).collect();
        deliver(&job, n_threads, &turns);
    }
}

#[test]
fn prefetcher_keeps_waiting_rows_within_the_budget() {
    let plan = dense_plan(&[1000, 300, 1700, 40, 40, 900]);
    for workers in [0, 1, 3] {
        for memory in [4_000, 10_000, 30_000] {
            let schedule = schedule(Order::InOrder(plan.n_obs()), 16);
            let n_batches = schedule.n_batches();
            let job = job(&plan, schedule, workers, memory);
            let room = job.budget.spare();
            let mut prefetcher = Prefetcher::start(job, 0);
            let waiting = prefetcher.waiting().clone();
            let is_over = AtomicBool::new(false);
            let most = std::thread::scope(|scope| {
                let watch = scope.spawn(|| {
                    let mut most = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        most = most.max(waiting.bytes());
                    }
                    most
                });
                for _ in 0..n_batches {
                    prefetcher.next().expect("readable");
                }
                is_over.store(true, Ordering::Relaxed);
                watch.join().expect("it only looks")
            });
            assert!(most <= room, "{most} of {room} bytes, {workers} workers");
            assert_eq!(waiting.bytes(), 0);
        }
    }
}
