//! Mixtures of stores and labels, and controls for the rows of batches.

use std::num::NonZeroU64;
use std::time::Duration;

use mapped_collection::{
    Batch, BatchFormat, Error, FilterValue, LoaderOptions, MappedCollection, MatrixFormat, Mixture,
    Sampler, Shuffle, StateError,
};
use proptest::prelude::*;

use crate::loader::{cells_with_row_77, chunked_cells, rows_of};

/// The rows of all batches of an epoch, and those of their controls.
fn rows_and_controls(
    cells: &MappedCollection,
    epoch: impl IntoIterator<Item = Result<Batch, Error>>,
) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, mut controls) = (Vec::new(), Vec::new());
    for batch in epoch {
        let batch = batch.expect("readable");
        let control = batch.control.as_ref().expect("controls were asked for");
        rows.extend(rows_of(cells, &batch));
        controls.extend(rows_of(cells, control));
    }
    (rows, controls)
}

/// Stores of rows whose key `k` is, in turn, missing, `x` and `y`; controls are of the same label
/// or, `anywhere`, of any.
fn loader_options(cells: &MappedCollection, anywhere: bool, batch_size: usize) -> LoaderOptions {
    let keys: &[&str] = if anywhere { &[] } else { &["k"] };
    let control = [("k", [FilterValue::from("x"), FilterValue::from("y")])];
    let matched = cells.matched(keys.iter().copied(), control);
    let matched = matched.expect("known labels").drop_unmatched(true);
    LoaderOptions::new(batch_size).matched(matched).seed(5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..Default::default() })]

    #[test]
    fn controls_are_the_same_however_an_epoch_is_read(
        sizes in prop::collection::vec(3..40usize, 1..5),
        anywhere in any::<bool>(),
        kind in 0..5usize,
        batch_size in 1..20usize,
        workers in 0..4usize,
        extra in 0..40_000usize,
        world_size in 1..5usize,
        csr in any::<bool>(),
        chunk_rows in prop::option::of(1..30u64),
        cut in any::<prop::sample::Index>(),
    ) {
        let cells = chunked_cells(&sizes, chunk_rows.and_then(NonZeroU64::new));
        let output = if csr { MatrixFormat::Csr } else { MatrixFormat::Dense };
        let n = cells.n_obs();
        let mixture = Mixture::Stores { temperature: 0.5 };
        let sampler = match kind {
            0 => Sampler::All,
            1 => Sampler::Rows((0..n as u32).rev().chain(1..3).collect()),
            2 => cells.mixture_sampler(&mixture, Some(50), None).expect("usable"),
            3 => cells.balanced_sampler("k").expect("a column"),
            _ => cells.weighted_sampler(["k"], None).expect("a column"),
        };
        let options = |batch_size| loader_options(&cells, anywhere, batch_size)
            .sampler(sampler.clone()).shuffle(Shuffle::Exact);
        // What one rank in one batch gets.
        let whole = cells.loader(options(n.max(50)).workers(0)).expect("valid");
        let (rows, controls) = rows_and_controls(&cells, whole.epoch(3));
        prop_assert_eq!(rows.len(), whole.n_rows());
        let labels = cells.merged_labels("k").expect("a column");
        for (&row, &control) in rows.iter().zip(&controls) {
            let of_control = labels.get(control as usize);
            prop_assert!(of_control.is_some());
            prop_assert!(anywhere || of_control == labels.get(row as usize));
        }

        let options = |rank| options(batch_size).workers(workers)
            .memory(batch_size * 400 + extra).output(output).rank(rank, world_size);
        let mut epochs: Vec<_> = (0..world_size)
            .map(|rank| cells.loader(options(rank)).expect("valid").epoch(3)).collect();
        let n_batches = epochs[0].n_batches();
        let cut = if n_batches > 0 { cut.index(n_batches) } else { 0 };
        let (mut found, mut state) = ((Vec::new(), Vec::new()), None);
        for step in 0..n_batches {
            if step == cut {
                state = Some(epochs[0].state().expect("names"));
            }
            for (rank, epoch) in epochs.iter_mut().enumerate() {
                while (step + rank) % 2 == 0 && !epoch.wait(Duration::from_millis(1)) {}
                let batch = epoch.next().expect("as many as counted").expect("readable");
                let control = batch.control.as_ref().expect("asked for");
                for (batch, found) in [(&batch, &mut found.0), (control, &mut found.1)] {
                    let rows = rows_of(&cells, batch);
                    let indices: Vec<i64> = rows.iter().map(|&row| row.into()).collect();
                    let format = BatchFormat::new().output(output);
                    let mut expected = cells.get_batch_with(&indices, &format).expect("readable");
                    expected.control = batch.control.clone();
                    prop_assert_eq!(batch, &expected);
                    found.extend(rows);
                }
            }
        }
        prop_assert!(epochs.iter_mut().all(|epoch| epoch.next().is_none()));
        let n_found = found.0.len();
        let padded = |of: &[u32]| (0..n_found).map(|at| of[at % of.len()]).collect::<Vec<_>>();
        prop_assert_eq!(&found.0, &padded(&rows));
        prop_assert_eq!(&found.1, &padded(&controls));

        let rest = cells.loader(options(0).rank(0, 1)).expect("valid");
        let rest = rest.resume(&state.expect("a batch")).expect("its own state");
        let (rest, rest_controls) = rows_and_controls(&cells, rest);
        let from = cut * batch_size * world_size;
        prop_assert_eq!(rest, &rows[from..]);
        prop_assert_eq!(rest_controls, &controls[from..]);
    }
}

