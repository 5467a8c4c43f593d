//! Files of a folder that are read whole, many at once, and the list of a folder in a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::client::{Answer, Part, fetch, list, request};
use super::failure::Failure;
use super::kept::Kept;
use super::object::Version;
use super::url::RemoteUrl;
use crate::error::Error;
use crate::io::context::IoContext;

/// A file that was read whole.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reads: FolderReads,
}

/// What is known of the reads of a folder, by the version of one of its documents.
#[derive(Debug, Clone, Default)]
pub(crate) struct FolderReads {
    /// What tells the document from others; `None` if the server does not say.
    pub(super) stamp: Option<String>,
    /// What a process before this one read, and what this one reads.
    pub(super) kept: Option<Arc<Kept>>,
    /// The document.
    root: Option<(RemoteUrl, Version)>,
}

/// Reads files of a folder, all at once. `None` for a file that does not exist. Those that `old` has
/// are not asked for.
fn read_all(
    url: &RemoteUrl,
    names: &[&str],
    most: u64,
    old: impl Fn(&str) -> Option<Answer>,
) -> Vec<Result<Option<(RemoteUrl, Answer)>, Error>> {
    let ask = |name: &&str| {
        let file = url.member(name);
        let asked = match old(name) {
            Some(answer) => Ok(Err(answer)),
            None => request(&file, Part::Whole(most), None).map(Ok),
        };
        (file, asked)
    };
    // All requests are under way before the first answer is waited for.
    let asked: Vec<_> = names.iter().map(ask).collect();
    let answered = asked.into_iter().map(|(file, asked)| {
        let answer = asked.and_then(|asked| match asked {
            Ok(mut request) => request.wait(),
            Err(answer) => Ok(answer),
        });
        match answer {
            Ok(answer) => Ok(Some((file, answer))),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(Error::new(file.name(), "", failure.into())),
        }
    });
    answered.collect()
}

/// Reads files of the folder at a URL, all at once. `None` for a file that does not exist. If an
/// earlier process read one of them, reads only that.
///
/// # Errors
/// In the place of a file: when the server does not answer, or the file has more than `most` bytes.
pub(crate) fn documents(
    context: &IoContext,
    url: &RemoteUrl,
    names: &[&str],
    most: u64,
) -> Vec<Result<Option<Document>, Error>> {
    let mut kept = Kept::find(context, url);
    let known = kept.as_ref().and_then(|kept| {
        let is_known = |name: &&str| kept.version_of(name) == kept.version();
        kept.version()?;
        names.iter().position(is_known)
    });
    let mut found: Vec<Result<Option<Document>, Error>> = names.iter().map(|_| Ok(None)).collect();
    if let Some(at) = known {
        let old = kept.as_ref().filter(|_| !context.options().revalidate);
        let old = |name: &str| old.and_then(|kept| kept.answer(name));
        let read = read_all(url, &names[at..=at], most, old).pop();
        found[at] = read.unwrap_or(Ok(None)).map(|read| {
            read.map(|(file, answer)| document(url, names[at], file, answer, kept.take()))
        });
        // If it is gone, the store may have been written again, in another format.
        if !matches!(found[at], Ok(None)) {
            return found;
        }
    }
    let read = read_all(url, names, most, |_| None);
    let documents = names.iter().zip(read).map(|(name, read)| {
        // The first one that exists is the one that counts.
        read.map(|read| read.map(|(file, answer)| document(url, name, file, answer, kept.take())))
    });
    documents.collect()
}

/// The document `name` of the folder at `url`. The reads that were kept are of its version.
fn document(
    url: &RemoteUrl,
    name: &str,
    file: RemoteUrl,
    answer: Answer,
    kept: Option<Kept>,
) -> Document {
    let Answer { version, bytes, .. } = answer;
    let kept = kept.and_then(|kept| kept.of_version(url, &version));
    if let Some(kept) = &kept {
        kept.add(name, &version, 0, &bytes);
    }
    Document {
        reads: FolderReads {
            stamp: version.stamp(&file.identity()),
            kept,
            root: Some((file, version)),
        },
        bytes,
    }
}

impl FolderReads {
    /// Asks whether the document is still the same.
    pub(super) fn is_unchanged(&self) -> Result<bool, Failure> {
        let Some((url, version)) = &self.root else {
            return Ok(true);
        };
        let asked = match fetch(url, Part::Range(0..1), None) {
            Err(Failure::NoRanges) => fetch(url, Part::Whole(version.len), None),
            asked => asked,
        };
        match asked {
            Ok(answer) => Ok(answer.version == *version),
            Err(Failure::TooLong { .. }) => Ok(false),
            Err(failure) if failure.is_absence() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// What an earlier process read of the same version of the folder, if nothing is to be asked
    /// again.
    fn old(&self, context: &IoContext) -> Option<&Kept> {
        let kept = self.kept.as_deref();
        kept.filter(|_| !context.options().revalidate)
    }

    /// Reads more files of the folder, many at once, each of at most `most` bytes. `None` for a file
    /// that does not exist.
    pub(crate) fn documents(
        &self,
        context: &IoContext,
        url: &RemoteUrl,
        names: &[&str],
        most: u64,
    ) -> Vec<Result<Option<Vec<u8>>, Error>> {
        let read = read_all(url, names, most, |name| self.old(context)?.answer(name));
        let bytes = names.iter().zip(read).map(|(name, read)| {
            let Some((_, answer)) = read? else {
                return Ok(None);
            };
            if let Some(kept) = &self.kept {
                kept.add(name, &answer.version, 0, &answer.bytes);
            }
            Ok(Some(answer.bytes))
        });
        bytes.collect()
    }
}

/// The files of a folder, and their versions.
pub(crate) type Listing = BTreeMap<String, Version>;

/// Lists a folder of at most `most` files in a bucket. If nothing is to be asked again, takes the
/// list of an earlier process. `None` if the server refuses to list it.
///
/// # Errors
/// When the server does not answer, or there are more files.
pub(crate) fn listing(
    context: &IoContext,
    url: &RemoteUrl,
    reads: &FolderReads,
    most: usize,
) -> Result<Option<Listing>, Error> {
    let old = reads.old(context).and_then(|kept| kept.answer(LISTING));
    if let Some(old) = old.and_then(|old| decoded_list(&old.bytes)) {
        return Ok(Some(old));
    }
    let found = match list(url, most) {
        Ok(found) => found,
        Err(Failure::Status(401 | 403)) => return Ok(None),
        Err(failure) => return Err(Error::new(url.name(), "", failure.into())),
    };
    if let Some(kept) = &reads.kept {
        let bytes = encoded_list(&found);
        let version = Version {
            etag: None,
            modified: None,
            len: bytes.len() as u64,
        };
        kept.add(LISTING, &version, 0, &bytes);
    }
    Ok(Some(found))
}

/// The part that holds the list of a folder.
const LISTING: &str = "/list";

fn encoded_list(listing: &Listing) -> Vec<u8> {
    let files = listing.iter();
    let files: Map<String, Value> = files
        .map(|(name, version)| (name.clone(), version.to_json()))
        .collect();
    Value::Object(files).to_string().into_bytes()
}

fn decoded_list(bytes: &[u8]) -> Option<Listing> {
    let files: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let files = files.into_iter();
    files
        .map(|(name, version)| Some((name, Version::from_json(&version)?)))
        .collect()
}
