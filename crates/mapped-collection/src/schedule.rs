//! Which rows each batch has: the order of an epoch, cut into steps, and the part of a rank.

use crate::order::Order;

/// The batches of one rank in one epoch, from a row of the order on.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) order: Order,
    /// The first position; the epoch goes on from here.
    pub(crate) start: usize,
    pub(crate) batch_size: usize,
    pub(crate) drop_last: bool,
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
}

impl Schedule {
    /// Rows of all ranks in one step.
    pub(crate) fn step_rows(&self) -> usize {
        self.batch_size * self.world_size
    }

    /// Batches of this rank.
    pub(crate) fn n_batches(&self) -> usize {
        let rest = self.order.len().saturating_sub(self.start);
        if self.drop_last {
            rest / self.step_rows()
        } else {
            rest.div_ceil(self.step_rows())
        }
    }

    /// The rows of batch `number`; `None` past the last one.
    ///
    /// A last step that is not full is completed from the order's start when there are several
    /// ranks, so that all get as many rows; a single rank gets a smaller batch.
    pub(crate) fn rows(&self, number: usize) -> Option<Vec<usize>> {
        if number >= self.n_batches() {
            return None;
        }
        let first = self.start + number * self.step_rows() + self.rank * self.batch_size;
        let len = self.order.len();
        let positions = first..first + self.batch_size;
        Some(if self.world_size == 1 {
            (positions.start..positions.end.min(len))
                .map(|at| self.order.row(at))
                .collect()
        } else {
            positions.map(|at| self.order.row(at % len)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(
        n: usize,
        start: usize,
        batch_size: usize,
        world_size: usize,
        drop_last: bool,
    ) -> Vec<Vec<usize>> {
        let schedule = |rank| Schedule {
            order: Order::InOrder(n),
            start,
            batch_size,
            drop_last,
            rank,
            world_size,
        };
        let n_batches = schedule(0).n_batches();
        let rows = |rank: usize, number| schedule(rank).rows(number).expect("a batch of the rank");
        (0..n_batches)
            .map(|number| (0..world_size).flat_map(|r| rows(r, number)).collect())
            .collect()
    }

    #[test]
    fn the_ranks_together_give_the_order() {
        for world_size in 1..5 {
            for n in [12, 24, 60] {
                let steps = ranks(n, 0, 3, world_size, true).concat();
                assert!(
                    steps
                        .iter()
                        .copied()
                        .eq(0..n / (3 * world_size) * 3 * world_size)
                );
            }
        }
    }

    #[test]
    fn a_last_step_is_short_dropped_or_completed() {
        assert_eq!(ranks(7, 0, 4, 1, false), [vec![0, 1, 2, 3], vec![4, 5, 6]]);
        assert_eq!(ranks(7, 0, 4, 1, true), [vec![0, 1, 2, 3]]);
        assert_eq!(
            ranks(5, 0, 2, 2, false),
            [vec![0, 1, 2, 3], vec![4, 0, 1, 2]]
        );
        assert_eq!(ranks(3, 0, 4, 2, false), [vec![0, 1, 2, 0, 1, 2, 0, 1]]);
        assert_eq!(ranks(7, 4, 2, 1, false), [vec![4, 5], vec![6]]);
    }
}
