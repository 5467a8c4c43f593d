//! Errors and warnings, on standard error.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::process::ExitCode;

use mapped_anndata::io::chain;
use mapped_anndata::{Error as MappedError, LabelsError, OpenError};

use crate::escape::{escape, escape_lines};
use crate::genes::{hint, in_options};
use crate::lists;

/// The most labels, or stores, that get a warning each.
pub(crate) const MOST_WARNINGS: usize = 10;

/// Prints a warning on one line.
pub(crate) fn warning(text: &str) {
    eprintln!("warning: {}", escape(text));
}

/// Prints an error with its causes. Returns the exit code: 2 for a command line that makes no
/// sense, 1 for any other error. A closed output pipe is not an error.
pub(crate) fn failure(error: Box<dyn Error>) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        self::usage(usage);
    }
    if is_broken_pipe(&*error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", messages(&*error).join("\ncaused by: "));
    match error.downcast_ref::<MappedError>() {
        Some(MappedError::Open(OpenError::Disjoint {
            mismatch: Some(found),
        })) => hint(&found.files.0.display().to_string(), &found.mismatch),
        Some(MappedError::Open(OpenError::NoOverlap(low))) => {
            let mismatch = low.mismatch.as_ref();
            mismatch.inspect(|mismatch| hint(&low.file.display().to_string(), mismatch));
        }
        _ => {}
    }
    if let Some(MappedError::Labels(LabelsError::NoSuchColumn { nearest, .. })) =
        error.downcast_ref::<MappedError>()
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
        // The message may contain names of files.
        Cow::Owned(text) if error.use_stderr() => {
            eprint!("{text}");
            std::process::exit(error.exit_code())
        }
        _ => error.exit(),
    }
}

/// How to write a name in a list on the command line; `None` if it is written as it is.
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

/// The messages of an error and of its causes, each on one line, in words of the command line.
pub(crate) fn messages(error: &(dyn Error + 'static)) -> Vec<String> {
    if let Some(text) = error.downcast_ref::<MappedError>().and_then(in_own_words) {
        return vec![escape(&text).into_owned()];
    }
    let messages = chain(error).messages();
    messages.map(|text| escape(&text).into_owned()).collect()
}

/// Rephrases errors that name methods of the library in words of the command line.
fn in_own_words(error: &MappedError) -> Option<String> {
    match error {
        MappedError::Open(OpenError::Disjoint { mismatch }) => {
            let text = "no variable is in every store: ";
            Some(match mismatch {
                Some(found) => in_options(&format!("{text}{found}")),
                None => format!("{text}use --join outer, or --join none"),
            })
        }
        MappedError::Open(
            OpenError::NoOverlap(_)
            | OpenError::NoVarColumn { .. }
            | OpenError::DuplicateVariable { .. },
        ) => Some(in_options(&error.to_string())),
        MappedError::Option(error) if error.option() == "join" => {
            let found = error.found();
            Some(format!(
                "--join: expected its default beside --genes, which decide on the genes, found {found}"
            ))
        }
        MappedError::Option(error)
            if ["genes", "min_overlap", "label_map"].contains(&error.option()) =>
        {
            let (option, expected) = (error.option().replace('_', "-"), error.expected());
            Some(format!(
                "--{option}: expected {expected}, found {}",
                error.found()
            ))
        }
        MappedError::Option(error) if error.option() == "encode_labels" => {
            let found = error.found();
            Some(format!(
                "--encode-labels: expected keys that are in --obs, found {found}"
            ))
        }
        MappedError::Option(error) if error.option() == "unknown_label" => {
            let found = error.found();
            Some(format!(
                "--unknown-label: expected keys that are in --obs and encoded, found {found}"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nested(&'static str, Option<Box<Nested>>);

    impl std::fmt::Display for Nested {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn messages_stand_on_one_line_each() {
        let error = Nested("a\nb", Some(Box::new(Nested("no\x1bdevice", None))));
        assert_eq!(messages(&error), ["a\\nb", "no\\x1bdevice"]);
    }

    #[test]
    fn messages_of_options_name_those_of_the_command() {
        let error = MappedError::from(OpenError::Disjoint { mismatch: None });
        assert!(messages(&error)[0].contains("--join outer"));
    }
}
