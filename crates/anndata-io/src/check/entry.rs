//! An element under a check: its report, and the faults that were found in it so far.

use super::report::ElementReport;
use crate::chain::chain;
use crate::error::Error;
use crate::limits::MAX_LISTED_FAULTS;

/// How an error of an element is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// A fault, whatever its kind: nothing works without the element.
    Fault,
    /// A fault, unless the element is merely unsupported.
    FaultIfSupported,
    /// A notice.
    Notice,
}

/// An element, or a place in the file that could not be listed.
pub(super) struct Entry {
    pub(super) severity: Severity,
    pub(super) report: Option<ElementReport>,
    /// Each fault: the piece in which it was found, its text, and the error.
    pub(super) faults: Vec<(u64, String, Error)>,
    pub(super) more_faults: u64,
    /// The error of reading the element as a whole: a fault, unless its pieces report more precise
    /// ones.
    pub(super) otherwise: Option<Error>,
}

impl Entry {
    pub(super) fn add(&mut self, piece: u64, faults: Vec<Error>) {
        for fault in faults {
            let text = chain(&fault).to_string();
            // Pieces that share a chunk share its fault.
            if !self.faults.iter().any(|(_, known, _)| *known == text) {
                self.faults.push((piece, text, fault));
            }
        }
        self.faults.sort_by_key(|(piece, ..)| *piece);
        self.more_faults += self.faults.len().saturating_sub(MAX_LISTED_FAULTS) as u64;
        self.faults.truncate(MAX_LISTED_FAULTS);
    }
}
