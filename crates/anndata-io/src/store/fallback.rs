//! HDF5 files read by the default backend, with the C library for each element that it refuses.

use std::path::{Path, PathBuf};

use once_cell::race::OnceBox;

use super::hdf5::Hdf5Store;
use super::libhdf5::LibHdf5Store;
use super::{Attribute, Backend, Node};
use crate::array::Array;
use crate::error::{Error, ErrorKind};
use crate::io::context::IoContext;

/// Opens a file with the default backend, or the whole file with the library if that backend
/// refuses it.
pub(crate) fn open(path: &Path, context: &IoContext) -> Result<Box<dyn Backend>, Error> {
    match Hdf5Store::open(path, context) {
        Err(error) if is_refusal(&error) => Ok(Box::new(LibHdf5Store::open(path, context)?)),
        pure => Ok(Box::new(Fallback {
            context: context.clone(),
            path: path.to_owned(),
            pure: pure?,
            library: OnceBox::new(),
        })),
    }
}

struct Fallback {
    context: IoContext,
    path: PathBuf,
    pure: Hdf5Store,
    /// The library's store, opened when first needed.
    library: OnceBox<LibHdf5Store>,
}

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fallback")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Whether the file is valid, and merely unsupported by this backend.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported { .. })
}

impl Fallback {
    fn ask<T>(&self, read: impl Fn(&dyn Backend) -> Result<T, Error>) -> Result<T, Error> {
        match read(&self.pure) {
            Err(error) if is_refusal(&error) => {
                let open = || LibHdf5Store::open(&self.path, &self.context).map(Box::new);
                read(self.library.get_or_try_init(open)?)
            }
            result => result,
        }
    }
}

impl Backend for Fallback {
    fn node(&self, element: &str) -> Result<Option<Node>, Error> {
        self.ask(|backend| backend.node(element))
    }

    fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.ask(|backend| backend.children(group))
    }

    fn unreadable(&self, group: &str) -> Result<Vec<Error>, Error> {
        self.ask(|backend| backend.unreadable(group))
    }

    fn attribute_names(&self, element: &str) -> Result<Vec<String>, Error> {
        self.ask(|backend| backend.attribute_names(element))
    }

    fn attribute(&self, element: &str, name: &str) -> Result<Option<Attribute>, Error> {
        self.ask(|backend| backend.attribute(element, name))
    }

    fn array(&self, element: &str) -> Result<Array, Error> {
        self.ask(|backend| backend.array(element))
    }

    fn dangling(&self, group: &str) -> Result<Vec<(String, String)>, Error> {
        self.pure.dangling(group)
    }

    fn has_writer(&self) -> bool {
        self.pure.has_writer()
    }
}
