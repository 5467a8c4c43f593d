//! `check`: reads everything in files, and lists every fault.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use mapped_anndata::io::{
    Check, CheckReport, DType, ElementCounts, ElementLayout, ElementReport, Error as FileError,
    IoContext,
};
use mapped_anndata::{Error, Join, MappedCollection, OpenError};
use serde::Serialize;

use crate::Result;
use crate::args::CheckArgs;
use crate::escape::escape;
use crate::json::write_line;
use crate::opened::keys;
use crate::progress::{Progress, while_waiting};
use crate::report::messages;
use crate::text;

pub(crate) fn run(args: &CheckArgs, json: bool, out: &mut impl Write) -> Result<ExitCode> {
    let check = check_of(args);
    let mut progress = Progress::of_files(args.paths.len());
    let mut reports = Vec::with_capacity(args.paths.len());
    for (number, source) in args.storage.sources(&args.paths)?.iter().enumerate() {
        let report = check.check_source(source, &IoContext::default(), &mut |done, of| {
            progress.part_of_file(number, done, of);
        });
        progress.hide();
        if json {
            write_line(out, &File::new(&report))?;
        } else {
            write_file(&report, out)?;
        }
        // Shows the findings so far, however long the next file takes.
        out.flush()?;
        reports.push(report);
    }
    drop(progress);
    let together = while_waiting("joining", || Joinability::of(&reports));
    let of_files: u64 = reports.iter().map(CheckReport::n_faults).sum();
    let n_faults = of_files + together.faults.len() as u64;
    if json {
        let summary = Summary {
            files: reports.len(),
            faults: n_faults,
            join_faults: together.faults,
            notices: together.notices,
        };
        write_line(out, &summary)?;
    } else {
        write_list("as one collection", &together.notices, out)?;
        write_list("faults as one collection", &together.faults, out)?;
        writeln!(out, "{}", in_all(n_faults, &reports))?;
    }
    Ok(match n_faults {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn check_of(args: &CheckArgs) -> Check {
    let mut check = Check::new().workers(args.workers);
    if let Some(layers) = &args.layers {
        check = check.layers(keys(layers).iter().map(String::as_str));
    }
    if let Some(obs) = &args.obs {
        check = check.obs(keys(obs));
    }
    if let Some(obsm) = &args.obsm {
        check = check.obsm(keys(obsm));
    }
    check
}

fn in_all(n_faults: u64, reports: &[CheckReport]) -> String {
    let n_files = reports
        .iter()
        .filter(|report| report.n_faults() > 0)
        .count();
    match n_faults {
        0 => "no faults".to_owned(),
        _ => {
            let n_faults = text::count(usize::try_from(n_faults).unwrap_or(usize::MAX), "fault");
            // Files without faults of their own may still not fit together.
            let n_files = if n_files == 0 { reports.len() } else { n_files };
            format!("{n_faults} in {}", text::count(n_files, "file"))
        }
    }
}

/// The reasons why the files that could be opened are not one collection.
#[derive(Default)]
struct Joinability {
    /// Gene names that repeat, while a join needs each once.
    faults: Vec<String>,
    /// Joins without a shared gene, and columns of obs whose labels have no common order.
    notices: Vec<String>,
}

impl Joinability {
    fn of(reports: &[CheckReport]) -> Joinability {
        let mut found = Joinability::default();
        let opened = reports.iter().filter(|report| report.shape.is_some());
        let paths: Vec<&PathBuf> = opened.map(|report| &report.path).collect();
        if paths.len() < 2 {
            return found;
        }
        // Matrices were read already.
        let builder = || MappedCollection::builder(paths.iter().copied()).layers([""; 0]);
        for (name, join) in [("inner", Join::Inner), ("outer", Join::Outer)] {
            found.add(&format!("{name} join"), builder().join(join).open());
        }
        for key in differing_keys(reports) {
            found.add("labels", builder().join(None).obs([key]).open());
        }
        found
    }

    fn add(&mut self, what: &str, opened: std::result::Result<MappedCollection, Error>) {
        match opened {
            // The faults of a single file are listed with that file.
            Ok(_) => {}
            Err(error) if error.file().is_some() => {}
            Err(error @ Error::Open(OpenError::DuplicateVariable { .. })) => {
                let fault = one_line(&error);
                // The same for both joins.
                if !self.faults.contains(&fault) {
                    self.faults.push(fault);
                }
            }
            Err(error) => self.notices.push(format!("{what}: {}", one_line(&error))),
        }
    }
}

/// The columns of obs that are text in one file and numbers in another, or booleans.
fn differing_keys(reports: &[CheckReport]) -> Vec<&str> {
    let kind = |dtype: Option<DType>| dtype.map(|dtype| dtype == DType::Bool);
    let mut kinds = BTreeMap::new();
    let mut differing = Vec::new();
    for element in reports.iter().flat_map(|report| &report.elements) {
        let Some(key) = element.element.strip_prefix("obs/") else {
            continue;
        };
        let kind = kind(element.dtype);
        if *kinds.entry(key).or_insert(kind) != kind && !differing.contains(&key) {
            differing.push(key);
        }
    }
    differing
}

/// An error and its causes.
fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    messages(error).join(": ")
}

/// The error of an element, without the name of the file, which stands above it.
fn without_file(error: &FileError) -> String {
    let mut text = escape(&error.kind().to_string()).into_owned();
    if !error.element().is_empty() {
        text = format!("{}: {text}", escape(error.element()));
    }
    match error.source() {
        Some(cause) => format!("{text}: {}", one_line(cause)),
        None => text,
    }
}

fn write_file(report: &CheckReport, out: &mut impl Write) -> Result<()> {
    let path = report.path.display().to_string();
    let path = escape(&path);
    match report.shape {
        Some([n_obs, n_vars]) => {
            let [cells, genes] = [(n_obs, "cell"), (n_vars, "gene")]
                .map(|(n, noun)| text::count(usize::try_from(n).unwrap_or(usize::MAX), noun));
            writeln!(out, "{path}: {cells} x {genes}\n")?;
            let header = ["element", "shape", "type", "layout", "stored", "notes"];
            let rows = report.elements.iter().map(row);
            writeln!(out, "{}\n", text::table(header, &[4], rows))?;
        }
        None => writeln!(out, "{path}: not opened\n")?,
    }
    let texts = |errors: &[FileError]| errors.iter().map(without_file).collect::<Vec<_>>();
    write_list("not supported", &texts(&report.unsupported), out)?;
    write_list("notices", &texts(&report.notices), out)?;
    let mut faults = texts(&report.faults);
    for element in &report.elements {
        if element.more_faults > 0 {
            let more = text::thousands(element.more_faults);
            faults.push(format!("{}: and {more} more", escape(&element.element)));
        }
    }
    write_list("faults", &faults, out)
}

fn write_list(title: &str, lines: &[String], out: &mut impl Write) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    Ok(writeln!(out)?)
}

fn row(element: &ElementReport) -> [String; 6] {
    let shape: Vec<String> = element.shape.iter().map(|&n| text::thousands(n)).collect();
    [
        element.element.clone(),
        shape.join(" x "),
        dtype_name(element).to_owned(),
        element.layout.name().to_owned(),
        text::thousands(element.stored),
        notes(element),
    ]
}

fn dtype_name(element: &ElementReport) -> &'static str {
    element.dtype.map_or("text", DType::name)
}

