//! Walks a store by two readers at once.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use anndata_io::{Attribute, Error, ErrorKind, IoContext, Node, Store, chain};

use crate::report::{Difference, Report, Unread};
use crate::root;

mod arrays;

/// The result of a reader.
type Read<T> = std::result::Result<T, Error>;

/// A group deeper than this is assumed to contain itself.
const DEEPEST: usize = 6;
/// Two readers, as the options of their contexts choose them.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) ours: IoContext,
    pub(crate) other: IoContext,
    /// The name of the other reader in the report.
    pub(crate) other_name: &'static str,
}

/// Compares all files. In damaged copies of an original, only values that both readers return can differ, and a value
/// that is still as in the original does not.
pub(crate) fn files(
    files: &[PathBuf],
    readers: &Readers,
    original: Option<&Path>,
) -> crate::Result<Report> {
    let mut report = Report::new(readers.other_name);
    let original = original.map(|path| Store::open(path, &readers.ours));
    let original = original.transpose().map_err(|error| error.to_string())?;
    for path in files {
        let ours = Store::open(path, &readers.ours);
        let other = Store::open(path, &readers.other);
        stores(path, [ours, other], original.as_ref(), &mut report);
    }
    Ok(report)
}

/// Compares one file, opened by our reader and by the other one.
pub(crate) fn stores(
    path: &Path,
    [ours, other]: [Read<Store>; 2],
    original: Option<&Store>,
    report: &mut Report,
) {
    report.files += 1;
    let file = path.strip_prefix(root()).unwrap_or(path);
    let mut comparison = Comparison {
        file: file.display().to_string(),
        is_refused: is_refused(path),
        original,
        report,
    };
    if let Some((ours, other)) = comparison.both("", "file", ours, other) {
        comparison.walk(&ours, &other, "", 0);
    }
}

/// Whether a file's name says that our reader may refuse it, with any error.
fn is_refused(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with("refused_"))
}

struct Comparison<'a> {
    /// Its path below the root of the workspace, if it lies there.
    file: String,
    is_refused: bool,
    /// The file before it was damaged.
    original: Option<&'a Store>,
    report: &'a mut Report,
}

