//! A hash table of row numbers: it holds no copy of what the rows are found by.

/// No number.
const EMPTY: u32 = u32::MAX;

/// Numbers of things that the caller holds. The caller hashes and compares them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// A power of two of them, at most half of which are used.
    slots: Vec<u32>,
    len: usize,
}

impl Slots {
    /// A table that holds this many numbers without growing.
    pub(crate) fn with_capacity(len: usize) -> Slots {
        let n_slots = (2 * len).next_power_of_two().max(16);
        Slots {
            slots: vec![EMPTY; n_slots],
            len: 0,
        }
    }

    /// Returns the number of a thing with this hash that is the same as the wanted one.
    pub(crate) fn find(&self, hash: u64, is_same: impl Fn(u32) -> bool) -> Option<u32> {
        let numbers = self.places(hash).map(|at| self.slots[at]);
        let mut used = numbers.take_while(|&number| number != EMPTY);
        used.find(|&number| is_same(number))
    }

    /// Adds a thing that is not there yet. `hash_of` hashes those that were added before.
    pub(crate) fn add(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if 2 * (self.len + 1) > self.slots.len() {
            let mut grown = Slots::with_capacity(2 * (self.len + 1));
            let used = self.slots.iter().filter(|&&number| number != EMPTY);
            used.for_each(|&number| grown.put(hash_of(number), number));
            *self = grown;
        }
        self.put(hash, number);
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mut places = self.places(hash);
        let free = places.find(|&at| self.slots[at] == EMPTY);
        self.slots[free.expect("half of the slots are free")] = number;
        self.len += 1;
    }

    /// The places where a thing with this hash may be, in order.
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let n_slots = self.slots.len();
        (0..n_slots).map(move |step| (hash as usize).wrapping_add(step) & (n_slots - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_things_of_one_hash_apart_while_they_grow() {
        let mut slots = Slots::default();
        let hash_of = |number: u32| u64::from(number % 7);
        for number in 0..1000 {
            assert_eq!(slots.find(hash_of(number), |other| other == number), None);
            slots.add(hash_of(number), number, hash_of);
        }
        for number in 0..1000 {
            let found = slots.find(hash_of(number), |other| other == number);
            assert_eq!(found, Some(number));
        }
        assert_eq!(slots.find(3, |_| false), None);
    }
}
