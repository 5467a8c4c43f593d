//! What goes wrong with a request, as an error that names the way out and no secret.

use std::error::Error;
use std::io;
use std::sync::Arc;

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::ErrorKind;

/// What S3 answers, with status 400, to credentials that are out of date.
const EXPIRED: [&str; 3] = ["ExpiredToken", "TokenRefreshRequired", "InvalidToken"];

/// What S3 answers, with status 404, if there is not even a bucket.
const NO_BUCKET: &str = "NoSuchBucket";

/// A request without a valid answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The runtime or the client could not be made.
    Setup(String),
    /// The task ended without an answer.
    Lost,
    /// The server answered with this status.
    Status(u16),
    /// Credentials are out of date.
    Expired,
    /// No credentials are set, and the machine has none.
    NoCredentials,
    /// There is no such bucket.
    NoBucket,
    /// The bucket is in this region.
    Region(u16, String),
    /// A folder has more files.
    TooManyFiles(usize),
    /// The connection failed.
    Connection(io::ErrorKind, String),
    /// The body has another length than the range.
    Body { expected: u64, found: u64 },
    /// The object is longer than what it may hold.
    TooLong { most: u64, found: u64 },
    /// The server answers a request for a range with the whole object.
    NoRanges,
    /// The answer is longer than it may be.
    TooMuch,
    /// The answer is not a valid one.
    Answer(String),
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Failure {
        if matches!(error, object_store::Error::NotSupported { .. }) {
            return Failure::NoRanges;
        }
        match causes(&error).find_map(|cause| cause.downcast_ref::<HttpError>()) {
            Some(http) => Failure::of_connection(http),
            None => Failure::Answer(last_cause(&error)),
        }
    }
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The last cause says most: "dns error", "connection refused", "invalid peer certificate".
fn last_cause(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

impl Failure {
    /// What `object_store` could not do, and what went wrong last with a request.
    pub(super) fn of(error: object_store::Error, last: Option<Failure>) -> Failure {
        match last {
            // Only the body says that credentials are out of date.
            Some(Failure::Status(400) | Failure::Region(400, _))
                if EXPIRED.iter().any(|code| last_cause(&error).contains(code)) =>
            {
                Failure::Expired
            }
            Some(failure) if failure.is_absence() && last_cause(&error).contains(NO_BUCKET) => {
                Failure::NoBucket
            }
            // It was not the object: credentials have an address of their own.
            Some(failure)
                if failure.is_absence()
                    && !matches!(error, object_store::Error::NotFound { .. }) =>
            {
                Failure::NoCredentials
            }
            Some(failure) => failure,
            None => error.into(),
        }
    }

    /// As [`of`](Self::of), for a list of files in a bucket.
    pub(super) fn of_list(error: object_store::Error, last: Option<Failure>) -> Failure {
        match last {
            Some(failure) if failure.is_absence() => Failure::NoBucket,
            last => Failure::of(error, last),
        }
    }

    /// Whether there is no such object.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Failure::Status(404 | 410))
    }

    /// What is wrong with options: no server was asked.
    pub(super) fn of_options(error: &object_store::Error) -> Failure {
        Failure::Setup(format!("storage_options: {}", last_cause(error)))
    }

    pub(super) fn of_connection(error: &HttpError) -> Failure {
        let kind = match error.kind() {
            HttpErrorKind::Timeout => io::ErrorKind::TimedOut,
            HttpErrorKind::Connect => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::ConnectionAborted,
        };
        Failure::Connection(kind, last_cause(error))
    }
}

impl From<Failure> for ErrorKind {
    fn from(failure: Failure) -> ErrorKind {
        let io = |kind, message: String| ErrorKind::Io(Arc::new(io::Error::new(kind, message)));
        match failure {
            ref failure if failure.is_absence() => ErrorKind::NotFound,
            Failure::Status(412) => ErrorKind::Changed,
            Failure::Status(status @ (401 | 403)) => {
                let message = format!(
                    "the server refused access (HTTP status {status}): pass credentials \
                     (storage_options) or skip_signature for a bucket, a signed URL that has not \
                     expired for other servers"
                );
                io(io::ErrorKind::PermissionDenied, message)
            }
            Failure::Status(status @ 300..=399) => {
                let message = format!(
                    "the server redirects to a place that is not asked (HTTP status {status}): pass \
                     the URL of the file itself"
                );
                io(io::ErrorKind::Other, message)
            }
            Failure::Status(status) => {
                let message = format!("the server answered with HTTP status {status}: try again");
                io(io::ErrorKind::Other, message)
            }
            Failure::Expired => {
                let message = "the credentials have expired: renew them".to_owned();
                io(io::ErrorKind::PermissionDenied, message)
            }
            Failure::NoCredentials => {
                let message = "no credentials in storage_options, the environment or the profile, \
                               and this machine has none (a pickled collection carries none): \
                               pass them, or skip_signature for a public bucket";
                io(io::ErrorKind::PermissionDenied, message.to_owned())
            }
            Failure::NoBucket => io(
                io::ErrorKind::NotFound,
                "there is no such bucket".to_owned(),
            ),
            Failure::Region(_, region) => {
                let message = format!(
                    "the bucket is in the region {region}: pass it (region in storage_options, or \
                     AWS_REGION)"
                );
                io(io::ErrorKind::InvalidInput, message)
            }
            Failure::TooManyFiles(most) => {
                let what = format!("a folder of more than {most} files in a bucket");
                ErrorKind::unsupported(what, "write the arrays in larger chunks, or in shards")
            }
            Failure::Connection(kind @ io::ErrorKind::TimedOut, message) => io(
                kind,
                format!(
                    "the server did not answer in time ({message}): try again, or set timeout or \
                     connect_timeout in storage_options"
                ),
            ),
            Failure::Connection(kind, message) => io(
                kind,
                format!("the connection to the server failed: {message}"),
            ),
            Failure::Body { expected, found } => {
                let message = format!("the server sent {found} of {expected} bytes: try again");
                io(io::ErrorKind::UnexpectedEof, message)
            }
            Failure::TooLong { most, found } => ErrorKind::Invalid {
                expected: format!("at most {most} bytes"),
                found: format!("an object of {found} bytes"),
            },
            Failure::TooMuch => {
                let message = "the server's answer is longer than allowed".to_owned();
                io(io::ErrorKind::InvalidData, message)
            }
            Failure::NoRanges => ErrorKind::unsupported(
                "an answer without HTTP ranges (the server cannot send parts of a file, or the URL is \
                 that of a page)",
                "pass the URL of a file, or copy the file to a local disk first",
            ),
            Failure::Answer(message) => {
                let message = format!("the server sent no valid answer: {message}");
                io(io::ErrorKind::InvalidData, message)
            }
            Failure::Setup(message) => io(io::ErrorKind::Other, message),
            Failure::Lost => io(io::ErrorKind::Other, "a request ended too early".to_owned()),
        }
    }
}
