//! Reads the pieces of all elements, by several threads, and puts what they found into a report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use super::entry::Severity;
use super::report::CheckReport;
use super::run::Run;
use super::scan::{Findings, Scratch, Source};
use crate::anndata::AnnDataFile;
use crate::error::{ErrorKind, LINK_ELSEWHERE};

impl Run {
    /// Reads all pieces of all elements.
    pub(super) fn read(&mut self, workers: usize, progress: &mut dyn FnMut(u64, u64)) {
        let mut starts = vec![0u64];
        for (_, source) in &self.sources {
            let start = starts.last().copied().unwrap_or_default();
            starts.push(start.saturating_add(source.n_pieces()));
        }
        let n_pieces = starts.last().copied().unwrap_or_default();
        let next = AtomicU64::new(0);
        let (sources, entries) = (&self.sources, &mut self.entries);
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(2 * workers);
            for _ in 0..workers.min(usize::try_from(n_pieces).unwrap_or(workers)) {
                let (sender, starts, next) = (sender.clone(), &starts, &next);
                scope.spawn(move || {
                    let mut scratch = Scratch::new();
                    loop {
                        let piece = next.fetch_add(1, Ordering::Relaxed);
                        if piece >= n_pieces {
                            return;
                        }
                        let number = starts.partition_point(|&start| start <= piece) - 1;
                        let (entry, source) = &sources[number];
                        let found = source.scan(piece - starts[number], &mut scratch);
                        if sender.send((*entry, piece, found)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (done, (entry, piece, found)) in (1..).zip(receiver) {
                let Findings {
                    counts,
                    faults,
                    more_faults,
                } = found;
                let entry = &mut entries[entry];
                if !faults.is_empty() {
                    entry.add(piece, faults);
                }
                entry.more_faults += more_faults;
                if let Some(report) = &mut entry.report {
                    report.counts.add(&counts);
                }
                progress(done, n_pieces);
            }
        });
        for (entry, source) in &self.sources {
            if let (Source::Sparse(sparse), Some(report)) =
                (source, &mut self.entries[*entry].report)
            {
                report.counts.unordered = sparse.n_unordered();
            }
        }
    }

    pub(super) fn report(self, file: &AnnDataFile) -> CheckReport {
        let mut report = CheckReport {
            path: file.path().to_owned(),
            shape: Some([file.n_obs(), file.n_vars()]),
            elements: Vec::new(),
            faults: Vec::new(),
            unsupported: Vec::new(),
            notices: Vec::new(),
        };
        for mut entry in self.entries {
            if let Some(error) = entry.otherwise.take().filter(|_| entry.faults.is_empty()) {
                entry.add(0, vec![error]);
            }
            if let Some(mut element) = entry.report {
                element.more_faults = entry.more_faults;
                report.elements.push(element);
            }
            for (_, _, error) in entry.faults {
                let list = match (entry.severity, error.kind()) {
                    (Severity::Notice, _) => &mut report.notices,
                    (Severity::FaultIfSupported, ErrorKind::Unsupported { what, .. })
                        if what != LINK_ELSEWHERE =>
                    {
                        &mut report.unsupported
                    }
                    (Severity::Fault | Severity::FaultIfSupported, _) => &mut report.faults,
                };
                list.push(error);
            }
        }
        report
    }
}
