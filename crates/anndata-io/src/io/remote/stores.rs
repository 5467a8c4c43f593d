//! The stores of a process: how each server is reached, and the credentials that were found for it.

use std::collections::HashMap;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use url::Url;

use super::bucket::{Bucket, Cloud};
use super::connector::{Connector, Reached, redirect};
use super::failure::Failure;
use super::hub;
use super::storage::{self, StorageOptions, Timeouts};
use super::url::{Place, RemoteUrl};
use crate::io::fork::is_forked_child;
use crate::io::lock::lock;

/// A bucket, how it is reached, and a hash of the environment, which users change to try again.
type StoreKey = (String, StorageOptions, u64);
/// The stores of buckets, by the region that was found, if any.
type BucketStores = HashMap<(StoreKey, Option<String>), Arc<dyn ObjectStore>>;

/// The stores and connections that were made so far.
#[derive(Default)]
pub(super) struct Stores {
    buckets: Mutex<BucketStores>,
    /// Where buckets are of which the user named no region.
    regions: Mutex<HashMap<StoreKey, String>>,
    /// With and without redirects.
    connections: Mutex<HashMap<(Timeouts, bool), reqwest::Client>>,
    reached: Reached,
}

impl Stores {
    /// Returns the store of an object, and its path there.
    pub(super) fn of(&self, url: &RemoteUrl) -> Result<(Arc<dyn ObjectStore>, Path), Failure> {
        let storage = url.storage();
        let bucket = match url.place() {
            Place::Web(address) => return Ok((self.web(address, storage)?, Path::default())),
            Place::Bucket(bucket) => bucket,
        };
        let path = Path::parse(bucket.key()).map_err(object_store::Error::from)?;
        let key = key_of(bucket, storage);
        let region = lock(&self.regions).get(&key).cloned();
        let mut buckets = lock(&self.buckets);
        let key = (key, region);
        let store = match buckets.get(&key) {
            Some(store) => store.clone(),
            None => {
                let store = self.bucket(bucket, storage, key.1.as_deref())?;
                buckets.insert(key, store.clone());
                store
            }
        };
        Ok((store, path))
    }

    /// As [`of`](Self::of), for a bucket that is in `region`, as an answer with this status said. It
    /// is then asked there.
    pub(super) fn in_region(
        &self,
        url: &RemoteUrl,
        status: u16,
        region: &str,
    ) -> Result<(Arc<dyn ObjectStore>, Path), Failure> {
        let Place::Bucket(bucket) = url.place() else {
            return Err(Failure::Status(status));
        };
        let elsewhere = || Err(Failure::Region(status, region.to_owned()));
        match url.storage().region() {
            Some(named) if named == region => return Err(Failure::Status(status)),
            Some(_) => return elsewhere(),
            None => {}
        }
        // It becomes a part of the server's name, to which credentials are sent.
        let is_letter =
            |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        if !(1..=32).contains(&region.len()) || !region.bytes().all(is_letter) {
            return elsewhere();
        }
        let key = key_of(bucket, url.storage());
        lock(&self.regions).insert(key, region.to_owned());
        self.of(url)
    }

    fn web(
        &self,
        address: &Url,
        storage: &StorageOptions,
    ) -> Result<Arc<dyn ObjectStore>, Failure> {
        let timeouts = storage.timeouts();
        let http = self.connection(timeouts, true)?;
        let mut headers = hub::headers(address, storage);
        let mut address = address.clone();
        if !address.username().is_empty() || address.password().is_some() {
            headers.extend(basic(&http, &address));
            // They fail only for URLs without a host.
            let _ = address.set_username("");
            let _ = address.set_password(None);
        }
        // The URL is that of the object.
        let builder = HttpBuilder::new().with_url(address.as_str());
        let builder = builder.with_retry(retries(timeouts));
        let builder = builder.with_http_connector(Connector::new(
            &http,
            &self.reached,
            patience(timeouts),
            headers,
        ));
        Ok(Arc::new(builder.build()?))
    }

    fn bucket(
        &self,
        bucket: &Bucket,
        storage: &StorageOptions,
        region: Option<&str>,
    ) -> Result<Arc<dyn ObjectStore>, Failure> {
        let mut headers = HeaderMap::new();
        if bucket.cloud() == Cloud::Google
            && let Some(project) = storage.paying_project()
            && let Ok(project) = HeaderValue::try_from(project)
        {
            headers.insert("x-goog-user-project", project);
        }
        // A redirect would take headers with credentials to another host.
        let http = self.connection(storage.timeouts(), false)?;
        let patience = patience(storage.timeouts());
        let connector = Connector::new(&http, &self.reached, patience, headers);
        storage.store(bucket, connector, region)
    }

    fn connection(&self, timeouts: Timeouts, redirects: bool) -> Result<reqwest::Client, Failure> {
        let mut connections = lock(&self.connections);
        if let Some(known) = connections.get(&(timeouts, redirects)) {
            return Ok(known.clone());
        }
        let builder = match is_forked_child() {
            true => reqwest::Client::builder().dns_resolver(ResolveHere),
            false => reqwest::Client::builder(),
        };
        let client = builder
            .user_agent(concat!("anndata-io/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            // A request may take any time, as long as bytes arrive.
            .read_timeout(timeouts.stall)
            // Many connections carry more than one with many streams.
            .http1_only()
            // It would hand the query, which may be a signature, to another host.
            .referer(false)
            .redirect(match redirects {
                true => Policy::custom(redirect),
                false => Policy::none(),
            })
            .build();
        let client = client.map_err(|error| Failure::Setup(error.without_url().to_string()))?;
        connections.insert((timeouts, redirects), client.clone());
        Ok(client)
    }
}

/// Looks up names in the thread that asks: otherwise, a new thread would.
#[derive(Debug)]
struct ResolveHere;

impl Resolve for ResolveHere {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(Box::new(found) as Addrs)
        })
    }
}

fn key_of(bucket: &Bucket, storage: &StorageOptions) -> StoreKey {
    let root = bucket.root().to_owned();
    (root, storage.clone(), storage::environment())
}

/// The header for the user and the password of a URL.
fn basic(http: &reqwest::Client, address: &Url) -> Option<(Option<HeaderName>, HeaderValue)> {
    let request = http.get(address.clone()).build().ok()?;
    let value = request.headers().get(AUTHORIZATION)?;
    Some((Some(AUTHORIZATION), value.clone()))
}

/// How long a request is tried again.
fn patience(timeouts: Timeouts) -> Duration {
    timeouts.stall.saturating_mul(6)
}

/// The first wait before a request is tried again is shorter than by default: the order of reads
/// makes others wait for it, too.
pub(super) fn retries(timeouts: Timeouts) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(20),
            base: 4.0,
            ..BackoffConfig::default()
        },
        retry_timeout: patience(timeouts),
        ..RetryConfig::default()
    }
}
