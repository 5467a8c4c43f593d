//! Opens a store on a server.

use super::content::{self, Content};
use super::{Hdf5Backend, Store, hdf5};
use crate::error::{Error, ErrorKind};
use crate::io::bytes::ByteSource;
use crate::io::context::IoContext;
use crate::io::remote::{RemoteObject, RemoteUrl};

/// The advice for what is only read from a disk so far.
const COPY: &str = "copy it to a local disk first";

/// Opens the object at a URL by its content.
pub(super) fn open(url: &RemoteUrl, context: &IoContext) -> Result<Store, Error> {
    let name = url.name();
    let unsupported = |what: &str| Err(Error::unsupported(&name, "", what, COPY));
    let content = |object: &RemoteObject| content::content(object.head());
    let object = match RemoteObject::open(url, context) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) && is_zarr(&name) => {
            return unsupported("a zarr directory on a server");
        }
        object => object?,
    };
    let not_anndata = |found: String| {
        let expected = "an HDF5 file".to_owned();
        Error::new(&name, "", ErrorKind::NotAnnData { expected, found })
    };
    let Some(object) = object else {
        return Err(not_anndata("an empty file".to_owned()));
    };
    match content(&object) {
        Content::Hdf5 if context.options().hdf5 != Hdf5Backend::Pure => {
            unsupported("a file on a server, read by the HDF5 C library,")
        }
        Content::Hdf5 => {
            let source = ByteSource::Remote(object);
            let backend = hdf5::Hdf5Store::open_source(&name, source, context)?;
            Ok(Store::from_backend(name, Box::new(backend)))
        }
        Content::Gzip => Err(Error::new(&name, "", ErrorKind::Gzipped)),
        Content::Zip => unsupported("a zip archive on a server"),
        Content::Other(found) => Err(not_anndata(found)),
    }
}

fn is_zarr(name: &std::path::Path) -> bool {
    name.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("zarr"))
}
