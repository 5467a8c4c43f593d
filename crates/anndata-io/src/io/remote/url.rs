//! URLs of objects, and their names for people.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::bucket::Bucket;
use super::hub;
use super::storage::StorageOptions;
use crate::error::ErrorKind;

/// Parts of a query that sign a request, in the names of S3, Google and CloudFront.
const SIGNATURE_PREFIXES: [&str; 2] = ["x-amz-", "x-goog-"];
const SIGNATURES: [&str; 10] = [
    "awsaccesskeyid",
    "expires",
    "googleaccessid",
    "key-pair-id",
    "policy",
    "response-content-disposition",
    "response-content-type",
    "sig",
    "signature",
    "token",
];
/// Those of Azure, which has `sig` among them. Other servers use such short names for other things.
const AZURES: [&str; 12] = [
    "se", "ske", "skoid", "sks", "skt", "sktid", "skv", "sp", "spr", "sr", "st", "sv",
];

/// Extensions of files and folders that may hold several tables.
const STORES: [&str; 7] = ["h5ad", "h5mu", "h5", "hdf5", "loom", "zarr", "zip"];

/// Decodes a part of a path; `None` if it is not UTF-8.
fn percent_decoded(part: &[u8]) -> Option<String> {
    String::from_utf8(crate::io::location::percent_decoded(part)).ok()
}

/// The URL of an object on a server, and how it is reached.
///
/// Its query may be a signature, and its user a password, so neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RemoteUrl {
    place: Place,
    storage: StorageOptions,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `http` and `https`.
    Web(Url),
    Bucket(Bucket),
}

impl RemoteUrl {
    /// `None` for a path, and for a URL of an unknown scheme.
    pub(crate) fn parse(text: &str) -> Option<RemoteUrl> {
        let place = match hub::as_https(text) {
            Some(url) => Place::Web(Url::parse(&url).ok()?),
            None => match Bucket::parse(text) {
                Some(bucket) => Place::Bucket(bucket),
                None => Place::Web(web(text)?),
            },
        };
        Some(RemoteUrl {
            place,
            storage: StorageOptions::default(),
        })
    }

    /// Why a URL is not one of a server.
    pub(crate) fn why_not(path: &Path) -> ErrorKind {
        let text = path.to_string_lossy();
        let scheme = text.split("://").next().unwrap_or_default();
        let mut web = ["http", "https", "hf"].iter();
        let is_web = web.any(|known| scheme.eq_ignore_ascii_case(known));
        match is_web || Bucket::has_scheme(scheme) {
            true => ErrorKind::invalid(
                "a URL with a host or a bucket, and a path, such as https://host/cells.h5ad; in a \
                 password, `/`, `#`, `?` and `@` are written as %2F, %23, %3F and %40",
                "one of another form",
            ),
            false => ErrorKind::Remote,
        }
    }

    /// The same URL, reached by these options.
    pub(crate) fn with_storage(&self, storage: &StorageOptions) -> RemoteUrl {
        RemoteUrl {
            place: self.place.clone(),
            storage: storage.clone(),
        }
    }

