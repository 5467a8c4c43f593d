//! A folder on a server: its documents are known. All other files are listed, or found out when
//! they are read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::client::{Answer, Part, fetch, request};
use super::documents::{FolderReads, Listing};
use super::kept::KeptPart;
use super::object::{RemoteObject, Version};
use super::staged::Staged;
use super::url::RemoteUrl;
use crate::error::{Error, ErrorKind};
use crate::io::bytes::{ByteSource, Memory};
use crate::io::context::IoContext;
use crate::io::folder::{FileBytes, first_parts};
use crate::io::fork::ForkLocal;
use crate::io::lock::lock;
use crate::path::member;

/// A folder of which the documents were read before.
#[derive(Debug, Clone)]
pub(crate) struct RemoteFolder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: IoContext,
    url: RemoteUrl,
    /// What tells its files from those of other folders.
    identity: String,
    name: PathBuf,
    documents: BTreeMap<String, Vec<u8>>,
    /// All files, if the server lists them.
    listing: Option<Listing>,
    reads: FolderReads,
    /// The folder as seen from that of the reads.
    inner: String,
}

impl RemoteFolder {
    /// Makes the folder `inner` of that at `url`, of all documents and files below `url`.
    pub(crate) fn new(
        context: &IoContext,
        url: &RemoteUrl,
        inner: &str,
        mut documents: BTreeMap<String, Vec<u8>>,
        mut listing: Option<Listing>,
        reads: FolderReads,
    ) -> RemoteFolder {
        let mut url = url.clone();
        if !inner.is_empty() {
            url = url.member(inner);
            documents = below(documents, inner);
            listing = listing.map(|listing| below(listing, inner));
        }
        RemoteFolder {
            inner: Arc::new(Inner {
                context: context.clone(),
                name: url.name(),
                identity: url.identity(),
                url,
                documents,
                listing,
                reads,
                inner: inner.to_owned(),
            }),
        }
    }

    /// The URL without secrets.
    pub(crate) fn path(&self) -> &Path {
        &self.inner.name
    }

    /// The documents by their names.
    pub(crate) fn documents(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.inner.documents
    }

    /// Whether all files are known.
    pub(crate) fn is_listed(&self) -> bool {
        self.inner.listing.is_some()
    }

    fn version(&self, name: &str) -> Option<&Version> {
        self.inner.listing.as_ref()?.get(name)
    }

    /// The length of a file that is known, and what tells it from others.
    pub(crate) fn file(&self, name: &str) -> Option<(u64, Option<String>)> {
        let version = self.version(name)?;
        let stamp = version.stamp(&format!("{} {name:?}", self.inner.identity));
        Some((version.len, stamp))
    }

    /// The first parts of the names of all known files that begin with `within`.
    pub(crate) fn first_parts(&self, within: &str) -> Vec<String> {
        let mut parts = first_parts(&self.inner.documents, within.to_owned());
        if let Some(listing) = &self.inner.listing {
            parts.extend(first_parts(listing, within.to_owned()));
            parts.sort_unstable();
            parts.dedup();
        }
        parts
    }

    /// Opens a known file, without a request.
    pub(crate) fn open(&self, name: &str) -> Option<FileBytes> {
        let version = self.version(name)?.clone();
        let url = self.inner.url.member(name);
        let object = RemoteObject::known(&url, version, &self.inner.context, self.kept(name));
        Some(FileBytes {
            len: object.len(),
            source: ByteSource::Remote(object),
            offset: 0,
        })
    }

    /// What tells the documents from others. Other files may change without notice.
    pub(crate) fn stamp(&self) -> Option<&str> {
        self.inner.reads.stamp.as_deref()
    }

    /// Checks that a file may be absent: it is not in the list, and the folder is still the one that was
    /// opened. Otherwise, a store that goes away would turn into fill values.
    fn check_absence(&self, name: &str) -> Result<(), Error> {
        let inner = &*self.inner;
        let changed = || Error::new(inner.url.member(name).name(), "", ErrorKind::Changed);
        if self.version(name).is_some() {
            return Err(changed());
        }
        match inner.reads.is_unchanged() {
            Ok(true) => Ok(()),
            Ok(false) => Err(changed()),
            Err(failure) => Err(Error::new(&inner.name, "", failure.into())),
        }
    }

