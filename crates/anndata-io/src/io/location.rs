//! The place of a store: a user's path made absolute, and the part of it that lies within a file.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::remote::RemoteUrl;
#[cfg(feature = "remote")]
use super::remote::StorageOptions;
use crate::error::{Error, ErrorKind};

/// A resolved path: its name for users, and its target, which stays the same when the current
/// folder changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    name: PathBuf,
    path: PathBuf,
    url: Option<RemoteUrl>,
}

impl Location {
    /// Resolves a path, or a `file:` URL of one, against the current folder. Keeps symbolic links
    /// as they are, and also `~`, which only a shell expands. With the feature `remote`, also takes
    /// an `http:` or `https:` URL.
    ///
    /// # Errors
    /// When the path is a URL of another kind, or empty.
    pub fn resolve(given: &Path) -> Result<Location, Error> {
        if let Some(url) = given.to_str().and_then(RemoteUrl::parse) {
            return Ok(Location {
                name: url.name(),
                path: url.name(),
                url: Some(url),
            });
        }
        let path = absolute(given)?;
        // Users know the store by the name that they passed.
        let name = match without_scheme(given.as_os_str().as_bytes()) {
            Some(_) => path.clone(),
            None => given.components().collect(),
        };
        Ok(Location {
            name,
            path,
            url: None,
        })
    }

    /// The path as the user passed it, without a trailing slash; for a `file:` URL, its absolute
    /// path; for another URL, what is left of it without its query and user, which may be secrets.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The absolute path; for a URL, its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same place, reached by these options if it is in a bucket.
    #[cfg(feature = "remote")]
    pub fn with_storage(mut self, storage: &StorageOptions) -> Location {
        self.url = self.url.map(|url| url.with_storage(storage));
        self
    }

    /// The absolute path; for a URL, what of it is no secret: it lacks its user and the parts of its
    /// query that sign it.
    pub fn without_secrets(&self) -> PathBuf {
        match &self.url {
            Some(url) => url.without_secrets(),
            None => self.path.clone(),
        }
    }

    /// The URL, unless this is a path.
    pub(crate) fn url(&self) -> Option<&RemoteUrl> {
        self.url.as_ref()
    }
}

/// Returns the absolute path of a user's path, resolved against the current folder. Accepts `file:`
/// URLs. Keeps symbolic links as they are, and also `~`, which only a shell expands.
///
/// # Errors
/// When the path is a URL of another kind, or empty.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let local = match without_scheme(path.as_os_str().as_bytes()) {
        Some(rest) => Some(local_part(rest).ok_or(ErrorKind::Remote)),
        None if is_url(path) => Some(Err(RemoteUrl::why_not(path))),
        None => None,
    };
    let local = local.transpose();
    let local = local.map_err(|kind| Error::new(masked(path), "", kind))?;
    let local = local.unwrap_or_else(|| path.to_owned());
    if local.as_os_str().is_empty() {
        return Err(Error::new(path, "", ErrorKind::NotFound));
    }
    let absolute = std::path::absolute(&local).map_err(|error| Error::io(path, "", error))?;
    // `components` drops the trailing slash.
    Ok(absolute.components().collect())
}

/// Returns the rest after `file:` if it is an absolute path.
fn without_scheme(path: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = path.split_at_checked(5)?;
    (scheme.eq_ignore_ascii_case(b"file:") && rest.starts_with(b"/")).then_some(rest)
}

/// Decodes the path of a `file:` URL; `None` if it names another machine.
fn local_part(rest: &[u8]) -> Option<PathBuf> {
    let path = match rest.strip_prefix(b"//") {
        None => rest,
        Some(after) => {
            let slash = after.iter().position(|&byte| byte == b'/')?;
            let (host, path) = after.split_at(slash);
            if !host.is_empty() && !host.eq_ignore_ascii_case(b"localhost") {
                return None;
            }
            path
        }
    };
    Some(std::ffi::OsString::from_vec(percent_decoded(path)).into())
}

/// Decodes `%20` and the like; keeps any other `%`.
pub(super) fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let digit = |at: usize| (*tail.get(at)? as char).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// A URL that cannot be parsed, without what may be a user, a password or a signature.
fn masked(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    let Some((scheme, rest)) = text.split_once("://") else {
        return path.to_owned();
    };
    let place = rest.rsplit('@').next().unwrap_or_default();
    let place = place.split('?').next().unwrap_or_default();
    PathBuf::from(format!("{scheme}://{place}"))
}

