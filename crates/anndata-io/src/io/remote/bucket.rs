//! Names of objects in buckets.

/// Who keeps a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cloud {
    S3,
    Google,
    Azure,
}

/// An object, or a folder of objects, in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    cloud: Cloud,
    /// The URL of the bucket, as the user wrote it.
    root: String,
    /// The name of the object in it, as it is: nothing is decoded.
    key: String,
}

const SCHEMES: [(&str, Cloud); 9] = [
    ("s3", Cloud::S3),
    ("s3a", Cloud::S3),
    ("gs", Cloud::Google),
    ("gcs", Cloud::Google),
    ("az", Cloud::Azure),
    ("azure", Cloud::Azure),
    ("abfs", Cloud::Azure),
    ("abfss", Cloud::Azure),
    ("adl", Cloud::Azure),
];

impl Bucket {
    /// `None` for a URL of another scheme, or without a bucket.
    pub(super) fn parse(text: &str) -> Option<Bucket> {
        let (scheme, rest) = text.split_once("://")?;
        let mut known = SCHEMES.iter();
        let (scheme, cloud) = known.find(|(known, _)| scheme.eq_ignore_ascii_case(known))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        // Only Azure has a container `@` an account.
        let is_name = *cloud == Cloud::Azure || !bucket.contains('@');
        (is_name && !bucket.is_empty()).then(|| Bucket {
            cloud: *cloud,
            root: format!("{scheme}://{bucket}"),
            key: key.to_owned(),
        })
    }

    /// Whether a scheme is one of buckets.
    pub(super) fn has_scheme(scheme: &str) -> bool {
        let mut known = SCHEMES.iter();
        known.any(|(known, _)| scheme.eq_ignore_ascii_case(known))
    }

    pub(super) fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// The URL of the whole bucket.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// The name of the bucket.
    pub(super) fn name(&self) -> &str {
        self.root.split_once("://").map_or("", |(_, name)| name)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Another object of the bucket.
    pub(super) fn with_key(&self, key: String) -> Bucket {
        Bucket {
            key,
            ..self.clone()
        }
    }

    pub(super) fn url(&self) -> String {
        format!("{}/{}", self.root, self.key)
    }
}
