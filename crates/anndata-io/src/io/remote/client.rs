//! Requests: one runtime and one pool of connections per process.

use std::ops::Range;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore};
use once_cell::race::OnceBox;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::failure::Failure;
use super::object::Version;
use super::url::RemoteUrl;
use crate::io::fork::ForkLocal;

/// Threads that encrypt and copy for all requests.
const THREADS: usize = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A request may take any time, as long as bytes arrive.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The room that an answer has before its bytes arrive.
const MOST_RESERVED: u64 = 1 << 20;
const MOST_REDIRECTS: usize = 5;
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
    /// One for each request under way.
    permits: Arc<Semaphore>,
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
        let http = reqwest::Client::builder()
            .user_agent(concat!("anndata-io/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(STALL_TIMEOUT)
            // It would hand the query, which may be a signature, to another host.
            .referer(false)
            .redirect(reqwest::redirect::Policy::custom(redirect))
            .build()
            .map_err(|error| error.without_url().to_string())?;
        Ok(Client {
            runtime,
            http,
            permits: Arc::new(Semaphore::new(MOST_REQUESTS)),
        })
    }
}

/// Follows a few redirects, and none from https to a scheme that others can read.
fn redirect(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let was_secure = attempt.previous().iter().any(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("too many redirects")
    } else if was_secure && attempt.url().scheme() != "https" {
        attempt.error("a redirect from https to another scheme")
    } else {
        attempt.follow()
    }
}

/// Hands the process's connections to `object_store`, and keeps what went wrong last, because the
/// errors of `object_store` have no status that a program can read.
#[derive(Debug, Clone)]
struct Connector {
    http: HttpClient,
    failed: Arc<Mutex<Option<Failure>>>,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let response = self.http.execute(request).await;
            let failed = match &response {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => Some(Failure::Status(response.status().as_u16())),
                Err(error) => Some(Failure::of_connection(error)),
            };
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
            response
        })
    }
}

/// A request under way. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Request {
    answer: Receiver<Result<Answer, Failure>>,
    task: AbortHandle,
}

impl Request {
    /// Waits for the answer.
    pub(super) fn wait(&self) -> Result<Answer, Failure> {
        self.answer.recv().unwrap_or(Err(Failure::Lost))
    }
}

impl Drop for Request {
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
    let connector = Connector {
        http: HttpClient::new(client.http.clone()),
        failed: Arc::default(),
    };
    let failed = connector.failed.clone();
    let store = HttpBuilder::new()
        .with_url(url.secret())
        .with_http_connector(connector)
        .build()?;
    let mut options = GetOptions {
        range: part.range(),
        ..GetOptions::default()
    };
    if let Some(version) = condition {
        version.require(&mut options);
    }
    let (answer, receiver) = mpsc::channel();
    let permits = client.permits.clone();
    let task = client.runtime.spawn(async move {
        let _permit = permits.acquire().await;
        let found = get(&store, part, options).await.map_err(|failure| {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.take().unwrap_or(failure)
        });
        let _ = answer.send(found);
    });
    Ok(Request {
        answer: receiver,
        task: task.abort_handle(),
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

async fn get(store: &impl ObjectStore, part: Part, options: GetOptions) -> Result<Answer, Failure> {
    // The URL is that of the object.
    let result = store.get_opts(&Path::default(), options).await?;
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
        bytes.extend_from_slice(&part?);
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
            etag: meta.e_tag.clone(),
            // `object_store` replaces an absent time by this one.
            modified: Some(modified).filter(|&time| time != 0),
            len: meta.size,
        }
    }
}
