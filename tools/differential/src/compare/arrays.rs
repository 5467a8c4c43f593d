//! Compares the arrays of two readers, element by element.

use anndata_io::{Array, Error, Node, Store, ValuesRef};

use super::{Comparison, is_unsupported, shown};

/// The bytes of an array that are compared at a time.
const STEP_BYTES: u64 = 8 << 20;
/// The most elements that are shown of an array that differs.
const SHOWN: usize = 5;
/// The end of a name in the fixtures: the array `NAME__plain` holds the values of `NAME`, without a filter or codec that
/// one of the readers may lack.
const PLAIN: &str = "__plain";

impl Comparison<'_> {
    pub(super) fn array(&mut self, ours: &Store, other: &Store, element: &str) {
        let mut of_ours = ours.array(element);
        let mut of_other = other.array(element);
        // The twin of a damaged array is not damaged.
        let refuses = |array: &Result<Array, Error>| array.as_ref().is_err_and(is_unsupported);
        if self.original.is_none() && refuses(&of_ours) != refuses(&of_other) {
            of_ours = or_plain(of_ours, ours, element);
            of_other = or_plain(of_other, other, element);
        }
        let Some((ours, other)) = self.both(element, "array", of_ours, of_other) else {
            return;
        };
        let described = |array: &Array| format!("{:?} of shape {:?}", array.dtype(), array.shape());
        let (of_ours, of_other) = (described(&ours), described(&other));
        let before = self.original.and_then(|store| store.array(element).ok());
        let before = before.filter(|before| described(before) == of_ours);
        if of_ours != of_other {
            if before.is_none() {
                self.different(element, "type and shape", None, of_ours, of_other);
            }
            return;
        }
        match ours.dtype() {
            Some(dtype) => self.numbers([&ours, &other], before, element, dtype.size()),
            None => self.texts([&ours, &other], before, element),
        }
    }

    fn numbers(
        &mut self,
        [ours, other]: [&Array; 2],
        before: Option<Array>,
        element: &str,
        size: usize,
    ) {
        let n_rows = ours.shape().first().copied().unwrap_or(1);
        let row_len: u64 = ours.shape().iter().skip(1).product();
        let step = (STEP_BYTES / (row_len * size as u64).max(1)).max(1);
        let (mut row, mut shown) = (0, 0);
        while row < n_rows {
            let end = (row + step).min(n_rows);
            let (ours, other) = (
                ours.read_row_range(row..end),
                other.read_row_range(row..end),
            );
            let Some((ours, other)) = self.both(element, "elements", ours, other) else {
                return;
            };
            let before = before.as_ref();
            let before = before.and_then(|before| before.read_row_range(row..end).ok());
            let before = before.as_ref().map(|before| before.as_slice());
            let (ours, other) = (ours.as_slice(), other.as_slice());
            self.report.bytes += ours.as_bytes().len() as u64;
            // Compares bytes, not values: two NaN may differ.
            for at in 0..ours.len() {
                let bytes = at * size..(at + 1) * size;
                let value = &ours.as_bytes()[bytes.clone()];
                let is_value = |all: ValuesRef<'_>| &all.as_bytes()[bytes.clone()] == value;
                if is_value(other) || before.is_some_and(is_value) {
                    continue;
                }
                if shown == SHOWN {
                    return;
                }
                shown += 1;
                let index = Some(row * row_len + at as u64);
                let of = |bytes: &[u8], value| format!("{value:?} (bytes {bytes:02x?})");
                let (a, b) = (
                    of(&ours.as_bytes()[bytes.clone()], ours.get(at)),
                    of(&other.as_bytes()[bytes], other.get(at)),
                );
                self.different(element, "element", index, a, b);
            }
            row = end;
        }
        self.report.arrays += u64::from(shown == 0);
    }

    fn texts(&mut self, [ours, other]: [&Array; 2], before: Option<Array>, element: &str) {
        if ours.shape().len() > 1 {
            let unread = self.unread(element, "texts of more than one dimension");
            return self.report.not_judged.push(unread);
        }
        let texts = self.both(element, "texts", ours.read_strings(), other.read_strings());
        let Some((ours, other)) = texts else { return };
        if ours.len() != other.len() {
            let (ours, other) = (ours.len().to_string(), other.len().to_string());
            return self.different(element, "number of texts", None, ours, other);
        }
        self.report.bytes += ours.iter().map(|text| text.len() as u64).sum::<u64>();
        let before = before.and_then(|before| before.read_strings().ok());
        let is_as_before = |at: usize, text: &str| {
            let before = before.as_ref().and_then(|before| before.get(at));
            before == Some(text)
        };
        let pairs = ours.iter().zip(other.iter()).enumerate();
        let different = pairs.filter(|(at, (a, b))| a != b && !is_as_before(*at, a));
        let mut different = different.take(SHOWN).peekable();
        self.report.arrays += u64::from(different.peek().is_none());
        for (index, (a, b)) in different {
            self.different(element, "text", Some(index as u64), shown(&a), shown(&b));
        }
    }
}

/// Replaces an array that a reader does not support by its twin, if there is one.
fn or_plain(array: Result<Array, Error>, store: &Store, element: &str) -> Result<Array, Error> {
    let plain = format!("{element}{PLAIN}");
    let is_there = || matches!(store.node(&plain), Ok(Some(Node::Array)));
    match array {
        Err(error) if is_unsupported(&error) && is_there() => store.array(&plain),
        array => array,
    }
}
