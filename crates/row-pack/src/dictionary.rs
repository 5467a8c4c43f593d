//! The distinct values of a row, and a code of one byte for each value.

use std::cmp::Reverse;

use crate::value::Value;

/// The most values of a dictionary.
pub(crate) const MOST_VALUES: usize = 256;
/// Twice as many, so that a search is short.
const SLOTS: usize = 2 * MOST_VALUES;
const EMPTY: u16 = u16::MAX;
/// Fibonacci hashing: the upper bits of the product depend on all bits of the word.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Finds the distinct values of a row. Kept from row to row.
#[derive(Debug, Clone)]
pub(crate) struct Dictionary {
    /// The code in each slot of a hash table with open addressing.
    slots: Box<[u16; SLOTS]>,
    /// The bits of each distinct value.
    words: Vec<u64>,
    /// Where each distinct value first stands in the row.
    first: Vec<u32>,
    counts: Vec<u32>,
    /// The number of each distinct value, by first appearance, in the order of the codes.
    order: Vec<u16>,
}

impl Dictionary {
    pub(crate) fn new() -> Dictionary {
        Dictionary {
            slots: Box::new([EMPTY; SLOTS]),
            words: Vec::new(),
            first: Vec::new(),
            counts: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Replaces `codes` by the code of each value. Returns false, with useless codes, if there are
    /// more than [`MOST_VALUES`] distinct ones.
    pub(crate) fn encode<T: Value>(&mut self, values: &[T], codes: &mut Vec<u32>) -> bool {
        *self.slots = [EMPTY; SLOTS];
        self.words.clear();
        self.first.clear();
        self.counts.clear();
        codes.clear();
        for (value, position) in values.iter().zip(0..) {
            let Some(code) = self.code(value.to_word(), position) else {
                return false;
            };
            self.counts[usize::from(code)] += 1;
            codes.push(code.into());
        }
        self.order.clear();
        self.order.extend(0..self.words.len() as u16);
        true
    }

    /// The code of a value; a new one if it was not seen before. `None` if there is no room.
    #[inline]
    fn code(&mut self, word: u64, position: u32) -> Option<u16> {
        let mut slot = (word.wrapping_mul(FACTOR) >> (64 - SLOTS.ilog2())) as usize;
        loop {
            match self.slots[slot] {
                EMPTY => break,
                code if self.words[usize::from(code)] == word => return Some(code),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
        let code = self.words.len();
        if code == MOST_VALUES {
            return None;
        }
        self.slots[slot] = code as u16;
        self.words.push(word);
        self.first.push(position);
        self.counts.push(0);
        Some(code as u16)
    }

    /// Renumbers the codes so that frequent values have small ones, which take fewer bits.
    pub(crate) fn sort_by_count(&mut self, codes: &mut [u32]) {
        let counts = &self.counts;
        self.order
            .sort_unstable_by_key(|&number| (Reverse(counts[usize::from(number)]), number));
        let mut new = [0; MOST_VALUES];
        for (&old, code) in self.order.iter().zip(0..) {
            new[usize::from(old)] = code;
        }
        codes
            .iter_mut()
            .for_each(|code| *code = new[*code as usize]);
    }

    /// The number of distinct values.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Appends the distinct values, in the order of their codes.
    pub(crate) fn write<T: Value>(&self, values: &[T], out: &mut Vec<u8>) {
        for &number in &self.order {
            let position = self.first[usize::from(number)];
            T::write(&values[position as usize..][..1], out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionary_distinguishes_values_by_their_bits() {
        let (mut dictionary, mut codes) = (Dictionary::new(), Vec::new());
        let other_nan = f64::from_bits(f64::NAN.to_bits() + 1);
        let values = [0.5, -0.0, 0.0, f64::NAN, 0.5, other_nan, f64::NAN, 0.5];
        assert!(dictionary.encode(&values, &mut codes));
        assert_eq!(codes, [0, 1, 2, 3, 0, 4, 3, 0]);
        dictionary.sort_by_count(&mut codes);
        assert_eq!(codes, [0, 2, 3, 1, 0, 4, 1, 0]);
        let mut table = Vec::new();
        dictionary.write(&values, &mut table);
        let mut read = [0.0; 5];
        f64::read(&table, &mut read);
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read), bits(&[0.5, f64::NAN, -0.0, 0.0, other_nan]));
    }

    #[test]
    fn dictionary_has_room_for_256_values() {
        let (mut dictionary, mut codes) = (Dictionary::new(), Vec::new());
        // All of them begin at one slot: the products are 0 to 255.
        let inverse = (0..6).fold(1u64, |x, _| {
            x.wrapping_mul(2u64.wrapping_sub(FACTOR.wrapping_mul(x)))
        });
        let values: Vec<u64> = (0..256).map(|i| inverse.wrapping_mul(i)).collect();
        assert!(dictionary.encode(&values, &mut codes));
        assert_eq!((dictionary.len(), codes[255]), (256, 255));
        let values: Vec<u64> = (0..257).collect();
        assert!(!dictionary.encode(&values, &mut codes));
    }
}