impl Comparison<'_> {
    fn different(
        &mut self,
        element: &str,
        what: impl Into<String>,
        index: Option<u64>,
        ours: impl Into<String>,
        other: impl Into<String>,
    ) {
        self.report.different.push(Difference {
            file: self.file.clone(),
            element: element.to_owned(),
            what: what.into(),
            index,
            ours: ours.into(),
            other: other.into(),
        });
    }

    /// Whether a value of a damaged file is still as in the original.
    fn is_as_before<T: PartialEq>(&self, value: &T, read: impl Fn(&Store) -> Read<T>) -> bool {
        let before = self.original.map(read);
        before.is_some_and(|before| before.is_ok_and(|before| before == *value))
    }

    /// Whether names are the same. To our reader, a link to something that it refuses looks like a link to nothing. In
    /// a damaged file, it may find more than the other reader, and damaged names do not count.
    fn are_same(
        &self,
        ours: &BTreeSet<String>,
        other: &BTreeSet<String>,
        read: impl Fn(&Store) -> Read<BTreeSet<String>>,
    ) -> bool {
        let Some(original) = self.original else {
            return ours == other || self.is_refused && other.is_subset(ours);
        };
        let before = read(original).unwrap_or_default();
        let mut missed = other.difference(ours);
        missed.all(|name| !before.contains(name))
    }

    fn unread(&self, element: &str, reason: impl Into<String>) -> Unread {
        Unread {
            file: self.file.clone(),
            element: element.to_owned(),
            reason: reason.into(),
        }
    }

    /// Both values, if both readers return one. Otherwise records the refusal.
    fn both<T: Debug>(
        &mut self,
        element: &str,
        what: &str,
        ours: Read<T>,
        other: Read<T>,
    ) -> Option<(T, T)> {
        match (ours, other) {
            (Ok(ours), Ok(other)) => return Some((ours, other)),
            (Err(error), _)
                if self.is_refused || self.original.is_some() || is_unsupported(&error) =>
            {
                let refused = self.unread(element, format!("{what}: {}", full(&error)));
                self.report.refused.push(refused);
            }
            (Ok(_), Err(error)) if self.original.is_some() || is_unsupported(&error) => {
                let unread = self.unread(element, format!("{what}: {}", full(&error)));
                self.report.not_judged.push(unread);
            }
            (Err(ours), Err(other)) => {
                let reason = format!(
                    "{what}: neither reads it: {}; {}: {}",
                    full(&ours),
                    self.report.other_name,
                    full(&other)
                );
                let unread = self.unread(element, reason);
                self.report.not_judged.push(unread);
            }
            (Ok(ours), Err(error)) => {
                self.different(element, what, None, shown(&ours), full(&error));
            }
            (Err(error), Ok(other)) => {
                self.different(element, what, None, full(&error), shown(&other));
            }
        }
        None
    }

    fn walk(&mut self, ours: &Store, other: &Store, element: &str, depth: usize) {
        let nodes = self.both(element, "node", ours.node(element), other.node(element));
        let Some((node, of_other)) = nodes else {
            return;
        };
        if node != of_other {
            if self.is_as_before(&node, |store| store.node(element)) {
                return;
            }
            return self.different(element, "node", None, shown(&node), shown(&of_other));
        }
        self.attributes(ours, other, element);
        match node {
            Some(Node::Array) => self.array(ours, other, element),
            Some(Node::Group | Node::Table) => {
                self.report.groups += 1;
                if depth == DEEPEST {
                    let unread = self.unread(element, "a group as deep as one that holds itself");
                    return self.report.not_judged.push(unread);
                }
                let children = |store: &Store| {
                    let children = store.children(element)?;
                    Ok(children.into_iter().collect::<BTreeSet<String>>())
                };
                let both = self.both(element, "members", children(ours), children(other));
                let Some((of_ours, of_other)) = both else {
                    return;
                };
                if !self.are_same(&of_ours, &of_other, children) {
                    let (ours, other) = (shown(&of_ours), shown(&of_other));
                    self.different(element, "members", None, ours, other);
                }
                for child in of_ours.intersection(&of_other) {
                    self.walk(ours, other, &below(element, child), depth + 1);
                }
            }
            None => {}
        }
    }

    fn attributes(&mut self, ours: &Store, other: &Store, element: &str) {
        let names = |store: &Store| {
            let names = store.attribute_names(element)?;
            Ok(names.into_iter().collect::<BTreeSet<String>>())
        };
        let both = self.both(element, "attributes", names(ours), names(other));
        let Some((mut of_ours, of_other)) = both else {
            return;
        };
        // Our reader does not list a name that it cannot read. A request for such a name is an error.
        let unlisted = of_other.difference(&of_ours).cloned();
        let unlisted = unlisted.filter(|name| ours.attribute(element, name).is_err());
        of_ours.extend(unlisted.collect::<Vec<String>>());
        if !self.are_same(&of_ours, &of_other, names) {
            let (ours, other) = (shown(&of_ours), shown(&of_other));
            self.different(element, "attributes", None, ours, other);
        }
        for name in of_ours.intersection(&of_other) {
            let what = format!("attribute {name}");
            let (ours, other) = (
                ours.attribute(element, name),
                other.attribute(element, name),
            );
            match self.both(element, &what, ours, other) {
                None => {}
                Some((Some(Attribute::Other(_)), Some(Attribute::Other(found)))) => {
                    let reason = format!("{what}: only described: {found}");
                    let unread = self.unread(element, reason);
                    self.report.not_judged.push(unread);
                }
                Some((ours, other)) if ours == other => self.report.attributes += 1,
                Some((ours, _))
                    if self.is_as_before(&ours, |store| store.attribute(element, name)) => {}
                Some((ours, other)) => {
                    self.different(element, what, None, shown(&ours), shown(&other));
                }
            }
        }
    }
}

fn is_unsupported(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported { .. })
}

/// An error and its causes, without the place.
fn full(error: &Error) -> String {
    chain(error.kind()).to_string()
}

/// A value for people. A long value is cut.
fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn below(group: &str, name: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{group}/{name}"),
    }
}
