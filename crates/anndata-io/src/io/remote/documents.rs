//! Files of a folder that are read whole, many at once, and the list of a folder in a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::client::{Answer, Part, Request, fetch, list, request};
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

/// A request under way, or the answer that was kept.
type Asked = Result<Result<Request, Answer>, Failure>;

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
    let kept = Kept::find(context, url);
    let known = kept.as_ref().and_then(|kept| {
        let version = kept.version()?;
        let mut known = names.iter().map(|name| kept.answer(name));
        known.position(|answer| answer.is_some_and(|answer| answer.version == *version))
    });
    let found = ask(context, url, names, most, (kept, known));
    // The store may have been written again, in another format.
    if known.is_some() && found.iter().all(|found| matches!(found, Ok(None))) {
        return ask(context, url, names, most, (Kept::find(context, url), None));
    }
    found
}

/// Reads files, all of them or only the known one.
fn ask(
    context: &IoContext,
    url: &RemoteUrl,
    names: &[&str],
    most: u64,
    (mut kept, known): (Option<Kept>, Option<usize>),
) -> Vec<Result<Option<Document>, Error>> {
    let is_asked = |at: usize| known.is_none_or(|known| known == at);
    let urls: Vec<RemoteUrl> = names.iter().map(|name| url.member(name)).collect();
    let asked: Vec<_> = urls
        .iter()
        .enumerate()
        .map(|(at, url)| {
            let is_old = known.is_some() && !context.options().revalidate;
            let old = kept.as_ref().filter(|_| is_old);
            match old.and_then(|kept| kept.answer(names[at])) {
                _ if !is_asked(at) => None,
                Some(answer) => Some(Ok(Err(answer))),
                None => Some(request(url, Part::Whole(most), None).map(Ok)),
            }
        })
        .collect();
    let mut document = |(at, asked): (usize, Option<Asked>)| {
        let answered = match asked {
            None => return Ok(None),
            Some(Ok(Err(answer))) => Ok(answer),
            Some(Ok(Ok(request))) => request.wait(),
            Some(Err(failure)) => Err(failure),
        };
        match answered {
            Ok(answer) => {
                // The first one that exists is the one that counts.
                let kept = kept
                    .take()
                    .and_then(|kept| kept.of_version(url, &answer.version));
                if let Some(kept) = &kept {
                    kept.add(names[at], &answer.version, 0, &answer.bytes);
                }
                Ok(Some(Document {
                    reads: FolderReads {
                        stamp: answer.version.stamp(&urls[at]),
                        kept,
                        root: Some((urls[at].clone(), answer.version)),
                    },
                    bytes: answer.bytes,
                }))
            }
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(Error::new(urls[at].name(), "", failure.into())),
        }
    };
    asked.into_iter().enumerate().map(&mut document).collect()
}

impl FolderReads {
    /// Asks whether the document is still the same.
    pub(super) fn is_unchanged(&self) -> Result<bool, Failure> {
        let Some((url, version)) = &self.root else {
            return Ok(true);
        };
        match fetch(url, Part::Whole(version.len), None) {
            Ok(answer) => Ok(answer.version == *version),
            Err(Failure::TooLong { .. }) => Ok(false),
            Err(failure) if failure.is_absence() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Reads more files of the folder, many at once, each of at most `most` bytes; what an earlier
    /// process read of the same version of the folder is not asked for if nothing is to be asked
    /// again. `None` for a file that does not exist.
    pub(crate) fn documents(
        &self,
        context: &IoContext,
        url: &RemoteUrl,
        names: &[&str],
        most: u64,
    ) -> Vec<Result<Option<Vec<u8>>, Error>> {
        let old = self.kept.as_ref().filter(|_| !context.options().revalidate);
        let ask = |name: &&str| match old.and_then(|kept| kept.answer(name)) {
            Some(answer) => Ok(Err(answer)),
            None => request(&url.member(name), Part::Whole(most), None).map(Ok),
        };
        let asked: Vec<Asked> = names.iter().map(ask).collect();
        let document = |(name, asked): (&&str, Asked)| {
            let answered = asked.and_then(|asked| asked.map_or_else(Ok, |request| request.wait()));
            match answered {
                Ok(answer) => {
                    if let Some(kept) = &self.kept {
                        kept.add(name, &answer.version, 0, &answer.bytes);
                    }
                    Ok(Some(answer.bytes))
                }
                Err(failure) if failure.is_absence() => Ok(None),
                Err(failure) => Err(Error::new(url.member(name).name(), "", failure.into())),
            }
        };
        names.iter().zip(asked).map(document).collect()
    }
}

/// The files of a folder, and their versions.
pub(crate) type Listing = BTreeMap<String, Version>;

/// Whether the folder at a URL can be listed.
pub(crate) fn is_listed(url: &RemoteUrl) -> bool {
    url.is_listed()
}

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
    let kept = reads.kept.as_ref();
    let old = kept.filter(|_| !context.options().revalidate);
    let old = old.and_then(|kept| decoded_list(&kept.answer(LISTING)?.bytes));
    if let Some(old) = old {
        return Ok(Some(old));
    }
    let found = match list(url, most) {
        Ok(found) => found,
        Err(Failure::Status(401 | 403)) => return Ok(None),
        Err(failure) => return Err(Error::new(url.name(), "", failure.into())),
    };
    if let Some(kept) = kept {
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
    let files = listing.iter().map(|(name, version)| {
        let Version {
            etag,
            modified,
            len,
        } = version;
        json!([name, etag, modified, len])
    });
    Value::Array(files.collect()).to_string().into_bytes()
}

fn decoded_list(bytes: &[u8]) -> Option<Listing> {
    let files: Vec<(String, Option<String>, Option<i64>, u64)> =
        serde_json::from_slice(bytes).ok()?;
    let files = files.into_iter().map(|(name, etag, modified, len)| {
        let version = Version {
            etag,
            modified,
            len,
        };
        (name, version)
    });
    Some(files.collect())
}
