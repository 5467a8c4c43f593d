//! A server of files for tests: ranges, ETags, conditions, and each fault on request.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// Answers with this status.
    Status(u16),
    /// Is busy, and asks to wait for so many seconds.
    Busy(u64),
    /// Sends half of the body, and ends the connection.
    Short,
    /// Sends the range before that which was asked for, and says so.
    WrongRange,
    /// Sends a body that is one byte shorter than the object, as if that were all.
    WrongLength,
    /// Ends the connection without an answer.
    Reset,
    /// Redirects to this URL.
    Redirect(String),
    /// Sends nothing for a second; with true, after half of the body.
    Stall(bool),
    /// Sends a body without end, with this status.
    Endless(u16),
    /// Says that the bucket is in this region.
    Region(&'static str),
    /// Sends this text.
    Text(&'static str),
}

/// How long [`Fault::Stall`] lasts.
const STALL: Duration = Duration::from_secs(1);

/// What the server does not do, in any answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lacks {
    pub(crate) ranges: bool,
    pub(crate) conditions: bool,
    pub(crate) etags: bool,
}

/// A server on loopback. It ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    lacks: Lacks,
    /// `None` is a right answer.
    faults: Mutex<VecDeque<Option<Fault>>>,
    n_requests: AtomicU64,
    n_bytes: AtomicU64,
    /// All headers of all requests.
    headers: Mutex<String>,
    is_over: AtomicBool,
}

impl Server {
    pub(crate) fn of(folder: &Path) -> Server {
        Server::lacking(folder, Lacks::default())
    }

    pub(crate) fn lacking(folder: &Path, lacks: Lacks) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            lacks,
            faults: Mutex::default(),
            n_requests: AtomicU64::new(0),
            n_bytes: AtomicU64::new(0),
            headers: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let address = listener.local_addr().expect("a port");
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = of_thread.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Server { address, shared }
    }

    /// The URL of a file in the folder.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The next answers are these faults, one after the other.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().map(Some);
        self.shared.faults.lock().expect("no panic").extend(faults);
    }

    /// After some right answers, these faults; no others.
    pub(crate) fn after(&self, n_right: usize, faults: Vec<Fault>) {
        let mut next = self.shared.faults.lock().expect("no panic");
        *next = vec![None; n_right].into();
        next.extend(faults.into_iter().map(Some));
    }

    /// All headers that it received, one after the other.
    pub(crate) fn headers(&self) -> String {
        self.shared.headers.lock().expect("no panic").clone()
    }

    /// The number of requests, and of bytes sent, since the last call.
    pub(crate) fn take_counts(&self) -> (u64, u64) {
        let Shared {
            n_requests,
            n_bytes,
            ..
        } = &*self.shared;
        (
            n_requests.swap(0, Ordering::Relaxed),
            n_bytes.swap(0, Ordering::Relaxed),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Ends the wait for the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers requests until the connection ends.
fn serve(stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let Ok(mut out) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        let mut headers = Vec::new();
        for line in lines.by_ref() {
            let Ok(line) = line else { return };
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            *shared.headers.lock().expect("no panic") += &line;
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let header = |name: &str| {
            let found = headers.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.as_str())
        };
        shared.n_requests.fetch_add(1, Ordering::Relaxed);
        let fault = shared.faults.lock().expect("no panic").pop_front();
        let fault = fault.flatten();
        let goes_on = answer(&mut out, &request, &header, shared, fault);
        if goes_on != Some(true) {
            return;
        }
    }
}

/// Returns whether the connection goes on.
fn answer<'a>(
    out: &mut TcpStream,
    request: &str,
    header: &dyn Fn(&str) -> Option<&'a str>,
    shared: &Shared,
    fault: Option<Fault>,
) -> Option<bool> {
    let mut send = |status: u16, more: &str, body: &[u8], len: usize| {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\n{more}\r\n");
        shared
            .n_bytes
            .fetch_add(body.len() as u64, Ordering::Relaxed);
        let sent = out
            .write_all(head.as_bytes())
            .and_then(|()| out.write_all(body));
        sent.is_ok().then_some(body.len() == len)
    };
    match &fault {
        Some(Fault::Status(status)) => return send(*status, "", b"", 0),
        Some(Fault::Busy(seconds)) => {
            return send(429, &format!("retry-after: {seconds}\r\n"), b"", 0);
        }
        Some(Fault::Redirect(url)) => return send(302, &format!("location: {url}\r\n"), b"", 0),
        Some(Fault::Reset) => return None,
        Some(Fault::Stall(false)) => {
            std::thread::sleep(STALL);
            return None;
        }
        Some(Fault::Endless(status)) => {
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n");
            out.write_all(head.as_bytes()).ok()?;
            let text = [b'<'; 1 << 16];
            while out.write_all(&text).is_ok() {
                shared.n_bytes.fetch_add(1 << 16, Ordering::Relaxed);
            }
            return None;
        }
        Some(Fault::Region(region)) => {
            return send(301, &format!("x-amz-bucket-region: {region}\r\n"), b"", 0);
        }
        Some(Fault::Text(text)) => return send(200, "", text.as_bytes(), text.len()),
        Some(Fault::Short | Fault::WrongRange | Fault::WrongLength | Fault::Stall(true)) | None => {
        }
    }
    let path = decoded(request.split(' ').nth(1)?.split('?').next()?);
    let path = shared.folder.join(path.trim_start_matches('/'));
    let Ok(content) = std::fs::read(&path) else {
        return send(404, "", b"", 0);
    };
    let meta = path.metadata().ok()?;
    let etag = format!("\"{}-{}-{}\"", meta.len(), meta.mtime(), meta.mtime_nsec());
    let changed = header("if-match").is_some_and(|wanted| wanted != etag);
    if changed && !shared.lacks.conditions {
        return send(412, "", b"", 0);
    }
    let etag = match shared.lacks.etags {
        true => String::new(),
        // Clouds send a time, too, but its seconds say little here.
        false => format!("etag: {etag}\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"),
    };
    let range = header("range").filter(|_| !shared.lacks.ranges);
    let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        let n_missing = usize::from(fault == Some(Fault::WrongLength));
        let body = &content[..content.len().saturating_sub(n_missing)];
        return send(200, &etag, body, body.len());
    };
    let (mut start, mut end) = match range {
        ("", last) => (
            content.len().saturating_sub(last.parse().ok()?),
            content.len(),
        ),
        (start, end) => {
            let end: usize = end.parse().ok()?;
            (start.parse().ok()?, (end + 1).min(content.len()))
        }
    };
    if start >= end {
        return send(416, "", b"", 0);
    }
    if fault == Some(Fault::WrongRange) {
        let len = end - start;
        (start, end) = (start.saturating_sub(len), end.saturating_sub(len).max(1));
    }
    let more = format!(
        "{etag}content-range: bytes {start}-{}/{}\r\n",
        end - 1,
        content.len()
    );
    let body = &content[start..end];
    let sent = match fault {
        Some(Fault::Short | Fault::Stall(true)) => &body[..body.len() / 2],
        _ => body,
    };
    let goes_on = send(206, &more, sent, body.len());
    if fault == Some(Fault::Stall(true)) {
        std::thread::sleep(STALL);
    }
    goes_on
}

/// Decodes `%20` and the like.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        let byte = u8::from_str_radix(code, 16).expect("two digits");
        decoded.push(byte.into());
        decoded += rest;
    }
    decoded
}
