//! Converts errors of `hdf5-reader` into those of this crate.

use std::path::Path;
use std::sync::Arc;

use hdf5_reader::error::Error as Hdf5Error;

use crate::error::{Error, ErrorKind, IF_READABLE, LIBRARY_OR_REWRITE, LINK_ELSEWHERE};

/// The number of external links, which lead into other files, in the format.
const EXTERNAL_LINK: u8 = 64;

/// The advice for such a link, whether or not the other file exists.
const LINK_WAY_OUT: &str = "put the other file where the link leads, then open this one with the \
     HDF5 C library (feature libhdf5, Hdf5Backend::PureThenLibHdf5), or rewrite it with a current \
     anndata (read it, then write it again)";

pub(super) fn invalid(what: impl Into<String>) -> Hdf5Error {
    Hdf5Error::InvalidData(what.into())
}

/// Whether an address is the special value for "undefined".
pub(super) fn is_undefined(address: u64, offset_size: u8) -> bool {
    hdf5_reader::io::Cursor::is_undefined_offset(address, offset_size)
}

/// Makes an error about an element.
pub(super) fn failure(path: &Path, element: &str, error: Hdf5Error) -> Error {
    let mut root = &error;
    while let Hdf5Error::Context { source, .. } = root {
        root = source;
    }
    if let Hdf5Error::Io(error) = root
        && let Some(error) = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<Error>())
    {
        return Error::new(path, element, error.kind().clone());
    }
    let unsupported = |what: &str| Error::unsupported(path, element, what, LIBRARY_OR_REWRITE);
    match root {
        Hdf5Error::DatasetNotFound(_) | Hdf5Error::GroupNotFound(_) => {
            Error::new(path, element, ErrorKind::MissingElement { nearest: None })
        }
        Hdf5Error::UnsupportedLayoutClass(3) => unsupported("a virtual dataset"),
        Hdf5Error::UnsupportedLinkType(EXTERNAL_LINK) => {
            Error::unsupported(path, element, LINK_ELSEWHERE, LINK_WAY_OUT)
        }
        Hdf5Error::UnsupportedSuperblockVersion(_)
        | Hdf5Error::UnsupportedLayoutClass(_)
        | Hdf5Error::UnsupportedLayoutVersion(_)
        | Hdf5Error::UnsupportedDatatypeClass(_)
        | Hdf5Error::UnsupportedLinkType(_)
        | Hdf5Error::UnsupportedChunkIndexType(_)
        | Hdf5Error::UnsupportedEncoding(_) => {
            // Names the feature without repeating that it is not supported.
            let text = root.to_string();
            let what = text.strip_prefix("unsupported ").unwrap_or(&text);
            let what = what.strip_prefix("encoding: ").unwrap_or(what);
            let what = what.strip_suffix(" is not supported").unwrap_or(what);
            let what = what.split("; at most ").next().unwrap_or(what);
            Error::unsupported(path, element, format!("HDF5's {what}"), IF_READABLE)
        }
        _ => Error::new(path, element, ErrorKind::Hdf5(Arc::new(error))),
    }
}