/// The notes, in words.
fn notes(element: &ElementReport) -> String {
    let ElementCounts {
        nan,
        infinite,
        negative,
        explicit_zeros,
        unordered,
        unused,
        missing,
        unwritten,
        ..
    } = element.counts;
    let is_csc = element.layout == ElementLayout::Csc;
    let counts = [
        (nan, ["NaN"; 2]),
        (infinite, ["infinite"; 2]),
        (negative, ["negative"; 2]),
        (explicit_zeros, ["stored zero", "stored zeros"]),
        match is_csc {
            true => (unordered, ["column out of order", "columns out of order"]),
            false => (unordered, ["row out of order", "rows out of order"]),
        },
        (unused, ["behind the last row"; 2]),
        (missing, ["missing"; 2]),
        (unwritten, ["chunk never written", "chunks never written"]),
    ];
    let notes = counts.into_iter().filter(|(n, _)| *n > 0);
    let notes: Vec<String> = notes
        .map(|(n, [one, many])| {
            let what = if n == 1 { one } else { many };
            format!("{} {what}", text::thousands(n))
        })
        .collect();
    notes.join(", ")
}

/// The fields stand in the order of the output.
#[derive(Serialize)]
struct File<'a> {
    path: String,
    shape: Option<[u64; 2]>,
    elements: Vec<Element<'a>>,
    n_faults: u64,
    faults: Vec<Message<'a>>,
    unsupported: Vec<Message<'a>>,
    notices: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Element<'a> {
    element: &'a str,
    shape: &'a [u64],
    dtype: &'static str,
    layout: &'static str,
    stored: u64,
    nan: u64,
    infinite: u64,
    negative: u64,
    explicit_zeros: u64,
    unordered: u64,
    unused: u64,
    missing: u64,
    unwritten: u64,
    more_faults: u64,
}

