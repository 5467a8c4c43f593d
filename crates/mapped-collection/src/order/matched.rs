//! Draws a control for each row of an epoch.
//!
//! # The draws, exactly
//! The row at position `p` of the order takes number `x * n / 2^64`, rounded down, of the `n`
//! controls with its labels, ascending. `x` is the 64-bit word of 32-bit outputs `2p` and `2p + 1`
//! of ChaCha with 8 rounds, the first being the lower half, from stream `2^34` of the
//! [key](crate::order::shuffle) of the seed and the epoch. So a row that comes twice has two draws,
//! and a draw does not depend on the batch size, the ranks, or where an epoch was resumed.

use std::collections::HashMap;
use std::sync::Arc;

use label_encoding::MISSING;
use rand_chacha::rand_core::RngCore;

use crate::error::Error;
use crate::order::sampler::Sampler;
use crate::order::shuffle::{Purpose, generator};

/// The class of a row that lacks a label.
const NO_CLASS: u32 = u32::MAX;

/// A control for each row of a loader's batches: a row with equal labels, drawn at random from
/// those that are controls. Made by
/// [`MappedCollection::matched`](crate::MappedCollection::matched).
///
/// Takes 4 bytes per row and 4 per control.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Matched {
    /// The keys of the labels.
    keys: Vec<String>,
    /// The class of each row: rows of one class have equal labels. [`NO_CLASS`] if one is missing.
    classes: Arc<[u32]>,
    /// The controls of each class, ascending.
    controls: Arc<[Vec<u32>]>,
    drops_unmatched: bool,
}

impl Matched {
    /// Matches rows whose codes of every key are equal. `is_control` says which rows are controls.
    ///
    /// `columns` holds one code per row for each of the keys, [`MISSING`] for a missing label.
    pub(crate) fn new(keys: Vec<String>, columns: &[&[u32]], is_control: &[bool]) -> Matched {
        let mut classes = vec![0; is_control.len()];
        let mut n_classes = 1;
        for column in columns {
            let mut known = HashMap::new();
            for (class, &code) in classes.iter_mut().zip(*column) {
                if *class == NO_CLASS || code == MISSING {
                    *class = NO_CLASS;
                } else {
                    let next = known.len() as u32;
                    *class = *known.entry((*class, code)).or_insert(next);
                }
            }
            n_classes = known.len();
        }
        let mut controls = vec![Vec::new(); n_classes];
        for (row, (&class, is_control)) in (0u32..).zip(classes.iter().zip(is_control)) {
            if *is_control && class != NO_CLASS {
                controls[class as usize].push(row);
            }
        }
        Matched {
            keys,
            classes: classes.into(),
            controls: controls.into(),
            drops_unmatched: false,
        }
    }

    /// Leaves out rows without a control. By default, they are an error.
    pub fn drop_unmatched(mut self, drops: bool) -> Self {
        self.drops_unmatched = drops;
        self
    }

    /// The controls of a row: rows of the collection, ascending.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn controls_of(&self, row: usize) -> &[u32] {
        match self.classes[row] {
            NO_CLASS => &[],
            class => &self.controls[class as usize],
        }
    }

    /// The controls of all rows.
    pub(crate) fn controls(&self) -> impl Iterator<Item = u32> {
        self.controls.iter().flatten().copied()
    }

    /// The numbers that determine the draws, for the fingerprint of a state.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let sizes = self.controls.iter().map(|rows| rows.len() as u64);
        let rows = self.classes.iter().copied().chain(self.controls());
        sizes.chain(rows.map(u64::from))
    }

    /// Returns the sampler, restricted to rows that have a control.
    ///
    /// # Errors
    /// When it may draw a row without a control, unless those are dropped and others are left; or
    /// when this was not made for a collection of `n_obs` rows.
    pub(crate) fn restrict(&self, sampler: &Sampler, n_obs: usize) -> Result<Sampler, Error> {
        self.check(n_obs)?;
        let is_unmatched = |row: u32| self.controls_of(row as usize).is_empty();
        let (mut n_rows, mut n_unmatched, mut first) = (0, 0, None);
        for row in sampler.drawable(n_obs) {
            n_rows += 1;
            if is_unmatched(row) {
                n_unmatched += 1;
                first.get_or_insert(row);
            }
        }
        let Some(first) = first else {
            return Ok(sampler.clone());
        };
        let may_drop = self.drops_unmatched && n_unmatched < n_rows;
        let kept = may_drop.then(|| sampler.keep(n_obs, |row| !is_unmatched(row)));
        if let Some(kept) = kept.flatten() {
            return Ok(kept);
        }
        let expected = match self.keys.is_empty() {
            true => "a control for each row".to_owned(),
            false => format!("a control for each row (equal {})", self.keys.join(", ")),
        };
        let of_rows = format!("{n_unmatched} of {n_rows} rows, the first of them row {first}");
        let found = if self.controls().next().is_none() {
            "no row with the labels of a control: a filter may have removed them".to_owned()
        } else if n_unmatched == n_rows {
            format!("none for any of {n_rows} rows: match by fewer keys, or other controls")
        } else if let Sampler::Drawn(_) = sampler {
            format!("none for {of_rows}: leave them out of the sampler")
        } else {
            format!("none for {of_rows}: drop unmatched rows, or match by fewer keys")
        };
        Err(Error::option("matched", expected, found))
    }

    fn check(&self, n_obs: usize) -> Result<(), Error> {
        let refused =
            |expected: String, found: String| Err(Error::option("matched", expected, found));
        let n_rows = self.classes.len();
        if n_rows != n_obs {
            return refused(
                format!("controls of the {n_obs} rows"),
                format!("those of {n_rows} rows"),
            );
        }
        let is_class = |&class: &u32| class == NO_CLASS || (class as usize) < self.controls.len();
        let is_row = |row: u32| (row as usize) < n_obs;
        if !self.classes.iter().all(is_class) || !self.controls().all(is_row) {
            return refused("controls that are rows".to_owned(), "others".to_owned());
        }
        Ok(())
    }
}