/// Whether a path is a URL such as `s3://bucket/key`.
fn is_url(path: &Path) -> bool {
    path.to_str()
        .and_then(|path| path.trim_start().split_once("://"))
        .is_some_and(|(scheme, _)| {
            scheme.len() > 1
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
}

/// The part of a path that exists.
#[derive(Debug)]
pub(crate) struct Existing {
    pub(crate) path: PathBuf,
    pub(crate) meta: Metadata,
    /// The rest of the path: names in the file, joined by `/`.
    pub(crate) inner: String,
}

/// Returns the longest part of an absolute path that exists; `None` if the rest cannot be names in
/// a file.
///
/// # Errors
/// When the file system refuses access.
pub(crate) fn existing(path: &Path) -> Result<Option<Existing>, Error> {
    for part in path.ancestors() {
        match std::fs::metadata(part) {
            Ok(meta) => {
                let inner = path.strip_prefix(part).ok().and_then(Path::to_str);
                let Some(inner) = inner else { break };
                return Ok(Some(Existing {
                    path: part.to_owned(),
                    meta,
                    inner: inner.to_owned(),
                }));
            }
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(Error::io(path, "", error)),
        }
    }
    Ok(None)
}

/// The folder of the user.
pub(super) fn home_folder() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    home.map(PathBuf::from)
}

/// Whether an error means that there is no such file.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Result<String, String> {
        absolute(Path::new(path))
            .map(|path| path.display().to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn malformed_urls_show_no_secret() {
        for (url, shown) in [
            ("ftp://bob:hush@h/a.h5ad?sig=hush", "ftp://h/a.h5ad"),
            ("http://bob:hush@h:99999/a.h5ad", "http://h:99999/a.h5ad"),
            ("http://bob:hu/sh@h/a.h5ad", "http://h/a.h5ad"),
            ("https://bob:hush#hush@h/a.h5ad", "https://h/a.h5ad"),
            (" http://bob:hush@h/a.h5ad", " http://h/a.h5ad"),
            ("s3://bob:hush@b/a.h5ad", "s3://b/a.h5ad"),
        ] {
            let error = Location::resolve(Path::new(url)).expect_err("malformed");
            let error = error.to_string();
            assert!(error.contains(shown) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn location_of_a_file_url_is_its_path() {
        for (url, path) in [
            ("file:///data/a.h5ad", "/data/a.h5ad"),
            ("file://localhost/data/a.h5ad", "/data/a.h5ad"),
            ("FILE://LOCALHOST/data/a.h5ad", "/data/a.h5ad"),
            ("file:/data/a.h5ad", "/data/a.h5ad"),
            ("file:///data/my%20cells%C3%A9.h5ad", "/data/my cellsé.h5ad"),
            ("file:///data/100%.h5ad", "/data/100%.h5ad"),
            ("file:///data/50%_of%2.h5ad", "/data/50%_of%2.h5ad"),
            ("file:///data/a.zarr/", "/data/a.zarr"),
        ] {
            assert_eq!(of(url).as_deref(), Ok(path), "{url}");
        }
        for url in ["file://server/a.h5ad", "file://server", "ftp://host/a.h5ad"] {
            let error = of(url).expect_err("not here");
            assert!(error.contains("URL") && error.starts_with(url), "{error}");
        }
    }

    #[test]
    fn location_resolves_paths_without_other_changes() {
        let here = std::env::current_dir().expect("there is one");
        let here = here.display();
        assert_eq!(of("a.h5ad"), Ok(format!("{here}/a.h5ad")));
        assert_eq!(of("./b//a.zarr/"), Ok(format!("{here}/b/a.zarr")));
        assert_eq!(of("../a.zarr"), Ok(format!("{here}/../a.zarr")));
        assert_eq!(of("file:a"), Ok(format!("{here}/file:a")), "a file's name");
        assert_eq!(
            of("a://b"),
            Ok(format!("{here}/a:/b")),
            "one letter is no scheme"
        );
        assert_eq!(
            of("/a%20b"),
            Ok("/a%20b".to_owned()),
            "a path is not decoded"
        );
        assert_eq!(of("~/a"), Ok(format!("{here}/~/a")));
        assert!(of("").is_err());
    }

    #[test]
    fn existing_splits_a_path_at_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("a.h5mu");
        std::fs::write(&file, "x").expect("a small file");
        let existing = |path: &Path| existing(path).expect("readable").expect("text");
        let found = existing(&file.join("mod/rna"));
        assert_eq!(
            (found.path, found.inner.as_str()),
            (file.clone(), "mod/rna")
        );
        let found = existing(&file);
        assert_eq!((found.path, found.inner.as_str()), (file, ""));
        let found = existing(&dir.path().join("b/c"));
        assert!(found.meta.is_dir());
        assert_eq!(found.inner, "b/c");
    }
}
