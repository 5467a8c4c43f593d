//! Between `object_store` and the connections: what is sent with requests, where they may lead, and
//! what went wrong.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::{Host, Url};

use super::failure::Failure;

const MOST_REDIRECTS: usize = 5;
/// The longest time that a server may ask to wait.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// What went wrong last in a request, because the errors of `object_store` have no status that a
    /// program can read.
    static FAILED: Mutex<Option<Failure>>;
}

/// The address at which machines of a cloud find their credentials. Elsewhere, nobody answers.
const METADATA: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// Hands the process's connections to `object_store`.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    http: HttpClient,
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
            if request
                .uri()
                .host()
                .is_some_and(|host| METADATA.contains(&host))
            {
                return self.ask_machine(request).await;
            }
            let response = self.http.execute(request).await;
            if let Ok(response) = &response {
                wait_as_asked(response).await;
            }
            set_failed(match &response {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => Some(failure_of(response)),
                Err(error) => Some(Failure::of_connection(error)),
            });
            response
        })
    }
}

impl Connector {
    /// A connector that sends `headers` with every request.
    pub(super) fn new(http: &reqwest::Client, headers: HeaderMap) -> Connector {
        Connector {
            http: HttpClient::new(http.clone()),
            headers,
        }
    }

    /// Asks the machine for its credentials, for a short time: most machines have none.
    async fn ask_machine(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = tokio::time::timeout(METADATA_TIMEOUT, self.http.execute(request)).await;
        match asked {
            Ok(Ok(response)) => {
                if !response.status().is_success() {
                    set_failed(Some(Failure::NoCredentials));
                }
                Ok(response)
            }
            Ok(Err(_)) | Err(_) => {
                set_failed(Some(Failure::NoCredentials));
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

/// Runs the task of a request, which then has its [last failure](last_failure).
pub(super) fn with_failures<T>(task: impl Future<Output = T>) -> impl Future<Output = T> {
    FAILED.scope(Mutex::default(), task)
}

/// What went wrong last in the request whose task this is.
pub(super) fn last_failure() -> Option<Failure> {
    let last =
        |last: &Mutex<Option<Failure>>| last.lock().unwrap_or_else(PoisonError::into_inner).take();
    FAILED.try_with(last).ok().flatten()
}

/// Requests outside the task of one have no place for it.
fn set_failed(failed: Option<Failure>) {
    let _ = FAILED.try_with(|last| {
        *last.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    });
}

fn failure_of(response: &HttpResponse) -> Failure {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    match (response.status().as_u16(), header("x-amz-bucket-region")) {
        (301 | 400, Some(region)) => Failure::Region(region.to_owned()),
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
