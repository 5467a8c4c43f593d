//! Ranks the values of a row by numbering the distinct ones. Counts, and what transforms make of them,
//! have few: they are sorted instead of the row.

use std::ops::Range;

use anndata_io::Scalar;

use crate::tokens::keys::key;
use crate::tokens::lanes::{LANES, by_lanes};

/// The most distinct values of a row: their numbers are bytes, one of which marks a free slot.
const MOST_DISTINCT: usize = 255;
const FREE: u8 = 255;
/// With four slots for each value, most are found in the first slot.
const SLOT_BITS: u32 = 10;
/// The number of values that show whether most of a row's are distinct.
const SAMPLE: usize = 64;

/// The distinct values of a row.
#[derive(Debug)]
pub(super) struct Distinct {
    /// The keys of the values, by their numbers.
    keys: [u64; MOST_DISTINCT + 1],
    n_keys: usize,
    /// The number of the key that hashes to a slot, or to one before it.
    slots: [u8; 1 << SLOT_BITS],
    /// The number of each value of the row.
    numbers: Vec<u8>,
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct {
            keys: [0; MOST_DISTINCT + 1],
            n_keys: 0,
            slots: [FREE; 1 << SLOT_BITS],
            numbers: Vec::new(),
        }
    }
}

impl Distinct {
    /// Numbers the distinct values of a row. Returns whether there are few.
    #[inline]
    pub(super) fn find<T: Scalar>(&mut self, values: &[T]) -> bool {
        self.n_keys = 0;
        self.slots.fill(FREE);
        self.numbers.resize(values.len(), 0);
        let sample = values.len().min(SAMPLE);
        self.number(values, 0..sample)
            && self.n_keys <= sample / 4 * 3
            && self.number(values, sample..values.len())
    }

    fn number<T: Scalar>(&mut self, values: &[T], range: Range<usize>) -> bool {
        let numbers = &mut self.numbers[range.clone()];
        for (&value, out) in values[range].iter().zip(numbers) {
            let key = key(value);
            // The upper bits of this product depend on all bits of the key.
            let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut slot = (hash >> (64 - SLOT_BITS)) as usize;
            let mut number = self.slots[slot];
            while self.keys[usize::from(number)] != key || number == FREE {
                if number == FREE {
                    if self.n_keys == MOST_DISTINCT {
                        return false;
                    }
                    number = self.n_keys as u8;
                    self.slots[slot] = number;
                    self.keys[self.n_keys] = key;
                    self.n_keys += 1;
                } else {
                    slot = (slot + 1) & ((1 << SLOT_BITS) - 1);
                    number = self.slots[slot];
                }
            }
            *out = number;
        }
        true
    }

    /// Returns the positions of the values in `ranked`, by ascending key. Equal values stay in order.
    pub(super) fn rank(&self, ranked: &mut Vec<u32>) {
        let mut places = [[0u32; LANES]; MOST_DISTINCT + 1];
        by_lanes(&self.numbers, |lane, _, number| {
            places[usize::from(number)][lane] += 1;
        });
        let mut order: Vec<(u64, u8)> = self.keys[..self.n_keys].iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut end = 0;
        for (_, number) in order {
            for place in &mut places[usize::from(number)] {
                (*place, end) = (end, end + *place);
            }
        }
        ranked.resize(self.numbers.len(), 0);
        by_lanes(&self.numbers, |lane, at, number| {
            let place = &mut places[usize::from(number)][lane];
            ranked[*place as usize] = at;
            *place += 1;
        });
    }
}
