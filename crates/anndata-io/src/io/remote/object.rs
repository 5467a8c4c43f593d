//! One object on a server, as it was when it was opened.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use object_store::GetOptions;
use serde_json::{Value, json};

use super::blocks::{BLOCK_BYTES, Blocks};
use super::client::{Answer, Part, fetch};
use super::failure::Failure;
use super::kept::{Kept, KeptPart};
use super::staged::Staged;
use super::url::RemoteUrl;
use crate::error::{Error, ErrorKind};
use crate::io::context::IoContext;
use crate::io::fork::ForkLocal;

/// The bytes of the first request: what tells the kind of a file, and where most structure begins.
const HEAD_BYTES: u64 = 64 << 10;

/// How many milliseconds ago an object without an ETag must have changed: the clocks of two machines
/// differ.
const SETTLED: i64 = 60_000;

/// An object that can be read at any position from any thread. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RemoteObject {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: IoContext,
    url: RemoteUrl,
    name: PathBuf,
    /// The answer to the first request.
    first: Answer,
    kept: Option<KeptPart>,
    staged: ForkLocal<Staged>,
    blocks: ForkLocal<Blocks>,
}

/// What tells an object from a later one at the same URL.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(super) etag: Option<String>,
    /// Milliseconds since 1970.
    pub(super) modified: Option<i64>,
    pub(super) len: u64,
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Version {
    /// What counts: lists of buckets have finer times than answers, so the time counts only without
    /// an ETag.
    fn key(&self) -> (Option<&str>, Option<i64>, u64) {
        match &self.etag {
            Some(etag) => (Some(etag), None, self.len),
            None => (None, self.modified, self.len),
        }
    }

    /// Makes a request fail if the object has another version.
    pub(super) fn require(&self, options: &mut GetOptions) {
        // A weak tag never matches.
        let strong = self.etag.as_ref().filter(|etag| !etag.starts_with("W/"));
        options.if_match = strong.cloned();
    }

    /// As it stands in the cache.
    pub(super) fn to_json(&self) -> Value {
        let Version {
            etag,
            modified,
            len,
        } = self;
        json!([etag, modified, len])
    }

    /// `None` if this is not a version.
    pub(super) fn from_json(value: &Value) -> Option<Version> {
        Some(Version {
            etag: value[0].as_str().map(str::to_owned),
            modified: value[1].as_i64(),
            len: value[2].as_u64()?,
        })
    }

    /// What tells an object from others, by the [identity](RemoteUrl::identity) of its URL, and from
    /// its own other versions. `None` if the server does not say.
    pub(super) fn stamp(&self, identity: &str) -> Option<String> {
        let Version { etag, modified, .. } = self;
        let is_strong = etag.as_ref().is_some_and(|etag| !etag.starts_with("W/"));
        // Servers count seconds, and another change in the same one would not show.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis() as i64);
        let is_settled = || modified.is_some_and(|time| now.saturating_sub(time) > SETTLED);
        (is_strong || is_settled()).then(|| format!("{identity} {:?}", self.key()))
    }
}

impl RemoteObject {
    /// Opens an object, with one request. `None` if it is empty.
    ///
    /// # Errors
    /// When the server does not answer, or not with a part of the object.
    pub(crate) fn open(
        url: &RemoteUrl,
        context: &IoContext,
    ) -> Result<Option<RemoteObject>, Error> {
        let kept = Kept::find(context, url);
        let known = kept.as_ref().and_then(Kept::version);
        let first = kept.as_ref().and_then(|kept| kept.answer(""));
        let known = known.zip(first.filter(|first| first.start == 0));
        let first = match known {
            Some((version, first)) if is_still(url, version, context)? => first,
            _ => match first_part(url, Part::Range(0..HEAD_BYTES), context)? {
                Some(first) => first,
                None => return Ok(None),
            },
        };
        let kept = kept.and_then(|kept| kept.of_version(url, &first.version));
        let kept = kept.map(|kept| KeptPart::new(kept, String::new()));
        Ok(Some(RemoteObject::new(url, context, first, kept)))
    }

