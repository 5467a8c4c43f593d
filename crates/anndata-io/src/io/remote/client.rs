//! Requests: one runtime per process. In a forked child, it has no threads: those that wait for an
//! answer do its work.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use once_cell::race::OnceBox;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::connector::{last_failure, traced};
use super::failure::Failure;
use super::object::Version;
use super::stores::Stores;
use super::url::RemoteUrl;
use crate::io::fork::{ForkLocal, is_forked_child};

/// Threads that encrypt and copy for all requests.
const THREADS: usize = 2;
/// The room that an answer has before its bytes arrive.
const MOST_RESERVED: u64 = 1 << 20;
/// The most bytes of one part of a list.
const MOST_OF_LIST: u64 = 64 << 20;
/// The most bytes of the names and ETags of a list.
const MOST_LISTED_BYTES: usize = 256 << 20;
/// The most requests under way: each may need a connection of its own.
const MOST_REQUESTS: usize = 64;

/// The part of an object that is asked for.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Range(Range<u64>),
    /// This many bytes before the end.
    End(u64),
    /// All of it, if it has at most so many bytes.
    Whole(u64),
}

impl Part {
    fn range(&self) -> Option<GetRange> {
        match self {
            Part::Range(range) => Some(range.clone().into()),
            Part::End(len) => Some(GetRange::Suffix(*len)),
            Part::Whole(_) => None,
        }
    }

    /// The most bytes that it has.
    fn most(&self) -> u64 {
        match self {
            Part::Range(range) => range.end - range.start,
            Part::End(most) | Part::Whole(most) => *most,
        }
    }

    /// Where the part lies in an object of `len` bytes.
    fn within(&self, len: u64) -> Range<u64> {
        match self {
            Part::Range(range) => range.start..range.end.min(len),
            Part::End(last) => len.saturating_sub(*last)..len,
            Part::Whole(_) => 0..len,
        }
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) version: Version,
    /// The position of the first byte.
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

/// The bytes of files that came so far.
static FETCHED: AtomicU64 = AtomicU64::new(0);

/// The bytes that servers sent to this process, as contents of files: for reports of progress.
pub fn fetched_bytes() -> u64 {
    FETCHED.load(Ordering::Relaxed)
}

/// What a process needs for requests.
struct Client {
    runtime: Runtime,
    /// Whether requests go on only while a thread waits for one.
    is_driven: bool,
    /// One for each request under way.
    permits: Arc<Semaphore>,
    stores: Stores,
}

/// Made when it is first needed. A forked child makes its own.
static CLIENT: OnceBox<ForkLocal<Result<Client, String>>> = OnceBox::new();

fn client() -> Result<&'static Client, Failure> {
    let client = CLIENT.get_or_init(|| Box::new(ForkLocal::new(Client::new)));
    client
        .get()
        .as_ref()
        .map_err(|error| Failure::Setup(error.clone()))
}

impl Client {
    fn new() -> Result<Client, String> {
        // If the program chose a provider before, that one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let is_driven = is_forked_child();
        let mut builder = match is_driven {
            true => Builder::new_current_thread(),
            false => Builder::new_multi_thread(),
        };
        let runtime = builder
            .worker_threads(THREADS)
            .thread_name("anndata-remote")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Client {
            runtime,
            is_driven,
            permits: Arc::new(Semaphore::new(MOST_REQUESTS)),
            stores: Stores::default(),
        })
    }

    /// Asks the store of a URL, whose answers have at most `most` bytes.
    fn run<T, A>(
        &'static self,
        url: &RemoteUrl,
        most: u64,
        ask: impl Fn(Arc<dyn ObjectStore>, Path) -> A + Send + 'static,
    ) -> Result<Request<T>, Failure>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, Failure>> + Send,
    {
        let (store, path) = self.stores.of(url)?;
        let (answer, receiver) = mpsc::channel();
        let (permits, url) = (self.permits.clone(), url.clone());
        let task = traced(most, async move {
            let _permit = permits.acquire().await;
            let found = match ask(store, path).await {
                Err(Failure::Region(status, region)) => {
                    let there = self.stores.in_region(&url, status, &region);
                    match there.map(|(store, path)| ask(store, path)) {
                        Ok(asked) => asked.await,
                        Err(failure) => Err(failure),
                    }
                }
                found => found,
            };
            let _ = answer.send(found);
        });
        let task = self.runtime.spawn(task);
        Ok(Request {
            client: self,
            answer: receiver,
            task,
        })
    }
}

