//! The rows of each batch: the order of an epoch, cut into steps, and the part of one reader.

use std::ops::Range;

use crate::order::matched::Controls;
use crate::order::{Locality, Order};

/// One of several readers that divide an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct Part {
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl Part {
    /// The only reader.
    pub(crate) const WHOLE: Part = Part { number: 0, of: 1 };
}

/// The batches of one reader in one epoch, from a position of the order on.
///
/// A step is `batch_size` rows for each rank. Ranks divide the rows of every step. The readers of
/// one rank divide its batches: reader `r` of `R` has the batches of steps `r`, `r + R`, ….
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) order: Order,
    /// The first position, where the epoch begins or continues.
    pub(crate) start: usize,
    pub(crate) batch_size: usize,
    pub(crate) drop_last: bool,
    /// Whether ranks repeat rows, so that all have the same number in the last step.
    pub(crate) pad: bool,
    pub(crate) rank: Part,
    pub(crate) reader: Part,
    /// With controls, every batch is followed by a read of the controls of its rows.
    pub(crate) controls: Option<Controls>,
}

impl Schedule {
    /// The number of reads per batch: that of its rows, and that of their controls.
    pub(crate) fn reads_per_batch(&self) -> usize {
        1 + usize::from(self.controls.is_some())
    }

    /// The number of reads of this reader.
    pub(crate) fn n_reads(&self) -> usize {
        self.n_batches() * self.reads_per_batch()
    }

    /// The rows of read `number`; `None` past the last one.
    pub(crate) fn rows_of_read(&self, number: usize) -> Option<Vec<usize>> {
        let positions = self.positions(number / self.reads_per_batch())?;
        let row = |at: usize| self.order.row(at);
        Some(match (&self.controls, number % self.reads_per_batch()) {
            (Some(controls), 1) => controls.draw(positions.map(|at| (at, row(at)))),
            _ => positions.map(row).collect(),
        })
    }

    /// Where rows that are neighbours in a file come.
    pub(crate) fn locality(&self) -> Locality {
        match (self.order.locality(), &self.controls) {
            (Locality::Anywhere, None) if self.is_ascending() => Locality::Neighbours,
            (locality, None) => locality,
            (_, Some(_)) => Locality::Anywhere,
        }
    }

    /// The number of positions from one batch of this reader to its next.
    pub(crate) fn step_rows(&self) -> usize {
        self.batch_size * self.rank.of * self.reader.of
    }

    /// The number of positions that the ranks divide in one step.
    fn rank_step(&self) -> usize {
        self.batch_size * self.rank.of
    }

    fn rest(&self) -> usize {
        self.order.len().saturating_sub(self.start)
    }

    /// Whether rows come in file order. Stops at the first that does not.
    fn is_ascending(&self) -> bool {
        let rows = (self.start..self.order.len()).map(|at| self.order.row(at));
        rows.is_sorted()
    }

    /// The number of batches of this reader.
    pub(crate) fn n_batches(&self) -> usize {
        let full = self.rest() / self.rank_step();
        let steps = full + usize::from(!self.last_step().is_empty());
        steps
            .saturating_sub(self.reader.number)
            .div_ceil(self.reader.of)
    }

    /// The positions of this rank in a last step that is not full, relative to the step's first
    /// one. With padding, they may reach beyond the end of the order.
    fn last_step(&self) -> Range<usize> {
        let rows = self.rest() % self.rank_step();
        let Part { number, of } = self.rank;
        if self.drop_last || rows == 0 {
            return 0..0;
        }
        if self.pad {
            let each = rows.div_ceil(of);
            return number * each..(number + 1) * each;
        }
        let (each, longer) = (rows / of, rows % of);
        let first = number * each + number.min(longer);
        first..first + each + usize::from(number < longer)
    }