    /// Opens an object of which the request asks for a part that is read first. `None` if it is empty.
    pub(super) fn open_part(
        url: &RemoteUrl,
        part: Part,
        context: &IoContext,
        kept: Option<KeptPart>,
    ) -> Result<Option<RemoteObject>, Error> {
        let known = kept.as_ref().and_then(KeptPart::first);
        let first = match known {
            Some(first) => Some(first),
            None => first_part(url, part, context)?,
        };
        Ok(first.map(|first| RemoteObject::new(url, context, first, kept)))
    }

    /// An object of which the version is known, without a request.
    pub(super) fn known(
        url: &RemoteUrl,
        version: Version,
        context: &IoContext,
        kept: Option<KeptPart>,
    ) -> RemoteObject {
        let first = Answer {
            version,
            start: 0,
            bytes: Vec::new(),
        };
        RemoteObject::new(url, context, first, kept)
    }

    fn new(
        url: &RemoteUrl,
        context: &IoContext,
        first: Answer,
        kept: Option<KeptPart>,
    ) -> RemoteObject {
        if let Some(kept) = kept.as_ref().filter(|_| !first.bytes.is_empty()) {
            kept.add_first(&first);
        }
        RemoteObject {
            inner: Arc::new(Inner {
                context: context.clone(),
                url: url.clone(),
                name: url.name(),
                first,
                kept,
                staged: ForkLocal::new(Staged::default),
                blocks: ForkLocal::new(Blocks::default),
            }),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.inner.first.version.len
    }

    pub(super) fn version(&self) -> &Version {
        &self.inner.first.version
    }

    /// The first bytes.
    pub(crate) fn head(&self) -> &[u8] {
        &self.inner.first.bytes
    }

    /// What tells this object from others, for packs that outlive the process. `None` if the server
    /// does not say.
    pub(crate) fn stamp(&self) -> Option<String> {
        let identity = self.inner.url.identity();
        self.inner.first.version.stamp(&identity)
    }

    /// Asks for ranges that will be read soon, each with the number of its bytes that will. Ranges
    /// that do not fit are left out.
    pub(crate) fn stage(&self, ranges: &mut dyn Iterator<Item = (Range<u64>, u64)>) {
        let inner = &*self.inner;
        let is_kept = |range: &Range<u64>| {
            let version = &inner.first.version;
            inner
                .kept
                .as_ref()
                .is_some_and(|kept| kept.has(version, range))
        };
        let within =
            ranges.filter(|(range, _)| range.end <= inner.first.version.len && !is_kept(range));
        inner
            .staged
            .get()
            .add(within, &inner.url, &inner.first.version);
    }

    pub(crate) fn give_up(&self, range: Range<u64>) {
        self.inner.staged.get().give_up(range);
    }

    /// Fills `out` with the bytes at `offset`.
    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let Some(range) = self.rest_of(offset, out)? else {
            return Ok(());
        };
        if self.read_staged(range.clone(), out, false)? {
            return Ok(());
        }
        out.copy_from_slice(&self.fetch(range)?);
        Ok(())
    }