#[derive(Serialize)]
struct Message<'a> {
    element: &'a str,
    message: String,
}

#[derive(Serialize)]
struct Summary {
    files: usize,
    faults: u64,
    join_faults: Vec<String>,
    notices: Vec<String>,
}

impl File<'_> {
    fn new(report: &CheckReport) -> File<'_> {
        let message = |error| Message::new(error);
        File {
            path: report.path.display().to_string(),
            shape: report.shape,
            elements: report.elements.iter().map(Element::new).collect(),
            n_faults: report.n_faults(),
            faults: report.faults.iter().map(message).collect(),
            unsupported: report.unsupported.iter().map(message).collect(),
            notices: report.notices.iter().map(message).collect(),
        }
    }
}

impl Element<'_> {
    fn new(of: &ElementReport) -> Element<'_> {
        Element {
            element: &of.element,
            shape: &of.shape,
            dtype: dtype_name(of),
            layout: of.layout.name(),
            stored: of.stored,
            nan: of.counts.nan,
            infinite: of.counts.infinite,
            negative: of.counts.negative,
            explicit_zeros: of.counts.explicit_zeros,
            unordered: of.counts.unordered,
            unused: of.counts.unused,
            missing: of.counts.missing,
            unwritten: of.counts.unwritten,
            more_faults: of.more_faults,
        }
    }
}

impl Message<'_> {
    fn new(error: &FileError) -> Message<'_> {
        Message {
            element: error.element(),
            message: one_line(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use mapped_anndata::{MemoryStore, Values};

    use super::*;

    fn report(name: &str, site: Values) -> CheckReport {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let values = Values::F32(vec![nan, inf, 0.0, -1.0]);
        let store = MemoryStore::new(name)
            .dataframe("obs", &["c1", "c2"])
            .array("obs/site", &[2], site)
            .dataframe("var", &["g1", "g2"])
            .csr("X", [2, 2], vec![0, 2, 3], vec![1, 1, 0, 9], values);
        Check::new().check_source(&store.into(), &IoContext::default(), &mut |_, _| {})
    }

    #[test]
    fn table_row_lists_a_file() {
        let report = report("a", Values::I8(vec![1, 2]));
        let row = report.elements.iter().map(row).find(|row| row[0] == "X");
        let notes = "1 NaN, 1 infinite, 1 stored zero, 1 row out of order, 1 behind the last row";
        assert_eq!(
            row.unwrap(),
            ["X", "2 x 2", "float32", "csr", "3", notes].map(str::to_owned)
        );
        assert_eq!(in_all(report.n_faults(), &[report]), "no faults");
    }

    #[test]
    fn keys_of_two_kinds_are_found() {
        use mapped_anndata::io::Bool8;
        let ints = || report("a", Values::I8(vec![1, 2]));
        let floats = report("b", Values::F64(vec![1.5, 2.0]));
        assert_eq!(differing_keys(&[ints(), floats]), [""; 0]);
        let flags = report("c", Values::Bool(vec![Bool8(1), Bool8(0)]));
        assert_eq!(differing_keys(&[ints(), flags, ints()]), ["site"]);
    }
}
