//! Between `object_store` and the connections: what is sent with requests, where they may lead, and
//! what went wrong.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::{Host, Url};

use super::failure::Failure;
use crate::io::lock::lock;

const MOST_REDIRECTS: usize = 5;
/// The longest time that a server may ask to wait.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of an answer that says what is wrong, or of credentials.
const MOST_OF_MESSAGE: u64 = 1 << 20;
/// The most answers to one request: of tries, or of parts of a list.
const MOST_ANSWERS: usize = 1 << 11;
/// The most tries to reach a server, unless it has answered lately.
const MOST_CALLS: usize = 4;
/// A server that has answered within this time is expected to answer again.
const LATELY: Duration = Duration::from_secs(30);

/// What happened to a request so far.
#[derive(Debug)]
struct Trace {
    /// The most bytes of one successful answer.
    most: u64,
    so_far: Mutex<SoFar>,
}

#[derive(Debug, Default)]
struct SoFar {
    /// What went wrong last, because the errors of `object_store` have no status that a program can
    /// read.
    failed: Option<Failure>,
    n_answers: usize,
    n_unreached: usize,
}

tokio::task_local! {
    static TRACE: Trace;
}

/// The address at which machines of a cloud find their credentials. Elsewhere, nobody answers.
const METADATA: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// A host and its port.
type Server = (String, Option<u16>);
/// When servers last answered this process.
pub(super) type Reached = Arc<Mutex<HashMap<Server, Instant>>>;

/// Hands the process's connections to `object_store`.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    http: HttpClient,
    reached: Reached,
    lately: Duration,
    /// Sent with every request.
    headers: HeaderMap,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'a, 'b>(
        &'a self,
        mut request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            request.headers_mut().extend(self.headers.clone());
            let host = request.uri().host().unwrap_or_default();
            if METADATA.contains(&host) {
                return self.ask_machine(request).await;
            }
            let server = (host.to_owned(), request.uri().port_u16());
            let response = self.http.execute(request).await;
            if let Ok(response) = &response {
                wait_as_asked(response).await;
            }
            count(&response, self.was_reached_lately(server, response.is_ok()))?;
            response.map(bounded)
        })
    }
}

impl Connector {
    /// A connector that sends `headers` with every request. `patience` is how long a request is tried
    /// again.
    pub(super) fn new(
        http: &reqwest::Client,
        reached: &Reached,
        patience: Duration,
        headers: HeaderMap,
    ) -> Connector {
        Connector {
            http: HttpClient::new(http.clone()),
            reached: reached.clone(),
            lately: patience.min(LATELY),
            headers,
        }
    }

    /// Whether a server has answered, now or a short time ago.
    fn was_reached_lately(&self, server: Server, is_reached: bool) -> bool {
        let mut reached = lock(&self.reached);
        if is_reached {
            reached.insert(server, Instant::now());
            return true;
        }
        let last = reached.get(&server);
        last.is_some_and(|last| last.elapsed() < self.lately)
    }

    /// Asks the machine for its credentials, for a short time: most machines have none.
    async fn ask_machine(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = tokio::time::timeout(METADATA_TIMEOUT, self.http.execute(request)).await;
        match asked {
            Ok(Ok(response)) => {
                if !response.status().is_success() {
                    set_failed(Failure::NoCredentials);
                }
                Ok(limited(response, MOST_OF_MESSAGE))
            }
            Ok(Err(_)) | Err(_) => {
                set_failed(Failure::NoCredentials);
                // Errors of this kind are not tried again.
                let message = std::io::Error::other("no credentials");
                Err(HttpError::new(HttpErrorKind::Unknown, message))
            }
        }
    }
}

/// Waits as long as a server asks before the next try, if it says so in seconds.
async fn wait_as_asked(response: &HttpResponse) {
    let is_busy = matches!(response.status().as_u16(), 429 | 503);
    let asked = response.headers().get(RETRY_AFTER).filter(|_| is_busy);
    let seconds = asked.and_then(|asked| asked.to_str().ok()?.parse().ok());
    if let Some(seconds) = seconds {
        tokio::time::sleep(Duration::from_secs(seconds).min(MOST_PATIENCE)).await;
    }
}

