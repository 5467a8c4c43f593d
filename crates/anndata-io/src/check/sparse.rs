//! A CSR or CSC matrix under a check: its indices, their order, and its values.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scan::{Findings, Scratch, border};
use crate::array::rows::Buffers;
use crate::array::{Array, STEP_ELEMENTS};
use crate::dtype::ValuesRef;
use crate::error::Error;
use crate::io::lock::lock;
use crate::matrix::compressed::{AXES, Compressed};

/// The column of the element before or after a border.
enum BorderMinor {
    Before(i64),
    After(i64),
}

/// A CSR or CSC matrix as it is in the file. Pieces end where chunks end, even within a row.
pub(super) struct Sparse {
    parts: Compressed,
    /// Rows (columns of CSC) whose elements do not ascend, one bit per row.
    unordered: Vec<AtomicU64>,
    /// The columns on either side of a border between pieces that divides a row, until both are
    /// known.
    borders: Mutex<HashMap<u64, BorderMinor>>,
}

impl Sparse {
    pub(super) fn new(parts: Compressed) -> Sparse {
        let n_words = parts.indptr.len() / 64 + 1;
        Sparse {
            parts,
            unordered: (0..n_words).map(|_| AtomicU64::new(0)).collect(),
            borders: Mutex::default(),
        }
    }

    /// The number of elements that belong to rows.
    pub(super) fn n_elements(&self) -> u64 {
        self.parts.indptr.last().copied().unwrap_or_default()
    }

    /// The number of stored elements that belong to no row.
    pub(super) fn n_unused(&self) -> u64 {
        self.parts.data.len() - self.n_elements()
    }

    /// The number of rows (columns of CSC) whose elements do not ascend, after all pieces were
    /// read.
    pub(super) fn n_unordered(&self) -> u64 {
        let words = self.unordered.iter();
        words
            .map(|word| u64::from(word.load(Ordering::Relaxed).count_ones()))
            .sum()
    }

    pub(super) fn piece_len(&self) -> u64 {
        border(&self.parts.indices).max(border(&self.parts.data))
    }

    /// Returns the row (column of CSC) of an element.
    fn major(&self, element: u64) -> usize {
        let behind = self.parts.indptr.partition_point(|&start| start <= element);
        behind.saturating_sub(1)
    }

    fn set_unordered(&self, major: usize) {
        self.unordered[major / 64].fetch_or(1 << (major % 64), Ordering::Relaxed);
    }

    pub(super) fn scan(&self, piece: u64, scratch: &mut Scratch, found: &mut Findings) {
        let len = self.piece_len();
        let start = piece * len;
        let end = start.saturating_add(len).min(self.n_elements());
        let arrays = [&self.parts.indices, &self.parts.data];
        for array in arrays {
            found.look_for_range(array, &(start..end));
        }
        let mut failed = [None; 2];
        // The column of the last element, if it was read.
        let mut before = None;
        let mut at = start;
        while at < end {
            let step = |array: &&Array| (at / border(array) + 1).saturating_mul(border(array));
            let next = arrays.iter().map(step).min().unwrap_or(end);
            let range = at..next.min(at + STEP_ELEMENTS).min(end);
            at = range.end;
            let minors = read(
                arrays[0],
                range.clone(),
                Buffers {
                    reader: &mut scratch.first,
                    bytes: &mut scratch.first_bytes,
                },
                &mut failed[0],
                found,
            );
            if let Some(bytes) = minors {
                let minors = ValuesRef::from_bytes(self.parts.minor_type(), bytes).to_vec::<i64>();
                if range.start == start {
                    self.tell(start, BorderMinor::After(minors[0]));
                }
                self.check_minors(range.start, &minors, before, found);
                before = minors.last().copied();
            } else {
                before = None;
            }
            let values = read(
                arrays[1],
                range,
                Buffers {
                    reader: &mut scratch.second,
                    bytes: &mut scratch.second_bytes,
                },
                &mut failed[1],
                found,
            );
            if let Some(bytes) = values {
                found.count(ValuesRef::from_bytes(self.parts.dtype(), bytes), true);
            }
        }
        if let Some(last) = before {
            self.tell(end, BorderMinor::Before(last));
        }
    }

    /// Records the column on one side of a border; compares the two once both are known.
    fn tell(&self, border: u64, side: BorderMinor) {
        if border == 0 || border >= self.n_elements() {
            return;
        }
        let major = self.major(border);
        if self.parts.indptr[major] == border {
            return;
        }
        let mut borders = lock(&self.borders);
        let (before, behind) = match (borders.remove(&border), side) {
            (Some(BorderMinor::Before(before)), BorderMinor::After(behind))
            | (Some(BorderMinor::After(behind)), BorderMinor::Before(before)) => (before, behind),
            (_, side) => {
                borders.insert(border, side);
                return;
            }
        };
        if before >= behind {
            self.set_unordered(major);
        }
    }

    /// Checks the columns of elements from `start` on; `before` is the column before them.
    fn check_minors(&self, start: u64, minors: &[i64], before: Option<i64>, found: &mut Findings) {
        let n_minor = i64::try_from(self.parts.n_minor()).unwrap_or(i64::MAX);
        let indptr = &self.parts.indptr;
        let stop = start + minors.len() as u64;
        let (mut at, mut major) = (start, self.major(start));
        while at < stop {
            let end = indptr[major + 1].min(stop);
            let row = &minors[(at - start) as usize..(end - start) as usize];
            let before = before.filter(|_| at == start && indptr[major] < start);
            if !row.is_sorted_by(|a, b| a < b) || before.is_some_and(|before| before >= row[0]) {
                self.set_unordered(major);
            }
            for &minor in row {
                if !(0..n_minor).contains(&minor) {
                    found.fault(|| self.no_such_minor(major, minor));
                }
            }
            at = end;
            // Skip rows without elements.
            while at < stop && indptr[major + 1] <= at {
                major += 1;
            }
        }
    }

    fn no_such_minor(&self, major: usize, minor: i64) -> Error {
        let (of_major, of_minor) = (AXES[self.parts.major], AXES[1 - self.parts.major]);
        let expected = format!("{of_minor}s from 0 to below {}", self.parts.n_minor());
        let found = format!("{of_minor} {minor} in {of_major} {major}");
        self.parts.indices.invalid(expected, found)
    }
}

/// Reads a range within one chunk; `None` if it cannot be read. A chunk that failed is not tried
/// again.
fn read<'a>(
    array: &Array,
    range: Range<u64>,
    Buffers { reader, bytes }: Buffers<'a>,
    failed: &mut Option<u64>,
    found: &mut Findings,
) -> Option<&'a [u8]> {
    let chunk = range.start / array.chunk_shape()[0];
    if *failed == Some(chunk) && !array.is_direct() {
        return None;
    }
    match array.read_or_view(range, reader, bytes) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            *failed = Some(chunk);
            found.fault(|| error);
            None
        }
    }
}