/// The controls of one epoch.
#[derive(Debug, Clone)]
pub(crate) struct Controls {
    matched: Matched,
    seed: u64,
    epoch: u64,
}

impl Controls {
    pub(crate) fn new(matched: &Matched, seed: u64, epoch: u64) -> Controls {
        Controls {
            matched: matched.clone(),
            seed,
            epoch,
        }
    }

    /// The rows that may be drawn.
    pub(crate) fn drawable(&self) -> impl Iterator<Item = u32> {
        self.matched.controls()
    }

    /// Draws a control for the row at each position of the order.
    ///
    /// # Panics
    /// When a row has no control.
    pub(crate) fn draw(&self, rows: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
        let mut rng = generator(self.seed, self.epoch, Purpose::Controls.stream(0));
        let draw = |(position, row)| {
            rng.set_word_pos(2 * position as u128);
            let controls = self.matched.controls_of(row);
            let at = (u128::from(rng.next_u64()) * controls.len() as u128) >> 64;
            controls[at as usize] as usize
        };
        rows.map(draw).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched() -> Matched {
        let columns: [&[u32]; 2] = [&[0, 0, 1, 1, u32::MAX, 0], &[5, 5, 5, 5, 5, 6]];
        let is_control = [true, false, true, true, true, false];
        Matched::new(vec!["a".into(), "b".into()], &columns, &is_control)
    }

    #[test]
    fn controls_have_equal_labels_and_none_that_are_missing() {
        let matched = matched();
        let controls: Vec<&[u32]> = (0..6).map(|row| matched.controls_of(row)).collect();
        assert_eq!(controls, [&[0][..], &[0], &[2, 3], &[2, 3], &[], &[]]);
    }

    #[test]
    fn controls_of_a_position_do_not_depend_on_others() {
        let controls = Controls::new(&matched(), 7, 1);
        let all = controls.draw((0..1000).map(|position| (position, 2)));
        let ones = all.iter().filter(|&&row| row == 2).count();
        assert!(ones.abs_diff(500) < 80, "{ones}");
        assert_eq!(controls.draw((400..403).map(|p| (p, 3))), all[400..403]);
        let other = Controls::new(&matched(), 7, 2);
        assert_ne!(other.draw((0..1000).map(|p| (p, 2))), all);
    }

    /// These draws must never change. `fixtures/generate/draws.py` computed them from the
    /// description alone.
    #[test]
    fn controls_of_a_seed_never_change() {
        let is_control: Vec<bool> = (0..10).map(|row| row >= 5).collect();
        let controls = Controls::new(&Matched::new(Vec::new(), &[], &is_control), 42, 3);
        let drawn = controls.draw((0..8).map(|position| (position, 0)));
        assert_eq!(drawn, [9, 8, 8, 7, 7, 5, 9, 6]);
    }

    #[test]
    fn unmatched_rows_are_an_error_or_dropped() {
        let matched = matched();
        let error = matched
            .restrict(&Sampler::All, 6)
            .expect_err("row 4")
            .to_string();
        assert!(
            error.contains("2 of 6 rows, the first of them row 4: drop"),
            "{error}"
        );
        let rows = Sampler::Rows([1, 2, 1].into());
        assert_eq!(matched.restrict(&rows, 6).ok(), Some(rows));
        let dropping = matched.drop_unmatched(true);
        let rows = |rows: &[u32]| Sampler::Rows(rows.into());
        let kept = |sampler| dropping.restrict(&sampler, 6).ok();
        assert_eq!(kept(Sampler::All), Some(rows(&[0, 1, 2, 3])));
        assert_eq!(kept(rows(&[5, 3, 5])), Some(rows(&[3])));
        assert_eq!(kept(rows(&[5])), None);
        assert_eq!(kept(Sampler::Drawn([5, 3].into())), None);
        assert!(dropping.restrict(&Sampler::All, 7).is_err());
    }
}
