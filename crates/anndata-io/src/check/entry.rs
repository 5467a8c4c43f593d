//! An element under a check: its report, and the faults that were found in it so far.

use super::report::ElementReport;
use crate::error::Error;
use crate::limits::MAX_LISTED_FAULTS;

/// What an error of an element is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// A fault, whatever its kind: nothing can be done without the element.
    Fault,
    /// A fault, unless the element is only not supported.
    FaultIfSupported,
    /// A notice.
    Notice,
}

/// An element, or a place in the file that could not be listed.
pub(super) struct Entry {
    pub(super) severity: Severity,
    pub(super) report: Option<ElementReport>,
    /// The piece in which each was found, and its text.
    pub(super) faults: Vec<(u64, String, Error)>,
    pub(super) more_faults: u64,
    /// What reading it at once failed of: a fault, unless its pieces say more precisely which.
    pub(super) otherwise: Option<Error>,
}

impl Entry {
    pub(super) fn add(&mut self, piece: u64, faults: Vec<Error>) {
        for fault in faults {
            let text = describe(&fault);
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

/// An error and its causes, to tell it from others.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
