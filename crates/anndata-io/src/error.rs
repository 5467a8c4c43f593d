//! Errors: each names the file, the element in it, what was expected and what was found.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A failure to open or read an AnnData file, with its place and its kind.
///
/// `Display` writes `file: element: problem`. The cause, if there is one, is the
/// [`source`](std::error::Error::source).
#[derive(Debug, Clone)]
pub struct Error {
    file: PathBuf,
    element: String,
    kind: Box<ErrorKind>,
}

/// The kind of a failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The path does not exist.
    #[error("no such file or directory")]
    NotFound,
    /// The path is a URL of a kind that is not read.
    #[error(
        "URLs of this kind are not supported: pass an http, https, s3, gs, az or hf URL, or copy the file \
         to a local disk"
    )]
    Remote,
    /// The content is not an AnnData store.
    #[error("not an AnnData store: expected {expected}, found {found}")]
    NotAnnData {
        /// The expected content of an AnnData store.
        expected: String,
        /// The actual content.
        found: String,
    },
    /// The file is compressed as a whole.
    #[error("the file is gzip-compressed as a whole: decompress it first (gunzip)")]
    Gzipped,
    /// The file ends before the place where it claims to end.
    #[error(
        "the file was cut short: expected {expected} bytes, found {found}: copy or download it again"
    )]
    CutShort {
        /// The number of bytes that the file claims.
        expected: u64,
        /// The number of bytes that it has.
        found: u64,
    },
    /// The element does not exist.
    #[error("no such element{}", did_you_mean(nearest))]
    MissingElement {
        /// An existing key that resembles the requested one.
        nearest: Option<String>,
    },
    /// The format is valid, but this crate does not read it.
    #[error("{what} is not supported: {way_out}")]
    Unsupported {
        /// The encoding, codec, type or layout.
        what: String,
        /// The advice to the user.
        way_out: &'static str,
    },
    /// The content contradicts itself or the format.
    #[error("expected {expected}, found {found}")]
    Invalid {
        /// The expected content of a valid file.
        expected: String,
        /// The actual content of this file.
        found: String,
    },
    /// A chunk does not decode.
    #[error("chunk {chunk} cannot be decoded")]
    Decode {
        /// Number of the chunk in the array's grid, row-major.
        chunk: u64,
        /// The error of the decoder.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The structure of the HDF5 file cannot be read.
    #[error("the HDF5 structure cannot be read")]
    Hdf5(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The operating system refused the read.
    #[error("cannot be read")]
    Io(#[source] Arc<io::Error>),
    /// The file is not the one that was opened.
    #[error("the file has changed since it was opened: open the collection again")]
    Changed,
    /// The caller closed the files.
    #[error("closed: open the collection again to read from it")]
    Closed,
    /// The request itself is wrong.
    #[error("{what} {index} is out of bounds for {len}")]
    OutOfBounds {
        /// The kind of thing requested: a row, a column.
        what: &'static str,
        /// The requested number.
        index: u64,
        /// The number of such things that exist.
        len: u64,
    },
}

impl ErrorKind {
    /// Makes an [`Invalid`](ErrorKind::Invalid) from any texts.
    pub(crate) fn invalid(expected: impl Into<String>, found: impl Into<String>) -> ErrorKind {
        ErrorKind::Invalid {
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// Makes an [`Unsupported`](ErrorKind::Unsupported) from any text.
    pub(crate) fn unsupported(what: impl Into<String>, way_out: &'static str) -> ErrorKind {
        ErrorKind::Unsupported {
            what: what.into(),
            way_out,
        }
    }
}

fn did_you_mean(name: &Option<String>) -> String {
    name.as_ref()
        .map(|name| format!(": did you mean {name:?}?"))
        .unwrap_or_default()
}

impl Error {
    /// Makes an error at `element` of `file`; an empty element means the whole file.
    pub fn new(file: impl AsRef<Path>, element: impl Into<String>, kind: ErrorKind) -> Self {
        Error {
            file: file.as_ref().to_owned(),
            element: element.into(),
            kind: Box::new(kind),
        }
    }

    /// The file or directory.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The element in the file, such as `obs/cell_type`; empty for the whole file.
    pub fn element(&self) -> &str {
        &self.element
    }

    /// The kind of the failure.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    pub(crate) fn io(file: impl AsRef<Path>, element: impl Into<String>, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io(Arc::new(error)),
        };
        Error::new(file, element, kind)
    }

    pub(crate) fn invalid(
        file: impl AsRef<Path>,
        element: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Error::new(file, element, ErrorKind::invalid(expected, found))
    }

    pub(crate) fn unsupported(
        file: impl AsRef<Path>,
        element: impl Into<String>,
        what: impl Into<String>,
        way_out: &'static str,
    ) -> Self {
        Error::new(file, element, ErrorKind::unsupported(what, way_out))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.element.is_empty() {
            write!(f, "{}: ", self.element)?;
        }
        write!(f, "{}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

/// The name of an HDF5 external link in errors.
pub(crate) const LINK_ELSEWHERE: &str = "a link into another file";

/// The advice for values of an unsupported type: anndata would write them again unchanged.
pub(crate) const AS_NUMBERS: &str =
    "leave it out, or write it as integers, floats, booleans or texts";

/// The advice for content that this reader does not know, and which may be damage.
pub(crate) const IF_READABLE: &str = "if a current anndata reads the file, let it write the file \
     again; otherwise the file is damaged: copy or download it again";

/// The advice if zarrs may read what the default backend does not.
pub(crate) const ZARRS_OR_REWRITE: &str = "open it with zarrs (feature zarrs, \
     ZarrBackend::PureThenZarrs), or read the store with software that knows it, and write it \
     again without it";

/// The advice if the HDF5 C library reads what the default backend does not.
pub(crate) const LIBRARY_OR_REWRITE: &str = "open it with the HDF5 C library (feature libhdf5, \
     Hdf5Backend::PureThenLibHdf5), or rewrite the file with a current anndata (read it, then \
     write it again)";

/// Returns the candidate nearest to `name` by edit distance, if any is near.
pub fn nearest_name<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| {
            (
                edit_distance(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            let len = name.chars().count().max(candidate.chars().count());
            *distance <= 1 + len / 3 && *distance < len
        })
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut current = vec![i + 1];
        for (j, &cb) in b.iter().enumerate() {
            let substitute = previous[j] + usize::from(ca != cb);
            current.push(substitute.min(previous[j + 1] + 1).min(current[j] + 1));
        }
        previous = current;
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_file_and_element() {
        let error = Error::invalid("a.h5ad", "X/indptr", "length 6", "5");
        assert_eq!(
            error.to_string(),
            "a.h5ad: X/indptr: expected length 6, found 5"
        );
        let error = Error::new("a.h5ad", "", ErrorKind::Gzipped);
        assert!(error.to_string().starts_with("a.h5ad: the file is gzip"));
    }

    #[test]
    fn nearest_name_accepts_only_near_names() {
        assert_eq!(
            nearest_name("celltype", ["donor", "cell_type"]),
            Some("cell_type".into())
        );
        assert_eq!(nearest_name("celltype", ["donor", "batch"]), None);
        assert_eq!(nearest_name("b", ["A", "B"]), Some("B".into()));
        assert_eq!(nearest_name("b", ["A", "C"]), None);
    }
}
