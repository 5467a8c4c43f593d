//! Zarr stores on servers: consolidated metadata names all groups and arrays; without it, the list of
//! the files of a bucket does.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ROOT_V3, ROOTS_V2, ZarrStore};
use crate::error::{Error, ErrorKind};
use crate::io::context::IoContext;
use crate::io::folder::Folder;
use crate::io::remote::{
    Document, FolderReads, Listing, RemoteFolder, RemoteUrl, documents, listing,
};
use crate::limits::{
    MAX_DOCUMENT_BYTES, MOST_CONSOLIDATED_BYTES, MOST_DOCUMENTS, MOST_LISTED_FILES,
};

/// The way out for a store without consolidated metadata.
const CONSOLIDATE: &str = "consolidate it (zarr.consolidate_metadata), or copy it to a local disk";

/// All documents of a store by their names.
struct Metadata {
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
        let Some(found) = consolidated(url, context)? else {
            return Ok(None);
        };
        let (metadata, listing) = match (found, url.is_listed()) {
            (Found::All(metadata), false) => (metadata, None),
            (Found::All(metadata), true) => {
                let listing = listing(context, url, &metadata.reads, MOST_LISTED_FILES)?;
                (metadata, listing)
            }
            (Found::Root(reads), true) => {
                let listing = listing(context, url, &reads, MOST_LISTED_FILES)?;
                let listing = listing.ok_or_else(|| not_consolidated(url))?;
                (listed(url, context, &listing, reads)?, Some(listing))
            }
            (Found::Root(_), false) => return Err(not_consolidated(url)),
        };
        let Metadata { documents, reads } = metadata;
        let groups = match inner {
            "" => vec![String::new()],
            inner => vec![inner.to_owned(), format!("mod/{inner}")],
        };
        for group in groups {
            let (documents, reads) = (documents.clone(), reads.clone());
            let listing = listing.clone();
            let folder = RemoteFolder::new(context, url, &group, documents, listing, reads);
            if let Some(store) = ZarrStore::of_folder(Folder::Remote(folder), context)? {
                return Ok(Some(store));
            }
        }
        Ok(None)
    }
}

/// What the first documents of a directory say.
enum Found {
    All(Metadata),
    /// There is a store, without consolidated metadata.
    Root(FolderReads),
}

/// Reads the metadata of the directory at a URL. `None` if it is no zarr directory.
fn consolidated(url: &RemoteUrl, context: &IoContext) -> Result<Option<Found>, Error> {
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
        (Ok(Some(group)), _) => Ok(Some(Found::Root(group.reads))),
        (_, Some(error)) => Err(error),
        _ => Ok(None),
    }
}

/// Reads all documents of a list.
fn listed(
    url: &RemoteUrl,
    context: &IoContext,
    listing: &Listing,
    reads: FolderReads,
) -> Result<Metadata, Error> {
    let is_document = |name: &&String| {
        let file = name.rsplit('/').next().unwrap_or(name);
        [ROOT_V3, ".zarray", ".zattrs", ".zgroup"].contains(&file)
    };
    let names: Vec<&str> = listing
        .keys()
        .filter(is_document)
        .map(String::as_str)
        .collect();
    if names.len() > MOST_DOCUMENTS {
        let what = format!("a zarr store of more than {MOST_DOCUMENTS} groups and arrays");
        return Err(Error::unsupported(url.name(), "", what, CONSOLIDATE));
    }
    let read = reads.documents(context, url, &names, MAX_DOCUMENT_BYTES);
    let mut documents = BTreeMap::new();
    for (name, document) in names.into_iter().zip(read) {
        documents.extend(document?.map(|bytes| (name.to_owned(), bytes)));
    }
    Ok(Metadata { documents, reads })
}

fn not_consolidated(url: &RemoteUrl) -> Error {
    let what =
        "a zarr directory without consolidated metadata on a server that does not list files";
    Error::unsupported(url.name(), "", what, CONSOLIDATE)
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
fn parse_v2(document: Document) -> Result<Found, ErrorKind> {
    let parsed = parse(&document.bytes)?;
    let documents = members(&parsed["metadata"])?;
    let mut documents: BTreeMap<_, _> = documents
        .map(|(name, bytes)| (name.clone(), bytes))
        .collect();
    documents.insert(ROOTS_V2[2].to_owned(), document.bytes);
    Ok(Found::All(Metadata {
        documents,
        reads: document.reads,
    }))
}

/// Reads the `zarr.json` of a root group: a map of the names of groups and arrays.
fn parse_v3(document: Document) -> Result<Found, ErrorKind> {
    let parsed = parse(&document.bytes)?;
    let consolidated = &parsed["consolidated_metadata"];
    if consolidated.is_null() {
        return Ok(Found::Root(document.reads));
    }
    let documents = members(&consolidated["metadata"])?;
    let named = |(name, bytes): (&String, _)| (format!("{name}/{ROOT_V3}"), bytes);
    let mut documents: BTreeMap<_, _> = documents.map(named).collect();
    documents.insert(ROOT_V3.to_owned(), document.bytes);
    Ok(Found::All(Metadata {
        documents,
        reads: document.reads,
    }))
}