    /// What is kept of a file.
    fn kept(&self, name: &str) -> Option<KeptPart> {
        let kept = self.inner.reads.kept.clone()?;
        Some(KeptPart::new(kept, member(&self.inner.inner, name)))
    }
}

/// The entries below a folder, with names as seen from there.
fn below<T>(entries: BTreeMap<String, T>, folder: &str) -> BTreeMap<String, T> {
    let below = |(name, entry): (String, T)| {
        let name = name.strip_prefix(folder)?.strip_prefix('/')?;
        Some((name.to_owned(), entry))
    };
    entries.into_iter().filter_map(below).collect()
}

/// The least bytes that a file is expected to have.
const LEAST_GUESS: u64 = 64 << 10;

/// Files with numbers in such a folder: the chunks, or shards, of an array.
#[derive(Debug)]
pub(crate) struct RemoteFiles {
    folder: RemoteFolder,
    staged: ForkLocal<Staged>,
    /// The chunks that were found not to exist.
    absent: ForkLocal<Mutex<HashSet<u64>>>,
    /// A hash of the version of each file that was read.
    versions: ForkLocal<Mutex<HashMap<u64, u64>>>,
    /// The bytes of all files that were read, and of the longest one.
    fetched: AtomicU64,
    longest: AtomicU64,
}

impl RemoteFiles {
    pub(crate) fn new(folder: &RemoteFolder) -> RemoteFiles {
        RemoteFiles {
            folder: folder.clone(),
            staged: ForkLocal::new(Staged::default),
            absent: ForkLocal::new(Mutex::default),
            versions: ForkLocal::new(Mutex::default),
            fetched: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    /// The bytes of all files that were read so far.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Whether a chunk was found not to exist.
    pub(crate) fn is_absent(&self, chunk: u64) -> bool {
        lock(self.absent.get()).contains(&chunk)
    }

    /// Counts a chunk that does not exist. Returns how many there were so far.
    pub(crate) fn count_absent(&self, chunk: u64) -> u64 {
        let mut absent = lock(self.absent.get());
        absent.insert(chunk);
        absent.len() as u64
    }

    /// Counts a part of a file that is about to be read.
    pub(crate) fn count_part(&self, len: u64) {
        self.fetched.fetch_add(len, Ordering::Relaxed);
    }

    /// Asks for files of at most `most` bytes, which will be read soon.
    pub(crate) fn stage(
        &self,
        numbers: impl Iterator<Item = u64>,
        most: u64,
        name: impl Fn(u64) -> String,
    ) {
        // A guess, until files show what they take. A file that is longer is asked for again.
        let guess = match self.longest.load(Ordering::Relaxed) {
            0 => most / 4,
            longest => longest
                .saturating_mul(2)
                .clamp(LEAST_GUESS, most.max(LEAST_GUESS)),
        };
        let expected = |number| match self.folder.version(&name(number)) {
            Some(version) => version.len.min(most),
            None => guess,
        };
        let ask = |number| {
            let name = name(number);
            let url = self.folder.inner.url.member(&name);
            request(
                &url,
                Part::Whole(expected(number)),
                self.folder.version(&name),
            )
        };
        let is_kept = |number: &u64| {
            let name = name(*number);
            let listed = self.folder.version(&name);
            let kept = self.folder.kept(&name);
            kept.is_some_and(|kept| listed.is_none() && kept.is_absent() || kept.has_first(listed))
        };
        let numbers = numbers
            .filter(|number| !is_kept(number))
            .map(|number| (number, expected(number)));
        self.staged.get().add_objects(numbers, ask);
    }

    pub(crate) fn give_up(&self, number: u64) {
        self.staged.get().give_up(number..number + 1);
    }

    /// Returns a whole file of at most `most` bytes. `None` if it does not exist.
    pub(crate) fn read(
        &self,
        number: u64,
        name: &str,
        most: u64,
    ) -> Result<Option<FileBytes>, Error> {
        let url = self.folder.inner.url.member(name);
        let kept = self.folder.kept(name);
        let listed = self.folder.version(name);
        if listed.is_none() && kept.as_ref().is_some_and(KeptPart::is_absent) {
            return Ok(None);
        }
        let known = kept.as_ref().filter(|kept| kept.has_first(listed));
        let known = known.and_then(KeptPart::first).map(Arc::new);
        let staged = || self.staged.get().take(number..number + 1, false);
        let answer = match known.map(Ok).or_else(staged) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(failure)) if failure.is_absence() => Err(failure),
            // If a request that was made ahead failed, another one says why.
            _ => {
                self.check_open()?;
                fetch(&url, Part::Whole(most), listed).map(Arc::new)
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) if failure.is_absence() => {
                self.check_absence(number, name)?;
                if let Some(kept) = &kept {
                    kept.add_absence();
                }
                return Ok(None);
            }
            Err(failure) => return Err(Error::new(url.name(), "", failure.into())),
        };
        if listed.is_some_and(|version| *version != answer.version) {
            return Err(Error::new(url.name(), "", ErrorKind::Changed));
        }
        let len = answer.bytes.len() as u64;
        self.count(number, &url, &answer.version, len)?;
        if let Some(kept) = &kept {
            kept.add_first(&answer);
        }
        Ok(Some(FileBytes {
            source: ByteSource::Memory(Memory::new(Body(answer))),
            offset: 0,
            len,
        }))
    }

