//! A function that is computed once for each distinct argument of a row.

/// The number of arguments that are remembered: a power of two.
const SLOTS: usize = 256;

/// Remembers results by the bits of arguments. An argument may displace another one.
///
/// There is one table for arguments and results of up to 32 bits, which reads faster, and one for
/// 64 bits.
#[derive(Debug)]
pub(crate) struct Memo {
    /// An argument in the lower half, and its result in the upper half.
    narrow: Box<[u64; SLOTS]>,
    /// An argument, and its result.
    wide: Box<[(u64, f64); SLOTS]>,
    /// Whether a table has results.
    has_narrow: bool,
    has_wide: bool,
}

// Each slot holds an argument that belongs there, or one that belongs elsewhere and is never found.
// 0 belongs into slot 0; 1 does not.
const EMPTY: u64 = 0;
const EMPTY_FIRST: u64 = 1;

/// The golden ratio: the upper bits of the product depend on all bits of the argument.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

fn slot(bits: u64) -> usize {
    spread(bits, SLOTS.trailing_zeros())
}

/// A number of `n_bits` bits for an argument. Similar arguments have different numbers.
#[inline(always)]
pub(crate) fn spread(bits: u64, n_bits: u32) -> usize {
    (bits.wrapping_mul(SPREAD) >> (64 - n_bits)) as usize
}

impl Default for Memo {
    fn default() -> Self {
        let mut memo = Memo {
            narrow: Box::new([EMPTY; SLOTS]),
            wide: Box::new([(EMPTY, 0.0); SLOTS]),
            has_narrow: true,
            has_wide: true,
        };
        memo.forget();
        memo
    }
}

impl Memo {
    /// Forgets all results.
    pub(crate) fn forget(&mut self) {
        if std::mem::take(&mut self.has_narrow) {
            self.narrow.fill(EMPTY);
            self.narrow[0] = EMPTY_FIRST;
        }
        if std::mem::take(&mut self.has_wide) {
            self.wide.fill((EMPTY, 0.0));
            self.wide[0].0 = EMPTY_FIRST;
        }
    }

    /// The result for an argument with these bits.
    #[inline(always)]
    pub(crate) fn narrow(&mut self, bits: u32, compute: impl FnOnce() -> u32) -> u32 {
        let slot = &mut self.narrow[slot(bits.into())];
        if *slot as u32 != bits {
            self.has_narrow = true;
            *slot = (u64::from(compute()) << 32) | u64::from(bits);
        }
        (*slot >> 32) as u32
    }

    /// `compute(value)`, remembered.
    #[inline(always)]
    pub(crate) fn wide(&mut self, value: f64, compute: impl FnOnce(f64) -> f64) -> f64 {
        let bits = value.to_bits();
        let slot = &mut self.wide[slot(bits)];
        if slot.0 != bits {
            self.has_wide = true;
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
        assert_eq!(slot(EMPTY), 0);
        assert_ne!(slot(EMPTY_FIRST), 0);
        let mut n_computed = 0;
        for round in 1..3u32 {
            for i in (0..1000).chain(0..20).chain(0..20) {
                let value = f64::from(i) / 4.0;
                let wide = memo.wide(value, |value| {
                    n_computed += 1;
                    value * f64::from(round)
                });
                assert_eq!(wide, value * f64::from(round));
                let narrow = memo.narrow(i, || {
                    n_computed += 1;
                    i * round
                });
                assert_eq!(narrow, i * round);
            }
            memo.forget();
        }
        assert!(n_computed < 2 * 2 * 1040);
        assert!(memo.wide(-0.0, |value| value).is_sign_negative());
        assert!(memo.wide(0.0, |value| value).is_sign_positive());
        assert_eq!(memo.wide(f64::NAN, |_| 3.0), 3.0);
        assert_eq!((memo.narrow(0, || 7), memo.narrow(1, || 8)), (7, 8));
    }
}