    fn at(&self, place: Place) -> RemoteUrl {
        RemoteUrl {
            place,
            storage: self.storage.clone(),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn storage(&self) -> &StorageOptions {
        &self.storage
    }

    /// Whether the files of a folder can be listed.
    pub(crate) fn is_listed(&self) -> bool {
        matches!(self.place, Place::Bucket(_))
    }

    /// The path of the object.
    fn path(&self) -> &str {
        match &self.place {
            Place::Web(url) => url.path(),
            Place::Bucket(bucket) => bucket.key(),
        }
    }

    /// The URL of a file below this one; `/` joins the parts of its name.
    pub(super) fn member(&self, name: &str) -> RemoteUrl {
        self.at(match &self.place {
            Place::Web(url) => {
                let mut url = url.clone();
                // It fails only for URLs without a path.
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.pop_if_empty().extend(name.split('/'));
                }
                Place::Web(url)
            }
            Place::Bucket(bucket) => {
                let folder = bucket.key().trim_end_matches('/');
                Place::Bucket(bucket.with_key(crate::path::member(folder, name)))
            }
        })
    }

    /// The extension of the last part of the path, in lower case.
    pub(crate) fn extension(&self) -> Option<String> {
        let (_, extension) = self.path().trim_end_matches('/').rsplit_once('.')?;
        (!extension.contains('/')).then(|| extension.to_ascii_lowercase())
    }

    /// Whether the path ends with a slash.
    pub(crate) fn is_folder(&self) -> bool {
        self.path().ends_with('/') || self.path().is_empty()
    }

    /// Whether this is a whole bucket.
    pub(crate) fn is_bucket(&self) -> bool {
        matches!(&self.place, Place::Bucket(bucket) if bucket.key().is_empty())
    }

    /// The URL above this one, and the name of this one there.
    fn above(&self) -> Option<(RemoteUrl, String)> {
        match &self.place {
            Place::Web(url) => {
                let mut above = url.clone();
                let last = url.path_segments()?.next_back()?;
                above.path_segments_mut().ok()?.pop();
                let last = percent_decoded(last.as_bytes())?;
                (url.path().len() > 1).then(|| (self.at(Place::Web(above)), last))
            }
            Place::Bucket(bucket) => {
                let (above, last) = bucket.key().rsplit_once('/')?;
                let above = bucket.with_key(above.to_owned());
                Some((self.at(Place::Bucket(above)), last.to_owned()))
            }
        }
    }

    /// Splits the URL of a table inside a file: the nearest URL above this one whose name ends like
    /// that of a store, and the names of the groups below it, decoded.
    pub(crate) fn split(&self) -> Option<(RemoteUrl, String)> {
        let mut inner: Vec<String> = Vec::new();
        let mut url = self.clone();
        loop {
            let (above, last) = url.above()?;
            if !last.is_empty() {
                inner.insert(0, last);
            }
            let extension = above.extension();
            if extension.is_some_and(|extension| STORES.contains(&&*extension)) {
                return Some((above, inner.join("/")));
            }
            url = above;
        }
    }

    /// The URL without its user and its signature: all that may be written down.
    pub(crate) fn without_secrets(&self) -> PathBuf {
        let Place::Web(url) = &self.place else {
            return self.name();
        };
        let mut public = self.name().into_os_string();
        let query = url.query().unwrap_or_default().split('&');
        let is_public = |pair: &&str| {
            !pair.is_empty() && !is_signature(url, pair.split('=').next().unwrap_or_default())
        };
        for (number, pair) in query.filter(is_public).enumerate() {
            public.push(if number == 0 { "?" } else { "&" });
            public.push(pair);
        }
        public.into()
    }

    /// What tells the object from others: the URL without signatures, which differ from day to day,
    /// but with its user, to whom a server may show something else. It may hold secrets.
    pub(super) fn identity(&self) -> String {
        match &self.place {
            Place::Web(url) => {
                let pairs = url
                    .query_pairs()
                    .filter(|(name, _)| !is_signature(url, name));
                let kept: Vec<_> = pairs.collect();
                let mut identity = format!("{} {kept:?}", self.name().display());
                if !url.username().is_empty() || url.password().is_some() {
                    identity += &format!(" {:?} {:?}", url.username(), url.password());
                }
                identity
            }
            Place::Bucket(bucket) => {
                let url = bucket.url();
                format!("{url:?} at {:?}", self.storage.place())
            }
        }
    }

    /// The URL without its query and its user.
    pub(crate) fn name(&self) -> PathBuf {
        let shown = match &self.place {
            Place::Web(url) => {
                let mut shown = url.clone();
                shown.set_query(None);
                // They fail only for URLs without a host.
                let _ = shown.set_username("");
                let _ = shown.set_password(None);
                shown.to_string()
            }
            Place::Bucket(bucket) => bucket.url(),
        };
        PathBuf::from(shown.trim_end_matches('/'))
    }
}

/// Parses an `http` or `https` URL.
fn web(text: &str) -> Option<Url> {
    let (scheme, _) = text.split_once("://")?;
    let mut known = ["http", "https"].iter();
    known.find(|known| scheme.eq_ignore_ascii_case(known))?;
    let mut url = Url::parse(text).ok()?;
    url.set_fragment(None);
    Some(url)
}

/// Whether a part of the query of a URL signs a request.
fn is_signature(url: &Url, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut prefixes = SIGNATURE_PREFIXES.iter();
    let is_azures = || url.query_pairs().any(|(name, _)| name == "sig");
    SIGNATURES.contains(&&*name)
        || prefixes.any(|prefix| name.starts_with(prefix))
        || AZURES.contains(&&*name) && is_azures()
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole URL.
    fn secret(url: &RemoteUrl) -> String {
        match url.place() {
            Place::Web(url) => url.to_string(),
            Place::Bucket(bucket) => bucket.url(),
        }
    }

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
        assert_ne!(identity("sp=human"), identity("sp=mouse"));
        assert_ne!(
            identity("versionId=1&Expires=3"),
            identity("versionId=2&Expires=3")
        );
    }

    #[test]
    fn remote_url_splits_at_the_store() {
        let split = |url: &str| {
            let (url, inner) = RemoteUrl::parse(url).expect("a URL").split()?;
            Some((secret(&url), inner))
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
        // Names in buckets are not encoded.
        assert_eq!(
            split("s3://b.zarr/my a%20.zarr/mod/rna"),
            found("s3://b.zarr/my a%20.zarr", "mod/rna")
        );
        for url in ["S3://bucket/a b/c%20d.zarr", "s3://bucket/a b/c%20d.zarr/"] {
            let url = RemoteUrl::parse(url).expect("a URL");
            assert_eq!(url.name(), PathBuf::from("s3://bucket/a b/c%20d.zarr"));
            assert_eq!(secret(&url.member("X/0")), "s3://bucket/a b/c%20d.zarr/X/0");
        }
        let url = RemoteUrl::parse("https://host/b.zarr/?sig=1").expect("a URL");
        assert_eq!(
            secret(&url.member("X/a b")),
            "https://host/b.zarr/X/a%20b?sig=1"
        );
        assert_eq!(url.extension().as_deref(), Some("zarr"));
        assert!(url.is_folder());
    }

    #[test]
    fn remote_url_shows_no_secrets() {
        let public = |url: &str| RemoteUrl::parse(url).expect("a URL").without_secrets();
        assert_eq!(
            public("https://me:pass@host/a?id=1&sig=x&X-Amz-Date=2&part=b%20c"),
            PathBuf::from("https://host/a?id=1&part=b%20c")
        );
        assert_eq!(
            public("https://host/a?sig=x"),
            PathBuf::from("https://host/a")
        );
        assert_eq!(public("s3://bucket/a?b"), PathBuf::from("s3://bucket/a?b"));
        let url = RemoteUrl::parse("HTTPS://me:pass@host:81/a%20b.h5ad?X-Sig=secret#part");
        let url = url.expect("a URL");
        assert_eq!(format!("{url:?}"), "https://host:81/a%20b.h5ad");
        assert!(secret(&url).ends_with("?X-Sig=secret"));
        for path in [
            "a.h5ad",
            "/data/a.h5ad",
            "ftp://host/a.h5ad",
            "s3:///a.h5ad",
            "https:/a",
            "http://",
        ] {
            assert_eq!(RemoteUrl::parse(path), None, "{path}");
        }
    }
}