    /// As [`read_exact_at`](Self::read_exact_at), for pieces of structure: fetches whole blocks, which
    /// are kept until [`forget_structure`](Self::forget_structure).
    pub(crate) fn read_structure(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let Some(range) = self.rest_of(offset, out)? else {
            return Ok(());
        };
        if self.read_staged(range.clone(), out, true)? {
            return Ok(());
        }
        let n_blocks = self.len().div_ceil(BLOCK_BYTES);
        for number in range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES) {
            let start = number * BLOCK_BYTES;
            let block = self
                .inner
                .blocks
                .get()
                .get(number, n_blocks, |n_together| {
                    if let Some(block) = self.kept_block(start) {
                        return Ok(block);
                    }
                    self.fetch(start..(start + n_together * BLOCK_BYTES).min(self.len()))
                })?;
            let within = range.start.max(start)..range.end.min(start + block.len() as u64);
            let of_out = (within.start - range.start) as usize..(within.end - range.start) as usize;
            let of_block = (within.start - start) as usize..(within.end - start) as usize;
            out[of_out].copy_from_slice(&block[of_block]);
        }
        Ok(())
    }

    /// The block at `start`, if it was kept.
    fn kept_block(&self, start: u64) -> Option<Vec<u8>> {
        let kept = self.inner.kept.as_ref()?;
        let mut block = vec![0; BLOCK_BYTES.min(self.len() - start) as usize];
        let version = &self.inner.first.version;
        kept.read(version, start, &mut block).then_some(block)
    }

    /// Gives up the blocks of structure, and what was staged.
    pub(crate) fn forget_structure(&self) {
        if let Some(kept) = &self.inner.kept {
            kept.write();
        }
        self.inner.blocks.get().clear();
        self.inner.staged.get().clear();
    }

    /// Checks a range, and fills `out` if the first request had it; otherwise returns it.
    fn rest_of(&self, offset: u64, out: &mut [u8]) -> Result<Option<Range<u64>>, Error> {
        let inner = &*self.inner;
        if inner.context.is_closed() {
            return Err(Error::new(&inner.name, "", ErrorKind::Closed));
        }
        let end = offset.checked_add(out.len() as u64);
        let Some(end) = end.filter(|&end| end <= inner.first.version.len) else {
            let expected = format!("{} bytes at {offset}", out.len());
            let found = format!("an object of {} bytes", inner.first.version.len);
            return Err(Error::invalid(&inner.name, "", expected, found));
        };
        let Answer { start, bytes, .. } = &inner.first;
        if offset >= *start && end <= start + bytes.len() as u64 {
            out.copy_from_slice(&bytes[(offset - start) as usize..(end - start) as usize]);
            return Ok(None);
        }
        let kept = inner.kept.as_ref();
        if !out.is_empty() && kept.is_some_and(|kept| kept.read(&inner.first.version, offset, out))
        {
            return Ok(None);
        }
        Ok((!out.is_empty()).then_some(offset..end))
    }

    /// Fills `out` if the range was staged.
    fn read_staged(&self, range: Range<u64>, out: &mut [u8], is_kept: bool) -> Result<bool, Error> {
        // If a request that was made ahead failed, another one says why.
        let staged = self.inner.staged.get().take(range.clone(), is_kept);
        let Some(Ok(answer)) = staged else {
            return Ok(false);
        };
        self.check(&answer)?;
        let at = (range.start - answer.start) as usize;
        out.copy_from_slice(&answer.bytes[at..at + out.len()]);
        Ok(true)
    }

    fn fetch(&self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let inner = &*self.inner;
        let answer = fetch(&inner.url, Part::Range(range), Some(&inner.first.version));
        let answer = answer.map_err(|failure| match failure {
            // It has become shorter.
            Failure::Status(416) => Error::new(&inner.name, "", ErrorKind::Changed),
            failure => Error::new(&inner.name, "", failure.into()),
        })?;
        self.check(&answer)?;
        Ok(answer.bytes)
    }

    /// Compares the version of an answer: servers may ignore conditions. Keeps it, if the context
    /// keeps what it reads.
    fn check(&self, answer: &Answer) -> Result<(), Error> {
        match answer.version == self.inner.first.version {
            true => {
                if let Some(kept) = &self.inner.kept {
                    kept.add(answer);
                }
                Ok(())
            }
            false => Err(Error::new(&self.inner.name, "", ErrorKind::Changed)),
        }
    }
}

/// Asks for the part of an object that is read first. `None` if the object is empty.
fn first_part(url: &RemoteUrl, part: Part, context: &IoContext) -> Result<Option<Answer>, Error> {
    match fetch(url, part, None) {
        // No byte of an empty object can be asked for.
        Err(Failure::Status(416)) => Ok(None),
        Ok(first) => {
            context.count_read(first.bytes.len() as u64);
            Ok(Some(first))
        }
        Err(failure) => Err(Error::new(url.name(), "", failure.into())),
    }
}

/// Whether an object still has a version: asks the server, unless the options forbid it.
fn is_still(url: &RemoteUrl, version: &Version, context: &IoContext) -> Result<bool, Error> {
    if !context.options().revalidate {
        return Ok(true);
    }
    let answer = first_part(url, Part::Range(0..1), context)?;
    Ok(answer.is_some_and(|answer| answer.version == *version))
}