/// A request under way. It ends when this is dropped.
pub(super) struct Request<T = Answer> {
    client: &'static Client,
    answer: Receiver<Result<T, Failure>>,
    task: JoinHandle<()>,
}

impl<T> Request<T> {
    /// Waits for the answer. Must be called only once.
    pub(super) fn wait(&mut self) -> Result<T, Failure> {
        if self.client.is_driven {
            // The answer says more than how the task ended.
            let _ = self.client.runtime.block_on(&mut self.task);
        }
        self.answer.recv().unwrap_or(Err(Failure::Lost))
    }
}

impl<T> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

impl<T> Drop for Request<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks for a part, under the condition that the object has this version.
pub(super) fn request(
    url: &RemoteUrl,
    part: Part,
    condition: Option<&Version>,
) -> Result<Request, Failure> {
    let mut options = GetOptions {
        range: part.range(),
        ..GetOptions::default()
    };
    if let Some(version) = condition {
        version.require(&mut options);
    }
    client()?.run(url, part.most(), move |store, path| {
        let (part, options) = (part.clone(), options.clone());
        async move { get(&*store, &path, part, options).await }
    })
}

/// As [`request`], and waits for the answer.
pub(super) fn fetch(
    url: &RemoteUrl,
    part: Part,
    condition: Option<&Version>,
) -> Result<Answer, Failure> {
    request(url, part, condition)?.wait()
}

/// Lists the objects below the URL of a folder in a bucket, at most `most`: their names, seen from
/// there, and their versions.
pub(super) fn list(url: &RemoteUrl, most: usize) -> Result<BTreeMap<String, Version>, Failure> {
    let mut found = client()?.run(url, MOST_OF_LIST, move |store, path| async move {
        let (mut found, mut bytes) = (BTreeMap::new(), 0);
        let mut listed = store.list(Some(&path)).enumerate();
        while let Some((number, object)) = listed.next().await {
            let object = object.map_err(|error| Failure::of_list(error, last_failure()))?;
            bytes += object.location.as_ref().len() + object.e_tag.as_ref().map_or(0, String::len);
            if bytes > MOST_LISTED_BYTES {
                return Err(Failure::TooMuch);
            }
            let name = object.location.as_ref().strip_prefix(path.as_ref());
            let name = name.map(|name| name.trim_start_matches('/'));
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                found.insert(name.to_owned(), Version::from(&object));
            }
            if number >= most {
                return Err(Failure::TooManyFiles(most));
            }
        }
        Ok(found)
    })?;
    found.wait()
}

async fn get(
    store: &dyn ObjectStore,
    path: &Path,
    part: Part,
    options: GetOptions,
) -> Result<Answer, Failure> {
    let fail = |error| Failure::of(error, last_failure());
    let result = store.get_opts(path, options).await.map_err(fail)?;
    let version = Version::from(&result.meta);
    if let Part::Whole(most) = part
        && version.len > most
    {
        return Err(Failure::TooLong {
            most,
            found: version.len,
        });
    }
    let Range { start, end } = part.within(version.len);
    let expected = end.saturating_sub(start);
    // A server may claim any length.
    let mut bytes = Vec::with_capacity(expected.min(MOST_RESERVED) as usize);
    let mut stream = result.into_stream();
    while let Some(part) = stream.next().await {
        let part = part.map_err(fail)?;
        FETCHED.fetch_add(part.len() as u64, Ordering::Relaxed);
        bytes.extend_from_slice(&part);
        // A body may be longer than its headers say.
        if bytes.len() as u64 > expected {
            break;
        }
    }
    let found = bytes.len() as u64;
    match found == expected {
        true => Ok(Answer {
            version,
            start,
            bytes,
        }),
        false => Err(Failure::Body { expected, found }),
    }
}

impl From<&ObjectMeta> for Version {
    fn from(meta: &ObjectMeta) -> Version {
        let modified = meta.last_modified.timestamp_millis();
        Version {
            // Lists of Azure leave out the quotes.
            etag: meta.e_tag.as_ref().map(|etag| match etag.ends_with('"') {
                true => etag.clone(),
                false => format!("\"{etag}\""),
            }),
            // `object_store` replaces an absent time by this one.
            modified: Some(modified).filter(|&time| time != 0),
            len: meta.size,
        }
    }
}