#[test]
fn controls_differ_by_epoch_and_position_and_belong_to_the_state() {
    let cells = chunked_cells(&[90, 60], None);
    let options = loader_options(&cells, true, 7).sampler(Sampler::Rows([4; 50].into()));
    let loader = cells.loader(options.clone()).expect("valid");
    let (rows, first) = rows_and_controls(&cells, loader.epoch(0));
    assert_eq!(rows, [4; 50]);
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 30, "{first:?}");
    assert_ne!(rows_and_controls(&cells, loader.epoch(1)).1, first);

    let state = loader.epoch_start(0).expect("names");
    let others = [
        None,
        loader_options(&cells, false, 7).get_matched().cloned(),
    ];
    for matched in others {
        let other = cells
            .loader(options.clone().matched(matched))
            .expect("valid");
        let error = other.resume(&state).expect_err("other controls");
        assert!(matches!(error, Error::State(StateError::Mismatch { .. })));
    }
}

#[test]
fn rows_without_controls_are_named_or_dropped() {
    let cells = chunked_cells(&[9, 5], None);
    let dropped = cells
        .loader(loader_options(&cells, false, 7))
        .expect("others are left");
    assert_eq!((dropped.n_rows(), dropped.n_batches()), (9, 2));
    let (rows, _) = rows_and_controls(&cells, dropped.epoch(0));
    assert_eq!(rows, [1, 2, 4, 5, 7, 8, 10, 11, 13]);
    let options = dropped.options().clone();
    let matched = options.get_matched().expect("set").clone();
    let error = cells.loader(options.matched(matched.drop_unmatched(false)));
    let error = error.expect_err("rows without labels").to_string();
    assert!(
        error.contains("a control for each row (equal k)"),
        "{error}"
    );
    assert!(
        error.contains("5 of 14 rows, the first of them row 0"),
        "{error}"
    );
}

/// Row 77 cannot be read: batches fail that have it among their rows or their controls, and those
/// after them have their own controls.
#[test]
fn bad_row_fails_the_batches_that_need_it() {
    let (good, bad) = (cells_with_row_77(1), cells_with_row_77(9));
    for workers in [0, 2] {
        let batches = |cells: &MappedCollection| -> Vec<Result<Batch, Error>> {
            let any: [(&str, [FilterValue; 0]); 0] = [];
            let matched = cells.matched(Vec::<String>::new(), any);
            let options = LoaderOptions::new(4)
                .matched(matched.expect("no key is needed"))
                .shuffle(Shuffle::Exact)
                .workers(workers);
            cells.loader(options).expect("valid").epoch(0).collect()
        };
        let mut n_failed = 0;
        for (found, expected) in batches(&bad).into_iter().zip(batches(&good)) {
            let expected = expected.expect("every row can be read");
            let control = expected.control.as_ref().expect("asked for");
            if expected.row_idx.contains(&77) || control.row_idx.contains(&77) {
                n_failed += 1;
                assert!(found.is_err(), "{workers} workers");
            } else {
                assert_eq!(found.expect("its rows can be read"), expected);
            }
        }
        assert!(n_failed >= 2, "one for the row, and one for a control");
    }
}
