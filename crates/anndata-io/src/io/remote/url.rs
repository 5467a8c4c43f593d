//! URLs of objects, and their names for people.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// Parts of a query that sign a request, in the names of S3, Google, Azure and CloudFront.
const SIGNATURE_PREFIXES: [&str; 2] = ["x-amz-", "x-goog-"];
const SIGNATURES: [&str; 22] = [
    "awsaccesskeyid",
    "expires",
    "googleaccessid",
    "key-pair-id",
    "policy",
    "response-content-disposition",
    "response-content-type",
    "se",
    "sig",
    "signature",
    "ske",
    "skoid",
    "sks",
    "skt",
    "sktid",
    "skv",
    "sp",
    "spr",
    "sr",
    "st",
    "sv",
    "token",
];

/// Extensions of files and folders that may hold several tables.
const STORES: [&str; 7] = ["h5ad", "h5mu", "h5", "hdf5", "loom", "zarr", "zip"];

/// Decodes a part of a path; `None` if it is not UTF-8.
fn percent_decoded(part: &[u8]) -> Option<String> {
    String::from_utf8(crate::io::location::percent_decoded(part)).ok()
}

/// The URL of an object on a server.
///
/// Its query may be a signature, and its user a password, so neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RemoteUrl(Url);

impl RemoteUrl {
    /// `None` for a path, and for a URL that is not `http` or `https`.
    pub(crate) fn parse(text: &str) -> Option<RemoteUrl> {
        let (scheme, _) = text.split_once("://")?;
        if !["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return None;
        }
        let mut url = Url::parse(text).ok()?;
        url.set_fragment(None);
        Some(RemoteUrl(url))
    }

    /// The URL of a file below this one; `/` joins the parts of its name.
    pub(super) fn member(&self, name: &str) -> RemoteUrl {
        let mut url = self.0.clone();
        // It fails only for URLs without a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(name.split('/'));
        }
        RemoteUrl(url)
    }

    /// The extension of the last part of the path, in lower case.
    pub(crate) fn extension(&self) -> Option<String> {
        let (_, extension) = self.0.path().trim_end_matches('/').rsplit_once('.')?;
        (!extension.contains('/')).then(|| extension.to_ascii_lowercase())
    }

    /// Whether the path ends with a slash.
    pub(crate) fn is_folder(&self) -> bool {
        self.0.path().ends_with('/')
    }

    /// Splits the URL of a table inside a file: the nearest URL above this one whose name ends like
    /// that of a store, and the names of the groups below it, decoded.
    pub(crate) fn split(&self) -> Option<(RemoteUrl, String)> {
        let mut above = self.0.clone();
        let mut inner: Vec<String> = Vec::new();
        loop {
            let last = above.path_segments()?.next_back()?.to_owned();
            above.path_segments_mut().ok()?.pop();
            if !last.is_empty() {
                inner.insert(0, percent_decoded(last.as_bytes())?);
            }
            let url = RemoteUrl(above.clone());
            let extension = url.extension();
            if extension.is_some_and(|extension| STORES.contains(&&*extension)) {
                return Some((url, inner.join("/")));
            }
            if above.path().len() < 2 {
                return None;
            }
        }
    }

    /// The whole URL, with its secrets.
    pub(super) fn secret(&self) -> &str {
        self.0.as_str()
    }

    /// What tells the object from others: the URL without its user and without signatures, which
    /// differ from day to day. It may hold secrets.
    pub(super) fn identity(&self) -> String {
        let is_kept = |name: &str| {
            let name = name.to_ascii_lowercase();
            !SIGNATURES.contains(&&*name)
                && !SIGNATURE_PREFIXES
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
        };
        let pairs = self.0.query_pairs().filter(|(name, _)| is_kept(name));
        let kept: Vec<_> = pairs.collect();
        format!("{} {kept:?}", self.name().display())
    }

    /// The URL without its query and its user.
    pub(crate) fn name(&self) -> PathBuf {
        let mut shown = self.0.clone();
        shown.set_query(None);
        // They fail only for URLs without a host.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        PathBuf::from(shown.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_url_identity_outlasts_signatures() {
        let identity = |query: &str| {
            let url = RemoteUrl::parse(&format!("https://host/download?{query}"));
            url.expect("a URL").identity()
        };
        assert_eq!(
            identity("id=1&X-Amz-Signature=a"),
            identity("id=1&x-amz-signature=b")
        );
        assert_eq!(identity("sv=2024&sig=a"), identity("sv=2025&sig=b"));
        assert_ne!(identity("id=1"), identity("id=2"));
        assert_ne!(
            identity("versionId=1&Expires=3"),
            identity("versionId=2&Expires=3")
        );
    }

    #[test]
    fn remote_url_splits_at_the_store() {
        let split = |url: &str| {
            let (url, inner) = RemoteUrl::parse(url).expect("a URL").split()?;
            Some((url.secret().to_owned(), inner))
        };
        let found = |url: &str, inner: &str| Some((url.to_owned(), inner.to_owned()));
        assert_eq!(
            split("https://host/a/b.h5mu/mod/my%20rna/?sig=1"),
            found("https://host/a/b.h5mu?sig=1", "mod/my rna")
        );
        assert_eq!(
            split("https://host/b.zarr/c.zarr"),
            found("https://host/b.zarr", "c.zarr")
        );
        for url in [
            "https://host/a/b.h5ad",
            "https://host/b.txt/a",
            "https://host",
        ] {
            assert_eq!(split(url), None, "{url}");
        }
        let url = RemoteUrl::parse("https://host/b.zarr/?sig=1").expect("a URL");
        assert_eq!(
            url.member("X/a b").secret(),
            "https://host/b.zarr/X/a%20b?sig=1"
        );
        assert_eq!(url.extension().as_deref(), Some("zarr"));
        assert!(url.is_folder());
    }

    #[test]
    fn remote_url_shows_no_secrets() {
        let url = RemoteUrl::parse("HTTPS://me:pass@host:81/a%20b.h5ad?X-Sig=secret#part");
        let url = url.expect("a URL");
        assert_eq!(format!("{url:?}"), "https://host:81/a%20b.h5ad");
        assert!(url.secret().ends_with("?X-Sig=secret"));
        for path in [
            "a.h5ad",
            "/data/a.h5ad",
            "s3://bucket/a.h5ad",
            "https:/a",
            "http://",
        ] {
            assert_eq!(RemoteUrl::parse(path), None, "{path}");
        }
    }
}
