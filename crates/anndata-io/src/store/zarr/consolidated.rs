//! Zarr stores on servers that do not list their files: consolidated metadata names all groups and
//! arrays.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ROOT_V3, ROOTS_V2, ZarrStore};
use crate::error::{Error, ErrorKind};
use crate::io::context::IoContext;
use crate::io::folder::Folder;
use crate::io::remote::{Document, FolderReads, RemoteFolder, RemoteUrl, documents};
use crate::limits::MOST_CONSOLIDATED_BYTES;

/// The way out for a store without consolidated metadata.
const CONSOLIDATE: &str = "consolidate it (zarr.consolidate_metadata), or copy it to a local disk";

/// All documents of a store by their names, and what tells them from others.
struct Consolidated {
    documents: BTreeMap<String, Vec<u8>>,
    reads: FolderReads,
}

impl ZarrStore {
    /// Opens the group `inner` of the zarr directory at a URL; in a MuData directory, also by the name
    /// of a table. `None` if there is no such directory or group.
    ///
    /// # Errors
    /// When the directory has no consolidated metadata, or it cannot be read.
    pub(in crate::store) fn open_url(
        url: &RemoteUrl,
        inner: &str,
        context: &IoContext,
    ) -> Result<Option<ZarrStore>, Error> {
        let Some(Consolidated { documents, reads }) = consolidated(url, context)? else {
            return Ok(None);
        };
        let groups = match inner {
            "" => vec![String::new()],
            inner => vec![inner.to_owned(), format!("mod/{inner}")],
        };
        for group in groups {
            let (documents, reads) = (documents.clone(), reads.clone());
            let folder = RemoteFolder::new(context, url, &group, documents, reads);
            if let Some(store) = ZarrStore::of_folder(Folder::Remote(folder), context)? {
                return Ok(Some(store));
            }
        }
        Ok(None)
    }
}

/// Reads the metadata of the directory at a URL. `None` if it is no zarr directory.
fn consolidated(url: &RemoteUrl, context: &IoContext) -> Result<Option<Consolidated>, Error> {
    let names = [ROOT_V3, ROOTS_V2[2], ROOTS_V2[0]];
    let mut found = documents(context, url, &names, MOST_CONSOLIDATED_BYTES).into_iter();
    let mut next = || found.next().unwrap_or(Ok(None));
    let (v3, v2, group) = (next(), next(), next());
    let mut refused = None;
    // A server may refuse what does not exist.
    for (found, parse) in [(v3, parse_v3 as fn(_) -> _), (v2, parse_v2)] {
        match found {
            Ok(None) => {}
            Ok(Some(document)) => {
                let parsed = parse(document).map_err(|kind| Error::new(url.name(), "", kind))?;
                return Ok(Some(parsed));
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match (group, refused) {
        (Ok(Some(_)), _) => Err(Error::new(url.name(), "", not_consolidated())),
        (_, Some(error)) => Err(error),
        _ => Ok(None),
    }
}

fn not_consolidated() -> ErrorKind {
    let what =
        "a zarr directory without consolidated metadata on a server that does not list files";
    ErrorKind::unsupported(what, CONSOLIDATE)
}

fn parse(document: &[u8]) -> Result<Value, ErrorKind> {
    serde_json::from_slice(document)
        .map_err(|error| ErrorKind::invalid("JSON as consolidated metadata", error.to_string()))
}

/// Takes the members of a map of documents apart.
fn members(map: &Value) -> Result<impl Iterator<Item = (&String, Vec<u8>)>, ErrorKind> {
    let map = map.as_object();
    let map = map.ok_or_else(|| {
        let expected = "an object \"metadata\" in the consolidated metadata";
        ErrorKind::invalid(expected, "another value")
    })?;
    Ok(map
        .iter()
        .map(|(name, document)| (name, document.to_string().into_bytes())))
}

/// Reads `.zmetadata`: a map of the names of documents.
fn parse_v2(document: Document) -> Result<Consolidated, ErrorKind> {
    let parsed = parse(&document.bytes)?;
    let documents = members(&parsed["metadata"])?;
    let mut documents: BTreeMap<_, _> = documents
        .map(|(name, bytes)| (name.clone(), bytes))
        .collect();
    documents.insert(ROOTS_V2[2].to_owned(), document.bytes);
    Ok(Consolidated {
        documents,
        reads: document.reads,
    })
}

/// Reads the `zarr.json` of a root group: a map of the names of groups and arrays.
fn parse_v3(document: Document) -> Result<Consolidated, ErrorKind> {
    let parsed = parse(&document.bytes)?;
    let consolidated = &parsed["consolidated_metadata"];
    if consolidated.is_null() {
        return Err(not_consolidated());
    }
    let documents = members(&consolidated["metadata"])?;
    let named = |(name, bytes): (&String, _)| (format!("{name}/{ROOT_V3}"), bytes);
    let mut documents: BTreeMap<_, _> = documents.map(named).collect();
    documents.insert(ROOT_V3.to_owned(), document.bytes);
    Ok(Consolidated {
        documents,
        reads: document.reads,
    })
}
