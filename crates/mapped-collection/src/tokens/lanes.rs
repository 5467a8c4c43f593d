//! Visits the entries of a row in several places by turns.

/// The parts of a row that are counted side by side. Neighbours often have one digit, and adding to a
/// counter must wait for the addition before it.
pub(super) const LANES: usize = 4;

/// Visits entries, with their positions, by turns in each of the lanes, which follow one another.
#[inline]
pub(super) fn by_lanes<E: Copy>(entries: &[E], mut visit: impl FnMut(usize, u32, E)) {
    let len = entries.len() / LANES;
    let (a, rest) = entries.split_at(len);
    let (b, rest) = rest.split_at(len);
    let (c, rest) = rest.split_at(len);
    let (d, last) = rest.split_at(len);
    let step = len as u32;
    for ((((&a, &b), &c), &d), at) in a.iter().zip(b).zip(c).zip(d).zip(0..) {
        visit(0, at, a);
        visit(1, at + step, b);
        visit(2, at + 2 * step, c);
        visit(3, at + 3 * step, d);
    }
    for (&entry, at) in last.iter().zip(4 * step..) {
        visit(LANES - 1, at, entry);
    }
}
