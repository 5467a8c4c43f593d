//! Reads the pieces of all elements with several threads, and puts their findings into a report.

use std::thread;

use crossbeam_channel::bounded;

use super::elements::Run;
use super::entry::Severity;
use super::report::CheckReport;
use super::scan::{Findings, Scratch, Source};
use crate::anndata::AnnDataFile;
use crate::error::{ErrorKind, LINK_ELSEWHERE};

impl Run {
    /// Reads all pieces of all elements.
    pub(super) fn read(&mut self, workers: usize, progress: &mut dyn FnMut(u64, u64)) {
        let (sources, entries) = (&self.sources, &mut self.entries);
        let pieces = sources.iter().flat_map(|(entry, source)| {
            (0..source.n_pieces()).map(move |piece| (*entry, source, piece))
        });
        let n_pieces = sources
            .iter()
            .map(|(_, source)| source.n_pieces())
            .fold(0, u64::saturating_add);
        thread::scope(|scope| {
            let (to_scan, unscanned) = bounded::<(u64, (usize, &Source, u64))>(2 * workers);
            let (to_list, scanned) = bounded(2 * workers);
            for _ in 0..workers.min(usize::try_from(n_pieces).unwrap_or(workers)) {
                let (unscanned, to_list) = (unscanned.clone(), to_list.clone());
                scope.spawn(move || {
                    let mut scratch = Scratch::new();
                    for (number, (entry, source, piece)) in unscanned {
                        let found = source.scan(piece, &mut scratch);
                        if to_list.send((entry, number, found)).is_err() {
                            return;
                        }
                    }
                });
            }
            // The channels end with the threads.
            drop((unscanned, to_list));
            scope.spawn(move || {
                let mut pieces = (0..).zip(pieces);
                pieces.all(|piece| to_scan.send(piece).is_ok())
            });
            for (done, (entry, piece, found)) in (1..).zip(scanned) {
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
