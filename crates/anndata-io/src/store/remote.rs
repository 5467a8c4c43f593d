//! Opens a store on a server.

use super::content::{self, Content};
use super::zarr::ZarrStore;
use super::{Hdf5Backend, Store, ZarrBackend, hdf5};
use crate::error::{Error, ErrorKind};
use crate::io::bytes::ByteSource;
use crate::io::context::IoContext;
use crate::io::remote::{RemoteObject, RemoteUrl};

/// The advice for what is only read from a disk so far.
const COPY: &str = "copy it to a local disk first";

/// Opens a URL by the content of what it names: an object, the folder of a zarr store, or a group of
/// either.
pub(super) fn open(url: &RemoteUrl, context: &IoContext) -> Result<Store, Error> {
    match open_part(url, url, "", context) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {
            match url
                .split()
                .map(|(file, inner)| open_part(&file, url, &inner, context))
            {
                // Errors name the URL as the user gave it.
                Some(Err(other)) if matches!(other.kind(), ErrorKind::NotFound) => Err(error),
                Some(opened) => opened,
                None => Err(error),
            }
        }
        opened => opened,
    }
}

/// Opens the group `inner` of the store at a URL; `whole` is the URL of the group.
fn open_part(
    url: &RemoteUrl,
    whole: &RemoteUrl,
    inner: &str,
    context: &IoContext,
) -> Result<Store, Error> {
    let is_folder = url.is_folder() || url.extension().as_deref() == Some("zarr");
    if is_folder && let Some(store) = open_zarr(url, inner, context)? {
        return Ok(store);
    }
    if url.is_bucket() {
        return Err(Error::new(whole.name(), "", ErrorKind::NotFound));
    }
    let opened = open_object(url, whole, inner, context);
    let is_other = |error: &Error| {
        matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::NotAnnData { .. }
        )
    };
    match opened {
        // A server may answer with a page that lists the folder.
        Err(error) if !is_folder && is_other(&error) => {
            open_zarr(url, inner, context)?.ok_or(error)
        }
        opened => opened,
    }
}

fn open_zarr(url: &RemoteUrl, inner: &str, context: &IoContext) -> Result<Option<Store>, Error> {
    let store = ZarrStore::open_url(url, inner, context)?;
    store.map(|store| of_zarr(store, context)).transpose()
}

fn of_zarr(store: ZarrStore, context: &IoContext) -> Result<Store, Error> {
    if context.options().zarr != ZarrBackend::Pure {
        let what = "a zarr store on a server, read by zarrs,";
        return Err(Error::unsupported(store.path(), "", what, COPY));
    }
    Ok(Store::from_backend(
        store.path().to_owned(),
        Box::new(store),
    ))
}

fn open_object(
    url: &RemoteUrl,
    whole: &RemoteUrl,
    inner: &str,
    context: &IoContext,
) -> Result<Store, Error> {
    let (name, path) = (url.name(), whole.name());
    let not_anndata = |found: String| {
        let expected = "an HDF5 file, a zarr directory or a zip archive of one".to_owned();
        Error::new(&path, "", ErrorKind::NotAnnData { expected, found })
    };
    let Some(object) = RemoteObject::open(url, context)? else {
        return Err(not_anndata("an empty file".to_owned()));
    };
    match content::content(object.head()) {
        Content::Hdf5 if context.options().hdf5 != Hdf5Backend::Pure => {
            let what = "a file on a server, read by the HDF5 C library,";
            Err(Error::unsupported(&name, "", what, COPY))
        }
        Content::Hdf5 => {
            let source = ByteSource::Remote(object);
            let backend = Box::new(hdf5::Hdf5Store::open_source(&name, source, context)?);
            if inner.is_empty() {
                return Ok(Store::from_backend(name, backend));
            }
            let below = Store::below(name, backend, path.clone(), inner)?;
            below.ok_or_else(|| Error::new(&path, "", ErrorKind::NotFound))
        }
        Content::Gzip => Err(Error::new(&name, "", ErrorKind::Gzipped)),
        Content::Zip => {
            let source = ByteSource::Remote(object);
            let store = ZarrStore::open_zip(&name, source, inner, context)?;
            of_zarr(store.map_err(not_anndata)?, context)
        }
        Content::Other(found) => Err(not_anndata(found)),
    }
}
