//! Requests: one runtime and one pool of connections per process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, GetOptions, GetRange, ObjectMeta, ObjectStore, RetryConfig};
use once_cell::race::OnceBox;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::bucket::Cloud;
use super::connector::{Connector, last_failure, redirect, with_failures};
use super::failure::Failure;
use super::hub;
use super::object::Version;
use super::storage::{self, StorageOptions};
use super::url::{Place, RemoteUrl};
use crate::io::fork::ForkLocal;

/// Threads that encrypt and copy for all requests.
const THREADS: usize = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A request may take any time, as long as bytes arrive.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The room that an answer has before its bytes arrive.
const MOST_RESERVED: u64 = 1 << 20;
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

/// What a process needs for requests.
struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    /// For buckets: a redirect would take headers with credentials to another host.
    without_redirects: reqwest::Client,
    /// One for each request under way.
    permits: Arc<Semaphore>,
    /// The stores of buckets, with the credentials that they found.
    stores: Mutex<HashMap<StoreKey, Arc<dyn ObjectStore>>>,
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("anndata-remote")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let client = |redirects| {
            let client = reqwest::Client::builder()
                .user_agent(concat!("anndata-io/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(STALL_TIMEOUT)
                // It would hand the query, which may be a signature, to another host.
                .referer(false)
                .redirect(redirects)
                .build();
            client.map_err(|error| error.without_url().to_string())
        };
        Ok(Client {
            runtime,
            http: client(Policy::custom(redirect))?,
            without_redirects: client(Policy::none())?,
            permits: Arc::new(Semaphore::new(MOST_REQUESTS)),
            stores: Mutex::default(),
        })
    }
}

/// The first wait before a request is tried again is shorter than by default: the order of reads
/// makes others wait for it, too.
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(20),
            base: 4.0,
            ..BackoffConfig::default()
        },
        ..RetryConfig::default()
    }
}

/// A bucket, how it is reached, and a hash of the environment, which users change to try again.
type StoreKey = (String, StorageOptions, u64);

impl Client {
    /// Returns the store of an object, and its path there.
    fn store(&self, url: &RemoteUrl) -> Result<(Arc<dyn ObjectStore>, Path), Failure> {
        let bucket = match url.place() {
            Place::Web(address) => {
                // The URL is that of the object.
                let headers = hub::headers(address, url.storage());
                let connector = Connector::new(&self.http, headers);
                let builder = HttpBuilder::new().with_url(address.as_str());
                let builder = builder.with_retry(retries());
                let store = builder.with_http_connector(connector).build()?;
                return Ok((Arc::new(store), Path::default()));
            }
            Place::Bucket(bucket) => bucket,
        };
        let path = Path::parse(bucket.key()).map_err(object_store::Error::from)?;
        let key = (
            bucket.root().to_owned(),
            url.storage().clone(),
            storage::environment(),
        );
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&key) {
            return Ok((store.clone(), path));
        }
        let mut headers = HeaderMap::new();
        if bucket.cloud() == Cloud::Google
            && let Some(project) = url.storage().paying_project()
            && let Ok(project) = HeaderValue::try_from(project)
        {
            headers.insert("x-goog-user-project", project);
        }
        let connector = Connector::new(&self.without_redirects, headers);
        let store = url.storage().store(bucket, connector);
        let store = store.map_err(|error| Failure::of_options(&error))?;
        stores.insert(key, store.clone());
        Ok((store, path))
    }

    /// Runs a request; what it waits for comes by the receiver.
    fn run<T: Send + 'static>(
        &self,
        ask: impl Future<Output = Result<T, object_store::Error>> + Send + 'static,
    ) -> Request<T> {
        let (answer, receiver) = mpsc::channel();
        let permits = self.permits.clone();
        let task = with_failures(async move {
            let _permit = permits.acquire().await;
            let found = ask.await;
            let _ = answer.send(found.map_err(|error| Failure::of(error, last_failure())));
        });
        let task = self.runtime.spawn(task);
        Request {
            answer: receiver,
            task: task.abort_handle(),
        }
    }
}

/// A request under way. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Request<T = Result<Answer, Failure>> {
    answer: Receiver<Result<T, Failure>>,
    task: AbortHandle,
}

impl<T> Request<T> {
    fn receive(&self) -> Result<T, Failure> {
        self.answer.recv().unwrap_or(Err(Failure::Lost))
    }
}

impl Request {
    /// Waits for the answer.
    pub(super) fn wait(&self) -> Result<Answer, Failure> {
        self.receive()?
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
    let client = client()?;
    let (store, path) = client.store(url)?;
    let mut options = GetOptions {
        range: part.range(),
        ..GetOptions::default()
    };
    if let Some(version) = condition {
        version.require(&mut options);
    }
    Ok(client.run(async move { get(&*store, &path, part, options).await }))
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
    let client = client()?;
    let (store, path) = client.store(url)?;
    let found = client.run(async move {
        let mut found = BTreeMap::new();
        let mut listed = store.list(Some(&path));
        while let Some(object) = listed.next().await {
            let object = object?;
            let name = object.location.as_ref().strip_prefix(path.as_ref());
            let name = name.map(|name| name.trim_start_matches('/'));
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                found.insert(name.to_owned(), Version::from(&object));
            }
            if found.len() > most {
                break;
            }
        }
        Ok(found)
    });
    match found.receive()? {
        found if found.len() > most => Err(Failure::TooManyFiles(most)),
        found => Ok(found),
    }
}

async fn get(
    store: &dyn ObjectStore,
    path: &Path,
    part: Part,
    options: GetOptions,
) -> Result<Result<Answer, Failure>, object_store::Error> {
    let result = store.get_opts(path, options).await?;
    let version = Version::from(&result.meta);
    if let Part::Whole(most) = part
        && version.len > most
    {
        return Ok(Err(Failure::TooLong {
            most,
            found: version.len,
        }));
    }
    let Range { start, end } = part.within(version.len);
    let expected = end.saturating_sub(start);
    // A server may claim any length.
    let mut bytes = Vec::with_capacity(expected.min(MOST_RESERVED) as usize);
    let mut stream = result.into_stream();
    while let Some(part) = stream.next().await {
        bytes.extend_from_slice(&part?);
        // A body may be longer than its headers say.
        if bytes.len() as u64 > expected {
            break;
        }
    }
    let found = bytes.len() as u64;
    Ok(match found == expected {
        true => Ok(Answer {
            version,
            start,
            bytes,
        }),
        false => Err(Failure::Body { expected, found }),
    })
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
