//! A function of float64 that is computed once for each distinct argument of a row.

/// The number of arguments that are remembered: a power of two.
const SLOTS: usize = 256;

/// Remembers results. An argument may displace another one.
#[derive(Debug)]
pub(crate) struct Memo {
    /// The bits of an argument, and its result. Each slot holds an argument that belongs there, or
    /// one that belongs elsewhere and is never found.
    slots: Box<[(u64, f64); SLOTS]>,
}

impl Default for Memo {
    fn default() -> Self {
        let mut memo = Memo {
            slots: Box::new([(0, 0.0); SLOTS]),
        };
        memo.forget();
        memo
    }
}

impl Memo {
    /// Forgets all results.
    pub(crate) fn forget(&mut self) {
        // 0 belongs into slot 0.
        self.slots.fill((0, 0.0));
        self.slots[0].0 = 1;
    }

    fn slot(bits: u64) -> usize {
        // The golden ratio spreads the upper bits, in which small whole numbers differ.
        (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize
    }

    /// `compute(value)`, remembered.
    #[inline(always)]
    pub(crate) fn get(&mut self, value: f64, compute: impl FnOnce(f64) -> f64) -> f64 {
        let bits = value.to_bits();
        let slot = &mut self.slots[Self::slot(bits)];
        if slot.0 != bits {
            *slot = (bits, compute(value));
        }
        slot.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memo_returns_what_was_computed() {
        let mut memo = Memo::default();
        assert_ne!(
            Memo::slot(1),
            0,
            "the mark of an empty slot 0 belongs elsewhere"
        );
        let mut n_computed = 0;
        for round in 1..3 {
            for i in (0..1000).chain(0..20).chain(0..20) {
                let value = f64::from(i) / 4.0;
                let got = memo.get(value, |value| {
                    n_computed += 1;
                    value * f64::from(round)
                });
                assert_eq!(got, value * f64::from(round));
            }
            memo.forget();
        }
        assert!(n_computed < 2 * 1040);
        assert!(memo.get(-0.0, |value| value).is_sign_negative());
        assert!(memo.get(0.0, |value| value).is_sign_positive());
        assert_eq!(memo.get(f64::NAN, |_| 3.0), 3.0);
    }
}
