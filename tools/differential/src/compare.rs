//! Walks a file by both backends at once.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use anndata_io::{
    Array, Attribute, Error, ErrorKind, Hdf5Backend, IoContext, IoOptions, Node, Slice, Store,
};

use super::report::{Difference, Report, Unread};
use crate::root;

/// What a backend gives.
type Read<T> = std::result::Result<T, Error>;

/// Bytes of an array that are compared at a time.
const STEP_BYTES: u64 = 8 << 20;
/// Elements that are shown of an array that differs.
const SHOWN: usize = 5;
/// A group deeper than this is taken for one that holds itself.
const DEEPEST: usize = 6;
/// The name of what holds the same values without a filter that the C library may lack.
const PLAIN: &str = "__plain";

/// The files that paths name; all fixtures and the demo collection when there are none.
pub(super) fn files(paths: &[PathBuf]) -> crate::Result<Vec<PathBuf>> {
    let defaults = ["fixtures/stores", "fixtures/hdf5", "crates/cli/demo"];
    let paths = match paths {
        [] => defaults.iter().map(|path| root().join(path)).collect(),
        paths => paths.to_vec(),
    };
    let mut files = Vec::new();
    for path in &paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| format!("cannot read {}: {error}", path.display());
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if file.is_file()
                && file
                    .extension()
                    .is_some_and(|end| end == "h5" || end == "h5ad")
            {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Compares all files. Of damaged copies of an original, only what both backends read can differ,
/// and what is still as in the original does not.
pub(super) fn all(files: &[PathBuf], original: Option<&Path>) -> crate::Result<Report> {
    let mut report = Report::default();
    let context = |hdf5| {
        IoContext::new(IoOptions {
            hdf5,
            ..IoOptions::default()
        })
    };
    let original = original.map(|path| Store::open(path, &context(Hdf5Backend::Pure)));
    let original = original.transpose().map_err(|error| error.to_string())?;
    for path in files {
        report.files += 1;
        let mut comparison = Comparison {
            file: path.strip_prefix(root()).unwrap_or(path),
            is_refused: is_refused(path),
            original: original.as_ref(),
            report: &mut report,
        };
        let pure = Store::open(path, &context(Hdf5Backend::Pure));
        let library = Store::open(path, &context(Hdf5Backend::LibHdf5));
        if let Some((pure, library)) = comparison.both("", "file", pure, library) {
            comparison.walk(&pure, &library, "", 0);
        }
    }
    Ok(report)
}

/// Whether a file's name says that the default backend may refuse it, by whatever error.
fn is_refused(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with("refused_"))
}

struct Comparison<'a> {
    file: &'a Path,
    is_refused: bool,
    /// What the file was before it was damaged.
    original: Option<&'a Store>,
    report: &'a mut Report,
}

