//! Tests that windows hold every row of their batches once, and keep within the budget.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::batch::fill::FillScratch;
use crate::loader::job::Job;
use crate::loader::window::ends::CarriedBatch;
use crate::loader::window::{Task, Window};
use crate::order::Order;
use crate::plan::location::RowLocation;
use crate::testing::{dense_plan, job, schedule, shuffled, sparse_plan, with_controls};

/// Builds the windows of an epoch one after the other, each of at most `batches` batches.
fn windows(job: &Job, batches: usize) -> Vec<Window> {
    let waiting = Arc::new(job.waiting());
    let (mut windows, mut first, mut carried): (Vec<Window>, usize, Option<CarriedBatch>) =
        (Vec::new(), 0, None);
    while first < job.schedule.n_reads() {
        let window = job.window(first, batches, &waiting, carried.as_ref());
        let window = window.expect("the stores are alike");
        carried = window.carried();
        first += window.n_batches() - usize::from(carried.is_some());
        windows.push(window);
    }
    assert!(carried.is_none(), "nothing follows the last batch");
    windows
}

/// Checks that every row of the schedule is read once, by the task that lists it.
fn check(job: &Job, batches: usize) {
    let mut read: HashMap<RowLocation, usize> = HashMap::new();
    for window in windows(job, batches) {
        let mut reads = vec![0; window.n_batches()];
        let (mut begun, mut taken) = (vec![false; window.n_batches()], 0);
        begun[0] = window.goes_on();
        for task in 0..window.n_tasks() {
            taken += window.task_bytes(task, window.n_batches(), &begun);
            for batch in window.batches_of(task) {
                (begun[batch], reads[batch]) = (true, reads[batch] + 1);
            }
            if let Task::Read { rows, part: 0, .. } = &window.tasks[task] {
                for row in rows.clone() {
                    *read.entry(window.located(row)).or_default() += 1;
                }
            }
            assert!(
                window
                    .load(
                        &job.plan,
                        task,
                        window.n_batches(),
                        &mut FillScratch::for_scan()
                    )
                    .is_empty()
            );
        }
        assert_eq!(reads, window.n_reads());
        // A window of one batch may exceed its share: the budget has room for two batches.
        let alone = window.n_batches() - usize::from(window.carried().is_some()) == 1;
        assert!(alone || job.budget.fits(taken, 0), "{taken} bytes");
    }
    let mut wanted: HashMap<RowLocation, usize> = HashMap::new();
    for rows in (0..).map_while(|batch| job.schedule.rows_of_read(batch)) {
        for row in rows {
            *wanted.entry(job.plan.locate(row)).or_default() += 1;
        }
    }
    assert_eq!(read, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn window_reads_every_row_once(
        sizes in prop::collection::vec(1usize..150, 1..5),
        batch_size in 1usize..40,
        batches in 1usize..9,
        spare in 0usize..30_000,
        seed in prop::option::of(0u64..100),
        sparse in any::<bool>(),
        controls in any::<bool>(),
    ) {
        let plan = if sparse { sparse_plan(&sizes, 16) } else { dense_plan(&sizes) };
        let order = match seed {
            None => Order::InOrder(plan.n_obs()),
            Some(seed) => shuffled(plan.n_obs(), seed),
        };
        let memory = 2 * batch_size * 4 * 8 + 4096 + spare;
        let mut schedule = schedule(order, batch_size);
        if controls {
            schedule = with_controls(schedule, plan.n_obs());
        }
        check(&job(&plan, schedule, 2, memory), batches);
    }
}

#[test]
fn window_tasks_end_where_bands_do() {
    let plan = sparse_plan(&[4000], 64);
    let job = job(&plan, schedule(Order::InOrder(4000), 1000), 2, 1 << 20);
    let window = &windows(&job, 4)[0];
    assert!(window.n_tasks() > 10);
    for task in &window.tasks[1..] {
        let Task::Read { rows, .. } = task else {
            panic!("nothing is packed in file order");
        };
        assert_eq!(window.located(rows.start).row % 64, 0);
    }
}
