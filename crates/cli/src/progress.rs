//! Shows progress on a terminal, after the first second.

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mapped_anndata::{Error, MappedCollection};

/// How long to wait before showing anything.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs `work`, and shows a spinner if it takes long.
pub(crate) fn while_waiting<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let spinner = ProgressBar::new_spinner().with_message(what);
                spinner.enable_steady_tick(Duration::from_millis(100));
                // Ends when the sender is dropped.
                let _ = is_done.recv();
                spinner.finish_and_clear();
            }
        });
        // Dropped after the work, or when it panics.
        let _done = done;
        work()
    })
}

/// Turns the matrices that are stored by column into rows. Shows a bar if it takes long.
pub(crate) fn turn_columns(cells: &MappedCollection) -> Result<(), Error> {
    let template = "turning columns into rows {wide_bar} {percent} %";
    let mut progress = Progress::with_template(1000, template);
    cells.turn_columns(|part| progress.set((part * 1000.0) as u64))
}

/// Turns columns into rows, and fills the cache. Shows a bar if it takes long.
pub(crate) fn prepare(cells: &MappedCollection) -> Result<(), Error> {
    let template = "preparing {wide_bar} {percent} %";
    let mut progress = Progress::with_template(1000, template);
    cells.prepare(|part| progress.set((part * 1000.0) as u64))
}

/// Steps of a bar for one file.
const STEPS: u64 = 1000;

/// A bar that fills row by row.
pub(crate) struct Progress {
    started: Instant,
    total: u64,
    template: &'static str,
    done: u64,
    enabled: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(n_rows: u64) -> Progress {
        Progress::with_template(n_rows, "{wide_bar} {human_pos} of {human_len} rows")
    }

    /// A bar that fills by parts of files.
    pub(crate) fn of_files(n_files: usize) -> Progress {
        Progress::with_template(STEPS * n_files as u64, "checking {wide_bar} {percent} %")
    }

    /// A bar that fills by segments of a cache.
    pub(crate) fn of_segments() -> Progress {
        Progress::with_template(STEPS, "comparing checksums {wide_bar} {percent} %")
    }

    /// Reports how much of a file is done.
    pub(crate) fn part_of_file(&mut self, file: usize, done: u64, of: u64) {
        let part = done as f64 / of.max(1) as f64;
        self.set(STEPS * file as u64 + (part * STEPS as f64) as u64);
    }

    fn with_template(total: u64, template: &'static str) -> Progress {
        Progress {
            started: Instant::now(),
            total,
            template,
            done: 0,
            enabled: io::stderr().is_terminal(),
            bar: None,
        }
    }

    /// Reports that more rows are done.
    pub(crate) fn advance(&mut self, rows: u64) {
        self.set(self.done + rows);
    }

    fn set(&mut self, done: u64) {
        self.done = done;
        if !self.enabled || (self.bar.is_none() && self.started.elapsed() < PATIENCE) {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(self.template).expect("a valid template");
            ProgressBar::new(self.total).with_style(style)
        });
        bar.set_position(self.done);
    }

    /// Hides the bar until the next step, so that results can be printed.
    pub(crate) fn hide(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hide();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_returns_its_result() {
        assert_eq!(while_waiting("counting", || 1 + 1), 2);
    }

    #[test]
    fn bar_is_hidden_at_first() {
        let mut progress = Progress::new(10);
        progress.advance(5);
        assert_eq!(progress.done, 5);
        assert!(progress.bar.is_none());
    }

    #[test]
    fn template_is_valid() {
        let mut progress = Progress::new(10);
        progress.enabled = true;
        progress.started -= PATIENCE;
        progress.advance(3);
        assert_eq!(progress.bar.as_ref().unwrap().position(), 3);
    }
}
