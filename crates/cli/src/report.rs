//! Errors and warnings, on standard error.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use mapped_anndata::Error as MappedError;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::escape::{escape, escape_lines};
use crate::lists;

/// What the libraries warn of becomes plain lines: `warning: …`.
pub(crate) fn warnings_to_stderr() {
    tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_writer(io::stderr)
        .with_ansi(false)
        .event_format(Plain)
        .init();
}

/// The level in words, and the message.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let error = *event.metadata().level() == Level::ERROR;
        let mut text = String::new();
        let fields = context.field_format();
        fields.format_fields(Writer::new(&mut text), event)?;
        let level = if error { "error" } else { "warning" };
        writeln!(writer, "{level}: {}", escape(&text))
    }
}

/// Prints an error with its causes, and gives the exit code: 2 for a command line that makes no
/// sense, 1 for everything else. A reader that went away is no failure.
pub(crate) fn failure(error: Box<dyn Error>) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        self::usage(usage);
    }
    if is_broken_pipe(&*error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", Chain(&*error));
    if let Some(MappedError::NoSuchColumn { nearest, .. }) = error.downcast_ref::<MappedError>()
        && let Some(hint) = nearest.as_deref().and_then(how_to_type)
    {
        eprintln!("{hint}");
    }
    ExitCode::FAILURE
}

/// Ends the program for a command line that makes no sense, or that asks for help.
pub(crate) fn usage(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    match escape_lines(&text) {
        // Names of files may have come into it.
        Cow::Owned(text) if error.use_stderr() => {
            eprint!("{text}");
            std::process::exit(error.exit_code())
        }
        _ => error.exit(),
    }
}

/// How to write a name in a list on the command line; `None` where it is written as it is.
pub(crate) fn how_to_type(name: &str) -> Option<String> {
    let written = lists::written(name);
    (written != name).then(|| format!("hint: on the command line it is '{}'", escape(&written)))
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let kind = match error.downcast_ref::<serde_json::Error>() {
        Some(json) => json.io_error_kind(),
        None => error.downcast_ref::<io::Error>().map(io::Error::kind),
    };
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// The one text of errors that has two lines, as lamindb has it.
const TWO_LINES: &str = "shared variables.\nUse join=";

/// A text of an error on one line.
fn line(text: &str) -> String {
    let text = text.replace(TWO_LINES, &TWO_LINES.replace('\n', " "));
    escape(&text).into_owned()
}

/// An error, and below it its causes, each unless the line above ends with its text.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut above = line(&self.0.to_string());
        f.write_str(&above)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = line(&cause.to_string());
            if !above.ends_with(&text) {
                write!(f, "\ncaused by: {text}")?;
                above = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nested(&'static str, Option<Box<Nested>>);

    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_are_told_once() {
        let cause = Nested("bad checksum", Some(Box::new(Nested("bit 3", None))));
        let error = Nested("obs/a: bad checksum", Some(Box::new(cause)));
        let text = Chain(&error).to_string();
        assert_eq!(text, "obs/a: bad checksum\ncaused by: bit 3");
    }

    #[test]
    fn each_text_takes_one_line() {
        let error = Nested(
            "a\nb.h5ad: \x1b[2J",
            Some(Box::new(Nested("x\u{9b}", None))),
        );
        let expected = "a\\nb.h5ad: \\x1b[2J\ncaused by: x\\x9b";
        assert_eq!(Chain(&error).to_string(), expected);
    }

    #[test]
    fn names_are_told_as_they_are_typed() {
        assert_eq!(how_to_type("cell_type"), None);
        let hint = how_to_type("age, years").unwrap();
        assert_eq!(hint, "hint: on the command line it is 'age\\, years'");
    }

    #[test]
    fn a_closed_pipe_is_known_in_each_guise() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&closed()));
        assert!(is_broken_pipe(&serde_json::Error::io(closed())));
        assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound)));
    }
}
