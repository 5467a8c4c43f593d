//! URLs of the Hugging Face Hub.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use url::Url;

use super::storage::StorageOptions;

/// The Hub, unless `HF_ENDPOINT` names another one.
const HUB: &str = "https://huggingface.co";

/// Where the Hub is.
pub(super) fn endpoint() -> String {
    let set = std::env::var("HF_ENDPOINT")
        .ok()
        .filter(|set| !set.is_empty());
    let endpoint = set.unwrap_or_else(|| HUB.to_owned());
    endpoint.trim_end_matches('/').to_owned()
}

/// Returns the https URL of an `hf://` URL, as `huggingface_hub` reads it: `datasets/org/name`,
/// `spaces/org/name` or `org/name`, with a revision after `@`, and the path of the file; or
/// `buckets/org/name` and the path. `None` for other URLs.
pub(super) fn as_https(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("hf") {
        return None;
    }
    in_repository(&endpoint(), rest)
}

/// The headers of a request to the Hub: the token of the user, who may read more than others.
pub(super) fn headers(url: &Url, storage: &StorageOptions) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let is_hub = Url::parse(&endpoint()).is_ok_and(|hub| hub.origin() == url.origin());
    if is_hub
        && let Some(token) = storage.hub_token()
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

fn in_repository(endpoint: &str, rest: &str) -> Option<String> {
    let (kind, below) = rest.split_once('/')?;
    let (prefix, rest) = match kind {
        "datasets" | "spaces" | "buckets" => (format!("{kind}/"), below),
        "models" => (String::new(), below),
        _ => (String::new(), rest),
    };
    let mut parts = rest.splitn(3, '/');
    let (owner, name, path) = (parts.next()?, parts.next()?, parts.next()?);
    if [owner, name, path].contains(&"") {
        return None;
    }
    if kind == "buckets" {
        return Some(format!(
            "{endpoint}/buckets/{owner}/{name}/resolve/{}",
            encoded(path)
        ));
    }
    // A revision may be a reference such as `refs/pr/1`, written with %2F.
    let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
    let path = encoded(path);
    Some(format!(
        "{endpoint}/{prefix}{owner}/{name}/resolve/{revision}/{path}"
    ))
}

/// Encodes what would end the path of a URL.
fn encoded(path: &str) -> String {
    path.replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_urls_become_https() {
        let https = |url: &str| in_repository("https://hub", url);
        for (url, expected) in [
            (
                "datasets/org/name/a b.h5ad",
                "datasets/org/name/resolve/main/a b.h5ad",
            ),
            (
                "datasets/org/name@v1/d/a.zarr",
                "datasets/org/name/resolve/v1/d/a.zarr",
            ),
            ("org/model/a%.h5ad", "org/model/resolve/main/a%25.h5ad"),
            ("models/org/model/a.h5ad", "org/model/resolve/main/a.h5ad"),
            (
                "datasets/org/name@refs%2Fpr%2F1/a.h5ad",
                "datasets/org/name/resolve/refs%2Fpr%2F1/a.h5ad",
            ),
            (
                "buckets/org/name/d/a.h5ad",
                "buckets/org/name/resolve/d/a.h5ad",
            ),
        ] {
            assert_eq!(https(url), Some(format!("https://hub/{expected}")), "{url}");
        }
        for url in [
            "datasets/org/name",
            "datasets/org/name/",
            "org/name",
            "datasets",
            "",
        ] {
            assert_eq!(https(url), None, "{url}");
        }
        assert_eq!(as_https("https://hub/a"), None);
    }
}