impl Comparison<'_> {
    fn different(
        &mut self,
        element: &str,
        what: impl Into<String>,
        index: Option<u64>,
        pure: impl Into<String>,
        library: impl Into<String>,
    ) {
        self.report.different.push(Difference {
            file: self.file.display().to_string(),
            element: element.to_owned(),
            what: what.into(),
            index,
            pure: pure.into(),
            library: library.into(),
        });
    }

    /// Whether a damaged file still has what it had.
    fn is_as_before<T: PartialEq>(&self, value: &T, read: impl Fn(&Store) -> Read<T>) -> bool {
        let before = self.original.map(read);
        before.is_some_and(|before| before.is_ok_and(|before| before == *value))
    }

    /// Whether names are the same. The default backend cannot tell a link to what it refuses from
    /// one to nothing; in a damaged file, it may find more than the library, and names that were
    /// damaged themselves do not count.
    fn are_same(
        &self,
        pure: &BTreeSet<String>,
        library: &BTreeSet<String>,
        read: impl Fn(&Store) -> Read<BTreeSet<String>>,
    ) -> bool {
        let Some(original) = self.original else {
            return pure == library || self.is_refused && library.is_subset(pure);
        };
        let before = read(original).unwrap_or_default();
        let mut missed = library.difference(pure);
        missed.all(|name| !before.contains(name))
    }

    fn unread(&self, element: &str, reason: impl Into<String>) -> Unread {
        Unread {
            file: self.file.display().to_string(),
            element: element.to_owned(),
            reason: reason.into(),
        }
    }

    /// Both values, when both backends have one. What one or both have not is noted.
    fn both<T: Debug>(
        &mut self,
        element: &str,
        what: &str,
        pure: Read<T>,
        library: Read<T>,
    ) -> Option<(T, T)> {
        match (pure, library) {
            (Ok(pure), Ok(library)) => return Some((pure, library)),
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
            (Err(pure), Err(library)) => {
                let reason = format!(
                    "{what}: neither reads it: {}; C library: {}",
                    full(&pure),
                    full(&library)
                );
                let unread = self.unread(element, reason);
                self.report.not_judged.push(unread);
            }
            (Ok(pure), Err(error)) => {
                self.different(element, what, None, shown(&pure), full(&error));
            }
            (Err(error), Ok(library)) => {
                self.different(element, what, None, full(&error), shown(&library));
            }
        }
        None
    }

    fn walk(&mut self, pure: &Store, library: &Store, element: &str, depth: usize) {
        let nodes = self.both(element, "node", pure.node(element), library.node(element));
        let Some((node, other)) = nodes else { return };
        if node != other {
            if self.is_as_before(&node, |store| store.node(element)) {
                return;
            }
            return self.different(element, "node", None, shown(&node), shown(&other));
        }
        self.attributes(pure, library, element);
        match node {
            Some(Node::Array) => self.array(pure, library, element),
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
                let both = self.both(element, "members", children(pure), children(library));
                let Some((of_pure, of_library)) = both else {
                    return;
                };
                if !self.are_same(&of_pure, &of_library, children) {
                    let (pure, library) = (shown(&of_pure), shown(&of_library));
                    self.different(element, "members", None, pure, library);
                }
                for child in of_pure.intersection(&of_library) {
                    self.walk(pure, library, &below(element, child), depth + 1);
                }
            }
            None => {}
        }
    }

    fn attributes(&mut self, pure: &Store, library: &Store, element: &str) {
        let names = |store: &Store| {
            let names = store.attribute_names(element)?;
            Ok(names.into_iter().collect::<BTreeSet<String>>())
        };
        let both = self.both(element, "attributes", names(pure), names(library));
        let Some((of_pure, of_library)) = both else {
            return;
        };
        if !self.are_same(&of_pure, &of_library, names) {
            let (pure, library) = (shown(&of_pure), shown(&of_library));
            self.different(element, "attributes", None, pure, library);
        }
        for name in of_pure.intersection(&of_library) {
            let what = format!("attribute {name}");
            let (pure, library) = (
                pure.attribute(element, name),
                library.attribute(element, name),
            );
            match self.both(element, &what, pure, library) {
                None => {}
                Some((Some(Attribute::Other(_)), Some(Attribute::Other(found)))) => {
                    let reason = format!("{what}: only described: {found}");
                    let unread = self.unread(element, reason);
                    self.report.not_judged.push(unread);
                }
                Some((pure, library)) if pure == library => self.report.attributes += 1,
                Some((pure, _))
                    if self.is_as_before(&pure, |store| store.attribute(element, name)) => {}
                Some((pure, library)) => {
                    self.different(element, what, None, shown(&pure), shown(&library));
                }
            }
        }
    }

    fn array(&mut self, pure: &Store, library: &Store, element: &str) {
        let of_pure = pure.array(element);
        let mut of_library = library.array(element);
        let plain = format!("{element}{PLAIN}");
        // The twin of what was damaged is not.
        if self.original.is_none()
            && of_library.as_ref().is_err_and(is_unsupported)
            && matches!(library.node(&plain), Ok(Some(Node::Array)))
        {
            of_library = library.array(&plain);
        }
        let Some((pure, library)) = self.both(element, "array", of_pure, of_library) else {
            return;
        };
        let described = |array: &Array| format!("{:?} of shape {:?}", array.dtype(), array.shape());
        let (of_pure, of_library) = (described(&pure), described(&library));
        let before = self.original.and_then(|store| store.array(element).ok());
        let before = before.filter(|before| described(before) == of_pure);
        if of_pure != of_library {
            if before.is_none() {
                self.different(element, "type and shape", None, of_pure, of_library);
            }
            return;
        }
        match pure.dtype() {
            Some(dtype) => self.numbers([&pure, &library], before, element, dtype.size()),
            None => self.texts([&pure, &library], before, element),
        }
    }

    fn numbers(
        &mut self,
        [pure, library]: [&Array; 2],
        before: Option<Array>,
        element: &str,
        size: usize,
    ) {
        let n_rows = pure.shape().first().copied().unwrap_or(1);
        let row_len: u64 = pure.shape().iter().skip(1).product();
        let step = (STEP_BYTES / (row_len * size as u64).max(1)).max(1);
        let (mut row, mut shown) = (0, 0);
        while row < n_rows {
            let end = (row + step).min(n_rows);
            let (pure, library) = (
                pure.read_row_range(row..end),
                library.read_row_range(row..end),
            );
            let Some((pure, library)) = self.both(element, "elements", pure, library) else {
                return;
            };
            let before = before.as_ref();
            let before = before.and_then(|before| before.read_row_range(row..end).ok());
            let before = before.as_ref().map(|before| before.as_slice());
            let (pure, library) = (pure.as_slice(), library.as_slice());
            self.report.bytes += pure.as_bytes().len() as u64;
            // Bytes, not values: two NaN may differ.
            for at in 0..pure.len() {
                let bytes = at * size..(at + 1) * size;
                let value = &pure.as_bytes()[bytes.clone()];
                let is_value = |all: Slice<'_>| &all.as_bytes()[bytes.clone()] == value;
                if is_value(library) || before.is_some_and(is_value) {
                    continue;
                }
                if shown == SHOWN {
                    return;
                }
                shown += 1;
                let index = Some(row * row_len + at as u64);
                let of = |bytes: &[u8], value| format!("{value:?} (bytes {bytes:02x?})");
                let (a, b) = (
                    of(&pure.as_bytes()[bytes.clone()], pure.get(at)),
                    of(&library.as_bytes()[bytes], library.get(at)),
                );
                self.different(element, "element", index, a, b);
            }
            row = end;
        }
        self.report.arrays += u64::from(shown == 0);
    }

    fn texts(&mut self, [pure, library]: [&Array; 2], before: Option<Array>, element: &str) {
        if pure.shape().len() > 1 {
            let unread = self.unread(element, "texts of more than one dimension");
            return self.report.not_judged.push(unread);
        }
        let texts = self.both(
            element,
            "texts",
            pure.read_strings(),
            library.read_strings(),
        );
        let Some((pure, library)) = texts else { return };
        if pure.len() != library.len() {
            let (pure, library) = (pure.len().to_string(), library.len().to_string());
            return self.different(element, "number of texts", None, pure, library);
        }
        self.report.bytes += pure.iter().map(|text| text.len() as u64).sum::<u64>();
        let before = before.and_then(|before| before.read_strings().ok());
        let is_as_before = |at: usize, text: &str| {
            let before = before.as_ref().and_then(|before| before.get(at));
            before == Some(text)
        };
        let pairs = pure.iter().zip(library.iter()).enumerate();
        let different = pairs.filter(|(at, (a, b))| a != b && !is_as_before(*at, a));
        let mut different = different.take(SHOWN).peekable();
        self.report.arrays += u64::from(different.peek().is_none());
        for (index, (a, b)) in different {
            self.different(element, "text", Some(index as u64), shown(&a), shown(&b));
        }
    }
}

fn is_unsupported(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported { .. })
}

/// What went wrong and its causes, without the place.
fn full(error: &Error) -> String {
    let mut text = error.kind().to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// A value for people; a long one is cut.
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
