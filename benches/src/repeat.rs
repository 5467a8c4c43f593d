//! Repetitions: a number of them, or one for each line on standard input, so that two programs
//! can take turns.

use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::checksum::Checksum;
use crate::memory;

#[derive(Debug, Args)]
pub(crate) struct Repeat {
    /// Repetitions.
    #[arg(long, default_value_t = 5)]
    reps: u64,
    /// The most seconds that a repetition takes.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Instead of a number of repetitions, reads lines `time SEED SECONDS` and `check SEED ROWS`
    /// (0 for all) and answers each with one line; the first line out says that it is ready.
    #[arg(long)]
    serve: bool,
}

/// What a repetition is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// Which rows, in which order.
    pub(crate) seed: u64,
    end: End,
}

/// When a repetition ends, if its rows do not run out.
#[derive(Debug, Clone, Copy)]
enum End {
    /// After a time.
    Time(Duration),
    /// After so many rows, which are put into a checksum: that spoils the time.
    Check(u64),
}

/// A repetition in progress.
#[derive(Debug)]
pub(crate) struct Meter {
    request: Request,
    start: Instant,
    first: Option<Duration>,
    last: Duration,
    rows: u64,
    checksum: Checksum,
    notes: Map<String, Value>,
    /// While a check spoils the time anyway.
    memory: Option<memory::Watch>,
}

impl Repeat {
    /// Runs all repetitions and prints a line for each.
    ///
    /// `about` describes the case; `run` does a repetition and returns its meter.
    pub(crate) fn run(
        &self,
        about: &Value,
        mut run: impl FnMut(Request) -> Result<Meter, Failure>,
    ) -> Result<(), Failure> {
        self.each(about, |request| Ok(run(request)?.report()))
    }

    /// As [`run`](Self::run), for a question that reports by itself.
    pub(crate) fn each(
        &self,
        about: &Value,
        mut run: impl FnMut(Request) -> Result<Value, Failure>,
    ) -> Result<(), Failure> {
        if !self.serve {
            let end = End::Time(Duration::try_from_secs_f64(self.seconds)?);
            return (0..self.reps).try_for_each(|seed| print(about, &run(Request { seed, end })?));
        }
        print(
            about,
            &json!({ "ready": true, "rss_bytes": memory::resident() }),
        )?;
        for line in stdin().lock().lines() {
            print(about, &run(line?.parse()?)?)?;
        }
        Ok(())
    }
}

impl FromStr for Request {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Request, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (seed, end) = match words[..] {
            ["time", seed, seconds] => (
                seed,
                End::Time(Duration::try_from_secs_f64(seconds.parse()?)?),
            ),
            ["check", seed, "0"] => (seed, End::Check(u64::MAX)),
            ["check", seed, rows] => (seed, End::Check(rows.parse()?)),
            _ => {
                return Err(
                    format!("expected `time SEED SECONDS` or `check SEED ROWS`: {line:?}").into(),
                );
            }
        };
        Ok(Request {
            seed: seed.parse()?,
            end,
        })
    }
}

fn print(about: &Value, report: &Value) -> Result<(), Failure> {
    let mut line = about.clone();
    if let (Value::Object(line), Value::Object(report)) = (&mut line, report) {
        line.extend(report.clone());
    }
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

impl Request {
    /// Starts the clock.
    pub(crate) fn start(self) -> Meter {
        let checksum = Checksum::default();
        let (start, last) = (Instant::now(), Duration::ZERO);
        Meter {
            request: self,
            start,
            first: None,
            last,
            rows: 0,
            checksum,
            notes: Map::new(),
            memory: matches!(self.end, End::Check(_)).then(memory::Watch::start),
        }
    }
}

impl Meter {
    /// Whether the repetition is over.
    pub(crate) fn is_over(&self) -> bool {
        match self.request.end {
            End::Time(time) => self.start.elapsed() >= time,
            End::Check(rows) => self.rows >= rows,
        }
    }

    /// Counts rows that were delivered; `add` puts them into the checksum.
    ///
    /// # Errors
    /// That of `add`.
    pub(crate) fn deliver<T>(
        &mut self,
        delivered: T,
        rows: usize,
        add: impl FnOnce(&mut Checksum, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.last = self.start.elapsed();
        self.first.get_or_insert(self.last);
        self.rows += rows as u64;
        if let End::Check(_) = self.request.end {
            add(&mut self.checksum, &delivered)?;
        }
        black_box(delivered);
        Ok(())
    }

    /// Adds a number to the report.
    pub(crate) fn note(&mut self, name: &str, value: u64) {
        self.notes.insert(name.to_owned(), value.into());
    }

    /// The line to print. Time ends with the last delivery.
    fn report(self) -> Value {
        let seconds = self.last.as_secs_f64();
        let mut report = self.notes;
        report.insert("seed".into(), self.request.seed.into());
        report.insert("rows".into(), self.rows.into());
        report.insert("seconds".into(), seconds.into());
        report.insert(
            "rows_per_second".into(),
            (self.rows as f64 / seconds).into(),
        );
        report.insert(
            "first_batch_seconds".into(),
            self.first.map(|first| first.as_secs_f64()).into(),
        );
        report.insert("peak_rss_bytes".into(), memory::peak().into());
        if let Some(memory) = &self.memory {
            report.insert("peak_own_bytes".into(), memory.most().into());
            report.insert("set".into(), format!("{:016x}", self.checksum.set()).into());
            report.insert(
                "sequence".into(),
                format!("{:016x}", self.checksum.sequence()).into(),
            );
        }
        report.into()
    }
}
