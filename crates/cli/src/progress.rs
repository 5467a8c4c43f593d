//! Shows progress on a terminal, after the first second.

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mapped_anndata::io::{ByteSize, fetched_bytes};
use mapped_anndata::{Error, MappedCollection};

/// How long to wait before showing anything.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time between two looks at what servers sent.
const INTERVAL: Duration = Duration::from_millis(200);

/// What servers sent since this was made.
struct Fetched {
    started: Instant,
    before: u64,
}

impl Fetched {
    fn new() -> Fetched {
        Fetched {
            started: Instant::now(),
            before: fetched_bytes(),
        }
    }

    /// The number of bytes and their rate; an empty text before the first byte.
    fn in_words(&self) -> String {
        match fetched_bytes() - self.before {
            0 => String::new(),
            bytes => {
                let rate = bytes as f64 / self.started.elapsed().as_secs_f64();
                let [bytes, rate] = [bytes, rate as u64].map(ByteSize);
                format!(", {bytes} fetched at {rate}/s")
            }
        }
    }
}

/// Runs `work`, and shows a spinner if it takes long, with what servers send meanwhile.
pub(crate) fn while_waiting<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = mpsc::channel::<()>();
    let fetched = Fetched::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            let goes_on = |time| is_done.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout);
            if goes_on(PATIENCE) {
                let spinner = ProgressBar::new_spinner().with_message(what);
                spinner.enable_steady_tick(Duration::from_millis(100));
                // Ends when the sender is dropped.
                while goes_on(INTERVAL) {
                    spinner.set_message(format!("{what}{}", fetched.in_words()));
                }
                spinner.finish_and_clear();
            }
        });
        // Dropped after the work, or when it panics.
        let _done = done;
        work()
    })
}

/// Turns the matrices that are stored by column into rows, and computes the median that transforms
/// need. Shows a bar for each if it takes long.
pub(crate) fn before_epochs(cells: &MappedCollection) -> Result<(), Error> {
    let template = "turning columns into rows {wide_bar} {percent} %";
    let mut progress = Progress::with_template(1000, template);
    cells.turn_columns(|part| progress.set((part * 1000.0) as u64))?;
    let template = "computing the median of totals {wide_bar} {percent} %";
    let mut progress = Progress::with_template(1000, template);
    cells.find_medians(|part| progress.set((part * 1000.0) as u64))
}

/// Turns columns into rows, and fills the cache. Shows a bar if it takes long, with what servers send
/// and what the cache held before.
pub(crate) fn prepare(cells: &MappedCollection) -> Result<(), Error> {
    let template = "preparing {wide_bar} {percent} %{msg}";
    let mut progress = Progress::with_template(1000, template);
    let (fetched, before) = (Fetched::new(), cells.cached());
    let cached = match before.filter(|before| before.n_cached > 0) {
        Some(before) => format!(", {:.0} % from the cache", before.fraction() * 100.0),
        None => String::new(),
    };
    cells.prepare(|part| {
        progress.set((part * 1000.0) as u64);
        progress.say(|| fetched.in_words() + &cached);
    })
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

    /// Adds a message to the bar, if it is shown.
    fn say(&self, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(message());
        }
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