/// Runs the task of a request whose answers have at most so many bytes. It then has its [last
/// failure](last_failure).
pub(super) fn traced<T>(most: u64, task: impl Future<Output = T>) -> impl Future<Output = T> {
    let so_far = Mutex::default();
    TRACE.scope(Trace { most, so_far }, task)
}

/// What went wrong last in the request whose task this is.
pub(super) fn last_failure() -> Option<Failure> {
    let last = TRACE.try_with(|trace| trace.so_far().failed.clone());
    last.ok().flatten()
}

/// Requests outside the task of one have no place for it.
fn set_failed(failed: Failure) {
    let _ = TRACE.try_with(|trace| trace.so_far().failed = Some(failed));
}

impl Trace {
    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        lock(&self.so_far)
    }
}

/// Counts a try of the request, and keeps why it failed. If this returns an error, there is no further
/// try.
fn count(
    response: &Result<HttpResponse, HttpError>,
    was_reached_lately: bool,
) -> Result<(), HttpError> {
    let counted = TRACE.try_with(|trace| {
        let mut so_far = trace.so_far();
        so_far.n_answers += 1;
        match response {
            Ok(response) => {
                so_far.failed = (!response.status().is_success()).then(|| failure_of(response));
            }
            Err(error) => {
                so_far.n_unreached += 1;
                so_far.failed = Some(Failure::of_connection(error));
            }
        }
        if so_far.n_answers > MOST_ANSWERS {
            so_far.failed = Some(Failure::TooMuch);
        }
        let is_gone = so_far.n_unreached >= MOST_CALLS && !was_reached_lately;
        so_far.n_answers > MOST_ANSWERS || is_gone
    });
    match counted {
        // Errors of this kind are not tried again.
        Ok(true) => Err(HttpError::new(
            HttpErrorKind::Unknown,
            std::io::Error::other("given up"),
        )),
        _ => Ok(()),
    }
}

/// An answer of which only so much is read: `object_store` reads messages and lists to their end.
fn bounded(response: HttpResponse) -> HttpResponse {
    let most = TRACE.try_with(|trace| trace.most);
    let most = most.ok().filter(|_| response.status().is_success());
    limited(response, most.unwrap_or(0).saturating_add(MOST_OF_MESSAGE))
}

fn limited(response: HttpResponse, most: u64) -> HttpResponse {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    response.map(|body| {
        let limited = Limited::new(body, most).map_err(|error| {
            // Either the error of the body, or that it is too long.
            let of_body = error.downcast::<HttpError>().map(|error| *error);
            of_body.unwrap_or_else(|_| {
                set_failed(Failure::TooMuch);
                HttpError::new(HttpErrorKind::Decode, std::io::Error::other("too long"))
            })
        });
        HttpResponseBody::new(limited)
    })
}

fn failure_of(response: &HttpResponse) -> Failure {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    match (response.status().as_u16(), header("x-amz-bucket-region")) {
        (status @ (301 | 400), Some(region)) => Failure::Region(status, region.to_owned()),
        (status, _) => Failure::Status(status),
    }
}

/// Follows a few redirects, and none from https to a scheme that others can read.
pub(super) fn redirect(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let was_secure = attempt.previous().iter().any(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("too many redirects")
    } else if was_secure && attempt.url().scheme() != "https" {
        attempt.error("a redirect from https to another scheme")
    } else if is_link_local(attempt.url()) {
        // There, machines of a cloud find their credentials.
        attempt.error("a redirect to a link-local address")
    } else {
        attempt.follow()
    }
}

/// Whether a URL leads to an address that only the machine itself, or its link, reaches.
fn is_link_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => {
            let mapped = address.to_ipv4_mapped();
            address.is_unicast_link_local() || mapped.is_some_and(|mapped| mapped.is_link_local())
        }
        Some(Host::Domain(name)) => METADATA.contains(&name),
        None => false,
    }
}