    /// Opens a file to be read by parts, the last (or first) `len` bytes first. `None` if it does
    /// not exist.
    pub(crate) fn open(
        &self,
        number: u64,
        name: &str,
        len: u64,
        is_at_end: bool,
    ) -> Result<Option<FileBytes>, Error> {
        self.check_open()?;
        let url = self.folder.inner.url.member(name);
        let context = &self.folder.inner.context;
        let kept = self.folder.kept(name);
        if kept.as_ref().is_some_and(KeptPart::is_absent) {
            return Ok(None);
        }
        let part = match is_at_end {
            true => Part::End(len),
            false => Part::Range(0..len),
        };
        let object = match RemoteObject::open_part(&url, part, context, kept.clone()) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {
                self.check_absence(number, name)?;
                if let Some(kept) = kept {
                    kept.add_absence();
                }
                return Ok(None);
            }
            object => object?,
        };
        let Some(object) = object else {
            let expected = format!("a file of at least {len} bytes");
            return Err(Error::invalid(url.name(), "", expected, "an empty one"));
        };
        self.count(number, &url, object.version(), 0)?;
        Ok(Some(FileBytes {
            len: object.len(),
            source: ByteSource::Remote(object),
            offset: 0,
        }))
    }

    fn check_absence(&self, number: u64, name: &str) -> Result<(), Error> {
        let versions = lock(self.versions.get());
        if versions.contains_key(&number) {
            let url = self.folder.inner.url.member(name);
            return Err(Error::new(url.name(), "", ErrorKind::Changed));
        }
        drop(versions);
        self.folder.check_absence(name)
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.folder.inner.context.is_closed() {
            true => Err(Error::new(self.folder.path(), "", ErrorKind::Closed)),
            false => Ok(()),
        }
    }

    /// Counts a file that was read, which must be the same as before.
    fn count(
        &self,
        number: u64,
        url: &RemoteUrl,
        version: &Version,
        len: u64,
    ) -> Result<(), Error> {
        let mut hasher = DefaultHasher::new();
        version.hash(&mut hasher);
        let hash = hasher.finish();
        let mut versions = lock(self.versions.get());
        match versions.get(&number) {
            Some(&before) if before != hash => {
                return Err(Error::new(url.name(), "", ErrorKind::Changed));
            }
            Some(_) => {}
            None => {
                versions.insert(number, hash);
                self.count_part(len);
            }
        }
        self.longest.fetch_max(len, Ordering::Relaxed);
        Ok(())
    }
}

/// The bytes of an answer.
struct Body(Arc<Answer>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
