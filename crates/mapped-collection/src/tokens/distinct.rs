//! Ranks the values of a row by numbering the distinct ones. Counts, and what transforms make of them,
//! have few: they are sorted instead of the row.

use std::ops::Range;

use anndata_io::Scalar;

use crate::tokens::keys::key;
use crate::tokens::lanes::{LANES, by_lanes};
use crate::transform::memo::spread;

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
    /// The numbers by ascending key.
    order: Vec<(u64, u8)>,
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct {
            keys: [0; MOST_DISTINCT + 1],
            n_keys: 0,
            slots: [FREE; 1 << SLOT_BITS],
            numbers: Vec::new(),
            order: Vec::new(),
        }
    }
}

impl Distinct {
    /// Numbers the distinct values of a row. Returns whether there are few.
    #[inline]
    pub(super) fn find<T: Scalar>(&mut self, values: &[T]) -> bool {
        self.numbers.resize(values.len(), 0);
        self.order.clear();
        if self.are_bytes(values) {
            let descending = (0..=u8::MAX).rev();
            self.order.extend((0..).zip(descending));
            return true;
        }
        self.n_keys = 0;
        self.slots.fill(FREE);
        let sample = values.len().min(SAMPLE);
        let are_few = self.number(values, 0..sample)
            && self.n_keys <= sample / 4 * 3
            && self.number(values, sample..values.len());
        if are_few {
            let keys = self.keys[..self.n_keys].iter().copied();
            self.order.extend(keys.zip(0..));
            self.order.sort_unstable();
        }
        are_few
    }

    /// Takes the values as their own numbers. Returns whether all are whole numbers of one byte.
    fn are_bytes<T: Scalar>(&mut self, values: &[T]) -> bool {
        // In blocks, without branches inside: vector instructions do it.
        let mut blocks = values.chunks(SAMPLE).zip(self.numbers.chunks_mut(SAMPLE));
        blocks.all(|(values, numbers)| {
            let mut are_bytes = true;
            for (&value, number) in values.iter().zip(numbers) {
                *number = u8::cast_from(value);
                are_bytes &= T::cast_from(*number) == value;
            }
            are_bytes
        })
    }

    fn number<T: Scalar>(&mut self, values: &[T], range: Range<usize>) -> bool {
        let numbers = &mut self.numbers[range.clone()];
        for (&value, out) in values[range].iter().zip(numbers) {
            let key = key(value);
            let mut slot = spread(key, SLOT_BITS);
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
        let mut end = 0;
        for &(_, number) in &self.order {
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