    /// The positions in the order of the rows of batch `number`; `None` past the last one.
    fn positions(&self, number: usize) -> Option<impl Iterator<Item = usize>> {
        if number >= self.n_batches() {
            return None;
        }
        let step = number * self.reader.of + self.reader.number;
        let within = if step < self.rest() / self.rank_step() {
            let first = self.rank.number * self.batch_size;
            first..first + self.batch_size
        } else {
            self.last_step()
        };
        let first = self.start + step * self.rank_step();
        let len = self.order.len();
        let of_order = move |at: usize| if at < len { at } else { at % len };
        Some(within.map(move |at| of_order(first + at)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(n: usize, batch_size: usize) -> Schedule {
        Schedule {
            order: Order::InOrder(n),
            start: 0,
            batch_size,
            drop_last: false,
            pad: true,
            rank: Part::WHOLE,
            reader: Part::WHOLE,
            controls: None,
        }
    }

    fn all(schedule: &Schedule) -> Vec<Vec<usize>> {
        let rows = |number| {
            schedule
                .rows_of_read(number)
                .expect("a batch of the reader")
        };
        (0..schedule.n_batches()).map(rows).collect()
    }

    /// The rows that each rank reads.
    fn ranks(schedule: &Schedule, of: usize) -> Vec<Vec<Vec<usize>>> {
        let rank = |number| Part { number, of };
        let of_rank = |number| {
            all(&Schedule {
                rank: rank(number),
                ..schedule.clone()
            })
        };
        (0..of).map(of_rank).collect()
    }

    #[test]
    fn last_step_of_one_rank_is_short_or_dropped() {
        let whole = schedule(7, 4);
        assert_eq!(all(&whole), [vec![0, 1, 2, 3], vec![4, 5, 6]]);
        let dropped = Schedule {
            drop_last: true,
            ..whole.clone()
        };
        assert_eq!(all(&dropped), [vec![0, 1, 2, 3]]);
        assert_eq!(
            all(&Schedule {
                start: 4,
                batch_size: 2,
                ..whole
            }),
            [vec![4, 5], vec![6]]
        );
    }

    #[test]
    fn last_step_of_several_ranks_is_divided_evenly() {
        assert_eq!(
            ranks(&schedule(5, 2), 2),
            [[vec![0, 1], vec![4]], [vec![2, 3], vec![0]]]
        );
        assert_eq!(ranks(&schedule(3, 4), 2), [[vec![0, 1]], [vec![2, 0]]]);
        let unpadded = Schedule {
            pad: false,
            ..schedule(5, 2)
        };
        assert_eq!(
            ranks(&unpadded, 2),
            [vec![vec![0, 1], vec![4]], vec![vec![2, 3]]]
        );
        assert_eq!(
            ranks(
                &Schedule {
                    pad: false,
                    ..schedule(3, 4)
                },
                2
            ),
            [[vec![0, 1]], [vec![2]]]
        );
    }

    #[test]
    fn schedule_readers_divide_the_batches_of_their_rank() {
        let reader = |number| Schedule {
            reader: Part { number, of: 2 },
            ..schedule(5, 2)
        };
        assert_eq!(all(&reader(0)), [vec![0, 1], vec![4]]);
        assert_eq!(all(&reader(1)), [vec![2, 3]]);
    }

    proptest! {
        #[test]
        fn schedule_has_every_row_as_often_as_the_options_say(
            n in 0..60usize, start in 0..60usize, batch_size in 1..9usize, world in 1..6usize,
            readers in 1..4usize, drop_last in any::<bool>(), pad in any::<bool>(),
        ) {
            let start = start.min(n);
            let whole = Schedule { start, drop_last, pad, ..schedule(n, batch_size) };
            let by_rank = ranks(&whole, world);
            let rest = n - start;
            let full = rest / (batch_size * world) * batch_size * world;
            let mut found: Vec<usize> = by_rank.iter().flatten().flatten().copied().collect();
            found.sort_unstable();
            if drop_last {
                prop_assert!(found.into_iter().eq(start..start + full));
            } else {
                let repeated = found.len() - rest;
                let most = if pad { world - 1 } else { 0 };
                prop_assert!(repeated <= most);
                let distinct: std::collections::BTreeSet<usize> = found.into_iter().collect();
                let all_come = (start..n).all(|row| distinct.contains(&row));
                prop_assert!(all_come);
            }
            let counts: Vec<usize> = by_rank.iter().map(Vec::len).collect();
            let least = counts.iter().min().expect("a rank");
            prop_assert!(counts.iter().all(|n| n - least <= usize::from(!pad)));
            let sizes = by_rank.iter().map(|batches| batches.concat().len());
            let spread = sizes.clone().max().expect("a rank") - sizes.min().expect("a rank");
            prop_assert!(spread <= usize::from(!pad));
            // Together, the readers read the rows that their rank reads without them.
            for (number, batches) in by_rank.iter().enumerate() {
                let rank = Part { number, of: world };
                for (number, expected) in (0..readers).map(|r| (r, batches.iter().skip(r).step_by(readers))) {
                    let reader = Part { number, of: readers };
                    let part = Schedule { rank, reader, ..whole.clone() };
                    prop_assert!(all(&part).iter().eq(expected));
                }
            }
        }
    }
}
